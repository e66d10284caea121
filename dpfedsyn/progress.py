"""What a run tells while it runs: a protocol, a live bar or plain lines, and a silent twin."""

from __future__ import annotations

from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from dpfedsyn.marking import MARK, void_because
from dpfedsyn.report import wording
from dpfedsyn.report.tables import worst
from dpfedsyn.settings import Config

LEAST_LEFT = 20.0  # seconds to come that are worth a word


class Progress(Protocol):
    """What a run reports to whoever watches it. Nothing here may depend on records."""

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage of `total` steps (None where the number is unknown)."""

    def advance(self, text: str = "") -> None:
        """One step of the stage is done; `text` says which."""

    def round(self, record: dict[str, Any]) -> None:
        """One round is charged, committed and over: a line of rounds.jsonl."""

    def note(self, text: str) -> None:
        """Say something that outlives the stage."""

    def finish(self) -> None:
        """The run is over, well or not. May be called twice."""


class Silent:
    """Says nothing: for tests and for programs that call the library."""

    def stage(self, name: str, total: int | None) -> None:
        """Say nothing."""

    def advance(self, text: str = "") -> None:
        """Say nothing."""

    def round(self, record: dict[str, Any]) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""


class Several:
    """Tells all of these the same."""

    def __init__(self, *told: Progress) -> None:
        self._told = told

    def stage(self, name: str, total: int | None) -> None:
        """Tell all."""
        for one in self._told:
            one.stage(name, total)

    def advance(self, text: str = "") -> None:
        """Tell all."""
        for one in self._told:
            one.advance(text)

    def round(self, record: dict[str, Any]) -> None:
        """Tell all."""
        for one in self._told:
            one.round(record)

    def note(self, text: str) -> None:
        """Tell all."""
        for one in self._told:
            one.note(text)

    def finish(self) -> None:
        """Tell all."""
        for one in self._told:
            one.finish()


def shown(config: Config, console: Console | None = None) -> RichProgress:
    """Return what a terminal shows of this run: marked, and without epsilons, where it is void."""
    privacy = config.privacy
    terms = wording.Terms(privacy.delta, privacy.unit, privacy.adjacency)
    return RichProgress(terms, console, private=void_because(config) is None)


class RichProgress:
    """A live bar on a terminal; one line per stage and per round anywhere else.

    Args:
        terms: delta, unit and adjacency, without which no epsilon is printed.
        console: where to print; standard output if None.
        private: whether the run promises anything; False: no epsilon is printed, but the mark.
    """

    def __init__(
        self, terms: wording.Terms, console: Console | None = None, *, private: bool = True
    ) -> None:
        self._terms, self._private = terms, private
        self._console = console or Console(highlight=False)
        self._bar = _bar(self._console) if self._console.is_terminal else None
        self._task: TaskID | None = None

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage; the one before it is taken as done."""
        name = wording.plain(name)
        if self._bar is None:
            steps = "" if total is None else f" ({total} steps)"
            self._line(f"{name}{steps}")
            return
        self._close()
        self._bar.start()
        self._task = self._bar.add_task(name, total=total, text="")

    def advance(self, text: str = "") -> None:
        """Move the bar by one step; plain output stays quiet between rounds."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, text=wording.plain(text))

    def round(self, record: dict[str, Any]) -> None:
        """Move the bar to this round, and show the epsilon that holds after it."""
        self._line("  " + round_line(record, self._terms, private=self._private))
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=record["round"], total=record["of"], text="")

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._line(wording.plain(text))

    def finish(self) -> None:
        """Leave the last state of every stage on the screen and stop drawing."""
        if self._bar is not None:
            self._bar.stop()

    def _close(self) -> None:
        """Freeze the stage before, so that its clock stands still."""
        if self._bar is not None and self._task is not None:
            self._bar.stop_task(self._task)

    def _line(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def round_line(record: dict[str, Any], terms: wording.Terms, *, private: bool = True) -> str:
    """Write one round as a line: the worst silo's epsilon in all three readings, if it has any."""
    if not private:
        return wording.plain(f"{MARK}: {_place(record)}: nothing is promised{aside(record)}")
    silo = worst(record, "silo")
    silo_terms = "" if silo is None else f" ({wording.terms_of_reading('silo', terms)})"
    return wording.plain(
        f"{_place(record)}: "
        f"{terms.unit} {_at_most(worst(record, 'record'))}; "
        f"answers alone {_at_most(worst(record, 'answers'))} ({terms}); "
        f"silo level {_at_most(silo)}{silo_terms}{aside(record)}"
    )


def _place(record: dict[str, Any]) -> str:
    return f"{record['pass']} ({record.get('sampler', '')}) {record['round']}/{record['of']}"


def aside(record: dict[str, Any]) -> str:
    """Name the silos that gave no answer in time, with the reason, and the time that is left."""
    return f"{_missing(record)}{_left(record)}"


def _missing(record: dict[str, Any]) -> str:
    missing = sorted(set(record.get("asked", {})) - set(record.get("answered", ())))
    why = record.get("missing", {})
    told = [f"{name} ({why[name]})" if why.get(name) else name for name in missing]
    return f"; without {', '.join(told)}" if told else ""


def _left(record: dict[str, Any]) -> str:
    """Say how long the rounds to come will take, where it is worth saying."""
    left = record.get("left") or 0.0
    return f"; {wording.duration(left)} left" if left >= LEAST_LEFT else ""


def _at_most(value: float | None) -> str:
    if value is None:
        return "none"
    weak = "" if value <= wording.NO_PROTECTION_ABOVE else ", no protection of its own"
    return f"epsilon <= {wording.number(value)}{weak}"


def _bar(console: Console) -> Bar:
    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}", markup=False, table_column=Column(ratio=1)),
        console=console,
        expand=True,
    )
