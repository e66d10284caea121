"""The lowest frequencies of images: an orthonormal two-dimensional cosine transform (DCT-II).

Ahmed, Natarajan and Rao (1974). Keeping the lowest frequencies is a low-pass filter that knows no
record; natural and drawn images have most of their energy there.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

Array = NDArray[np.float64]
Places = NDArray[np.int64]


def basis(height: int, width: int, frequencies: int) -> Array:
    """Return the pictures of the lowest frequencies as orthonormal rows.

    Args:
        frequencies: number r of rows, 1 to height * width.

    Returns:
        (r, height * width), row-major pixels; a constant picture first.
    """
    return pictures(height, width, *lowest(height, width, frequencies))


def pictures(height: int, width: int, u: Places, v: Places) -> Array:
    """Return orthonormal pictures (r, height * width) of u half waves down and v across, (r,).

    u < height and v < width: a picture of one size and that of another have the same half waves.
    """
    waves = _waves(height)[u][:, :, None] * _waves(width)[v][:, None, :]
    return waves.reshape(len(u), height * width)


def lowest(height: int, width: int, frequencies: int) -> tuple[Places, Places]:
    """Return (u, v), half waves down and across, by (u / height)^2 + (v / width)^2, then (u, v)."""
    u, v = np.divmod(np.arange(height * width), width)
    # In whole numbers, so that equal frequencies are found equal.
    order = np.lexsort((v, u, (u * width) ** 2 + (v * height) ** 2))[:frequencies]
    return u[order], v[order]


def coefficients(images: NDArray[np.floating], frequencies: int) -> Array:
    """Transform images (n, h, w) to (n, r): their products with the rows of `basis`.

    Each image is a matrix product of its own and of fixed size. One product for all images would
    be faster, but BLAS orders its sums by the number of rows, and then the last bits of a record's
    vector depended on how many other records there are.
    """
    _, height, width = images.shape
    u, v = lowest(height, width, frequencies)
    across = np.ascontiguousarray(_waves(width).T)
    spectrum = _waves(height) @ np.ascontiguousarray(images, dtype=np.float64) @ across
    return np.ascontiguousarray(spectrum[:, u, v])


@lru_cache(maxsize=8)
def _waves(side: int) -> Array:
    """The one-dimensional transform (side, side): one half wave more in each row."""
    waves: Array = dct(np.eye(side), norm="ortho", axis=0)
    waves.setflags(write=False)
    return waves
