"""The cells of a column, each different one once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def distinct(cells: Sequence[object]) -> tuple[NDArray[np.intp], list[object]]:
    """Return which of the different cells each one is (n,), and those, in the order they occur.

    What is read of a cell is a function of that cell alone, so cells that are equal are read once.
    """
    try:
        places = {cell: place for place, cell in enumerate(dict.fromkeys(cells))}
    except TypeError:  # cells that have no hash, such as lists: each is its own
        return np.arange(len(cells)), list(cells)
    return np.fromiter(map(places.__getitem__, cells), np.intp, len(cells)), list(places)
