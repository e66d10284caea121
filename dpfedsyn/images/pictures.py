"""Read a silo's images from a folder: a folder per label, a picture file per image.

Errors name files. They are for the owner of the folder and never leave the silo.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from dpfedsyn.columns import listing
from dpfedsyn.errors import DataError
from dpfedsyn.images.archive import Images, Labels, shares
from dpfedsyn.images.schema import ImageSchema

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm")
EIGHT_BITS = 255


def read(folder: Path, schema: ImageSchema) -> tuple[Images, Labels, tuple[str, ...]]:
    """Read every picture below FOLDER/LABEL, as grey values of eight bits.

    Returns:
        (images, labels, ids): (n, h, w) in [0, 1]; (n,) in 0 .. labels - 1; paths below the
        folder, which stay what they are when other pictures come or go.

    Raises:
        DataError: a folder is no public label, a file is no picture or of another size, there are
            none. ConfigError: of the schema. Names the file and the mend.
    """
    if schema.largest != EIGHT_BITS:
        raise DataError(
            f"{folder}: picture files have grey values from 0 to {EIGHT_BITS}, the schema's "
            f"`largest` is {schema.largest}, so nothing was read; set largest = {EIGHT_BITS}, or "
            "give an NPZ archive"
        )
    images, labels, ids = [], [], []
    for place in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        if place.name not in schema.labels:
            raise DataError(
                f"{place}: {place.name!r} is not among the public labels "
                f"{listing(schema.labels)}, so nothing was read; rename the folder, or add the "
                "label to the schema"
            )
        for path in sorted(f for f in place.iterdir() if f.suffix.lower() in ENDINGS):
            images.append(_picture(path, schema))
            labels.append(schema.labels.index(place.name))
            ids.append(path.relative_to(folder).as_posix())
    if not images:
        raise DataError(
            f"{folder}: no pictures below it, so this silo has no records; put them into a folder "
            f"per label ({listing(schema.labels)})"
        )
    return shares(np.stack(images), schema), np.array(labels, dtype=np.int64), tuple(ids)


def _picture(path: Path, schema: ImageSchema) -> np.ndarray:
    """One picture's grey values (h, w)."""
    try:
        with Image.open(path) as picture:
            grey = np.asarray(picture.convert("L"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"{path}: not a picture that can be read ({error}), so nothing was read; remove or "
            "mend the file"
        ) from None
    if grey.shape != (schema.height, schema.width):
        raise DataError(
            f"{path}: {grey.shape[0]} x {grey.shape[1]} pixels, the schema has "
            f"{schema.height} x {schema.width}, so nothing was read; bring all pictures to that "
            "size, or correct height and width in the schema"
        )
    return grey
