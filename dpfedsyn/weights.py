"""Mixing weights per label, and the labels to generate: from noisy counts, or public."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import FederationError

Array = NDArray[np.float64]

ABSTAIN_BELOW = 2.0  # noise standard deviations


@dataclass(frozen=True)
class TargetMixture:
    """The target sum_i w_i(y) p_i(x | y) p(y)."""

    weights: Array  # (K, classes), columns sum to 1; 0: the silo abstains for that label
    labels: Array  # (classes,), shares of the labels, sum 1


def from_counts(counts: Array, std: Array) -> TargetMixture:
    """Weights w_i(y) in proportion to max(noisy n_i(y), 0): post-processing of released counts.

    Args:
        counts: (K, classes) noisy.
        std: (K,) their noise.

    Guarantee:
        Weights and abstention are functions of the released noisy counts and their public noise
        alone: they cost nothing beside the counts.

    A silo whose noisy count lies below two noise standard deviations abstains for that label: it
    most likely never saw it, and its model would answer confident nonsense.
    """
    kept = np.where(seen(counts, std), counts, 0.0)
    totals = kept.sum(axis=0)
    if not totals.any():
        raise FederationError(
            f"every noisy label count lies below {ABSTAIN_BELOW:g} of its noise standard "
            f"deviations ({std.max():.3g} records): no label has a silo. Raise privacy.epsilon or "
            "privacy.counts_share, or set weights.source = 'public'."
        )
    weights = np.divide(kept, totals, out=np.zeros_like(kept), where=totals > 0.0)
    return TargetMixture(weights, totals / totals.sum())


def seen(counts: Array, std: Array) -> NDArray[np.bool_]:
    """Return which noisy counts (K, classes) rise out of their noise (K,): (K, classes)."""
    found: NDArray[np.bool_] = counts >= ABSTAIN_BELOW * std[:, None]
    return found


def public(silo_weights: Array, label_shares: Array) -> TargetMixture:
    """Weights that come from the configuration: the same for every label, nothing is released."""
    weights = np.repeat((silo_weights / silo_weights.sum())[:, None], len(label_shares), axis=1)
    return TargetMixture(weights, label_shares / label_shares.sum())


def prior(mixture: TargetMixture, kind: str) -> Array:
    """Return w_i(y) (K, classes): the mixture's own weights, or 1/K for `uniform`."""
    if kind == "uniform":
        return np.full_like(mixture.weights, 1.0 / len(mixture.weights))
    return mixture.weights


def draw_labels(mixture: TargetMixture, rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return `rows` labels by systematic sampling: counts are within one of rows * p(y)."""
    points = (np.arange(rows) + rng.random()) / rows
    labels = np.searchsorted(_cumulative(mixture.labels), points)
    return rng.permutation(labels).astype(np.int64)


def draw_silos(
    weights: Array, labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return one silo per row, I ~ w(y), stratified within each label."""
    silos = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        points = (np.arange(len(rows)) + rng.random()) / len(rows)
        silos[rows] = np.searchsorted(_cumulative(weights[:, label]), points)
    return silos


def _cumulative(shares: Array) -> Array:
    """Cumulative shares that end at 1 exactly, so that no point falls beyond the last share."""
    cumulative = np.cumsum(shares)
    ending_at_one: Array = cumulative / cumulative[-1]
    return ending_at_one
