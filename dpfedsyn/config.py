"""Read a run's configuration: one TOML file, `--set` overrides, every fault reported at once."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args, get_type_hints

from dpfedsyn.absences import aways
from dpfedsyn.errors import ConfigError
from dpfedsyn.settings import (
    PRESETS,
    Allowed,
    Config,
    EvaluateSettings,
    ParticipationSettings,
    PartitionSettings,
    SamplerSettings,
    SiloSettings,
)

Table = dict[str, Any]


def examples() -> tuple[str, ...]:
    """Names of the examples inside the package."""
    root = _examples_folder()
    return tuple(sorted(entry.name for entry in root.iterdir() if (entry / "config.toml").exists()))


def load(name_or_path: str, overrides: Sequence[str] = (), *, records: bool = True) -> Config:
    """Read an example by its name or a TOML file by its path, and apply `section.key=value`.

    Args:
        records: whether the files of records have to be there; an auditor need not have them.

    Raises:
        ConfigError: names every unknown key with the nearest known one, every value out of range
            and every missing file; nothing has run by then.
    """
    path = _find(name_or_path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file ({error}). Mend that line.") from None
    named: Table = dict(table)
    for override in overrides:
        if override.partition("=")[0].strip() == "preset":
            _apply(named, override)
    table = _with_preset(table, str(named.get("preset", "default")))
    for override in overrides:
        _apply(table, override)
    return _build(table, path, records)


def dump(config: Config) -> str:
    """Return the resolved configuration as TOML that `load` reads back."""
    top, sections = [], []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name == "folder":
            continue
        if field.name == "silos":
            sections += [("[[silos]]", silo) for silo in value]
        elif dataclasses.is_dataclass(value):
            sections.append((f"[{field.name}]", value))
        elif value is None:
            continue
        else:
            top.append(f"{field.name} = {_toml(value)}")
    lines = [*top]
    for header, section in sections:
        pairs = ((f.name, getattr(section, f.name)) for f in dataclasses.fields(section))
        lines += ["", header, *(f"{k} = {_toml(v)}" for k, v in pairs if v is not None)]
    return "\n".join(lines) + "\n"


def digest(config: Config) -> str:
    """Return the SHA-256 of the resolved configuration: what a ledger is bound to."""
    return hashlib.sha256(dump(absolute(enduring(config))).encode()).hexdigest()


def enduring(config: Config) -> Config:
    """Return what may not change when a run is resumed: all but who takes part in its rounds.

    Participation is public and costs nothing; a run that stopped for want of a quorum can go on
    with a smaller one.
    """
    return dataclasses.replace(config, participation=ParticipationSettings())


def with_records(config: Config, silo: str, path: Path) -> Config:
    """Return the configuration with one silo's records elsewhere: on this silo's machine."""
    here = str(path.absolute())
    silos = [dataclasses.replace(s, path=here) if s.name == silo else s for s in config.silos]
    return dataclasses.replace(config, silos=tuple(silos))


def agreed(config: Config, schema: str) -> str:
    """Return the digest of what server and silos must have alike.

    That is everything but where files lie and what only one side does: participation, evaluation,
    devices, anchors.

    Args:
        schema: digest of the public schema.
    """
    silos = tuple(dataclasses.replace(silo, path="") for silo in config.silos)
    data = dataclasses.replace(config.data, schema=schema, folder="", path="", test="")
    privacy = dataclasses.replace(config.privacy, anchors="")
    alike = dataclasses.replace(
        enduring(config),
        silos=silos,
        data=data,
        privacy=privacy,
        evaluate=EvaluateSettings(),
        device="auto",
    )
    return hashlib.sha256(dump(alike).encode()).hexdigest()


def absolute(config: Config) -> Config:
    """Return the configuration with absolute paths, so that it can be read from anywhere."""

    def full(relative: str) -> str:
        return str(config.records_path(relative)) if relative else ""

    silos = tuple(dataclasses.replace(s, path=full(s.path)) for s in config.silos)
    data = dataclasses.replace(
        config.data,
        schema=str(config.path(config.data.schema)),
        folder="",
        path=full(config.data.path),
        test=full(config.data.test),
    )
    anchors = config.privacy.anchors
    if anchors:
        anchors = str(config.path(str(Path(anchors).expanduser())))
    privacy = dataclasses.replace(config.privacy, anchors=anchors)
    return dataclasses.replace(config, silos=silos, data=data, privacy=privacy)


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
        _section(SiloSettings, f"silos[{k}]", entry, faults)
        for k, entry in enumerate(_silo_tables(table.pop("silos", []), faults))
    )
    values: Table = {"silos": tuple(s for s in silos if s is not None), "folder": path.parent}
    hints = get_type_hints(Config)
    starts = _starts(table, preset)
    known = {f.name: f for f in dataclasses.fields(Config) if f.name not in ("silos", "folder")}
    for key, value in table.items():
        if key not in known:
            faults.append(_unknown(key, known, "the file"))
        elif (kind := _dataclass(hints[key])) is not None:
            values[key] = _section(kind, key, value, faults, starts.get(key))
        else:
            values[key] = _value(key, value, hints[key], known[key].metadata, faults)
    values = {**starts, **values}
    if not faults:
        config = Config(**values)
        faults = _across(config, records)
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
        best = _section(SamplerSettings, "best", table["best"], [], best) or best
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


def _section(
    kind: type, where: str, entry: Any, faults: list[str], start: SamplerSettings | None = None
) -> Any:
    if not isinstance(entry, Mapping):
        faults.append(f"{where}: expected a table [{where}], got {entry!r}.")
        return None
    hints, before = get_type_hints(kind), len(faults)
    known = {f.name: f for f in dataclasses.fields(kind)}
    values = {}
    for key, value in entry.items():
        if key in known:
            name = f"{where}.{key}"
            values[key] = _value(name, value, hints[key], known[key].metadata, faults)
        else:
            faults.append(_unknown(f"{where}.{key}", known, f"[{where}]"))
    for name, field in known.items():
        required = field.default is dataclasses.MISSING
        if required and name not in entry:
            faults.append(f"{where}: `{name}` is missing; it has no default.")
    if len(faults) > before:
        return None
    return kind(**values) if start is None else dataclasses.replace(start, **values)


def _unknown(key: str, known: Mapping[str, Any], where: str) -> str:
    near = difflib.get_close_matches(key.rpartition(".")[2], known, 1, 0.5)
    mend = f"Did you mean `{near[0]}`?" if near else f"Known: {', '.join(known)}."
    return f"{key}: no such key in {where}. {mend}"


def _value(key: str, value: Any, hint: Any, metadata: Mapping[str, Any], faults: list[str]) -> Any:
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] or [hint]
    kind = kinds[0] if not str(hint).startswith("tuple") else tuple
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 2**1023 else math.inf
    if kind is tuple and get_args(hint)[0] is str:
        return _texts(key, value, metadata.get("names"), faults)
    if kind is tuple and isinstance(value, list):
        value = tuple(float(v) if isinstance(v, int | float) else v for v in value)
        if not all(isinstance(v, float) and math.isfinite(v) and v > 0 for v in value):
            faults.append(f"{key} = {list(value)}: expected a list of positive numbers.")
    if type(value) is not kind:
        faults.append(f"{key} = {value!r}: expected {kind.__name__}, got {type(value).__name__}.")
        return value
    allowed: Allowed | None = metadata.get("allowed")
    if allowed is not None and not allowed.test(value):
        faults.append(f"{key} = {value!r}: allowed is {allowed.words}.")
    return value


def _texts(
    key: str, value: Any, names: tuple[str, ...] | None, faults: list[str]
) -> tuple[str, ...]:
    """A list of texts; of these names only, where there are any, and then one may stand alone."""
    if names is not None and isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        faults.append(f"{key} = {value!r}: expected a list of texts.")
        return ()
    for entry in value:
        if names is not None and entry not in names:
            near = difflib.get_close_matches(entry, names, 1, 0.5)
            mend = f"Did you mean `{near[0]}`? " if near else ""
            faults.append(f"{key}: there is no {entry!r}. {mend}Known: {', '.join(names)}.")
    return tuple(value)


def _across(config: Config, records: bool) -> list[str]:
    """Faults that take more than one key to see."""
    faults = []
    names = [silo.name for silo in config.silos]
    if not _is_name(config.name):
        faults.append(f"name = {config.name!r}: must consist of letters, digits, - and _.")
    for name in sorted({n for n in names if names.count(n) > 1}):
        faults.append(f"silos: the name {name!r} stands twice; give every silo its own.")
    for name in names:
        if not _is_name(name):
            faults.append(f"silos: the name {name!r} must consist of letters, digits, - and _.")
    if not config.path(config.data.schema).is_file():
        faults.append(f"data.schema: {config.path(config.data.schema)} is missing; name a schema.")
    faults += _missing_files(config, records)
    if config.device not in ("auto", "cpu", "cuda"):
        faults.append(f"device = {config.device!r}: allowed is auto | cpu | cuda.")
    try:
        aways(config.participation.away, names)
    except ConfigError as fault:
        faults.append(str(fault))
    privacy, train = config.privacy, config.train
    if privacy.overlap > len(names):
        faults.append(f"privacy.overlap = {privacy.overlap}: there are only {len(names)} silos.")
    shares = privacy.counts_share + privacy.moments_share
    if config.network.kind != "none" and shares >= 1.0:
        faults.append(
            f"privacy: counts_share + moments_share = {shares:g} leaves nothing for DP-SGD; "
            "keep their sum below 1, or set network.kind = 'none'."
        )
    if train.method == "dp-sgd" and privacy.adjacency == "replace":
        faults.append(
            "privacy.adjacency = 'replace': Poisson-sampled DP-SGD is accounted under "
            "add-or-remove and zero-out only; use one of those, or train.method = 'ensemble'."
        )
    if train.method == "ensemble" and config.weights.source == "counts":
        faults.append(
            "weights.source = 'counts': an ensemble's whole record-level budget pays for answers; "
            "set weights.source = 'public'."
        )
    faults += _combination(config)
    faults += _origin(config)
    for name, sampler in (("sampler", config.sampler), ("best", config.best)):
        if sampler.step == "anchored" and sampler.energy not in ("path", "uniform"):
            faults.append(
                f"{name}.energy = {sampler.energy!r}: an anchored sample asks one silo only, so "
                "there is nothing to compare; use energy = 'path', or step = 'blend' or 'mix'."
            )
        faults += _steps(name, sampler)
    return faults


def _steps(name: str, sampler: SamplerSettings) -> list[str]:
    """Faults of reverse-diffusion steps that do not go with how silos are mixed."""
    if sampler.kernel != "ancestral":
        return []
    faults = []
    if sampler.order == 2 and sampler.step == "mix":
        faults.append(
            f"{name}.order = 2 with step = 'mix': the answer before came from another silo, so "
            "there is nothing to extrapolate; set order = 1, or step = 'blend' or 'anchored'."
        )
    if sampler.eta == 0.0 and sampler.energy == "path" and sampler.step != "anchored":
        faults.append(
            f"{name}.eta = 0 with energy = 'path': steps without noise tell nothing about which "
            "silo a row follows, so weights would stay at their prior; set eta above 0, or "
            "energy = 'uniform'."
        )
    return faults


def _combination(config: Config) -> list[str]:
    """Faults of a base that all silos make together."""
    base, faults = config.base, []
    if base.combine == "pool" and base.clusters > 1:
        faults.append(
            f"base.clusters = {base.clusters}: cells lie about one mean, and pooled silos have "
            "their own; set base.combine = 'sum' or 'none', or base.clusters = 1."
        )
    private = config.train.method == "dp-sgd" and config.network.kind != "none"
    if config.pretrain.steps and not (private and base.combine == "sum"):
        faults.append(
            f"pretrain.steps = {config.pretrain.steps}: silos start DP-SGD from a network that "
            "samples of one released base train; set base.combine = 'sum', train.method = "
            "'dp-sgd' and a network.kind, or pretrain.steps = 0."
        )
    if base.combine != "none" and config.train.method == "ensemble":
        faults.append(
            f"base.combine = {base.combine!r}: an ensemble's whole budget pays for answers, so its "
            "silos release no sums; set base.combine = 'none'."
        )
    if base.combine != "none" and config.weights.source != "counts":
        faults.append(
            f"base.combine = {base.combine!r}: the server needs to see which silo has how many "
            "records of a label; set weights.source = 'counts', or base.combine = 'none'."
        )
    if base.marginals_share and (
        config.train.method == "ensemble" or config.weights.source != "counts"
    ):
        faults.append(
            f"base.marginals_share = {base.marginals_share:g}: histograms of all silos are those "
            "of rows drawn by released counts; set weights.source = 'counts' and a train.method "
            "that has them, or base.marginals_share = 0."
        )
    if base.clusters > 1 and (base.label_share == 0.0 or base.residual_radius == 0.0):
        faults.append(
            f"base.clusters = {base.clusters}: cells lie about a label's mean in directions of its "
            "own; set base.label_share and base.residual_radius above 0, or base.clusters = 1."
        )
    return faults


def _origin(config: Config) -> list[str]:
    """Faults of the mean of all records, which is asked for before labels' means."""
    base, faults = config.base, []
    if base.origin_share and not (base.residual_radius and base.origin_radius):
        faults.append(
            f"base.origin_share = {base.origin_share:g}: labels' sums are asked for about the mean "
            "of all records, within a radius, and second moments after them; set "
            "base.origin_radius and base.residual_radius above 0, or base.origin_share = 0."
        )
    if base.origin_radius and not base.origin_share:
        faults.append(
            f"base.origin_radius = {base.origin_radius:g}: labels' sums are about the mean of all "
            "records only where a share of the budget finds it; set base.origin_share above 0, or "
            "base.origin_radius = 0."
        )
    if base.origin_share + base.means_share >= 1.0:
        faults.append(
            f"base.origin_share + base.means_share = {base.origin_share + base.means_share:g}: "
            "nothing is left for second moments; choose shares that add up to less than 1."
        )
    return faults


def _missing_files(config: Config, records: bool) -> list[str]:
    """Name every file of records that is not there, and silos that do not fit the partition."""
    wanted = {f"silos.{silo.name}": silo.path for silo in config.silos}
    partition, faults = config.partition, []
    if partition is not None:
        wanted = {"data.path": config.data.path}
        count = len(partition.names) if partition.kind == "column" else partition.silos
        if count != len(config.silos):
            faults.append(
                f"partition: divides over {count} silos, {len(config.silos)} [[silos]] are named; "
                "name as many, or none."
            )
        if partition.kind == "column" and not partition.column:
            faults.append("partition.column: kind = 'column' needs the name of a column.")
    elif config.data.path:
        faults.append(
            "data.path: one file for all silos needs a [partition], or give each silo its path."
        )
    if config.data.test:
        wanted["data.test"] = config.data.test
    for key, relative in wanted.items() if records else ():
        path = config.records_path(relative)
        if not path.is_file():
            faults.append(f"{key}: {path} is missing; mend its path (or data.folder).")
    return faults


def _is_name(name: str) -> bool:
    """Whether a name can stand in a path without moving it."""
    return name.replace("-", "").replace("_", "").isalnum()


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's; DEL is the one control character that only TOML refuses.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
