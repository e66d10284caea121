"""READ FIRST for a run: its ledgers, its statement, its noise and its mechanisms, audited together.

`audit` reads the run folder with its owner's access and returns findings; `keep` writes them beside
the run, with the round and the ledger heads that were looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpfedsyn import __version__, marking, statement, vouching
from dpfedsyn import folder as folders
from dpfedsyn.audit import claimed, evidence, ledgers, mechanisms, noises, statements, training
from dpfedsyn.audit.auditing import Verdict
from dpfedsyn.audit.findings import ALPHA, CHAIN, VIOLATION, Finding, judged, verdict

FILE = "audit.json"
VERSION = 1
SEED = 0
DAMAGED, VIOLATED = 4, 5  # exit codes


@dataclass(frozen=True)
class RunAudit:
    """The findings about one run, and how far the run had come.

    Attributes:
        rounds: taken in each pass.
        heads: the last link of every ledger that could be verified.
        alpha: false-alarm rate of all statistical tests together; every other check has none.
        models: by silo, who answers for a model that was brought.
    """

    findings: tuple[Finding, ...]
    rounds: dict[str, int]
    heads: dict[str, str]
    alpha: float = ALPHA
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """VIOLATION where any check failed; CONSISTENT where none did."""
        return verdict(self.findings)

    @property
    def exit_code(self) -> int:
        """0, 4 where a ledger is damaged, or 5 where anything else is violated."""
        violated = [finding for finding in self.findings if finding.verdict == VIOLATION]
        if any(finding.check == CHAIN for finding in violated):
            return DAMAGED
        return VIOLATED if violated else 0

    def to_dict(self) -> dict[str, Any]:
        """Return the whole audit as JSON-ready values."""
        found = [finding.to_dict() for finding in self.findings]
        return {**self.summary(), "models": dict(self.models), "findings": found}

    def summary(self) -> dict[str, Any]:
        """Return what the statement says of it: verdicts, and no number that noise decides."""
        counts = Counter(finding.verdict for finding in self.findings)
        return {
            "version": VERSION,
            "verdict": self.verdict,
            "checks": dict(sorted(counts.items())),
            "alpha": self.alpha,
            "rounds": self.rounds,
            "heads": self.heads,
            "dpfedsyn": __version__,
        }


def audit(path: Path, *, retrain: bool = False, alpha: float = ALPHA) -> RunAudit:
    """Audit a run folder as it stands, finished or not; nothing is written.

    Args:
        retrain: read the records and repeat the training.
        alpha: see `RunAudit`.

    Guarantee:
        On a run that charged, drew and released as the privacy model says, any statistical test
        falsely alarms with probability at most `alpha`, all of them together; the other checks
        never do. What could not be looked at is INCONCLUSIVE and says why.

    Raises:
        RunError: there is no run, or a file of it is damaged. ConfigError: its settings cannot be
            read. LedgerLocked: the run is going on.
    """
    found = evidence.read(path)
    certain, chance = noises.findings(found)
    tested = [*chance, *mechanisms.tested(found, SEED)]
    return RunAudit(
        findings=(
            *found.chain,
            *ledgers.findings(found),
            *claimed.findings(found),
            *statements.findings(found),
            *training.findings(found, retrain=retrain),
            *certain,
            *judged(tested, alpha),
        ),
        rounds=found.rounds(),
        heads={name: silo.links[-1] for name, silo in found.silos.items()},
        alpha=alpha,
        models={
            name: vouching.in_short(found.config, silo.settings, silo.header).strip()
            for name, silo in found.silos.items()
            if silo.settings.brings
        },
    )


def keep(audited: RunAudit, path: Path) -> None:
    """Write audit.json, and what it says in short into statement.json if there is one.

    The same audit kept twice leaves the same bytes. A run that goes on writes its statement anew,
    without the audit, which was not of it.
    """
    folder = folders.opened(path)
    folder.write_json(FILE, audited.to_dict())
    claim = marking.find(path, statement.FILE)
    if claim.is_file():
        told = json.loads(claim.read_text(encoding="utf-8"))
        statement.keep(folder, statement.audited(told, audited.summary()))
