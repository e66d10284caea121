"""What synthetic rows are worth beside what else could be made of the same records and budgets.

Cells first (see `cells` for their order): settings of the table, columns side by side. Then what a
private step costs, and how long a whole run on MNIST takes. MNIST is read from the folder
`shared/data/mnist` beside the project; without it those figures are not measured, and say so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.record import Figures, Table, Target, say
from benchmarks.run import process
from benchmarks.utility import cells, markdown, tables, targets
from benchmarks.utility import step as private_step
from benchmarks.utility.cells import Measured
from benchmarks.utility.settings import ROUNDS, SETTINGS, SMOKE, WHOLE_MNIST, Setting
from benchmarks.utility.source import MNIST, Source, source

RESULTS = Path(__file__).parents[1] / "results" / "utility"
DEVELOPMENT = Path(__file__).parents[2] / "runs" / "benchmark-development"
HOURS = 5.5  # of cells; what is timed takes half an hour beside them
MINUTES = 15.0  # of a whole run on MNIST, 10 x 6,000, epsilon 1, 20,000 images
NOTE = "Accuracies on real rows that no silo trained on; {part}."


def measure(
    *, smoke: bool, hours: float = HOURS, development: bool = False, only: str = ""
) -> Figures:
    """Return the figures.

    Args:
        smoke: a minute: small runs, no targets measured. hours: no cell is begun after so long.
        development: cells alone, on development splits; test parts are not read.
        only: part of the names of cells to make; others are read back where they are kept, and
            nothing but cells is measured.
    """
    with (
        _folder(smoke, development) as folder,
        tempfile.TemporaryDirectory() as scratch,
        source(MNIST, Path(scratch), development=development) as records,
    ):
        settings: tuple[Setting, ...] = SMOKE if smoke else (*SETTINGS, *ROUNDS)
        found = cells.measure(settings, records, folder / "cells", say, hours=hours, only=only)
        shown = of_cells(found, settings, smoke=smoke)
        if development or only:
            return _noted(shown, "development splits" if development else "test parts")
        whole = _joined(shown, _timed(records, smoke=smoke))
    if not smoke:
        markdown.write(markdown.PATH, whole, found, SETTINGS, RESULTS / "cells")
    return _noted(whole, "test parts")


def of_cells(found: Measured, settings: tuple[Setting, ...], *, smoke: bool) -> Figures:
    """Return targets and tables of cells."""
    main = tuple(setting for setting in settings if setting not in ROUNDS)
    shown: dict[str, Table] = {**tables.scores(found, main)}
    shown["Frechet distance in a fixed classifier's features"] = tables.distances(found, main)
    shown["denoising error on held-out images"] = tables.denoising(found, main)
    shown |= {**tables.costs(found, main), "seeds measured": tables.seeds(found, main)}
    shown["not measured"] = tables.missing(found, main)
    kept = {name: rows for name, rows in shown.items() if rows}
    versions = {k: v for result in found.results.values() for k, v in result["versions"].items()}
    if smoke:
        reason = "smoke: cells of the table do not fit into its minute"
        found = Measured({}, {cell: reason for cell in cells.ordered((*SETTINGS, *ROUNDS))})
    return Figures(targets.of_cells(found), kept, versions=versions)


def _timed(records: Source, *, smoke: bool) -> Figures:
    """Measure what a private step costs, and how long a whole run on MNIST takes."""
    step, table = private_step.measure(smoke=smoke)
    if smoke:
        reason = "smoke: a whole run does not fit into its minute"
        minutes = Target(None, MINUTES, at_least=False, reason=reason)
    elif records.folder is None:
        reason = "no MNIST: there is no folder shared/data/mnist"
        minutes = Target(None, MINUTES, at_least=False, reason=reason)
    else:
        say(f"dpfedsyn run {WHOLE_MNIST.example} ({WHOLE_MNIST.title}), whole process")
        overrides = (*WHOLE_MNIST.overrides, f'data.folder="{records.folder}"', "preset=best")
        taken = process.measure(WHOLE_MNIST.example, (*overrides, "evaluate.enabled=false"))
        reason = (
            f"one process on {process.CORES} cores, report included, without evaluation; "
            f"{taken.processor / 60:.1f} processor minutes, {taken.memory_mib:.0f} MiB"
        )
        minutes = Target(taken.wall / 60.0, MINUTES, at_least=False, reason=reason)
    shown: dict[str, Table] = {"a private step beside a plain one": table} if table else {}
    return Figures({"private_step_ratio": step, "mnist_run_minutes": minutes}, shown)


@contextmanager
def _folder(smoke: bool, development: bool) -> Iterator[Path]:
    """Where results are kept: nowhere after a smoke run."""
    if smoke:
        with tempfile.TemporaryDirectory(prefix="utility-") as folder:
            yield Path(folder)
    else:
        yield DEVELOPMENT if development else RESULTS


def _joined(first: Figures, second: Figures) -> Figures:
    versions = {**first.versions, **second.versions}
    shown = {**first.tables, **second.tables}
    return Figures({**first.targets, **second.targets}, shown, versions=versions)


def _noted(figures: Figures, part: str) -> Figures:
    return Figures(figures.targets, figures.tables, (NOTE.format(part=part),), figures.versions)
