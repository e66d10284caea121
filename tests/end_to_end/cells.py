"""Cells of the benchmark `utility`: a small setting, and results that nobody had to make."""

from dataclasses import replace
from typing import Any

SCORES = {"logistic": 0.8, "mlp": 0.85, "cnn": 0.9}
FEW = (
    "answers.rows=60",
    "train.steps=2",
    "train.draws=1",
    "train.sampling_rate=0.5",
    "network.kind=mlp",
    "network.hidden=8",
    "best.levels=2",
    "sampler.levels=2",
)


def hospitals(utility: Any, *overrides: str, **changes: Any) -> Any:
    small = utility.settings.SMOKE[0]
    return replace(small, overrides=(*FEW, *overrides), **changes)


def result(seed: int = 1, frechet: float | None = 2.0, **scores: float) -> dict[str, Any]:
    """What a cell is kept as, without having been made."""
    known = SCORES | scores
    return {
        "seed": seed, "commit": "abc", "accuracy": known, "auc": known, "frechet": frechet,
        "bytes": 10.0, "seconds": {"make": 1.0, "score": 2.0}, "epsilon": 1.0, "rows": 5,
        "versions": {"mbi": "2.0.0"},
    }  # fmt: skip


def measured(utility: Any, results: dict[tuple[Any, str], list[dict[str, Any]]]) -> Any:
    cells = {
        utility.cells.Cell(setting, column, k + 1): {**found, "seed": k + 1}
        for (setting, column), several in results.items()
        for k, found in enumerate(several)
    }
    return utility.cells.Measured(cells, {})
