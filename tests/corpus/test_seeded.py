"""The seeded mechanisms of the benchmark: every bug is found, no correct one is accused."""

from types import ModuleType

import pytest

from dpfedsyn.audit import Verdict, audit

BUGGY, CORRECT = 24, 8
CALLS, LONG = 20_000, 30_000


@pytest.mark.parametrize("place", range(BUGGY))
def test_a_seeded_bug_is_found(place: int, seeded: ModuleType) -> None:
    """Within 20,000 calls, at alpha = 1e-6; the seed is fixed."""
    one = seeded.BUGGY[place]
    found = audit(
        one.mechanism, one.neighbours, claim=one.claim, adjacency=one.adjacency, max_calls=CALLS
    )
    assert found.verdict is Verdict.VIOLATION, f"{one.name}: {found}"


@pytest.mark.parametrize("place", range(CORRECT))
def test_a_correct_mechanism_is_not_accused(place: int, seeded: ModuleType) -> None:
    """A false alarm has a chance of 1e-6. Half the noise would have been found, but where one
    record in ten is looked at: that takes more calls than these, and the verdict says so."""
    one = seeded.CORRECT[place]
    found = audit(
        one.mechanism, one.neighbours, claim=one.claim, adjacency=one.adjacency, max_calls=LONG
    )
    if one.name == "Poisson sampled":
        assert found.verdict is Verdict.INCONCLUSIVE, f"{one.name}: {found}"
        assert found.needed_calls is None or found.needed_calls > LONG
    else:
        assert found.verdict is Verdict.CONSISTENT, f"{one.name}: {found}"


def test_the_bench_has_its_mechanisms(seeded: ModuleType) -> None:
    """24 with one bug each and 8 correct ones, every name once."""
    assert len(seeded.BUGGY) == BUGGY
    assert len(seeded.CORRECT) == CORRECT
    assert all(one.buggy for one in seeded.BUGGY)
    assert not any(one.buggy for one in seeded.CORRECT)
    assert len({one.name for one in seeded.BUGGY + seeded.CORRECT}) == BUGGY + CORRECT
