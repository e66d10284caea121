"""The convolutional classifier: real digits, one seed one result, no global state."""

import time

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from dpfedsyn.errors import DataError
from dpfedsyn.metrics import convolutional
from dpfedsyn.metrics.convolutional import HIDDEN, LEARNING_RATE, epochs, fit, learning_rate

Images = tuple[NDArray[np.float64], NDArray[np.int64]]


def digits(seed: int) -> tuple[Images, Images]:
    """scikit-learn's 1,797 images of 8 x 8 pixels: 1,400 to train and 397 to test."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    train, test = order[:1400], order[1400:]
    return (x[train] / 16.0, y[train]), (x[test] / 16.0, y[test])


def bars(n: int, seed: int, height: int, width: int) -> Images:
    """Noisy images of one bright line: across (label 0) or upright (label 1), anywhere."""
    random = np.random.default_rng(seed)
    x, y = 0.3 * random.random((n, height, width)), np.arange(n) % 2
    for image, label in zip(x, y, strict=True):
        if label:
            image[:, random.integers(width)] += 0.7
        else:
            image[random.integers(height)] += 0.7
    return x.reshape(n, -1), y


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps, for tests that ask nothing of the quality."""
    monkeypatch.setattr(convolutional, "_LEAST_STEPS", 12)
    monkeypatch.setattr(convolutional, "_MOST_STEPS", 12)


def test_real_digits_are_recognised() -> None:
    """Accuracy above .95 (measured .99); labels turned by one place are recognised as such."""
    (x, y), (test_x, test_y) = digits(1)
    shares = fit(x, y, (8, 8), 10, seed=1).scores(test_x)
    assert np.mean(shares.argmax(axis=1) == test_y) > 0.95
    assert np.mean(shares.argmax(axis=1) == (test_y + 1) % 10) < 0.05
    assert shares.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize(("height", "width"), [(28, 28), (5, 11)])
