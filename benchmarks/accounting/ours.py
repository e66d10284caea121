"""Our own accountant, asked through its public interface."""

from __future__ import annotations

from benchmarks.accounting.answers import Accountant, Answer, Ask
from benchmarks.accounting.questions import CALIBRATE, ODOMETER, Question

ADJACENCY = "add-or-remove"
BRACKET = (0.3, 30.0)  # where noise multipliers are looked for


def prepare(question: Question) -> Ask:
    """Build the events; what is returned asks about them."""
    from accountants import (
        Composed,
        Event,
        Gaussian,
        PoissonSampled,
        Repeated,
        calibrate,
        epsilon,
        odometer,
    )

    def training(sigma: float) -> Event:
        return Repeated(PoissonSampled(Gaussian(sigma), question.rate), question.steps)

    rounds = tuple(Gaussian(sigma) for sigma in question.rounds)
    parts = (training(question.sigma), *rounds) if question.steps else rounds
    event = Composed(parts)

    def one() -> Answer:
        found = epsilon(event, delta=question.delta, adjacency=ADJACENCY)
        return Answer(lower=found.lower, upper=found.upper)

    def after_each_round() -> Answer:
        found = odometer(parts[0], rounds, delta=question.delta, adjacency=ADJACENCY, cascade=False)
        curve = tuple((bound.lower, bound.upper) for bound in found)
        return Answer(curve[-1][0], None, curve[-1][1], curve, len(curve))

    def noise_multiplier() -> Answer:
        found = calibrate(
            training, epsilon=question.budget, delta=question.delta, adjacency=ADJACENCY,
            bracket=BRACKET,
        )  # fmt: skip
        return Answer(upper=found)

    return {ODOMETER: after_each_round, CALIBRATE: noise_multiplier}.get(question.kind, one)


OURS = Accountant("accountants", None, prepare)
