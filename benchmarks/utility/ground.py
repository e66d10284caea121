"""What the columns of one setting and seed share: records, budgets, public facts, and a whole run.

A run is taken by the program itself; what its internal evaluation would look at is kept instead of
being evaluated, so that every column is scored by one and the same rule.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.utility.settings import NO_NETWORK, WITH_NETWORK, Setting
from benchmarks.utility.source import Source
from dpfedsyn import evaluation, weights
from dpfedsyn import plan as planning
from dpfedsyn import run as runner
from dpfedsyn.comparison import Comparison, learning
from dpfedsyn.comparison.spending import NO_NOISE, Spending
from dpfedsyn.data import Records, Synthetic
from dpfedsyn.device import pick_device
from dpfedsyn.evaluation import Evaluated
from dpfedsyn.evaluation.setting import pooled
from dpfedsyn.marking import find
from dpfedsyn.metrics import classifier
from dpfedsyn.metrics.classifier import FeatureMap
from dpfedsyn.progress import Silent
from dpfedsyn.records import read_records
from dpfedsyn.settings import Config

Labels = NDArray[np.int64]

MOST_FIXED = 10_000  # real rows that the fixed classifier is trained on


@dataclass(frozen=True, eq=False)
class Run:
    """One whole run.

    Attributes:
        ours: its synthetic rows. federation: models and records. seconds: processor seconds, whole
            and of training alone. sent: bytes of answers of the mean silo. epsilon: the worst
            silo's claim, upper bound; None where nothing is claimed.
    """

    ours: Synthetic
    federation: Evaluated
    seconds: float
    training: float
    sent: float
    epsilon: float | None


@dataclass(frozen=True, eq=False)
class Ground:
    """One setting under one seed."""

    setting: Setting
    seed: int
    source: Source
    more: tuple[str, ...] = ()

    @cached_property
    def config(self) -> Config:
        """The run's configuration."""
        return self.setting.load(self.seed, self.source, self.more)

    @cached_property
    def bare(self) -> Ground:
        """The same without a network: the base has its budget. Itself, where it has none anyway."""
        bare = replace(self, more=NO_NETWORK)
        return self if bare.config == self.config else bare

    @cached_property
    def networked(self) -> Ground:
        """The same with a network on a base that leaves it some of the budget."""
        return replace(self, more=WITH_NETWORK)

    @cached_property
    def plan(self) -> planning.Plan:
        """Public facts and budgets; refused where they do not fit, as a run would be."""
        plan = planning.make(self.config)
        plan.require()
        return plan

    @cached_property
    def parts(self) -> tuple[Mapping[str, Records], Records]:
        """Every silo's training part, and real rows to test on."""
        found = read_records(self.config, self.plan.encoder)
        test = found.test or pooled({name: part.test for name, part in found.silos.items()})
        return {name: part.train for name, part in found.silos.items()}, test

    @property
    def test(self) -> Records:
        """Real rows that no silo trained on."""
        return self.parts[1]

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of images; None for tables."""
        geometry = self.plan.encoder.geometry
        return None if geometry is None else (geometry.height, geometry.width)

    @property
    def rows(self) -> int:
        """Synthetic rows of every column, if not said otherwise."""
        return self.config.answers.rows

    def generator(self, purpose: str) -> np.random.Generator:
        """Return a public generator of its own for each purpose."""
        key = self.comparison.key("benchmark", purpose)
        return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "big")))

    @cached_property
    def comparison(self) -> Comparison:
        """What baselines that need no run of ours are made from."""
        config, plan, silos = self.config, self.plan, self.parts[0]
        shares = np.full((len(silos), len(plan.encoder.labels)), 1.0 / len(silos))
        seed, device = config.evaluate.seed, pick_device(config)
        return Comparison(config, plan.encoder, silos, plan.budgets, shares, device, seed)

    def labels(self, rows: int) -> Labels:
        """Return labels to generate, in the shares of noisy counts that cost what the run's do."""
        c, counts, stds = self.comparison, [], []
        for silo in c.config.silos:
            own = c.budgets[silo.name].counts
            spent = NO_NOISE if own is None else Spending(counts=own)
            found, std = learning.noisy_counts(c, c.records[silo.name], spent, "shares", silo.name)
            counts.append(found)
            stds.append(std)
        mixture = weights.from_counts(np.stack(counts), np.array(stds))
        return weights.draw_labels(mixture, rows, self.generator("labels"))

    @cached_property
    def features(self) -> FeatureMap:
        """A fixed classifier's hidden layer, trained on real training rows."""
        train = pooled(self.parts[0])
        chosen = np.random.default_rng(0).permutation(len(train))[:MOST_FIXED]
        classes = len(self.plan.encoder.labels)
        return classifier.fixed(train.plain[chosen], train.y[chosen], self.shape, classes, seed=0)

    @cached_property
    def run(self) -> Run:
        """Take the whole run, once."""
        with tempfile.TemporaryDirectory(prefix="run-") as folder:
            return _take(self.config, Path(folder) / "run")


@dataclass
class _Clock(Silent):
    """Processor seconds until the first round."""

    began: float = field(default_factory=time.process_time)
    trained: float | None = None

    def stage(self, name: str, total: int | None) -> None:
        if name.startswith("sample") and self.trained is None:
            self.trained = time.process_time() - self.began


def _take(config: Config, folder: Path) -> Run:
    seen: list[tuple[Mapping[str, Synthetic], Evaluated]] = []

    def kept(ours: Mapping[str, Synthetic], looked_at: Evaluated, **_: Any) -> dict[str, Any]:
        seen.append((ours, looked_at))
        return {}

    clock = _Clock()
    with patch.object(evaluation, "evaluate", kept):
        runner.run(config, folder, progress=clock)
    seconds = time.process_time() - clock.began
    [(tables, federation)] = seen
    traffic = json.loads(find(folder, "federation.json").read_text(encoding="utf-8"))["traffic"]
    statement = json.loads(find(folder, "statement.json").read_text(encoding="utf-8"))
    claims = [silo["epsilon"] for silo in statement["silos"]]
    name = next(iter(tables))
    return Run(
        ours=tables[name],
        federation=federation,
        seconds=seconds,
        training=clock.trained or 0.0,
        sent=fmean(silo["answers"] for silo in traffic[name].values()),
        epsilon=None if None in claims else max(claim["upper"] for claim in claims),
    )
