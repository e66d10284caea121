"""Archives of images and folders of pictures."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dpfedsyn.images import ImageEncoder, ImageSchema
from tests.bad_input.case import ARCHIVE, FOLDER, Case

IMAGES = np.arange(60, dtype=np.uint8).reshape(5, 3, 4) % 17
LABELS = np.array([0, 1, 1, 0, 1])


def arrays(*said: str, mend: str, **changed: Any) -> Case:
    """An archive with some of its arrays changed; None leaves one out."""

    def make(folder: Path) -> Path:
        held = {"images": IMAGES, "labels": LABELS} | changed
        np.savez(folder / "silo.npz", **{k: v for k, v in held.items() if v is not None})
        return folder / "silo.npz"

    return Case(make, ARCHIVE.read, ("FILE", *said), mend)


def archive(content: bytes, *said: str, mend: str) -> Case:
    """A file of these bytes, by the name of an archive."""

    def make(folder: Path) -> Path:
        (folder / "silo.npz").write_bytes(content)
        return folder / "silo.npz"

    return Case(make, ARCHIVE.read, ("FILE", *said), mend)


def picture(
    make: Callable[[Path], object], *said: str, mend: str, schema: ImageSchema | None = None
) -> Case:
    """A folder of pictures: a sound one, and one that is made at "yes/odd.png" or beside it."""

    def made(folder: Path) -> Path:
        for label in ("no", "yes"):
            (folder / "silo" / label).mkdir(parents=True)
        Image.new("L", (6, 4)).save(folder / "silo" / "no" / "sound.png")
        make(folder / "silo" / "yes" / "odd.png")
        return folder / "silo"

    reader = FOLDER if schema is None else ImageEncoder(schema)
    return Case(made, reader.read, said, mend)


def mode(name: str, ending: str = ".png") -> Callable[[Path], object]:
    """A picture of the right size in one of Pillow's modes."""
    return lambda path: Image.new(name, (6, 4)).save(path.with_suffix(ending))


def of_size(width: int, height: int) -> Callable[[Path], object]:
    """A grey picture of another size."""
    return lambda path: Image.new("L", (width, height)).save(path)


