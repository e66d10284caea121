"""One silo's budget on disk: charge, commit, fsync; only then release.

    with Ledger.open(path, key=key) as ledger:
        if (earlier := ledger.find(digest)) is not None:
            return earlier.reply                      # redelivered, never recomputed
        ticket = ledger.admit(digest=..., kind="answer", group="B", event=..., mu2=...)
        reply = noisy_answer()
        return ledger.commit(ticket, reply).reply     # durable before it returns

A crash may waste budget (charged, not delivered), never under-count it.
"""

import contextlib
import sqlite3
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from accountants.anchor import Anchor, Anchored
from accountants.errors import (
    AccountingError,
    LedgerCorrupt,
    LedgerError,
    LedgerMismatch,
    ReplyPruned,
)
from accountants.event_json import to_json
from accountants.events import Event
from accountants.rows import (
    ANSWER,
    Charge,
    Header,
    Planned,
    canonical_json,
    first_mac,
    next_mac,
    sha256,
)
from accountants.storage import Storage, create_file
from accountants.totals import FilterState, Totals, add
from accountants.verification import Verification, read_chain, require_anchored, verify

__all__ = ["Charge", "Header", "Ledger", "Planned", "Ticket", "Totals", "Verification", "verify"]

_SHORTEST_KEY = 16


@dataclass(frozen=True)
class Ticket:
    """What `admit` accepted and `commit` will write; nothing is charged yet."""

    seq: int
    ledger_id: str
    charge: Charge


