"""Recompute a ledger's chain, caps and totals from its rows alone."""

import hmac
import math
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from accountants.anchor import Anchor, Anchored
from accountants.errors import (
    AccountingError,
    BudgetExhausted,
    DPError,
    LedgerCorrupt,
    LedgerMismatch,
    NewerTables,
)
from accountants.migrations import require_own_tables, version_of
from accountants.rows import (
    ANSWER,
    Charge,
    Header,
    charge_from_columns,
    first_mac,
    next_mac,
    sha256,
)
from accountants.storage import reply_rows, snapshot, stored_header, stored_reply, stored_rows
from accountants.totals import FilterState, Totals, add

CUT_TAIL = (
    "No exported head or anchor was given: rows cut off the end cannot be seen. Compare `head` "
    "with the one that the run exported."
)
NOT_ANCHORED = (
    "The last row lies beyond the anchor: a crash came between the two. It counts as charged."
)


@dataclass(frozen=True)
class Verification:
    """What `verify` established; `head` (hex) is the chain's last link, to be exported."""

    header: Header
    totals: Totals
    head: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Chain:
    """A verified ledger in memory: rows without their replies, and every link from row 0 on."""

    header: Header
    charges: tuple[Charge, ...]
    macs: tuple[bytes, ...]
    spent: FilterState


def verify(
    path: str | Path,
    *,
    key: bytes,
    expected_head: str | None = None,
    anchor: Anchor | None = None,
) -> Verification:
    """Check every row of a ledger without changing the file.

    Args:
        key: the silo's chain key.
        expected_head: hex head exported earlier, if there is one.
        anchor: the ledger's anchor, if it is at hand.

    Guarantee:
        An edited, deleted, inserted or exchanged row, reply or header is found, and so is a cut
        tail where `expected_head` or the anchor is given. Whoever has the key can forge all of it.

    Raises:
        LedgerCorrupt: naming the first row that does not fit. LedgerLocked: a run is using it.
    """
    warnings = [CUT_TAIL] if expected_head is None and anchor is None else []
    with snapshot(Path(path)) as connection:
        chain = read_chain(connection, key, Path(path))
        # The anchor belongs to this moment: after the snapshot a run may go on.
        if anchor is not None and require_anchored(chain, anchor.read(), Path(path)):
            warnings.append(NOT_ANCHORED)
    head = chain.macs[-1].hex()
    if expected_head is not None and expected_head != head:
        known = [mac.hex() for mac in chain.macs]
        if expected_head not in known:
            raise LedgerCorrupt(
                f"{path}: the exported head {expected_head[:16]}... is not in this chain of "
                f"{len(chain.charges)} rows: its tail was cut or it is another ledger. Its budget "
                "counts as exhausted. Restore the newest copy."
            )
        newer = len(known) - 1 - known.index(expected_head)
        warnings.append(f"{newer} rows were written after the exported head.")
    return Verification(chain.header, chain.spent.totals(chain.header), head, tuple(warnings))


def require_anchored(chain: Chain, anchored: Anchored, path: Path) -> int:
    """How many rows lie beyond the anchored one: none, or the one that a crash left there.

    Guarantee:
        A chain that lacks the anchored row, an older copy for instance, is refused, and so is one
        with more than one row beyond it: no crash leaves that.

    Raises:
        LedgerCorrupt: the budget counts as exhausted.
    """
    rows = len(chain.charges)
    beyond = rows - anchored.rows
    if beyond in (0, 1) and hmac.compare_digest(chain.macs[anchored.rows], anchored.mac):
        return beyond
    raise LedgerCorrupt(
        f"{path}: this ledger has {rows} rows, its anchor knows row {anchored.rows} of a chain "
        "that it does not continue: an older copy was put back, its tail was cut, or it is another "
        "ledger. Its budget counts as exhausted. Put the newest copy back, or start a new run, "
        "whose budget composes with this one."
    )


