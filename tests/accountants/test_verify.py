"""Whatever is changed in a ledger behind its back is found, and the first bad row is named."""

import hashlib
import shutil
import sqlite3

import pytest

from accountants import Gaussian, Header, Ledger, LedgerCorrupt, Planned, verify
from accountants.rows import charge_from_columns, first_mac, next_mac
from accountants.storage import stored_rows

KEY = bytes(range(32))
HEADER = Header(
    "00ff", "va", "r1", "record", "add-or-remove", 1e-5,
    (Planned("counts", "R", Gaussian(10.0), 1),), 10.0, None, 2, "1",
)  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """A closed ledger of one release and five answers, and its head."""
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, HEADER, key=KEY) as ledger:
        ticket = ledger.admit(digest=b"counts", kind="counts", group="R", event=Gaussian(10.0))
        ledger.commit(ticket, b"12 30")
        for k in range(1, 6):
            ticket = ledger.admit(
                digest=hashlib.sha256(bytes([k])).digest(), kind="answer", group="B",
                event=Gaussian(1.0), mu2=1.0, round=k,
            )  # fmt: skip
            ledger.commit(ticket, bytes([k]) * 100)
        return path, ledger.head


def tamper(path, *statements):
    """Edit the file as someone with the disk but not the key could."""
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_untouched_ledger_verifies_and_is_not_modified(written):
    """All rows add up, the head is the exported one, and the file's bytes stay as they were."""
    path, head = written
    before = path.read_bytes()
    found = verify(path, key=KEY)
    assert (found.head, found.header, found.totals.rows) == (head, HEADER, 6)
    assert found.totals.answers_mu2 == 5.0
    assert found.totals.uses == {"counts": 1, "answer": 5}
    assert any("cut off" in warning for warning in found.warnings)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert verify(path, key=KEY, expected_head=head).warnings == ()


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["UPDATE charges SET mu2 = 0.5 WHERE seq = 3"], "row 3 does not continue"),
        (["UPDATE charges SET mu2 = 2.0 WHERE seq = 3", "UPDATE charges SET mu2 = 2 WHERE seq = 2"],
         "row 2 does not continue"),
        (["UPDATE charges SET round = 9 WHERE seq = 4"], "row 4 does not continue"),
        (["UPDATE charges SET record_mu2 = 0.5 WHERE seq = 2"], "row 2 does not continue"),
        (["UPDATE charges SET kind = 'gift' WHERE seq = 1"], "row 1 does not continue"),
        (["UPDATE charges SET grp = 'A' WHERE seq = 1"], "row 1 does not continue"),
        (["UPDATE charges SET digest = x'00' WHERE seq = 5"], "row 5 does not continue"),
        (["UPDATE charges SET event = replace(event, '1.0', '1.5') WHERE seq = 5"],
         "row 5 does not continue"),
        (["UPDATE charges SET uses = 2 WHERE seq = 5"], "row 5 does not continue"),
        (["UPDATE charges SET uses = 'many' WHERE seq = 5"], "row 5 cannot be read"),
        (["UPDATE charges SET event = '{}' WHERE seq = 5"], "row 5 cannot be read"),
        (["UPDATE charges SET mac = x'00' WHERE seq = 6"], "row 6 does not continue"),
        (["UPDATE charges SET reply_sha256 = NULL WHERE seq = 6"], "row 6 does not continue"),
        (["DELETE FROM charges WHERE seq = 4"], "row 4 is missing"),
        (["DELETE FROM charges WHERE seq = 1"], "row 1 is missing"),
        (["DELETE FROM charges WHERE seq = 6"], "row 6 is missing"),
        (["UPDATE charges SET seq = 99 WHERE seq = 4", "UPDATE charges SET seq = 4 WHERE seq = 5",
          "UPDATE charges SET seq = 5 WHERE seq = 99"], "row 4 does not continue"),
        (["UPDATE replies SET bytes = x'00' WHERE seq = 6"], "row 6: its stored reply"),
        (["DELETE FROM replies WHERE seq = 6"], "row 6: its reply is missing"),
        (["DELETE FROM replies WHERE seq = 1"], "row 1: its reply is missing"),
        (["UPDATE header SET text = replace(text, '10.0', '99.0')"], "header"),
        (["DELETE FROM header"], "header"),
        (["DROP TABLE replies"], "replies"),
    ],
)  # fmt: skip
def test_every_edit_is_found_and_named(written, statements, message):
    """Edits, deletions, swaps, type changes: verification and opening both refuse."""
    path, _ = written
    tamper(path, *statements)
    with pytest.raises(LedgerCorrupt, match=message):
        verify(path, key=KEY)
    with pytest.raises(LedgerCorrupt, match=message):
        Ledger.open(path, key=KEY)


