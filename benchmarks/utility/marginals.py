"""MST (McKenna, Miklau and Sheldon 2021) on the pooled records of a table, by the package `mbi`.

It runs in this interpreter, or in the one that `BENCHMARK_PEERS` names: what it needs must not
decide what this project is installed with. Numbers are binned between their public bounds.
"""

from __future__ import annotations

import json
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.child import answer
from benchmarks.utility.ground import Ground
from dpfedsyn.columns import Binary, Categorical, Column, Numeric
from dpfedsyn.data import Synthetic
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.evaluation.setting import pooled
from dpfedsyn.schema import Schema

Codes = NDArray[np.int64]

BINS = 12
LIMIT = 900.0  # seconds
ORDERS = 1.0 + np.geomspace(1e-3, 1e4, 4000)  # of Renyi divergences, to convert zCDP


class NotMeasured(Exception):  # noqa: N818
    """A figure that cannot be had here, and why."""


@dataclass(frozen=True, eq=False)
class Marginals:
    """Rows that were made, processor seconds of the process that made them, and mbi's version."""

    made: Synthetic
    seconds: float
    version: str


def mst(ground: Ground) -> Marginals:
    """Make as many rows as the run does, with the strictest silo's epsilon.

    Raises:
        NotMeasured: images, no package `mbi`, or it failed.
    """
    encoder, c = ground.plan.encoder, ground.comparison
    if not isinstance(encoder, TableEncoder):
        raise NotMeasured("marginals of pixels say nothing: tables only")
    epsilon = min(map(c.config.epsilon, c.config.silos))
    whole = pooled(ground.parts[0])
    coded, sizes = codes(encoder.frame(whole.x, whole.y), encoder.schema)
    question = {
        "codes": coded.tolist(),
        "sizes": sizes,
        "rho": rho(epsilon, c.config.privacy.delta),
        "rows": ground.rows,
        "seed": ground.seed,
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = _ask(json.dumps(question))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rows = np.array(found["codes"], dtype=np.int64)
    table = frame(rows, encoder.schema, ground.generator("bins"))
    x, y = encoder.encode(table)
    return Marginals(Synthetic(x, y, x, {}, table), seconds, found["version"])


def _ask(question: str) -> dict[str, Any]:
    said = answer("benchmarks.utility.mst_child", question, LIMIT)
    if "No module named" in said.get("failed", ""):
        raise NotMeasured("mbi: not installed (see BENCHMARK_PEERS)")
    if "failed" in said:
        raise NotMeasured(f"mbi: {said['failed']}")
    return said


def rho(epsilon: float, delta: float) -> float:
    """Return the largest rho whose zCDP is (epsilon, delta)-DP (Canonne et al. 2020, prop. 7)."""
    low, high = 0.0, epsilon + 10.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _epsilon(middle, delta) <= epsilon else (low, middle)
    return low


def _epsilon(rho: float, delta: float) -> float:
    bounds = rho * ORDERS + (-np.log(ORDERS * delta)) / (ORDERS - 1.0) + np.log1p(-1.0 / ORDERS)
    return float(bounds.min())


def codes(table: pd.DataFrame, schema: Schema) -> tuple[Codes, list[int]]:
    """Return every cell as a code (n, columns + 1), the label last, and how many codes there are.

    A code depends on its own cell and the public schema.
    """
    columns = [_code(column, table[column.name].to_numpy()) for column in schema.columns]
    target = schema.target
    labels = [int(target.read(cell)) for cell in table[target.column].tolist()]
    sizes = [size for _, size in columns]
    coded = np.stack([*(code for code, _ in columns), np.array(labels)], axis=1)
    return coded.astype(np.int64), [*sizes, len(schema.labels)]


def _code(column: Column, cells: NDArray[Any]) -> tuple[Codes, int]:
    if isinstance(column, Numeric):
        low, high = column.bounds
        values = cells.astype(np.float64)
        bins = np.clip(np.floor((values - low) / (high - low) * BINS), 0, BINS - 1)
        missing = np.isin(values, column.missing_codes)
        return np.where(missing, BINS, bins).astype(np.int64), BINS + bool(column.missing_codes)
    read = np.array([int(column.read(cell)) for cell in cells.tolist()], dtype=np.int64)
    return read, len(_values(column))


def frame(rows: Codes, schema: Schema, rng: np.random.Generator) -> pd.DataFrame:
    """Return the table of codes (n, columns + 1); a binned number is uniform in its bin."""
    data: dict[str, Any] = {}
    for k, column in enumerate(schema.columns):
        if isinstance(column, Numeric):
            low, high = column.bounds
            place = (rows[:, k] + rng.random(len(rows))) / BINS
            values = np.clip(np.round(low + place * (high - low), column.decimals), low, high)
            if column.missing_codes:
                values = np.where(rows[:, k] == BINS, column.missing_codes[0], values)
            data[column.name] = values
        else:
            data[column.name] = [_values(column)[code] for code in rows[:, k].tolist()]
    data[schema.target.column] = [schema.target.representatives[y] for y in rows[:, -1].tolist()]
    return pd.DataFrame(data)


def _values(column: Column) -> Sequence[Any]:
    if isinstance(column, Binary):
        return column.values
    if isinstance(column, Categorical):
        return column.categories
    raise NotMeasured(
        f"marginals: column {column.name} is a {column.kind}, which has no codes here"
    )
