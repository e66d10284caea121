"""Whether the sampler keeps the silos' shares: four trained DDPMs whose digits are disjoint.

A classifier finds each sample's silo. Its own error is that of the `union` rows, where the true
silo is known: `anchored` samples follow one silo each, drawn in the wanted shares. Total variation
beyond that is the sampler's. Each row is kept in a file of its own, so that an interrupted
measurement goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import Target
from benchmarks.utility import chain, disjoint
from benchmarks.utility.disjoint import Federation, Setting
from dpfedsyn import __version__
from dpfedsyn.settings import SamplerSettings

Row = dict[str, Any]

BEYOND = 0.04  # total variation beyond the classifier's own error
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

    results, began, taken = [], time.perf_counter(), 0
    for k, cell in enumerate(cells):
        sampling = cell.settings(setting.seed)
        bound = f"{__version__}\n{setting}\n{cell}\n{sampling}"
        name = hashlib.sha256(bound.encode()).hexdigest()[:16]
        path = kept / f"{cell.name}.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if known.get("settings") != name:
            known = {"settings": name, **one(cell, setting, federation())}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
            taken += 1
            each = (time.perf_counter() - began) / taken
            say(f"silo shares: {k + 1} of {len(cells)} passes done, {each:.0f} s each")
        results.append(known)
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


def total_variation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return half the L1 distance of two laws on the silos, in [0, 1]."""
    return 0.5 * math.fsum(abs(a - b) for a, b in zip(first, second, strict=True))


def beyond(row: Row, found: Sequence[Row]) -> float:
    """Return total variation to the wanted shares, less that of the union's pass beside it."""
    error = total_variation(_union(row, found)["shares"], row["wanted"])
    return total_variation(row["shares"], row["wanted"]) - error


def target(found: Sequence[Row]) -> Target:
    """The worst `mix` row, and by how much its neighbours differ from the union."""
    ours = [row for row in found if row["sampler"] == "mix"]
    worst = max(ours, key=lambda row: beyond(row, found))
    union = _union(worst, found)
    apart = max(total_variation(row["shares"], _union(row, found)["shares"]) for row in ours)
    errors = [
        total_variation(row["shares"], row["wanted"]) for row in found if row["sampler"] == "union"
    ]
    reason = (
        f"worst of {len(ours)}: {worst['kernel']}, {worst['rounds']} rounds, sigma "
        f"{worst['sigma']:g}: {total_variation(worst['shares'], worst['wanted']):.3f} against the "
        f"union's {total_variation(union['shares'], worst['wanted']):.3f}; the union's own is at "
        f"most {max(errors):.3f}; between mix and union at most {apart:.3f}; drawing "
        f"{worst['rows']} silos alone gives {drawing(worst['wanted'], worst['rows']):.3f}"
    )
    return Target(beyond(worst, found), BEYOND, at_least=False, reason=reason)


def drawing(wanted: Sequence[float], count: int) -> float:
    """Return the expected total variation of `count` independent draws (normal approximation)."""
    widths = (math.sqrt(2.0 * w * (1.0 - w) / (math.pi * count)) for w in wanted)
    return 0.5 * math.fsum(widths)


def table(found: Sequence[Row]) -> list[Row]:
    """Return one line per pass; `posterior` is the mean responsibility of each silo, unjudged."""
    return [
        {
            "kernel": row["kernel"],
            "sampler": row["sampler"],
            "rounds": row["rounds"],
            "sigma": row["sigma"],
            "found": _written(row["shares"]),
            "TV": total_variation(row["shares"], row["wanted"]),
            "excess": beyond(row, found),
            "posterior": _written(row["responsibilities"]),
            "its TV": total_variation(row["responsibilities"], row["wanted"]),
            "Frechet": row["frechet"],
            "misplaced": row["misplaced"],
        }
        for row in found
    ]


def _union(row: Row, found: Sequence[Row]) -> Row:
    """The union's row under the same kernel, rounds and noise."""
    same = ("kernel", "rounds", "sigma")
    matching = (u for u in found if u["sampler"] == "union" and all(u[k] == row[k] for k in same))
    return next(matching)


def _written(shares: Sequence[float]) -> str:
    return " ".join(f"{share:.3f}"[1:] if share < 1.0 else "1.00" for share in shares)


def _absent(reason: str) -> Target:
    return Target(None, BEYOND, at_least=False, reason=reason)
