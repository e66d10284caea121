"""Every byte of everything that a ledger's file stores: whatever is changed, `verify` finds it."""

import itertools
import sqlite3

import pytest

from accountants import Gaussian, Header, Ledger, LedgerCorrupt, Planned, PoissonSampled, verify
from accountants.anchor import FileAnchor
from accountants.rows import next_mac
from accountants.verification import read_chain, require_anchored

KEY = bytes(range(32))
STEP = PoissonSampled(Gaussian(1.5), 0.1)
HEADER = Header(
    "00ff", "va", "r1", "record", "add-or-remove", 1e-5,
    (Planned("counts", "R", Gaussian(10.0), 1), Planned("dp-sgd", "A", STEP, 100)),
    10.0, 2.0, 2, "1", 10_000,
)  # fmt: skip
COLUMNS = {
    "header": ("text", "mac"),
    "charges": ("seq", "kind", "grp", "digest", "event", "mu2", "record_mu2", "uses", "round",
                "reply_sha256", "draws", "mac"),
    "replies": ("seq", "prune_round", "bytes"),
}  # fmt: skip
KEYS = {"header": "id", "charges": "seq", "replies": "seq"}


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A closed ledger of two planned charges and four answers, and its anchor."""
    folder = tmp_path_factory.mktemp("tamper")
    path, anchor = folder / "ledger.sqlite", FileAnchor(folder / "anchor", key=KEY)
    with Ledger.create(path, HEADER, key=KEY, anchor=anchor) as opened:
        for kind, group, event, uses in (
            ("counts", "R", Gaussian(10.0), 1),
            ("dp-sgd", "A", STEP, 50),
        ):
            opened.commit(
                opened.admit(
                    digest=kind.encode() * 4, kind=kind, group=group, event=event, uses=uses,
                    draws=20,
                ),
                b"12 30" if kind == "counts" else None,
            )  # fmt: skip
        for number in range(1, 5):
            opened.commit(
                opened.admit(
                    digest=bytes([number]) * 32, kind="answer", group="B", event=Gaussian(1.0),
                    mu2=1.0, record_mu2=0.25, round=number, draws=300,
                ),
                bytes([number]) * 40,
            )  # fmt: skip
    return path, anchor


def copy(path):
    """The ledger in memory, where edits are cheap."""
    source, target = sqlite3.connect(path), sqlite3.connect(":memory:", isolation_level=None)
    source.backup(target)
    source.close()
    return target


def is_found(connection, path):
    """Whether the chain, read from this connection, is refused."""
    try:
        read_chain(connection, KEY, path)
    except LedgerCorrupt:
        return True
    return False


def spellings(value):
    """The value with each of its bytes changed, in the type that it is stored with."""
    match value:
        case None:
            yield from (0, b"", "")
        case int():
            yield from {value ^ (1 << bit) for bit in range(0, 63, 7)} | {-value - 1}
            yield from (str(value) + "x", None)
        case float():
            yield from (value / 2, -value - 1.0, value * (1 + 2**-52), int(value) + 7, None)
        case str():
            data = value.encode()
            for place, mask in itertools.product(range(len(data)), (1, 0x15, 0x20)):
                changed = bytes([data[place] ^ mask])
                yield (data[:place] + changed + data[place + 1 :]).decode("utf-8", "replace")
            yield from (value[:-1], value + " ", None)
        case bytes():
            for place in range(len(value)):
                yield value[:place] + bytes([value[place] ^ 0x40]) + value[place + 1 :]
            yield from (value[:-1], value + b"\0", value.hex(), None)


def test_every_byte_of_every_stored_value_is_covered(ledger):
    """Header, rows and replies, byte by byte and as another type: none is changed unseen."""
    path, _ = ledger
    connection, tried = copy(path), 0
    assert not is_found(connection, path)
    for table, columns in COLUMNS.items():
        for column in columns:
            key = KEYS[table]
            for place, value in connection.execute(f"SELECT {key}, {column} FROM {table}"):
                for other in spellings(value):
                    connection.execute("SAVEPOINT before")
                    try:
                        connection.execute(
                            f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (other, place)
                        )
                    except (sqlite3.IntegrityError, sqlite3.OperationalError, OverflowError):
                        continue  # the table itself refuses it
                    finally:
                        changed = connection.execute(
                            f"SELECT {column} FROM {table} WHERE {key} = ?",
                            (other if column == key else place,),
                        ).fetchone()
                        unlike = changed is None or repr(changed[0]) != repr(value)
                        found = unlike and is_found(connection, path)
                        connection.execute("ROLLBACK TO before")
                        connection.execute("RELEASE before")
                    assert found or not unlike, (table, column, place, value, other)
                    tried += unlike
    assert tried > 2000
    assert not is_found(connection, path)


def test_every_byte_of_a_rows_canonical_encoding_enters_its_link(ledger):
    """The MAC is over the previous link and all bytes of the encoding; each of them changes it."""
    path, _ = ledger
    connection = copy(path)
    chain = read_chain(connection, KEY, path)

    class Edited:
        def __init__(self, data):
            self.data = data

        def encoded(self):
            return self.data

    for charge, before, link in zip(chain.charges, chain.macs, chain.macs[1:], strict=False):
        data = charge.encoded()
        assert next_mac(KEY, before, Edited(data)) == link
        for place in range(len(data)):
            edited = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
            assert next_mac(KEY, before, Edited(edited)) != link


def test_every_row_dropped_and_every_pair_swapped_is_found(ledger):
    """Also where the numbers are closed up again, and where the replies move along."""
    path, _ = ledger
    connection = copy(path)
    count = connection.execute("SELECT count(*) FROM charges").fetchone()[0]
    edits = {f"drop {k}": [f"DELETE FROM {t} WHERE seq = {k}" for t in ("charges", "replies")]
             for k in range(1, count)}  # fmt: skip
    edits |= {
        f"{name}, close up": [*steps, *(
            f"UPDATE {t} SET seq = seq - 1 WHERE seq > {name.split()[1]}"
            for t in ("charges", "replies")
        )]
        for name, steps in edits.items()
    }  # fmt: skip
    for a, b in itertools.combinations(range(1, count + 1), 2):
        edits[f"swap {a} {b}"] = [
            f"UPDATE {t} SET seq = {new} WHERE seq = {old}"
            for t in ("charges", "replies")
            for old, new in ((a, 99), (b, a), (99, b))
        ]
    for name, steps in edits.items():
        connection.execute("SAVEPOINT before")
        for step in steps:
            connection.execute(step)
        assert is_found(connection, path), name
        connection.execute("ROLLBACK TO before")
        connection.execute("RELEASE before")


def test_every_row_appended_without_the_key_is_found(ledger):
    """A copy of any row, under a digest of its own, does not continue the chain."""
    path, _ = ledger
    connection = copy(path)
    count = connection.execute("SELECT count(*) FROM charges").fetchone()[0]
    for k in range(1, count + 1):
        connection.execute("SAVEPOINT before")
        connection.execute(
            f"INSERT INTO charges SELECT {count + 1}, kind, grp, x'77', event, mu2, record_mu2, "
            f"uses, round, reply_sha256, mac, draws FROM charges WHERE seq = {k}"
        )
        assert is_found(connection, path), k
        connection.execute("ROLLBACK TO before")
        connection.execute("RELEASE before")


def test_every_cut_tail_is_found_with_the_anchor_and_said_to_be_unseen_without(ledger):
    """Cut anywhere, the chain itself still holds: only head or anchor can tell, and so it says."""
    path, anchor = ledger
    connection = copy(path)
    anchored = anchor.read()
    for kept in range(anchored.rows - 1, -1, -1):
        for table in ("charges", "replies"):
            connection.execute(f"DELETE FROM {table} WHERE seq > {kept}")
        # Replies of the tail took others with them; with those pruned again the chain is whole.
        if not is_found(connection, path):
            with pytest.raises(LedgerCorrupt, match="anchor knows row 6"):
                require_anchored(read_chain(connection, KEY, path), anchored, path)
    assert any("cannot be seen" in w for w in verify(path, key=KEY).warnings)
    assert verify(path, key=KEY, anchor=anchor).warnings == ()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON charges BEGIN DELETE FROM replies; END",
        "CREATE TRIGGER t AFTER INSERT ON replies BEGIN UPDATE replies SET bytes = x'00'; END",
        "CREATE TABLE more (id INTEGER)",
        "DROP INDEX charges_by_digest",
        "ALTER TABLE charges ADD COLUMN more INTEGER",
    ],
)
def test_tables_and_triggers_of_others_are_refused(ledger, statement):
    """A trigger would run inside the ledger's own transactions."""
    path, _ = ledger
    connection = copy(path)
    connection.execute(statement)
    with pytest.raises(LedgerCorrupt, match="not those of a ledger"):
        read_chain(connection, KEY, path)
