"""Settings of models that silos bring: what of them does not go together, or with the rest."""

from __future__ import annotations

from dpfedsyn import publication
from dpfedsyn.settings import CLAIMED, NOT_PRIVATE, TUNED, Config, SiloSettings


def faults(config: Config, records: bool) -> list[str]:
    """Return what does not go together.

    Args:
        records: whether models have to be there, as files of records do.
    """
    found = [fault for silo in config.silos for fault in _brought(config, silo, records)]
    if config.bringing:
        found += _beside_brought(config)
    if records:
        found += _one_model_of_several(config)
    return found


def _brought(config: Config, silo: SiloSettings, records: bool) -> list[str]:
    """Faults of what a silo says of a model that it brings, or that it has none and no records."""
    where, faults = f"silos.{silo.name}", []
    if not silo.brings:
        if not config.has_records(silo):
            faults.append(
                f"{where}: `path` is missing, and there is no `model`: it has nothing to answer "
                "with; give it records, or a model."
            )
        if silo.training != NOT_PRIVATE or any(
            (silo.claim, silo.claim_key, silo.provenance, silo.parameters)
        ):
            faults.append(
                f"{where}: `training`, `claim`, `claim_key`, `provenance` and `parameters` are of "
                "a model that it brings, and `model` is empty; name one, or leave them out."
            )
        return faults
    if silo.tunes != bool(silo.provenance.strip()) or silo.tunes != bool(silo.parameters):
        faults.append(
            f'{where}: training = "{silo.training}" with provenance = {silo.provenance!r} and '
            f'parameters = {silo.parameters}: "{TUNED}" needs to know whose public records the '
            "first weights were trained on, and how many they are; nothing else has them. Weights "
            "from private records cost what they cost there, and cannot be the start here."
        )
    if silo.provenance and (fault := publication.line_fault(silo.provenance)):
        faults.append(
            f"{where}.provenance: {fault}; the statement prints it as it stands, so say it in one "
            "line."
        )
    if silo.tunes and not config.has_records(silo):
        faults.append(f'{where}: training = "{TUNED}" needs records; give it a path.')
    claimed = silo.training == CLAIMED
    if claimed != bool(silo.claim) or claimed != bool(silo.claim_key):
        faults.append(
            f'{where}: training = "{silo.training}" with claim = {silo.claim!r} and claim_key = '
            f'{silo.claim_key!r}: "{CLAIMED}" needs both, the others neither.'
        )
    if silo.claim and not config.path(silo.claim).is_file():
        faults.append(f"{where}.claim: {config.path(silo.claim)} is missing; name its file.")
    if records and not config.path(silo.model).exists():
        faults.append(f"{where}.model: {config.path(silo.model)} is missing; mend its path.")
    if config.weights.source == "counts" and not config.has_records(silo):
        faults.append(
            f"weights.source = 'counts': {silo.name} brings a model and no records to count; give "
            "it a path, or set weights.source = 'public' and silos.weight."
        )
    return faults


def _beside_brought(config: Config) -> list[str]:
    """Faults of settings that need every silo to train here."""
    names, faults = ", ".join(silo.name for silo in config.bringing), []
    needing: tuple[tuple[str, object, object], ...] = (
        ("train.method", config.train.method, "dp-sgd"),
        ("base.combine", config.base.combine, "none"),
        ("base.marginals_share", config.base.marginals_share, 0.0),
        ("evaluate.baselines", list(config.evaluate.trained), []),
    )
    for key, value, wanted in needing:
        if value != wanted:
            faults.append(
                f"{key} = {value!r}: {names} brings a model and trains nothing here, which that "
                f"needs of every silo; set {key} = {wanted!r}, or bring no model."
            )
    return faults


def _one_model_of_several(config: Config) -> list[str]:
    """Faults of models that several silos bring: each answers for the same training records.

    Paths are compared where they lie here; a server of silos elsewhere has no models to compare.
    """
    models: dict[object, list[str]] = {}
    for silo in config.bringing:
        path = config.path(silo.model)
        if path.exists() and not silo.tunes:
            status = path.stat()
            models.setdefault((status.st_dev, status.st_ino), []).append(silo.name)
    overlap, unit = config.privacy.overlap, config.privacy.unit
    return [
        f"privacy.overlap = {overlap}: {', '.join(names)} bring one model, so each {unit} behind "
        f"it is exposed {len(names)} times, which the claim across silos would count {overlap} "
        f"times; set privacy.overlap = {len(names)} or more, or bring a model each."
        for names in models.values()
        if len(names) > overlap
    ]
