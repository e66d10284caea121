"""New rows as files, with a statement of what they are beside them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpfedsyn import __version__, checkpoint, marking, stamp
from dpfedsyn.distill import released_run
from dpfedsyn.distill.released_run import ReleasedRun
from dpfedsyn.distill.smoothed import SmoothedRows, bandwidth
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import ConfigError, RunError
from dpfedsyn.folder import finite

SAMPLER = "distiller"  # the kept sampler: .safetensors and .json in the run folder
AT_ONCE = 2**16  # rows; bounds the memory that many rows need
WHAT = (
    "Rows drawn by a sampler that was made of a run's released synthetic rows alone: "
    "post-processing. The run's claim holds for them as it stands; nothing was charged."
)
ADDS = (
    "No information: whatever they tell about real records, the run's own rows tell. More rows "
    "make no estimate more certain than those rows allow."
)


@dataclass(frozen=True)
class Distilled:
    """What was written: rows first, then pictures of some of them if any, and the statement."""

    files: tuple[Path, ...]
    statement: Path
    seed: int


def distil(run: Path, rows: int, out: Path | None, *, seed: int) -> Distilled:
    """Write `rows` new rows in the run's own format, and say what they are.

    Args:
        run: folder of a run that has ended.
        out: file of the rows, with the format's ending; None: the first unused RUN/distilled-N.
        seed: of the draws; equal seeds give equal files.

    Guarantee:
        Post-processing: of the run nothing is read but its released rows, its statement, its
        configuration and its schema. Files of a run that promises nothing are marked NON-PRIVATE.

    Raises:
        RunError: no ended run, or the file is there already. ConfigError: another ending, or no
            rows. StatementCorrupt: the rows are not those that were released.
    """
    if rows < 1:
        raise ConfigError(f"--rows {rows}: nothing was drawn. Give at least 1.")
    found = released_run.read(run)
    target = _target(found, out)
    sampler = _kept(found)
    rng = np.random.Generator(np.random.Philox(seed))
    places = sampler.places(rows, rng)
    if isinstance(found.encoder, TableEncoder):
        files = [_table(found.encoder, sampler, places, rng, target)]
    else:
        files = list(_images(found, sampler, places, rng, target))
    statement = target.with_suffix(".json")
    told = _told(found, sampler, files[0], rows, seed)
    checkpoint.write_bytes(statement, (json.dumps(told, indent=2) + "\n").encode())
    return Distilled(tuple(files), statement, seed)


def _target(found: ReleasedRun, out: Path | None) -> Path:
    """The file of rows, marked where nothing is promised; never one that is there."""
    suffix, private = Path(found.files[0]["name"]).suffix, found.void is None
    if out is None:
        number = 1
        while marking.find(found.path, f"distilled-{number}{suffix}").exists():
            number += 1
        out = found.path / f"distilled-{number}{suffix}"
    if out.suffix != suffix:
        raise ConfigError(
            f"--out {out}: this run's rows are {suffix} files, so nothing was drawn. Give a name "
            f"that ends in {suffix}."
        )
    target = out.with_name(marking.named(marking.plain(out.name), private=private))
    for path in (target, target.with_suffix(".json")):
        if path.exists():
            raise RunError(f"{path}: is there already, so nothing was drawn. Give another --out.")
    if not target.parent.is_dir():
        raise RunError(f"{target.parent}: is no folder, so nothing was drawn. Make it first.")
    return target


def _kept(found: ReleasedRun) -> SmoothedRows:
    """The sampler that the run folder keeps, if it was made of the same rows; else a new one."""
    private = found.void is None
    arrays, about = (
        found.path / marking.named(SAMPLER + suffix, private=private)
        for suffix in (checkpoint.SUFFIX, ".json")
    )
    described = {"version": 1, "schema": found.encoder.digest, "made_from": found.sources}
    if _described(about) == described and (known := checkpoint.load(arrays)) is not None:
        return SmoothedRows.from_arrays(known, found.encoder.dimension)
    sampler = found.rows()
    about.unlink(missing_ok=True)  # it speaks of what is there, or is not there itself
    checkpoint.save(arrays, sampler.to_arrays())
    checkpoint.write_bytes(about, (json.dumps(described, indent=2) + "\n").encode())
    return sampler


def _described(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # a sampler that nothing is known of is made again


def _table(
    encoder: TableEncoder,
    sampler: SmoothedRows,
    places: Any,
    rng: np.random.Generator,
    target: Path,
) -> Path:
    """Write a table piece by piece, whole or not at all."""
    part = target.with_name(target.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        for start in range(0, len(places), AT_ONCE):
            frame = encoder.frame(*sampler.draw(places[start : start + AT_ONCE], rng))
            frame.to_csv(file, index=False, header=start == 0, lineterminator="\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
    return target


def _images(
    found: ReleasedRun,
    sampler: SmoothedRows,
    places: Any,
    rng: np.random.Generator,
    target: Path,
) -> Iterator[Path]:
    for suffix, content in found.encoder.decode(*sampler.draw(places, rng)).files.items():
        if found.void is not None:
            content = stamp.stamped(suffix, content, found.void)
        path = target.with_suffix(suffix)
        checkpoint.write_bytes(path, content)
        yield path


def _told(
    found: ReleasedRun, sampler: SmoothedRows, file: Path, rows: int, seed: int
) -> dict[str, Any]:
    """What the rows are, with the run's claim as it stands."""
    told = found.told
    terms = ("name", "epsilon", "delta", "delta_with_noise", "unit", "adjacency")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    labels = np.unique(sampler.y).tolist()
    widths = {
        found.encoder.labels[label]: bandwidth(int((sampler.y == label).sum()), sampler.x.shape[1])
        for label in labels
    }
    marked = {} if found.void is None else {"marking": f"{marking.MARK}. {found.void}"}
    whole: dict[str, Any] = finite(
        {
            **marked,
            "what": WHAT,
            "adds": ADDS,
            "run": told.get("run"),
            "private": found.void is None,
            "void": found.void,
            "silos": [{key: silo[key] for key in terms} for silo in told["silos"]],
            "overlap": told.get("overlap"),
            "across_silos": told["across_silos"],
            "made_from": list(found.files),
            "sampler": {"kind": "smoothed bootstrap", "bandwidth": widths},
            "file": {"name": file.name, "sha256": digest, "rows": rows},
            "seed": seed,
            "software": {"dpfedsyn": __version__},
        }
    )
    return whole
