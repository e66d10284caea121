"""The anchor: an older copy of a ledger is refused, a crash is not mistaken for one."""

import itertools
import os
import shutil
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import Gaussian, Header, Ledger, LedgerCorrupt, LedgerError, verify
from accountants.anchor import Anchored, FileAnchor
from accountants.verification import NOT_ANCHORED, Chain, require_anchored

KEY = b"k" * 32
HEADER = Header("0a", "va", "r", "record", "add-or-remove", 1e-5, (), 100.0, None, 50, "1")


@pytest.fixture
def path(tmp_path):
    """Where the ledger goes."""
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def anchor(tmp_path):
    """Its anchor, in another folder."""
    return FileAnchor(tmp_path / "elsewhere" / "anchor", key=KEY)


def charge(ledger, name):
    """One answer."""
    ticket = ledger.admit(digest=name, kind="answer", group="B", event=Gaussian(1.0), mu2=1.0)
    return ledger.commit(ticket, b"reply to " + name)


def begun(path, anchor, rows):
    """A closed ledger with so many answers; its files, copied after each row."""
    copies = []
    with Ledger.create(path, HEADER, key=KEY, anchor=anchor) as ledger:
        for k in range(rows):
            charge(ledger, b"%d" % k)
            ledger.close()
            copies.append(path.read_bytes())
            ledger = Ledger.open(path, key=KEY, anchor=anchor)
        ledger.close()
    return copies


def put_back(path, data):
    """An older copy in the ledger's place."""
    for suffix in ("-wal", ".holder"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)


def test_the_anchor_names_the_newest_row(path, anchor):
    """After every commit, and after closing and opening."""
    with Ledger.create(path, HEADER, key=KEY, anchor=anchor) as ledger:
        for k in range(4):
            assert anchor.read() == Anchored(k, bytes.fromhex(ledger.head))
            charge(ledger, b"%d" % k)
    with Ledger.open(path, key=KEY, anchor=anchor) as ledger:
        assert anchor.read() == Anchored(4, bytes.fromhex(ledger.head))


@pytest.mark.parametrize("back", [1, 2, 3])
def test_every_older_copy_put_back_is_refused(path, anchor, back):
    """One row back, too: its budget counts as exhausted, and the file is left as it is."""
    copies = begun(path, anchor, 4)
    put_back(path, copies[3 - back])
    for use in (Ledger.open, verify):
        with pytest.raises(LedgerCorrupt, match="older copy was put back"):
            use(path, key=KEY, anchor=anchor)
    verify(path, key=KEY)  # without its anchor it looks whole
    put_back(path, copies[3])
    Ledger.open(path, key=KEY, anchor=anchor).close()


def test_an_older_copy_that_went_another_way_is_refused(path, anchor):
    """As many rows as the anchor knows, but other ones."""
    copies = begun(path, anchor, 3)
    put_back(path, copies[1])
    with Ledger.open(path, key=KEY) as ledger:  # somebody's program without the anchor
        charge(ledger, b"another")
    with pytest.raises(LedgerCorrupt, match="does not continue"):
        Ledger.open(path, key=KEY, anchor=anchor)


def test_a_crash_between_commit_and_anchor_is_no_rollback(path, anchor, monkeypatch):
    """The row is durable, the anchor is not, nothing was released: opened, counted, anchored."""
    with Ledger.create(path, HEADER, key=KEY, anchor=anchor) as ledger:
        charge(ledger, b"0")
        with monkeypatch.context() as crash:

            def power_cut(*_):
                raise KeyboardInterrupt

            crash.setattr(FileAnchor, "advance", power_cut)
            with pytest.raises(KeyboardInterrupt):
                charge(ledger, b"1")
    assert verify(path, key=KEY, anchor=anchor).warnings == (NOT_ANCHORED,)
    with Ledger.open(path, key=KEY, anchor=anchor) as ledger:
        assert ledger.totals().rows == 2
        assert anchor.read().rows == 2
        assert ledger.find(b"1").reply == b"reply to 1"
    assert verify(path, key=KEY, anchor=anchor).warnings == ()


def test_two_rows_beyond_the_anchor_are_no_crash(path, anchor):
    """No crash leaves two: an old anchor was put back, perhaps to cover an old ledger later."""
    begun(path, anchor, 1)
    old = anchor.path.read_bytes()
    with Ledger.open(path, key=KEY, anchor=anchor) as ledger:
        charge(ledger, b"a")
        charge(ledger, b"b")
    anchor.path.write_bytes(old)
    with pytest.raises(LedgerCorrupt, match="does not continue"):
        Ledger.open(path, key=KEY, anchor=anchor)


def test_an_anchor_that_cannot_be_advanced_stops_the_release(path, anchor, monkeypatch):
    """The disk of the anchor is full: charged, not released, closed, and whole when reopened."""
    with Ledger.create(path, HEADER, key=KEY, anchor=anchor) as ledger:
        with monkeypatch.context() as full:

            def refuse(*_):
                raise OSError(28, "No space left on device")

            full.setattr(os, "pwrite", refuse)
            with pytest.raises(LedgerError, match="is charged, but its anchor"):
                charge(ledger, b"0")
        with pytest.raises(LedgerError, match="closed"):
            charge(ledger, b"1")
    with Ledger.open(path, key=KEY, anchor=anchor) as ledger:
        assert ledger.totals().rows == 1


def test_a_lost_anchor_is_a_spent_budget(path, anchor):
    """Without it an older copy could not be told; nothing is made anew in its place."""
    begun(path, anchor, 2)
    anchor.path.unlink()
    for use in (Ledger.open, verify):
        with pytest.raises(LedgerCorrupt, match="cannot be read"):
            use(path, key=KEY, anchor=anchor)
    assert not anchor.path.exists()


