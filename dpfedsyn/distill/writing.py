"""New rows as files, with a statement of what they are beside them."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dpfedsyn import __version__, marking, stamp
from dpfedsyn.distill import released_run
from dpfedsyn.distill.released_run import ReleasedRun
from dpfedsyn.distill.smoothed import SmoothedRows, bandwidth
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import ConfigError, RunError
from dpfedsyn.folder import finite
from dpfedsyn.report import wording

AT_ONCE = 2**16  # rows; bounds the memory that many rows of a table need
MOST_ROWS, MOST_IMAGES = 10**9, 250_000  # in one file; images are drawn all at once
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
        RunError: no ended run, or the file is there already, or there is no room. ConfigError:
            another ending, or no rows, or too many. StatementCorrupt: the rows are not those that
            were released.
    """
    found = released_run.read(run)
    table = isinstance(found.encoder, TableEncoder)
    most = MOST_ROWS if table else MOST_IMAGES
    if not 1 <= rows <= most:
        raise ConfigError(
            f"--rows {wording.count(rows)}: nothing was drawn. Give at least 1, and at most {most} "
            "at once."
        )
    target = _target(found, out)
    sampler = found.rows()
    rng = np.random.Generator(np.random.Philox(seed))
    try:
        files = tuple((_table if table else _images)(found, sampler, rows, rng, target))
        statement = target.with_suffix(".json")
        told = _told(found, sampler, files[0], rows, seed)
        _write(statement, [(json.dumps(told, indent=2) + "\n").encode()])
    except OSError as error:
        raise RunError(
            f"{target}: cannot be written ({error.strerror or error}); what was begun of it is "
            "gone again, and nothing else was touched. Make room, or give another --out."
        ) from None
    return Distilled(files, statement, seed)


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
    _require_new((target, target.with_suffix(".json")))
    if not target.parent.is_dir():
        raise RunError(f"{target.parent}: is no folder, so nothing was drawn. Make it first.")
    return target


def _table(
    found: ReleasedRun, sampler: SmoothedRows, rows: int, rng: np.random.Generator, target: Path
) -> list[Path]:
    """Write a table, piece by piece."""
    encoder = found.encoder
    assert isinstance(encoder, TableEncoder)

    def pieces() -> Iterator[bytes]:
        for number, places in enumerate(sampler.places(rows, rng, AT_ONCE)):
            frame = encoder.frame(*sampler.draw(places, rng))
            text: str = frame.to_csv(index=False, header=number == 0, lineterminator="\n")
            yield text.encode()

    return [_write(target, pieces())]


def _images(
    found: ReleasedRun, sampler: SmoothedRows, rows: int, rng: np.random.Generator, target: Path
) -> list[Path]:
    """Write the images' archive and a picture of some of them."""
    (places,) = sampler.places(rows, rng, rows)
    files = {
        target.with_suffix(suffix): content
        if found.void is None
        else stamp.stamped(suffix, content, found.void)
        for suffix, content in found.encoder.decode(*sampler.draw(places, rng)).files.items()
    }
    _require_new(files)
    return [_write(path, [content]) for path, content in files.items()]


def _write(path: Path, pieces: Iterable[bytes]) -> Path:
    """Write a file that is not there yet, whole or not at all, whoever else writes beside us."""
    descriptor, name = tempfile.mkstemp(suffix=".part", prefix=f".{path.name}-", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)  # unlike a renaming it never replaces
        except FileExistsError:
            _require_new([path])
            raise
    finally:
        part.unlink(missing_ok=True)
    return path


def _require_new(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.exists():
            raise RunError(f"{path}: is there already, so nothing was drawn. Give another --out.")


def _told(
    found: ReleasedRun, sampler: SmoothedRows, file: Path, rows: int, seed: int
) -> dict[str, Any]:
    """What the rows are, with the run's claim as it stands."""
    told = found.told
    terms = ("name", "epsilon", "delta", "delta_with_noise", "unit", "adjacency", "brought")
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
            "silos": [{key: silo[key] for key in terms if key in silo} for silo in told["silos"]],
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
