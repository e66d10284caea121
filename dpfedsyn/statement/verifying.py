"""Whether a folder is what somebody signed: signatures, statement, record, and every file of rows.

What is printed of the claim is read from the statement after its bytes have been checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpfedsyn import marking
from dpfedsyn.errors import StatementCorrupt
from dpfedsyn.report import wording
from dpfedsyn.statement import signing
from dpfedsyn.statement.keeping import FILE
from dpfedsyn.statement.release import ROWS
from dpfedsyn.statement.signing import SIGNATURES, Signature


@dataclass(frozen=True)
class Verified:
    """What holds of a folder.

    Attributes:
        signatures: all of them genuine and of these bytes.
        files: names of the rows' files whose content is the statement's.
        told: the statement.
        known: whether a signature is by the key that was asked for.
    """

    signatures: tuple[Signature, ...]
    files: tuple[str, ...]
    told: dict[str, Any]
    known: bool

    def lines(self) -> list[str]:
        """Return what to print: the claim first, then who stands behind it."""
        found = list(claim(self.told))
        for one in self.signatures:
            names = ", ".join(one.files)
            found.append(f"Signed by {one.signer}, key {one.public_key}: {names}.")
        if not self.known:
            found.append(
                "Whose key that is, this folder cannot tell: compare it with what the signer told "
                "you (--key)."
            )
        rows = ", ".join(self.files) or "none"
        return [*found, f"Files of rows that are the statement's, to the byte: {rows}."]


def verify(folder: Path, public: str | None = None) -> Verified:
    """Check a run folder or an export against its signatures.

    Args:
        public: the public key (hex) of somebody who has to have signed; None: whoever did.

    Guarantee:
        Returns only where every signature in the folder is genuine and of the very bytes of
        statement.json and registry.yaml, no file of rows differs from the statement's digest or is
        not named by it, and, with a key, its holder is among the signers.

    Raises:
        StatementCorrupt: something differs, or is not signed: says which file. RunError: there is
            no statement.
    """
    now = signing.digests(folder)
    path = signing.named(folder, SIGNATURES)
    if path is None:
        raise StatementCorrupt(
            f"{folder}: holds no {SIGNATURES}, so nobody stands behind the statement. Ask its "
            "owners to sign it (`dpfedsyn statement sign`)."
        )
    signatures = signing.load(path)
    for one in signatures:
        _require_genuine(path, one, now)
    if public is not None and public.lower() not in {one.public_key for one in signatures}:
        signers = ", ".join(f"{one.signer} ({one.public_key[:16]}...)" for one in signatures)
        raise StatementCorrupt(
            f"{path}: nobody with the key {public[:16]}... signed it, but {signers}. Do not rely "
            "on it before they are known to you."
        )
    told = json.loads((signing.named(folder, FILE) or folder / FILE).read_bytes())
    files = tuple(_require_rows(folder, told))
    return Verified(tuple(signatures), files, told, public is not None)


def key_of(text: str) -> str:
    """Return a public key from hex, or from a file that holds it.

    Raises:
        StatementCorrupt: neither.
    """
    path = Path(text)
    found = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else text
    if re.fullmatch("[0-9a-fA-F]{64}", found) is None:
        raise StatementCorrupt(
            f"{text}: is no public key, so no signature was compared with it. Give the 64 hex "
            "digits that `dpfedsyn statement sign` printed, or a file that holds them."
        )
    return found.lower()


def claim(told: dict[str, Any]) -> Iterator[str]:
    """Yield what is claimed: epsilon's upper bound first, with delta, unit and adjacency."""
    if told["void"] is not None:
        yield f"VOID: {told['void']} NON-PRIVATE: no epsilon is claimed."
        return
    for silo in told["silos"]:
        words = wording.claim(silo["epsilon"], wording.terms(silo))
        yield f"{silo['name']}: {words}{wording.behind(silo.get('brought'))}"
    across = told["across_silos"]
    if across is not None:
        words = wording.claim(across, wording.terms(across))
        yield f"Across silos, somebody in {told['overlap']} of them at most: {words}"
    if told["status"] != "complete":
        yield f"The run is {told['status']}: {told['reason']}"


def _require_genuine(path: Path, one: Signature, now: dict[str, str]) -> None:
    if not signing.is_genuine(one):
        raise StatementCorrupt(
            f"{path}: the signature of {one.signer} is not of the key {one.public_key[:16]}... "
            "that stands there; somebody else made or edited it. Ask for the file as it was signed."
        )
    for name in sorted(one.files.keys() | now.keys(), key=lambda name: (name != FILE, name)):
        if one.files.get(name) != now.get(name):
            what = "is not signed" if name not in one.files else "differs from what was signed"
            what = "was signed and is missing" if name not in now else what
            place = signing.named(path.parent, name) or path.parent / name
            raise StatementCorrupt(
                f"{place}: {what} by {one.signer}. Do not rely on it; ask for the file as it was, "
                "or have it signed again."
            )


def _require_rows(folder: Path, told: dict[str, Any]) -> Iterator[str]:
    for file in told["release"]["files"]:
        path = signing.named(folder, file["name"])
        if path is None:
            raise StatementCorrupt(
                f"{folder / file['name']}: is missing, so nobody can say whether it is what was "
                "signed. Put it beside the statement."
            )
        if signing.digest(path) != file["sha256"]:
            raise StatementCorrupt(
                f"{path}: differs from the rows that the statement speaks of, so the claim is not "
                "of these. Ask for the file as it was released."
            )
        yield path.name
    named = {marking.plain(file["name"]) for file in told["release"]["files"]}
    for path in marking.every(folder, "synthetic*"):
        if path.suffix in ROWS and marking.plain(path.name) not in named:
            raise StatementCorrupt(
                f"{path}: is no file that the statement names, so nothing is claimed of it. Take "
                "it away; a top-up that was interrupted is named once it has ended."
            )
