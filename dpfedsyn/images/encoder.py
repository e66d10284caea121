"""Map images to vectors and back, by the public schema alone.

    vector = scale * (lowest frequencies of (pixel value / largest - grey))

or, with `basis = "pixels"`, scale * (pixel value / largest - grey) itself, which loses nothing.

With `canonical`, the frequencies are those of the upright picture (see
`dpfedsyn.images.canonical`), and scale * pose * (slant, log width, log height) come after them.

Guarantee:
    An image's vector depends on that image and the schema alone, to the last bit; no mean, range or
    basis is taken from records (privacy by composition needs this: preprocessing is a function of
    one record). Every vector has L2 norm at most `ImageEncoder.radius`, a public number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpfedsyn.data import Records, Synthetic, checked
from dpfedsyn.errors import DataError
from dpfedsyn.images import archive, canonical, dct, pictures
from dpfedsyn.images.geometry import Geometry
from dpfedsyn.images.grid import grid
from dpfedsyn.images.schema import PIXELS, ImageSchema
from dpfedsyn.images.warp import warped

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]

UNLABELLED = "any"
MIDDLE = 0.45  # the grey that contrast leaves as it is, nearly
_AT_ONCE = 2048  # images; bounds the memory that a large file needs


@dataclass(frozen=True)
class ImageEncoder:
    """Encoding and decoding for one schema of images.

    Args:
        conditional: vectors belong to labels. Without it all of them have the one label UNLABELLED,
            and the true ones serve the evaluation only (`Records.groups`).
    """

    schema: ImageSchema
    conditional: bool = True

    @property
    def dimension(self) -> int:
        """Number d of coordinates."""
        return self.schema.frequencies + canonical.PARAMETERS * self.schema.canonical

    @property
    def numbers(self) -> tuple[()]:
        """No columns."""
        return ()

    @property
    def still(self) -> ImageEncoder:
        """The same encoder, but decoded pictures are not moved."""
        return replace(self, schema=replace(self.schema, warp=0.0))

    @property
    def labels(self) -> tuple[str, ...]:
        """Public label names."""
        return self.schema.labels if self.conditional else (UNLABELLED,)

    @property
    def digest(self) -> str:
        """What a ledger binds: the schema's digest."""
        return self.schema.digest

    @property
    def two_valued(self) -> NDArray[np.float64]:
        """NaN, shape (d, 2): no coordinate takes two values only."""
        return np.full((self.dimension, 2), np.nan)

    @cached_property
    def radius(self) -> float:
        """An L2 norm that no float32 vector of `encode` exceeds: that of a black or white image."""
        schema = self.schema
        norm = math.sqrt(schema.height * schema.width) * max(schema.grey, 1 - schema.grey)
        if schema.canonical:
            norm = math.hypot(norm, schema.pose * canonical.largest_norm())
        # Each coordinate is rounded to float32, a relative error of 2^-24 at most.
        return schema.scale * norm * (1 + 2.0**-23)

    @cached_property
    def geometry(self) -> Geometry:
        """The picture that each coordinate adds, zeros for slant and size."""
        schema = self.schema
        if schema.basis == PIXELS:
            return Geometry(schema.height, schema.width, np.eye(self.dimension), waves=False)
        pictures = np.zeros((self.dimension, schema.height * schema.width))
        pictures[: schema.frequencies] = dct.basis(schema.height, schema.width, schema.frequencies)
        return Geometry(schema.height, schema.width, pictures)

    @cached_property
    def spectrum(self) -> NDArray[np.float64]:
        """Public relative variances (d,): 1 / (1 + 8 f) at f half waves per pixel.

        Pictures of strokes lose power with frequency about so; only the shape matters, since the
        level is fitted. The coordinates of the pose get the power of f = 1/2. Pixels are all alike.
        """
        schema = self.schema
        if schema.basis == PIXELS:
            return np.ones(self.dimension)
        u, v = dct.lowest(schema.height, schema.width, schema.frequencies)
        frequency = np.hypot(u / schema.height, v / schema.width)
        pose = np.full(canonical.PARAMETERS * schema.canonical, 0.5)
        return 1.0 / (1.0 + 8.0 * np.concatenate([frequency, pose]))

    def encode(self, images: NDArray[np.floating]) -> Floats:
        """Encode images (n, h, w) in [0, 1] to vectors (n, d), each by itself.

        Raises:
            DataError: another shape, or a value that is not in [0, 1].
        """
        self._check(images)
        x = np.empty((len(images), self.dimension), dtype=np.float32)
        for piece in _pieces(len(images)):
            x[piece] = self.schema.scale * self._unscaled(images[piece])
        return x

    def read(self, path: Path, *, silo: str = "") -> Records:
        """Read and encode a silo's archive, or its folder of pictures.

        See `dpfedsyn.images.archive.read` and `dpfedsyn.images.pictures.read`. The place of an
        image in its archive, from 0, is its id; of a picture, its path below the folder.

        Args:
            silo: name that enters the keyed hashes.
        """
        if path.is_dir():
            images, labels, ids = pictures.read(path, self.schema)
        else:
            images, labels = archive.read(path, self.schema)
            ids = tuple(str(place) for place in range(len(images)))
        plain = _flat(images)
        groups = {"label": np.array(self.schema.labels, dtype=object)[labels]}
        known = labels if self.conditional else np.zeros_like(labels)
        return Records(self.encode(images), known, ids, silo, plain, groups)

    def decode(self, x: ArrayLike, y: ArrayLike) -> Synthetic:
        """Decode vectors to images of whole pixel values, and encode those again.

        Args:
            x: (n, d) finite reals.
            y: (n,) labels in 0 .. labels - 1.

        Returns:
            The images, as an archive (".npz") and as a grid of the first of each label (".png").

        Raises:
            DataError: wrong shape, a value that is not finite, or an unknown label.
        """
        vectors, labels = checked(x, y, self.dimension, self.labels, self.schema.name)
        schema = self.schema
        images = np.empty((len(vectors), schema.height, schema.width), dtype=np.float32)
        for piece in _pieces(len(vectors)):
            pictures = self._pictures(vectors[piece])
            images[piece] = warped(pictures, schema.warp, piece.start)
        images = archive.shares(archive.pixels(images, schema), schema)
        files = {
            ".npz": archive.write(images, labels if self.conditional else None, schema),
            ".png": grid(images, labels, self.labels),
        }
        plain = _flat(images)
        return Synthetic(self.encode(images), labels, plain, files)

    def _unscaled(self, images: NDArray[np.floating]) -> NDArray[np.float64]:
        schema = self.schema
        if schema.basis == PIXELS:
            return _centred(images, schema).reshape(len(images), self.dimension)
        if not schema.canonical:
            return dct.coefficients(_centred(images, schema), schema.frequencies)
        upright, parameters = canonical.normalise(images)
        kept = dct.coefficients(_centred(upright, schema), schema.frequencies)
        return np.hstack([kept, schema.pose * parameters])

    def _pictures(self, vectors: NDArray[np.float64]) -> Floats:
        """Images in [0, 1] of vectors; inverse of encoding, as far as frequencies are kept."""
        schema = self.schema
        # No image has a longer coordinate; without this, huge ones would overflow to NaN.
        unscaled = np.clip(vectors, -self.radius, self.radius) / schema.scale
        pictures = np.clip(schema.grey + unscaled @ self.geometry.basis, 0, 1)
        if schema.contrast:
            pictures = 1.0 / (1.0 + np.exp(-schema.contrast * (pictures - MIDDLE)))
        images = pictures.astype(np.float32).reshape(-1, schema.height, schema.width)
        if not schema.canonical:
            return images
        return canonical.restore(images, unscaled[:, schema.frequencies :] / schema.pose)

    def _check(self, images: NDArray[np.floating]) -> None:
        size = (self.schema.height, self.schema.width)
        if images.ndim != 3 or images.shape[1:] != size:
            raise DataError(
                f"images have shape {images.shape}, so they cannot be encoded; schema "
                f"{self.schema.name!r} needs (images, {size[0]}, {size[1]})"
            )
        bad = np.flatnonzero(~((images >= 0) & (images <= 1)).all(axis=(1, 2)))
        if bad.size:
            raise DataError(
                f"image {bad[0]} (from 0) and {bad.size - 1} more hold values outside [0, 1], so "
                "nothing was encoded; divide pixel values by the largest"
            )


def _flat(images: Floats) -> Floats:
    """Images as rows of pixels; also where there are none."""
    return images.reshape(len(images), images.shape[1] * images.shape[2])


def _centred(images: NDArray[np.floating], schema: ImageSchema) -> NDArray[np.float64]:
    return images.astype(np.float64) - schema.grey


def _pieces(n: int) -> Iterator[slice]:
    """Cut 0 ... n - 1 into slices."""
    return (slice(start, start + _AT_ONCE) for start in range(0, n, _AT_ONCE))
