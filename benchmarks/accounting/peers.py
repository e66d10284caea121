"""Other projects' accountants, as their documentation says to use them.

Each is imported in the process that asks it. What one cannot be asked raises NotAnsweredError;
what it does badly (slow, wrong, infinite) is left to be measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.accounting.answers import Accountant, Answer, Ask, NotAnsweredError
from benchmarks.accounting.ours import BRACKET
from benchmarks.accounting.questions import CALIBRATE, EPSILON, ODOMETER, Question

ODOMETER_SECONDS = 20.0  # an odometer is stopped after so long; `rounds` says how far it came
PRV_ERROR = 0.01  # of epsilon: Opacus' default


def _only(question: Question, *kinds: str) -> None:
    if question.kind not in kinds:
        raise NotAnsweredError(f"has no {question.kind}")


def _until_late(after_round: Callable[[int], float], count: int) -> Answer:
    """Ask after each round until time is up."""
    began, last, done = time.process_time(), 0.0, 0
    while done < count and time.process_time() - began < ODOMETER_SECONDS:
        last, done = after_round(done), done + 1
    return Answer(upper=last if done == count else None, rounds=done)


def _opacus(name: str) -> Callable[[Question], Ask]:
    def prepare(question: Question) -> Ask:
        from opacus.accountants import create_accountant
        from opacus.accountants.utils import get_noise_multiplier

        if name == "gdp":
            _only(question, EPSILON)
            if question.rounds or not question.steps:
                raise NotAnsweredError("composes equal steps only")
        else:
            _only(question, EPSILON, ODOMETER, CALIBRATE)
        accountant = create_accountant(mechanism=name)
        steps = [(question.sigma, question.rate, question.steps)] if question.steps else []
        rounds = [(sigma, 1.0, 1) for sigma in question.rounds]

        def one() -> Answer:
            accountant.history = steps + rounds
            found = float(accountant.get_epsilon(question.delta))
            return Answer(estimate=found) if name == "gdp" else Answer(upper=found)

        def after(index: int) -> float:
            accountant.history = steps + rounds[: index + 1]
            return float(accountant.get_epsilon(question.delta))

        def noise_multiplier() -> Answer:
            found = get_noise_multiplier(
                target_epsilon=question.budget, target_delta=question.delta,
                sample_rate=question.rate, steps=question.steps, accountant=name,
            )  # fmt: skip
            return Answer(upper=float(found))

        if question.kind == ODOMETER:
            return lambda: _until_late(after, len(rounds))
        return noise_multiplier if question.kind == CALIBRATE else one

    return prepare


def _dp_accounting(interval: float | None) -> Callable[[Question], Ask]:
    """`interval` of its privacy loss distribution; None for its Renyi accountant."""

    def prepare(question: Question) -> Ask:
        import dp_accounting as dpa
        from dp_accounting.pld import PLDAccountant
        from dp_accounting.rdp import RdpAccountant

        def fresh() -> Any:
            if interval is None:
                return RdpAccountant()
            return PLDAccountant(value_discretization_interval=interval)

        def training(sigma: float) -> Any:
            step = dpa.PoissonSampledDpEvent(question.rate, dpa.GaussianDpEvent(sigma))
            return dpa.SelfComposedDpEvent(step, question.steps)

        first = [training(question.sigma)] if question.steps else []
        rounds = [dpa.GaussianDpEvent(sigma) for sigma in question.rounds]
        event = dpa.ComposedDpEvent(first + rounds)

        def one() -> Answer:
            return Answer(upper=float(fresh().compose(event).get_epsilon(question.delta)))

        def each() -> Answer:
            accountant = fresh()
            for part in first:
                accountant.compose(part)
            return _until_late(
                lambda i: float(accountant.compose(rounds[i]).get_epsilon(question.delta)),
                len(rounds),
            )

        def noise_multiplier() -> Answer:
            bracket = dpa.ExplicitBracketInterval(*BRACKET)
            found = dpa.calibrate_dp_mechanism(
                fresh, training, question.budget, question.delta, bracket
            )
            return Answer(upper=float(found))

        return {ODOMETER: each, CALIBRATE: noise_multiplier}.get(question.kind, one)

    return prepare


def _prv(question: Question) -> Ask:
    _only(question, EPSILON, CALIBRATE)
    import prv_accountant as prv
    from prv_accountant.dpsgd import find_noise_multiplier

    step = prv.PoissonSubsampledGaussianMechanism
    parts = [step(question.rate, question.sigma)] if question.steps else []
    parts += [prv.GaussianMechanism(sigma) for sigma in question.rounds]
    counts = ([question.steps] if question.steps else []) + [1] * len(question.rounds)

    def one() -> Answer:
        accountant = prv.PRVAccountant(
            prvs=parts, max_self_compositions=counts, eps_error=PRV_ERROR,
            delta_error=question.delta / 1000,
        )  # fmt: skip
        lower, estimate, upper = accountant.compute_epsilon(question.delta, counts)
        return Answer(float(lower), float(estimate), float(upper))

    def noise_multiplier() -> Answer:
        found = find_noise_multiplier(
            question.rate, question.steps, question.budget, question.delta, eps_error=PRV_ERROR
        )
        return Answer(upper=float(found))

    return noise_multiplier if question.kind == CALIBRATE else one


def _autodp(question: Question) -> Ask:
    _only(question, EPSILON)
    from autodp import mechanism_zoo, transformer_zoo

    if question.rounds and question.steps:
        raise NotAnsweredError("not asked: sampled and plain Gaussians together")

    def one() -> Answer:
        if question.steps:
            whole = mechanism_zoo.NoisySGD_Mechanism(question.rate, question.sigma, question.steps)
        else:
            parts = [mechanism_zoo.GaussianMechanism(sigma) for sigma in question.rounds]
            whole = transformer_zoo.ComposeGaussian()(parts, [1] * len(parts))
        return Answer(upper=float(whole.get_approxDP(question.delta)))

    return one


PEERS = (
    Accountant("opacus RDP", "opacus", _opacus("rdp")),
    Accountant("opacus PRV", "opacus", _opacus("prv")),
    Accountant("opacus GDP", "opacus", _opacus("gdp")),
    Accountant("dp_accounting RDP", "dp-accounting", _dp_accounting(None)),
    Accountant("dp_accounting PLD 1e-4", "dp-accounting", _dp_accounting(1e-4)),
    Accountant("dp_accounting PLD 1e-3", "dp-accounting", _dp_accounting(1e-3)),
    Accountant("prv_accountant", "prv-accountant", _prv),
    Accountant("autodp RDP", "autodp", _autodp),
)
