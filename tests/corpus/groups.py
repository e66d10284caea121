"""Rows about tables: groups, domains, contributions, and choices that private data make."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from accountants import Gaussian, Unit
from tests.corpus.case import PATTERN, Case, Trial, case
from tests.corpus.checks import Audited, Replayed
from tests.corpus.rows import Array, Rng, added, clipped, noised

GOOGLE = "https://github.com/google/differential-privacy"
CORD = "https://arxiv.org/abs/2602.17454"  # Re:cord-play's list of violations
ONE = Gaussian(1.0)


# 35, 41: which groups there are


def histogram(data: Array, rng: Rng, *, public: bool) -> Any:
    """Count labels, of a public list or of those that occur."""
    labels = np.arange(4.0) if public else np.unique(data[:, 0])
    counts = np.sum(data[:, 0][:, None] == labels[None], axis=0)
    return noised(counts, 1.0, rng)


def explicit_keys(data: Array, rng: Rng, *, fill_first: bool) -> Any:
    """Count labels of a public list; those without rows are filled before the noise, or after.

    The filled ones were one scalar, noised once and spread over all missing keys.
    """
    labels = np.arange(4.0)
    counts = np.sum(data[:, 0][:, None] == labels[None], axis=0)
    if fill_first:
        return noised(counts, 1.0, rng)
    present = counts > 0
    released = np.empty(4)
    released[present] = noised(counts[present], 1.0, rng)
    released[~present] = noised(0.0, 1.0, rng)
    return released


# 36: a budget for the part that is missing


def network_scores(data: Array, rng: Rng, *, share: float) -> Any:
    """Release two-way counts, half of the budget for those without a parent.

    Args:
        share: of the noise, (features - parents) / features in the original: 0 at full degree.
    """
    counts = np.array([np.sum((data[:, 0] > 0) & (data[:, 1] > 0)), np.sum(data[:, 0] > 0)])
    return noised(counts.astype(float), math.sqrt(2.0) * share, rng)


# 37: the budget is spent twice


def statistics_and_model(data: Array, rng: Rng, *, parts: int) -> Any:
    """Release a sum for the statistics and one for the model; each noised for 1 / parts of it."""
    std = math.sqrt(parts)
    return [noised(clipped(data).sum(axis=0), std, rng) for _ in range(2)]


# 38: the domain of a synthetic table


def synthetic(data: Array, rng: Rng, *, public: bool) -> Any:
    """Release a noisy histogram over bins, with the bins' edges."""
    low, high = (0.0, 10.0) if public else (data[:, 0].min(), data[:, 0].max())
    counts, edges = np.histogram(np.clip(data[:, 0], low, high), bins=4, range=(low, high))
    return {"edges": edges, "counts": noised(counts, 1.0, rng)}


# 39: contributions are bounded per value, not per user


def bounded_count(data: Array, *, by_user: bool) -> Array:
    """Count values with at most one contribution of each user.

    Rows are (user, value). Keyed by the value, users that share one are taken for one, and a user
    with several values counts as several.
    """
    keys = data[:, 0] if by_user else data[:, 1]
    kept = data[np.unique(keys, return_index=True)[1]] if len(data) else data
    return np.array([float(len(kept))])


_USERS = np.array([[0.0, 1.0], [1.0, 1.0]])
PERSON = (_USERS, np.vstack([_USERS, [[2.0, 2.0], [2.0, 3.0], [2.0, 4.0]]]))


def released_count(data: Array, rng: Rng, *, by_user: bool) -> Any:
    """Release the count with noise for a sensitivity of 1."""
    return noised(bounded_count(data, by_user=by_user), 1.0, rng)


# 46: choices that private data make


def standardised(data: Array, rng: Rng, *, private: bool) -> Any:
    """Release a sum of standardised, clipped values, and what they were standardised by."""
    centre, spread = (data.mean(), data.std() + 0.1) if private else (0.5, 1.0)
    total = clipped((data - centre) / spread).sum(axis=0)
    return {"centre": centre, "spread": spread, "sum": noised(total, 1.0, rng)}


LONGEST = 8


def early_stopping(data: Array, rng: Rng, *, private: bool) -> Any:
    """Take noised steps of gradient descent until the validation error grows."""
    weights, steps, best = np.zeros(2), [], math.inf
    for _ in range(LONGEST):
        step = noised(clipped(data - weights).sum(axis=0), math.sqrt(LONGEST), rng)
        weights = weights + 0.1 * step
        steps.append(weights)
        error = float(((data - weights) ** 2).sum()) if private else 0.0
        if error > best:
            break
        best = min(best, error)
    return np.vstack([*steps, np.zeros((LONGEST - len(steps), 2))])


VALUES = added((1.0, 1.0))
FAR = added((40.0, 30.0))
LABELS = added((3.0, 0.0), ((0.0, 0.0), (1.0, 0.0), (1.0, 0.0)))

CASES: tuple[Case, ...] = (
    case(
        35, "The labels that occur are the domain",
        CORD,
        partial(histogram, public=False), partial(histogram, public=True),
        Audited(LABELS, ONE), Replayed(LABELS, sensitivity=1.0),
    ),
    case(
        36, "No noise where every feature is a parent",
        CORD,
        partial(network_scores, share=0.0), partial(network_scores, share=1.0),
        Audited(VALUES, ONE, max_calls=1000), Replayed(VALUES, mu=1.0),
    ),
    case(
        37, "The whole budget for each of two parts",
        CORD,
        partial(statistics_and_model, parts=1), partial(statistics_and_model, parts=2),
        Audited(VALUES, ONE), Replayed(VALUES, mu=1.0),
    ),
    case(
        38, "Edges of bins from the data",
        "https://arxiv.org/abs/2405.10994",
        partial(synthetic, public=False), partial(synthetic, public=True),
        Audited(FAR, ONE), Replayed(FAR, sensitivity=1.0),
    ),
    case(
        39, "Contributions are bounded by value, not by user",
        f"{GOOGLE}/commit/e149618",
        partial(released_count, by_user=False), partial(released_count, by_user=True),
        Audited(PERSON, ONE, unit=Unit.PERSON), Replayed(PERSON, sensitivity=1.0),
    ),
    case(
        41, "One draw for all keys that are filled in",
        "https://github.com/opendp/opendp/issues/2344",
        partial(explicit_keys, fill_first=False), partial(explicit_keys, fill_first=True),
        Audited(LABELS, ONE), Replayed(LABELS, sensitivity=1.0),
    ),
    case(
        46, "Preprocessing and stopping by private data, unpaid",
        PATTERN,
        partial(standardised, private=True), partial(standardised, private=False),
        Audited(FAR, ONE), Replayed(FAR, sensitivity=1.0),
        Trial(
            Replayed(FAR, mu=1.0),
            partial(early_stopping, private=True), partial(early_stopping, private=False),
        ),
    ),
)  # fmt: skip
