"""Released pictures are moved a little, each by what its place says and no record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.images import warp
from dpfedsyn.images.warp import Images, warped


def pictures(n: int, side: int = 12, seed: int = 0) -> Images:
    found: Images = np.random.default_rng(seed).random((n, side, side), dtype=np.float32)
    return found


@given(st.integers(0, 9), st.integers(2, 9), st.floats(0, 4))
def test_pictures_stay_pictures(n: int, side: int, amount: float) -> None:
    """Shape, type and range are kept, and nothing is NaN; no movement returns them as they are."""
    images = pictures(n, side)
    moved = warped(images, amount)
    assert moved.shape == images.shape
    assert moved.dtype == np.float32
    assert ((moved >= 0.0) & (moved <= 1.0)).all()
    assert np.array_equal(warped(images, 0.0), images)


def test_a_picture_moves_by_its_place_alone() -> None:
    """Cut into pieces, or beside other pictures, it moves in the same way."""
    images = pictures(7)
    together = warped(images, 1.0)
    pieces = [warped(images[k : k + 2], 1.0, k) for k in range(0, 7, 2)]
    assert np.array_equal(np.concatenate(pieces), together)
    others = images.copy()
    others[:3] = 0.0
    assert np.array_equal(warped(others, 1.0)[3:], together[3:])
    assert not np.array_equal(warped(images[:2], 1.0, 5), together[:2])


@pytest.mark.parametrize(("place", "x", "y"), [(4, 1.0, 0.0), (5, 0.0, 1.0)], ids=["right", "down"])
def test_a_shift_moves_the_centre_of_brightness(
    place: int, x: float, y: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a blob in the middle, by 0.05 of half a side against the sampling direction; bilinear
    sampling keeps first moments. Turns about the centre move nothing."""
    image = np.zeros((1, 41, 41), dtype=np.float32)
    image[0, 17:24, 17:24] = 1.0
    draws = np.zeros((1, 6))
    draws[0, place] = 1.0
    monkeypatch.setattr(warp, "_draws", lambda count, first: draws)
    moved = warped(image, 1.0)[0]
    at = (2 * np.arange(41) + 1) / 41 - 1
    assert (moved.sum(axis=0) @ at) / moved.sum() == pytest.approx(-0.05 * x, abs=1e-3)
    assert (moved.sum(axis=1) @ at) / moved.sum() == pytest.approx(-0.05 * y, abs=1e-3)


def test_movements_fill_their_range() -> None:
    """Over 4,000 places each of the six draws is even over (-1, 1): mean within 0.05 of 0 and
    square within 0.05 of 1/3 (over five standard errors: below 1e-5)."""
    draws = warp._draws(4000, 0)
    assert np.abs(draws).max() < 1.0
    assert draws.mean(axis=0) == pytest.approx(np.zeros(6), abs=0.05)
    assert (draws**2).mean(axis=0) == pytest.approx(np.full(6, 1 / 3), abs=0.05)
    assert (draws**2).mean(axis=0) != pytest.approx(np.full(6, 1 / 2), abs=0.05)
