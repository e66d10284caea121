"""The ledger's file: opening, locking, durability. No privacy is decided here.

SQLite in WAL mode with synchronous=FULL: a transaction that has returned survives a power cut,
one that has not leaves no trace. Locks are held twice: SQLite's own, and flock on the same file,
because POSIX record locks vanish when any descriptor of the file is closed in the process.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accountants import locks, migrations
from accountants.errors import LedgerCorrupt, LedgerError, LedgerLocked

_FIRST_COLUMNS = "seq, kind, grp, digest, event, mu2, record_mu2, uses, round, reply_sha256"
_COLUMNS = f"{_FIRST_COLUMNS}, draws"
_OWNER_ONLY = 0o600
_PAGE_SIZE = 32768  # a 200 KB reply is then 7 pages instead of 50


def create_file(path: Path, header: str, mac: bytes) -> None:
    """Write a new ledger beside `path` and give it its name once it is durable.

    Guarantee:
        After a crash `path` is either absent or a whole ledger. An existing file is never touched.
    """
    if path.exists():
        raise LedgerError(
            f"{path} exists; it was not overwritten, since that would forget what was spent. "
            "Open it, or choose another run folder."
        )
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    os.close(handle)
    try:
        connection = _connect(Path(name))
        try:
            migrations.create(connection)
            connection.execute("INSERT INTO header VALUES (0, ?, ?)", (header, mac))
        finally:
            connection.close()
        os.link(name, path)
    except FileExistsError as error:
        raise LedgerError(f"{path} was created by another process meanwhile; open it.") from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(name + suffix).unlink(missing_ok=True)
    sync_directory(path.parent)


class Storage:
    """One exclusively held ledger file."""

    def __init__(self, path: Path, *, wait: float = 0.0) -> None:
        """Take both locks, within `wait` seconds, and recover what a killed process left.

        Raises:
            LedgerLocked: another process holds it. LedgerCorrupt: no SQLite file.
            LedgerError: there is no such file.
        """
        self._path, self._descriptor = path, -1
        self._descriptor = locks.hold(path, wait=wait)
        try:
            _keep_private(path)
            self._connection = _connect(path)
            self._connection.execute("BEGIN EXCLUSIVE")
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self.close()
            raise _explained(path, error) from error

    def append(self, row: tuple[Any, ...], reply: bytes | None, *, prune: tuple[int, int] | None)\
            -> None:  # fmt: skip
        """One transaction: prune old replies, write the row and its reply; durable on return.

        prune: (this row's round, last round whose answers are forgotten) for answers, else None.
        """
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            if prune is not None:
                run("DELETE FROM replies WHERE prune_round <= ?", (prune[1],))
            run(f"INSERT INTO charges ({_COLUMNS}, mac) VALUES ({','.join('?' * 12)})", row)
            if reply is not None:
                mark = None if prune is None else prune[0]
                run("INSERT INTO replies VALUES (?, ?, ?)", (row[0], mark, reply))
            run("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def migrate(self) -> None:
        """Bring a file of an earlier version to the present tables."""
        migrations.migrate(self._connection)

    def reply(self, seq: int) -> bytes | None:
        """A stored reply, if it is still kept."""
        return stored_reply(self._connection, seq)

    @property
    def connection(self) -> sqlite3.Connection:
        """For the readers of this module."""
        return self._connection

    def close(self) -> None:
        """Release both locks; SQLite's first, since closing a descriptor drops POSIX locks."""
        if hasattr(self, "_connection"):
            self._connection.close()
        if self._descriptor >= 0:
            locks.release(self._path, self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        """A ledger that was dropped unclosed must not keep its file locked."""
        self.close()


@contextlib.contextmanager
def snapshot(path: Path, *, wait: float = 0.0) -> Iterator[sqlite3.Connection]:
    """A private copy of the ledger for readers; the file itself is never written.

    A killed run leaves its newest rows in the WAL beside the file, so that is copied too.
    Raises LedgerLocked while a process holds the ledger: a copy of a moving file proves nothing.
    """
    descriptor = locks.share(path, wait=wait)
    try:
        with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
            copy = Path(folder) / "ledger.sqlite"
            shutil.copyfile(path, copy)
            log = path.with_name(path.name + "-wal")
            if log.exists():
                shutil.copyfile(log, copy.with_name(copy.name + "-wal"))
            connection = sqlite3.connect(copy, isolation_level=None)
            try:
                yield connection
            except sqlite3.Error as error:
                raise _explained(path, error) from error
            finally:
                connection.close()
    finally:
        os.close(descriptor)


def stored_header(connection: sqlite3.Connection) -> tuple[str, bytes]:
    """(canonical JSON, mac) as stored, unverified."""
    rows = connection.execute("SELECT text, mac FROM header").fetchall()
    if len(rows) != 1 or type(rows[0][0]) is not str or type(rows[0][1]) is not bytes:
        raise LedgerCorrupt(f"the header has {len(rows)} readable rows instead of one.")
    return rows[0][0], rows[0][1]


def stored_rows(connection: sqlite3.Connection) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """(columns, mac) of every row in order, unverified."""
    first = migrations.version_of(connection) == 1
    columns = f"{_FIRST_COLUMNS}, 0" if first else _COLUMNS
    for row in connection.execute(f"SELECT {columns}, mac FROM charges ORDER BY seq"):
        yield row[:-1], row[-1]


def stored_reply(connection: sqlite3.Connection, seq: int) -> bytes | None:
    """The reply bytes of row `seq`, unverified; None where none are kept."""
    row = connection.execute("SELECT bytes FROM replies WHERE seq = ?", (seq,)).fetchone()
    if row is not None and type(row[0]) is not bytes:
        raise LedgerCorrupt(f"row {seq}: its stored reply is not bytes; it was edited.")
    return None if row is None else row[0]


def reply_rows(connection: sqlite3.Connection) -> dict[int, int | None]:
    """Rows that still have their reply, and the round by which it is pruned; None: never."""
    return dict(connection.execute("SELECT seq, prune_round FROM replies"))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=1.0, check_same_thread=False)
    try:
        # page_size only takes effect on an empty file; the exclusive mode must precede WAL, so
        # that no shared-memory file is ever needed.
        for pragma in (
            f"page_size={_PAGE_SIZE}",
            "locking_mode=EXCLUSIVE",
            "journal_mode=WAL",
            "synchronous=FULL",
            "wal_autocheckpoint=400",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _keep_private(path: Path) -> None:
    """Take everybody else's rights to a file, such as a restored copy; its log inherits them."""
    if path.stat().st_mode & 0o077:
        path.chmod(_OWNER_ONLY)


def _explained(path: Path, error: sqlite3.Error) -> LedgerError:
    if "locked" in str(error) or "busy" in str(error):
        return LedgerLocked(
            f"{path} is held by another process ({locks.holder(path)}); nothing was read or "
            "charged. Wait until it ends."
        )
    return LedgerCorrupt(
        f"{path} is not a readable ledger ({error}); its budget counts as exhausted. Restore the "
        "file from a copy that is known to be whole, or start a new budget, which composes."
    )


def sync_directory(folder: Path) -> None:
    """Make names that were given or taken in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
