"""Take slant and size out of each image, and put them back: a public map of one image.

The moments of an image's own brightness say how slanted, wide and high its picture is. The picture
is resampled so that it is upright and has a public width and height; slant, log width and log
height become three numbers. Pictures that differ in those alone then coincide, which leaves less
variation to be learned from noisy statistics. (Moment normalisation of characters: Casey 1970.)

Coordinates run from -1 to 1 between the edges of the image, x to the right, y downwards; the map

    upright(x, y) = image(width x + slant height y, height y)

keeps the centre of the image. Between pixels images are linear, outside they are black (0).

Guarantee:
    An image's parameters and its upright picture depend on that image and on constants of this
    module alone, to the last bit; so one record more or less changes no other record's vector.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Images = NDArray[np.float32]

PARAMETERS = 3
# Public constants, fixed in advance: standard deviations of an upright picture (a glyph that fills
# 70 % of the height, and less of the width), and how far images may be from them.
WIDTH, HEIGHT = 0.25, 0.4
LOWEST = (-1.0, math.log(0.2), math.log(0.4))
HIGHEST = (1.0, math.log(2.0), math.log(2.0))

_LEAST_BRIGHTNESS = 1e-3  # of all pixels together; below it there is no picture to measure
_LEAST_VARIANCE = 1e-4  # of a line that is exactly level


def largest_norm() -> float:
    """Return the largest L2 norm that the three parameters of an image can have."""
    return math.hypot(*(max(-low, high) for low, high in zip(LOWEST, HIGHEST, strict=True)))


def normalise(images: NDArray[np.floating]) -> tuple[Images, Array]:
    """Return the upright pictures of images, and what was taken out of them.

    Args:
        images: (n, h, w) in [0, 1].

    Returns:
        (pictures, parameters): (n, h, w) in [0, 1]; (n, 3) slant, log of width / WIDTH and log of
        height / HEIGHT, within LOWEST and HIGHEST; zeros for a black image.
    """
    parameters = _measure(images)
    slant, (width, height) = parameters[:, 0], np.exp(parameters[:, 1:].T)
    return _resample(images, width, slant * height, height), parameters


def restore(images: NDArray[np.floating], parameters: Array) -> Images:
    """Give upright pictures (n, h, w) slant and size back; inverse of `normalise`.

    Args:
        parameters: (n, 3) finite reals, moved into LOWEST ... HIGHEST.
    """
    allowed = np.clip(parameters, LOWEST, HIGHEST)
    slant, (width, height) = allowed[:, 0], np.exp(allowed[:, 1:].T)
    return _resample(images, 1 / width, -slant / width, 1 / height)


def _measure(images: NDArray[np.floating]) -> Array:
    """Slant, log width and log height (n, 3) from the second moments of brightness."""
    _, rows, columns = images.shape
    down, across = _powers(rows), np.ascontiguousarray(_powers(columns).T)
    # One product per image, of fixed size: see `dpfedsyn.images.dct.coefficients`.
    moments = down @ np.ascontiguousarray(images, dtype=np.float64) @ across
    brightness = moments[:, 0, 0]
    lit = brightness > _LEAST_BRIGHTNESS
    moments = moments / np.where(lit, brightness, 1.0)[:, None, None]
    x, y = moments[:, 0, 1], moments[:, 1, 0]
    xx, xy = moments[:, 0, 2] - x * x, moments[:, 1, 1] - x * y
    yy = np.maximum(moments[:, 2, 0] - y * y, _LEAST_VARIANCE)
    slant = np.clip(xy / yy, LOWEST[0], HIGHEST[0])
    upright = np.maximum(xx - 2 * slant * xy + slant * slant * yy, _LEAST_VARIANCE)
    width, height = np.log(np.sqrt(upright) / WIDTH), np.log(np.sqrt(yy) / HEIGHT)
    found = np.clip(np.stack([slant, width, height], axis=1), LOWEST, HIGHEST)
    return np.where(lit[:, None], found, 0.0)


def _places(side: int) -> Array:
    """Coordinates of the centres of a row's pixels, (side,)."""
    return (2 * np.arange(side) + 1) / side - 1


def _powers(side: int) -> Array:
    """Powers 0, 1 and 2 of the coordinates, (3, side)."""
    return _places(side) ** np.arange(3)[:, None]


def _resample(images: NDArray[np.floating], across: Array, slant: Array, down: Array) -> Images:
    """Return images whose (x, y) shows what was at (across x + slant y, down y); factors (n,).

    Because the second coordinate depends on y alone, this is one interpolation down and then one
    across, together bilinear.
    """
    y, x = _places(images.shape[1]), _places(images.shape[2])
    rows = _interpolate(images.astype(np.float32), (down[:, None] * y)[:, :, None], axis=1)
    at = across[:, None, None] * x + (slant[:, None] * y)[:, :, None]
    # Rounding may leave [0, 1] by a last bit.
    return np.clip(_interpolate(rows, at, axis=2), 0, 1)


def _interpolate(images: Images, at: Array, axis: int) -> Images:
    """Values at coordinates of one axis, linear between centres of pixels, 0 outside."""
    side = images.shape[axis]
    place = (at + 1) * (side / 2) - 0.5
    below = np.floor(place)
    share = (place - below).astype(np.float32)
    border = [(0, 0)] * 3
    border[axis] = (1, 1)
    padded = np.pad(images, border)
    first, second = (
        np.take_along_axis(padded, np.clip(below + k, 0, side + 1).astype(np.intp), axis)
        for k in (1, 2)
    )
    values: Images = first * (1 - share) + second * share
    return values
