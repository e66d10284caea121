"""How a mechanism under audit is called, and what may come back.

Plain: `(data, rng) -> output`. Vectorised: `(data, n, rng) -> n outputs`, along the first axis,
each independent of the others. Outputs are read by `reading`; what a mechanism *does* is an output
too: another shape, or an error, is an outcome of its own, and whether it depends on the data is for
the audit to find out.
"""

import inspect
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit.reading import flattened
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
    """Calls one mechanism and remembers what its outputs look like.

    A vectorised mechanism that raises, or returns another shape, does so for all n calls together,
    which are then no calls of their own: bets on them would not multiply. Before the first bet it
    is called one by one from then on; later the audit is refused.

    Attributes:
        shape: of the usual outcome, with its width. others: other outcomes, numbered from 1.
        betting: whether bets are placed on what is drawn.
    """

    def __init__(self, mechanism: Mechanism) -> None:
        self.mechanism = mechanism
        self.counted = is_vectorised(mechanism)
        self.vectorised = self.counted
        self.shape: tuple[int, Any] | None = None
        self.others: dict[str, int] = {}
        self.betting = False

    def again(self, mechanism: Mechanism) -> "Caller":
        """A caller for bets on fresh calls by rules that were learnt here: outcomes keep theirs."""
        fresh = copy(self)
        fresh.mechanism, fresh.others, fresh.betting = mechanism, dict(self.others), True
        return fresh

    def on(
        self, neighbours: tuple[Any, Any], labels: NDArray[np.int64], rng: np.random.Generator
    ) -> Outputs:
        """Call the mechanism on the neighbour that each label names.

        A plain one is called in the labels' order, so that it may keep a state; a vectorised one
        for all zeros and then for all ones.

        Raises:
            AuditError: as `draw`.
        """
        if not self.vectorised:
            return self._one_by_one([neighbours[label] for label in labels], rng)
        ones = int(labels.sum())
        piles = (
            self.draw(neighbours[0], len(labels) - ones, rng),
            self.draw(neighbours[1], ones, rng),
        )
        values = np.zeros((len(labels), self.width))
        outcomes = np.zeros(len(labels), np.int64)
        for label, drawn in enumerate(piles):
            values[labels == label, : drawn.values.shape[1]] = drawn.values
            outcomes[labels == label] = drawn.outcomes
        return Outputs(values, outcomes)

    def draw(self, data: Any, calls: int, rng: np.random.Generator) -> Outputs:
        """Call the mechanism on `data`.

        Raises:
            AuditError: a vectorised mechanism that does not return one output for each call, or
                an output that holds no numbers; one that raises or changes its shape once bets are
                placed.
        """
        if self.vectorised and calls > 0:
            return self._all_at_once(data, calls, rng)
        return self._one_by_one([data] * calls, rng)

    @property
    def width(self) -> int:
        """Numbers in a usual output; 0 before the first."""
        return 0 if self.shape is None else self.shape[0]

    def _one_by_one(self, data: list[Any], rng: np.random.Generator) -> Outputs:
        rows = [self._once(one, rng) for one in data]
        values = np.zeros((len(rows), self.width))
        for k, (row, outcome) in enumerate(rows):
            if outcome == 0:
                values[k] = row
        return Outputs(values, np.array([outcome for _, outcome in rows], np.int64))

    def _once(self, data: Any, rng: np.random.Generator) -> tuple[Array, int]:
        try:
            output = self.mechanism(data, 1, rng) if self.counted else self.mechanism(data, rng)
        except Exception as error:  # an outcome like any other: attackers see errors too
            return np.zeros(0), self._outcome(f"{type(error).__name__}: {error}")
        rows, shape = flattened(output, calls=1 if self.counted else None)
        if self._usual(rows, shape):
            return rows.ravel(), 0
        return np.zeros(0), self._outcome(self._other(shape))

    def _all_at_once(self, data: Any, calls: int, rng: np.random.Generator) -> Outputs:
        try:
            output = self.mechanism(data, calls, rng)
        except Exception as error:
            what = f"raised {type(error).__name__}: {error}"
        else:
            rows, shape = flattened(output, calls=calls)
            if self._usual(rows, shape):
                return Outputs(rows, np.zeros(calls, np.int64))
            what = f"returned {self._other(shape)}"
        if self.betting:
            raise AuditError(
                f"The vectorised mechanism, asked for {calls} outputs, {what}. That is one outcome "
                "of all of them together, on which no bets can be settled call by call. Pass a "
                "plain mechanism (data, rng), each of whose calls has an outcome of its own."
            )
        self.vectorised = False
        return self._one_by_one([data] * calls, rng)

    def _usual(self, rows: Array, shape: tuple[Any, ...]) -> bool:
        if self.shape is None:
            self.shape = (rows.shape[-1], shape)
        return bool(self.shape[1] == shape)

    def _other(self, shape: tuple[Any, ...]) -> str:
        return f"shape {shape} instead of {None if self.shape is None else self.shape[1]}"

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
