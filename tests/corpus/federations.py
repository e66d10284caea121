"""Rows about federations: whose update is clipped, where noise is added, what goes along."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accountants import Adjacency, Gaussian
from dpfedsyn.testing import strategies as dps
from tests.corpus.case import PATTERN, Case, Trial, case
from tests.corpus.checks import Audited, Canary, Replayed, Sensitive
from tests.corpus.opacus_steps import by_layer, by_layer_shared
from tests.corpus.rows import Array, Rng, added, clipped, noised, pairs, replaced
from tests.corpus.sampled_steps import with_noise

ONE = Gaussian(1.0)
FAR = added((40.0, 30.0))  # rows are updates of clients, or records of one


# 28: parameters are clipped one by one


def parameterwise(data: Array) -> Array:
    """Clip each of two parameters to the whole norm."""
    return np.concatenate([clipped(data[:, k : k + 1]).sum(axis=0) for k in range(data.shape[1])])


def together(data: Array) -> Array:
    """Clip both parameters together."""
    return clipped(data).sum(axis=0)


# 29: clients are averaged, then clipped


def aggregated(data: Array, rng: Rng, *, clip_first: bool) -> Any:
    """Release the sum over a public number of clients, noised for one client's clip."""
    public = 4
    if clip_first:
        return noised(clipped(data).sum(axis=0) / public, 1.0 / public, rng)
    return noised(clipped(data.sum(axis=0) / public), 1.0 / public, rng)


# 30: the noised parameters are returned and not used


def noised_parameters(parameters: list[Array], rng: Rng) -> list[Array]:
    """Return parameters with noise for a clip norm of 1 under replacement."""
    return [noised(p, 2.0, rng) for p in parameters]


def local_dp(data: Array, rng: Rng, *, uses_result: bool) -> Any:
    """Clip a client's update, the mean of its records, noise it and send it."""
    update = [clipped(data.mean(axis=0))]
    private = noised_parameters(update, rng)
    return private if uses_result else update


# 31: coordinates that no index list names


def sparse_update(data: Array, rng: Rng, *, from_zeros: bool) -> Any:
    """Send two of four coordinates of an update with noise, chosen with replacement.

    Those chosen are overwritten with noised values and the candidates with zeros; a coordinate
    that was accepted and is in neither list keeps its value.
    """
    update = clipped(np.hstack([data, data])).sum(axis=0)
    accepted = rng.permutation(4)[:3]
    chosen = np.unique(rng.choice(accepted, 2))
    result = np.zeros(4) if from_zeros else update.copy()
    result[np.setdiff1d(np.arange(4), accepted)] = 0.0
    result[chosen] = noised(update, 1.0, rng)[chosen]
    return result


# 32: noise before the clip


def weak_dp(data: Array, rng: Rng, *, noise_last: bool) -> Any:
    """Release the sum of clipped updates of clients, with noise."""
    if noise_last:
        return noised(clipped(data).sum(axis=0), 1.0, rng)
    return clipped(np.stack([noised(row, 1.0, rng) for row in data])).sum(axis=0)


# 40: teachers share records


def votes(data: Array, *, teachers: int, disjoint: bool) -> Array:
    """Count the votes of teachers: each says the majority of its records, by sign."""
    ballots = np.zeros(2)
    for k in range(teachers):
        own = data[k::teachers] if disjoint else data
        ballots[int(np.sum(np.sign(own[:, 0])) > 0)] += 1.0
    return ballots


def pate(data: Array, rng: Rng, *, disjoint: bool) -> Any:
    """Release the votes of five teachers; one record moves one vote by sqrt(2)."""
    return noised(votes(data, teachers=5, disjoint=disjoint), math.sqrt(2.0), rng)


ELECTION = replaced((-1.0, 0.0), (1.0, 0.0), [[(-1.0) ** k, 0.0] for k in range(10)])
SIGNS = dps.neighbours(
    arrays(np.float64, (1,), elements=st.sampled_from([-1.0, 1.0])), adjacency=Adjacency.REPLACE
)


# 47: noise that is known, or the same


def rounds(data: Array, rng: Rng, *, noise: Any) -> Any:
    """Answer two rounds, of the sum and of half of it, together 1-GDP."""
    total = clipped(data).sum(axis=0)
    return [part + drawn for part, drawn in zip((total, 0.5 * total), noise(rng), strict=True)]


_STD = math.sqrt(1.25)


def fresh(rng: Rng) -> Any:
    """Draw noise for each round and coordinate."""
    return [rng.normal(0.0, _STD, 2) for _ in range(2)]


def kept(rng: Rng) -> Any:
    """Draw once and use it in both rounds."""
    return [rng.normal(0.0, _STD, 2)] * 2


