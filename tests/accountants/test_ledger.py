"""Charge, commit, release: what the ledger refuses, keeps, and notices."""

import hashlib
import math
import os
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace

import pytest

from accountants import (
    AccountingError,
    BudgetExhausted,
    Gaussian,
    Header,
    Ledger,
    LedgerCorrupt,
    LedgerError,
    LedgerLocked,
    LedgerMismatch,
    Planned,
    PoissonSampled,
    ReplyPruned,
    verify,
)

KEY = bytes(range(32))
STEP = PoissonSampled(Gaussian(2.0), 0.1)
HEADER = Header(
    ledger_id="00ff",
    silo="cleveland",
    run="r1",
    unit="record",
    adjacency="add-or-remove",
    delta=1e-5,
    planned=(Planned("counts", "R", Gaussian(10.0), 1), Planned("dp-sgd", "A", STEP, 100)),
    answers_cap=1.0,
    record_cap=None,
    keep_replies=2,
    version="1",
)


def digest(number):
    """A query's digest."""
    return hashlib.sha256(str(number).encode()).digest()


def answer(ledger, number, reply=b"reply", mu2=0.25, **more):
    """Admit and commit one answer in round `number`."""
    more.setdefault("round", number)
    return ledger.commit(
        ledger.admit(
            digest=digest(number), kind="answer", group="B", event=Gaussian(mu2**-0.5),
            mu2=mu2, **more,
        ),
        reply,
    )  # fmt: skip


@pytest.fixture
def path(tmp_path):
    """Where the ledger goes."""
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path):
    """An open ledger with a cap of four answers."""
    with Ledger.create(path, HEADER, key=KEY) as opened:
        yield opened


def test_file_is_private_to_its_owner(ledger, path):
    """Mode 0600 for the file and for the log beside it."""
    answer(ledger, 1)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_disk_settings_are_the_durable_ones(ledger):
    """WAL, full synchronisation, exclusive locking: the promise of `commit` rests on them."""
    run = ledger._storage.connection.execute
    assert run("PRAGMA journal_mode").fetchone() == ("wal",)
    assert run("PRAGMA synchronous").fetchone() == (2,)
    assert run("PRAGMA locking_mode").fetchone() == ("exclusive",)


def test_creation_never_overwrites(ledger, path):
    """An existing ledger is spent budget; it is not replaced."""
    with pytest.raises(LedgerError, match="not overwritten"):
        Ledger.create(path, HEADER, key=KEY)
    assert not [file for file in path.parent.iterdir() if file.suffix == ".new"]


def test_reopened_ledger_knows_everything(ledger, path):
    """Header, rows, replies, totals and head survive closing."""
    first, second = answer(ledger, 1, b"one"), answer(ledger, 2, None)
    head, totals = ledger.head, ledger.totals()
    ledger.close()
    with Ledger.open(path, key=KEY) as again:
        assert again.header == HEADER
        assert again.charges() == [first, second]
        assert (again.head, again.totals()) == (head, totals)
        assert again.find(digest(1)).reply == b"one"
        assert again.find(digest(3)) is None
        answer(again, 3)


def test_admit_writes_nothing(ledger, path):
    """Asking the filter leaves no row and no spending."""
    ledger.admit(digest=digest(1), kind="answer", group="B", event=Gaussian(2.0), mu2=0.25, round=1)
    assert ledger.totals().rows == 0
    assert ledger.charges() == []


def test_answers_stop_at_the_cap(ledger):
    """Four quarters fit into a cap of one; the fifth is refused and nothing changes."""
    for number in range(1, 5):
        answer(ledger, number)
    before = ledger.head
    with pytest.raises(BudgetExhausted, match="cap of 1"):
        answer(ledger, 5)
    assert ledger.head == before
    assert ledger.totals().answers_mu2 == 1.0


@pytest.mark.parametrize("mu2", [0.0, -0.25, math.nan, math.inf])
def test_costs_that_mean_nothing_are_refused(ledger, mu2):
    """NaN, zero, negative and infinite costs never pass, at admission or in a made-up ticket."""
    good = ledger.admit(digest=digest(1), kind="answer", group="B", event=Gaussian(2.0), mu2=0.25)
    with pytest.raises(BudgetExhausted):
        ledger.admit(digest=digest(1), kind="answer", group="B", event=Gaussian(2.0), mu2=mu2)
    with pytest.raises(BudgetExhausted):
        ledger.commit(replace(good, charge=replace(good.charge, mu2=mu2)), b"x")
    assert ledger.totals().rows == 0


