"""From a query's coordinates to those of a brought model, and back.

A record is x_0 = scale * B (u - grey), with u in [0, 1] its pixels and B orthogonal (the identity,
or all frequencies of the cosine transform); a model in pixels was trained on p_0 = low + (high -
low) u. With r = scale / (high - low) and o = low + (high - low) grey

    x_t = sqrt(a) x_0 + sqrt(1 - a) e     is     p_t = k (B^T x_t / r + sqrt(a) o)

at the level a' with a' / (1 - a') = r^2 a / (1 - a), where k = r / sqrt(r^2 a + 1 - a): the same
picture, its noise B^T e of the same law. So the noise that the model predicts, times B, is that of
the query. Where r = 1 and o = 0 (scale = 2, grey = 0.5 for pixels from -1 to 1) and B is the
identity, x_t *is* p_t, to the last bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.domain import Encoder
from dpfedsyn.errors import ModelError
from dpfedsyn.images import ImageEncoder

Array = NDArray[np.float64]
PIXEL_RANGE = (-1.0, 1.0)  # of black and white, as `diffusers` trains


@dataclass(frozen=True, eq=False)
class Coordinates:
    """An affine map that loses nothing.

    Args:
        shape: of one sample as the model takes it. basis: (d, d) orthogonal, B; None: the identity.
        ratio: r. offset: o.
    """

    shape: tuple[int, ...]
    basis: Array | None = None
    ratio: float = 1.0
    offset: float = 0.0

    def level(self, signal: float) -> float:
        """Return a', the model's level where the query's is a."""
        if self.ratio == 1.0:
            return signal
        signal_power = self.ratio**2 * signal
        return signal_power / (signal_power + (1.0 - signal))

    def entered(self, x: Array, signal: float) -> Array:
        """Return p_t (N, *shape) of x_t (N, d)."""
        plain = x if self.basis is None else x @ self.basis
        if self.ratio != 1.0 or self.offset != 0.0:
            factor = self.ratio / math.sqrt(self.ratio**2 * signal + (1.0 - signal))
            plain = factor * (plain / self.ratio + math.sqrt(signal) * self.offset)
        return plain.reshape(len(x), *self.shape)

    def clean(self, x: Array) -> Array:
        """Return p_0, flat (N, d), of records x (N, d)."""
        plain = x if self.basis is None else x @ self.basis
        return plain / self.ratio + self.offset

    def left(self, noise: Array) -> Array:
        """Return the noise e (N, d) in a query's coordinates of that (N, *shape) in the model's."""
        flat = noise.reshape(len(noise), math.prod(self.shape))
        return flat if self.basis is None else flat @ self.basis.T


def of_pixels(
    encoder: Encoder,
    shape: tuple[int, ...],
    where: str,
    ends: tuple[float, float] = PIXEL_RANGE,
) -> Coordinates:
    """Return the map to a model of pictures (1, h, w).

    Args:
        where: what declares the shape, for messages. ends: the model's values of black and white.

    Raises:
        ModelError: the schema describes no pictures, or smaller ones, or its vectors hold less
            than the picture: what a model would make of the rest cannot be asked.
    """
    if not isinstance(encoder, ImageEncoder):
        raise ModelError(
            f"{where}: takes pictures {shape}, but the schema describes a table of "
            f"{encoder.dimension} coordinates; nothing was loaded. Bring a module whose shape is "
            f"[{encoder.dimension}]."
        )
    schema = encoder.schema
    wanted = (1, schema.height, schema.width)
    if shape != wanted:
        raise ModelError(
            f"{where}: takes samples of shape {shape}, the schema {schema.name!r} has pictures "
            f"{wanted} (grey, height, width); nothing was loaded. Bring a model of that shape."
        )
    pixels = schema.height * schema.width
    if schema.canonical or schema.frequencies < pixels:
        lost = (
            "canonical = true moves its pixels"
            if schema.canonical
            else f"frequencies = {schema.frequencies} of {pixels} are kept"
        )
        raise ModelError(
            f"{where}: is a model of pixels, and a query holds less than the picture ([latent] "
            f"{lost}), so it cannot be asked about the rest; nothing was loaded. In the schema "
            'set basis = "pixels", scale = 2 and grey = 0.5 under [latent].'
        )
    span = ends[1] - ends[0]
    basis = None if not encoder.geometry.waves else encoder.geometry.basis
    return Coordinates(shape, basis, ratio=schema.scale / span, offset=ends[0] + span * schema.grey)


def of_vectors(encoder: Encoder, shape: tuple[int, ...], where: str) -> Coordinates:
    """Return the map to a model of encoded records (d,): the identity.

    Raises:
        ModelError: the schema has another number of coordinates.
    """
    if shape != (encoder.dimension,):
        raise ModelError(
            f"{where}: takes samples of shape {shape}, a record of the schema has "
            f"{encoder.dimension} coordinates; nothing was loaded. Declare the shape "
            f"[{encoder.dimension}], and bring a model that was trained on records so encoded."
        )
    return Coordinates(shape)
