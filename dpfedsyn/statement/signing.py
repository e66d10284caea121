"""statement.sig.json: who stands behind a statement, and whether it is still what was signed.

A signature is Ed25519, detached, of the digests of statement.json and registry.yaml; the statement
holds the digests of the rows. The key is a silo's own, the one that signs its ledger's heads, or
one that an owner made for it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from accountants.rows import encode
from dpfedsyn import marking
from dpfedsyn.checkpoint import write_bytes
from dpfedsyn.errors import RunError, StatementCorrupt
from dpfedsyn.keys import SiloKey, is_signed
from dpfedsyn.statement.keeping import FILE, RECORD

SIGNATURES = "statement.sig.json"
ALGORITHM = "Ed25519"
VERSION = 1


@dataclass(frozen=True)
class Signature:
    """One signature, and what it is of; all in lowercase hex but the names.

    Attributes:
        signer: name that the signer gave.
        public_key: 32 bytes.
        files: SHA-256 by name, without a mark.
        signature: 64 bytes.
    """

    signer: str
    public_key: str
    files: Mapping[str, str]
    signature: str = ""

    def message(self) -> bytes:
        """Return the bytes that are signed: injective, every part behind its length."""
        parts = [text for pair in sorted(self.files.items()) for text in pair]
        return encode("dpfedsyn-statement/1", self.signer, self.public_key, *parts)


def sign(folder: Path, key: SiloKey, signer: str) -> Signature:
    """Sign a folder's statement, beside whoever has signed it; an own older signature goes.

    Raises:
        RunError: there is no statement. StatementCorrupt: the signatures there are damaged.
    """
    unsigned = Signature(signer, key.public.hex(), digests(folder))
    signature = key.sign(unsigned.message()).hex()
    own = Signature(signer, unsigned.public_key, unsigned.files, signature)
    path = named(folder, SIGNATURES) or folder / _of_own(folder)
    before = load(path) if path.is_file() else []
    kept = [other for other in before if other.public_key != own.public_key]
    write_bytes(path, dump([*kept, own]).encode())
    return own


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of what is signed of a folder, by name.

    Raises:
        RunError: there is no statement.
    """
    found = {}
    for name in (FILE, RECORD):
        path = named(folder, name)
        if path is not None:
            found[name] = digest(path)
    if FILE not in found:
        raise RunError(
            f"{folder}: holds no {FILE}, so there is nothing to sign or verify. Give the folder "
            "of a run that has ended, or of its export."
        )
    return found


def named(folder: Path, name: str) -> Path | None:
    """Return a file of a folder under its name, marked or not; None where there is none."""
    path = marking.find(folder, name)
    return path if path.is_file() else None


def digest(path: Path) -> str:
    """Return a file's SHA-256, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_genuine(signature: Signature) -> bool:
    """Whether the holder of this public key signed these digests under this name.

    Guarantee:
        True only for what the holder of the secret signed: name, key, and every file's digest.
        Whose the key is has to be known by another way than the file that it stands in.
    """
    try:
        message, signed = signature.message(), bytes.fromhex(signature.signature)
        public = bytes.fromhex(signature.public_key)
    except ValueError:  # no hex, or text that cannot be encoded
        return False
    return is_signed(message, signed, public)


def dump(signatures: list[Signature]) -> str:
    """Return signatures as JSON; there is one way to write them."""
    content = {
        "version": VERSION,
        "algorithm": ALGORITHM,
        "signatures": [asdict(signature) for signature in signatures],
    }
    return json.dumps(content, indent=2) + "\n"


def load(path: Path) -> list[Signature]:
    """Read what `dump` wrote, to the byte.

    Raises:
        StatementCorrupt: it is damaged, or written in another way.
    """
    try:
        text = path.read_bytes().decode()
        content: Any = json.loads(text)
        found = [_parsed(entry) for entry in content["signatures"]]
        if not found or dump(found) != text:
            raise ValueError("it is not as it was written")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StatementCorrupt(
            f"{path}: holds no signatures that can be read ({error}), so nobody stands behind the "
            "statement. Put back the file as it was signed, or sign again."
        ) from None
    return found


def _parsed(entry: Any) -> Signature:
    if not isinstance(entry, dict) or set(entry) != {field.name for field in fields(Signature)}:
        raise ValueError("an entry has other fields than a signature")
    texts = [entry["signer"], *entry["files"].items()]
    if not all(isinstance(part, str) for text in texts for part in text):
        raise ValueError("a name is no text")
    for name, size in (("public_key", 32), ("signature", 64)):
        if not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", entry[name]):
            raise ValueError(f"{name} is not {size} bytes in hex")
    return Signature(**entry)


def _of_own(folder: Path) -> str:
    """Name the signatures as the statement is named: with the mark, where that has it."""
    private = marking.find(folder, FILE).name == FILE
    return marking.named(SIGNATURES, private=private)