def test_a_cost_below_its_event_is_refused(ledger):
    """mu^2 = .1 for a mechanism of mu^2 = .25 would under-count."""
    with pytest.raises(LedgerMismatch, match="below what"):
        ledger.admit(digest=digest(1), kind="answer", group="B", event=Gaussian(2.0), mu2=0.1)
    with pytest.raises(LedgerMismatch, match="below what"):
        ledger.admit(digest=digest(1), kind="answer", group="B", event=STEP, mu2=0.1)


def test_record_level_cap_is_enforced_beside_the_other(path):
    """Ensembles: both caps hold, and a record cost must be given."""
    header = replace(HEADER, record_cap=0.1)
    with Ledger.create(path, header, key=KEY) as ledger:
        answer(ledger, 1, record_mu2=0.06)
        for bad in (0.06, None, math.nan, 0.0):
            with pytest.raises(BudgetExhausted):
                answer(ledger, 2, record_mu2=bad)
        answer(ledger, 2, record_mu2=0.04)
        assert ledger.totals().record_mu2 == pytest.approx(0.1)


def test_planned_mechanisms_are_held_to_their_plan(ledger):
    """Blocks count their uses; other noise, another group or one use too many is refused."""

    def block(number, uses, event=STEP, group="A", kind="dp-sgd"):
        ticket = ledger.admit(digest=digest(number), kind=kind, group=group, event=event, uses=uses)
        return ledger.commit(ticket, None)

    block(1, 50)
    for bad in ({"event": Gaussian(2.0)}, {"group": "R"}, {"kind": "moments"}):
        with pytest.raises(LedgerMismatch):
            block(2, 1, **bad)
    with pytest.raises(BudgetExhausted, match="101 times, 100 were planned"):
        block(2, 51)
    with pytest.raises(LedgerMismatch, match="uses=0"):
        block(2, 0)
    block(2, 50)
    assert ledger.totals().uses == {"dp-sgd": 100}
    assert ledger.totals().answers_mu2 == 0.0


def test_only_answers_stand_in_group_b(ledger):
    """Groups cannot be mixed up: answers are B, everything planned is not."""
    with pytest.raises(LedgerMismatch, match="group"):
        ledger.admit(digest=digest(1), kind="answer", group="R", event=Gaussian(2.0), mu2=0.25)
    with pytest.raises(LedgerMismatch, match="group"):
        ledger.admit(digest=digest(1), kind="counts", group="B", event=Gaussian(10.0))


def test_a_digest_is_charged_once(ledger):
    """The same query again is redelivered, not charged."""
    answer(ledger, 1, b"first")
    with pytest.raises(LedgerMismatch, match="charged before, as row 1"):
        answer(ledger, 1, b"second")
    assert ledger.find(digest(1)).reply == b"first"
    assert ledger.totals().rows == 1


def test_replies_older_than_the_kept_rounds_are_pruned(ledger):
    """With two rounds kept, round 1's reply goes with round 3, its charge stays."""
    for number in (1, 2):
        answer(ledger, number)
    assert ledger.find(digest(1)).reply == b"reply"
    answer(ledger, 3)
    assert ledger.find(digest(1)).reply is None
    assert ledger.find(digest(2)).reply == b"reply"
    with pytest.raises(ReplyPruned, match="row 1"):
        answer(ledger, 1)
    assert ledger.totals().rows == 3


def test_only_answers_are_pruned(ledger):
    """The reply of a planned release stays, however many rounds pass."""
    ticket = ledger.admit(digest=digest(0), kind="counts", group="R", event=Gaussian(10.0))
    ledger.commit(ticket, b"counts")
    for number in range(1, 5):
        answer(ledger, number)
    assert ledger.find(digest(0)).reply == b"counts"
    ledger.close()
    assert verify(ledger.path, key=KEY).totals.rows == 5


def test_a_stale_ticket_is_refused(ledger):
    """Two tickets for one row: the second must be asked for again."""
    tickets = [
        ledger.admit(digest=digest(n), kind="answer", group="B", event=Gaussian(2.0), mu2=0.25)
        for n in (1, 2)
    ]
    ledger.commit(tickets[0], b"x")
    with pytest.raises(LedgerMismatch, match="another charge came first"):
        ledger.commit(tickets[1], b"y")
    with pytest.raises(LedgerMismatch, match="ticket"):
        ledger.commit(replace(tickets[1], seq=2, ledger_id="abcd"), b"y")


def test_a_forged_ticket_cannot_pass_the_cap(ledger):
    """Commit asks the filter again."""
    ticket = ledger.admit(digest=digest(1), kind="answer", group="B", event=Gaussian(2.0), mu2=0.25)
    forged = replace(ticket, charge=replace(ticket.charge, mu2=1.5))
    with pytest.raises(BudgetExhausted):
        ledger.commit(forged, b"x")