def read_chain(connection: sqlite3.Connection, key: bytes, path: Path) -> Chain:
    """Header and rows, verified link by link; replies that are kept must match their hashes."""
    try:
        version_of(connection)
        text, stored_mac = stored_header(connection)
        header = Header.parse(text)
    except NewerTables as error:
        raise NewerTables(f"{path}: {error}") from error
    except (LedgerCorrupt, AccountingError, ValueError, KeyError, TypeError) as error:
        raise LedgerCorrupt(f"{path}: the header cannot be read ({error}).") from error
    except sqlite3.Error as error:
        raise LedgerCorrupt(f"{path} is not a readable ledger ({error}).") from error
    macs = [first_mac(key, header)]
    if header.canonical() != text or not hmac.compare_digest(macs[0], stored_mac):
        raise LedgerCorrupt(
            f"{path}: the header does not match this key: it was edited, or this is not the key "
            "that it was created with. Nothing was charged. Pass the silo's own key."
        )
    spent, charges = FilterState(), []
    digests: set[bytes] = set()
    try:
        require_own_tables(connection)
        for charge, mac in _links(connection):
            if charge.digest in digests:
                raise LedgerCorrupt(f"row {charge.seq} charges a query that was charged before.")
            digests.add(charge.digest)
            spent = _checked(header, spent, charge, next_mac(key, macs[-1], charge), mac)
            charges.append(charge)
            macs.append(mac)
        _check_replies(connection, header, charges)
    except (DPError, sqlite3.Error) as error:
        raise LedgerCorrupt(
            f"{path}: {error} Its budget counts as exhausted. Restore a whole copy, or open a new "
            "budget, which composes with this one."
        ) from error
    return Chain(header, tuple(charges), tuple(macs), spent)


def replies_kept(header: Header, charges: list[Charge]) -> set[int]:
    """Rows whose reply the pruning rule keeps; answers only are pruned, by public round."""
    kept: set[int] = set()
    latest = -math.inf  # the largest round of the answers that came after
    for charge in reversed(charges):
        is_answer = charge.kind == ANSWER
        if charge.reply_sha256 is not None and not (
            is_answer and charge.round <= latest - header.keep_replies
        ):
            kept.add(charge.seq)
        if is_answer:
            latest = max(latest, charge.round)
    return kept


def _links(connection: sqlite3.Connection) -> Iterator[tuple[Charge, bytes]]:
    for expected, (columns, mac) in enumerate(stored_rows(connection), start=1):
        if columns[0] != expected:
            raise LedgerCorrupt(f"row {expected} is missing or was moved.")
        if type(mac) is not bytes:
            raise LedgerCorrupt(f"row {expected} does not continue the chain; it was edited.")
        yield charge_from_columns(columns), mac


def _checked(
    header: Header, spent: FilterState, charge: Charge, mac: bytes, stored: bytes
) -> FilterState:
    if not hmac.compare_digest(mac, stored):
        raise LedgerCorrupt(f"row {charge.seq} does not continue the chain; it was edited.")
    try:
        return add(header, spent, charge)
    except (BudgetExhausted, LedgerMismatch) as error:
        raise LedgerCorrupt(f"row {charge.seq} breaks the header's plan ({error})") from error


def _check_replies(connection: sqlite3.Connection, header: Header, charges: list[Charge]) -> None:
    present, kept = reply_rows(connection), replies_kept(header, charges)
    if extra := present.keys() - {charge.seq for charge in charges}:
        raise LedgerCorrupt(f"row {min(extra)} is missing but its reply is there.")
    for charge in charges:
        if charge.seq in present:
            reply = stored_reply(connection, charge.seq)
            if reply is None or sha256(reply) != charge.reply_sha256:
                raise LedgerCorrupt(f"row {charge.seq}: its stored reply is not what was sent.")
            if present[charge.seq] != (charge.round if charge.kind == ANSWER else None):
                raise LedgerCorrupt(f"row {charge.seq}: the round of its stored reply was edited.")
        elif charge.seq in kept:
            raise LedgerCorrupt(f"row {charge.seq}: its reply is missing though not yet pruned.")
