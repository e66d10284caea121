"""Whether the sampler keeps the silos' shares: four trained DDPMs whose digits are disjoint.

A classifier finds each sample's silo. Its own error is that of the `union` rows, where the true
silo is known: `anchored` samples follow one silo each, drawn in the wanted shares. Total variation
beyond that is the sampler's. Each row is kept in a file of its own, so that an interrupted
measurement goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.examples import chain, disjoint
from benchmarks.examples.disjoint import Federation, Setting
from benchmarks.examples.variation import BEYOND, Row, table, target
from benchmarks.kept import read_or_make
from benchmarks.record import Target
from dpfedsyn import __version__
from dpfedsyn.round_settings import SamplerSettings

LEVELS = 25  # of Langevin passes: 1, 2 and 4 steps at each
# Contraction 1 - .6 * 1.5 = .1 where noise prevails: 25 rounds are enough to leave it. The answers
# may carry noise of std sqrt(2 * .6) / (.6 * 1.5) = 1.2 before the law changes.
LANGEVIN = {"step_size": 0.6, "score_scale": 1.5, "power": 1.0}
SAMPLERS = {
    "union": {"step": "anchored", "energy": "path"},
    "mix": {"step": "mix", "energy": "path"},
    "blend": {"step": "blend", "energy": "path"},
    "l2": {"step": "blend", "energy": "l2"},
}
SMOKE = Setting(
    example="digits", images=60, judged=300, tested=100, rows=60, hidden=32, steps=20, batch=32
)


@dataclass(frozen=True)
class Cell:
    """One pass: a sampler under a kernel, its rounds, and the answers' noise."""

    kernel: str
    sampler: str
    rounds: int
    sigma: float

    @property
    def name(self) -> str:
        """What the row's file is called."""
        return f"{self.kernel}-{self.sampler}-{self.rounds}-sigma-{self.sigma:g}"

    def settings(self, seed: int) -> dict[str, Any]:
        """Every setting of the sampler that the figures depend on; each pass has its own seed."""
        levels = self.rounds if self.kernel == "ancestral" else min(self.rounds, LEVELS)
        word = hashlib.sha256(f"{seed} {self.name}".encode()).digest()[:6]
        common = {"prior": "labels", "temperature": 1.0, "absorb": True}
        steps = {"levels": levels, "steps_per_level": self.rounds // levels}
        kernel = {"kernel": self.kernel, **LANGEVIN, **steps}
        return {**kernel, **SAMPLERS[self.sampler], **common, "seed": int.from_bytes(word)}


CELLS = tuple(
    Cell(*values) for values in product(("ancestral", "ula"), SAMPLERS, (25, 50, 100), (0.0, 1.0))
)
FEW = tuple(Cell("ancestral", sampler, 4, 0.0) for sampler in ("union", "mix"))


def measure(
    kept: Path, mnist: Path, say: Callable[[str], None], *, smoke: bool
) -> tuple[Target, list[Row]]:
    """Return the target and a row per pass; `smoke` takes seconds, on the embedded digits."""
    if smoke:
        images = files("dpfedsyn") / "examples" / "digits" / "digits.npz"
        found = rows(FEW, SMOKE, Path(str(images)), kept, say)
        return _absent("smoke: two small passes over models that learnt nothing"), table(found)
    if not mnist.is_dir():
        return _absent(f"no MNIST: there is no folder {mnist.parent.name}/{mnist.name}"), []
    found = rows(CELLS, Setting(), mnist / "train.npz", kept, say)
    return target(found), table(found)


def rows(
    cells: Sequence[Cell], setting: Setting, images: Path, kept: Path, say: Callable[[str], None]
) -> list[Row]:
    """Return each cell's row; rows of the same settings are read back, others are measured.

    Models are trained only where a row is missing.
    """

    @cache
    def federation() -> Federation:
        return disjoint.prepare(setting, images, say)

    def measured(cell: Cell) -> Row:
        return one(cell, setting, federation())

    results, began, taken = [], time.perf_counter(), 0
    for k, cell in enumerate(cells):
        sampling = cell.settings(setting.seed)
        bound = f"{__version__}\n{setting}\n{cell}\n{sampling}"
        found, fresh = read_or_make(kept / f"{cell.name}.json", bound, partial(measured, cell))
        if fresh:
            taken += 1
            each = (time.perf_counter() - began) / taken
            say(f"silo shares: {k + 1} of {len(cells)} passes done, {each:.0f} s each")
        results.append(found)
    return results


def one(cell: Cell, setting: Setting, federation: Federation) -> Row:
    """Take one pass and say which shares its samples have."""
    began = time.perf_counter()
    settings = replace(SamplerSettings(), **cell.settings(setting.seed))
    samples = chain.sample(
        federation.models,
        setting.weights,
        settings,
        rows=setting.rows,
        dimension=federation.encoder.dimension,
        sigma=cell.sigma,
    )
    pictures, judge = federation.pictures(samples.x), federation.judge
    found = judge.silos(pictures)
    own = float((found != samples.silo).mean()) if cell.sampler == "union" else None
    return {
        "kernel": cell.kernel,
        "sampler": cell.sampler,
        "rounds": cell.rounds,
        "sigma": cell.sigma,
        "rows": setting.rows,
        "wanted": list(setting.weights),
        "shares": (np.bincount(found, minlength=len(setting.weights)) / len(found)).tolist(),
        "responsibilities": list(samples.responsibilities),
        "misplaced": own,
        "frechet": judge.distance(pictures),
        "classifier": judge.accuracy,
        "seconds": time.perf_counter() - began,
    }


def _absent(reason: str) -> Target:
    return Target(None, BEYOND, at_least=False, reason=reason)
