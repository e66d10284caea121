"""Which of the seeded bugs are caught, by ours and by peers.

Ours calls the mechanism until it is sure. Peers bound epsilon from scores: they are given those
that our rules, learnt on 30 % of the calls, give to the rest, and flag a bug where their bound at
95 % is above the claim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import accountants
from benchmarks.audit import peers
from benchmarks.audit.seeded import BUGGY, Seeded
from benchmarks.audit.tightness import DELTA, SIGNIFICANCE
from benchmarks.record import Table, Target
from dpfedsyn.audit import Verdict, audit
from dpfedsyn.audit.calling import Caller, Outputs
from dpfedsyn.audit.scores import learn

Array = NDArray[np.float64]

WARM_UP = 0.3  # share of the calls on which peers' scores are learnt
Measured = tuple[dict[str, Target], Table]


@dataclass(frozen=True)
class Level:
    """A budget of calls, a level, and how many of the 24 are to be caught with them."""

    calls: int
    alpha: float
    wanted: int

    @property
    def target(self) -> str:
        """What its target is called."""
        return f"bugs_{self.calls}_calls"

    @property
    def column(self) -> str:
        """What its column is called."""
        return f"{self.calls:g} calls, alpha {self.alpha:g}"


LEVELS = (Level(10_000, 1e-4, 23), Level(30_000, 1e-6, 24))


def caught(one: Seeded, level: Level, seed: int) -> tuple[bool, int]:
    """Whether an audit flags it, and after how many calls it stopped."""
    found = audit(
        one.mechanism, one.neighbours, claim=one.claim, alpha=level.alpha, max_calls=level.calls,
        seed=seed, adjacency=one.adjacency,
    )  # fmt: skip
    return found.verdict is Verdict.VIOLATION, found.calls


def ours(
    seeds: int, levels: Sequence[Level], say: Callable[[str], None], bugs: Sequence[Seeded] = BUGGY
) -> Measured:
    """Return how many bugs are caught at each level, in at least nine of ten seeds."""
    rows: dict[str, dict[str, Any]] = {one.name: {"bug": one.name} for one in bugs}
    targets = {}
    for level in levels:
        missed = []
        for one in bugs:
            say(f"{one.name}: {level.column}")
            found = [caught(one, level, seed) for seed in range(seeds)]
            times = sum(flagged for flagged, _ in found)
            rows[one.name][level.column] = f"{times}/{seeds}"
            rows[one.name][f"median calls, alpha {level.alpha:g}"] = median(n for _, n in found)
            if not enough(times, seeds):
                missed.append(f"{one.name} ({times}/{seeds})")
        value = len(bugs) - len(missed)
        reason = f"of {len(bugs)}, {seeds} seeds each; missed: {', '.join(missed) or 'none'}"
        targets[level.target] = Target(value, level.wanted, at_least=True, reason=reason)
    return targets, [*rows.values(), _total(list(rows.values()))]


def of_peers(
    seeds: int, calls: int, say: Callable[[str], None], bugs: Sequence[Seeded] = BUGGY
) -> Table:
    """Return how many of the seeds' bounds are above the claim."""
    say("peers on the bugs")
    scores = {}
    for one in bugs:
        pairs = [scored(one, calls, seed) for seed in range(seeds)]
        without, with_ = (np.stack(part) for part in zip(*pairs, strict=True))
        scores[one.name] = (without, with_)
    jobs = [(method, one.name) for one in bugs for method in peers.METHODS]
    asked = peers.ask(scores, jobs, delta=DELTA, significance=SIGNIFICANCE)
    rows = []
    for one in bugs:
        claimed = accountants.epsilon(one.claim, delta=DELTA, adjacency=one.adjacency).upper
        row: dict[str, Any] = {"bug": one.name}
        for method in peers.METHODS:
            said = asked.answers[method, one.name]
            flagged = sum(bound > claimed for bound in said.bounds)
            row[method] = said.failed or f"{flagged}/{len(said.bounds)}"
        rows.append(row)
    return [*rows, _total(rows)]


def _total(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many are caught in each column of counts."""
    total: dict[str, Any] = {"bug": "caught"}
    for column in rows[0]:
        counts = [str(row[column]).split("/") for row in rows]
        known = [(int(one[0]), int(one[1])) for one in counts if one[0].isdigit() and len(one) == 2]
        if known:
            total[column] = str(sum(enough(*one) for one in known))
    return total


def enough(times: int, seeds: int) -> bool:
    """Nine of ten, or the same share of fewer."""
    return 10 * times >= 9 * seeds


def scored(one: Seeded, calls: int, seed: int) -> tuple[Array, Array]:
    """Scores of calls on either neighbour by the rule that did best on the calls before them."""
    rng = np.random.default_rng([seed, 1])
    caller, half = Caller(one.mechanism), calls // 2
    without, with_ = (caller.draw(data, half, rng) for data in one.neighbours)
    learning = int(WARM_UP * half)
    past = _both(without.take(slice(learning)), with_.take(slice(learning)))
    order = rng.permutation(2 * learning)
    labels = np.repeat([0.0, 1.0], learning)[order]
    rules = learn(past.take(order), labels)
    signs = 2.0 * labels - 1.0
    best = max(rules, key=lambda rule: float(-np.logaddexp(0.0, -signs * rule.past).sum()))
    rest = slice(learning, None)
    return best.score(without.take(rest)), best.score(with_.take(rest))


def _both(one: Outputs, other: Outputs) -> Outputs:
    values = np.concatenate([one.values, other.values])
    return Outputs(values, np.concatenate([one.outcomes, other.outcomes]))
