"""A state machine for any privacy ledger: charge, commit, crash, retry, refuse, reopen.

    class MyLedger:                       # the adapter: `LedgerAdapter`
        refusals = (OverBudget,)
        def create(self, folder, cap): ...
        def open(self, folder): ...
        def close(self): ...
        def request(self, query, cost, draw): ...
        def spent(self): ...

    class MyMachine(LedgerMachine):
        adapter = MyLedger

    TestMyLedger = MyMachine.TestCase

Costs add up: mu^2, rho, or epsilon under basic composition.
"""

from __future__ import annotations

import itertools
import math
import shutil
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Protocol

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

GOOD_COSTS = (0.25, 0.5, 1.0, 1.75, 3.0, 0.1)
BAD_COSTS = (-1.0, math.nan, math.inf, -math.inf)


class LedgerAdapter(Protocol):
    """What the machine asks of a ledger. One adapter holds at most one open ledger."""

    refusals: tuple[type[Exception], ...]  # what `request` raises when it refuses

    def create(self, folder: Path, cap: float) -> None:
        """Begin a ledger in an empty folder and hold it open."""
        ...

    def open(self, folder: Path) -> None:
        """Open what lies in the folder: after a close, or after a crash."""
        ...

    def close(self) -> None:
        """Let go of the files; harmless when nothing is open."""
        ...

    def request(self, query: bytes, cost: float, draw: Callable[[], bytes]) -> bytes:
        """Charge `cost` for `query`, then return the noised reply; `draw` computes a fresh one.

        A query that was answered before gets the same bytes, or is charged again, or refused.
        """
        ...

    def spent(self) -> float | Fraction:
        """The sum of all charges, never less than it truly is."""
        ...


class Crash(BaseException):
    """The process dies; what lies on the disk is all that is left."""


