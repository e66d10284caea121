"""All rows, with what every layer makes of them."""

from __future__ import annotations

from tests.corpus import (
    aggregates,
    bookkeeping,
    federations,
    generators,
    ghost_steps,
    groups,
    opacus_steps,
    sampled_steps,
    tried_canaries,
    tried_elsewhere,
    tried_properties,
)
from tests.corpus.case import Case

_FURTHER = (tried_properties, tried_canaries, tried_elsewhere)


def _all(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """Return cases in order, with the trials of other layers than their own module's."""
    found = []
    for case in sorted(cases, key=lambda case: case.number):
        trials = tuple(t for module in _FURTHER for t in module.CAUGHT.get(case.number, ()))
        passed = tuple(p for module in _FURTHER for p in module.PASSED.get(case.number, ()))
        found.append(case.and_(trials, passed))
    return tuple(found)


FOUND: tuple[Case, ...] = _all(ghost_steps.FOUND)  # beyond the 48
MISSED: tuple[Case, ...] = _all(bookkeeping.MISSED)
CAUGHT: tuple[Case, ...] = _all(
    (
        *opacus_steps.CASES,
        *ghost_steps.CASES,
        *sampled_steps.CASES,
        *aggregates.CASES,
        *groups.CASES,
        *bookkeeping.CASES,
        *federations.CASES,
        *generators.CASES,
    )
)
ALL: tuple[Case, ...] = tuple(sorted(CAUGHT + MISSED + FOUND, key=lambda case: case.number))
