"""Read a silo's images from an NPZ archive against the public schema, and write one.

The archive holds `images` (n, h, w), whole numbers from 0 to the schema's `largest`, and `labels`
(n,), whole numbers from 0 that count the schema's labels.

Errors name images of the file. They are for the owner of the file and never leave the silo.
"""

import io
import lzma
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dpfedsyn import disguise
from dpfedsyn.columns import listing
from dpfedsyn.errors import DataError, NoRecords
from dpfedsyn.images.schema import ImageSchema

_ZIP = b"PK"

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

# Everything that the standard library and numpy raise over bytes that are no sound archive.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, KeyError, OSError, OverflowError, RuntimeError, ValueError,
)  # fmt: skip


def read(path: Path | str, schema: ImageSchema) -> tuple[Images, Labels]:
    """Read images and labels; a label that no image has is no fault.

    Returns:
        (images, labels): (n, h, w) in [0, 1], pixel value / largest; (n,) in 0 .. labels - 1.

    Raises:
        DataError: the file is missing, damaged or no archive; an array is missing, of another
            shape or no numbers; a pixel or label is not among the public values. Names file, the
            first bad image (counted from 0) and the mend. NoRecords: there are no images.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be read ({error.strerror}), so this silo has no records; "
            "correct the path"
        ) from None
    if not content.startswith(_ZIP) and (found := disguise.kind(content[: disguise.HEAD])):
        raise DataError(
            f"{path}: not a sound NPZ archive but {found[0]}, so nothing was read; {found[1]}"
        )
    images, labels = (_array(path, content, name) for name in ("images", "labels"))
    _check_shapes(path, images, labels, schema)
    _check_pixels(path, images, schema)
    _check_labels(path, labels, schema)
    return shares(images, schema), labels.astype(np.int64)


def write(images: NDArray[np.floating], labels: Labels | None, schema: ImageSchema) -> bytes:
    """Return an archive of images (n, h, w) in [0, 1] that `read` reads; same input, same bytes.

    Args:
        labels: (n,), or None where images have none: then the archive has no array of them.
    """
    arrays = {"images": pixels(images, schema).astype(np.min_scalar_type(schema.largest))}
    if labels is not None:
        arrays["labels"] = labels.astype(np.min_scalar_type(len(schema.labels) - 1))
    return packed(**arrays)


def packed(**arrays: NDArray[Any]) -> bytes:
    """Return arrays as an archive; same input, same bytes."""
    file = io.BytesIO()
    # NumPy stamps every member with 1 January 1980, so no clock enters.
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def pixels(images: NDArray[np.floating], schema: ImageSchema) -> NDArray[np.int64]:
    """Return the whole pixel values nearest to images in [0, 1]."""
    return np.rint(images.astype(np.float64) * schema.largest).astype(np.int64)


def shares(values: NDArray[Any], schema: ImageSchema) -> Images:
    """Return pixel value / largest as float32; `pixels` undoes it."""
    return values.astype(np.float32) / np.float32(schema.largest)


def _array(path: Path | str, content: bytes, name: str) -> NDArray[Any]:
    """One array of an archive; its checksum is tested, no object is ever made of it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [member.removesuffix(".npy") for member in archive.namelist()]
            member = io.BytesIO(archive.read(f"{name}.npy") if name in names else b"")
        if name in names:
            header = _header(member)
            if not header[2].hasobject:
                return _values(member, *header)
    except _DAMAGE as error:
        raise DataError(
            f"{path}: not a sound NPZ archive ({error or type(error).__name__}), so nothing was "
            "read; write it with numpy.savez_compressed(path, images=..., labels=...)"
        ) from None
    if name in names:
        raise DataError(
            f"{path}: the array {name!r} holds objects instead of numbers, as of images of mixed "
            "sizes, so nothing was read; bring all images to one size and save one array (n, h, w)"
        )
    raise DataError(
        f"{path}: the archive has no array {name!r}, it has {listing(names) or 'none'}, so nothing "
        "was read; write it with numpy.savez_compressed(path, images=..., labels=...)"
    )


def _header(member: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, column-major order and type that an NPY member declares."""
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(member)
    if version not in read_header:
        raise ValueError(f"NPY version {version}")
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read_header[version](member)
    return header


def _values(
    member: io.BytesIO, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any]
) -> NDArray[Any]:
    data = member.read()
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes are no array {shape} of {dtype}")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _check_shapes(
    path: Path | str, images: NDArray[Any], labels: NDArray[Any], schema: ImageSchema
) -> None:
    size = (schema.height, schema.width)
    for name, array in (("images", images), ("labels", labels)):
        if array.dtype.kind not in "biuf":
            raise DataError(
                f"{path}: the array {name!r} holds {array.dtype} instead of numbers, so nothing "
                f"was read; save whole numbers{_counted(schema) if name == 'labels' else ''}"
            )
    if images.ndim == 4 and size in (images.shape[1:3], images.shape[2:]):
        raise DataError(
            f"{path}: `images` has shape {images.shape}, images of several channels, but schema "
            f"{schema.name!r} has grey ones, so nothing was read; save (n, {size[0]}, {size[1]}), "
            "for colours their mean or one of them"
        )
    if images.ndim != 3 or images.shape[1:] != size:
        raise DataError(
            f"{path}: `images` has shape {images.shape}, but schema {schema.name!r} has images of "
            f"{size[0]} x {size[1]}, so nothing was read; save (n, {size[0]}, {size[1]}), or "
            "correct height and width in the schema"
        )
    if labels.shape == (len(images), len(schema.labels)):
        raise DataError(
            f"{path}: `labels` has shape {labels.shape}, a column for each label, so nothing was "
            f"read; save the label's place instead, ({len(images)},), as labels.argmax(axis=1) has"
        )
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: {len(images)} images came with labels of shape {labels.shape}, so nothing "
            f"was read; give one label each, ({len(images)},)"
        )
    if not len(images):
        raise NoRecords(f"{path}: the file holds no images, so this silo has no records; fill it")


def _counted(schema: ImageSchema) -> str:
    return f", from 0 in the order {listing(schema.labels)}"


def _check_pixels(path: Path | str, images: NDArray[Any], schema: ImageSchema) -> None:
    good = (images >= 0) & (images <= schema.largest)
    if images.dtype.kind == "f":
        good &= np.rint(images) == images
    bad = np.flatnonzero(~good.all(axis=(1, 2)))
    if bad.size:
        value = images[bad[0]][~good[bad[0]]][0]
        mend = "save pixel values in that range, or correct `largest` in the schema"
        if ((images >= 0) & (images <= 1)).all():
            mend = f"save whole numbers: these shares times {schema.largest}, rounded"
        raise DataError(
            f"{path}: image {bad[0]} (of {len(images)}, from 0) and {bad.size - 1} more have "
            f"pixels such as {value}, which is not a whole number from 0 to {schema.largest}, so "
            f"nothing was read; {mend}"
        )


def _check_labels(path: Path | str, labels: NDArray[Any], schema: ImageSchema) -> None:
    last = len(schema.labels) - 1
    bad = np.flatnonzero(~((labels >= 0) & (labels <= last) & (labels % 1 == 0)))
    if bad.size:
        raise DataError(
            f"{path}: image {bad[0]} (of {len(labels)}, from 0) and {bad.size - 1} more have "
            f"labels such as {labels[bad[0]]}, which is not a whole number from 0 to {last} "
            f"({listing(schema.labels)}), so nothing was read; correct the label, or `labels` in "
            "the schema"
        )
