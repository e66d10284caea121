"""What takes more than one key of a configuration to see: settings that do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dpfedsyn import brought_settings, publication
from dpfedsyn.absences import aways
from dpfedsyn.errors import ConfigError
from dpfedsyn.round_settings import SamplerSettings
from dpfedsyn.settings import Config


def faults_of(config: Config, records: bool) -> list[str]:
    """Return what does not go together, and files that are missing.

    Args:
        records: whether the files of records have to be there.
    """
    faults = []
    names = [silo.name for silo in config.silos]
    if not is_name(config.name):
        faults.append(f"name = {config.name!r}: must consist of letters, digits, - and _.")
    for name in sorted({n for n in names if names.count(n) > 1}):
        faults.append(f"silos: the name {name!r} stands twice; give every silo its own.")
    folded = [name.casefold() for name in dict.fromkeys(names)]
    for name in sorted({n for n in folded if folded.count(n) > 1}):
        faults.append(
            f"silos: names that differ in capitals alone ({name!r}) are one folder on some disks; "
            "give every silo its own."
        )
    for name in names:
        if not is_name(name):
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
    if privacy.anchors and config.path(str(Path(privacy.anchors).expanduser())).is_file():
        faults.append(f"privacy.anchors = {privacy.anchors!r}: is a file; name a folder.")
    if privacy.overlap > len(names):
        faults.append(f"privacy.overlap = {privacy.overlap}: there are only {len(names)} silos.")
    shares = privacy.counts_share + privacy.moments_share
    if config.network.kind != "none" and shares >= 1.0:
        faults.append(
            f"privacy: counts_share + moments_share = {shares:g} leaves nothing for DP-SGD; "
            "keep their sum below 1, or set network.kind = 'none'."
        )
    trains = any(silo.trains for silo in config.silos)
    if trains and train.method == "dp-sgd" and privacy.adjacency == "replace":
        faults.append(
            "privacy.adjacency = 'replace': Poisson-sampled DP-SGD is accounted under "
            "add-or-remove and zero-out only; use one of those, or train.method = 'ensemble'."
        )
    if train.method == "ensemble" and config.weights.source == "counts":
        faults.append(
            "weights.source = 'counts': an ensemble's whole record-level budget pays for answers; "
            "set weights.source = 'public'."
        )
    faults += brought_settings.faults(config, records)
    faults += publication.faults(config.statement)
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
    wanted = {f"silos.{silo.name}": silo.path for silo in config.silos if silo.path}
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
    places = {key: config.records_path(relative) for key, relative in wanted.items()}
    for key, path in places.items() if records else ():
        if not wanted[key]:
            faults.append(f"{key}: names no file of records; give it a path.")
        elif not path.exists():
            faults.append(f"{key}: {path} is missing; mend its path (or data.folder).")
    return faults + (_same_files(places) if records and not faults else [])


def _same_files(places: Mapping[str, Path]) -> list[str]:
    """Faults of records that stand in two places, under one path or by a link.

    A record in two silos is answered for twice, while the claim counts every silo by itself.
    """
    faults, seen = [], dict[tuple[int, int], str]()
    for key, path in places.items():
        status = path.stat()
        file = (status.st_dev, status.st_ino)
        if file in seen:
            faults.append(
                f"{key}: {path} is the file of {seen[file]} too, so its records would be used "
                "twice while the claim counts them once; give each a file of its own."
            )
        seen.setdefault(file, key)
    return faults


def is_name(name: str) -> bool:
    """Whether a name can stand in a path without moving it."""
    return name.replace("-", "").replace("_", "").isalnum()
