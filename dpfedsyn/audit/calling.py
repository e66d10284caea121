"""How a mechanism under audit is called, and what may come back.

Plain: `(data, rng) -> output`. Vectorised: `(data, n, rng) -> n outputs`, along the first axis.
Outputs are numbers, arrays, tensors, or dicts and sequences of them; they become rows of numbers.
What a mechanism *does* is an output too: another shape, or an error, is an outcome of its own, and
whether it depends on the data is for the audit to find out.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import AuditError

Array = NDArray[np.float64]
Mechanism: TypeAlias = Callable[..., Any]


@dataclass(frozen=True)
class Outputs:
    """Of n calls.

    Attributes:
        values: (n, d) numbers; zeros where a call had another outcome than the usual one.
        outcomes: (n,) which outcome: 0 is the usual one, others in order of appearance.
    """

    values: Array
    outcomes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Any) -> "Outputs":
        """The calls that `rows` picks."""
        return Outputs(self.values[rows], self.outcomes[rows])


class Caller:
    """Calls one mechanism and remembers what its outputs look like."""

    def __init__(self, mechanism: Mechanism) -> None:
        self.mechanism = mechanism
        self.vectorised = is_vectorised(mechanism)
        self.shape: tuple[Any, ...] | None = None
        self.others: dict[str, int] = {}

    def draw(self, data: Any, calls: int, rng: np.random.Generator) -> Outputs:
        """Call the mechanism on `data`.

        Raises:
            AuditError: a vectorised mechanism that does not return one output for each call, or an
                output that holds no numbers.
        """
        if calls == 0:
            width = 0 if self.shape is None else self.shape[0]
            return Outputs(np.zeros((0, width)), np.zeros(0, np.int64))
        if self.vectorised:
            return self._all_at_once(data, calls, rng)
        rows = [self._once(data, rng) for _ in range(calls)]
        width = 0 if self.shape is None else self.shape[0]
        values = np.zeros((calls, width))
        for k, (row, outcome) in enumerate(rows):
            if outcome == 0:
                values[k] = row
        return Outputs(values, np.array([outcome for _, outcome in rows], np.int64))

    def _once(self, data: Any, rng: np.random.Generator) -> tuple[Array, int]:
        try:
            output = self.mechanism(data, rng)
        except Exception as error:  # an outcome like any other: attackers see errors too
            return np.zeros(0), self._outcome(f"{type(error).__name__}: {error}")
        row, shape = flattened(output, calls=None)
        return self._known(row, shape)

    def _all_at_once(self, data: Any, calls: int, rng: np.random.Generator) -> Outputs:
        try:
            output = self.mechanism(data, calls, rng)
        except Exception as error:
            outcome = self._outcome(f"{type(error).__name__}: {error}")
            width = 0 if self.shape is None else self.shape[0]
            return Outputs(np.zeros((calls, width)), np.full(calls, outcome))
        rows, shape = flattened(output, calls=calls)
        found, outcome = self._known(rows, shape)
        if outcome:
            found = np.zeros((calls, 0 if self.shape is None else self.shape[0]))
        return Outputs(found, np.full(calls, outcome))

    def _known(self, values: Array, shape: tuple[Any, ...]) -> tuple[Array, int]:
        if self.shape is None:
            self.shape = (values.shape[-1], shape)
        if self.shape[1] == shape:
            return values, 0
        return values, self._outcome(f"shape {shape} instead of {self.shape[1]}")

    def _outcome(self, text: str) -> int:
        return self.others.setdefault(text, len(self.others) + 1)


def is_vectorised(mechanism: Mechanism) -> bool:
    """Whether it takes (data, n, rng) rather than (data, rng).

    Raises:
        AuditError: it takes neither two nor three arguments.
    """
    if not callable(mechanism):
        raise AuditError(
            f"A mechanism of type {type(mechanism).__name__} cannot be called. Pass a function "
            "(data, rng) -> output, or (data, n, rng) -> n outputs."
        )
    try:
        parameters = inspect.signature(mechanism).parameters.values()
    except (TypeError, ValueError):
        return False  # no signature to read: called as (data, rng)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = sum(p.kind in kinds and p.default is p.empty for p in parameters)
    keyword = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if needed not in (2, 3) or keyword:
        raise AuditError(
            f"The mechanism takes {needed} positional arguments without a default"
            + (f" and needs {', '.join(keyword)} by name" if keyword else "")
            + "; an audit can call (data, rng) or (data, n, rng). Wrap it in a lambda."
        )
    return needed == 3


def flattened(output: Any, *, calls: int | None) -> tuple[Array, tuple[Any, ...]]:
    """The numbers of an output in one row ((calls, d) rows if vectorised), and their shape.

    Raises:
        AuditError: it holds something else than numbers, or not one output for each call.
    """
    leaves = list(_leaves(output, ""))
    arrays = [_numbers(leaf, name) for name, leaf in leaves]
    if calls is not None:
        for (name, _), array in zip(leaves, arrays, strict=True):
            if array.ndim == 0 or len(array) != calls:
                raise AuditError(
                    f"A vectorised mechanism that was asked for {calls} outputs returned shape "
                    f"{array.shape}{f' for {name}' if name else ''}: the first axis must be the "
                    "calls. Return (n, ...), or pass a plain mechanism (data, rng)."
                )
        shape = tuple((name, a.shape[1:]) for (name, _), a in zip(leaves, arrays, strict=True))
        rows = np.concatenate([a.reshape(calls, -1) for a in arrays], axis=1)
        return rows, shape
    shape = tuple((name, a.shape) for (name, _), a in zip(leaves, arrays, strict=True))
    return np.concatenate([a.ravel() for a in arrays] or [np.zeros(0)]), shape


def _leaves(output: Any, name: str) -> Any:
    if isinstance(output, Mapping):
        for key in sorted(output, key=str):
            yield from _leaves(output[key], f"{name}.{key}" if name else str(key))
    elif isinstance(output, Sequence) and not isinstance(output, (str, bytes)):
        if all(isinstance(part, (int, float, np.number)) for part in output):
            yield name, output
            return
        for k, part in enumerate(output):
            yield from _leaves(part, f"{name}[{k}]")
    elif output is not None:
        yield name, output


def _numbers(leaf: Any, name: str) -> Array:
    where = f" at {name}" if name else ""
    try:
        if hasattr(leaf, "detach"):
            leaf = leaf.detach().cpu().numpy()
        array = np.asarray(leaf)
        if array.dtype.kind in "US":
            return _text(array)
        if array.dtype.kind == "c":
            return np.stack([array.real, array.imag], axis=-1)
        with np.errstate(invalid="ignore", over="ignore"):
            return array.astype(np.float64)
    except (TypeError, ValueError):
        raise AuditError(
            f"The mechanism returned {type(leaf).__name__}{where}, in which no numbers were found; "
            "the audit cannot read it. Return numbers, arrays, tensors, or dicts and lists of them."
        ) from None


def _text(array: Any) -> Array:
    """Words become numbers by their bytes: equal words stay equal, others differ."""
    flat = [int.from_bytes(str(word).encode()[:6], "big") for word in array.ravel()]
    return np.array(flat, dtype=np.float64).reshape(array.shape)
