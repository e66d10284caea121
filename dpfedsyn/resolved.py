"""A resolved configuration as text, as a digest, and with its files elsewhere."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from dpfedsyn.publication import UNSAID
from dpfedsyn.round_settings import ParticipationSettings
from dpfedsyn.settings import Config, EvaluateSettings, SiloSettings


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
    with a smaller one. So are the words of the statement, which may be found after the rows.
    """
    return dataclasses.replace(config, participation=ParticipationSettings(), statement=UNSAID)


def with_places(
    config: Config, silo: str, records: Path | None = None, model: Path | None = None
) -> Config:
    """Return the configuration with one silo's files elsewhere: on this silo's machine.

    A model is named for a silo that brings one; that it does is agreed between all sides.
    """
    named = {"path": records, "model": model}
    here: dict[str, Any] = {
        key: str(path.absolute()) for key, path in named.items() if path is not None
    }
    silos = [dataclasses.replace(s, **here) if s.name == silo else s for s in config.silos]
    return dataclasses.replace(config, silos=tuple(silos))


def agreed(config: Config, schema: str) -> str:
    """Return the digest of what server and silos must have alike.

    That is everything but where files lie and what only one side does: participation, evaluation,
    devices, anchors, the words of the statement.

    Args:
        schema: digest of the public schema.
    """
    silos = tuple(_alike(config, silo) for silo in config.silos)
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


def _alike(config: Config, silo: SiloSettings) -> SiloSettings:
    """What all sides know of a silo: that it brings a model, and what is claimed of it."""
    claim = hashlib.sha256(config.path(silo.claim).read_bytes()).hexdigest() if silo.claim else ""
    model = "brought" if silo.brings else ""
    return dataclasses.replace(silo, path="", model=model, claim=claim)


def absolute(config: Config) -> Config:
    """Return the configuration with absolute paths, so that it can be read from anywhere."""

    def full(relative: str) -> str:
        return str(config.records_path(relative)) if relative else ""

    def beside(relative: str) -> str:
        return str(config.path(str(Path(relative).expanduser()))) if relative else ""

    silos = tuple(
        dataclasses.replace(s, path=full(s.path), model=beside(s.model), claim=beside(s.claim))
        for s in config.silos
    )
    data = dataclasses.replace(
        config.data,
        schema=str(config.path(config.data.schema)),
        folder="",
        path=full(config.data.path),
        test=full(config.data.test),
    )
    privacy = dataclasses.replace(config.privacy, anchors=beside(config.privacy.anchors))
    return dataclasses.replace(config, silos=silos, data=data, privacy=privacy)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, str):
        # JSON's escapes are TOML's; DEL is the one control character that only TOML refuses.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
