"""Write a Flower app: a configuration, and the names of our ServerApp and ClientApp.

Beside it, in a folder that is never shipped, what this machine's `flwr` needs to know: where the
SuperLink is, and which authority it is trusted by.
"""

from __future__ import annotations

import json
from pathlib import Path

from dpfedsyn import __version__
from dpfedsyn.config import findable
from dpfedsyn.errors import RunError
from dpfedsyn.folder import vacant

BOUNDS = "flwr>=1.41,<1.43"

_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0.0"
description = "Private synthetic data from silos that keep their records and models"
license = "Apache-2.0"
dependencies = ["dpfedsyn[flower]=={version}", "{bounds}"]

[tool.hatch.build.targets.wheel]
packages = ["."]

[tool.flwr.app]
publisher = "dpfedsyn"
fab-include = ["server_app.py", "client_app.py"]   # all that is shipped: no run, no key

[tool.flwr.app.components]
serverapp = "server_app:app"
clientapp = "client_app:app"

[tool.flwr.app.config]
config = {config}   # TOML file or example, on the server's machine
overrides = ""      # SECTION.KEY=VALUE; SECTION.KEY=VALUE
out = {out}   # run folder on the server's machine; one that holds a run is resumed
keys = {keys}   # folder of SuperNodes' public keys, SILO.pub; "": whoever says so is the silo
wait = 300.0        # seconds for a SuperNode of every silo to be connected
metrics = 0         # port of the server's loopback that serves metrics (Prometheus); 0: none
"""
_SERVER = '''\
"""The server's part of a run: it holds no records and no models."""

from dpfedsyn.flower.server import app

__all__ = ["app"]
'''
_CLIENT = '''\
"""Forwards bytes to the silo of this machine (`dpfedsyn silo serve`), and does nothing else."""

from dpfedsyn.flower.client import app

__all__ = ["app"]
'''


def require_new(folder: Path) -> None:
    """Refuse a folder in which something lies; `RunError`."""
    if not vacant(folder):
        raise RunError(f"{folder}: is not empty, so no app was written. Name a new folder.")


def write(folder: Path, config: str, out: Path, keys: Path | None = None) -> list[Path]:
    """Write the app's files, and return them.

    Args:
        config: of the run; a file by its absolute path, since Flower starts the app elsewhere.
        out: the run's folder on the server's machine. keys: folder there of the public keys of the
            silos' SuperNodes; None: whoever says that it stands for a silo does.

    Raises:
        RunError: the folder is in use.
    """
    require_new(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pyproject = _PYPROJECT.format(
        name=_name(folder),
        version=__version__,
        bounds=BOUNDS,
        config=json.dumps(findable(config)),
        out=json.dumps(str(out.absolute())),
        keys=json.dumps("" if keys is None else str(keys.absolute())),
    )
    files = {"pyproject.toml": pyproject, "server_app.py": _SERVER, "client_app.py": _CLIENT}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def connect(home: Path, address: str, authority: Path | None) -> Path:
    """Write where the SuperLink is, for a `flwr` whose $FLWR_HOME is `home`.

    Args:
        address: HOST:PORT. authority: certificate that the SuperLink's is issued by; None: it is
            reached without TLS.
    """
    trust = (
        "insecure = true"
        if authority is None
        else f"root-certificates = {json.dumps(str(authority.absolute()))}"
    )
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / "config.toml"
    path.write_text(
        f'[superlink]\ndefault = "local"\n\n[superlink.local]\naddress = {json.dumps(address)}\n'
        f"{trust}\n",
        encoding="utf-8",
    )
    return path


def _name(folder: Path) -> str:
    """A distribution's name made of the folder's."""
    letters = "".join(c if c.isalnum() else "-" for c in folder.absolute().name.lower())
    return letters.strip("-") or "dpfedsyn-app"
