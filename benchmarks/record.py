"""What a benchmark returns: targets and tables, shown on the terminal and written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from benchmarks import machine

Row = dict[str, Any]
Table = Sequence[Mapping[str, Any]]

WINNER = "winner"  # a row's key for the column that won it: shown by its bold type alone
ERROR = "+- "  # before a column's name: its standard error, shown in the same cell
WIDTH = 130


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
    """All that one benchmark found; a table is a list of rows, column by column.

    A row may name the column that won it under `WINNER`.

    Attributes:
        versions: of what ran in another interpreter than this one.
    """

    targets: Mapping[str, Target]
    tables: Mapping[str, Table]
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


def say(text: str) -> None:
    """Tell on standard error what is measured next."""
    Console(stderr=True, highlight=False).print(text, markup=False)


def show(figures: Figures, console: Console | None = None) -> None:
    """Print every table, then the targets."""
    console = console or Console(highlight=False, width=WIDTH)
    for name, rows in figures.tables.items():
        _print(console, name, rows)
    _print(console, "targets", [_line(name, target) for name, target in figures.targets.items()])
    for note in figures.notes:
        console.print(note, markup=False, soft_wrap=True)


def write(path: Path, name: str, figures: Figures, *, smoke: bool) -> None:
    """Write machine, versions, targets and tables as JSON."""
    content = {
        "benchmark": name,
        "smoke": smoke,
        "machine": machine.machine(),
        "versions": machine.versions() | dict(figures.versions),
        "targets": {key: target.to_json() for key, target in figures.targets.items()},
        "tables": figures.tables,
        "notes": figures.notes,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _line(name: str, target: Target) -> dict[str, Any]:
    plain = target.to_json()
    wanted = f"{'>=' if target.at_least else '<='} {target.target:g}"
    error = {f"{ERROR}value": target.standard_error}
    known = {key: plain[key] for key in ("met", "reason")}
    return {"name": name, "value": target.value, **error, "target": wanted, **known}


def _print(console: Console, title: str, rows: Table) -> None:
    columns = columns_of(rows)
    table = RichTable(title=title, title_justify="left", box=box.SIMPLE)
    for column in columns:
        words = any(isinstance(row.get(column), str) for row in rows)
        table.add_column(column, justify="left" if words else "right")
    for row in rows:
        cells = (escape(cell(row.get(c), row.get(f"{ERROR}{c}"))) for c in columns)
        bold = (f"[bold]{text}[/]" if row.get(WINNER) == c else text
                for c, text in zip(columns, cells, strict=True))  # fmt: skip
        table.add_row(*bold)
    console.print(table)


def columns_of(rows: Table) -> list[str]:
    """Return the columns that are shown, in the order in which they first occur."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if ERROR not in key and key != WINNER]


def cell(value: Any, error: float | None = None) -> str:
    """Return a value as it is shown, with its standard error where there is one."""
    text = _text(value)
    return text if error is None else f"{text} {ERROR}{error:.2g}"


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
    return str(value)