class Ledger:
    """An exclusively held ledger. Use `create` or `open`; close it, or use it as a context."""

    def __init__(self, path: Path, storage: Storage, key: bytes, anchor: Anchor | None) -> None:
        chain = read_chain(storage.connection, key, path)
        if anchor is not None and require_anchored(chain, anchor.read(), path):
            anchor.advance(Anchored(len(chain.charges), chain.macs[-1]))
        storage.migrate()
        self.path, self.header = path, chain.header
        self._storage: Storage | None = storage
        self._anchor = anchor
        self._key, self._mac, self._spent = key, chain.macs[-1], chain.spent
        self._charges = list(chain.charges)
        self._by_digest = {charge.digest: charge for charge in chain.charges}
        self._lock = threading.Lock()

    @classmethod
    def create(
        cls, path: str | Path, header: Header, *, key: bytes, anchor: Anchor | None = None
    ) -> Self:
        """A new, empty ledger, mode 0600, opened. Its anchor, if it is to have one, comes first.

        Raises:
            LedgerError: the file exists. AccountingError: the key is shorter than 16 bytes.
            LedgerCorrupt: the anchor knows a ledger that has begun.
        """
        _check_key(key)
        mac = first_mac(key, header)
        if anchor is not None and not Path(path).exists():
            anchor.begin(mac)
        create_file(Path(path), header.canonical(), mac)
        return cls.open(path, key=key, anchor=anchor)

    @classmethod
    def open(
        cls, path: str | Path, *, key: bytes, anchor: Anchor | None = None, wait: float = 0.0
    ) -> Self:
        """An existing ledger, verified row by row; also after kill -9.

        Args:
            anchor: where its newest row is remembered; a ledger that has one must be given it.
            wait: seconds to wait for another process that holds it.

        Raises:
            LedgerCorrupt: naming the first bad row, or the older copy.
            LedgerLocked: another process holds it; says which one and since when.
        """
        _check_key(key)
        storage = Storage(Path(path), wait=wait)
        try:
            return cls(Path(path), storage, key, anchor)
        except BaseException:
            storage.close()
            raise

    @property
    def head(self) -> str:
        """The chain's last link in hex: export it, so that a cut tail can be seen later."""
        return self._mac.hex()

    def find(self, digest: bytes) -> Charge | None:
        """The charge made under this digest with its reply, if it was and is still kept."""
        with self._lock:
            charge = self._by_digest.get(digest)
            return None if charge is None else self._with_reply(charge)

    def admit(
        self,
        *,
        digest: bytes,
        kind: str,
        group: str,
        event: Event,
        mu2: float = 0.0,
        record_mu2: float | None = None,
        round: int = 0,
        uses: int = 1,
        draws: int = 0,
    ) -> Ticket:
        """Ask the filter; nothing is written.

        Args:
            kind: "answer" (group "B", judged by mu2 and record_mu2) or a planned kind ("R", "A").
            mu2: the answer's two-point mu^2.
            record_mu2: its record-level mu^2, if capped.
            uses: how many uses of the planned event this charge covers.
            draws: how many noise draws it makes, where the header caps them.

        Raises:
            BudgetExhausted, LedgerMismatch, ReplyPruned (charged before, reply gone).
        """
        with self._lock:
            self._open_storage()
            cost = None if record_mu2 is None else float(record_mu2)
            seq = len(self._charges) + 1
            charge = Charge(
                seq, kind, group, bytes(digest), event, float(mu2), cost, uses, round, None, draws
            )
            self._judged(charge)
            return Ticket(seq, self.header.ledger_id, charge)

    def commit(self, ticket: Ticket, reply: bytes | None) -> Charge:
        """Write the charge and its reply in one durable transaction, then advance the anchor.

        Guarantee:
            On return row and reply survive a power cut. On any error nothing may be released.

        Raises:
            LedgerMismatch: another charge came first, or the ticket is of another ledger.
            LedgerError: the disk refused; reopen the ledger, which tells what was written.
        """
        with self._lock:
            storage = self._open_storage()
            if ticket.seq != len(self._charges) + 1 or ticket.ledger_id != self.header.ledger_id:
                raise LedgerMismatch(
                    f"The ticket is for row {ticket.seq}, the next row is "
                    f"{len(self._charges) + 1}: another charge came first. Nothing was charged. "
                    "Ask `admit` again."
                )
            reply_hash = None if reply is None else sha256(reply)
            charge = replace(ticket.charge, seq=ticket.seq, reply_sha256=reply_hash, reply=None)
            spent = self._judged(charge)
            mac = next_mac(self._key, self._mac, charge)
            self._write(storage, charge, mac, reply)
            self._advance(storage, Anchored(charge.seq, mac))
            self._mac, self._spent = mac, spent
            self._charges.append(charge)
            self._by_digest[charge.digest] = charge
            return replace(charge, reply=reply)

    def totals(self) -> Totals:
        """Sums over all rows, rounded up."""
        return self._spent.totals(self.header)

    def charges(self) -> list[Charge]:
        """All rows in order, with the replies that are still kept."""
        with self._lock:
            return [self._with_reply(charge) for charge in self._charges]

    def close(self) -> None:
        """Release the file; harmless when called twice."""
        with self._lock:
            if self._storage is not None:
                self._storage.close()
                self._storage = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _judged(self, charge: Charge) -> FilterState:
        """The filter's verdict on a row that would come next."""
        earlier = self._by_digest.get(charge.digest)
        if earlier is None:
            return add(self.header, self._spent, charge)
        if earlier.reply_sha256 is not None and self._with_reply(earlier).reply is None:
            raise ReplyPruned(
                f"This query was charged as row {earlier.seq} in round {earlier.round}, and its "
                f"reply is no longer kept (the last {self.header.keep_replies} rounds are). "
                "Nothing was charged or released. Resume within those rounds, or ask a new query."
            )
        raise LedgerMismatch(
            f"This query was charged before, as row {earlier.seq}; it is not charged again. "
            "Redeliver what `find` returns."
        )

    def _write(self, storage: Storage, charge: Charge, mac: bytes, reply: bytes | None) -> None:
        event = canonical_json(to_json(charge.event))
        row = (
            charge.seq, charge.kind, charge.group, charge.digest, event, charge.mu2,
            charge.record_mu2, charge.uses, charge.round, charge.reply_sha256, charge.draws, mac,
        )  # fmt: skip
        prune = None
        if charge.kind == ANSWER:
            prune = (charge.round, charge.round - self.header.keep_replies)
        try:
            storage.append(row, reply, prune=prune)
        except sqlite3.Error as error:
            # Whether a failed COMMIT reached the disk is unknown; only reading it again tells.
            with contextlib.suppress(sqlite3.Error):
                storage.close()
            self._storage = None
            raise LedgerError(
                f"{self.path} could not be written ({error}); nothing may be released. Free disk "
                "space or mend the disk, then open the ledger again."
            ) from error

    def _advance(self, storage: Storage, newest: Anchored) -> None:
        if self._anchor is None:
            return
        try:
            self._anchor.advance(newest)
        except (OSError, LedgerError) as error:
            # One row beyond the anchor is what a crash leaves; a second one would be refused.
            storage.close()
            self._storage = None
            raise LedgerError(
                f"{self.path}: row {newest.rows} is charged, but its anchor could not be advanced "
                f"({error}); nothing may be released. Mend the anchor's disk, then open the ledger "
                "again."
            ) from error

    def _with_reply(self, charge: Charge) -> Charge:
        if charge.reply_sha256 is None:
            return charge
        reply = self._open_storage().reply(charge.seq)
        if reply is not None and sha256(reply) != charge.reply_sha256:
            raise LedgerCorrupt(
                f"{self.path}: the stored reply of row {charge.seq} is not what was sent. It is "
                "not delivered again. Restore a whole copy, or open a new budget, which composes "
                "with this one."
            )
        return replace(charge, reply=reply)

    def _open_storage(self) -> Storage:
        if self._storage is None:
            raise LedgerError(f"{self.path} is closed; open it again to charge or to read.")
        return self._storage


def _check_key(key: bytes) -> None:
    if not isinstance(key, bytes) or len(key) < _SHORTEST_KEY:
        raise AccountingError(
            f"The ledger key must be at least {_SHORTEST_KEY} random bytes (32 are usual); a "
            "shorter one protects no chain. Draw it with secrets.token_bytes(32)."
        )
