"""The ledger against a simple model, with crashes: a Hypothesis state machine."""

import math
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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

KEY = b"k" * 32
CAP, USES, KEEP = 4.0, 3, 2
HEADER = Header(
    "0a", "swiss", "r", "record", "add-or-remove", 1e-5,
    (Planned("moments", "A", Gaussian(3.0), USES),), CAP, None, KEEP, "1",
)  # fmt: skip
COSTS = st.sampled_from([0.25, 0.5, 1.0, 1.75, 3.0, 0.0, -1.0, math.nan, math.inf])


class LedgerMachine(RuleBasedStateMachine):
    """Every accepted charge is there for good, every refused one leaves no trace."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "ledger.sqlite"
        self.ledger = Ledger.create(self.path, HEADER, key=KEY)
        self.spent, self.uses, self.round, self.copies = Fraction(0), 0, 0, 0
        self.rows = {}  # digest -> [round, reply or None, is an answer], in order
        self.heads = [self.ledger.head]

    def teardown(self):
        self.ledger.close()
        shutil.rmtree(self.folder)

    def charged(self, digest, number, reply, is_answer):
        """Bring the model up to date after a commit."""
        if is_answer:
            for row in self.rows.values():
                if row[2] and row[0] <= number - KEEP:
                    row[1] = None
        self.rows[digest] = [number, reply, is_answer]
        self.heads.append(self.ledger.head)

    @rule(mu2=COSTS, reply=st.none() | st.binary(max_size=300), advance=st.integers(0, 2))
    def answer(self, mu2, reply, advance):
        """Admit and commit an answer, if the model says that it fits."""
        digest, number = f"q{len(self.rows)}".encode(), self.round + advance
        event = Gaussian(mu2**-0.5 if mu2 > 0 and math.isfinite(mu2) else 1.0)
        fits = mu2 > 0 and math.isfinite(mu2) and self.spent + Fraction(mu2) <= Fraction(CAP)
        try:
            ticket = self.ledger.admit(
                digest=digest, kind="answer", group="B", event=event, mu2=mu2, round=number
            )
            committed = self.ledger.commit(ticket, reply)
        except BudgetExhausted:
            assert not fits
            return
        assert fits
        assert (committed.reply, committed.seq) == (reply, len(self.rows) + 1)
        self.spent += Fraction(mu2)
        self.round = number
        self.charged(digest, number, reply, True)

    @rule(uses=st.integers(0, 3))
    def train(self, uses):
        """Charge a planned block."""
        digest = f"q{len(self.rows)}".encode()

        def block():
            ticket = self.ledger.admit(
                digest=digest, kind="moments", group="A", event=Gaussian(3.0), uses=uses
            )
            self.ledger.commit(ticket, b"moments")

        if uses == 0 or self.uses + uses > USES:
            with pytest.raises(LedgerMismatch if uses == 0 else BudgetExhausted):
                block()
            return
        block()
        self.uses += uses
        self.charged(digest, 0, b"moments", False)

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def redeliver(self, data):
        """An old query is found with its reply, or refused; it is never charged again."""
        digest = data.draw(st.sampled_from(list(self.rows)))
        _, reply, is_answer = self.rows[digest]
        assert self.ledger.find(digest).reply == reply
        had_reply = self.ledger.find(digest).reply_sha256 is not None
        expected = ReplyPruned if had_reply and reply is None else LedgerMismatch
        kind, group = ("answer", "B") if is_answer else ("moments", "A")
        with pytest.raises(expected):
            self.ledger.admit(digest=digest, kind=kind, group=group, event=Gaussian(3.0), mu2=1 / 9)

    @rule()
    def reopen(self):
        """Close in order and open again."""
        self.ledger.close()
        self.ledger = Ledger.open(self.path, key=KEY)

    @rule(admit_first=st.booleans())
    def crash(self, admit_first):
        """The files as they lie on the disk at this moment are all that is left."""
        if admit_first and self.spent + 1 <= CAP:
            self.ledger.admit(
                digest=b"lost", kind="answer", group="B", event=Gaussian(1.0), mu2=1.0
            )
        self.copies += 1
        copy = self.folder / f"copy-{self.copies}" / self.path.name
        copy.parent.mkdir()
        for file in self.path.parent.glob(f"{self.path.name}*"):
            shutil.copy(file, copy.with_name(file.name))
        self.ledger.close()
        assert verify(copy, key=KEY, expected_head=self.heads[-1]).warnings == ()
        self.path, self.ledger = copy, Ledger.open(copy, key=KEY)
        assert self.ledger.find(b"lost") is None

    @invariant()
    def agrees_with_the_model(self):
        """Rows, replies, totals, uses and head are the model's."""
        found = self.ledger.charges()
        assert [(c.digest, c.reply) for c in found] == [(d, r[1]) for d, r in self.rows.items()]
        totals = self.ledger.totals()
        assert Fraction(totals.answers_mu2) == self.spent <= Fraction(CAP)
        assert totals.uses.get("moments", 0) == self.uses
        assert (totals.rows, self.ledger.head) == (len(self.rows), self.heads[-1])


LedgerMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase
