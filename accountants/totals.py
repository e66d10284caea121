"""What a ledger's rows add up to, and whether one more may be added: pure functions of rows."""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

from accountants.errors import BudgetExhausted, LedgerMismatch, UnsupportedEvent
from accountants.events import Composed, Event
from accountants.filter import GaussianFilter, rounded_up
from accountants.parts import mu
from accountants.rows import ANSWER, Charge, Header

PlanKey = tuple[str, str, Event]


@dataclass(frozen=True)
class Totals:
    """Sums over all rows, rounded up. `record_mu2` is None where the header has no record cap."""

    answers_mu2: float
    record_mu2: float | None
    uses: dict[str, int]
    rows: int
    draws: int = 0


@dataclass(frozen=True)
class FilterState:
    """The filter's state: exact sums, and uses per planned mechanism."""

    answers: Fraction = Fraction(0)
    record: Fraction = Fraction(0)
    uses: dict[PlanKey, int] = field(default_factory=dict)
    rows: int = 0
    draws: int = 0

    def totals(self, header: Header) -> Totals:
        """What users see."""
        by_kind: dict[str, int] = {}
        for (kind, _, _), count in self.uses.items():
            by_kind[kind] = by_kind.get(kind, 0) + count
        record = None if header.record_cap is None else rounded_up(self.record)
        return Totals(rounded_up(self.answers), record, by_kind, self.rows, self.draws)


def add(header: Header, spent: FilterState, charge: Charge) -> FilterState:
    """The state after `charge`, if the filter accepts it.

    Guarantee:
        Every accepted row keeps the sums of mu^2 within the header's caps, each planned mechanism
        within its uses and the noise draws within theirs; the same function judges a request, a
        commit and a stored row.

    Raises:
        BudgetExhausted: over a cap or over the planned uses, or no positive finite cost.
        LedgerMismatch: not in the header's plan, or the cost is below what the event costs.
    """
    _check_shape(charge)
    draws = _add_draws(header, spent, charge)
    if charge.kind == ANSWER:
        return replace(_add_answer(header, spent, charge), draws=draws)
    key = (charge.kind, charge.group, charge.event)
    allowed = {(p.kind, p.group, p.event): p.uses for p in header.planned}
    if key not in allowed:
        plan = [(p.kind, p.group) for p in header.planned]
        raise LedgerMismatch(
            f"{charge.kind!r} in group {charge.group!r} with {charge.event} is not in the plan "
            f"{plan} that silo {header.silo!r} fixed in advance; nothing was charged. Charge what "
            "was planned, or open a new ledger."
        )
    used = spent.uses.get(key, 0) + charge.uses
    if used > allowed[key]:
        raise BudgetExhausted(
            f"{charge.kind!r} would be used {used} times, {allowed[key]} were planned for silo "
            f"{header.silo!r}. Nothing was charged and nothing released. Plan more uses in a new "
            "ledger; they compose with these."
        )
    return FilterState(
        spent.answers, spent.record, {**spent.uses, key: used}, spent.rows + 1, draws
    )


def _add_draws(header: Header, spent: FilterState, charge: Charge) -> int:
    """All draws with this row's; where they are capped, every row must say how many it makes."""
    total, cap = spent.draws + charge.draws, header.draws_cap
    if cap is not None and (charge.draws == 0 or total > cap):
        raise BudgetExhausted(
            f"{charge.kind!r} of silo {header.silo!r} makes {charge.draws} noise draws, {total} "
            f"with those before; at least one and at most {cap} in all are covered by the claim's "
            "delta. Nothing was charged and nothing released. Ask fewer rows or rounds, or open a "
            "new budget, which composes with this one."
        )
    return total


def _add_answer(header: Header, spent: FilterState, charge: Charge) -> FilterState:
    key = (ANSWER, charge.group, Composed(()))
    answers = GaussianFilter(header.answers_cap).admit(spent.answers, charge.mu2)
    record = spent.record
    if header.record_cap is not None:
        cost = math.nan if charge.record_mu2 is None else charge.record_mu2
        record = GaussianFilter(header.record_cap).admit(record, cost)
    if not charge.mu2 >= _mu2(charge.event) * (1 - 1e-12):
        raise LedgerMismatch(
            f"mu^2 = {charge.mu2} is below what {charge.event} costs ({_mu2(charge.event)}); "
            "nothing was charged. Charge the event's own mu^2."
        )
    used = spent.uses.get(key, 0) + charge.uses
    return FilterState(answers, record, {**spent.uses, key: used}, spent.rows + 1)


def _check_shape(charge: Charge) -> None:
    """Costs and counts that mean something, whatever the kind."""
    costs = [charge.mu2] if charge.record_mu2 is None else [charge.mu2, charge.record_mu2]
    if not all(math.isfinite(cost) and cost >= 0 for cost in costs):
        raise BudgetExhausted(
            f"Costs {costs} are not finite and non-negative; nothing was charged and nothing "
            "released. Charge what the mechanism really costs."
        )
    if charge.uses < 1 or charge.round < 0 or charge.draws < 0 or not charge.digest:
        raise LedgerMismatch(
            f"uses={charge.uses} must be >= 1, round={charge.round} and draws={charge.draws} >= 0 "
            "and the digest not empty; nothing was charged."
        )
    if (charge.kind == ANSWER) != (charge.group == "B"):
        raise LedgerMismatch(
            f"kind {charge.kind!r} cannot stand in group {charge.group!r}: answers, and only they, "
            "are group 'B'. Nothing was charged."
        )


def _mu2(event: Event) -> float:
    """Sum of mu^2 of an event made of Gaussians; infinite for any other."""
    try:
        return mu(event) ** 2
    except UnsupportedEvent:
        return math.inf
