"""What a program hands over: frames, arrays, data sets of torch and of Hugging Face."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from dpfedsyn import handed
from dpfedsyn.domain import Encoder
from tests.bad_input.case import ARCHIVE, TABLE, Case
from tests.bad_input.parquet import FRAME

IMAGE = np.zeros((3, 4))


class Items(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """A data set that yields these, and raises those that are errors."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, place: int) -> Any:
        if isinstance(self.items[place], Exception):
            raise self.items[place]
        return self.items[place]


class Remote:
    """A data set of Hugging Face's kind whose table cannot be made."""

    def to_pandas(self) -> pd.DataFrame:
        raise RuntimeError("a column of features that nobody knows")


def over(given: Callable[[], Any], encoder: Encoder, *said: str, mend: str) -> Case:
    """Records that are handed over in Python as those of silo `a`."""

    def read(folder: Path) -> object:
        return handed.written({"a": given()}, encoder, folder / "records")

    return Case(lambda folder: folder, read, said, mend)


def frame(*said: str, mend: str, **changed: Any) -> Case:
    """A frame with some columns changed."""
    return over(lambda: FRAME.assign(**changed), TABLE, "silo a", *said, mend=mend)


def table(given: Any, *said: str, mend: str) -> Case:
    """Something else for a table."""
    return over(lambda: given, TABLE, "silo a", *said, mend=mend)


def images(given: Any, *said: str, mend: str) -> Case:
    """Something for images."""
    return over(lambda: given, ARCHIVE, "silo a", *said, mend=mend)


CASES = {
    "a frame of mixed types": frame(
        "row 2, column age", "'forty'", mend="correct the cell", age=[40, "forty"]
    ),
    "a frame of dates": frame(
        "row 1, column age", "looks like a date", mend="correct the cell",
        age=pd.to_datetime(["1980-03-12", "1981-03-12"]),
    ),
    "a frame of lists": frame(
        "row 1, column age", "several values at once", mend="one number or text a row",
        age=[[1, 2], [3]],
    ),
    "a frame of arrays": frame(
        "row 1, column age", "several values at once", mend="one number or text a row",
        age=[np.zeros(2), np.zeros(3)],
    ),
    "a frame of complex numbers": frame(
        "row 1, column age", "'1j' is not a finite number", mend="correct the cell", age=[1j, 2j]
    ),
    "a frame of truth values": frame(
        "row 1, column outcome", "'1' is not among", mend="add the value", outcome=[True, False]
    ),
    "a frame of codes": frame(
        "row 2, column ward", "'2' is not among", mend="add the value", ward=["north", 2]
    ),
    "half a character in a frame": frame(
        "row 1, column comment", "half a character", mend="one number or text a row",
        comment=pd.Series(["\ud800", "x"], dtype=object),
    ),
    "long ids as floats": frame(
        "row 1, column patient", "9007199254740992 is a float", mend="read the column as text",
        patient=[2.0**53, 2.0**53 + 2],
    ),
    "a column twice in a frame": table(
        pd.concat([FRAME, FRAME[["age"]]], axis=1), "column age", "2 columns have this name",
        mend="keep one of them",
    ),
    "columns of two levels": table(
        pd.concat({"clinic": FRAME}, axis=1), "'age' appears 0 times", mend="known are"
    ),
    "an index for a column": table(
        FRAME.set_index("patient"), "'patient' appears 0 times", mend="An index is no column"
    ),
    "columns by number": table(
        FRAME.rename(columns={"age": 3}), "'age' appears 0 times", mend="known are patient, 3"
    ),
    "a series for a table": table(FRAME["age"], "Series is no table", mend="give a pandas frame"),
    "an array for a table": table(FRAME.to_numpy(), "ndarray", mend="give a pandas frame"),
    "all splits of a data set": table(
        {"train": FRAME}, "dict is no table", mend="give one of its splits"
    ),
    "a data set that makes no table": table(
        Remote(), "RuntimeError: a column of features", mend="give a pandas frame or a file"
    ),
    "a silo's name that leads away": Case(
        lambda folder: folder,
        lambda folder: handed.written({"../a": FRAME}, TABLE, folder / "records"),
        ("'../a'",), "use letters, digits, - and _",
    ),
    "a frame for images": images(FRAME, "DataFrame", mend="give (images (n, h, w), labels (n,))"),
    "a generator for a data set": images(
        (item for item in [(IMAGE, 0)]), "generator", mend="a data set with a length"
    ),
    "three things a record": images(
        Items((IMAGE, 0), (IMAGE, 0, 1)), "record 1 (from 0)", mend="pairs of an image"
    ),
    "images alone": images(Items(IMAGE), "record 0 (from 0)", mend="pairs of an image"),
    "records of other keys": images(
        Items({"pixels": IMAGE, "label": 0}), "record 0 (from 0)", "KeyError: 'image'",
        mend="pairs of an image",
    ),
    "a record that cannot be loaded": images(
        Items((IMAGE, 0), OSError("the disk is gone")), "record 1 (from 0)", "the disk is gone",
        mend="give (images",
    ),
    "images of mixed sizes": images(
        Items((IMAGE, 0), (np.zeros((4, 4)), 1)), "record 1 (from 0)", "(4, 4)",
        mend="bring all images to the schema's size",
    ),
    "no image": images(Items((None, 0)), "record 0 (from 0), image", mend="give (images"),
    "half a label": images(
        Items((IMAGE, 0.5)), "record 0 (from 0)", "0.5", mend="give the place of the label"
    ),
    "two labels": images(
        Items((IMAGE, torch.tensor([0, 1]))), "record 0 (from 0)", mend="give the place"
    ),
    "a label by name": images(
        Items((IMAGE, "plain")), "record 0 (from 0), label", mend="a whole number"
    ),
    "arrays of mixed sizes": images(
        ([[1, 2], [3]], [0, 1]), "images: makes no array", mend="give (images"
    ),
    "an array of objects": images(
        (np.array([None, 1], dtype=object), [0, 1]), "images: object", mend="give (images"
    ),
}  # fmt: skip
