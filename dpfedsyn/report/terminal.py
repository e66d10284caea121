"""Print tables and claims on a terminal or into a pipe."""

import textwrap
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from dpfedsyn.marking import caption
from dpfedsyn.report import frontier_tables, plan_tables, tables, wording
from dpfedsyn.report.finished import FinishedRun
from dpfedsyn.report.wording import Json

_NEVER_SPLIT = 40  # characters; a number or a name broken over two lines is misread


def show(console: Console, shown: Iterable[tables.Table], *, private: bool = True) -> None:
    """Print tables one after another; text is shown as it is, never as markup.

    Args:
        private: whether what they speak of promises anything; if not, every caption says so.
    """
    for table in shown:
        if not table.rows:
            continue
        grid, least = _grid(table)
        say(console, caption(table.caption, private=private))
        console.print(grid, width=max(console.width, least), crop=False, no_wrap=True)
        if table.note:
            say(console, f"  {table.note}")
        console.print()


def _grid(table: tables.Table) -> tuple[RichTable, int]:
    """Lay a table out; return it with its least width, below which numbers would be cut."""
    grid = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    least = 0
    for place, name in enumerate(table.head):
        width = max(len(row[place]) for row in table.rows)
        header = textwrap.fill(wording.plain(name), max(width, 5), break_long_words=False)
        width = max(width, *map(len, header.split("\n")))
        fits = width <= _NEVER_SPLIT
        least += 2 + (width if fits else _NEVER_SPLIT)
        grid.add_column(Text(header), overflow="fold", min_width=width if fits else _NEVER_SPLIT)
    for row in table.rows:
        grid.add_row(*(Text(cell) for cell in row))
    return grid, least


def say(console: Console, line: str) -> None:
    """Print one line of text without markup, highlighting or cutting."""
    console.print(Text(wording.plain(line)), soft_wrap=True)


def plan(console: Console, planned: Json) -> None:
    """Print what a run will cost; what does not fit is an error and not printed here."""
    say(console, plan_tables.summary(planned))
    show(console, plan_tables.of(planned), private=not planned.get("void"))
    for note in planned.get("notes", ()):
        say(console, f"note: {note}")


def frontier(console: Console, solved: Json) -> None:
    """Print what a budget buys, then the plan of the chosen point."""
    for line in frontier_tables.summary(solved):
        say(console, line)
    show(console, (frontier_tables.of(solved),), private=not solved["plan"].get("void"))
    for note in solved["notes"]:
        say(console, f"note: {note}")
    say(console, "")
    plan(console, solved["plan"])


def run(console: Console, folder: FinishedRun) -> None:
    """Print what a run promises, what it spent and what the data is worth."""
    statement, results = folder.statement, folder.results
    silos = statement["silos"]
    show(
        console,
        (
            tables.guarantee(statement),
            tables.readings(silos),
            tables.shares(statement),
            tables.rounds(folder.passes(), silos),
            tables.utility(results),
        ),
        private=folder.private,
    )
    for sentence in results.get("baselines_that_win", ()):
        say(console, f"baseline: {sentence}")
    for entry in results.get("left_out", ()):
        say(console, f"not shown: {entry['name']}: {entry['reason']}")
    if results.get("utility"):
        say(console, "Utility is unpaid internal evaluation on real rows: do not publish it.")
    if not statement["private"]:
        say(console, "NON-PRIVATE RUN: it promises nothing to anybody; publish nothing of it.")
    if folder.status != "complete":
        say(console, f"{folder.status.upper()} RUN: {folder.reason}")
    if folder.status == "partial":
        say(console, wording.LARGER_CAP)
