"""What a benchmark returns: targets and tables, shown on the terminal and written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import machine

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """A figure and what it ought to be; `value` is None where it was not measured.

    Attributes:
        at_least: whether the target is a lower bound. reason: why there is no value, or what to
            know about it.
    """

    value: float | None
    target: float
    at_least: bool
    reason: str | None = None
    standard_error: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = {"value": self.value, "target": self.target, "met": self.met, "reason": self.reason}
        if self.standard_error is not None:
            plain["standard_error"] = self.standard_error
        return plain


@dataclass(frozen=True)
class Figures:
    """All that one benchmark found; a table is a list of rows with equal keys."""

    targets: Mapping[str, Target]
    tables: Mapping[str, list[Row]]
    notes: tuple[str, ...] = ()


def show(figures: Figures, console: Console | None = None) -> None:
    """Print every table, then the targets."""
    console = console or Console(highlight=False, width=None)
    for name, rows in figures.tables.items():
        _print(console, name, rows)
    targets = [{"target": name, **target.to_json()} for name, target in figures.targets.items()]
    _print(console, "targets", targets)
    for note in figures.notes:
        console.print(note, markup=False, soft_wrap=True)


def write(path: Path, name: str, figures: Figures, *, smoke: bool) -> None:
    """Write machine, versions, targets and tables as JSON."""
    content = {
        "benchmark": name,
        "smoke": smoke,
        "machine": machine.machine(),
        "versions": machine.versions(),
        "targets": {key: target.to_json() for key, target in figures.targets.items()},
        "tables": figures.tables,
        "notes": figures.notes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _print(console: Console, name: str, rows: list[Row]) -> None:
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = RichTable(title=name, title_justify="left")
    for column in columns:
        table.add_column(
            column, justify="left" if isinstance(rows[0].get(column), str) else "right"
        )
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    console.print(table)


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
    return str(value)
