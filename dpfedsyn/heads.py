"""Heads of ledgers, to be kept by others: exported, and signed by the silo (Ed25519).

A head is the last link of a chain. Who keeps it can tell later whether rows were cut off the end;
who also has the silo's public key can tell that the silo itself said so, without its secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from accountants.rows import encode
from accountants.verification import Verification
from dpfedsyn.errors import LedgerCorrupt, LedgerMismatch, RunError
from dpfedsyn.keys import SiloKey, is_signed

VERSION = 1


@dataclass(frozen=True)
class Head:
    """The last link of one ledger at one moment, all in hex; public."""

    ledger_id: str
    silo: str
    run: str
    rows: int
    head: str
    public_key: str = ""  # empty: not signed
    signature: str = ""

    def message(self) -> bytes:
        """Return the bytes that are signed: injective, every field behind its length."""
        return encode("dpfedsyn-head/1", self.ledger_id, self.silo, self.run, self.rows, self.head)


def of(verified: Verification, signer: SiloKey | None = None) -> Head:
    """Return the head of a verified ledger, signed where a key is given."""
    header = verified.header
    head = Head(header.ledger_id, header.silo, header.run, verified.totals.rows, verified.head)
    if signer is None:
        return head
    fields_ = asdict(head) | {
        "public_key": signer.public.hex(),
        "signature": signer.sign(head.message()).hex(),
    }
    return Head(**fields_)


def is_genuine(head: Head, public: bytes) -> bool:
    """Whether the silo with this public key signed this head.

    Guarantee:
        True only for what the holder of the silo's secret signed, every field of it. The public
        key must come from the silo by another way: the one inside a file says only who claims it.
    """
    try:
        message, signature = head.message(), bytes.fromhex(head.signature)
    except ValueError:  # no hex, or text that cannot be encoded
        return False
    return is_signed(message, signature, public)


def dump(heads: Iterable[Head]) -> str:
    """Return heads as JSON."""
    listed = [asdict(head) for head in heads]
    return json.dumps({"version": VERSION, "heads": listed}, indent=2) + "\n"


def load(path: Path) -> dict[str, Head]:
    """Read what `dump` wrote, by ledger id.

    Raises:
        RunError: there is no such file, or it holds no heads.
    """
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] != VERSION:
            raise ValueError(f"version {found['version']!r}")
        heads = [_parsed(entry) for entry in found["heads"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: holds no exported heads ({error}); nothing was verified. Give a file that "
            "`dpfedsyn ledger export-head` or `sign` wrote."
        ) from None
    return {head.ledger_id: head for head in heads}


def expected(path: Path, heads: dict[str, Head], key: SiloKey) -> str:
    """Return the head that a ledger must contain, its signature checked where it has one.

    Raises:
        LedgerMismatch: no head of this ledger is there. LedgerCorrupt: its signature is not the
            silo's.
    """
    head = heads.get(key.ledger_id)
    if head is None:
        raise LedgerMismatch(
            f"{path}: none of the {len(heads)} exported heads is of this ledger {key.ledger_id}, "
            "so a cut tail could not be seen. Give the file that holds it."
        )
    if (head.signature or head.public_key) and not is_genuine(head, key.public):
        raise LedgerCorrupt(
            f"{path}: the exported head {head.head[:16]}... is not signed by this silo; somebody "
            "else made or edited it. Give the file as the silo wrote it."
        )
    return head.head


def _parsed(entry: Any) -> Head:
    kinds = {field.name: int if field.name == "rows" else str for field in fields(Head)}
    if not isinstance(entry, dict) or set(entry) != set(kinds):
        raise ValueError("an entry has other fields than a head")
    wrong = [name for name, kind in kinds.items() if type(entry[name]) is not kind]
    if wrong:
        raise ValueError(f"{wrong[0]} is of another type")
    return Head(**entry)
