"""How the coordinates of a vector make an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.images import dct


@dataclass(frozen=True, eq=False)
class Geometry:
    """The linear part of an image encoding.

    Args:
        height: sides h and w of the images, in pixels.
        width: sides h and w of the images, in pixels.
        basis: (d, h * w) the picture that each coordinate adds, row-major. Orthonormal rows, the
            lowest frequencies of `dpfedsyn.images.dct`, except for coordinates that move pixels
            instead of adding to them: those come last, as zeros.
        waves: whether they are frequencies. False: a coordinate is a pixel.
    """

    height: int
    width: int
    basis: NDArray[np.float64]
    waves: bool = True

    @property
    def frequencies(self) -> int:
        """Number of coordinates that add a picture."""
        return int(self.basis.any(axis=1).sum())

    def smallest(self) -> Geometry:
        """Return the same coordinates on the smallest grid of even sides that holds them all.

        A picture without high frequencies needs few pixels: 100 of 28 x 28 fit into 12 x 12, with
        the same lengths and angles, at a fifth of the work. Pixels stay, on sides made even.
        """
        if not self.waves:
            return self._evened()
        u, v = dct.lowest(self.height, self.width, self.frequencies)
        height, width = (_even(int(side.max()) + 1) for side in (u, v))
        basis = np.zeros((len(self.basis), height * width))
        basis[: self.frequencies] = dct.pictures(height, width, u, v)
        return Geometry(height, width, basis)

    def _evened(self) -> Geometry:
        height, width = _even(self.height), _even(self.width)
        basis = np.zeros((len(self.basis), height, width))
        basis[:, : self.height, : self.width] = self.basis.reshape(-1, self.height, self.width)
        return Geometry(height, width, basis.reshape(-1, height * width), waves=False)


def _even(side: int) -> int:
    return side + side % 2
