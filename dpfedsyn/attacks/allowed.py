"""What the claim of a run allows an attacker at most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from accountants import Adjacency, Event
from dpfedsyn import attacker, lattice
from dpfedsyn.marking import void_because
from dpfedsyn.plan import Plan

_GRID = ndtr(np.linspace(-4.5, 4.5, 61))


@dataclass(frozen=True)
class LargestSuccess:
    """The largest success of any attack on one record, over the silos that are attacked.

    Args:
        events: their record-level claims with answers at their caps, each distinct one once.
        adjacency: of the claims.
        deviation: total variation between ideal and drawn noise, generator included.
        void: why nothing is claimed, or None.
    """

    events: tuple[Event, ...]
    adjacency: Adjacency
    deviation: float
    void: str | None

    def true_positive_rate(self, fpr: float) -> float:
        """The largest share of used records that can be found at this false-positive rate.

        Guarantee:
            No attack on what leaves the silos finds a record with a larger probability, if the
            claim holds: the upper end of the worst silo's trade-off function, with what drawn
            noise deviates on either rate. 1 where nothing is claimed.
        """
        if self.void is not None:
            return 1.0
        side, drawn = self.adjacency, self.deviation
        return max(
            attacker.true_positive_rate(event, fpr, adjacency=side, deviation=drawn)
            for event in self.events
        )

    @cached_property
    def auc(self) -> float:
        """The largest area under the curve of true- over false-positive rates, from above."""
        if self.void is not None:
            return 1.0
        rates = np.concatenate([[0.0], _GRID, [1.0]])
        # The true-positive rate grows, so its value at the right end of a step lies above it.
        heights = np.array([self.true_positive_rate(rate) for rate in rates[1:].tolist()])
        return min(1.0, float((np.diff(rates) * heights).sum()))


def allowed(plan: Plan, silos: tuple[str, ...]) -> LargestSuccess:
    """Return what the claims of these silos allow."""
    draws = max(plan.draws(name).total for name in silos)
    return LargestSuccess(
        events=tuple(dict.fromkeys(plan.budgets[name].record_claim() for name in silos)),
        adjacency=plan.adjacency,
        deviation=lattice.total_variation(draws) + lattice.generator_advantage(draws),
        void=void_because(plan.config),
    )
