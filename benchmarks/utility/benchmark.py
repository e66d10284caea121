"""How useful synthetic images are: digits with privacy, MNIST in the authors' setting without.

Each split is a whole run of an embedded example with fresh noise. MNIST is read from the folder
`shared/data/mnist` beside the project; without it those figures are not measured, and say so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.record import Figures, Table, Target
from benchmarks.run import splits
from benchmarks.run.splits import Mean
from benchmarks.utility import shares

RESULTS = Path(__file__).parents[1] / "results" / "utility"
MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist"
FEW = ("answers.rows=200", "train.steps=4", "sampler.levels=3", "sampler.steps_per_level=1")
REAL = "pooled real records (no privacy)"
BEHIND = 0.01  # accuracy on digits may trail real data by so much
# Accuracies with 2,000 rows, ten silos of 300, Dirichlet(0.1), no privacy.
WANTED = {"logistic": 0.86, "mlp": 0.87, "cnn": 0.88}
PUBLISHED = {"logistic": 0.785, "mlp": 0.781, "cnn": 0.789}  # Hahn and Lee (2025), table 1


def measure(*, smoke: bool) -> Figures:
    """Return the figures; `smoke` takes a minute: one small run, no targets measured."""
    console = Console(stderr=True, highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False)

    kept = tempfile.TemporaryDirectory(prefix="utility-") if smoke else nullcontext(str(RESULTS))
    with kept as folder:
        names, overrides = (("dev-smoke",), FEW) if smoke else (splits.SPLITS, ())
        digits = splits.measure(names, Path(folder) / "digits", overrides, say, "digits")
        mnist = _mnist(Path(folder) / "mnist", say) if not smoke and MNIST.is_dir() else None
        silo_shares = shares.measure(Path(folder) / "shares", MNIST, say, smoke=smoke)
    reason = "smoke: one small run" if smoke else None
    tables: dict[str, Table] = {"digits, epsilon 10 per silo": splits.utility(digits)}
    tables |= {
        f"digits: bytes sent ({name})": _traffic(digits, name) for name in ("default", "best")
    }
    targets = {
        f"digits_{name}_{model}": _digits(digits, name, model, reason)
        for name in ("default", "best")
        for model in ("logistic", "mlp")
    }
    if mnist is not None:
        tables["MNIST, no privacy"] = [*splits.utility(mnist), _published()]
        tables["MNIST: bytes sent"] = _traffic(mnist, "best")
    absent = reason or f"no MNIST: there is no folder {MNIST.parent.name}/{MNIST.name}"
    targets |= {f"mnist_best_{m}": _accuracy(mnist, m, absent) for m in WANTED}
    targets["bytes_ratio"] = _ratio(mnist, absent)
    targets["silo_shares"], tables["shares of four disjoint silos"] = silo_shares
    return Figures(targets, tables, ("Accuracies on real rows that no silo trained on.",))


def _mnist(kept: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    return splits.measure(("report-0",), kept, (f'data.folder="{MNIST}"',), say, "mnist")


def _digits(results: Sequence[dict[str, Any]], name: str, model: str, absent: str | None) -> Target:
    """By how much accuracy trails that of real data on the same splits."""
    if absent is not None:
        return Target(None, BEHIND, at_least=False, reason=absent)
    gap = splits.behind(results, name, REAL, model)
    ours, real = (splits.accuracy(results, table, model) for table in (name, REAL))
    reason = f"{ours.value:.3f} against {real.value:.3f} of real data, {len(results)} splits"
    return Target(gap.value, BEHIND, False, reason, gap.standard_error)


def _accuracy(results: Sequence[dict[str, Any]] | None, model: str, absent: str) -> Target:
    if results is None:
        return Target(None, WANTED[model], at_least=True, reason=absent)
    mean: Mean = splits.accuracy(results, "best", model)
    reason = f"{len(results)} partition; the paper's figure is {PUBLISHED[model]:.3f}"
    return Target(mean.value, WANTED[model], True, reason, mean.standard_error)


def _ratio(results: Sequence[dict[str, Any]] | None, absent: str) -> Target:
    """The worst silo's bytes against one upload of the same network."""
    if results is None:
        return Target(None, 1.0, at_least=False, reason=absent)
    worst = max(row["ratio"] for row in _traffic(results, "best"))
    return Target(worst, 1.0, False, "MNIST, preset best: bytes of a whole run, worst silo")


def _traffic(results: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """What each silo sent in the first split."""
    sent = results[0]["federation"]["traffic"].get(name, {})
    return [{"silo": silo, **values} for silo, values in sent.items()]


def _published() -> dict[str, Any]:
    row: dict[str, Any] = {"trained on": "the paper's own figures", "kind": "published"}
    return row | {f"{model} accuracy": value for model, value in PUBLISHED.items()}
