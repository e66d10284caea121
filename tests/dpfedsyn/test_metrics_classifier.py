"""The feature map: the hidden layer of the classifier that it names."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dpfedsyn.errors import DataError
from dpfedsyn.metrics import classifier, convolutional, utility
from dpfedsyn.metrics.classifier import CNN, MLP, PLAIN, fixed

Sample = tuple[NDArray[np.float64], NDArray[np.int64]]


def rows(n: int, d: int, seed: int) -> Sample:
    """Three labels; the first coordinate says which."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 3
    x = random.random((n, d))
    x[:, 0] += y
    return x, y


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps of the convolutional network."""
    monkeypatch.setattr(convolutional, "_LEAST_STEPS", 12)
    monkeypatch.setattr(convolutional, "_MOST_STEPS", 12)


def test_features_of_tables_are_the_layer_below_the_mlps_softmax() -> None:
    """The output layer on the features gives the probabilities of the whole network."""
    x, y = rows(90, 4, 1)
    features = fixed(x, y, None, 3, seed=7)
    pipeline = utility.fitted(utility.network(y, 7, None), x, y)
    network = pipeline.steps[-1][1]
    odds = np.exp(features(x) @ network.coefs_[1] + network.intercepts_[1])
    expected = odds / odds.sum(axis=1, keepdims=True)
    assert pipeline.predict_proba(x) == pytest.approx(expected, abs=1e-9)
    assert features(x).shape == (90, features.dimension)
    assert features.dimension == 64
    assert features(x).min() == 0.0
    assert features.name == MLP


@pytest.mark.usefixtures("short")
def test_features_of_images_are_those_of_the_convolutional_network() -> None:
    """The same seed trains the same network, whose `features` they are."""
    x, y = rows(60, 64, 2)
    features = fixed(x, y, (8, 8), 3, seed=7)
    assert np.array_equal(features(x), convolutional.fit(x, y, (8, 8), 3, seed=7).features(x))
    assert (features.name, features.dimension) == (CNN, convolutional.HIDDEN)


@pytest.mark.parametrize("shape", [None, (8, 8)])
@pytest.mark.usefixtures("short")
def test_the_map_is_fixed_by_training_rows_and_seed(shape: tuple[int, int] | None) -> None:
    """The same again for the same seed, another for another, and each row by itself."""
    x, y = rows(60, 64, 3)
    new, _ = rows(20, 64, 4)
    first, again, other = (fixed(x, y, shape, 3, seed=seed)(new) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert fixed(x, y, shape, 3, seed=1)(new[4:5]) == pytest.approx(first[4:5], abs=1e-5)


@pytest.mark.parametrize("shape", [None, (8, 8)])
def test_one_label_leaves_the_rows_themselves(shape: tuple[int, int] | None) -> None:
    """No classifier can be trained; the name says so."""
    x, _ = rows(30, 64, 5)
    features = fixed(x, np.full(30, 2), shape, 3, seed=1)
    assert np.array_equal(features(x), x)
    assert (features.name, features.dimension) == (PLAIN, 64)


def test_every_name_says_what_the_features_are() -> None:
    """Nobody shall take a distance in them for an Inception distance."""
    assert all("not Inception" in name for name in (classifier.CNN, classifier.MLP))
    assert "no classifier" in classifier.PLAIN


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (np.zeros((0, 4)), np.zeros(0), "with n > 0"),
        (np.zeros((2, 4)), np.array([0, 3]), "labels go up to 3, but there are 3 classes"),
        (np.full((2, 4), np.nan), np.array([0, 1]), "NaN or infinity"),
    ],
)
def test_rows_that_fix_no_classifier_are_refused(
    x: NDArray[np.float64], y: NDArray[np.int64], expected: str
) -> None:
    """No rows, a label out of range and NaN give one DataError."""
    with pytest.raises(DataError, match=expected):
        fixed(x, y, None, 3, seed=1)