def spread(rng: Rng) -> Any:
    """Draw one number for all coordinates of a round."""
    return [rng.normal(0.0, _STD, 1) for _ in range(2)]


def reseeded(rng: Rng) -> Any:
    """Seed each round with the client's number, which is constant."""
    return [np.random.default_rng(7).normal(0.0, _STD, 2) for _ in range(2)]


REPEATED = (kept, spread, reseeded)


# 48: a batch of queries is paid for as one; exact weights go along


def answers(data: Array, rng: Rng, *, paid: int) -> Any:
    """Answer four queries about the records with noise for `paid` of them."""
    points = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, -0.6]])
    return noised(clipped(data - points[:, None]).sum(axis=1), math.sqrt(paid), rng)


def weighted_answer(data: Array, rng: Rng, *, weight: Any) -> Any:
    """Answer with the client's weight in the average."""
    return {"answer": noised(clipped(data).sum(axis=0), 1.0, rng), "weight": weight(data)}


CASES: tuple[Case, ...] = (
    case(
        28, "The clip holds for each parameter, not for all",
        "https://github.com/fedbiomed/fedbiomed/issues/1443",
        partial(with_noise, query=parameterwise), partial(with_noise, query=together),
        Audited(FAR, ONE),
        Sensitive(pairs(2), 1.0).on(parameterwise, together),
        Replayed(FAR, sensitivity=1.0),
        Trial(Canary(), by_layer, by_layer_shared),
    ),
    case(
        29, "The average is clipped, not the clients",
        "https://github.com/raptor7197/caamas/issues/36",
        partial(aggregated, clip_first=False), partial(aggregated, clip_first=True),
        Audited(FAR, ONE), Replayed(FAR, mu=1.0),
    ),
    case(
        30, "Noised parameters are dropped",
        "https://github.com/flwrlabs/flower/pull/4677",
        partial(local_dp, uses_result=False), partial(local_dp, uses_result=True),
        Audited(replaced((-9.0, 0.0), (9.0, 0.0), ((0.0, 0.1),)), ONE, Adjacency.REPLACE),
        Replayed(replaced((-9.0, 0.0), (9.0, 0.0), ((0.0, 0.1),)), sensitivity=2.0),
    ),
    case(
        31, "Some coordinates are sent without noise",
        "https://github.com/NVIDIA/NVFlare/issues/343",
        partial(sparse_update, from_zeros=False), partial(sparse_update, from_zeros=True),
        Audited(FAR, ONE, max_calls=2000), Replayed(FAR, sensitivity=1.0),
    ),
    case(
        32, "Noise is added before the clip",
        "https://github.com/sherpaai/Sherpa.ai-Federated-Learning-Framework/pull/196",
        partial(weak_dp, noise_last=False), partial(weak_dp, noise_last=True),
        Replayed(FAR, sensitivity=1.0),
        Audited(added((40.0, 30.0), ((0.0, 0.3),)), ONE),
    ),
    case(
        40, "Teachers of PATE share records",
        "https://arxiv.org/abs/2406.13985",
        partial(pate, disjoint=False), partial(pate, disjoint=True),
        Audited(ELECTION, ONE, Adjacency.REPLACE),
        Sensitive(SIGNS, math.sqrt(2.0)).on(
            partial(votes, teachers=5, disjoint=False), partial(votes, teachers=5, disjoint=True)
        ),
        Replayed(ELECTION, sensitivity=math.sqrt(2.0)),
    ),
    case(
        47, "Noise that repeats: kept, spread or seeded by a constant",
        PATTERN,
        partial(rounds, noise=kept), partial(rounds, noise=fresh),
        Audited(FAR, ONE, max_calls=1000), Replayed(FAR, mu=1.0),
        Trial(
            Audited(FAR, ONE, max_calls=1000),
            partial(rounds, noise=spread), partial(rounds, noise=fresh),
        ),
        Trial(
            Replayed(FAR, mu=1.0),
            partial(rounds, noise=spread), partial(rounds, noise=fresh),
        ),
        Trial(
            Audited(FAR, ONE, max_calls=1000),
            partial(rounds, noise=reseeded), partial(rounds, noise=fresh),
        ),
    ),
    case(
        48, "Four answers are paid for as one; exact weights go along",
        "https://github.com/xiyuanyang45/DynamicPFL/issues/4",
        partial(answers, paid=1), partial(answers, paid=4),
        Audited(FAR, ONE), Replayed(FAR, mu=1.0),
        Trial(
            Replayed(FAR, mu=1.0),
            partial(weighted_answer, weight=len), partial(weighted_answer, weight=lambda _: 4),
        ),
        Trial(
            Audited(FAR, ONE, max_calls=1000),
            partial(weighted_answer, weight=len), partial(weighted_answer, weight=lambda _: 4),
        ),
    ),
)  # fmt: skip
