"""What a run folder holds for an auditor with its owner's access: read, never written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accountants import storage, verification
from accountants.anchor import FileAnchor
from accountants.rows import ANSWER, Charge, Header
from dpfedsyn import checkpoint, domain, keys, marking, messages, topups
from dpfedsyn import config as configuration
from dpfedsyn import folder as folders
from dpfedsyn.audit.findings import CHAIN, CONSISTENT, INCONCLUSIVE, VIOLATION, Finding
from dpfedsyn.domain import Encoder
from dpfedsyn.errors import LedgerError, LedgerLocked, RunError
from dpfedsyn.folder import RunFolder
from dpfedsyn.keys import SiloKey
from dpfedsyn.messages import PrivateAnswer
from dpfedsyn.passes import PassPlan, planned_passes
from dpfedsyn.settings import Config, SiloSettings
from dpfedsyn.statement import STATEMENT_VERSION


@dataclass(frozen=True)
class SiloEvidence:
    """One silo's folder: its key and every verified row, with the replies that are still kept."""

    settings: SiloSettings
    folder: Path
    key: SiloKey
    header: Header
    charges: tuple[Charge, ...]
    links: tuple[str, ...]  # the chain in hex; the last one is the head

    @property
    def name(self) -> str:
        """The silo's name."""
        return self.settings.name

    def of(self, kind: str) -> list[Charge]:
        """Rows of a kind, in order."""
        return [charge for charge in self.charges if charge.kind == kind]

    def answers(self) -> list[tuple[Charge, PrivateAnswer]]:
        """Answers whose bytes are still kept, decoded."""
        kept = [charge for charge in self.of(ANSWER) if charge.reply is not None]
        return [(c, messages.decode_answer(c.reply)) for c in kept if c.reply is not None]


@dataclass(frozen=True)
class Evidence:
    """A run folder as it stands.

    Attributes:
        silos: those whose ledger could be verified. chain: a finding for every silo's ledger.
        log: rounds.jsonl, oldest first. states: the server's checkpoint of every pass begun.
        statement: statement.json, or None where the run has not come to it.
    """

    path: Path
    config: Config
    encoder: Encoder
    passes: tuple[PassPlan, ...]
    silos: dict[str, SiloEvidence]
    chain: tuple[Finding, ...]
    log: tuple[dict[str, Any], ...]
    states: dict[str, dict[str, Any]]
    statement: dict[str, Any] | None

    @property
    def dimension(self) -> int:
        """Coordinates of a record."""
        return self.encoder.dimension

    @property
    def classes(self) -> int:
        """Public labels."""
        return len(self.encoder.labels)

    def rounds(self) -> dict[str, int]:
        """Rounds taken in each pass, by the server's checkpoint."""
        return {name: int(state["round_number"]) for name, state in self.states.items()}


def read(path: Path) -> Evidence:
    """Read a run folder.

    Raises:
        RunError: there is no run, or a file of it is damaged. ConfigError: its configuration or
            schema cannot be read. LedgerLocked: the run is going on.
    """
    if not (path / "config.toml").is_file():
        raise RunError(
            f"{path}: there is no run here, so nothing was audited. Give the folder that "
            "`dpfedsyn run --out` wrote."
        )
    config = configuration.load(str(path / "config.toml"), records=False)
    encoder = domain.encoder_of(config)
    passes = (*planned_passes(config), *topups.passes(config, topups.read(path)))
    folder = RunFolder(path)
    states = {part.name: checkpoint.load(folder.saved(part.name)) for part in passes}
    log = tuple(_log(path / "rounds.jsonl"))
    _require_known(path, log, passes)
    silos, chain = {}, []
    for settings in config.silos:
        found, finding = _silo(folder, settings, begun=bool(log))
        chain.append(finding)
        if found is not None:
            silos[settings.name] = found
    return Evidence(
        path=path,
        config=config,
        encoder=encoder,
        passes=passes,
        silos=silos,
        chain=tuple(chain),
        log=log,
        states={name: state for name, state in states.items() if state is not None},
        statement=_statement(marking.find(path, "statement.json")),
    )


def _require_known(
    path: Path, log: tuple[dict[str, Any], ...], passes: tuple[PassPlan, ...]
) -> None:
    """Refuse rounds of a pass of which nothing says what it may cost."""
    known = {part.name for part in passes}
    unknown = sorted({str(record["pass"]) for record in log} - known)
    if unknown:
        raise RunError(
            f"{path}: rounds.jsonl holds rounds of {', '.join(unknown)}, which neither the "
            f"configuration nor {topups.FILE} names, so what they may cost is not known. Nothing "
            "was audited. Put that file back."
        )


def _silo(
    folder: RunFolder, settings: SiloSettings, *, begun: bool
) -> tuple[SiloEvidence | None, Finding]:
    """Verify one ledger against its chain and its anchor; damage is a finding of its own."""
    path = folder.silo(settings.name) / "ledger.sqlite"
    if not path.exists() and not begun and not path.with_name("model.safetensors").exists():
        fact = "the run ended before this silo had a ledger, so there is nothing to look at."
        return None, Finding(CHAIN, settings.name, INCONCLUSIVE, fact)
    try:
        found, note = _verified(path, settings)
    except LedgerLocked:
        raise
    except LedgerError as error:
        fact = str(error)
        return None, Finding(CHAIN, settings.name, VIOLATION, fact)
    head = found.links[-1]
    fact = f"{len(found.charges)} rows continue their chain, within their caps. {note}".strip()
    numbers = {"rows": len(found.charges), "head": head}
    return found, Finding(CHAIN, settings.name, CONSISTENT, fact, numbers=numbers)


def _verified(path: Path, settings: SiloSettings) -> tuple[SiloEvidence, str]:
    key = keys.load(path.with_name("key"))
    kept = folders.anchor_of(path, key.ledger_id)
    note = "" if kept is not None else verification.CUT_TAIL
    with storage.snapshot(path) as connection:
        chain = verification.read_chain(connection, key.chain, path)
        if kept is not None:
            anchored = FileAnchor(kept, key=key.chain).read()
            if verification.require_anchored(chain, anchored, path):
                note = verification.NOT_ANCHORED
        charges = tuple(
            replace(charge, reply=storage.stored_reply(connection, charge.seq))
            for charge in chain.charges
        )
    links = tuple(mac.hex() for mac in chain.macs)
    found = SiloEvidence(settings, path.parent, key, chain.header, charges, links)
    return found, note


def _log(path: Path) -> list[dict[str, Any]]:
    """Whole lines of rounds.jsonl; one that a kill cut short is not a round."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    try:
        records = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        if not all({"pass", "round", "asked", "answered"} <= record.keys() for record in records):
            raise ValueError("a round needs pass, round, asked and answered")
    except (ValueError, AttributeError) as error:
        raise RunError(
            f"{path}: a line is damaged ({error}), so it is not known which rounds were taken. "
            "Nothing was audited. Move the file away: charges are in the ledgers."
        ) from None
    return records


def _statement(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, Mapping) or not isinstance(found.get("silos"), list):
            raise ValueError("it names no silos")
        if found.get("statement_version") != STATEMENT_VERSION:
            raise ValueError(f"it is not of version {STATEMENT_VERSION}")
    except ValueError as error:
        raise RunError(
            f"{path}: this statement is damaged ({error}). Nothing was audited. Resume the run, "
            "which writes it again at no cost."
        ) from None
    return dict(found)