class LedgerMachine(RuleBasedStateMachine):
    """Every accepted charge is there for good, every refused one leaves no trace.

    Attributes:
        adapter: makes the adapter of the ledger under test.
        cap: of the budget.
        tolerance: how far the ledger's sum may lie below the exact one, and the exact one above the
            cap; 0 asks for exact (or upward) rounding, as a filter needs.
    """

    adapter: ClassVar[Callable[[], LedgerAdapter]]
    cap: ClassVar[float] = 4.0
    tolerance: ClassVar[float] = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.copies, self.draws, self.queries = (itertools.count() for _ in range(3))
        self.folder = self._new_folder()
        self.ledger = type(self).adapter()
        self.ledger.create(self.folder, self.cap)
        self.released: dict[bytes, tuple[float, set[bytes]]] = {}  # query -> cost, replies
        self.exact = Fraction(0)  # what was certainly released and must be charged

    def teardown(self) -> None:
        """Close the ledger and remove its files."""
        self.ledger.close()
        shutil.rmtree(self.root)

    def _new_folder(self) -> Path:
        folder = self.root / str(next(self.copies))
        folder.mkdir()
        return folder

    def copied(self) -> Path:
        """Return a copy of the files as they lie on the disk now."""
        copy = self._new_folder()
        shutil.copytree(self.folder, copy, dirs_exist_ok=True)
        return copy

    def _spent_on_disk(self) -> Fraction:
        """What another process finds in the files as they are now."""
        other = type(self).adapter()
        other.open(self.copied())
        try:
            return Fraction(other.spent())
        finally:
            other.close()

    def _fresh(self) -> bytes:
        return b"noised reply %d" % next(self.draws)

    def _ask(self, query: bytes, cost: float) -> bytes | None:
        """Request, compare with the model, and return the reply, or None where it was refused."""
        before, drawn = Fraction(self.ledger.spent()), []

        def draw() -> bytes:
            drawn.append(self._fresh())
            return drawn[-1]

        try:
            reply = self.ledger.request(query, cost, draw)
        except self.ledger.refusals:
            after = Fraction(self.ledger.spent())
            assert after == before, (
                f"a refused request of cost {cost} left the sum at {after}, not {before}"
            )
            assert not drawn, "a reply was computed for a request that was refused afterwards"
            return None
        self._check_released(query, cost, reply, before)
        return reply

    def _check_released(self, query: bytes, cost: float, reply: bytes, before: Fraction) -> None:
        after = Fraction(self.ledger.spent())
        _, earlier = self.released.get(query, (cost, set()))
        if reply in earlier:
            assert after >= before, f"a redelivery lowered the sum from {before} to {after}"
            return
        sound = math.isfinite(cost) and cost > 0
        assert sound, f"a cost of {cost} was accepted"
        rounded = Fraction(math.ulp(before))  # a sum that was rounded up is that much nearer
        assert after - before >= Fraction(cost) - Fraction(self.tolerance) - rounded, (
            f"a new reply to {query!r} was released for {float(after - before)}, it costs {cost}"
        )
        self.released[query] = (cost, earlier | {reply})
        self.exact += Fraction(cost)
        on_disk = self._spent_on_disk()
        assert on_disk >= self.exact - Fraction(self.tolerance), (
            f"a reply was released while the files hold charges of {float(on_disk)}, "
            f"{float(self.exact)} are due: a crash now would forget it"
        )

    @rule(cost=st.sampled_from(GOOD_COSTS + BAD_COSTS))
    def ask(self, cost: float) -> None:
        """A new query: charged before its reply is released, or refused without a trace."""
        fits = math.isfinite(cost) and cost > 0
        fits = fits and self.exact + Fraction(cost) <= Fraction(self.cap) + Fraction(self.tolerance)
        reply = self._ask(b"query %d" % next(self.queries), cost)
        assert reply is None or fits, (
            f"a cost of {cost} was accepted after {float(self.exact)} of {self.cap}"
        )

    @precondition(lambda self: self.released)
    @rule(data=st.data())
    def retry(self, data: Any) -> None:
        """A query asked again gets a reply that it had, or pays again; both within the cap."""
        query = data.draw(st.sampled_from(sorted(self.released)))
        self._ask(query, self.released[query][0])

    @rule()
    def reopen(self) -> None:
        """Closed in order and opened again, it is the same ledger."""
        before = Fraction(self.ledger.spent())
        self.ledger.close()
        self.ledger = type(self).adapter()
        self.ledger.open(self.folder)
        after = Fraction(self.ledger.spent())
        assert after == before, f"reopening changed the sum from {before} to {after}"

    @rule()
    def crash(self) -> None:
        """The files as they lie on the disk at this moment are all that is left."""
        self._lose_process(Fraction(self.ledger.spent()))

    @rule(cost=st.sampled_from(GOOD_COSTS))
    def crash_within_a_request(self, cost: float) -> None:
        """The process dies while the reply is computed: nothing was released, all else is kept."""
        before = Fraction(self.ledger.spent())

        def die() -> bytes:
            raise Crash

        expected: tuple[type[BaseException], ...] = (Crash, *self.ledger.refusals)
        try:
            self.ledger.request(b"query %d" % next(self.queries), cost, die)
        except expected:
            pass
        else:
            raise AssertionError("a reply came back although none was computed")
        self._lose_process(before)

    def _lose_process(self, before: Fraction) -> None:
        copy = self.copied()
        self.ledger.close()
        self.folder, self.ledger = copy, type(self).adapter()
        self.ledger.open(copy)
        # A charge without a reply is waste, which a crash may leave; less is never sound.
        after = Fraction(self.ledger.spent())
        assert after >= before, f"a crash lowered the sum from {before} to {after}"

    @invariant()
    def within_the_cap(self) -> None:
        """What was released is within the cap, charged twice or not."""
        assert self.exact <= Fraction(self.cap) + Fraction(self.tolerance), (
            f"replies of {float(self.exact)} were released, the cap is {self.cap}"
        )


LedgerMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
