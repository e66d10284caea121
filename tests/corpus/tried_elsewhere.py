"""Rows before checks of the statistical, the replay and the ledger layer that others did without.

Bugs of accountants are put into ledgers here: the same mistake, where charges are kept.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from tests.corpus import aggregates, generators
from tests.corpus import opacus_steps as steps
from tests.corpus import sampled_steps as batches
from tests.corpus.bookkeeping import FileLedger
from tests.corpus.case import Passed, Trial
from tests.corpus.checks import Audited, Machine, Replayed
from tests.corpus.rows import added
from tests.corpus.tried_properties import BY_LAYER, OVERFLOW, either

FAR = added((40.0, 30.0))
ONES = added((1.0,), ((0.0,), (0.0,)))
DEAR = 1.0  # cost


class Filters(FileLedger):
    """Row 24: what is too dear is filtered out of the charges, and answered as well."""

    def charge(self, cost: float) -> None:
        """Charge what is cheap."""
        if cost <= DEAR:
            super().charge(cost)


class ByLast(FileLedger):
    """Row 25: takes all charges for charges like the last one."""

    def spent(self) -> Fraction:
        """Return the last charge, so many times."""
        costs = [Fraction(row["cost"]) for row in self._rows() if "cost" in row]
        return len(costs) * costs[-1] if costs else Fraction(0)


class PerEpoch(FileLedger):
    """Row 27: charges one of ten."""

    def charge(self, cost: float) -> None:
        """Charge the first of every ten answers."""
        answered = sum("reply" in row for row in self._rows())
        if answered % 10 == 0:
            super().charge(cost)


class Popping(FileLedger):
    """Row 45: asking for the sum takes the last charge out of the file."""

    def spent(self) -> Fraction:
        """Return the sum, and forget its last part."""
        total = super().spent()
        assert self.path is not None
        lines = self.path.read_text().splitlines()
        last = max((k for k, line in enumerate(lines) if '"cost"' in line), default=None)
        if last is not None:
            del lines[last]
            self.path.write_text("".join(line + "\n" for line in lines))
        return total


def in_ledger(kind: Any) -> tuple[Trial, ...]:
    """Try a ledger with the bug beside one without it."""
    return (Trial(Machine(), kind, FileLedger),)


TWO_LAYERS = Audited(steps.SHARED, steps.CLAIM, max_calls=3_000, slow=True)

WEIGHTED = either(batches.balanced, weighted=(True, False))

CAUGHT: dict[int, tuple[Trial, ...]] = {
    6: (Trial(TWO_LAYERS, *either(steps.step_of, optimizer=BY_LAYER)),),
    10: (Trial(Replayed(batches.RARE, 1.0, math.inf), *WEIGHTED),),
    24: in_ledger(Filters),
    25: in_ledger(ByLast),
    27: in_ledger(PerEpoch),
    45: in_ledger(Popping),
}

SHARED = "both sides of a replay share what is sampled, and each batch's sum moves by no more"
BITS = "values are compared up to rounding, and the last bits are rounding"
SCALE = "the sum moves by what is declared; only the scale of its noise is wrong"
LAW = "noise of a known seed has the law that it should have"

SAMPLED = Replayed(batches.ZEROED, 1.0, math.inf)  # of each batch
SHUFFLED = either(batches.epoch, shuffled=(True, False))
EPOCHS = either(batches.local_steps, batches=(10, 1))
FLOATS = (aggregates.float_sum, aggregates.lattice_sum)
SEEDED = (generators.seeded_noise, generators.secret_noise)

PASSED: dict[int, tuple[Passed, ...]] = {
    9: (Passed(Trial(SAMPLED, *SHUFFLED), SHARED),),
    15: (Passed(Trial(Replayed(ONES, mu=1.0), *FLOATS), BITS),),
    18: (Passed(Trial(Replayed(aggregates.WIDE, 4097 * 2.0**20, norm=1), *OVERFLOW), SCALE),),
    27: (Passed(Trial(SAMPLED, *EPOCHS), SHARED),),
    43: (Passed(Trial(Audited(FAR, steps.CLAIM), *SEEDED), LAW),),
}
