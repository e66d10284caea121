"""A made-up federation of any size: tables of 30 columns in files, their schema, a configuration.

The law is public and seeded: a few hidden factors move numbers, codes and the label together. It
is written a piece at a time, so that making the files takes no more memory than reading them may.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dpfedsyn.columns import Binary, Categorical, Numeric
from dpfedsyn.schema import Schema

SILOS = ("north", "east", "south", "west")
FACTORS = 4
LAW = 20261129  # seed of the law itself; silos draw their rows with seeds of their own
PIECE = 20_000  # rows drawn and written at once
SAMPLES_PER_ROW = 0.1  # synthetic rows for every record
ROUNDS = 20

_DECIMALS = (0, 1, 2)
_NUMBERS, _BINARY, _CATEGORIES = 16, 7, (3, 4, 5, 4, 3, 6)  # with the label: 30 columns

Array = NDArray[np.float64]


def schema_text() -> str:
    """Return the public schema, TOML."""
    lines = ['name = "made-up"', "[file]", 'missing = ["?"]', "[target]", 'column = "outcome"']
    lines += ["values = [0, 1]", 'labels = ["well", "ill"]']
    for k in range(_NUMBERS):
        lines += [f"[columns.number{k}]", 'kind = "numeric"', "bounds = [0, 200]"]
        lines += [f"decimals = {_DECIMALS[k % len(_DECIMALS)]}", 'outside = "clip"']
        lines += ["missing_codes = [-1]"] if k % 8 == 0 else []
    for k in range(_BINARY):
        lines += [f"[columns.binary{k}]", 'kind = "binary"', 'values = ["no", "yes"]']
    for k, count in enumerate(_CATEGORIES):
        codes = ", ".join(f'"c{code}"' for code in range(count))
        lines += [f"[columns.code{k}]", 'kind = "categorical"', f"categories = [{codes}]"]
    return "\n".join(lines) + "\n"


def schema() -> Schema:
    """Return the public schema."""
    return Schema.from_dict(tomllib.loads(schema_text()))


def frame(rows: int, rng: np.random.Generator, shift: float) -> pd.DataFrame:
    """Return rows of the law as their owner has them.

    Args:
        shift: of the first factor's mean: silos differ.
    """
    law = np.random.Generator(np.random.Philox(LAW))
    hidden = rng.standard_normal((rows, FACTORS))
    hidden[:, 0] += shift
    made: dict[str, NDArray[np.generic]] = {}
    for column in schema().columns:
        match column:
            case Numeric():
                value = 100.0 + hidden @ law.normal(0.0, 15.0, FACTORS)
                value = np.round(value + 15.0 * rng.standard_normal(rows), column.decimals)
                value = value.astype(np.int64) if column.decimals == 0 else value
                if column.missing_codes:
                    value = np.where(rng.random(rows) < 0.05, int(column.missing_codes[0]), value)
                made[column.name] = value
            case Binary():
                chosen = _chosen(hidden, law, 2, rng)
                made[column.name] = np.array(column.values, dtype=object)[chosen]
            case Categorical():
                chosen = _chosen(hidden, law, len(column.categories), rng)
                made[column.name] = np.array(column.categories, dtype=object)[chosen]
    score = hidden @ law.normal(0.0, 1.0, FACTORS)
    made["outcome"] = (rng.random(rows) < 1.0 / (1.0 + np.exp(-score))).astype(np.int64)
    return pd.DataFrame(made)


def _chosen(
    hidden: Array, law: np.random.Generator, count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw one of `count` codes a row, by logits that are linear in the factors."""
    logits = hidden @ law.normal(0.0, 0.8, (FACTORS, count)) + law.normal(0.0, 0.3, count)
    noisy: NDArray[np.intp] = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    return noisy


def write(folder: Path, rows: int, settings: Mapping[str, object]) -> Path:
    """Write a federation of so many rows in all, and return its configuration's path.

    Args:
        settings: "section.key" to a value as TOML writes it.
    """
    (folder / "schema.toml").write_text(schema_text(), encoding="utf-8")
    each = rows // len(SILOS)
    for place, name in enumerate(SILOS):
        rng = np.random.Generator(np.random.Philox([LAW, place]))
        for start in range(0, each, PIECE):
            piece = frame(min(PIECE, each - start), rng, 0.4 * place - 0.6)
            mode, header = ("w", True) if start == 0 else ("a", False)
            piece.to_csv(folder / f"{name}.csv", mode=mode, header=header, index=False)
    path = folder / "config.toml"
    path.write_text(_config(each, settings), encoding="utf-8")
    return path


def _config(each: int, settings: Mapping[str, object]) -> str:
    lines = ['name = "scale"', 'preset = "default"']
    sections: dict[str, list[str]] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(f"{name} = {value}")
    for section, entries in sections.items():
        lines += [f"[{section}]", *entries]
    for name in SILOS:
        lines += ["[[silos]]", f'name = "{name}"', f'path = "{name}.csv"']
        lines += [f"reference_size = {float(each)}"]
    return "\n".join(lines) + "\n"
