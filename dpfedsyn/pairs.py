"""Images with their labels, as a program has them: arrays, or a data set that yields pairs.

Errors name records. They are for their owner and never leave the silo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from dpfedsyn.errors import DataError

_PAIRS = (
    "give (images (n, h, w), labels (n,)), or a data set with a length that yields pairs of an "
    "image and a whole number"
)


def arrays(where: str, given: Any) -> tuple[Any, Any]:
    """Return images and labels of a pair of arrays, or of a data set that yields pairs.

    Args:
        where: of whose data set it is, for messages. given: (images, labels), or something with a
            length and places from 0, as torch's and Hugging Face's data sets are: each record an
            image and a label, or a mapping with both.

    Returns:
        (images, labels): numbers (n, h, w) and (n,), which the reader of archives checks further.

    Raises:
        DataError: the first record that is no image with a label, or all of it.
    """
    if isinstance(given, tuple) and len(given) == 2:
        return _array(f"{where}, images", given[0]), _array(f"{where}, labels", given[1])
    if isinstance(given, pd.DataFrame) or not hasattr(given, "__getitem__"):
        raise DataError(
            f"{where}: {type(given).__name__} is not images and labels, so nothing was run; "
            f"{_PAIRS}"
        )
    images, labels = [], []
    for place in range(_length(where, given)):
        record = f"{where}, record {place} (from 0)"
        image, label = _pair(record, given, place)
        images.append(_array(f"{record}, image", image).squeeze())
        labels.append(_label(record, label))
        if images[-1].shape != images[0].shape:
            raise DataError(
                f"{record}: an image of {images[-1].shape}, where the first is {images[0].shape}, "
                "so nothing was run; bring all images to the schema's size"
            )
        if (images[-1].dtype.kind == "f") != (images[0].dtype.kind == "f"):
            raise DataError(
                f"{record}: an image of {images[-1].dtype}, where the first is of "
                f"{images[0].dtype}: floats are shares from 0 to 1 and integers pixel values, so "
                "nothing was run; give all images as one kind of number"
            )
    return np.array(images), np.array(labels, dtype=np.int64)


def _length(where: str, given: Any) -> int:
    try:
        return len(given)
    except TypeError:
        raise DataError(
            f"{where}: {type(given).__name__} has no length, so it is not known where it ends "
            f"and nothing was run; {_PAIRS}"
        ) from None


def _pair(where: str, given: Any, place: int) -> tuple[Any, Any]:
    """One record of a data set; whatever its own code raises becomes one error with the place."""
    try:
        record = given[place]
        if isinstance(record, Mapping):  # as Hugging Face's data sets have them
            return record["image"], record["label"]
        image, label = record
    except Exception as error:
        raise DataError(
            f"{where}: not images and labels ({type(error).__name__}: {error}), so nothing was "
            f"run; {_PAIRS}"
        ) from error
    return image, label


def _array(where: str, values: Any) -> Any:
    """Numbers of an array, a tensor, a picture or nested lists."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where}: makes no array ({error}), so nothing was run; {_PAIRS}"
        ) from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: {array.dtype} instead of numbers, so nothing was run; {_PAIRS}")
    return array


def _label(where: str, label: Any) -> int:
    array = _array(f"{where}, label", label)
    if array.size != 1 or not float(array.item()).is_integer():
        raise DataError(
            f"{where}: the label {label!r} is no whole number, so nothing was run; give the place "
            "of the label in the schema, from 0"
        )
    return int(array.item())
