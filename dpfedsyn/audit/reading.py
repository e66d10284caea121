"""The numbers of an output: one row of float64, whatever it was.

Arrays, tensors, data frames, words, and dicts and sequences of them. Words become numbers by a
digest: equal words stay equal, others differ, and no order is meant.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import AuditError

Array = NDArray[np.float64]

_SINGLE = (int, float, complex, str, bytes, np.generic)


def flattened(output: Any, *, calls: int | None) -> tuple[Array, tuple[Any, ...]]:
    """The numbers of an output in one row ((calls, d) rows if vectorised), and their shape.

    Raises:
        AuditError: it holds something else than numbers, or not one output for each call.
    """
    leaves = list(_leaves(output, ""))
    arrays = [_numbers(leaf, name) for name, leaf in leaves]
    if calls is None:
        shape = tuple((name, a.shape) for (name, _), a in zip(leaves, arrays, strict=True))
        return np.concatenate([np.zeros(0), *(a.ravel() for a in arrays)]), shape
    for (name, _), array in zip(leaves, arrays, strict=True):
        if array.ndim == 0 or len(array) != calls:
            raise AuditError(
                f"A vectorised mechanism that was asked for {calls} outputs returned shape "
                f"{array.shape}{f' for {name}' if name else ''}: the first axis must be the "
                "calls. Return (n, ...), or pass a plain mechanism (data, rng)."
            )
    shape = tuple((name, a.shape[1:]) for (name, _), a in zip(leaves, arrays, strict=True))
    wide = [a.reshape(calls, -1) for a in arrays if a.size]
    return np.concatenate([np.zeros((calls, 0)), *wide], axis=1), shape


def _leaves(output: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(output, Mapping):
        for key in sorted(output, key=str):
            yield from _leaves(output[key], f"{name}.{key}" if name else str(key))
    elif hasattr(output, "columns") and hasattr(output, "iloc"):
        for k, column in enumerate(output.columns):
            yield f"{name}.{column}" if name else str(column), output.iloc[:, k].to_numpy()
    elif isinstance(output, Sequence) and not isinstance(output, (str, bytes)):
        if all(isinstance(part, _SINGLE) for part in output):
            words = any(isinstance(part, (str, bytes)) for part in output)
            yield name, np.array(output, dtype=object) if words else output
            return
        for k, part in enumerate(output):
            yield from _leaves(part, f"{name}[{k}]")
    elif output is not None:
        yield name, output


def _numbers(leaf: Any, name: str) -> Array:
    where = f" at {name}" if name else ""
    try:
        array = np.asarray(of_tensor(leaf))
        if array.dtype.kind in "OUS":
            each = [_number(part) for part in array.ravel().tolist()]
            return np.array(each, dtype=np.float64).reshape(array.shape)
        if array.dtype.kind == "c":
            return np.stack([array.real, array.imag], axis=-1).astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            return array.astype(np.float64)
    except (TypeError, ValueError):
        raise AuditError(
            f"The mechanism returned {type(leaf).__name__}{where}, in which no numbers were found; "
            "the audit cannot read it. Return numbers, arrays, tensors, or dicts and lists of them."
        ) from None


def of_tensor(value: Any) -> Any:
    """A tensor as an array, also where numpy lacks its type; anything else as it is."""
    if not hasattr(value, "detach"):
        return value
    held = value.detach().cpu()
    if getattr(held, "is_sparse", False):
        held = held.to_dense()
    try:
        return held.numpy()
    except TypeError:
        return held.double().numpy()


def _number(part: Any) -> float:
    if isinstance(part, str):
        part = part.encode("utf-8", "surrogatepass")
    if isinstance(part, bytes):
        return float(int.from_bytes(blake2b(part, digest_size=6).digest(), "big"))
    if part is None:
        return float("nan")
    try:
        return float(part)
    except OverflowError:
        return float("inf") if part > 0 else float("-inf")
