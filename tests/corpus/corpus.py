"""All rows."""

from __future__ import annotations

from tests.corpus import (
    aggregates,
    bookkeeping,
    federations,
    generators,
    opacus_steps,
    sampled_steps,
)
from tests.corpus.case import Case

MISSED: tuple[Case, ...] = bookkeeping.MISSED
CAUGHT: tuple[Case, ...] = tuple(
    sorted(
        (
            *opacus_steps.CASES,
            *sampled_steps.CASES,
            *aggregates.CASES,
            *bookkeeping.CASES,
            *federations.CASES,
            *generators.CASES,
        ),
        key=lambda case: case.number,
    )
)
