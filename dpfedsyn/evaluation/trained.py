"""Baselines with training of their own: each made once, kept until the evaluation is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import __version__, checkpoint
from dpfedsyn.comparison import BASELINES, CLASS_GAUSSIANS, Comparison, comparisons, spending
from dpfedsyn.errors import DPError, RunError
from dpfedsyn.evaluation import claims
from dpfedsyn.evaluation.untrained import TrainingTable
from dpfedsyn.resolved import digest
from dpfedsyn.settings import TRAINED_BASELINES

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

TWIN = ", non-private twin"
UNTUNED = (
    "Untuned: {names} use the run's step size, which was chosen for a network on a private base."
)
UNACCOUNTED = (
    "it trains by Poisson-sampled DP-SGD, which is accounted under add-or-remove and zero-out "
    "only, and this run's adjacency is {adjacency}"
)
NOT_ASKED = "it was not asked for: set evaluate.baselines"


@dataclass(frozen=True)
class LeftOut:
    """A baseline that is not in the tables, and why."""

    name: str
    reason: str


def wanted(comparison: Comparison) -> tuple[str, ...]:
    """Return the baselines to make, those that take longest first."""
    asked = comparison.config.evaluate.trained
    longest_first = sorted(asked, key=TRAINED_BASELINES.index, reverse=True)
    return (*longest_first, CLASS_GAUSSIANS) if spending.possible(comparison.config) else ()


def left_out(comparison: Comparison) -> list[LeftOut]:
    """Name the baselines that are not even tried."""
    config = comparison.config
    if not spending.possible(config):
        reason = UNACCOUNTED.format(adjacency=config.privacy.adjacency)
        asked = (CLASS_GAUSSIANS, *config.evaluate.trained)
        return [LeftOut(title(comparison, key), reason) for key in asked]
    missing = [key for key in TRAINED_BASELINES if key not in config.evaluate.trained]
    return [LeftOut(title(comparison, key), NOT_ASKED) for key in missing]


def title(comparison: Comparison, key: str) -> str:
    """Return what a baseline is called; without noise it is not what its name says."""
    return BASELINES[key].title + ("" if comparison.private else TWIN)


def steps(comparison: Comparison) -> int:
    """Return how often `table` calls `on_step` for all baselines that are wanted."""
    return sum(BASELINES[key].steps(comparison) for key in wanted(comparison))


def notes(comparison: Comparison) -> list[str]:
    """Say what a reader must know of the baselines that were trained."""
    names = [title(comparison, k) for k in wanted(comparison) if BASELINES[k].untuned]
    return [UNTUNED.format(names=" and ".join(reversed(names)))] if names else []


def table(
    comparison: Comparison,
    key: str,
    labels: Labels,
    on_step: Callable[[str], None],
    kept: Path | None,
) -> TrainingTable | LeftOut:
    """Train and sample a baseline for labels (N,), or say why that cannot be done."""
    baseline, name = BASELINES[key], title(comparison, key)
    labels = labels[: baseline.most_rows]
    rng = np.random.Generator(np.random.Philox(key=_number(comparison.key("samples", key))))
    sample = comparisons(comparison, lambda _: on_step(name))[baseline.title]
    path = None if kept is None else kept / f"{key}.safetensors"
    try:
        x = _once(path, _identity(comparison, labels), lambda: sample(labels, rng))
        made = comparison.encoder.decode(x.astype(np.float32), labels)
        claim = claims.of_baseline(comparison, baseline)
    except DPError as refusal:
        return LeftOut(name, str(refusal))
    kind = claims.PRIVATE if comparison.private else claims.WITHOUT_PRIVACY
    return TrainingTable(name, kind, made.plain, made.y, claim)


def _once(path: Path | None, identity: Array, make: Callable[[], Array]) -> Array:
    """Return what an interrupted evaluation kept for the same run, or make and keep it."""
    if path is None:
        return make()
    try:
        found = checkpoint.load(path) or {}
    except RunError:
        found = {}  # it can be made again
    if {"x", "identity"} <= found.keys() and np.array_equal(found["identity"], identity):
        return found["x"]
    x = make()
    checkpoint.save(path, {"x": x, "identity": identity})
    return x


def _identity(comparison: Comparison, labels: Labels) -> Array:
    """Return what kept samples are bound to: version, configuration, schema and labels."""
    parts = (__version__, digest(comparison.config), comparison.encoder.digest)
    whole = hashlib.sha256("\n".join(parts).encode() + labels.tobytes())
    return np.frombuffer(whole.digest(), dtype=np.uint8).astype(np.float64)


def _number(key: bytes) -> int:
    return int.from_bytes(key[:16], "big")
