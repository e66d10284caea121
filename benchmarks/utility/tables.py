"""Tables of cells: settings down, columns across, the winner of each row marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from benchmarks.record import ERROR, WINNER
from benchmarks.run.splits import Mean
from benchmarks.utility.cells import Measured
from benchmarks.utility.columns import COLUMNS
from benchmarks.utility.settings import NETWORK, OURS, Setting

NAMES = {"logistic": "logistic regression", "mlp": "MLP", "cnn": "CNN"}
SCORES = {"accuracy": "accuracy", "auc": "AUC"}
Row = dict[str, Any]


def mean(found: Measured, setting: Setting, column: str, classifier: str) -> Mean | None:
    """Return what counts in a setting: the mean over seeds, None where there is none."""
    values = [result[setting.score][classifier] for result in found.of(setting, column)]
    known = [value for value in values if value is not None]
    return Mean.of(known) if known else None


def scores(found: Measured, settings: Sequence[Setting]) -> dict[str, list[Row]]:
    """Return a table for each score and classifier that counts in some setting."""
    tables: dict[str, list[Row]] = {}
    for score, words in SCORES.items():
        for classifier, name in NAMES.items():
            own = [s for s in settings if s.score == score and classifier in s.classifiers]
            rows = [_scored(found, setting, classifier) for setting in own]
            if rows:
                tables[f"{words}, {name}"] = rows
    return tables


def _scored(found: Measured, setting: Setting, classifier: str) -> Row:
    row: Row = {"setting": setting.title}
    for column, known in COLUMNS.items():
        one = mean(found, setting, column, classifier)
        row[known.title] = None if one is None else one.value
        if one is not None and one.standard_error is not None:
            row[f"{ERROR}{known.title}"] = one.standard_error
    won = winner(found, setting, classifier)
    return {**row, WINNER: None if won is None else COLUMNS[won].title}


def winner(found: Measured, setting: Setting, classifier: str) -> str | None:
    """Return the column with the highest mean; None where fewer than two can be compared.

    Real data is no candidate.
    """
    values = {
        column: one.value
        for column, known in COLUMNS.items()
        if not known.ceiling and (one := mean(found, setting, column, classifier)) is not None
    }
    return max(values, key=lambda column: values[column]) if len(values) > 1 else None


def distances(found: Measured, settings: Sequence[Setting]) -> list[Row]:
    """Return Frechet distances, in the features of a classifier that is one setting's own."""
    rows = []
    for setting in settings:
        row: Row = {"setting": setting.title}
        values = {}
        for column, known in COLUMNS.items():
            distance = frechet(found, setting, column)
            row[known.title] = distance
            if distance is not None and not known.ceiling:
                values[known.title] = distance
        won = min(values, key=lambda title: values[title]) if len(values) > 1 else None
        rows.append({**row, WINNER: won})
    return rows


def frechet(found: Measured, setting: Setting, column: str) -> float | None:
    """Return the mean Frechet distance over seeds."""
    known = [r["frechet"] for r in found.of(setting, column) if r["frechet"] is not None]
    return fmean(known) if known else None


def costs(found: Measured, settings: Sequence[Setting]) -> dict[str, list[Row]]:
    """Return processor seconds and bytes per cell."""
    wanted: dict[str, Callable[[Row], float | None]] = {
        "processor seconds to make a column's rows": lambda result: result["seconds"]["make"],
        "processor seconds to score them": lambda result: result["seconds"]["score"],
        "bytes sent per silo": lambda result: result["bytes"],
    }
    tables = {}
    for title, take in wanted.items():
        rows = []
        for setting in settings:
            row: Row = {"setting": setting.title}
            for column, known in COLUMNS.items():
                values = [v for r in found.of(setting, column) if (v := take(r)) is not None]
                row[known.title] = fmean(values) if values else None
            rows.append(row)
        tables[title] = rows
    return tables


def seeds(found: Measured, settings: Sequence[Setting]) -> list[Row]:
    """Return how often each cell was measured."""
    return [
        {"setting": setting.title}
        | {known.title: len(found.of(setting, c)) or None for c, known in COLUMNS.items()}
        for setting in settings
    ]


def missing(found: Measured, settings: Sequence[Setting]) -> list[Row]:
    """Return why cells have no figure: a row per setting and reason."""
    rows = []
    for setting in settings:
        told: dict[str, list[str]] = {}
        for column, known in COLUMNS.items():
            if not found.of(setting, column):
                told.setdefault(found.reason(setting, column), []).append(known.title)
        rows += [
            {"setting": setting.title, "columns": ", ".join(titles), "reason": reason}
            for reason, titles in told.items()
        ]
    return rows


def wins(found: Measured, settings: Sequence[Setting]) -> dict[str, list[str]]:
    """Return, for each other column that wins a row, where and by how much it leads ours.

    The row's own classifier decides: the CNN of images, logistic regression of tables.
    """
    told: dict[str, list[str]] = {}
    for setting in settings:
        won = winner(found, setting, setting.deciding)
        ours = mean(found, setting, OURS, setting.deciding)
        if won is None or won == OURS or ours is None:
            continue
        theirs = mean(found, setting, won, setting.deciding)
        assert theirs is not None
        counts = (len(found.of(setting, column)) for column in (won, OURS))
        of, ours_of = counts
        told.setdefault(won, []).append(
            f"{setting.title}: {theirs.value:.3f} against {ours.value:.3f} "
            f"({SCORES[setting.score]} of the {NAMES[setting.deciding]}, mean of {of} and "
            f"{ours_of})"
        )
    return told


def denoising(found: Measured, settings: Sequence[Setting]) -> list[Row]:
    """Return the network's and the bases' errors by noise level, means over seeds."""
    rows = []
    for setting in settings:
        known = [r["denoising"] for r in found.of(setting, NETWORK) if "denoising" in r]
        for level in zip(*known, strict=True):
            ours, base = (fmean(one[key] for one in level) for key in ("network", "base"))
            rows.append(
                {
                    "setting": setting.title,
                    "noise level": level[0]["noise_level"],
                    "base and network": ours,
                    "base with the whole budget": base,
                    "ratio": ours / base,
                }
            )
    return rows
