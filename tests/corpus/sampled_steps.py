"""Rows about batches: how they are sampled, averaged, normalised and counted."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from accountants import Adjacency, Gaussian, PoissonSampled, Repeated
from tests.corpus.case import Case, case
from tests.corpus.checks import Audited, Replayed, Sensitive
from tests.corpus.rows import Array, Rng, added, clipped, noised, pairs

OPACUS = "https://github.com/meta-pytorch/opacus"
TF = "https://github.com/tensorflow/privacy"
RATE, STEPS, STD = 0.1, 10, 0.25
# Zero-out: twenty rows on both sides, so that batches are the same in number.
ZEROED = (np.zeros((20, 2)), np.vstack([np.ones((0, 2)), np.zeros((19, 2)), [[0.0, 1.0]]]))


# 9: Poisson in the accounting, a shuffle in the loader


def epoch(data: Array, rng: Rng, *, shuffled: bool) -> Any:
    """Release the sum of each batch of an epoch."""
    values = np.clip(data[:, 1], -1.0, 1.0)
    if shuffled:
        batches = rng.permutation(values).reshape(STEPS, -1)
    else:
        batches = np.where(rng.random((STEPS, len(values))) < RATE, values, 0.0)
    return noised(batches.sum(axis=1), STD, rng)


# 10: a sampler that prefers the rare class


def balanced(data: Array, rng: Rng, *, weighted: bool) -> Any:
    """Release the sums of ten batches; class 0 is the rare one."""
    classes, values = data[:, 0], np.clip(data[:, 1], -1.0, 1.0)
    if weighted:
        share = np.where(classes == 0.0, 0.5 / np.sum(classes == 0.0), 0.5 / np.sum(classes != 0.0))
        batches = values[rng.choice(len(data), (STEPS, 2), p=share)]
    else:
        batches = np.where(rng.random((STEPS, len(data))) < RATE, values, 0.0)
    return noised(batches.sum(axis=1), STD, rng)


_OTHERS = np.column_stack([np.ones(19), np.full(19, 0.1)])
RARE = (np.vstack([_OTHERS, [[0.0, 0.0]]]), np.vstack([_OTHERS, [[0.0, 1.0]]]))


# 27: epochs are counted where steps are taken


def local_steps(data: Array, rng: Rng, *, batches: int) -> Any:
    """Release the sums of `batches` sampled batches in each of ten local epochs."""
    values = np.clip(data[:, 1], -1.0, 1.0)
    joined = rng.random((STEPS * batches, len(values))) < RATE
    return noised(np.where(joined, values, 0.0).sum(axis=1), STD, rng)


# 11, 12: the divisor of an average is private


def average(data: Array, rng: Rng, *, divisor: Any) -> Any:
    """Release an average of clipped rows: noise on the sum, then a division."""
    return noised(clipped(data).sum(axis=0), 1.0, rng) / divisor(data)


def expected_batch(data: Array) -> float:
    """Return the expected batch size as the engine computes it, from the data set's length."""
    return max(1, int(len(data) * 0.5))


GROWN = added((0.0, 0.0))  # three rows and four: the expected batch grows from 1 to 2


# 13: the unit that is clipped is a microbatch


def microbatches(data: Array, *, size: int) -> Array:
    """Return the sum of clipped averages over microbatches."""
    parts = [data[k : k + size].mean(axis=0) for k in range(0, len(data), size)]
    return clipped(np.stack(parts)).sum(axis=0) if parts else np.zeros(data.shape[1])


HALVES = added((30.0, 0.0), ((0.0, 0.5), (0.0, 0.5), (-10.0, 0.0)))


# 14: batch statistics enter every record's gradient


def gradients(data: Array, *, batch_norm: bool) -> Array:
    """Return the sum of clipped gradients of a linear model behind a normalisation."""
    if len(data) == 0:
        return np.zeros(2)
    data = np.where(np.isfinite(data).all(axis=1, keepdims=True), data, 0.0)
    axis = 0 if batch_norm else 1  # over the batch, or over one record's features
    centred = data - data.mean(axis=axis, keepdims=True)
    normal = centred / (data.std(axis=axis, keepdims=True) + 0.1)
    return clipped(3.0 * normal).sum(axis=0)


def with_noise(data: Array, rng: Rng, *, query: Any) -> Any:
    """Release a query with noise for a sensitivity of 1."""
    return noised(query(data), 1.0, rng)


MIXED = added((9.0, -9.0), ((0.1, 0.5), (0.3, 0.1), (-0.4, 0.2)))


def queried(number: int, title: str, source: str, broken: Any, fixed: Any, pair: Any) -> Case:
    """Make a case of a query that all of three layers can take."""
    return case(
        number, title, source,
        partial(with_noise, query=broken), partial(with_noise, query=fixed),
        Audited(pair, Gaussian(1.0)),
        Sensitive(pairs(2), 1.0).on(broken, fixed),
        Replayed(pair, sensitivity=1.0),
    )  # fmt: skip


SAMPLED = PoissonSampled(Gaussian(STD), RATE)

CASES: tuple[Case, ...] = (
    case(
        9, "Poisson accounting over shuffled batches",
        f"{OPACUS}/issues/128",
        partial(epoch, shuffled=True), partial(epoch, shuffled=False),
        Audited(ZEROED, Repeated(SAMPLED, STEPS), Adjacency.ZERO_OUT),
    ),
    case(
        10, "A weighted sampler under a uniform sampling rate",
        f"{OPACUS}/issues/600",
        partial(balanced, weighted=True), partial(balanced, weighted=False),
        Audited(RARE, Repeated(SAMPLED, STEPS), Adjacency.ZERO_OUT),
    ),
    case(
        11, "The expected batch size is computed from the number of records",
        "https://arxiv.org/abs/2602.17454",
        partial(average, divisor=expected_batch), partial(average, divisor=lambda _: 2),
        Audited(GROWN, Gaussian(1.0)), Replayed(GROWN, sensitivity=1.0),
    ),
    case(
        12, "The average is over the actual batch",
        f"{TF}/issues/153",
        partial(average, divisor=len), partial(average, divisor=lambda _: 3),
        Audited(added((0.0, 0.0), ((0.0, 0.3),)), Gaussian(1.0)),
        Replayed(GROWN, sensitivity=1.0),
    ),
    queried(
        13, "Microbatches are clipped, not records",
        f"{TF}/issues/81",
        partial(microbatches, size=2), partial(microbatches, size=1), HALVES,
    ),
    queried(
        14, "Batch normalisation mixes records",
        f"{OPACUS}/issues/319",
        partial(gradients, batch_norm=True), partial(gradients, batch_norm=False), MIXED,
    ),
)  # fmt: skip
