"""All rows."""

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
)
from tests.corpus.case import Case

FOUND: tuple[Case, ...] = ghost_steps.FOUND  # beyond the 48
MISSED: tuple[Case, ...] = bookkeeping.MISSED
CAUGHT: tuple[Case, ...] = tuple(
    sorted(
        (
            *opacus_steps.CASES,
            *ghost_steps.CASES,
            *sampled_steps.CASES,
            *aggregates.CASES,
            *groups.CASES,
            *bookkeeping.CASES,
            *federations.CASES,
            *generators.CASES,
        ),
        key=lambda case: case.number,
    )
)
