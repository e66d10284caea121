"""Read a silo's images from a folder: a folder per label, a picture file per image.

Errors name files. They are for the owner of the folder and never leave the silo.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from dpfedsyn.columns import listing
from dpfedsyn.errors import DataError, NoRecords
from dpfedsyn.images.archive import Images, Labels, shares
from dpfedsyn.images.schema import ImageSchema

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")
CLUTTER = ("Thumbs.db", "desktop.ini")  # which systems leave in folders; names with a point too
EIGHT_BITS = 255

_NO_PICTURE = (
    UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning,
    OSError, ValueError, SyntaxError,
)  # fmt: skip


def read(folder: Path, schema: ImageSchema) -> tuple[Images, Labels, tuple[str, ...]]:
    """Read every picture below FOLDER/LABEL, as grey values of eight bits.

    Returns:
        (images, labels, ids): (n, h, w) in [0, 1]; (n,) in 0 .. labels - 1; paths below the
        folder, which stay what they are when other pictures come or go.

    Raises:
        DataError: a folder is no public label, a file is no picture of eight bits or of another
            size. Names the file and the mend. NoRecords: there are no pictures.
    """
    if schema.largest != EIGHT_BITS:
        raise DataError(
            f"{folder}: picture files have grey values from 0 to {EIGHT_BITS}, the schema's "
            f"`largest` is {schema.largest}, so nothing was read; set largest = {EIGHT_BITS}, or "
            "give an NPZ archive"
        )
    images, labels, ids = [], [], []
    for place in _label_folders(folder, schema):
        for path in _files(place):
            images.append(_picture(path, schema))
            labels.append(schema.labels.index(place.name))
            ids.append(path.relative_to(folder).as_posix())
    if not images:
        raise NoRecords(
            f"{folder}: no pictures below it, so this silo has no records; put them into a folder "
            f"per label ({listing(schema.labels)})"
        )
    return shares(np.stack(images), schema), np.array(labels, dtype=np.int64), tuple(ids)


def _label_folders(folder: Path, schema: ImageSchema) -> list[Path]:
    """The folders of labels; whatever else lies beside them must be no picture."""
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.suffix.lower() in ENDINGS:
            raise DataError(
                f"{entry}: lies beside the folders of labels, so it has no label and nothing was "
                f"read; move it into one of {listing(schema.labels)}"
            )
        if entry.is_dir() and entry.name not in schema.labels:
            raise DataError(
                f"{entry}: {entry.name!r} is not among the public labels "
                f"{listing(schema.labels)}, so nothing was read; rename the folder, or add the "
                "label to the schema"
            )
        found += [entry] if entry.is_dir() else []
    return found


def _files(place: Path) -> list[Path]:
    """The pictures of one label; a file that is none would be a record that is left out."""
    found = []
    for path in sorted(place.iterdir()):
        if path.name.startswith(".") or path.name in CLUTTER:
            continue
        if path.suffix.lower() not in ENDINGS:
            kind = "a folder in a label's folder" if path.is_dir() else "no picture by its name"
            raise DataError(
                f"{path}: {kind}, which would be left out, so nothing was read; remove it, or let "
                f"pictures lie in the label's folder itself, with an ending of {listing(ENDINGS)}"
            )
        found.append(path)
    return found


def _picture(path: Path, schema: ImageSchema) -> np.ndarray:
    """One picture's grey values (h, w), the way up that its camera noted."""
    try:
        with Image.open(path) as opened:
            if odd := _odd(opened):
                raise DataError(f"{path}: {odd}")
            grey = np.asarray(ImageOps.exif_transpose(opened).convert("L"))
    except _NO_PICTURE as error:
        why = getattr(error, "strerror", None) or error
        raise DataError(
            f"{path}: not a picture that can be read ({why}), so nothing was read; remove or "
            "mend the file"
        ) from None
    if grey.shape != (schema.height, schema.width):
        raise DataError(
            f"{path}: {grey.shape[0]} x {grey.shape[1]} pixels, the schema has "
            f"{schema.height} x {schema.width}, so nothing was read; bring all pictures to that "
            "size, or correct height and width in the schema"
        )
    return grey


def _odd(picture: Image.Image) -> str:
    """What of a picture would be lost as grey values of eight bits; empty: nothing."""
    if picture.mode.startswith(("I", "F")):
        return (
            f"has more than eight bits a pixel (mode {picture.mode}), which would be cut off, so "
            "nothing was read; save it with eight, or give an NPZ archive and its `largest`"
        )
    if (frames := getattr(picture, "n_frames", 1)) > 1:
        return (
            f"holds {frames} pictures, of which only the first would be read, so nothing "
            "was; save each as a file"
        )
    clear = picture.has_transparency_data
    if clear and np.asarray(picture.convert("RGBA"))[..., 3].min() < EIGHT_BITS:
        return (
            "has transparent pixels, which have no grey value, so nothing was read; save it on "
            "the background that is meant"
        )
    return ""
