"""Fixtures of the end-to-end tests."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.end_to_end.small import ROOT


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that imports a module of the benchmarks, which are not installed."""
    monkeypatch.syspath_prepend(str(ROOT))

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"benchmarks.{name}")

    return load


@pytest.fixture
def utility(benchmark: Any) -> Any:
    """Modules of the benchmark, by name."""
    names = ("cells", "columns", "settings", "source", "tables", "targets", "markdown", "marginals",
             "ground", "step", "score", "benchmark")  # fmt: skip
    return SimpleNamespace(**{name: benchmark(f"utility.{name}") for name in names})


@pytest.fixture
def records(utility: Any, tmp_path: Path) -> Iterator[Any]:
    """Splits of the embedded examples to develop on; there is no MNIST."""
    with utility.source.source(tmp_path / "nowhere", tmp_path, development=True) as found:
        yield found