def _bomb(path: Path) -> None:
    """A few bytes that promise 400 million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
    path.write_bytes(content + struct.pack(">I", zlib.crc32(header)) + bytes(40))


def _cut(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-30])


def _moving(path: Path) -> None:
    first, second = (Image.new("L", (6, 4), grey) for grey in (0, 100))
    first.save(path.with_suffix(".gif"), save_all=True, append_images=[second])


def _turned(path: Path) -> None:
    camera = Image.Exif()
    camera[0x112] = 6  # the picture lies on its side
    Image.new("L", (6, 4)).save(path.with_suffix(".jpg"), exif=camera)


def _unlabelled(path: Path) -> None:
    Image.new("L", (6, 4)).save(path.parents[1] / "lost.png")


def _in(name: str) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        (path.parents[1] / name).mkdir()
        Image.new("L", (6, 4)).save(path.parents[1] / name / "a.png")

    return make


def _bare() -> bytes:
    file = io.BytesIO()
    np.save(file, IMAGES)
    return file.getvalue()


def _nothing(folder: Path) -> Path:
    (folder / "silo" / "no").mkdir(parents=True)
    return folder / "silo"


CASES = {
    "arrays by other names": arrays(
        "no array 'images', it has x_train", mend="images=..., labels=...",
        images=None, labels=None, x_train=IMAGES,
    ),
    "objects in an archive": arrays(
        "'labels' holds objects", mend="save one array", labels=np.array([0, 1, "a", 0, 1], object)
    ),
    "names for labels": arrays(
        "'labels' holds <U5", mend="from 0 in the order plain, crossed",
        labels=np.array(["plain"] * 5),
    ),
    "dates for labels": arrays(
        "'labels' holds datetime64[D]", mend="save whole numbers",
        labels=np.array(["2020-01-01"] * 5, "M8[D]"),
    ),
    "a column for each label": arrays(
        "a column for each label", mend="labels.argmax(axis=1)", labels=np.eye(2)[LABELS]
    ),
    "labels from 1": arrays(
        "image 1 (of 5, from 0)", "labels such as 2", mend="correct the label", labels=LABELS + 1
    ),
    "colours in an archive": arrays(
        "(5, 3, 4, 3)", "several channels", mend="save (n, 3, 4)",
        images=np.zeros((5, 3, 4, 3), np.uint8),
    ),
    "images on their side": arrays(
        "(5, 4, 3)", "images of 3 x 4", mend="correct height and width",
        images=IMAGES.transpose(0, 2, 1),
    ),
    "shares for pixels": arrays(
        "pixels such as 0.0625", mend="these shares times 16, rounded", images=IMAGES / 16
    ),
    "pixels beyond the largest": arrays(
        "image 0 (of 5, from 0)", "0 to 16", mend="correct `largest`", images=IMAGES + 200
    ),
    "pixels that are no numbers": arrays(
        "pixels such as nan", mend="save pixel values", images=np.full((5, 3, 4), np.nan)
    ),
    "labels for some of the images": arrays(
        "5 images came with labels of shape (4,)", mend="give one label each", labels=LABELS[:4]
    ),
    "no images in an archive": arrays(
        "holds no images", mend="fill it", images=IMAGES[:0], labels=LABELS[:0]
    ),
    "a single array": archive(
        _bare(), "a single NumPy array", mend="numpy.savez_compressed"
    ),
    "HDF5": archive(b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file", mend="images as NPZ"),
    "text by the name of an archive": archive(
        b"label,pixel\n", "not a sound NPZ archive", mend="numpy.savez_compressed"
    ),
    "sixteen bits": picture(
        mode("I;16"), "yes/odd.png", "more than eight bits", mend="give an NPZ archive"
    ),
    "pixels of floats": picture(
        mode("F", ".tif"), "yes/odd.tif", "more than eight bits", mend="save it with eight"
    ),
    "transparent pixels": picture(
        mode("RGBA"), "yes/odd.png", "transparent", mend="save it on the background"
    ),
    "a moving picture": picture(
        _moving, "yes/odd.gif", "holds 2 pictures", mend="save each as a file"
    ),
    "a picture on its side": picture(
        _turned, "yes/odd.jpg: 6 x 4 pixels", mend="bring all pictures to that size"
    ),
    "pictures of mixed sizes": picture(
        of_size(8, 8), "yes/odd.png: 8 x 8 pixels", "4 x 6", mend="correct height and width"
    ),
    "a picture as large as a bomb": picture(
        _bomb, "yes/odd.png", "not a picture", mend="remove or mend"
    ),
    "a picture that was cut": picture(_cut, "yes/odd.png", "truncated", mend="remove or mend"),
    "text by the name of a picture": picture(
        lambda path: path.write_text("no picture"), "yes/odd.png", "not a picture",
        mend="remove or mend",
    ),
    "a link to a picture that is gone": picture(
        lambda path: path.symlink_to("nowhere"), "yes/odd.png", "No such file",
        mend="remove or mend",
    ),
    "a picture by another ending": picture(
        lambda path: path.with_suffix(".heic").write_bytes(b"x"), "yes/odd.heic", "left out",
        mend="with an ending of .png",
    ),
    "a folder in a label's folder": picture(
        lambda path: path.with_suffix("").mkdir(), "yes/odd", "left out", mend="remove it"
    ),
    "a picture without a label": picture(_unlabelled, "lost.png", "no label", mend="move it"),
    "a folder that is no label": picture(
        _in("perhaps"), "perhaps", "public labels no, yes", mend="rename the folder"
    ),
    "pictures for a schema of few greys": picture(
        mode("L"), "grey values from 0 to 255", mend="set largest = 255",
        schema=ImageSchema("few", ("no", "yes"), 4, 6, 5, grey=0.5, largest=16),
    ),
    "no pictures at all": Case(
        _nothing, FOLDER.read, ("FILE", "no pictures below it"), "a folder per label"
    ),
    "pictures where a table is meant": Case(
        _nothing, ARCHIVE.read, ("grey values from 0 to 255",), "give an NPZ archive"
    ),
}  # fmt: skip
