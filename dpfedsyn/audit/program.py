"""An audit as a program: expressions of data, and how to get at a mechanism again."""

import inspect
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

import accountants

_HEADER = """\
import numpy as np
import accountants
from accountants import *
from dpfedsyn.audit import GDP, audit
nan, inf = np.nan, np.inf"""
_OTHERS = {"functools.": "functools", "pd.": "pandas as pd", "torch.": "torch"}
# Names that a program uses for something else than what is audited.
_TAKEN = {*accountants.__all__, "GDP", "accountants", "audit", "inf", "nan", "np"}


def whole(statements: str) -> str:
    """Statements with the imports that they need in front."""
    others = [f"import {module}" for name, module in _OTHERS.items() if name in statements]
    return "\n".join([*others, _HEADER, statements])


def literal(data: Any) -> str:
    """An expression of data, exact to the bit for numbers; `whole` imports its names.

    What has no expression is left to the reader to put in: `put_here("its type")`.
    """
    if hasattr(data, "detach"):
        held = data.detach().cpu()
        return f"torch.tensor({held.tolist()!r}, dtype={held.dtype})"
    if hasattr(data, "columns") and hasattr(data, "iloc"):
        return _data_frame(data)
    if isinstance(data, np.ndarray):
        shape = f".reshape({data.shape})" if data.size == 0 else ""
        return f"np.array({literal(data.tolist())}, dtype=np.dtype({data.dtype.str!r})){shape}"
    if isinstance(data, Mapping):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in data.items()) + "}"
    if type(data) is list:
        return f"[{', '.join(map(literal, data))}]"
    if type(data) is tuple:
        return f"({''.join(f'{literal(part)}, ' for part in data)})"
    if isinstance(data, (bool, int, float, complex, str, bytes, np.generic, type(None))):
        return repr(data)
    return f"put_here({type(data).__name__!r})"


def _data_frame(data: Any) -> str:
    columns = {name: data.iloc[:, k].tolist() for k, name in enumerate(data.columns)}
    kinds = {name: str(kind) for name, kind in zip(data.columns, data.dtypes, strict=True)}
    index = literal(data.index.tolist())
    frame = f"pd.DataFrame({literal(columns)}, index={index})"
    return f"{frame}.astype({literal(kinds)})"


def source(mechanism: Callable[..., Any]) -> str:
    """Statements that define `mechanism`: an import, an instance, its own text, or a comment."""
    found = _expression(mechanism)
    if found is not None:
        statement, expression = found
        if statement.endswith(f" import {expression}"):
            return f"{statement} as mechanism"
        return f"{statement}\nmechanism = {expression}"
    try:
        text = textwrap.dedent(inspect.getsource(mechanism)).rstrip()
    except (OSError, TypeError):
        text = repr(mechanism)
    closed = isinstance(mechanism, FunctionType) and not mechanism.__code__.co_freevars
    if closed and text.startswith("def "):
        return f"{text}\nmechanism = {mechanism.__name__}"
    quoted = textwrap.indent(text, "#     ")
    return f"# `mechanism` has no name that could be imported; put it here:\n{quoted}"


def _expression(mechanism: Any) -> tuple[str, str] | None:
    """(import, expression) of something that can be imported, or of its settings."""
    if isinstance(mechanism, partial):
        inner = _expression(mechanism.func)
        given = [literal(value) for value in mechanism.args]
        given += [f"{name}={literal(value)}" for name, value in mechanism.keywords.items()]
        if inner is None:
            return None
        return inner[0], f"functools.partial({', '.join([inner[1], *given])})"
    module, name = getattr(mechanism, "__module__", None), getattr(mechanism, "__qualname__", "")
    if _named(module, name) is mechanism:
        return _imported(str(module), name, name)
    shape = type(mechanism)
    if is_dataclass(mechanism) and _named(shape.__module__, shape.__qualname__) is shape:
        # Its repr is an expression of its fields, by the class's own name.
        return _imported(shape.__module__, shape.__qualname__, repr(mechanism))
    return None


def _imported(module: str, name: str, expression: str) -> tuple[str, str]:
    """(import, expression) of an expression that begins with the module's `name`."""
    if name.isidentifier() and name not in _TAKEN:
        return f"from {module} import {name}", expression
    return f"import {module}", f"{module}.{expression}"


def _named(module: str | None, name: str) -> Any:
    """What `module.name` is; None where nothing is, or the module is the running program."""
    found: Any = None if module == "__main__" else sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
