"""A contract for any accountant of Poisson-sampled Gaussian steps (DP-SGD), its own or yours.

    accountant_contract(RDPAccountant)                       # has step(...) and get_epsilon(delta)
    accountant_contract(of_history(my_epsilon))              # my_epsilon(history, delta)

Each clause is a Hypothesis property; all that are broken are named, each with its smallest example.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from accountants import Composed, Event, Gaussian, PoissonSampled, Repeated
from accountants import epsilon as certified

Step = tuple[float, float, int]  # noise multiplier (std / clip), sampling rate, steps
History = Sequence[Step]


class Accountant(Protocol):
    """What the contract asks of an accountant; those of Opacus have it."""

    def step(self, *, noise_multiplier: float, sample_rate: float) -> None:
        """Note one step."""
        ...

    def get_epsilon(self, delta: float) -> float:
        """Return epsilon of all steps so far."""
        ...


@dataclass
class _OfHistory:
    epsilon: Callable[[list[Step], float], float]
    history: list[Step]

    def step(self, *, noise_multiplier: float, sample_rate: float) -> None:
        self.history.append((noise_multiplier, sample_rate, 1))

    def get_epsilon(self, delta: float) -> float:
        return self.epsilon(self.history, delta)


def of_history(epsilon: Callable[[list[Step], float], float]) -> Callable[[], Accountant]:
    """Make an accountant of a function `(history, delta) -> epsilon`.

    history: a list of (noise multiplier, sampling rate, steps).
    """
    return lambda: _OfHistory(epsilon, [])


@dataclass(frozen=True)
class Clause:
    """One sentence of the contract, and its check: `check(contract, case)` asserts."""

    sentence: str
    check: Callable[[_Contract, Any], None]


@dataclass(frozen=True)
class _Contract:
    make: Callable[[], Any]
    bounds: Literal["upper", "lower"]
    adjacency: str
    tolerance: float
    slack: float
    replace: Callable[[], Any] | None
    calibrate: Callable[[float, float, float, int], float] | None

    def epsilon(self, history: History, delta: float, make: Any = None) -> float:
        found = float(self.filled(history, make).get_epsilon(delta))
        assert not math.isnan(found), f"epsilon of {history} at delta = {delta} is NaN"
        return found

    def filled(self, history: History, make: Any = None) -> Any:
        accountant = (make or self.make)()
        if isinstance(getattr(accountant, "history", None), list):  # as Opacus keeps it
            accountant.history.extend(history)
            return accountant
        for sigma, rate, steps in history:
            for _ in range(steps):
                accountant.step(noise_multiplier=sigma, sample_rate=rate)
        return accountant

    def below(self, small: float, large: float) -> bool:
        """small <= large, as far as this accountant claims to be precise."""
        return small <= large * (1 + self.tolerance) + self.slack


def _event(history: History) -> Event:
    steps = [
        Repeated(Gaussian(s) if q == 1 else PoissonSampled(Gaussian(s), q), n)
        for s, q, n in history
    ]
    return Composed(tuple(steps))


# From grids: every pair of noise and rate costs the certified reference a table of its own.
SIGMAS = st.sampled_from([1.0, 0.7, 2.0, 4.0])
RATES = st.sampled_from([0.01, 0.1, 1.0])
DELTAS = st.sampled_from([1e-5, 1e-3])
STEPS = st.tuples(SIGMAS, RATES, st.sampled_from([10, 1, 100]))
CASES = st.tuples(st.lists(STEPS, min_size=1, max_size=2), DELTAS)


def _monotone(contract: _Contract, case: Any, change: Callable[[Step], Step]) -> None:
    history, delta = case
    more = [change(step) for step in history]
    cost, higher = contract.epsilon(history, delta), contract.epsilon(more, delta)
    assert contract.below(cost, higher), f"epsilon {cost} of {history}, and {higher} of {more}"


def _in_sigma(contract: _Contract, case: Any) -> None:
    _monotone(contract, case, lambda step: (step[0] * 0.8, step[1], step[2]))


def _in_rate(contract: _Contract, case: Any) -> None:
    _monotone(contract, case, lambda step: (step[0], min(1.0, step[1] * 1.5), step[2]))


def _in_steps(contract: _Contract, case: Any) -> None:
    _monotone(contract, case, lambda step: (step[0], step[1], step[2] * 2))


def _in_delta(contract: _Contract, case: Any) -> None:
    history, delta = case
    cost, larger = contract.epsilon(history, delta), contract.epsilon(history, delta / 10)
    assert contract.below(cost, larger), f"epsilon {cost} at {delta}, {larger} at {delta / 10}"


def _permuted(contract: _Contract, case: Any) -> None:
    history, delta = case
    assume(len(history) > 1)
    one, other = contract.epsilon(history, delta), contract.epsilon(history[::-1], delta)
    same = contract.below(one, other) and contract.below(other, one)
    assert same, f"epsilon {one} of {history}, and {other} in reverse order"


def _identity(contract: _Contract, case: Any) -> None:
    ((sigma, rate, steps), *_), delta = case
    whole = contract.epsilon([(sigma, rate, steps + 1)], delta)
    parts = contract.epsilon([(sigma, rate, steps), (sigma, rate, 1)], delta)
    same = contract.below(whole, parts) and contract.below(parts, whole)
    assert same, f"{steps + 1} steps cost {whole} at once, {parts} as {steps} and 1"


def _pure_query(contract: _Contract, case: Any) -> None:
    history, delta = case
    accountant = contract.filled(history)
    before = copy.deepcopy(getattr(accountant, "history", None))
    first = accountant.get_epsilon(delta)
    after = getattr(accountant, "history", None)
    assert after == before, f"asking for epsilon turned the history {before} into {after}"
    accountant.get_epsilon(delta / 10)
    again = accountant.get_epsilon(delta)
    assert again == first, f"asked twice, epsilon is {first} and then {again}"


def _certified(contract: _Contract, case: Any) -> None:
    steps, delta = case
    history = steps[:1]  # one kind of steps: the certified bound of a mixture takes seconds
    if contract.adjacency == "replace":  # a sum of clipped terms moves by 2 C
        history = [(sigma, 1.0, steps) for sigma, _, steps in history]
        event = _event([(sigma / 2, rate, steps) for sigma, rate, steps in history])
    else:
        event = _event(history)
    claimed, ours = contract.epsilon(history, delta), certified(event, delta=delta)
    if contract.bounds == "upper":
        short = ours.lower * (1 - contract.tolerance) - contract.slack
        assert claimed >= short, f"epsilon {claimed} of {history}, certified to be >= {ours.lower}"
    else:
        over = ours.upper * (1 + contract.tolerance) + contract.slack
        assert claimed <= over, f"lower bound {claimed} of {history}, certified <= {ours.upper}"


def _factor_two(contract: _Contract, case: Any) -> None:
    history, delta = case
    if contract.replace is None:
        return
    full = [(sigma, 1.0, steps) for sigma, _, steps in history]
    half = [(sigma / 2, 1.0, steps) for sigma, _, steps in history]
    replaced = contract.epsilon(full, delta, contract.replace)
    removed = contract.epsilon(half, delta)
    assert contract.below(removed, replaced), (
        f"replacing costs {replaced} at {full}; a clipped sum moves by 2 C, which costs {removed}"
    )


def _round_trip(contract: _Contract, case: Any) -> None:
    ((_, rate, steps), *_), delta = case
    if contract.calibrate is None:
        return
    for target in (0.5, 3.0):
        sigma = contract.calibrate(target, delta, rate, steps)
        got = contract.epsilon([(sigma, rate, steps)], delta)
        assert got <= target, f"calibrated to epsilon {target}, sigma {sigma} spends {got}"
        less = contract.epsilon([(sigma * 0.95, rate, steps)], delta)
        assert less > target * 0.98, f"sigma {sigma} for epsilon {target} wastes budget: {less}"


CLAUSES = (
    Clause("epsilon falls as noise grows", _in_sigma),
    Clause("epsilon grows with the sampling rate", _in_rate),
    Clause("epsilon grows with the steps", _in_steps),
    Clause("epsilon grows as delta falls", _in_delta),
    Clause("the order of steps does not matter", _permuted),
    Clause("steps noted at once or apart cost the same", _identity),
    Clause("asking for epsilon changes nothing", _pure_query),
    Clause("no claim contradicts the certified bound", _certified),
    Clause("replacing costs as much as half the noise", _factor_two),
    Clause("calibrated noise meets its budget, and barely", _round_trip),
)
"""What `accountant_contract` asks of an accountant, clause by clause."""


def accountant_contract(
    make: Callable[[], Any],
    *,
    bounds: Literal["upper", "lower"] = "upper",
    adjacency: Literal["add-or-remove", "replace"] = "add-or-remove",
    replace: Callable[[], Any] | None = None,
    calibrate: Callable[[float, float, float, int], float] | None = None,
    tolerance: float = 1e-6,
    slack: float = 0.0,
    max_examples: int = 10,
    clauses: Sequence[Clause] = CLAUSES,
) -> None:
    """Check every clause; name all that are broken.

    Args:
        make: makes an empty `Accountant`. Where it has a list `history` of (noise multiplier,
            sampling rate, steps), as Opacus' have, steps are put there; else `step` is called.
        bounds: whether its epsilon is an upper bound (a claim: never below our certified lower end)
            or a lower one (never above our upper end).
        adjacency: of its epsilon; noise multipliers are std / clip norm under both.
        replace: makes the same accountant under replace, if there is one.
        calibrate: `(epsilon, delta, sampling rate, steps) -> noise multiplier`, if there is one.
        tolerance: relative and absolute error that the accountant states for itself.
        slack: relative and absolute error that the accountant states for itself.

    Raises:
        AssertionError: broken clauses, each with its smallest example.
    """
    contract = _Contract(make, bounds, adjacency, tolerance, slack, replace, calibrate)
    broken = []
    for clause in clauses:
        try:
            _property(contract, clause, max_examples)()
        except AssertionError as error:
            broken.append(f"- {clause.sentence}: {error}")
    if broken:
        raise AssertionError(
            f"{len(broken)} of {len(clauses)} clauses are broken, so its epsilon is no claim:\n"
            + "\n".join(broken)
        )


def _property(contract: _Contract, clause: Clause, max_examples: int) -> Callable[[], None]:
    @settings(
        max_examples=max_examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(CASES)
    def holds(case: tuple[list[Step], float]) -> None:
        clause.check(contract, case)

    return holds
