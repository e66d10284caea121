"""The targets of the table's settings; what was not measured has no value, and a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.record import Target
from benchmarks.run.splits import Mean
from benchmarks.utility import settings as s
from benchmarks.utility import tables
from benchmarks.utility.cells import Measured
from benchmarks.utility.score import LOW
from benchmarks.utility.settings import BASE, NETWORK, OURS, REAL, Setting

LEAST: Mapping[Setting, Mapping[str, float]] = {
    s.NOT_PRIVATE: {"logistic": 0.88, "mlp": 0.89, "cnn": 0.94},
    **{
        setting: {"cnn": least}
        for setting, least in zip(s.SIXTHOUSAND, (0.981, 0.976, 0.968, 0.945), strict=True)
    },
    **{
        setting: {"cnn": least}
        for setting, least in zip(s.SIXHUNDRED, (0.95, 0.94, 0.91), strict=True)
    },
    s.PLAIN[0]: {"cnn": 0.96},
    s.PLAIN[1]: {"cnn": 0.925},
    s.DIGITS[1]: {"logistic": 0.89, "mlp": 0.90, "cnn": 0.87},
    s.DIGITS[2]: {"logistic": 0.82, "mlp": 0.83, "cnn": 0.80},
    s.TABLES[1]: {"logistic": 0.86},
    s.TABLES[2]: {"logistic": 0.83},
}
NEAR: Mapping[Setting, tuple[str, ...]] = {
    s.DIGITS[0]: s.IMAGES,
    s.TABLES[0]: ("logistic",),
}
"""Where ours may trail real data on the same splits by `BEHIND`."""

BEHIND = 0.01
DISTANCE = 0.7  # Frechet distance with the network over that without
GAIN, NEVER_WORSE = 0.85, 1.0  # denoising error over the base's, up to LOW and above
ROUNDS_COST = 0.01  # accuracy that 25 rounds may cost beside 1,000


def of_cells(found: Measured) -> dict[str, Target]:
    """Return every target that cells decide."""
    targets = {}
    for setting, wanted in LEAST.items():
        for classifier, least in wanted.items():
            targets[f"{_key(setting)}_{classifier}"] = _least(found, setting, classifier, least)
    for setting, classifiers in NEAR.items():
        for classifier in classifiers:
            targets[f"{_key(setting)}_{classifier}_behind"] = _near(found, setting, classifier)
    targets["frechet_ratio"] = _distance(found, s.GAIN)
    targets |= _gain(found, s.GAIN)
    targets["rounds_25_behind_1000"] = _rounds(found)
    return targets


def _key(setting: Setting) -> str:
    return setting.name.replace("-", "_").replace(".", "")


def _least(found: Measured, setting: Setting, classifier: str, least: float) -> Target:
    one = tables.mean(found, setting, OURS, classifier)
    if one is None:
        return Target(None, least, at_least=True, reason=found.reason(setting, OURS))
    reason = f"{setting.title}, mean of {len(found.of(setting, OURS))} of {setting.seeds} seeds"
    return Target(one.value, least, True, reason, one.standard_error)


def _near(found: Measured, setting: Setting, classifier: str) -> Target:
    results = {column: _by_seed(found, setting, column, classifier) for column in (OURS, REAL)}
    both = sorted(results[OURS].keys() & results[REAL].keys())
    if not both:
        missing = REAL if results[OURS] else OURS
        return Target(None, BEHIND, at_least=False, reason=found.reason(setting, missing))
    ours, real = ([results[column][seed] for seed in both] for column in (OURS, REAL))
    gap = Mean.of([r - o for o, r in zip(ours, real, strict=True)])
    reason = (
        f"{setting.title}: {Mean.of(ours).value:.3f} against {Mean.of(real).value:.3f} of real "
        f"data, {len(both)} of {setting.seeds} splits"
    )
    return Target(gap.value, BEHIND, False, reason, gap.standard_error)


def _by_seed(found: Measured, setting: Setting, column: str, classifier: str) -> dict[int, float]:
    results = found.of(setting, column)
    return {r["seed"]: r[setting.score][classifier] for r in results}


def _distance(found: Measured, setting: Setting) -> Target:
    ours, base = (tables.frechet(found, setting, column) for column in (NETWORK, BASE))
    if base is None:  # ours has no network there
        base = tables.frechet(found, setting, OURS)
    if ours is None or base is None:
        missing = NETWORK if ours is None else BASE
        return Target(None, DISTANCE, at_least=False, reason=found.reason(setting, missing))
    reason = f"{setting.title}: {ours:.3g} with the network, {base:.3g} of the base with its budget"
    return Target(ours / base, DISTANCE, at_least=False, reason=reason)


def _gain(found: Measured, setting: Setting) -> dict[str, Target]:
    rows = tables.denoising(found, (setting,))
    parts: dict[str, tuple[float, list[dict[str, Any]]]] = {
        "denoising_ratio_low_noise": (GAIN, [row for row in rows if row["noise level"] <= LOW]),
        "denoising_ratio_high_noise": (
            NEVER_WORSE,
            [row for row in rows if row["noise level"] > LOW],
        ),
    }
    targets = {}
    for name, (most, own) in parts.items():
        if not own:
            reason = found.reason(setting, NETWORK)
            targets[name] = Target(None, most, at_least=False, reason=reason)
            continue
        worst = max(own, key=lambda row: row["ratio"])
        reason = (
            f"{setting.title}, held-out images: worst of the noise levels "
            f"{', '.join(format(row['noise level'], 'g') for row in own)}, at "
            f"{worst['noise level']:g}"
        )
        targets[name] = Target(worst["ratio"], most, at_least=False, reason=reason)
    return targets


def _rounds(found: Measured) -> Target:
    few, many = s.ROUNDS
    scores = [tables.mean(found, setting, OURS, few.deciding) for setting in s.ROUNDS]
    if scores[0] is None or scores[1] is None:
        missing = few if scores[0] is None else many
        reason = found.reason(missing, OURS)
        return Target(None, ROUNDS_COST, at_least=False, reason=reason)
    reason = f"CNN: {scores[0].value:.3f} after 25 rounds, {scores[1].value:.3f} after 1,000"
    return Target(scores[1].value - scores[0].value, ROUNDS_COST, False, reason)
