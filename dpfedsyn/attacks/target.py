"""What is attacked: a run's synthetic rows, its used and held-out records, and its claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpfedsyn import config as configuration
from dpfedsyn import marking
from dpfedsyn import plan as planning
from dpfedsyn.columns import Ordered
from dpfedsyn.data import Records
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import ConfigError, DataError, RunError
from dpfedsyn.evaluation.setting import pooled
from dpfedsyn.plan import Plan
from dpfedsyn.records import read_records

Array = NDArray[np.float64]

LEAST_HELD_OUT = 20


@dataclass(frozen=True, eq=False)
class Target:
    """A run as its attackers see it, beside the truth that their guesses are compared with.

    Args:
        silos: whose records are attacked.
        plan: of the run, with every silo's budget.
        used: records that were trained on.
        reference: held-out records that an attacker may know; never attacked.
        control: the other held-out records.
        synthetic: rows by pass.
    """

    silos: tuple[str, ...]
    plan: Plan
    used: Records
    reference: Records
    control: Records
    synthetic: Mapping[str, Records]

    @cached_property
    def columns(self) -> dict[str, tuple[float, float] | None] | None:
        """Columns of a table with their public limits (None: categories); None of images."""
        encoder = self.plan.encoder
        if not isinstance(encoder, TableEncoder):
            return None
        kinds = encoder.schema.columns
        bounds = {c.name: c.limits if isinstance(c, Ordered) else None for c in kinds}
        return {**bounds, encoder.schema.target.column: None}

    def vectors(self, records: Records) -> Array:
        """Encoded records with their label as a category, (n, d + classes) float64."""
        classes = self.plan.classes
        labels = 2.0 * np.eye(classes)[records.y] - 2.0 / classes
        return np.hstack([records.x.astype(np.float64), labels])

    def table(self, records: Records) -> pd.DataFrame:
        """Records of a table as the schema writes rows, real and synthetic ones alike.

        Days and levels are numbers, and a missing value is one below the public limits.
        """
        encoder = self.plan.encoder
        if not isinstance(encoder, TableEncoder):
            raise AssertionError("images make no table")
        rows = encoder.frame(records.x, records.y)
        for column in encoder.schema.columns:
            if isinstance(column, Ordered):
                values = np.array([column.read(cell) for cell in rows[column.name].tolist()])
                missing = np.isin(values, column.missing)
                rows[column.name] = np.where(missing, column.limits[0] - 1.0, values)
        return rows


def read(folder: Path, *, silo: str | None = None, seed: int = 0) -> Target:
    """Read the records and the synthetic rows of a run that has ended.

    Args:
        silo: attack this silo's records only; None: all silos' together.
        seed: of the division of held-out records into reference and control, by halves.

    Raises:
        RunError: no run, or no synthetic rows. ConfigError: no such silo. DataError: too few
            records are held out.
    """
    path = folder / "config.toml"
    if not path.is_file():
        raise RunError(f"{folder}: holds no run, so nothing was attacked. Name a folder of `run`.")
    plan = planning.make(configuration.load(str(path)))
    synthetic = _synthetic(folder, plan)
    names = tuple(plan.budgets)
    if silo is not None and silo not in names:
        raise ConfigError(f"--silo {silo}: no such silo, so nothing was attacked. There are "
                          f"{', '.join(names)}.")  # fmt: skip
    silos = names if silo is None else (silo,)
    gathered = read_records(plan.config, plan.encoder)
    used = _one_each(pooled({name: gathered.silos[name].train for name in silos}))
    test = gathered.test
    aside = {n: gathered.silos[n].test for n in silos} if test is None else {"": test}
    held_out = _one_each(pooled(aside))
    if len(held_out) < LEAST_HELD_OUT or not len(used):
        raise DataError(
            f"{folder}: {len(held_out)} records are held out and {len(used)} were used, so no "
            f"attack can be compared with anything. At least {LEAST_HELD_OUT} must be held out: "
            "raise data.test_fraction, or name data.test, in the next run."
        )
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(held_out))
    reference, control = np.array_split(order, 2)
    return Target(silos, plan, used, held_out.take(reference), held_out.take(control), synthetic)


def _one_each(records: Records) -> Records:
    """Keep one record of every person: the claim is about persons, and intervals about draws."""
    return records if records.units is None else records.take(records.units.first_rows)


def _synthetic(folder: Path, plan: Plan) -> dict[str, Records]:
    """Synthetic rows of every pass that took a round."""
    encoder, suffix = plan.encoder, ".npz"
    if isinstance(encoder, TableEncoder):
        encoder, suffix = TableEncoder(encoder.schema.of_synthetic), ".csv"
    stems = [f"synthetic-{part.name}" for part in plan.passes]
    stems[0] = "synthetic"
    files = {
        p.name: marking.find(folder, s + suffix) for p, s in zip(plan.passes, stems, strict=True)
    }
    found = {name: encoder.read(file) for name, file in files.items() if file.is_file()}
    if not found:
        raise RunError(
            f"{folder}: holds no synthetic rows, so there is nothing to attack. Finish the run "
            f"with `dpfedsyn run --out {folder} --resume`."
        )
    return found
