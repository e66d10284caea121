"""Singling out, linkability and inference, by anonymeter in a process of its own.

Records go into that process as CSV files in a folder that only their owner can read, inside of the
run folder, and that is gone when this returns. What comes back is one JSON file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from dpfedsyn.attacks import environment
from dpfedsyn.attacks.target import Target
from dpfedsyn.errors import AttackError

WORKER = Path(__file__).with_name("worker.py")
MOST_TARGETS = 2000  # records of each kind; the nearest of all synthetic rows is sought for each
MOST_SYNTHETIC = 20_000

_COUNTS = ("attacks", "hits", "hits_held_out")


@dataclass(frozen=True)
class Risks:
    """What anonymeter found, ready for JSON.

    Args:
        version: of anonymeter.
        entries: per pass and attack, the risk with its 95 % interval and the counts behind it.
        remarks: what anonymeter had to say, such as queries that it could not find.
    """

    version: str
    entries: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...]


def risks(
    target: Target, folder: Path, python: Path | None = None, *, timeout: float, seed: int = 0
) -> Risks:
    """Attack the synthetic tables of every pass.

    Used and held-out rows are made equally many, each distinct row once: anonymeter's correction
    for other sizes fits a curve to one point where there are fewer than 1000 rows.

    Args:
        folder: where the temporary folder is made.
        python: an interpreter that has anonymeter; None: the default environment's.
        timeout: seconds for one pass.

    Guarantee:
        Records lie only in files that their owner alone can read, and all of them are gone when
        this returns, also after a failure, a timeout or Ctrl-C; nothing is sent anywhere.

    Raises:
        AttackError: images; or anonymeter is absent, fails, takes too long or returns nothing of
            use.
    """
    if target.columns is None:
        raise AttackError(
            "The run makes images, which have no columns to single out, link or infer by. Leave "
            "--python and --make-env out: membership is attacked without them."
        )
    interpreter = environment.find(python)
    rng = np.random.Generator(np.random.Philox(seed))
    held_out = pd.concat([target.table(target.reference), target.table(target.control)])
    tables = [table.drop_duplicates() for table in (target.table(target.used), held_out)]
    size = min(MOST_TARGETS, *map(len, tables))
    used, control = (_some(table, size, rng) for table in tables)
    versions, entries, remarks = set(), [], dict[str, None]()
    for name, rows in target.synthetic.items():
        synthetic = _some(target.table(rows), MOST_SYNTHETIC, rng)
        answer = _ask(
            {"used": used, "held_out": control, "synthetic": synthetic},
            {"columns": target.columns, "seed": seed}, folder, interpreter, timeout,
        )  # fmt: skip
        versions.add(str(answer["version"]))
        entries += [{"pass": name, **entry} for entry in answer["risks"]]
        remarks |= {f"{name}: {remark}": None for remark in answer["remarks"]}
    return Risks(", ".join(sorted(versions)), tuple(entries), tuple(remarks))


def _some(table: pd.DataFrame, most: int, rng: np.random.Generator) -> pd.DataFrame:
    """At most so many rows, at random, numbered from 0."""
    return table.iloc[rng.permutation(len(table))[:most]].reset_index(drop=True)


def _ask(
    tables: Mapping[str, pd.DataFrame],
    job: Mapping[str, Any],
    folder: Path,
    python: Path,
    timeout: float,
) -> dict[str, Any]:
    with TemporaryDirectory(prefix="attack-", dir=folder) as scratch:
        paths = {name: Path(scratch) / f"{name}.csv" for name in tables}
        for name, table in tables.items():
            table.to_csv(paths[name], index=False)
        answer, job_file = Path(scratch) / "answer.json", Path(scratch) / "job.json"
        files = {name: str(path) for name, path in (*paths.items(), ("answer", answer))}
        job_file.write_text(json.dumps({**job, **files}), encoding="utf-8")
        environment.call([str(python), "-I", str(WORKER), str(job_file)], timeout=timeout)
        return parse(answer.read_text(encoding="utf-8") if answer.is_file() else "")


def parse(text: str) -> dict[str, Any]:
    """Read the answer of the worker.

    Raises:
        AttackError: it is no answer of this worker.
    """
    try:
        answer = json.loads(text)
        sound = bool(answer["version"]) and all(map(_is_sound, answer["risks"]))
        sound = sound and all(isinstance(remark, str) for remark in answer["remarks"])
    except (ValueError, KeyError, TypeError):
        sound = False
    if not sound:
        raise AttackError(
            "anonymeter's process returned no valid answer, so its attacks say nothing. "
            f"Make its environment anew: {environment.MEND}."
        )
    return dict(answer)


def _is_sound(entry: Mapping[str, Any]) -> bool:
    """Whether counts are counts and the risk lies in its interval, within [0, 1]."""
    counts = [entry[name] for name in _COUNTS]
    low, high = entry["range"]
    return (
        all(isinstance(count, int) and 0 <= count <= entry["attacks"] for count in counts)
        and 0.0 <= entry["hits_guessing"] <= entry["attacks"]
        and 0.0 <= low <= entry["risk"] <= high <= 1.0
        and isinstance(entry["attack"], str)
        and isinstance(entry["of"], str)
    )
