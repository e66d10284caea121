"""As whom a key signs a statement: the silo whose ledger it keeps, or an owner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from accountants.verification import verify
from dpfedsyn.errors import LedgerError, RunError, StatementCorrupt
from dpfedsyn.keys import SiloKey
from dpfedsyn.statement import signing
from dpfedsyn.statement.keeping import FILE

OWNER = "owner"


def name_of(folder: Path, key: SiloKey, ledger: Path) -> str:
    """Return the silo's name where the statement names the key's ledger, else "owner".

    Args:
        ledger: the silo's, if it is at hand: the statement's head has to be a link of its chain.

    Guarantee:
        A silo's key, beside its ledger, does not sign a statement whose head is not in that
        ledger, under whatever name.

    Raises:
        RunError: there is no statement. StatementCorrupt: it speaks of another chain, or not of
        this ledger at all.
        LedgerError: the ledger itself is damaged or in use.
    """
    for silo in _silos(folder):
        if silo.get("ledger_id") == key.ledger_id:
            if ledger.is_file():
                _require_link(ledger, key, silo)
            return str(silo["name"])
    if ledger.is_file():
        raise StatementCorrupt(
            f"{ledger}: no silo of this statement has the ledger beside this key, so nothing was "
            "signed. Ask for the statement of this ledger's run, or sign with a key made for it "
            "(`dpfedsyn statement key`)."
        )
    return OWNER


def _silos(folder: Path) -> list[dict[str, Any]]:
    path = signing.named(folder, FILE)
    if path is None:
        signing.digests(folder)  # says what is missing
    try:
        content: Any = json.loads((path or folder / FILE).read_text(encoding="utf-8"))
        return list(content["silos"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: this statement is damaged ({error}), so it was not signed. Resume the run, "
            "which writes it again."
        ) from None


def _require_link(ledger: Path, key: SiloKey, silo: dict[str, Any]) -> None:
    verify(ledger, key=key.chain)  # says what is wrong with the ledger itself
    try:
        verify(ledger, key=key.chain, expected_head=str(silo["ledger_head"]))
    except LedgerError:
        raise StatementCorrupt(
            f"{ledger}: the statement's head {str(silo['ledger_head'])[:16]}... is no link of this "
            f"chain, so {silo['name']} did not sign. Ask for the statement of this ledger's run."
        ) from None
