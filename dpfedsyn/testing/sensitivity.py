"""Declared against measured: how far a query moves between neighbours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.testing.replaying.findings import distances, norms

_NORMS = {1: "1", 2: "2", math.inf: "inf"}


def measured_distance(
    query: Callable[[Any], Any], neighbours: tuple[Any, Any], *, norm: float = 2
) -> float:
    """Return |query(D) - query(D')| for a pair, over all numbers of the output jointly.

    Infinite where a number is NaN, or infinite, on one side only, or where shapes differ.
    """
    if norm not in _NORMS:
        raise AssertionError(f"norm={norm!r} is none of 1, 2, inf; nothing was measured. Pass one.")
    one, other = (_flat(query(data)) for data in neighbours)
    if one.shape != other.shape:
        return math.inf
    return norms(distances(one, other))[_NORMS[norm]]


def assert_sensitivity(
    query: Callable[[Any], Any],
    neighbours: tuple[Any, Any],
    bound: float,
    norm: float = 2,
    *,
    tolerance: float = 1e-9,
) -> float:
    """Assert that a query moves by at most its declared sensitivity; return by how much it does.

    Args:
        query: what the noise is added to: `data -> array`, or a tensor, a number, a tuple, mapping
            or dataclass of such.
        norm: 1, 2 or infinity.
        tolerance: relative, for rounding.

    Guarantee:
        A NaN or infinity on one side counts as infinitely far, never as near; so does a change of
        shape. What passes was measured on this pair: a bound for all pairs takes a proof.
    """
    measured = measured_distance(query, neighbours, norm=norm)
    if not (math.isfinite(bound) and measured <= bound * (1 + tolerance)):
        one, other = neighbours
        raise AssertionError(
            f"The query moves by {measured:.9g} in L{norm:g} between these neighbours, and "
            f"{bound:.9g} is declared: its noise would be too small. Clip each unit's contribution "
            "to the declared bound (non-finite ones to 0), or declare what it is.\n"
            f"without = {one!r}\nwith_ = {other!r}"
        )
    return measured


def _flat(output: Any) -> NDArray[np.float64]:
    """Return all numbers of an output in one row."""
    if isinstance(output, Mapping):
        parts = [_flat(output[key]) for key in sorted(output, key=repr)]
    elif isinstance(output, tuple | list):
        parts = [_flat(part) for part in output]
    elif is_dataclass(output) and not isinstance(output, type):
        parts = [_flat(getattr(output, field.name)) for field in fields(output)]
    else:
        array = output.detach().cpu().numpy() if hasattr(output, "detach") else output
        return np.asarray(array, dtype=np.float64).ravel()
    return np.concatenate([np.zeros(0), *parts])
