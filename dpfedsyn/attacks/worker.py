"""Singling out, linkability and inference by anonymeter: `python -I worker.py JOB.json`.

Runs where dpfedsyn is not installed: needs anonymeter and what it brings along, nothing else. The
job names three CSV files (used, held_out, synthetic), the columns with their public bounds (null
where a column holds categories), and the file that the answer is written to. Used and held-out
rows are equally many and all of them are attacked, so no rate is corrected for size.

Giomi et al. (2023), "A Unified Framework for Quantifying Privacy Risk in Synthetic Data".
"""

import json
import logging
import sys
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anonymeter.evaluators import InferenceEvaluator, LinkabilityEvaluator, SinglingOutEvaluator

QUERIES = 500
QUERY_COLUMNS = 3
MOST_ATTEMPTS = 200_000
BINS = 20  # of a number's public range: a guess in the right one counts

Columns = dict[str, list[float] | None]


class _Remarks(logging.Handler):
    """Keeps what anonymeter has to say, such as queries that it could not find."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record.getMessage())


def main(job_file: str) -> None:
    """Run every attack that the job asks for and write the answer."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    columns: Columns = job["columns"]
    tables = {name: _read(Path(job[name]), columns) for name in ("used", "held_out", "synthetic")}
    remarks = _Remarks()
    logging.getLogger("anonymeter").addHandler(remarks)
    # pandas draws its samples from the global generator.
    np.random.set_state(np.random.RandomState(job["seed"]).get_state())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an attack no better than guessing: its counts say so
        found = list(_attacks(columns, **tables, seed=job["seed"]))
    answer = {"version": version("anonymeter"), "risks": found, "remarks": remarks.kept}
    Path(job["answer"]).write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")


def _read(path: Path, columns: Columns) -> pd.DataFrame:
    kinds = {name: str if bounds is None else "float64" for name, bounds in columns.items()}
    return pd.read_csv(path, dtype=kinds, keep_default_na=False, usecols=list(columns))


def _attacks(
    columns: Columns,
    used: pd.DataFrame,
    held_out: pd.DataFrame,
    synthetic: pd.DataFrame,
    seed: int,
) -> Iterator[dict[str, Any]]:
    names = list(columns)
    if len(names) >= QUERY_COLUMNS:
        singling_out = SinglingOutEvaluator(
            ori=used, syn=synthetic, control=held_out, n_attacks=QUERIES, n_cols=QUERY_COLUMNS,
            max_attempts=MOST_ATTEMPTS, seed=seed,
        )  # fmt: skip
        yield _told("singling out", f"{QUERY_COLUMNS} columns", singling_out.evaluate())
    linkability = LinkabilityEvaluator(
        ori=used, syn=synthetic, control=held_out, aux_cols=(names[::2], names[1::2]),
        n_attacks=len(used),
    )  # fmt: skip
    yield _told("linkability", "every other column", linkability.evaluate(n_jobs=1))
    for secret in names:
        coarse = [_binned(table, secret, columns[secret]) for table in (used, held_out, synthetic)]
        inference = InferenceEvaluator(
            ori=coarse[0], syn=coarse[2], control=coarse[1], secret=secret, regression=False,
            aux_cols=[name for name in names if name != secret], n_attacks=len(used),
        )  # fmt: skip
        told = _told("inference", secret, inference.evaluate(n_jobs=1))
        yield {**told, "hits_guessing": _guessed(coarse[0][secret], coarse[2][secret])}


def _binned(table: pd.DataFrame, name: str, bounds: list[float] | None) -> pd.DataFrame:
    """Replace a number by its place in the public range; codes outside of it share one place.

    anonymeter's own comparison of numbers counts every negative guess as right.
    """
    if bounds is None:
        return table
    low, high = bounds
    values = table[name]
    places = np.minimum(np.floor(BINS * (values - low) / (high - low)), BINS - 1)
    return table.assign(**{name: places.where(values.between(low, high), -1.0)})


def _guessed(secrets: pd.Series, synthetic: pd.Series) -> float:
    """Expected hits of guessing the value of a synthetic row at random.

    anonymeter's own count compares rows of equal index and takes most guesses for missing.
    """
    shares = synthetic.value_counts(normalize=True)
    return float(secrets.map(shares).fillna(0.0).sum())


def _told(attack: str, of: str, evaluator: Any) -> dict[str, Any]:
    """Counts of hits, and the risk: what the attack finds of used rows beyond held-out ones."""
    results = evaluator.results(confidence_level=0.95)
    risk = results.risk()
    return {
        "attack": attack,
        "of": of,
        "attacks": int(results.n_attacks_ori),
        "hits": int(results.n_success),
        "hits_held_out": int(results.n_control),
        "hits_guessing": int(results.n_baseline),
        "risk": float(risk.value),
        "range": [float(end) for end in risk.ci],
    }


if __name__ == "__main__":
    main(sys.argv[1])
