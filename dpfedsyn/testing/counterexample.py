"""A violation as a program: neighbours, seed and region, without Hypothesis and without pytest."""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from dpfedsyn.audit import Audit


def code(found: Audit, mechanism: Callable[..., Any], *, unit: str) -> str:
    """Return a program that makes the audit again and asserts that it is a violation."""
    witness = found.witness
    assert witness is not None
    first, second = (literal(data) for data in witness.neighbours)
    lines = [
        *(["import torch"] if "torch." in first + second else []),
        "import numpy as np",
        "import accountants",
        "from accountants import *",
        "from dpfedsyn.audit import GDP, audit",
        "nan, inf = np.nan, np.inf",
        source_of(mechanism),
        f"without = {first}",
        f"with_ = {second}",
        "found = audit(",
        "    mechanism, (without, with_),",
        f"    claim={found.claim!r}, alpha={witness.alpha!r}, max_calls={witness.max_calls},",
        f"    seed={witness.seed}, adjacency={str(witness.adjacency)!r}, unit={unit!r},",
        ")",
        f"# where: {witness.region}",
        "print(found)",
        'assert found.verdict == "VIOLATION"',
    ]
    return "\n".join(lines)


def literal(data: Any) -> str:
    """Return an expression of data, exact to the bit for numbers; `nan` and `inf` are names."""
    if hasattr(data, "detach"):
        return f"torch.tensor({data.detach().cpu().numpy().tolist()!r}, dtype={data.dtype})"
    if isinstance(data, np.ndarray):
        shape = f".reshape({data.shape})" if data.size == 0 else ""
        return f"np.array({data.tolist()!r}, dtype=np.dtype({data.dtype.str!r})){shape}"
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{k!r}: {literal(v)}" for k, v in data.items()) + "}"
    if type(data) in (tuple, list):
        inner = "".join(f"{literal(item)}, " for item in data)
        return f"({inner})" if isinstance(data, tuple) else f"[{inner}]"
    return repr(data)


def source_of(mechanism: Callable[..., Any]) -> str:
    """Return statements that define `mechanism`: an import, an instance, or its own text."""
    name = getattr(mechanism, "__qualname__", "")
    module = getattr(mechanism, "__module__", "")
    if _importable(module, name):
        return f"from {module} import {name} as mechanism"
    shape = type(mechanism)
    if is_dataclass(mechanism) and _importable(shape.__module__, shape.__qualname__):
        return f"from {shape.__module__} import {shape.__qualname__}\nmechanism = {mechanism!r}"
    try:
        text = textwrap.dedent(inspect.getsource(mechanism))
    except (OSError, TypeError):
        text = repr(mechanism)
    free = getattr(getattr(mechanism, "__code__", None), "co_freevars", ("?",))
    if text.startswith("def ") and not free:
        return f"{text.rstrip()}\nmechanism = {mechanism.__name__}"
    quoted = textwrap.indent(text.rstrip(), "#     ")
    return f"# `mechanism` has no importable name; put it here:\n{quoted}"


def _importable(module: str, name: str) -> bool:
    found = sys.modules.get(module)
    return name.isidentifier() and module != "__main__" and hasattr(found, name)
