"""The ledger against a simple model, with crashes: the kit's state machine, and what is our own."""

import contextlib
import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from accountants import (
    BudgetExhausted,
    Gaussian,
    Header,
    Ledger,
    LedgerMismatch,
    Planned,
    ReplyPruned,
    verify,
)
from dpfedsyn.testing import LedgerMachine

KEY = b"k" * 32
USES, KEEP = 3, 2
NAME = "ledger.sqlite"


class OurLedger:
    """The kit's adapter: answers, one a round, replies kept for two rounds."""

    refusals = (BudgetExhausted, ReplyPruned)

    def __init__(self):
        self.ledger = None

    def create(self, folder, cap):
        header = Header(
            "0a", "swiss", "r", "record", "add-or-remove", 1e-5,
            (Planned("moments", "A", Gaussian(3.0), USES),), cap, None, KEEP, "1",
        )  # fmt: skip
        self.path = folder / NAME
        self.ledger = Ledger.create(self.path, header, key=KEY)

    def open(self, folder):
        self.path = folder / NAME
        self.ledger = Ledger.open(self.path, key=KEY)

    def close(self):
        if self.ledger is not None:
            self.ledger.close()

    def spent(self):
        return self.ledger.totals().answers_mu2

    def request(self, query, cost, draw):
        known = self.ledger.find(query)
        if known is not None and known.reply is not None:
            return known.reply
        ticket = self.ledger.admit(
            digest=query, kind="answer", group="B", mu2=cost, round=self.answers(),
            event=Gaussian(cost**-0.5 if 0 < cost < math.inf else 1.0),
        )  # fmt: skip
        return self.ledger.commit(ticket, draw()).reply

    def answers(self):
        """How many answers were charged."""
        return sum(charge.kind == "answer" for charge in self.ledger.charges())


class OurLedgerMachine(LedgerMachine):
    """Also planned blocks, pruned replies, the chain's head and rows in order."""

    adapter = OurLedger

    def __init__(self):
        super().__init__()
        self.uses, self.blocks, self.charged = 0, 0, []

    @rule(uses=st.integers(0, 3))
    def train(self, uses):
        """Charge a planned block, if the model says that its uses are left."""
        digest, ledger = b"block %d" % self.blocks, self.ledger.ledger

        def block():
            ticket = ledger.admit(
                digest=digest, kind="moments", group="A", event=Gaussian(3.0), uses=uses
            )
            ledger.commit(ticket, b"moments")

        if uses == 0 or self.uses + uses > USES:
            with pytest.raises(LedgerMismatch if uses == 0 else BudgetExhausted):
                block()
            return
        block()
        self.uses, self.blocks = self.uses + uses, self.blocks + 1

    @rule()
    def admit_only(self):
        """A ticket that is never committed leaves nothing."""
        ledger, before = self.ledger.ledger, self.ledger.ledger.head
        with contextlib.suppress(BudgetExhausted):
            ledger.admit(digest=b"lost", kind="answer", group="B", event=Gaussian(1.0), mu2=1.0)
        assert (ledger.find(b"lost"), ledger.head) == (None, before)

    @precondition(lambda self: self.ledger.ledger.charges())
    @rule(data=st.data())
    def charge_again(self, data):
        """A digest that was charged is never charged again: redelivered, or refused."""
        ledger = self.ledger.ledger
        charge = data.draw(st.sampled_from(ledger.charges()))
        with pytest.raises(LedgerMismatch if charge.reply is not None else ReplyPruned):
            ledger.admit(
                digest=charge.digest, kind=charge.kind, group=charge.group, event=charge.event,
                mu2=charge.mu2, uses=charge.uses,
            )  # fmt: skip

    @rule()
    def verify_the_files(self):
        """What lies on the disk now is the whole chain up to its head."""
        head = self.ledger.ledger.head
        assert verify(self.copied() / NAME, key=KEY, expected_head=head).warnings == ()

    @invariant()
    def rows_are_kept_in_order(self):
        """Rows only grow; uses are the model's; the last answers' replies are kept, others not."""
        ledger = self.ledger.ledger
        charges, totals = ledger.charges(), ledger.totals()
        rows = [(charge.digest, charge.reply_sha256) for charge in charges]
        assert rows[: len(self.charged)] == self.charged
        self.charged = rows
        assert (totals.rows, totals.uses.get("moments", 0)) == (len(rows), self.uses)
        answers = [charge for charge in charges if charge.kind == "answer"]
        kept = [charge.reply is not None for charge in answers]
        assert kept == [k >= len(answers) - KEEP for k in range(len(answers))]


OurLedgerMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None
)
TestLedgerMachine = OurLedgerMachine.TestCase


def test_a_sum_that_was_rounded_up_is_no_forgotten_charge():
    """.1 + .25 is rounded up, so the next .1 adds less than a tenth; the sum is still above all."""
    machine = OurLedgerMachine()
    for cost in (0.1, 0.25, 0.1):
        machine.ask(cost=cost)
    machine.teardown()
