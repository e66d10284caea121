"""Whole runs of the embedded examples with their own evaluation, and what holds when silos differ.

Digits with privacy, MNIST in the authors' setting without, shares of four disjoint silos, silos
that leave, bytes sent. Each split is a whole run with fresh noise, and is kept, so that a
measurement goes on where it was stopped. MNIST is read from the folder `shared/data/mnist` beside
the project; without it those figures are not measured, and say so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.examples import dropout, images, shares, traffic
from benchmarks.record import Figures, Table, Target, say
from benchmarks.run import process, splits

FEW = (
    "answers.rows=200",
    "train.steps=4",
    "sampler.levels=3",
    "sampler.steps_per_level=1",
    "best.levels=3",
    "evaluate.baselines=[]",
)
PASSES = ("default", "best")
SECONDS = 180.0  # of a whole run of the digits


RESULTS = Path(__file__).parents[1] / "results" / "examples"
MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"


def measure(*, smoke: bool) -> Figures:
    """Return the figures; after a smoke run nothing is kept."""
    with _folder(smoke) as folder:
        return _measured(MNIST, folder, say, smoke=smoke)


@contextmanager
def _folder(smoke: bool) -> Iterator[Path]:
    if smoke:
        with tempfile.TemporaryDirectory(prefix="examples-") as folder:
            yield Path(folder)
    else:
        yield RESULTS


def _measured(
    mnist_folder: Path, kept: Path, say: Callable[[str], None], *, smoke: bool
) -> Figures:
    """Return the figures; finished runs are read back from `kept`."""
    names, overrides = (("dev-smoke",), FEW) if smoke else (splits.SPLITS, ())
    there = not smoke and mnist_folder.is_dir()
    digits = images.digits(names, kept / "digits", overrides, say)
    mnist = images.mnist(mnist_folder, kept / "mnist", say) if there else None
    lost = dropout.measure(mnist_folder, kept / "dropout", say) if there else None
    silo_shares = shares.measure(kept / "shares", mnist_folder, say, smoke=smoke)
    unmeasured = "smoke: one small run" if smoke else None
    absent = (
        unmeasured or f"no MNIST: there is no folder {mnist_folder.parent.name}/{mnist_folder.name}"
    )
    tables: dict[str, Table] = {
        "digits, epsilon 10 per silo": splits.utility(digits),
        "digits, classifiers with short training": images.short_table(digits),
    }
    if mnist is not None:
        tables["MNIST, no privacy"] = [*splits.utility(mnist), images.published()]
    if lost is not None:
        tables["MNIST, silos that leave"] = dropout.table(lost)
    runs = {f"digits, {name}": (digits, name) for name in PASSES} | {"MNIST": (mnist, "best")}
    tables["bytes sent"] = traffic.table(runs)
    targets = {
        f"digits_{name}_{model}{kind}": measured(digits, name, model, unmeasured)
        for kind, measured in (("", images.behind), ("_short", images.behind_short))
        for name in PASSES
        for model in images.MODELS
    }
    targets |= {f"mnist_best_{m}": images.accuracy(mnist, m, absent) for m in images.WANTED}
    targets["silo_shares"], tables["shares of four disjoint silos"] = silo_shares
    targets["silos_lost"] = dropout.target(lost, absent)
    targets["bytes_ratio"] = traffic.target(mnist, absent)
    targets["digits_seconds"] = _seconds(smoke, say)
    return Figures(targets, tables)


def _seconds(smoke: bool, say: Callable[[str], None]) -> Target:
    """How long `dpfedsyn run digits` takes with every baseline."""
    if smoke:
        reason = "smoke: a whole run does not fit into its minute"
        return Target(None, SECONDS, at_least=False, reason=reason)
    say("dpfedsyn run digits, whole process")
    found = process.measure("digits")
    reason = f"one process on {process.CORES} cores, report and every baseline included"
    return Target(found.wall, SECONDS, at_least=False, reason=reason)