def test_a_lost_ledger_is_not_begun_again_beside_its_anchor(path, anchor):
    """The anchor knows that rows were written: a new ledger would have a whole budget again."""
    begun(path, anchor, 1)
    path.unlink()
    with pytest.raises(LedgerCorrupt, match="knows a ledger with 1 rows"):
        Ledger.create(path, HEADER, key=KEY, anchor=anchor)
    assert not path.exists()


def test_a_crash_between_anchor_and_new_ledger_can_be_taken_up(path, anchor, monkeypatch):
    """The anchor stands at row 0 of this header: creation goes on, but not for another header."""
    with monkeypatch.context() as crash:

        def power_cut(*_):
            raise KeyboardInterrupt

        crash.setattr("accountants.ledger.create_file", power_cut)
        with pytest.raises(KeyboardInterrupt):
            Ledger.create(path, HEADER, key=KEY, anchor=anchor)
    other = Header(**{**HEADER.__dict__, "answers_cap": 200.0})
    with pytest.raises(LedgerCorrupt, match="0 rows"):
        Ledger.create(path, other, key=KEY, anchor=anchor)
    Ledger.create(path, HEADER, key=KEY, anchor=anchor).close()


def test_an_anchor_of_another_ledger_or_key_is_refused(path, anchor, tmp_path):
    """Neither a foreign file nor a forged one speaks for this ledger."""
    begun(path, anchor, 1)
    other = FileAnchor(tmp_path / "other", key=KEY)
    begun(tmp_path / "other.sqlite", other, 1)
    shutil.copyfile(other.path, anchor.path)
    Ledger.open(path, key=KEY, anchor=anchor).close()  # the same header, key and row: the same head
    forged = FileAnchor(tmp_path / "forged", key=b"x" * 32)
    forged.begin(anchor.read().mac)
    shutil.copyfile(forged.path, anchor.path)
    with pytest.raises(LedgerCorrupt, match="does not match the ledger's key"):
        Ledger.open(path, key=KEY, anchor=anchor)


MACS = [bytes([k]) * 32 for k in range(9)]


@given(st.lists(st.integers(0, 8), max_size=12))
def test_rows_of_an_anchor_never_decrease(tmp_path_factory, rows):
    """Guarantee of accountants.anchor.FileAnchor: What `advance` was given survives a power cut
    once it has returned; rows never decrease, in whatever order they are asked for."""
    anchor = FileAnchor(tmp_path_factory.mktemp("anchor") / "a", key=KEY)
    anchor.begin(MACS[0])
    highest = 0
    for row in rows:
        if row < highest:
            with pytest.raises(LedgerError, match="not newer"):
                anchor.advance(Anchored(row, MACS[row]))
        else:
            anchor.advance(Anchored(row, MACS[row]))
            highest = row
        assert FileAnchor(anchor.path, key=KEY).read() == Anchored(highest, MACS[highest])
    with pytest.raises(LedgerError, match="not newer"):
        anchor.advance(Anchored(highest, b"z" * 32))


def test_a_write_torn_anywhere_leaves_the_row_before(anchor):
    """Each prefix of the new slot over the old bytes reads as the new row or as the one before."""
    anchor.begin(MACS[0])
    for row in (1, 2):
        anchor.advance(Anchored(row, MACS[row]))
    before = anchor.path.read_bytes()
    anchor.advance(Anchored(3, MACS[3]))
    after = anchor.path.read_bytes()
    changed = [k for k in range(len(before)) if before[k] != after[k]]
    assert max(changed) - min(changed) < 4096
    for cut in range(min(changed), max(changed) + 2):
        anchor.path.write_bytes(after[:cut] + before[cut:])
        assert anchor.read() in (Anchored(2, MACS[2]), Anchored(3, MACS[3]))


def test_no_byte_of_a_slot_can_be_changed_unseen(anchor):
    """An edited slot counts as torn; edited in both, the anchor is refused."""
    anchor.begin(MACS[0])
    anchor.advance(Anchored(1, MACS[1]))
    data = anchor.path.read_bytes()
    for place in range(88):
        for slots in ((0,), (4096,), (0, 4096)):
            edited = bytearray(data)
            for slot in slots:
                edited[slot + place] ^= 1
            anchor.path.write_bytes(edited)
            if len(slots) == 2:
                with pytest.raises(LedgerCorrupt):
                    anchor.read()
            else:
                assert anchor.read().rows == (1 if slots == (0,) else 0)


def test_an_anchor_is_its_owner_s_alone(anchor):
    """File 0600, folder 0700, whatever the process allows others."""
    before = os.umask(0)
    try:
        anchor.begin(MACS[0])
        anchor.advance(Anchored(1, MACS[1]))
    finally:
        os.umask(before)
    assert stat.S_IMODE(anchor.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(anchor.path.parent.stat().st_mode) == 0o700
    assert [file.name for file in anchor.path.parent.iterdir()] == ["anchor"]


def test_only_the_anchored_chain_and_one_row_more_are_accepted():
    """Guarantee of accountants.verification.require_anchored: A chain that lacks the anchored row,
    an older copy for instance, is refused, and so is one with more than one row beyond it."""
    macs = tuple(MACS)
    for rows, anchored in itertools.product(range(9), range(9)):
        chain = Chain(HEADER, (None,) * rows, macs[: rows + 1], None)
        for mac in (macs[anchored], b"z" * 32):
            fits = rows - anchored in (0, 1) and mac == macs[anchored]
            if fits:
                assert require_anchored(chain, Anchored(anchored, mac), "l") == rows - anchored
            else:
                with pytest.raises(LedgerCorrupt):
                    require_anchored(chain, Anchored(anchored, mac), "l")
