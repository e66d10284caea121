"""The benchmarks' classifiers with a short recipe: seeded, sound, and refusing what is no image."""

import importlib
from typing import Any

import numpy as np
import pytest
import torch

from dpfedsyn.errors import DataError
from tests.end_to_end.small import ROOT

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the benchmarks, which are not installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.examples.short")


def images(rows: int = 600) -> Arrays:
    """Three labels: which third of six pixels is lit, in noise."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 2 * rows)
    lit = np.arange(6)[None, :] // 2 == y[:, None]
    x = np.clip(0.5 * lit + 0.25 + 0.15 * rng.standard_normal(lit.shape), 0.0, 1.0)
    return x[:rows], y[:rows], x[rows:], y[rows:]


def parity(rows: int = 1500) -> Arrays:
    """Whether two pixels are equally bright: no linear classifier can tell."""
    rng = np.random.default_rng(4)
    x = rng.random((2 * rows, 2))
    y = ((x[:, 0] > 0.5) == (x[:, 1] > 0.5)).astype(np.int64)
    return x[:rows], y[:rows], x[rows:], y[rows:]


def test_labels_that_can_be_told_apart_are(short: Any) -> None:
    """Both classifiers reach .95; with shuffled labels they stay near chance."""
    x, y, x_test, y_test = images()
    assert min(short.accuracies(x, y, x_test, y_test, 1)) > 0.95
    shuffled = np.random.default_rng(5).permutation(y)
    assert max(short.accuracies(x, shuffled, x_test, y_test, 1)) < 0.6


def test_the_network_is_no_linear_classifier(short: Any) -> None:
    """Parity of two pixels: chance for logistic regression, .8 for the network."""
    logistic, mlp = short.accuracies(*parity(), 1)
    assert logistic < 0.65
    assert mlp > 0.8


def test_a_seed_gives_the_same_figures_and_leaves_the_global_generator_alone(short: Any) -> None:
    """Equal to the last bit, whatever torch drew before; another seed trains another network."""
    data = images(100)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = short.accuracies(*data, 7)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert short.accuracies(*data, 7) == first
    noise = (np.random.default_rng(6).random((400, 6)), np.arange(400) % 3)
    assert len({short.accuracies(*data[:2], *noise, seed) for seed in range(4)}) > 1


def test_a_label_that_training_lacks_is_never_right(short: Any) -> None:
    """The test part may hold more labels than training does."""
    x, y, x_test, y_test = images()
    kept = y < 2
    found = short.accuracies(x[kept], y[kept], x_test, y_test, 1)
    assert max(found) <= (y_test < 2).mean()


@pytest.mark.parametrize("what", ["shape", "pixels", "labels", "width", "nan"])
def test_what_is_no_image_is_refused(short: Any, what: str) -> None:
    """Said by name; nothing is trained."""
    x, y, x_test, y_test = images(10)
    match what:
        case "shape":
            y = y[:-1]
        case "pixels":
            x = 2.0 * x + 1.0
        case "labels":
            y = y - 3
        case "width":
            x_test = x_test[:, :-1]
        case _:
            x[0, 0] = np.nan
    with pytest.raises(DataError):
        short.accuracies(x, y, x_test, y_test, 1)
