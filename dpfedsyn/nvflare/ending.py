"""How the run in a job ended: a file of the job, beside its logs, that its administrator fetches.

NVFlare's own word for the end is the same for a lost site and for a plan over its budget.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "dpfedsyn-ended.json"


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        status: "complete", "partial", or "failed". reason: why it is not complete.
    """

    status: str
    reason: str | None = None

    def write(self, folder: Path) -> None:
        """Leave it in a job's folder."""
        (folder / NAME).write_text(json.dumps(asdict(self)), encoding="utf-8")


def read(folder: Path) -> Ending | None:
    """Return what a fetched job says; None: it was ended before its run had."""
    for path in folder.rglob(NAME):
        return Ending(**json.loads(path.read_text(encoding="utf-8")))
    return None
