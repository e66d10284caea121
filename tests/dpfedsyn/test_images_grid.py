"""The picture of pictures, read back pixel by pixel."""

import io
import struct
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from dpfedsyn.images.grid import LEAST_WIDTH, grid


def read_back(png: bytes) -> np.ndarray:
    """Brightness of every pixel, (height, width) in [0, 1]; the PNG must be grey and opaque."""
    pixels: np.ndarray = imread(io.BytesIO(png))
    assert np.ptp(pixels[:, :, :3], axis=2).max() == 0
    assert (pixels[:, :, 3:] == 1).all()
    return pixels[:, :, 0]


def chunks(png: bytes) -> set[str]:
    """Names of a PNG's parts, checksums tested."""
    names, at = set(), 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        body = png[at + 4 : at + 8 + length]
        assert zlib.crc32(body).to_bytes(4) == png[at + 8 + length : at + 12 + length]
        names.add(body[:4].decode())
        at += 12 + length
    return names


@given(
    st.integers(2, 9), st.integers(2, 9), st.integers(1, 4), st.integers(1, 12), st.integers(0, 20),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_every_place_shows_its_image(
    height: int, width: int, rows: int, columns: int, n: int, seed: int
) -> None:
    """Row k holds the first images of label k in order, then grey; every pixel a whole square."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 2, (n, height, width)), rng.integers(0, rows, n)
    png = grid(images.astype(np.float32), labels, tuple("abcd")[:rows], columns)
    pixels = read_back(png)
    small = (rows * (height + 1) + 1, columns * (width + 1) + 1)
    factor = pixels.shape[1] // small[1]
    assert pixels.shape == (small[0] * factor, small[1] * factor)
    assert LEAST_WIDTH <= pixels.shape[1] < LEAST_WIDTH + small[1]
    once = pixels[::factor, ::factor]
    assert np.array_equal(np.kron(once, np.ones((factor, factor))), pixels)
    seen = np.full(small, 128 / 255)
    for row in range(rows):
        for column, image in enumerate(images[labels == row][:columns]):
            top, left = row * (height + 1) + 1, column * (width + 1) + 1
            seen[top : top + height, left : left + width] = image
    np.testing.assert_allclose(once, seen, atol=1e-6)


def test_brightness_is_kept_to_one_of_256_levels() -> None:
    """A ramp comes back, whatever its extremes: matplotlib rounds down to a level of 256 and shows
    level k as k / 255, which is 1 / 128 off at most."""
    ramp = np.linspace(0.2, 0.7, 64, dtype=np.float32).reshape(1, 8, 8)
    pixels = read_back(grid(ramp, np.array([0]), ("a",), 1))
    factor = pixels.shape[1] // 10
    np.testing.assert_allclose(pixels[::factor, ::factor][1:-1, 1:-1], ramp[0], atol=1 / 128)


def test_a_grid_holds_pixels_and_nothing_else() -> None:
    """Same input, same bytes: neither a date nor a version is stored."""
    images, labels = np.zeros((3, 4, 4)), np.array([0, 0, 1])
    png = grid(images, labels, ("a", "b"))
    assert png == grid(images, labels, ("a", "b"))
    assert chunks(png) <= {"IHDR", "pHYs", "IDAT", "IEND"}
