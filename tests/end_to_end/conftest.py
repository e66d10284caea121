"""Fixtures of the end-to-end tests."""

import importlib
from types import ModuleType
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
