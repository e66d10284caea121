"""Ledgers of earlier versions: read as they are, brought up to date, not one row changed."""

import sqlite3

import pytest

from accountants import (
    Gaussian,
    Header,
    Ledger,
    LedgerCorrupt,
    NewerTables,
    Planned,
    migrations,
    verify,
)
from accountants.event_json import to_json
from accountants.rows import Charge, canonical_json, first_mac, next_mac, sha256

KEY = bytes(range(32))
HEADER = Header(
    "00ff", "va", "r1", "record", "add-or-remove", 1e-5,
    (Planned("counts", "R", Gaussian(10.0), 1),), 10.0, None, 3, "1",
)  # fmt: skip
# As version 1 wrote them, word for word, and the text of the header above in those days.
TABLES = """
CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 0), text TEXT NOT NULL, mac BLOB NOT NULL);
CREATE TABLE charges (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, grp TEXT NOT NULL, digest BLOB NOT NULL,
    event TEXT NOT NULL, mu2 REAL NOT NULL, record_mu2 REAL, uses INTEGER NOT NULL,
    round INTEGER NOT NULL, reply_sha256 BLOB, mac BLOB NOT NULL);
CREATE TABLE replies (seq INTEGER PRIMARY KEY, prune_round INTEGER, bytes BLOB NOT NULL);
CREATE INDEX replies_by_round ON replies (prune_round);
"""
HEADER_TEXT = (
    '{"adjacency":"add-or-remove","answers_cap":10.0,"delta":1e-05,"keep_replies":3,'
    '"ledger_id":"00ff","planned":[{"event":{"kind":"gaussian","noise_multiplier":10.0},'
    '"group":"R","kind":"counts","uses":1}],"record_cap":null,"run":"r1","silo":"va",'
    '"unit":"record","version":"1"}'
)


def charges(digests=(b"counts", b"a", b"b")):
    """One release and two answers, as a caller of version 1 made them."""
    counts = Charge(1, "counts", "R", digests[0], Gaussian(10.0), 0.0, None, 1, 0, sha256(b"12"))
    answers = [
        Charge(k, "answer", "B", digests[k - 1], Gaussian(1.0), 1.0, None, 1, k, sha256(b"reply"))
        for k in (2, 3)
    ]
    return [counts, *answers]


def write_first_version(path, rows):
    """A file with the tables of version 1 and these rows; its head."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(TABLES)
    mac = first_mac(KEY, HEADER)
    with connection:
        connection.execute("INSERT INTO header VALUES (0, ?, ?)", (HEADER_TEXT, mac))
        for row in rows:
            mac = next_mac(KEY, mac, row)
            event = canonical_json(to_json(row.event))
            connection.execute(
                f"INSERT INTO charges VALUES ({','.join('?' * 11)})",
                (row.seq, row.kind, row.group, row.digest, event, row.mu2, row.record_mu2,
                 row.uses, row.round, row.reply_sha256, mac),
            )  # fmt: skip
            is_answer = row.kind == "answer"
            connection.execute(
                "INSERT INTO replies VALUES (?, ?, ?)",
                (row.seq, row.round if is_answer else None, b"reply" if is_answer else b"12"),
            )
    connection.close()
    return mac.hex()


def version(path):
    """The number in the file."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


@pytest.fixture
def first(tmp_path):
    """A ledger of version 1 and its head."""
    path = tmp_path / "ledger.sqlite"
    return path, write_first_version(path, charges())


def test_the_first_version_s_bytes_have_not_changed(first):
    """Header text and links as they were: a frozen head, so that no encoding can drift unseen."""
    assert HEADER.canonical() == HEADER_TEXT
    assert first[1] == "7dee22f74dac6001aac2fada0b6fe58d25eca7127d8223a05f9ab250e2dab934"


def test_a_new_ledger_is_of_the_present_version(tmp_path):
    """The number is in the file, and the tables are those that it stands for."""
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path, HEADER, key=KEY).close()
    assert version(path) == migrations.VERSION == 2


def test_an_earlier_version_is_verified_without_being_changed(first):
    """An auditor's look leaves the file at its version, byte for byte."""
    path, head = first
    before = path.read_bytes()
    found = verify(path, key=KEY, expected_head=head)
    assert (found.head, found.totals.rows, found.totals.answers_mu2) == (head, 3, 2.0)
    assert path.read_bytes() == before
    assert version(path) == 0


def test_opening_migrates_and_keeps_head_rows_and_replies(first):
    """Guarantee of accountants.migrations.migrate: After a crash the file has either its old tables
    or the new ones, and all of its rows; the chain goes on from the same head."""
    path, head = first
    with Ledger.open(path, key=KEY) as ledger:
        assert ledger.head == head
        assert [charge.reply for charge in ledger.charges()] == [b"12", b"reply", b"reply"]
        assert ledger.find(b"a").draws == 0
        ledger.commit(
            ledger.admit(digest=b"c", kind="answer", group="B", event=Gaussian(1.0), mu2=1.0,
                         round=4, draws=7),
            b"new",
        )  # fmt: skip
        newer = ledger.head
    assert version(path) == migrations.VERSION
    found = verify(path, key=KEY, expected_head=newer)
    assert (found.totals.rows, found.totals.draws) == (4, 7)


def test_a_crash_inside_the_migration_leaves_the_old_tables(first, monkeypatch):
    """The second step fails: the first is undone with it, and the next opening migrates."""
    path, head = first
    broken = (*migrations._STEPS[1][:1], "CREATE INDEX nothing ON nowhere (x)")
    with monkeypatch.context() as patch:
        patch.setitem(migrations._STEPS, 1, broken)
        with pytest.raises(sqlite3.OperationalError):
            Ledger.open(path, key=KEY)
    assert version(path) == 0
    assert verify(path, key=KEY, expected_head=head).totals.rows == 3
    with Ledger.open(path, key=KEY) as ledger:
        assert ledger.head == head


def test_a_later_version_is_refused_and_left_alone(first):
    """A program that does not know the tables must not judge them, nor call the budget spent."""
    path, _ = first
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {migrations.VERSION + 1}")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    for use in (verify, Ledger.open):
        with pytest.raises(NewerTables, match=r"ledger\.sqlite: the tables are of version 3"):
            use(path, key=KEY)
    assert path.read_bytes() == before


def test_a_query_charged_twice_is_found_even_when_chained_by_the_key(tmp_path):
    """Somebody with the key wrote it where no index forbids it: no ledger, and not migrated."""
    path = tmp_path / "ledger.sqlite"
    write_first_version(path, charges((b"counts", b"a", b"a")))
    with pytest.raises(LedgerCorrupt, match="row 3 charges a query that was charged before"):
        verify(path, key=KEY)
    with pytest.raises(LedgerCorrupt, match="row 3 charges a query that was charged before"):
        Ledger.open(path, key=KEY)
    assert version(path) == 0


def test_the_file_itself_refuses_a_second_charge_of_one_query(tmp_path):
    """Behind the ledger's own check: the unique index."""
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, HEADER, key=KEY) as ledger:
        ledger.commit(
            ledger.admit(digest=b"a", kind="answer", group="B", event=Gaussian(1.0), mu2=1.0), None
        )
        with pytest.raises(sqlite3.IntegrityError):
            ledger._storage.connection.execute(
                "INSERT INTO charges SELECT 9, kind, grp, digest, event, mu2, record_mu2, uses, "
                "round, reply_sha256, mac, draws FROM charges"
            )
