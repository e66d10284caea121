"""How the coordinates of a vector make an image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Geometry:
    """The linear part of an image encoding.

    Args:
        height, width: sides h and w of the images, in pixels.
        basis: (d, h * w) the picture that each coordinate adds, row-major. Orthonormal rows, except
            for coordinates that move pixels instead of adding to them: those come last, as zeros.
    """

    height: int
    width: int
    basis: NDArray[np.float64]
