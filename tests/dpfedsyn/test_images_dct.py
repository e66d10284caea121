"""The low-pass basis: orthonormal, complete, sorted by frequency, best among its pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dctn

from dpfedsyn.images.dct import basis, coefficients, lowest

sides = st.integers(2, 12)


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """A few random images of one size, and a number of frequencies."""
    height, width, n = draw(sides), draw(sides), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.random((n, height, width)), draw(st.integers(1, height * width))


def flat(images: np.ndarray) -> np.ndarray:
    """Images as rows of pixels."""
    return images.reshape(len(images), -1)


@given(cases())
def test_rows_are_orthonormal(case: tuple[np.ndarray, int]) -> None:
    """Any number of the pictures of any size."""
    (_, height, width), r = case[0].shape, case[1]
    rows = basis(height, width, r)
    assert rows.shape == (r, height * width)
    np.testing.assert_allclose(rows @ rows.T, np.eye(r), atol=1e-13)


@given(cases())
def test_all_frequencies_lose_nothing(case: tuple[np.ndarray, int]) -> None:
    """The full basis gives every image back, and keeps its energy (Parseval)."""
    images, (_, height, width) = case[0], case[0].shape
    z = coefficients(images, height * width)
    np.testing.assert_allclose(z @ basis(height, width, height * width), flat(images), atol=1e-13)
    np.testing.assert_allclose((z**2).sum(axis=1), (flat(images) ** 2).sum(axis=1), rtol=1e-12)


@given(cases())
def test_coefficients_are_products_with_the_basis(case: tuple[np.ndarray, int]) -> None:
    """Both agree with each other and with SciPy's own two-dimensional transform."""
    images, r = case
    z = coefficients(images, r)
    np.testing.assert_allclose(z, flat(images) @ basis(*images.shape[1:], r).T, atol=1e-13)
    u, v = lowest(*images.shape[1:], r)
    reference = dctn(images, axes=(1, 2), norm="ortho")[:, u, v]
    np.testing.assert_allclose(z, reference, atol=1e-13)


@given(cases(), st.integers(0, 2**32 - 1))
def test_projection_is_the_best_low_pass_image(case: tuple[np.ndarray, int], seed: int) -> None:
    """No other combination of the same pictures is nearer to the image."""
    images, r = case
    rows, z = basis(*images.shape[1:], r), coefficients(images, r)
    other = z + np.random.default_rng(seed).normal(size=z.shape)
    best = np.linalg.norm(flat(images) - z @ rows, axis=1)
    assert all(best < np.linalg.norm(flat(images) - other @ rows, axis=1))
    np.testing.assert_allclose((flat(images) - z @ rows) @ rows.T, 0, atol=1e-12)


@given(sides, sides, st.floats(0, 1))
def test_a_constant_image_needs_one_coefficient(height: int, width: int, value: float) -> None:
    """The first, value * sqrt(h w); all others are zero."""
    z = coefficients(np.full((1, height, width), value), height * width)[0]
    assert z[0] == pytest.approx(value * np.sqrt(height * width))
    np.testing.assert_allclose(z[1:], 0, atol=1e-13)


@given(cases())
def test_the_lowest_frequencies_come_first(case: tuple[np.ndarray, int]) -> None:
    """In waves per side, ties by (u, v); fewer frequencies are the beginning of more."""
    (_, height, width), r = case[0].shape, case[1]
    u, v = lowest(height, width, height * width)
    keys = [(a * a * width**2 + b * b * height**2, a, b) for a, b in zip(u, v, strict=True)]
    assert keys == sorted(keys)
    assert len(set(keys)) == height * width
    assert np.array_equal(basis(height, width, r), basis(height, width, height * width)[:r])


def test_equal_frequencies_are_ordered_by_place() -> None:
    """3-4-5 triangles tie exactly, which floats would leave to rounding."""
    u, v = lowest(10, 10, 100)
    places = list(zip(u.tolist(), v.tolist(), strict=True))
    at = places.index((0, 5))
    assert places[at : at + 4] == [(0, 5), (3, 4), (4, 3), (5, 0)]


@given(cases())
def test_an_image_alone_is_transformed_as_among_others(case: tuple[np.ndarray, int]) -> None:
    """To the last bit, and whatever the layout in memory."""
    images, r = case
    together = coefficients(images, r)
    for k in range(len(images)):
        assert np.array_equal(coefficients(images[k : k + 1], r)[0], together[k])
    assert np.array_equal(coefficients(np.asfortranarray(images)[::-1], r), together[::-1])
