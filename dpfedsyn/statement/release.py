"""The files of synthetic rows, as the statement names them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dpfedsyn.passes import PassPlan
from dpfedsyn.settings import Config

ROWS = (".csv", ".npz")  # what holds rows; a picture of some of them does not


@dataclass(frozen=True)
class ReleasedFile:
    """One file of rows.

    Attributes:
        name: in the run folder.
        sha256: of its content, in hex.
        bytes: how many.
        rows: how many.
        made_by: pass of the run.
        sampler: its kernel.
        steps: rounds that were taken.
    """

    name: str
    sha256: str
    bytes: int
    rows: int
    made_by: str
    sampler: str
    steps: int


def released(
    part: PassPlan, stem: str, files: Mapping[str, bytes], rows: int, steps: int
) -> tuple[ReleasedFile, ...]:
    """Return what a pass has left.

    Args:
        files: contents by suffix.
        rows: of each.
        steps: rounds that were taken.
    """
    return tuple(
        ReleasedFile(
            name=stem + suffix,
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
            rows=rows,
            made_by=part.name,
            sampler=part.settings.kernel,
            steps=steps,
        )
        for suffix, content in files.items()
        if suffix in ROWS
    )


def described(config: Config, files: Iterable[ReleasedFile]) -> dict[str, Any]:
    """Return the release as JSON-ready values."""
    seeded = config.privacy.unsafe_noise_seed is not None
    return {
        "files": [asdict(file) for file in files],
        "seed_disclosed": seeded,
        "seed": "the noise's keys are the silos' secrets and are in no file of this release; what "
        "the server draws protects nobody"
        if not seeded
        else "privacy.unsafe_noise_seed: everybody can draw the same noise",
        "post_processing": "sampling, decoding to the schema's bounds, categories and digits: "
        "functions of noised answers and public settings",
    }
