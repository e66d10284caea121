"""Read a run's configuration: one TOML file, `--set` overrides, every fault reported at once."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

from dpfedsyn.coherence import faults_of
from dpfedsyn.config_values import section_of, unknown, value_of
from dpfedsyn.errors import ConfigError
from dpfedsyn.round_settings import PRESETS, SamplerSettings
from dpfedsyn.sections import read
from dpfedsyn.settings import Config, PartitionSettings, SiloSettings

Table = dict[str, Any]


def examples() -> tuple[str, ...]:
    """Names of the examples inside the package."""
    root = _examples_folder()
    return tuple(sorted(entry.name for entry in root.iterdir() if (entry / "config.toml").exists()))


def findable(name_or_path: str) -> str:
    """Return the name by which `load` finds the same configuration from any folder."""
    path = Path(name_or_path)
    return str(path.absolute()) if path.is_file() else name_or_path


def load(name_or_path: str, overrides: Sequence[str] = (), *, records: bool = True) -> Config:
    """Read an example by its name or a TOML file by its path, and apply `section.key=value`.

    Args:
        records: whether the files of records have to be there; an auditor need not have them.

    Raises:
        ConfigError: names every unknown key with the nearest known one, every value out of range
            and every missing file; nothing has run by then.
    """
    path = _find(name_or_path)
    table = read(path)
    named: Table = dict(table)
    for override in overrides:
        if override.partition("=")[0].strip() == "preset":
            _apply(named, override)
    table = _with_preset(table, str(named.get("preset", "default")))
    for override in overrides:
        _apply(table, override)
    return _build(table, path, records)


def _examples_folder() -> Path:
    return Path(str(files("dpfedsyn") / "examples"))


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.is_file():
        return path.resolve()
    example = _examples_folder() / name_or_path / "config.toml"
    if "/" not in name_or_path and example.is_file():
        return example
    names = examples()
    near = difflib.get_close_matches(name_or_path, names, 1)
    raise ConfigError(
        f"{name_or_path}: neither a file nor an example. "
        + (f"Did you mean `{near[0]}`? " if near else "")
        + f"Examples: {', '.join(names)}; or give the path of a TOML file."
    )


def _apply(table: Table, override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override}: expected section.key=value, as in privacy.epsilon=4.")
    *sections, last = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override}: `{section}` is no section that --set can reach.")
    try:
        table[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = _bare(text)


def _with_preset(table: Table, preset: str) -> Table:
    """Return the file's table with what [presets.NAME.SECTION] says of the preset in force.

    Raises:
        ConfigError: [presets] holds something else than known presets of sections.
    """
    table = dict(table)
    presets = table.pop("presets", {})
    for name, sections in presets.items() if isinstance(presets, dict) else [("presets", None)]:
        if name not in PRESETS or not isinstance(sections, dict):
            raise ConfigError(
                f"presets.{name}: [presets.NAME.SECTION] holds what a preset changes in a section, "
                f"and NAME is one of {', '.join(PRESETS)}. Mend that table."
            )
    for section, values in presets.get(preset, {}).items():
        own = table.get(section)
        if isinstance(values, dict) and isinstance(own, dict):
            values = {**own, **values}
        table[section] = values
    return table


def _bare(text: str) -> float | str:
    """A number as people write it (.001), which TOML refuses, or a word that means a string."""
    try:
        return float(text)
    except ValueError:
        return text


def _build(table: Table, path: Path, records: bool) -> Config:
    faults: list[str] = []
    table = dict(table)
    preset = str(table.get("preset", "default"))
    table.setdefault("name", path.parent.name if path.name == "config.toml" else path.stem)
    table.setdefault("silos", _simulated(table))
    silos = tuple(
        section_of(SiloSettings, f"silos[{k}]", entry, faults)
        for k, entry in enumerate(_silo_tables(table.pop("silos", []), faults))
    )
    values: Table = {"silos": tuple(s for s in silos if s is not None), "folder": path.parent}
    hints = get_type_hints(Config)
    starts = _starts(table, preset)
    known = {f.name: f for f in dataclasses.fields(Config) if f.name not in ("silos", "folder")}
    for key, value in table.items():
        if key not in known:
            faults.append(unknown(key, known, "the file"))
        elif (kind := _dataclass(hints[key])) is not None:
            values[key] = section_of(kind, key, value, faults, starts.get(key))
        else:
            values[key] = value_of(key, value, hints[key], known[key].metadata, faults)
    values = {**starts, **values}
    if not faults:
        config = Config(**values)
        faults = faults_of(config, records)
    if faults:
        shown = "\n".join(f"  - {fault}" for fault in faults)
        raise ConfigError(f"{path}: nothing was run; mend what follows.\n{shown}")
    return config


def _starts(table: Table, preset: str) -> dict[str, SamplerSettings]:
    """What the samplers' sections override: presets, and [best] where best is the preset.

    The extra pass has the other pass's seed unless it names its own.
    """
    best = PRESETS["best"]
    if preset == "best" and "best" in table:
        # The same section is read again in its place; its faults are reported there.
        best = section_of(SamplerSettings, "best", table["best"], [], best) or best
    starts = {**PRESETS, "best": best}
    sampler = starts.get(preset, SamplerSettings())
    section = table.get("sampler")
    seed = section.get("seed", sampler.seed) if isinstance(section, Mapping) else sampler.seed
    return {"sampler": sampler, "best": dataclasses.replace(PRESETS["best"], seed=seed)}


def _dataclass(hint: Any) -> type | None:
    """The dataclass that a section is read into, optional or not; None for a plain value."""
    kinds = [kind for kind in (*get_args(hint), hint) if dataclasses.is_dataclass(kind)]
    return kinds[0] if kinds and isinstance(kinds[0], type) else None


def _simulated(table: Table) -> list[Table]:
    """The silos of a partition that are not named one by one; wrong values are found later."""
    partition = table.get("partition")
    if not isinstance(partition, Mapping):
        return []
    names = partition.get("names", [])
    if partition.get("kind") != "column" or not isinstance(names, list):
        count = partition.get("silos", PartitionSettings.silos)
        names = [f"silo-{k}" for k in range(count)] if type(count) is int and count > 0 else []
    size = partition.get("reference_size", PartitionSettings.reference_size)
    return [{"name": str(name), "path": "", "reference_size": size} for name in names]


def _silo_tables(entries: Any, faults: list[str]) -> list[Table]:
    if isinstance(entries, list) and entries and all(isinstance(e, dict) for e in entries):
        return entries
    faults.append("silos: no silo is named; add at least one [[silos]] table with name and path.")
    return []
