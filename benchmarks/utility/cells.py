"""Cells (setting, column, seed), each kept in a file of its own, so that a measurement goes on.

The order is fixed. Seed by seed: first what comes of the same whole run, setting by setting in the
table's order, then what is trained apart. So the first hours measure every setting once, and more
seeds follow. A cell is begun only while there is time; what is left out says so.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks import kept
from benchmarks.run import splits
from benchmarks.utility import score
from benchmarks.utility.columns import COLUMNS
from benchmarks.utility.ground import Ground
from benchmarks.utility.marginals import NotMeasured
from benchmarks.utility.settings import NETWORK, OF_A_RUN, Setting
from benchmarks.utility.source import Source
from dpfedsyn.errors import DPError

ROOT = Path(__file__).parents[2]
PICTURES = "pictures"
MOST_TOLD = 300  # characters of a reason
LATE = "not measured yet: the hours were over; another run goes on with it"


@dataclass(frozen=True)
class Cell:
    """One figure's place in the table."""

    setting: Setting
    column: str
    seed: int

    @property
    def name(self) -> str:
        """Its file, without an ending."""
        return f"{self.setting.name}/{self.column}-{self.seed}"


@dataclass(frozen=True)
class Measured:
    """Results by cell, and why a cell has none."""

    results: dict[Cell, dict[str, Any]]
    reasons: dict[Cell, str]

    def of(self, setting: Setting, column: str) -> list[dict[str, Any]]:
        """Return what there is of a setting and column, by rising seed."""
        found = [cell for cell in self.results if (cell.setting, cell.column) == (setting, column)]
        return [self.results[cell] for cell in sorted(found, key=lambda cell: cell.seed)]

    def reason(self, setting: Setting, column: str) -> str:
        """Say why a setting has nothing of a column."""
        if not setting.seeds_of(column):
            return "not part of the cost plan"
        known = [
            reason
            for cell, reason in self.reasons.items()
            if (cell.setting, cell.column) == (setting, column)
        ]
        return known[0] if known else "not measured"


def ordered(settings: Sequence[Setting]) -> Iterator[Cell]:
    """Yield all cells in the order in which they are measured."""
    for seed in range(1, 1 + max(setting.seeds for setting in settings)):
        for together in (True, False):
            for setting in settings:
                for column in COLUMNS:
                    apart = column not in OF_A_RUN
                    if apart != together and seed <= setting.seeds_of(column):
                        yield Cell(setting, column, seed)


def measure(
    settings: Sequence[Setting],
    source: Source,
    folder: Path,
    say: Callable[[str], None],
    *,
    hours: float,
    only: str = "",
    now: Callable[[], float] = time.monotonic,
) -> Measured:
    """Read back or make every cell whose name contains `only`, while `hours` last."""
    began, found = now(), Measured({}, {})
    ground = lru_cache(maxsize=1)(Ground)  # columns of a run follow one another

    def refused(cell: Cell) -> str | None:
        if only not in cell.name:
            return "not measured: another cell was asked for"
        late = now() - began > 3600.0 * hours
        return (
            "not measured yet: the hours were over; another run goes on with it" if late else None
        )

    for cell in ordered(settings):
        try:
            here = _checked(cell, ground(cell.setting, cell.seed, source))
            path, bound = folder / f"{cell.name}.json", bound_to(cell, here)
            result = kept.read(path, bound)
            if result is None:
                if (reason := refused(cell)) is not None:
                    raise NotMeasured(reason)
                result = kept.write(path, bound, made(cell, here, folder))
                say(f"{cell.name}: {_told(result, cell)}")
            found.results[cell] = result
        except (NotMeasured, DPError) as fault:
            found.reasons[cell] = " ".join(str(fault).split())[:MOST_TOLD]
    return found


def _checked(cell: Cell, ground: Ground) -> Ground:
    if cell.setting.mnist and ground.source.folder is None:
        raise NotMeasured("no MNIST: there is no folder shared/data/mnist")
    return ground


def bound_to(cell: Cell, ground: Ground) -> str:
    """Return what a cell depends on: version, settings, schema, classifiers, and which test part.

    Neither where the records lie nor the path of a schema is part of it.
    """
    loaded = ground.config
    anywhere = replace(loaded, data=replace(loaded.data, schema=""))
    schema = ground.plan.encoder.digest
    return "\n".join(
        (splits.bound_to(anywhere), schema, cell.column, f"development {ground.source.development}")
    )


def made(cell: Cell, ground: Ground, folder: Path) -> dict[str, Any]:
    """Make a cell, and a picture of its first images.

    Raises:
        NotMeasured: it cannot be had here.
    """
    done = COLUMNS[cell.column].make(ground)
    result = {
        "setting": cell.setting.name,
        "column": cell.column,
        "seed": cell.seed,
        "commit": commit(),
        **score.score(done, ground),
    }
    if cell.setting.denoising and cell.column == NETWORK:
        result["denoising"] = score.denoising(ground)
    if cell.seed == 1 and ".png" in done.files:
        path = folder / PICTURES / f"{cell.setting.name}-{cell.column}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(done.files[".png"])
    return result


def commit() -> str:
    """Return the commit of this tree, marked where files differ from it; empty outside of one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude", "*"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def _told(result: dict[str, Any], cell: Cell) -> str:
    scores, seconds = result[cell.setting.score], result["seconds"]
    shown = " ".join(f"{name} {value:.3f}" for name, value in scores.items() if value is not None)
    return f"{shown}, {seconds['make']:.0f} + {seconds['score']:.0f} processor s"
