"""The mark inside files of synthetic images; a table of rows has it in its name alone.

A line of words in a CSV file would be read as a row, and a column of them as data.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from dpfedsyn.marking import MARK

MARGIN = 4  # pixels around the word
LEAST = 14  # height of its letters in pixels, or a sixteenth of the picture's width


def stamped(suffix: str, content: bytes, void: str) -> bytes:
    """Return the bytes of a file with the mark in them.

    Args:
        suffix: ".npz": an array `marking` beside the others. ".png": a strip with the word above
            the picture, and a text chunk. Any other: as it is. void: why nothing is promised.
    """
    if suffix == ".npz":
        return _archive(content, f"{MARK}. {void}")
    return _picture(content, f"{MARK}. {void}") if suffix == ".png" else content


def _archive(content: bytes, words: str) -> bytes:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays, marking=np.array(words))
    return file.getvalue()


def _picture(content: bytes, words: str) -> bytes:
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    font = ImageFont.load_default(max(LEAST, picture.width // 16))
    left, top, right, bottom = (int(end) for end in font.getbbox(MARK))
    width = max(picture.width, right - left + 2 * MARGIN)
    strip = bottom - top + 2 * MARGIN
    whole = Image.new("RGB", (width, picture.height + strip), "white")
    whole.paste(picture, (0, strip))
    place = (MARGIN - left, MARGIN - top)
    ImageDraw.Draw(whole).text(place, MARK, fill=(143, 29, 20), font=font)
    chunk, file = PngInfo(), io.BytesIO()
    chunk.add_text("Comment", words)
    whole.save(file, "PNG", pnginfo=chunk)
    return file.getvalue()
