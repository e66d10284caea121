"""Somebody in several silos: every group of silos is looked at, and the worst counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import Adjacency, Composed, Gaussian
from dpfedsyn import risk
from dpfedsyn.statement import groups

SMALL, LARGE = Gaussian(3.0), Gaussian(1.5)


def risk_of(event: Gaussian | Composed) -> dict[str, object]:
    """The risk of an event at a usual delta."""
    return risk.of(event, 1e-5, adjacency=Adjacency.ADD_OR_REMOVE)


@given(st.lists(st.floats(0.8, 20.0), min_size=1, max_size=4))
def test_the_worst_counts_in_every_number(noises: list[float]) -> None:
    """Guarantee of dpfedsyn.statement.groups.worst: No number of the result is below that of any of
    the risks."""
    risks = [risk_of(Gaussian(noise)) for noise in noises]
    found = groups.worst(risks)
    assert found is not None
    assert found == risk_of(Gaussian(min(noises)))  # of Gaussians one is the worst everywhere


def test_curves_that_cross_give_the_larger_of_both() -> None:
    """Point by point; the inputs are left as they were."""
    one, other = risk_of(SMALL), risk_of(LARGE)
    points = [dict(point) for point in one["tradeoff"]]  # type: ignore[attr-defined]
    points[1] |= {"tpr": 0.9, "posterior": 0.9 / (0.9 + points[1]["fpr"])}
    crossed = {**one, "tradeoff": points}
    found = groups.worst([other, crossed])
    assert found is not None
    assert found["at_low_rate"] == points[1] == found["tradeoff"][1]
    assert found["tradeoff"][2:] == other["tradeoff"][2:]  # type: ignore[index]
    assert found["advantage"] == other["advantage"]
    assert other == risk_of(LARGE)


def test_groups_are_distinct_compositions() -> None:
    """Two of three silos, two of which are alike: two groups; of one silo each claim once."""
    pairs = groups.of((SMALL, LARGE, SMALL), 2)
    assert len(pairs) == 2
    assert {e.events.count(SMALL) for e in pairs if isinstance(e, Composed)} == {1, 2}
    assert groups.of((SMALL, LARGE, SMALL), 1) == (SMALL, LARGE)


def test_too_many_groups_are_not_looked_at() -> None:
    """Then there is no risk, rather than that of some of them."""
    many = tuple(Gaussian(1.0 + k / 10) for k in range(9))
    assert groups.of(many, 4) == ()
    assert len(groups.of(many, 1)) == 9
    assert groups.worst([]) is None


@pytest.mark.parametrize("size", [2, 3])
def test_more_silos_risk_more(size: int) -> None:
    """A composition is worse than each of its parts."""
    (event,) = groups.of((SMALL,) * 3, size)
    together, alone = groups.worst([risk_of(event)]), risk_of(SMALL)  # type: ignore[arg-type]
    assert together is not None
    assert together["advantage"] > alone["advantage"]  # type: ignore[operator]