def test_a_failed_write_closes_the_ledger_and_charges_nothing(ledger, path, monkeypatch):
    """A disk error: no reply may be released, and reopening tells the truth."""

    def broken(*_, **__):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(ledger._storage, "append", broken)
    with pytest.raises(LedgerError, match="nothing may be released"):
        answer(ledger, 1)
    with pytest.raises(LedgerError, match="closed"):
        answer(ledger, 1)
    with Ledger.open(path, key=KEY) as again:
        assert again.totals().rows == 0


def test_closed_ledger_refuses(ledger):
    """After closing nothing is charged; closing twice is harmless."""
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        answer(ledger, 1)


def test_second_process_gets_ledger_locked(ledger, path):
    """Another process can neither open nor verify a held ledger; afterwards it can."""
    code = (
        "import sys\nfrom accountants import *\n"
        "for use in (Ledger.open, verify):\n"
        "    try: use(sys.argv[1], key=bytes(range(32)))\n"
        "    except LedgerLocked as error: print('locked', 'another process' in str(error))\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    held = subprocess.run(command, capture_output=True, text=True, check=True)
    assert held.stdout.split() == ["locked", "True"] * 2
    ledger.close()
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def test_a_reader_in_the_same_process_does_not_break_the_lock(ledger, path):
    """Reading the file elsewhere in the process drops POSIX locks; ours must hold."""
    with pytest.raises(LedgerLocked):
        verify(path, key=KEY)
    path.read_bytes()
    with pytest.raises(LedgerLocked):
        Ledger.open(path, key=KEY)
    answer(ledger, 1)


def test_missing_file_and_short_key_say_so(tmp_path):
    """The fact and the mend, before anything is touched."""
    with pytest.raises(LedgerError, match="cannot be opened"):
        Ledger.open(tmp_path / "none.sqlite", key=KEY)
    with pytest.raises(AccountingError, match="16 random bytes"):
        Ledger.create(tmp_path / "l.sqlite", HEADER, key=b"short")
    assert not os.listdir(tmp_path)


def test_wrong_key_opens_nothing(ledger, path):
    """The header is chained under the key."""
    ledger.close()
    with pytest.raises(LedgerCorrupt, match="does not match this key"):
        Ledger.open(path, key=bytes(32))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ledger_id", "not hex"),
        ("unit", "hospital"),
        ("adjacency", "swap"),
        ("delta", 0.0),
        ("delta", math.nan),
        ("answers_cap", math.inf),
        ("record_cap", -1.0),
        ("keep_replies", 0),
        ("draws_cap", -1),
        ("draws_cap", 1.5),
        ("planned", (Planned("counts", "R", STEP, 1), Planned("counts", "R", STEP, 2))),
    ],
)
def test_headers_that_mean_nothing_are_refused(field, value):
    """Every field of a header is checked before a ledger is made of it."""
    with pytest.raises(AccountingError):
        replace(HEADER, **{field: value})


@pytest.mark.parametrize(
    "arguments", [("answer", "R", STEP, 1), ("x", "B", STEP, 1), ("x", "A", STEP, 0)]
)
def test_plans_that_cannot_be_charged_are_refused(arguments):
    """Answers are not planned, group B is theirs, and a plan has at least one use."""
    with pytest.raises(AccountingError):
        Planned(*arguments)


def test_draws_stop_at_their_cap_whoever_makes_them(path):
    """Where draws are capped each row says how many it makes, answers and planned ones alike."""
    with Ledger.create(path, replace(HEADER, draws_cap=100), key=KEY) as ledger:
        answer(ledger, 1, draws=60)
        for bad in (41, 0):
            with pytest.raises(BudgetExhausted, match="noise draws"):
                answer(ledger, 2, draws=bad)
        with pytest.raises(LedgerMismatch, match="draws=-1"):
            answer(ledger, 2, draws=-1)
        ticket = ledger.admit(
            digest=digest(0), kind="counts", group="R", event=Gaussian(10.0), draws=40
        )
        ledger.commit(ticket, None)
        with pytest.raises(BudgetExhausted, match="at most 100 in all"):
            answer(ledger, 2, draws=1)
        assert ledger.totals().draws == 100
    assert verify(path, key=KEY).totals.draws == 100


def test_a_redelivered_reply_is_the_one_that_was_sent_or_none(ledger):
    """Bytes that somebody changed while the ledger was open are not delivered a second time."""
    answer(ledger, 1, b"what was sent")
    ledger._storage.connection.execute("UPDATE replies SET bytes = x'00' WHERE seq = 1")
    with pytest.raises(LedgerCorrupt, match="not what was sent"):
        ledger.find(digest(1))
