"""What server and sites of this machine are provisioned with, and what is closed in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROJECT, ORGANISATION, ADMIN = "dpfedsyn", "dpfedsyn", "admin@localhost.org"
HOST = "127.0.0.1"

RIGHTS = {
    "submit_job": "any",
    "clone_job": "none",
    "manage_job": "any",
    "download_job": "any",
    "view": "any",
    "operate": "any",
    "shell_commands": "none",
    "byoc": "none",
}
"""What the administrator may do at server and sites: no code of theirs runs there, no shell."""


def project(sites: list[str], port: int) -> dict[str, Any]:
    """Return NVFlare's project: one server, one administrator, these sites."""
    builders = "nvflare.lighter.impl"
    templates = {"template_file": ["master_template.yml"]}
    server: dict[str, Any] = {
        "name": "server",
        "type": "server",
        "fed_learn_port": port,
        "default_host": HOST,
    }
    admin = {"name": ADMIN, "type": "admin", "role": "project_admin"}
    clients = [{"name": site, "type": "client"} for site in sites]
    participants: list[dict[str, Any]] = [server, admin, *clients]
    return {
        "api_version": 3,
        "name": PROJECT,
        "participants": [{**p, "org": ORGANISATION} for p in participants],
        "builders": [
            {"path": f"{builders}.workspace.WorkspaceBuilder", "args": templates},
            {"path": f"{builders}.static_file.StaticFileBuilder", "args": {}},
            {"path": f"{builders}.cert.CertBuilder"},
            {"path": f"{builders}.signature.SignatureBuilder"},
        ],
    }


def listen_on_loopback(kit: Path, port: int) -> None:
    """Let the server of this kit listen on the loopback interface only."""
    path = kit / "startup" / "fed_server.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for server in content["servers"]:
        server["service"]["target"] = f"{HOST}:{port}"  # provisioned, it is every interface
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def harden(kit: Path, classes: tuple[str, ...]) -> None:
    """Let jobs build these classes only, nobody bring code, and no site's log leave it."""
    local = kit / "local"
    resources = local / "resources.json"
    source = resources if resources.exists() else local / "resources.json.default"
    content = json.loads(source.read_text(encoding="utf-8"))
    content |= {"class_allow_list": list(classes), "class_list_enforcement_mode": "enforce"}
    content["allow_log_streaming"] = False  # else a job's error log is sent to the server
    resources.write_text(json.dumps(content, indent=2), encoding="utf-8")
    rights = {"format_version": "1.0", "permissions": {"project_admin": RIGHTS}}
    (local / "authorization.json").write_text(json.dumps(rights, indent=2), encoding="utf-8")
