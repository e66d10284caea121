"""Comparing what two runs returned, exactly: structure, shapes, types and every number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def differences(one: Any, other: Any, where: str = "output") -> Iterator[str]:
    """Yield a sentence for each place where two outputs are not the same bytes or structure."""
    if type(one) is not type(other):
        yield f"{where} is a {type(one).__name__} on one side and a {type(other).__name__} on the other"
    elif isinstance(one, Mapping):
        if list(one) != list(other):
            yield f"{where} has keys {list(one)!r} on one side and {list(other)!r} on the other"
            return
        for key in one:
            yield from differences(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, tuple | list):
        if len(one) != len(other):
            yield f"{where} has {len(one)} items on one side and {len(other)} on the other"
            return
        for k, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from differences(a, b, f"{where}[{k}]")
    elif is_dataclass(one) and not isinstance(one, type):
        for field in fields(one):
            name = field.name
            yield from differences(getattr(one, name), getattr(other, name), f"{where}.{name}")
    elif hasattr(one, "state_dict"):
        yield from differences(dict(one.state_dict()), dict(other.state_dict()), where)
    else:
        yield from _unequal(one, other, where)


def _unequal(one: Any, other: Any, where: str) -> Iterator[str]:
    if not hasattr(one, "__array__") and not isinstance(one, bool | int | float | complex):
        if not bool(one == other):
            yield f"{where} is {one!r} on one side and {other!r} on the other"
        return
    first, second = _array(one), _array(other)
    if first.shape != second.shape or first.dtype != second.dtype:
        yield (
            f"{where} is {first.dtype}{list(first.shape)} on one side and "
            f"{second.dtype}{list(second.shape)} on the other"
        )
        return
    # Signs of zeros and payloads of NaN count: they are bytes that leave.
    apart = np.frombuffer(first.tobytes(), np.uint8) != np.frombuffer(second.tobytes(), np.uint8)
    if apart.any():
        flat = int(np.flatnonzero(apart)[0]) // first.dtype.itemsize
        place = tuple(int(k) for k in np.unravel_index(flat, first.shape))
        at = f"{where}{list(place)}" if place else where
        yield f"{at} is {first[place]!r} on one side and {second[place]!r} on the other"


def _array(x: Any) -> np.ndarray[Any, Any]:
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
