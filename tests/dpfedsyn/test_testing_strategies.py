"""What the strategies draw is what their names say."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from accountants import Header, delta, from_json, to_json
from accountants.rows import Charge
from dpfedsyn.audit import GDP, audit
from dpfedsyn.testing import strategies as dps

QUICK = settings(database=None, suppress_health_check=list(HealthCheck))


def rows_of(data):
    """The rows as a multiset."""
    return Counter(row.tobytes() for row in data + 0)


@pytest.mark.parametrize("adjacency", ["add-or-remove", "replace", "zero-out"])
@pytest.mark.parametrize("most", [1, 3])
def test_neighbours_differ_in_one_unit(adjacency, most):
    """At most so many rows, the last ones, in the way that the adjacency says."""

    @given(dps.neighbours(dps.records((2,), extreme=True), adjacency=adjacency, rows=most))
    @QUICK
    def check(pair):
        without, with_ = pair
        gone, come = rows_of(without) - rows_of(with_), rows_of(with_) - rows_of(without)
        assert come.total() + gone.total() >= 1
        assert come.total() <= most
        if adjacency == "add-or-remove":
            assert gone.total() == 0
            assert 1 <= len(with_) - len(without) <= most
            np.testing.assert_array_equal(with_[: len(without)], without)
        else:
            assert len(with_) == len(without)
            assert gone.total() == come.total()
        if adjacency == "zero-out":
            assert not any(any(row) for row in gone)
        assert without.shape[1:] == with_.shape[1:] == (2,)

    check()


@pytest.mark.parametrize("adjacency", ["add-or-remove", "replace", "zero-out"])
@given(data=st.data())
@settings(QUICK, max_examples=10)
def test_neighbours_are_what_an_audit_takes(adjacency, data):
    """An audit of a few calls accepts them under their adjacency."""
    pair = data.draw(dps.neighbours(dps.records((1,)), adjacency=adjacency))
    audit(lambda d, rng: rng.normal(), pair, claim=GDP(1.0), max_calls=4, adjacency=adjacency)


@pytest.mark.parametrize(
    "wanted",
    [np.isnan, np.isinf, lambda x: x == 1e38, lambda x: (x != 0) & (abs(x) < 1e-300)],
    ids=["NaN", "infinity", "1e38", "denormal"],
)
def test_extreme_records_hold_what_breaks_clipping(wanted):
    """Each of them turns up, and none without being asked for."""
    strategy = dps.records((2,), extreme=True)
    assert wanted(find(strategy, lambda r: bool(wanted(r).any()), settings=QUICK)).any()

    @given(dps.records((3,), bound=5.0))
    @QUICK
    def bounded(record):
        assert np.abs(record).max() <= 5.0

    bounded()


def test_data_sets_may_be_empty_and_keep_their_width():
    """Zero rows are (0, width); whole numbers stay whole."""
    empty = find(dps.datasets(dps.records((3,), dtype="int64")), lambda d: not len(d))
    assert (empty.shape, empty.dtype) == ((0, 3), np.dtype("int64"))


@given(dps.score_queries(dimension=3, classes=2, energies=True))
@QUICK
def test_score_queries_are_valid(query):
    """Shapes, types and ranges of a query that a silo answers."""
    assert query.x.dtype == np.float32
    assert query.x.shape == (len(query.labels), 3)
    assert set(query.labels.tolist()) <= {0, 1}
    assert 0 <= query.t < 1000
    assert math.isfinite(query.score_std)
    assert query.energy_std is not None


@given(dps.model_pairs(extreme=True), dps.queries((2, 3), extreme=True))
@QUICK
def test_model_pairs_are_two_models(pair, x):
    """They differ, and answer any query with its shape and without a warning."""
    one, other = pair
    assert repr(one) != repr(other)
    assert one.predict_noise(x, 0.5, np.zeros(2, np.int64)).shape == other(x).shape == x.shape


@given(dps.trained_pairs(len, dps.neighbours(dps.records((1,)))))
@QUICK
def test_trained_pairs_come_from_neighbours(pair):
    """The training function saw both sides."""
    assert pair[1] == pair[0] + 1


@given(dps.events())
@settings(QUICK, max_examples=20)
def test_events_have_json_and_a_finite_claim(event):
    """They are events of accountants, and so is `from_type`."""
    assert from_json(to_json(event)) == event


@given(dps.headers(), dps.charges())
@settings(QUICK, max_examples=20)
def test_headers_and_charges_round_trip(header, charge):
    """A header is read back as written; a charge costs what its event costs."""
    assert Header.parse(header.canonical()) == header
    assert isinstance(charge, Charge)
    assert charge.event.mu**2 == pytest.approx(charge.mu2)
    assert delta(charge.event, epsilon=1.0).upper < 1.0


@pytest.mark.parametrize("bug", dps.BROKEN)
def test_a_broken_mechanism_breaks_its_claim(bug):
    """Each bug shows on its worst pair, within 4,000 calls at 1e-6."""
    mechanism = dps.Mechanism(1.0, bug)
    found = audit(mechanism, dps.worst_case(mechanism), claim=GDP(1.0), max_calls=4000)
    assert found.verdict == "VIOLATION"


@given(dps.correct_mechanisms(1.0))
@settings(QUICK, max_examples=3)
def test_a_correct_mechanism_keeps_its_claim(mechanism):
    """No alarm where there is nothing, at 1e-6 each."""
    found = audit(mechanism, dps.worst_case(mechanism), claim=GDP(1.0), max_calls=4000)
    assert found.verdict == "CONSISTENT"


@given(dps.neighbours(dps.records((2,), extreme=True), max_size=2))
@settings(QUICK, max_examples=12)
def test_a_correct_mechanism_answers_on_every_data_set(pair):
    """Empty ones and extreme numbers included: finite, of one shape, and no more than its claim."""
    rng = np.random.default_rng(0)
    one, other = (dps.Mechanism(1.0)(data, 5, rng) for data in pair)
    assert one.shape == other.shape == (5, 2)
    assert np.isfinite(one).all()
    assert np.isfinite(other).all()
    found = audit(dps.Mechanism(1.0), pair, claim=GDP(1.0), max_calls=300, alpha=1e-6)
    assert found.verdict != "VIOLATION"


def test_all_broken_mechanisms_are_drawn():
    """None is missing from the strategy."""
    for bug in dps.BROKEN:
        found = find(dps.broken_mechanisms(), lambda m, bug=bug: m.bug == bug, settings=QUICK)
        assert found.bug == bug
