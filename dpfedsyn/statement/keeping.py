"""The statement as files of the run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpfedsyn.folder import RunFolder, finite
from dpfedsyn.statement import registry

FILE = "statement.json"
"""The statement, in a run folder."""

RECORD = "registry.yaml"
"""The record for the registry of deployments, beside it."""


def keep(folder: RunFolder, made: Mapping[str, Any]) -> None:
    """Write statement.json, and registry.yaml where something is claimed.

    A signature beside them is of what was there before; verifying says so.
    """
    folder.write_json(FILE, dict(made))
    record = registry.record(finite(dict(made)))
    if record is not None:
        folder.write_text(RECORD, registry.text(record, registry.missing(made)))
