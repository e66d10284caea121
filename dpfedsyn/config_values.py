"""Values of a configuration's sections, each against its type and what is allowed for it."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from dpfedsyn.allowed_values import Allowed
from dpfedsyn.round_settings import SamplerSettings


def section_of(
    kind: type, where: str, entry: Any, faults: list[str], start: SamplerSettings | None = None
) -> Any:
    """Return the dataclass that a table stands for; None where something in it is at fault.

    Args:
        where: its name in messages. faults: those that are found are added. start: what the table
            overrides; None: the defaults.
    """
    if not isinstance(entry, Mapping):
        faults.append(f"{where}: expected a table [{where}], got {entry!r}.")
        return None
    hints, before = get_type_hints(kind), len(faults)
    known = {f.name: f for f in dataclasses.fields(kind)}
    values = {}
    for key, value in entry.items():
        if key in known:
            name = f"{where}.{key}"
            values[key] = value_of(name, value, hints[key], known[key].metadata, faults)
        else:
            faults.append(unknown(f"{where}.{key}", known, f"[{where}]"))
    for name, field in known.items():
        required = field.default is dataclasses.MISSING
        if required and name not in entry:
            faults.append(f"{where}: `{name}` is missing; it has no default.")
    if len(faults) > before:
        return None
    return kind(**values) if start is None else dataclasses.replace(start, **values)


def unknown(key: str, known: Mapping[str, Any], where: str) -> str:
    """Say that there is no such key, and which one may be meant."""
    near = difflib.get_close_matches(key.rpartition(".")[2], known, 1, 0.5)
    mend = f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(known)}."
    return f"{key}: no such key in {where}. {mend}"


def value_of(
    key: str, value: Any, hint: Any, metadata: Mapping[str, Any], faults: list[str]
) -> Any:
    """Return a value as its field has it; what is wrong with it is added to the faults."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] or [hint]
    kind = kinds[0] if not str(hint).startswith("tuple") else tuple
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 2**1023 else math.inf
    if kind is tuple and get_args(hint)[0] is str:
        return _texts(key, value, metadata.get("names"), faults)
    if kind is tuple and isinstance(value, list):
        value = tuple(float(v) if isinstance(v, int | float) else v for v in value)
        if not all(isinstance(v, float) and math.isfinite(v) and v > 0 for v in value):
            faults.append(f"{key} = {list(value)}: expected a list of positive numbers.")
    if type(value) is not kind:
        faults.append(f"{key} = {value!r}: expected {kind.__name__}, got {type(value).__name__}.")
        return value
    allowed: Allowed | None = metadata.get("allowed")
    if allowed is not None and not allowed.test(value):
        faults.append(f"{key} = {value!r}: allowed is {allowed.words}.")
    return value


def _texts(
    key: str, value: Any, names: tuple[str, ...] | None, faults: list[str]
) -> tuple[str, ...]:
    """A list of texts; of these names only, where there are any, and then one may stand alone."""
    if names is not None and isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        faults.append(f"{key} = {value!r}: expected a list of texts.")
        return ()
    for entry in value:
        if names is not None and entry not in names:
            near = difflib.get_close_matches(entry, names, 1, 0.5)
            mend = f"Did you mean `{near[0]}`? " if near else ""
            faults.append(f"{key}: there is no {entry!r}. {mend}Known: {', '.join(names)}.")
    return tuple(value)