def test_cut_ledger_is_valid_without_and_corrupt_with_its_head(tmp_path):
    """An older copy of the file verifies; against the exported head it does not."""
    path, old = tmp_path / "ledger.sqlite", tmp_path / "old.sqlite"
    heads = []
    for k in range(3):
        opener = Ledger.create(path, HEADER, key=KEY) if k == 0 else Ledger.open(path, key=KEY)
        with opener as ledger:
            ticket = ledger.admit(digest=bytes([k + 1]), kind="answer", group="B",
                                  event=Gaussian(1.0), mu2=1.0, round=k)  # fmt: skip
            ledger.commit(ticket, b"x")
            heads.append(ledger.head)
        if k == 1:
            shutil.copy(path, old)
    assert verify(old, key=KEY).head == heads[1]
    with pytest.raises(LedgerCorrupt, match="tail was cut"):
        verify(old, key=KEY, expected_head=heads[2])
    later = verify(path, key=KEY, expected_head=heads[1])
    assert later.warnings == ("1 rows were written after the exported head.",)


def test_rows_of_two_histories_cannot_be_mixed(tmp_path):
    """A rolled-back copy that went another way: its genuine row 2 does not fit before our row 3."""
    path, other = tmp_path / "ledger.sqlite", tmp_path / "other.sqlite"
    Ledger.create(path, HEADER, key=KEY).close()
    shutil.copy(path, other)
    for file, costs in ((path, (1.0, 3.0, 1.0)), (other, (1.0, 0.5, 1.0))):
        with Ledger.open(file, key=KEY) as ledger:
            for k, mu2 in enumerate(costs):
                ticket = ledger.admit(digest=bytes([k + 1]), kind="answer", group="B",
                                      event=Gaussian(mu2**-0.5), mu2=mu2)  # fmt: skip
                ledger.commit(ticket, None)
    source = sqlite3.connect(other)
    cheaper = source.execute("SELECT * FROM charges WHERE seq = 2").fetchone()
    source.close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("DELETE FROM charges WHERE seq = 2")
        connection.execute(f"INSERT INTO charges VALUES ({','.join('?' * 12)})", cheaper)
    connection.close()
    with pytest.raises(LedgerCorrupt, match="row 3 does not continue"):
        verify(path, key=KEY)


def test_a_row_forged_within_the_chain_still_meets_the_caps(written):
    """Even rows that someone with the key wrote past the filter are refused at verification."""
    path, _ = written
    tight = Header(**{**HEADER.__dict__, "answers_cap": 4.5})
    connection = sqlite3.connect(path)
    mac = first_mac(KEY, tight)
    links = [(charge_from_columns(columns), columns[0]) for columns, _ in stored_rows(connection)]
    with connection:
        connection.execute("UPDATE header SET text = ?, mac = ?", (tight.canonical(), mac))
        for charge, seq in links:
            mac = next_mac(KEY, mac, charge)
            connection.execute("UPDATE charges SET mac = ? WHERE seq = ?", (mac, seq))
    connection.close()
    with pytest.raises(LedgerCorrupt, match="row 6 breaks the header's plan"):
        verify(path, key=KEY)


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_files_that_are_no_ledger_are_refused(tmp_path, content):
    """Empty and foreign files count as exhausted, not as new."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerCorrupt):
        verify(path, key=KEY)
    with pytest.raises(LedgerCorrupt):
        Ledger.open(path, key=KEY)


def test_half_a_file_is_refused(written):
    """A torn copy is corrupt, whatever is missing from it."""
    path, _ = written
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(LedgerCorrupt):
        verify(path, key=KEY)
