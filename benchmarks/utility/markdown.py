"""RESULTS.md: the tables with command, commit, machine and seeds, and which baseline wins where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.record import ERROR, WINNER, Figures, Table, cell, columns_of
from benchmarks.utility import tables
from benchmarks.utility.cells import PICTURES, Measured
from benchmarks.utility.columns import COLUMNS
from benchmarks.utility.settings import Setting

PATH = Path(__file__).parents[1] / "RESULTS.md"
COMMAND = "python -m benchmarks utility --json benchmarks/results/utility.json"


def write(
    path: Path,
    figures: Figures,
    found: Measured,
    settings: Sequence[Setting],
    pictures: Path,
) -> None:
    """Write the file; everything in it comes from the figures."""
    path.write_text(text(figures, found, settings, pictures, path.parent), encoding="utf-8")


def text(
    figures: Figures,
    found: Measured,
    settings: Sequence[Setting],
    pictures: Path,
    here: Path,
) -> str:
    """Return the file's text; pictures are named relative to `here`."""
    parts = [
        "# Results of `python -m benchmarks utility`",
        "Written by the benchmark, not by hand. The winner of each row is bold, whoever it is; "
        "real data is no candidate. A dash was not measured; a table below says why. "
        "Classifiers are trained on synthetic rows alone and tested on real rows that no silo "
        "trained on.",
        _provenance(figures, found),
        *_columns(),
        *(f"## {name}\n\n{table(rows)}" for name, rows in figures.tables.items() if rows),
        "## Targets",
        table(_targets(figures)),
        *paragraphs(found, settings),
        *_grids(pictures, here),
    ]
    return "\n\n".join(parts) + "\n"


def _provenance(figures: Figures, found: Measured) -> str:
    commits = sorted({result["commit"] for result in found.results.values()})
    versions = machine.versions() | dict(figures.versions)
    where = machine.machine()
    lines = [
        ("command", f"`{COMMAND}`"),
        ("commits of the cells", ", ".join(f"`{commit}`" for commit in commits) or "none"),
        ("machine", ", ".join(f"{key} {value}" for key, value in where.items())),
        ("versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
        ("seeds", "1, 2, ... of partition, sampler and evaluation; noise is fresh in every run"),
    ]
    return table([{"": name, "value": value} for name, value in lines])


def _columns() -> list[str]:
    lines = [f"- **{column.title}**: {column.about}" for column in COLUMNS.values()]
    return ["## Columns", "\n".join(lines)]


def table(rows: Table) -> str:
    """Return a table in Markdown, the winner of each row in bold."""
    columns = columns_of(rows)
    lines = [_line(columns), _line(["---"] * len(columns))]
    for row in rows:
        cells = []
        for column in columns:
            shown = cell(row.get(column), row.get(f"{ERROR}{column}")).replace("|", "\\|")
            cells.append(f"**{shown}**" if row.get(WINNER) == column else shown)
        lines.append(_line(cells))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _targets(figures: Figures) -> list[dict[str, Any]]:
    rows = []
    for name, target in figures.targets.items():
        wanted = f"{'>=' if target.at_least else '<='} {target.target:g}"
        error = {f"{ERROR}value": target.standard_error}
        rest = {"target": wanted, "met": target.met, "reason": target.reason}
        rows.append({"name": name, "value": target.value, **error, **rest})
    return rows


def paragraphs(found: Measured, settings: Sequence[Setting]) -> list[str]:
    """Return a paragraph for each baseline that wins a row, from the figures alone."""
    told: Mapping[str, list[str]] = tables.wins(found, settings)
    measured = [s for s in settings if tables.winner(found, s, s.deciding) is not None]
    won = len(measured) - sum(len(places) for places in told.values())
    parts = ["## Baselines that win"]
    parts.append(
        f"Ours wins {won} of {len(measured)} rows that have more than one column, by the CNN of "
        "images and the logistic regression of tables."
    )
    for column, places in told.items():
        known = COLUMNS[column]
        listed = "".join(f"\n- {place}" for place in places)
        parts.append(f"### {known.title}\n\nIt wins {len(places)}. {known.about}\n{listed}")
    return parts


def _grids(pictures: Path, here: Path) -> list[str]:
    files = sorted((pictures / PICTURES).glob("*.png"))
    if not files:
        return []
    lines = [f"- [{file.stem}]({file.relative_to(here)})" for file in files]
    return ["## First images of each column, seed 1", "\n".join(lines)]
