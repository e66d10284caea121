"""The tables of a ledger's file, by version, and the way from each version to the next.

Rows never change: a migration adds columns and indices, so that every link of the chain stays what
it was. Version 1 wrote no number into the file.
"""

import sqlite3

from accountants.errors import LedgerCorrupt, NewerTables

_FIRST = """
CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 0), text TEXT NOT NULL, mac BLOB NOT NULL);
CREATE TABLE charges (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, grp TEXT NOT NULL, digest BLOB NOT NULL,
    event TEXT NOT NULL, mu2 REAL NOT NULL, record_mu2 REAL, uses INTEGER NOT NULL,
    round INTEGER NOT NULL, reply_sha256 BLOB, mac BLOB NOT NULL);
CREATE TABLE replies (seq INTEGER PRIMARY KEY, prune_round INTEGER, bytes BLOB NOT NULL);
CREATE INDEX replies_by_round ON replies (prune_round);
"""
_STEPS = {
    # 2: draws are counted and capped; the file itself refuses a second charge of one query.
    1: (
        "ALTER TABLE charges ADD COLUMN draws INTEGER NOT NULL DEFAULT 0",
        "CREATE UNIQUE INDEX charges_by_digest ON charges (digest)",
    ),
}
VERSION = 1 + len(_STEPS)


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of the present version in an empty file."""
    connection.executescript(_FIRST)
    migrate(connection)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to the present version, in one transaction.

    Guarantee:
        After a crash the file has either its old tables or the new ones, and all of its rows.
    """
    version = version_of(connection)
    if version == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in range(version, VERSION):
            for statement in _STEPS[step]:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a file's tables.

    Raises:
        NewerTables: a later version than this program knows.
    """
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    version = max(int(number), 1)
    if version > VERSION:
        raise NewerTables(
            f"the tables are of version {version}, this program knows them up to {VERSION}. "
            "Nothing was read or charged. Use the version of the program that wrote them, or a "
            "later one."
        )
    return version


def require_own_tables(connection: sqlite3.Connection) -> None:
    """Refuse a file with other tables, or with anything beside them.

    A trigger that somebody added would run inside our own transactions.

    Raises:
        LedgerCorrupt: names what is missing or was added.
    """
    wanted = _objects_of(version_of(connection))
    found = _objects(connection)
    if found != wanted:
        names = sorted({name for _, name, _ in found ^ wanted})
        raise LedgerCorrupt(f"its tables are not those of a ledger: {', '.join(names)} differ.")


def _objects_of(version: int) -> set[tuple[str, str, str | None]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.executescript(_FIRST)
        for step in range(1, version):
            for statement in _STEPS[step]:
                connection.execute(statement)
        return _objects(connection)
    finally:
        connection.close()


def _objects(connection: sqlite3.Connection) -> set[tuple[str, str, str | None]]:
    return set(connection.execute("SELECT type, name, sql FROM sqlite_master"))
