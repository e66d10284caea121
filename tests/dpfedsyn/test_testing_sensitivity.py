"""Declared against measured sensitivity; NaN is infinitely far."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given

from dpfedsyn.clipping import clip_rows
from dpfedsyn.testing import assert_sensitivity, measured_distance
from dpfedsyn.testing import strategies as dps

NAN, INF = math.nan, math.inf


@given(dps.neighbours(dps.records((3,), extreme=True), rows=2))
def test_what_our_clipping_declares_is_measured(pair):
    """Guarantee of dpfedsyn.testing.sensitivity.assert_sensitivity: A NaN or infinity on one side
    counts as infinitely far; our sums of clipped rows never are, and move by 1 a row."""
    rows = len(pair[1]) - len(pair[0])
    assert_sensitivity(lambda rows: clip_rows(rows, 1.0).sum(axis=0), pair, float(rows))


@pytest.mark.parametrize(
    ("one", "other", "norm", "apart"),
    [
        ([0.0, 0.0], [3.0, 4.0], 2, 5.0),
        ([0.0, 0.0], [3.0, 4.0], 1, 7.0),
        ([0.0, 0.0], [3.0, 4.0], INF, 4.0),
        ([NAN, 1.0], [NAN, 1.0], 2, 0.0),
        ([NAN, 1.0], [0.0, 1.0], 2, INF),
        ([INF, 1.0], [INF, 1.0], 2, 0.0),
        ([INF, 1.0], [-INF, 1.0], 2, INF),
        ([INF, 1.0], [NAN, 1.0], 1, INF),
        ([0.0], [0.0, 0.0], 2, INF),
        ([1e200, 0.0], [0.0, 1e200], 2, 1e200 * math.sqrt(2)),
        ([], [], 2, 0.0),
    ],
)
def test_distances_are_what_they_are_called(one, other, norm, apart):
    """Closed forms, without overflow, and with what is not a number."""
    assert measured_distance(np.array, (one, other), norm=norm) == pytest.approx(apart)


@dataclass
class Pair:
    """An output of one's own."""

    x: float
    y: float


@pytest.mark.parametrize(
    "query",
    [
        lambda d: torch.tensor(d, requires_grad=True),
        lambda d: tuple(d),
        lambda d: {"b": d[1], "a": d[:1]},
        lambda d: Pair(d[0], d[1]),
    ],
)
def test_all_numbers_of_an_output_count_jointly(query):
    """Tensors, tuples, mappings and dataclasses have one norm."""
    assert measured_distance(query, ([0.0, 0.0], [3.0, 4.0])) == pytest.approx(5.0)


def test_too_small_a_bound_names_numbers_and_pair():
    """The message has measured, declared and both data sets."""
    with pytest.raises(AssertionError, match=r"moves by 5 in L2 .* 4\.9 is declared") as caught:
        assert_sensitivity(np.array, ([0.0, 0.0], [3.0, 4.0]), 4.9)
    assert "with_ = [3.0, 4.0]" in str(caught.value)
    assert assert_sensitivity(np.array, ([0.0, 0.0], [3.0, 4.0]), 5.0) == pytest.approx(5.0)


@pytest.mark.parametrize("bound", [INF, NAN])
def test_an_infinite_declaration_declares_nothing(bound):
    """Whatever moves by infinity, no noise covers it."""
    with pytest.raises(AssertionError, match="is declared"):
        assert_sensitivity(np.array, ([NAN], [0.0]), bound)


def test_an_unknown_norm_is_refused():
    """Only those that are defined."""
    with pytest.raises(AssertionError, match="norm=3"):
        measured_distance(np.array, ([0.0], [1.0]), norm=3)
