"""Rows about single releases: sums, means, histograms, synthetic tables."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtri

from accountants import Adjacency, Gaussian, Unit
from tests.corpus.case import PATTERN, Case, Trial, case
from tests.corpus.checks import Audited, Replayed, Sensitive
from tests.corpus.rows import Array, Rng, added, clipped, noised, pairs, replaced
from tests.corpus.sampled_steps import with_noise

GOOGLE = "https://github.com/google/differential-privacy"
CORD = "https://arxiv.org/abs/2602.17454"  # Re:cord-play's list of violations
SDK = "https://github.com/opendp/smartnoise-sdk"
CORE = "https://github.com/opendp/smartnoise-core"
IBM = "https://github.com/IBM/differential-privacy-library"
ONE = Gaussian(1.0)


# 15: values and noise are floats, and their last bits tell where they were added


def float_sum(data: Array, rng: Rng) -> Any:
    """Add textbook noise to a sum of floats."""
    return noised(np.clip(data[:, 0], 0.0, 1.0).sum(keepdims=True), 1.0, rng)


def lattice_sum(data: Array, rng: Rng) -> Any:
    """Do the same on a lattice: whole numbers of a spacing, before and after."""
    spacing = 2.0**-20
    value = np.floor(np.clip(data[:, 0], 0.0, 1.0).sum(keepdims=True) / spacing)
    return (value + np.rint(rng.normal(0.0, 1.0 / spacing, 1))) * spacing


# 16: a sum in half precision forgets values or keeps them, as its size is


def half_precision(data: Array) -> Any:
    """Add clamped values one after the other in float16."""
    total = np.float16(0.0)
    for value in np.clip(data[:, 0], -1.0, 2.0).astype(np.float16):
        total = np.float16(total + value)
    return np.array([float(total)])


def exact(data: Array) -> Any:
    """Add clamped values exactly."""
    return np.array([math.fsum(np.clip(data[:, 0], -1.0, 2.0))])


# 1024 twos reach 2048, from where the spacing of float16 is 2 upwards and 1 downwards.
_CLIMB, _FALL = np.full((1024, 1), 2.0), np.full((60, 1), -0.6)
ROUNDED = (np.vstack([_CLIMB, _FALL]), np.vstack([_CLIMB, [[2.0]], _FALL]))


# 17, 19, 21: what is clamped


def clamped(data: Array, *, nan_passes: bool) -> Array:
    """Sum values clamped to [-1, 1] by comparing them with the ends."""
    values = data[:, 0].copy()
    values[values > 1.0] = 1.0
    values[values < -1.0] = -1.0
    if not nan_passes:
        values[np.isnan(values)] = 0.0
    return values.sum(keepdims=True)


def clipped_sum(data: Array) -> Array:
    """Sum clipped rows."""
    return clipped(data).sum(axis=0)


def halved_sum(data: Array) -> Array:
    """Sum rows clipped to half the norm: replacing one moves it by the whole."""
    return clipped(data, 0.5).sum(axis=0)


def covariance(data: Array, *, of_clamped: bool) -> Array:
    """Sum products of two columns; declared for columns clamped to [-1, 1]."""
    held = np.clip(np.nan_to_num(data, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    used = held if of_clamped else np.nan_to_num(data, posinf=1e3, neginf=-1e3)
    return np.array([float(used[:, 0] @ used[:, 1])])


# 18: the product of two bounds overflows


def many_sums(data: Array, rng: Rng, *, number: Any) -> Any:
    """Release sums of a user's values in 4,097 partitions with Laplace noise for epsilon = 1.

    Args:
        number: the type in which L0 bound * L-infinity bound is computed.
    """
    partitions, bound = 4097, 2**20
    with np.errstate(over="ignore"):
        sensitivity = float(number(partitions) * number(bound))  # int32: 2^20 of 2^32 + 2^20
    values = np.clip(data, 0.0, bound).sum(axis=0)
    return values + rng.laplace(0.0, sensitivity, partitions)


# Whatever is 1-DP is mu-GDP for this mu: its trade-off curve lies above the Gaussian one.
PURE = Gaussian(1.0 / (2.0 * ndtri(1.0 / (1.0 + math.exp(-1.0)))))
WIDE = (np.zeros((2, 4097)), np.vstack([np.zeros((2, 4097)), np.full((1, 4097), 2.0**20)]))


# 20: the sensitivity of a mean


def mean(data: Array, rng: Rng, *, size: Any) -> Any:
    """Release a mean of values in [0, 1] with noise for a sensitivity of 1 / size."""
    divisor = size(data)
    total = np.clip(data[:, 0], 0.0, 1.0).sum(keepdims=True)
    return total / divisor + rng.normal(0.0, 1.0 / divisor, 1)


# 33, 34: the scale of the noise


def unit_confusion(data: Array, rng: Rng, *, power: int) -> Any:
    """Release a sum clipped to 0.1 with noise of clip^power."""
    return noised(clipped(data, 0.1).sum(axis=0), 0.1**power, rng)


def regression(data: Array, rng: Rng, *, ends: tuple[int, int], share: float) -> Any:
    """Release sums of squares of two features in [1, 3], together 1-GDP.

    Args:
        ends: of the interval that the sensitivity is taken from. share: of the budget, each.
    """
    interval = (1.0, 3.0)
    bound = max(abs(interval[end]) for end in ends) ** 2
    squares = np.clip(data, *interval) ** 2
    return [noised(squares[:, k].sum(keepdims=True), bound / share, rng) for k in (0, 1)]


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
    return [noised(clipped_sum(data), std, rng), noised(clipped_sum(data), std, rng)]


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
HALF = ((0.2, 0.1), (0.3, 0.4))
LABELS = added((3.0, 0.0), ((0.0, 0.0), (1.0, 0.0), (1.0, 0.0)))

CASES: tuple[Case, ...] = (
    case(
        15, "Last bits of floating-point noise",
        "https://doi.org/10.1145/2382196.2382264",
        float_sum, lattice_sum,
        Audited(added((1.0,), ((0.0,), (0.0,))), ONE, low_bits=True),
    ),
    case(
        16, "Rounding makes a sum move by more than a value",
        "https://arxiv.org/abs/2207.10635",
        partial(with_noise, query=half_precision), partial(with_noise, query=exact),
        Audited(ROUNDED, Gaussian(0.5), max_calls=1000), Replayed(ROUNDED, sensitivity=2.0),
    ),
    case(
        17, "NaN passes a clamp",
        f"{GOOGLE}/pull/405",
        partial(with_noise, query=partial(clamped, nan_passes=True)),
        partial(with_noise, query=partial(clamped, nan_passes=False)),
        Audited(added((math.nan, 0.0)), ONE),
        Sensitive(pairs(1), 1.0).on(
            partial(clamped, nan_passes=True), partial(clamped, nan_passes=False)
        ),
        Replayed(added((math.nan, 0.0)), sensitivity=1.0),
    ),
    case(
        18, "L1 sensitivity overflows",
        f"{GOOGLE}/pull/411",
        partial(many_sums, number=np.int32), partial(many_sums, number=np.float64),
        Audited(WIDE, PURE, max_calls=400),
    ),
    case(
        19, "Sensitivity of adding a record under replacement",
        f"{GOOGLE}/issues/378",
        partial(with_noise, query=clipped_sum), partial(with_noise, query=halved_sum),
        Audited(replaced((-1.0, 0.0), (1.0, 0.0)), ONE, Adjacency.REPLACE),
        Sensitive(pairs(2, replace=True), 1.0).on(clipped_sum, halved_sum),
        Replayed(replaced((-1.0, 0.0), (1.0, 0.0)), sensitivity=1.0),
    ),
    case(
        20, "A mean's sensitivity from the private number of records",
        f"{CORE}/issues/355",
        partial(mean, size=len), partial(mean, size=lambda _: 3),
        Audited(added((1.0,), ((0.5,),)), ONE), Replayed(added((1.0,), ((0.5,),))),
    ),
    case(
        21, "A covariance of data that were not clamped",
        f"{SDK}/issues/622",
        partial(with_noise, query=partial(covariance, of_clamped=False)),
        partial(with_noise, query=partial(covariance, of_clamped=True)),
        Audited(FAR, ONE),
        Sensitive(pairs(2), 1.0).on(
            partial(covariance, of_clamped=False), partial(covariance, of_clamped=True)
        ),
        Replayed(FAR, sensitivity=1.0),
    ),
    case(
        33, "Noise in units of the squared clip norm",
        "https://github.com/greenelab/SPRINT_gan/issues/5",
        partial(unit_confusion, power=2), partial(unit_confusion, power=1),
        Audited(FAR, ONE), Replayed(FAR, mu=1.0),
    ),
    case(
        34, "The lower bound is used twice, and the budget too",
        f"{IBM}/issues/104",
        partial(regression, ends=(0, 0), share=1.0),
        partial(regression, ends=(0, 1), share=math.sqrt(0.5)),
        Audited(FAR, ONE), Replayed(FAR, mu=1.0),
    ),
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
