"""The columns of the table: what can be made of the same records with the same budget per silo."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.utility import marginals, payload
from benchmarks.utility.ground import Ground
from benchmarks.utility.settings import ALONE, BASE, NETWORK, OURS, REAL, UNION
from dpfedsyn import baselines
from dpfedsyn.comparison import BASELINES, CLASS_GAUSSIANS, FURTHER, Baseline
from dpfedsyn.data import Synthetic
from dpfedsyn.evaluation import claims
from dpfedsyn.evaluation.setting import pooled
from dpfedsyn.weights import draw_silos

Labels = NDArray[np.int64]

MOST_ALONE = 2000  # rows of one silo alone: ten tables of them are scored


@dataclass(frozen=True, eq=False)
class Made:
    """What a column has to be scored: one table, or one per silo.

    Attributes:
        tables: (plain (n, p), y (n,)) each; the mean score counts. files: of the first.
        seconds: processor seconds. sent: bytes of the mean silo. epsilon: the worst silo's.
        versions: of packages in another interpreter.
    """

    tables: tuple[tuple[NDArray[np.float32], Labels], ...]
    files: Mapping[str, bytes]
    seconds: float
    sent: float
    epsilon: float | None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column: its heading, what is special about it in one sentence, and what makes it.

    Attributes:
        ceiling: real data, which promises nothing: it can be best, but it wins no row.
    """

    title: str
    about: str
    make: Callable[[Ground], Made]
    ceiling: bool = False


def ours(ground: Ground) -> Made:
    """A whole run by preset `best`."""
    run = ground.run
    return _made([run.ours], run.seconds, run.sent + payload.released(ground), run.epsilon)


def bare(ground: Ground) -> Made:
    """The run without a network; raises `NotMeasured` where ours has none."""
    if ground.bare is ground:
        raise marginals.NotMeasured("ours has no network here: its figures are the same")
    return ours(ground.bare)


def union(ground: Ground) -> Made:
    """The run's local models, each sampled in its silo, and what they generate put together."""
    run, began = ground.run, time.process_time()
    c, y = run.federation.comparison, run.ours.y
    rng = ground.generator("union")
    silos = draw_silos(c.label_weights, y, rng)
    x = baselines.union(run.federation.models, silos, y, c.encoder.dimension, rng)
    made = c.encoder.decode(x.astype(np.float32), y)
    seconds = run.training + time.process_time() - began
    claim = claims.of_models(c)
    return _made([made], seconds, payload.share_of_rows(ground), _worst(claim))


def alone(ground: Ground) -> Made:
    """Each silo's own model, by its own labels: the mean over silos of what they reach."""
    run, began = ground.run, time.process_time()
    c, rng, tables = run.federation.comparison, ground.generator("alone"), []
    for k, model in enumerate(run.federation.models.values()):
        shares = c.label_weights[k] * run.federation.label_shares
        if shares.sum() > 0.0:
            count = min(ground.rows, MOST_ALONE)
            y = rng.choice(len(shares), count, p=shares / shares.sum()).astype(np.int64)
            x = baselines.local_samples(model, y, c.encoder.dimension, rng)
            tables.append(c.encoder.decode(x.astype(np.float32), y))
    claim = claims.of_models(c)
    seconds = run.training + time.process_time() - began
    return _made(tables, seconds, 0.0, _worst(claim))


def real(ground: Ground) -> Made:
    """Real training rows of all silos together, as many as the others have synthetic ones."""
    whole = pooled(ground.parts[0])
    chosen = ground.generator("real").permutation(len(whole))[: ground.rows]
    sent = payload.records(ground)
    return Made(((whole.plain[chosen], whole.y[chosen]),), {}, 0.0, sent, None)


def trained(key: str) -> Callable[[Ground], Made]:
    """Return what makes a baseline of `dpfedsyn.comparison`."""

    def make(ground: Ground) -> Made:
        baseline, c, began = _known(key), ground.comparison, time.process_time()
        labels = ground.labels(ground.rows)[: baseline.most_rows]
        x = baseline.sample(c, lambda: None, labels, ground.generator(key))
        made = c.encoder.decode(x.astype(np.float32), labels)
        seconds = time.process_time() - began
        claim = claims.of_baseline(c, baseline)
        return _made([made], seconds, payload.OF[key](ground), _worst(claim))

    return make


def mst(ground: Ground) -> Made:
    """MST of the package `mbi` on pooled records; raises `NotMeasured` where it is absent."""
    found = marginals.mst(ground)
    epsilon = min(map(ground.config.epsilon, ground.config.silos))
    made = _made([found.made], found.seconds, payload.records(ground), epsilon)
    return replace(made, versions={"mbi": found.version})


def _known(key: str) -> Baseline:
    return {**BASELINES, **FURTHER}[CLASS_GAUSSIANS if key == "gaussians" else key]


def _made(tables: list[Synthetic], seconds: float, sent: float, epsilon: float | None) -> Made:
    pairs = tuple((table.plain, table.y) for table in tables)
    return Made(pairs, tables[0].files, seconds, sent, epsilon)


def _worst(claim: Mapping[str, Any] | None) -> float | None:
    return None if claim is None else max(claim["epsilon"].values())


COLUMNS: Mapping[str, Column] = {
    OURS: Column("ours", "A whole run by preset `best`.", ours),
    BASE: Column(
        "no network",
        "A whole run without a network: its base has the whole budget.",
        bare,
    ),
    NETWORK: Column(
        "network",
        "A whole run with a DP-SGD network on a base that has part of the budget.",
        lambda ground: ours(ground.networked),
    ),
    "gaussians": Column(
        "Gaussians",
        "Private class means and covariances of each silo by itself, one Gaussian per label.",
        trained("gaussians"),
    ),
    "networks": Column(
        "no base",
        "DP-SGD DDPMs on a data-free base, and the union of their samples.",
        trained("networks"),
    ),
    "paper": Column(
        "paper",
        "The method as it is written, its rows bounded at 2,000; the step size is the run's.",
        trained("paper"),
    ),
    "fedavg": Column(
        "FedAvg",
        "Federated averaging of DP-SGD DDPMs; the step size is the run's.",
        trained("fedavg"),
    ),
    UNION: Column(
        "union",
        "The run's own local generators, each sampled inside its silo: no answers are exchanged. "
        "Where silos share one released base, as `best` has it for images, this is the law that "
        "ours follows, without the answers' noise and in one draw instead of 25 rounds: the two "
        "differ by little more than chance.",
        union,
    ),
    ALONE: Column("alone", "Each silo's own generator; the mean over silos.", alone),
    "embedding": Column(
        "embedding",
        "One sum of random features per silo, noised there (DP-MERF), and a fitted generator.",
        trained("embedding"),
    ),
    "pooled": Column(
        "pooled",
        "One party holds all records and trains one model with one silo's epsilon: its noise is "
        "added once for all records, which no federation of these silos can have.",
        trained("pooled"),
    ),
    "mst": Column(
        "MST",
        "Private marginals of pooled records (MST by the package `mbi`): numbers are binned, and "
        "one party holds all records.",
        mst,
    ),
    REAL: Column("real", "As many real rows; no privacy.", real, ceiling=True),
}
