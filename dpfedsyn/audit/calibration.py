"""The auditor audited: its own false alarms and power, measured on correct mechanisms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from dpfedsyn.audit.auditing import Verdict, audit
from dpfedsyn.audit.battery import Correct, battery
from dpfedsyn.audit.binomial import upper_rate

LEVELS = (0.05, 0.01, 1e-4)
RATIOS = (0.0, 0.5, 0.8)
_POWER_ALPHA, _POWER_CALLS = 1e-6, 20_000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Alarms:
    """Of one correct mechanism: false alarms at each level of `LEVELS`, in `audits` audits.

    Attributes:
        bounds_above: lower bounds on mu (95 %) above the true one; None where mu is not known.
    """

    name: str
    audits: int
    calls: int
    alarms: tuple[int, ...]
    bounds_above: int | None

    def upper(self, level: int) -> float:
        """Upper bound on the rate of false alarms, at 95 % confidence."""
        return upper_rate(self.alarms[level], self.audits, 1.0 - _CONFIDENCE)


@dataclass(frozen=True)
class Found:
    """Of one mechanism with `ratio` times its noise: audits that found it, and median calls."""

    name: str
    ratio: float
    audits: int
    caught: int
    calls: int | None


@dataclass(frozen=True)
class Calibration:
    """What was measured."""

    alarms: tuple[Alarms, ...]
    found: tuple[Found, ...]

    @property
    def trustworthy(self) -> bool:
        """Whether no count of false alarms contradicts its level (at 1 in 10^6 each)."""
        return all(
            1.0 - upper_rate(one.audits - count, one.audits, 1e-6) <= level
            for one in self.alarms
            for count, level in zip(one.alarms, LEVELS, strict=True)
        )


def calibrate(
    repetitions: int = 40,
    power_repetitions: int = 5,
    calls: int = 1_000,
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Calibration:
    """Audit the battery.

    Args:
        repetitions: audits of each correct mechanism, of `calls` calls. power_repetitions: of each
            mechanism with less noise. progress: told the name of what is audited next.
    """
    mechanisms = battery()
    alarms, found = [], []
    for correct in mechanisms:
        progress(correct.name)
        alarms.append(_alarms(correct, repetitions, calls, seed))
    for correct in mechanisms:
        for ratio in RATIOS:
            progress(f"{correct.name}, {ratio:g} of the noise")
            found.append(_found(correct, ratio, power_repetitions, seed))
    return Calibration(tuple(alarms), tuple(found))


def _alarms(correct: Correct, repetitions: int, calls: int, seed: int) -> Alarms:
    mechanism, limits = correct.with_noise(1.0), LEVELS
    counts, above = [0] * len(limits), 0
    mu = getattr(correct.claim, "mu", None)
    for k in range(repetitions):
        result = audit(
            mechanism, correct.neighbours, claim=correct.claim, alpha=limits[-1],
            max_calls=calls, seed=seed + k, early=False,
        )  # fmt: skip
        for level, limit in enumerate(limits):
            counts[level] += result.reached(limit)
        above += mu is not None and result.mu_lower > mu
    return Alarms(correct.name, repetitions, calls, tuple(counts), None if mu is None else above)


def _found(correct: Correct, ratio: float, repetitions: int, seed: int) -> Found:
    mechanism = correct.with_noise(ratio)
    results = [
        audit(
            mechanism, correct.neighbours, claim=correct.claim, alpha=_POWER_ALPHA,
            max_calls=_POWER_CALLS, seed=seed + k,
        )
        for k in range(repetitions)
    ]  # fmt: skip
    caught = [r.calls for r in results if r.verdict is Verdict.VIOLATION]
    typical = round(median(caught)) if len(caught) * 2 > repetitions else None
    return Found(correct.name, ratio, repetitions, len(caught), typical)


def tables(calibration: Calibration) -> tuple[Sequence[Sequence[str]], Sequence[Sequence[str]]]:
    """Rows of the two tables, headers first: false alarms, and what was found."""
    levels = [f"alarms at {level:g}" for level in LEVELS]
    first = [["correct mechanism", "audits", "calls", *levels, "bounds above mu (5 %)"]]
    for one in calibration.alarms:
        above = "-" if one.bounds_above is None else str(one.bounds_above)
        first.append([one.name, str(one.audits), str(one.calls), *map(str, one.alarms), above])
    ratios = [f"{ratio:g} of the noise" for ratio in RATIOS]
    second = [["mechanism", *ratios]]
    for name in dict.fromkeys(one.name for one in calibration.found):
        cells = [
            f"{one.caught} of {one.audits}" + (f", {one.calls} calls" if one.calls else "")
            for one in calibration.found
            if one.name == name
        ]
        second.append([name, *cells])
    return first, second
