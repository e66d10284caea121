"""A configuration for one's own files, with a line for all that somebody has to decide."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from dpfedsyn import sections
from dpfedsyn.errors import ConfigError
from dpfedsyn.settings import DEFAULT_REFERENCE_SIZE, PERSON, RECORD

WORDS = {
    "curator": "who publishes the rows",
    "curator_type": "Government, Industry or Nonprofit",
    "intended_use": "what for",
    "region": "that they describe, or whose laws apply",
    "published": "the day: YYYY-MM-DD",
    "contact": "whom to ask",
    "retention": "of records, models and ledgers, and why they were collected",
    "tuning": "how settings were chosen, and who paid for it",
}


def text(
    name: str,
    schema: Path | str,
    silos: Mapping[str, Path | str],
    *,
    sizes: Mapping[str, float] | None = None,
    unit: str = RECORD,
    preset: str = "default",
) -> str:
    """Return a configuration as TOML, with a comment wherever something public is to be filled in.

    Args:
        silos: by name, the file of its records. Paths are written as they are given: relative ones
            start at the configuration's folder. sizes: public; None: the default, to be looked at.
    """
    many = f"about how many {unit}s, as the public knows it; never the count"
    lines = [
        f"name = {json.dumps(name)}",
        f'preset = {json.dumps(preset)}   # "best": no network, what measures better on tables',
        "",
        "[data]",
        f"schema = {json.dumps(str(schema))}",
        "test_fraction = 0.3   # held out by keyed hash, for the report's internal tests",
    ]
    for silo, path in silos.items():
        size = DEFAULT_REFERENCE_SIZE if sizes is None else float(sizes[silo])
        lines += ["", "[[silos]]", f"name = {json.dumps(silo)}", f"path = {json.dumps(str(path))}"]
        lines += [f"reference_size = {size!r}   # {many}"]
    lines += [
        "",
        "[privacy]",
        "epsilon = 8.0   # of each silo, for all that leaves it; 1 protects well, 10 hardly",
        "delta = 1e-5    # well below one over the reference size",
        f"unit = {json.dumps(unit)}   # whom the claim is about",
        'adjacency = "add-or-remove"',
        "overlap = 1     # in how many of the silos one person may be",
        "",
        "[answers]",
        "rows = 3000     # synthetic rows",
        "",
        "[statement]   # what a board reads, in your words; all of it public",
        *(f'{key} = "not stated"   # {what}' for key, what in WORDS.items()),
    ]
    return "\n".join(lines) + "\n"


def silos_of(files: Sequence[Path]) -> dict[str, Path]:
    """Name a silo after each file.

    Raises:
        ConfigError: no such file, or two of one name.
    """
    silos: dict[str, Path] = {}
    for path in files:
        if not path.exists():
            raise ConfigError(f"{path}: no such file, so nothing was written; correct the path.")
        if path.stem in silos:
            raise ConfigError(
                f"{path} and {silos[path.stem]}: both would be silo {path.stem!r}, so nothing was "
                "written; rename one of the files."
            )
        silos[path.stem] = path
    return silos


def unit_of(schema: Path) -> str:
    """Return the unit that a schema calls for, also one that is still a draft.

    Raises:
        ConfigError: no such file, or no TOML.
    """
    if not schema.is_file():
        raise ConfigError(
            f"{schema}: no such schema, so nothing was written; `dpfedsyn schema draft FILE` "
            "writes one to fill in."
        )
    content = sections.read(schema)
    file = content.get("file")
    return PERSON if isinstance(file, dict) and file.get("person_column") else RECORD
