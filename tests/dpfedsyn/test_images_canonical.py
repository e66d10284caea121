"""Upright pictures: a map of each image by itself that undoes slant and size, and can be undone."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from dpfedsyn.images import canonical
from dpfedsyn.images.canonical import HIGHEST, LOWEST, normalise, restore

MNIST = Path(__file__).parents[2].parent / "shared" / "data" / "mnist"
SIDE = 28
CENTRES = (2 * np.arange(SIDE) + 1) / SIDE - 1


def drawn(spots: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A picture of smooth spots (k, 2) around the middle, seen through a matrix: image(p) = f(M p).

    Drawn by formula, not resampled, so it is an independent reference.
    """
    y, x = np.meshgrid(CENTRES, CENTRES, indexing="ij")
    points = np.stack([x, y], axis=-1) @ matrix.T
    distance = ((points[:, :, None, :] - spots) ** 2).sum(axis=-1)
    return np.exp(-distance / (2 * 0.1**2)).max(axis=-1)


def spots_of(seed: int) -> np.ndarray:
    """Five spots; their spread is near the public size, so no limit is reached."""
    rng = np.random.default_rng(seed)
    return rng.uniform([-0.35, -0.55], [0.35, 0.55], size=(5, 2))


def within_limits(parameters: np.ndarray) -> np.ndarray:
    """Which images have no parameter at a limit."""
    return ((parameters > LOWEST) & (parameters < HIGHEST)).all(axis=1)


def any_images(seed: int, n: int) -> np.ndarray:
    """Pictures of spots among noise, stripes, points and black images."""
    rng = np.random.default_rng(seed)
    pictures = [drawn(spots_of(seed + k), np.eye(2)) for k in range(n)]
    images = np.array(pictures).reshape(n, SIDE, SIDE)
    images[1::5] = rng.random(images[1::5].shape)
    images[2::5] = 0
    images[3::5, rng.integers(SIDE)] = 1
    images[4::5] *= images[4::5] > 0.999
    return images


@given(st.integers(0, 10**6), st.integers(1, 8), st.data())
def test_no_image_changes_the_result_of_another(seed: int, n: int, data: st.DataObject) -> None:
    """Guarantee of dpfedsyn.images.canonical: An image's parameters and its upright picture do not
    change by a bit when other images are removed or reordered."""
    images = any_images(seed, n)
    kept = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    upright, parameters = normalise(images)
    fewer, their_parameters = normalise(images[kept])
    assert np.array_equal(fewer, upright[kept])
    assert np.array_equal(their_parameters, parameters[kept])
    assert np.array_equal(restore(fewer, their_parameters), restore(upright, parameters)[kept])


@given(st.integers(0, 10**6), st.integers(0, 8))
def test_results_stay_within_their_public_limits(seed: int, n: int) -> None:
    """Pictures in [0, 1], parameters in their ranges and below the stated norm; shapes kept."""
    upright, parameters = normalise(any_images(seed, n))
    assert (upright.shape, parameters.shape) == ((n, SIDE, SIDE), (n, 3))
    assert (upright.dtype, parameters.dtype) == (np.float32, np.float64)
    assert ((upright >= 0) & (upright <= 1)).all()
    assert ((parameters >= LOWEST) & (parameters <= HIGHEST)).all()
    assert (np.linalg.norm(parameters, axis=1) <= canonical.largest_norm()).all()


@pytest.mark.parametrize("brightness", [0.0, 1e-7])
def test_a_black_image_has_no_pose(brightness: float) -> None:
    """Zeros, and the image stays as it is."""
    black = np.full((2, SIDE, SIDE), brightness)
    upright, parameters = normalise(black)
    assert not parameters.any()
    np.testing.assert_allclose(upright, black, atol=1e-7)


@given(st.integers(0, 10**6), st.floats(-0.3, 0.3), st.floats(0.85, 1.2), st.floats(0.85, 1.2))
def test_slanted_and_stretched_copies_become_one_picture(
    seed: int, slant: float, across: float, down: float
) -> None:
    """Copies drawn by formula differ by less than bilinear resampling blurs, and their parameters
    differ by the change of slant and size itself."""
    spots = spots_of(seed)
    matrix = np.array([[across, slant * down], [0.0, down]])
    original, copy = (normalise(drawn(spots, m)[None]) for m in (np.eye(2), matrix))
    assume(within_limits(original[1]).all() and within_limits(copy[1]).all())
    assert np.abs(original[0] - copy[0]).mean() < 0.015
    # original(p) looks like copy(M^-1 p): the slant of M^-1 K is (its own - slant) down / across.
    (a, width, height), (b, copy_width, copy_height) = original[1][0], copy[1][0]
    assert b == pytest.approx((a - slant) * down / across, abs=0.03)
    assert copy_width == pytest.approx(width - np.log(across), abs=0.03)
    assert copy_height == pytest.approx(height - np.log(down), abs=0.03)


