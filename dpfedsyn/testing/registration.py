"""`accountants`' types for `st.from_type` and `st.builds`, registered as soon as they exist.

Every `import hypothesis` of the environment runs our entry point, in projects too that use nothing
of ours: loading numpy and scipy there, as the types' module does, would cost each of them seconds.
So the import of that module is awaited, and strategies are made when a test asks for a type.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# Module of `accountants` -> its types that have a strategy.
TYPES = {
    "accountants.events": (
        "ApproximateDP",
        "Composed",
        "Gaussian",
        "Laplace",
        "PoissonSampled",
        "Repeated",
    ),
    "accountants.rows": ("Charge", "Header"),
}


def register() -> None:
    """Register the types that are loaded, and the others when they are; again: no harm."""
    if not any(isinstance(finder, _Awaiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Awaiting())
    for home in TYPES:
        if home in sys.modules:
            _register(sys.modules[home])


def _register(home: ModuleType) -> None:
    from hypothesis import strategies as st

    for name in TYPES[home.__name__]:
        if hasattr(home, name):  # not yet, where Hypothesis is imported in the middle of it
            st.register_type_strategy(getattr(home, name), _strategy)


def _strategy(kind: type) -> Any:
    """Return the strategy of a type, when a test draws it."""
    from dpfedsyn.testing.strategies import accounting

    match kind.__name__:
        case "Charge":
            return accounting.charges()
        case "Header":
            return accounting.headers()
        case _:
            return accounting.events(kinds=(kind,))


class _Awaiting(MetaPathFinder):
    """Finds the modules of `TYPES` as the other finders do, to register what they define."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of an awaited module, with a loader that registers; else None."""
        if fullname not in TYPES:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Registering(spec.loader)
                return spec
        return None


class _Registering(Loader):
    """A loader that gives the module its own loader back, and registers once it is loaded."""

    def __init__(self, own: Loader) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the module's own loader."""
        return self._own.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Load the module, then register its types."""
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = self._own
        self._own.exec_module(module)
        _register(module)