def test_other_sizes_of_images_are_learnt(
    height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines anywhere in images of 28 x 28 and of 5 x 11 pixels: above .9 after 150 steps."""
    monkeypatch.setattr(convolutional, "_LEAST_STEPS", 150)
    x, y = bars(320, 1, height, width)
    test_x, test_y = bars(200, 2, height, width)
    shares = fit(x, y, (height, width), 2, seed=1).scores(test_x)
    assert np.mean(shares.argmax(axis=1) == test_y) > 0.9


@pytest.mark.usefixtures("short")
def test_a_seed_gives_the_same_classifier_again() -> None:
    """Weights, batches and dropout come from the argument, whatever the global generator is at."""
    x, y = bars(100, 1, 8, 8)
    torch.manual_seed(1)
    first = fit(x, y, (8, 8), 2, seed=5).scores(x)
    torch.manual_seed(2)
    assert np.array_equal(first, fit(x, y, (8, 8), 2, seed=5).scores(x))
    assert not np.array_equal(first, fit(x, y, (8, 8), 2, seed=6).scores(x))


@pytest.mark.usefixtures("short")
def test_torchs_global_state_is_left_alone() -> None:
    """Neither the generator nor the number of threads moves, by training or by scoring."""
    x, y = bars(100, 1, 8, 8)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    trained = fit(x, y, (8, 8), 2, seed=5)
    trained.scores(x)
    trained.features(x)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("short")
def test_scores_are_the_last_layer_of_the_features() -> None:
    """Softmax of the output layer on `features`, which has HIDDEN columns, none negative."""
    x, y = bars(50, 1, 8, 8)
    trained = fit(x, y, (8, 8), 2, seed=5)
    features = trained.features(x)
    assert features.shape == (50, HIDDEN)
    assert features.min() >= 0.0
    weight = trained.network.output.weight.detach().double().numpy()
    bias = trained.network.output.bias.detach().double().numpy()
    odds = np.exp(features @ weight.T + bias)
    expected = odds / odds.sum(axis=1, keepdims=True)
    assert trained.scores(x) == pytest.approx(expected, abs=1e-5)


@pytest.mark.usefixtures("short")
def test_images_are_scored_one_by_one_or_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropout is off, and the size of a piece changes nothing."""
    x, y = bars(50, 1, 8, 8)
    trained = fit(x, y, (8, 8), 2, seed=5)
    together = trained.scores(x)
    monkeypatch.setattr(convolutional, "_ROWS_AT_ONCE", 7)
    assert trained.scores(x) == pytest.approx(together, abs=1e-6)
    assert trained.scores(x[3:4]) == pytest.approx(together[3:4], abs=1e-6)
    assert trained.scores(x[:0]).shape == (0, 2)


@pytest.mark.usefixtures("short")
def test_label_that_training_lacks_has_probability_zero() -> None:
    """Five classes of which training had two; and one class of which it had one row."""
    x, y = bars(50, 1, 8, 8)
    shares = fit(x, 1 + 2 * y, (8, 8), 5, seed=1).scores(x)
    assert (shares[:, [0, 2, 4]] == 0.0).all()
    assert (shares[:, [1, 3]] > 0.0).all()
    assert (fit(x[:1], [2], (8, 8), 3, seed=1).scores(x) == [0.0, 0.0, 1.0]).all()


def test_number_of_steps_depends_on_the_number_of_rows_alone() -> None:
    """At least 600 steps of 64 rows; 8 epochs between; about 3,000 steps for very many rows."""
    assert [epochs(rows) for rows in (1, 64, 65, 2000, 6400, 60_000)] == [600, 600, 300, 19, 8, 4]


def test_the_learning_rate_falls_linearly_to_zero() -> None:
    """Whole at the first step, half in the middle, 1/n of it at the last of n steps."""
    rates = [learning_rate(step, 600) for step in range(600)]
    assert (rates[0], rates[300]) == (LEARNING_RATE, LEARNING_RATE / 2)
    assert rates[-1] == pytest.approx(LEARNING_RATE / 600)
    assert np.diff(rates) == pytest.approx(-LEARNING_RATE / 600)


@pytest.mark.usefixtures("short")
def test_training_takes_every_step_at_its_own_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimizer sees each rate of the schedule once, in order, and decays the weights."""
    seen: list[tuple[float, float]] = []
    step = torch.optim.AdamW.step

    def watched(self: torch.optim.AdamW, closure: None = None) -> None:
        seen.append((self.param_groups[0]["lr"], self.param_groups[0]["weight_decay"]))
        step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    fit(*bars(100, 1, 8, 8), (8, 8), 2, seed=5)
    assert seen == [(learning_rate(k, 12), convolutional.WEIGHT_DECAY) for k in range(12)]


@pytest.mark.parametrize(
    ("x", "y", "shape", "expected"),
    [
        (np.zeros((2, 60)), [0, 1], (8, 8), r"rows \(2, 60\) are no images of 8 x 8"),
        (np.zeros(64), [0], (8, 8), "are no images"),
        (np.zeros((2, 24)), [0, 1], (3, 8), "sides of at least 4"),
        (np.zeros((0, 64)), [], (8, 8), "0 images and labels"),
        (np.zeros((2, 64)), [0], (8, 8), "train no classifier"),
        (np.zeros((2, 64)), [0, 2], (8, 8), "labels go from 0 to 2, but there are 2 classes"),
        (np.zeros((2, 64)), [-1, 1], (8, 8), "labels go from -1"),
        (np.full((2, 64), np.nan), [0, 1], (8, 8), "NaN or infinity"),
    ],
)
def test_images_that_cannot_be_learnt_are_refused(
    x: NDArray[np.float64], y: list[int], shape: tuple[int, int], expected: str
) -> None:
    """Each DataError names what does not fit."""
    with pytest.raises(DataError, match=expected):
        fit(x, y, shape, 2, seed=1)


@pytest.mark.slow
def test_two_thousand_images_take_seconds() -> None:
    """28 x 28 pixels, one thread: below 15 s (measured 7 s)."""
    x, y = bars(2000, 1, 28, 28)
    started = time.perf_counter()
    fit(x, y, (28, 28), 10, seed=1)
    assert time.perf_counter() - started < 15.0