def test_the_comparison_of_copies_can_fail() -> None:
    """Without normalising, a slanted copy differs by far more than the test above allows."""
    matrix = np.array([[1.1, 0.3], [0.0, 0.9]])
    differences = [
        np.abs(drawn(spots_of(seed), np.eye(2)) - drawn(spots_of(seed), matrix)).mean()
        for seed in range(20)
    ]
    assert min(differences) > 0.02


def test_upright_pictures_have_the_public_size_and_no_slant() -> None:
    """Measured again, slant is near 0 and both sizes near their constants, where no part of the
    picture was moved over the edge."""
    images = np.stack([drawn(spots_of(seed), np.eye(2)) for seed in range(50)])
    upright, before = normalise(images)
    frame = upright.copy()
    frame[:, 1:-1, 1:-1] = 0
    inside = frame.max(axis=(1, 2)) < 0.1
    assert inside.sum() > 30
    after = normalise(upright[inside])[1]
    assert np.abs(after).max() < 0.03
    assert np.abs(before[inside]).max(axis=0).min() > 0.2


def test_a_known_bar_is_measured_exactly() -> None:
    """A full column of light: no slant, one pixel wide (the lower limit), uniform in height."""
    bar = np.zeros((1, SIDE, SIDE))
    bar[0, :, 10] = 1
    slant, width, height = normalise(bar)[1][0]
    assert slant == pytest.approx(0, abs=1e-12)
    assert width == LOWEST[1]
    assert height == pytest.approx(np.log(np.sqrt((CENTRES**2).mean()) / canonical.HEIGHT))


def test_restore_moves_parameters_into_their_limits() -> None:
    """A sampled pose beyond the limits is the pose at the limit; nothing overflows."""
    image = drawn(spots_of(1), np.eye(2))[None]
    far = np.array([[-1e30, 1e30, -1e30]])
    assert np.array_equal(
        restore(image, far), restore(image, np.array([[LOWEST[0], HIGHEST[1], LOWEST[2]]]))
    )
    np.testing.assert_allclose(restore(image, np.zeros((1, 3))), image, atol=1e-6)


def enlarged_digits() -> np.ndarray:
    """The 1,797 digits of scikit-learn, threefold with a margin: (n, 28, 28) in [0, 1]."""
    small = load_digits().images / 16
    return np.pad(np.kron(small, np.ones((1, 3, 3))), ((0, 0), (2, 2), (2, 2)))


def test_real_digits_come_back() -> None:
    """Normalised and restored digits are the digits but for the blur of two resamplings."""
    digits = enlarged_digits()
    back = restore(*normalise(digits))
    assert np.corrcoef(back.ravel(), digits.ravel())[0, 1] > 0.97
    exchanged = restore(
        *(part[::step] for part, step in zip(normalise(digits), (1, -1), strict=True))
    )
    assert np.corrcoef(exchanged.ravel(), digits.ravel())[0, 1] < 0.9


def test_five_thousand_images_take_little_time() -> None:
    """Below 1.5 s of one slow core."""
    digits = np.tile(enlarged_digits(), (3, 1, 1))[:5000].astype(np.float32)
    start = time.process_time()
    normalise(digits)
    assert time.process_time() - start < 1.5


def test_mnist_comes_back() -> None:
    """MNIST digits correlate with their restored selves; the pictures in between are narrower in
    distribution: most of the variance of size and slant is gone."""
    if not (MNIST / "test.npz").exists():
        pytest.skip("MNIST is not shipped with the package and is not beside this checkout")
    with np.load(MNIST / "test.npz") as archive:
        images, labels = archive["images"][:1000] / 255, archive["labels"][:1000]
    upright, parameters = normalise(images)
    back = restore(upright, parameters)
    assert np.corrcoef(back.ravel(), images.ravel())[0, 1] > 0.97
    assert np.abs(back - images).mean() < 0.04
    for label in (0, 2, 5, 9):
        of = labels == label
        assert upright[of].var(axis=0).sum() < 0.8 * images[of].var(axis=0).sum()
