"""A monotonic anchor: the newest row that a ledger is known to have, kept apart from it.

The ledger commits, the anchor advances, only then may the reply leave. So an older copy of the
ledger, put back in its place, lacks the anchored row and is refused, while a crash between commit
and anchor leaves one row beyond it, which is accepted. Whoever puts back both of them (a clone of
the machine, a restored disk that holds both) is not seen: keep the anchor on another disk.
"""

import contextlib
import hmac
import os
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from accountants.errors import LedgerCorrupt, LedgerError
from accountants.rows import encode
from accountants.storage import sync_directory

_MAGIC = b"ledger-anchor/1\0"
_SLOT = 4096  # bytes; a write that a power cut tears stays inside one of them
_RECORD = struct.Struct(">16sQ32s32s")


@dataclass(frozen=True)
class Anchored:
    """The chain had `rows` charges and `mac` was its last link."""

    rows: int
    mac: bytes


class Anchor(Protocol):
    """Where the newest row is remembered: a file elsewhere, or a witness on another machine."""

    def begin(self, mac: bytes) -> None:
        """Remember that a ledger with this first link is about to be created."""
        ...

    def read(self) -> Anchored:
        """The newest row that is known."""
        ...

    def advance(self, newest: Anchored) -> None:
        """Remember a newer row, durably."""
        ...


class FileAnchor:
    """An anchor in a file of its own, mode 0600, two slots written in turn.

    Guarantee:
        What `advance` was given survives a power cut once it has returned, and one in the middle
        of it leaves the row before. Rows never decrease. Without the chain's key no slot can be
        made up, but an old copy of the whole file can be put back.
    """

    def __init__(self, path: str | Path, *, key: bytes) -> None:
        self.path, self._key = Path(path), key

    def begin(self, mac: bytes) -> None:
        """Create the file; one that a crash left before its ledger was made is taken up.

        Raises:
            LedgerCorrupt: it belongs to a ledger that has begun, or to another one.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        start = Anchored(0, mac)
        if not self.path.exists():
            self._create(start)
        found = self.read()
        if found != start:
            raise LedgerCorrupt(
                f"{self.path}: this anchor knows a ledger with {found.rows} rows, so a new one "
                "would forget what was spent. The budget counts as exhausted; nothing was "
                "created. Put the ledger back, or start a new run, whose budget composes with it."
            )

    def read(self) -> Anchored:
        """The newer one of the two slots.

        Raises:
            LedgerCorrupt: the file is missing, or no slot of it is whole under this key.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise LedgerCorrupt(
                f"{self.path}: the anchor cannot be read ({error.strerror}), so an older copy of "
                "the ledger could not be told from the present one; its budget counts as "
                "exhausted. Put the anchor back."
            ) from error
        slots = [self._parsed(data[place : place + _RECORD.size]) for place in (0, _SLOT)]
        whole = [slot for slot in slots if slot is not None]
        if not whole:
            raise LedgerCorrupt(
                f"{self.path}: this anchor does not match the ledger's key: it was edited, or is "
                "another ledger's. The budget counts as exhausted. Put the right anchor back."
            )
        return max(whole, key=lambda slot: slot.rows)

    def advance(self, newest: Anchored) -> None:
        """Write the slot that does not hold the newest row so far, and sync it.

        Raises:
            LedgerError: the row is older than the anchored one. OSError: the disk refused.
        """
        known = self.read()
        if newest == known:
            return
        if newest.rows <= known.rows:
            raise LedgerError(
                f"{self.path}: row {newest.rows} is not newer than row {known.rows}, which is "
                "anchored. Nothing was changed."
            )
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, self._packed(newest), _SLOT * (newest.rows % 2))
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def _create(self, start: Anchored) -> None:
        handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self._packed(start).ljust(2 * _SLOT, b"\0"))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # then `begin` looks whose it is
                os.link(name, self.path)
        finally:
            Path(name).unlink()
        sync_directory(self.path.parent)

    def _packed(self, anchored: Anchored) -> bytes:
        return _RECORD.pack(_MAGIC, anchored.rows, anchored.mac, self._tag(anchored))

    def _parsed(self, record: bytes) -> Anchored | None:
        if len(record) != _RECORD.size:
            return None
        magic, rows, mac, tag = _RECORD.unpack(record)
        found = Anchored(rows, mac)
        sound = magic == _MAGIC and hmac.compare_digest(tag, self._tag(found))
        return found if sound else None

    def _tag(self, anchored: Anchored) -> bytes:
        return hmac.digest(self._key, encode("anchor", anchored.rows, anchored.mac), "sha256")
