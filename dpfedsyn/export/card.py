"""README.md of a data set, with the fields that data hubs read at its top."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dpfedsyn.export.files import DataFile
from dpfedsyn.marking import MARK, caption, named, plain
from dpfedsyn.report import success, wording
from dpfedsyn.report.finished import FinishedRun
from dpfedsyn.settings import Config

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def text(
    run: FinishedRun, config: Config, files: Sequence[DataFile], title: str, licence: str
) -> str:
    """Return the card: what the data are, what is promised, what is not."""
    front = _front(run, config, files, title, licence)
    return "\n".join([*front, *_body(run, config, files, title)])


def _front(
    run: FinishedRun, config: Config, files: Sequence[DataFile], title: str, licence: str
) -> list[str]:
    private = run.statement["private"]
    tags = ["synthetic", "differential-privacy" if private else "not-private", "dpfedsyn"]
    rows = sum(file["rows"] for file in run.statement["release"]["files"])
    size = next((name for most, name in SIZES if rows < most), "1M<n<10M")
    lines = ["---", f"pretty_name: {json.dumps(caption(title, private=private))}"]
    lines += [f"license: {licence}"] if licence else []
    lines += ["tags:", *(f"- {tag}" for tag in tags), "size_categories:", f"- {size}"]
    lines += ["configs:"]
    for file in files:
        name = "default" if file is files[0] else file.name.partition(".")[0]
        lines += [f"- config_name: {name}", f"  data_files: {json.dumps(file.name)}"]
    return [*lines, "---", ""]


def _body(run: FinishedRun, config: Config, files: Sequence[DataFile], title: str) -> list[str]:
    statement, silos = run.statement, run.statement["silos"]
    lines = [f"# {caption(wording.plain(title), private=run.private)}", ""]
    if not statement["private"]:
        lines += [
            f"**{MARK}.** These rows were made without differential privacy: "
            f"{wording.plain(statement['void'])} Treat them like the records themselves.",
            "",
        ]
    lines += [
        f"Synthetic rows, drawn from the mixture of {len(silos)} silos by "
        f"dpfedsyn {statement['software']['dpfedsyn']}. No row was copied from a record. The "
        f"run is {run.status}{f' ({wording.plain(run.reason)})' if run.reason else ''}.",
        "",
        "## What is promised",
        "",
    ]
    for silo in silos:
        claim = wording.claim(silo["epsilon"], wording.terms(silo), silo.get("reason"))
        name, risk = wording.plain(silo["name"]), silo.get("risk")
        odds = f" {success.sentences(risk, wording.terms(silo))[1]}" if risk else ""
        behind = wording.behind(silo.get("brought"))
        lines.append(f"- **{name}**: {claim}{behind}.{odds}")
    across = statement.get("across_silos")
    if across:
        whole = wording.claim(across, wording.terms(across))
        lines += ["", f"Somebody in several silos ({statement['overlap']} at most): {whole}."]
    lines += ["", "## What is not", ""]
    lines += [f"- {wording.plain(entry)}" for entry in statement["unprotected"]]
    lines += [f"- {wording.plain(entry)}" for entry in statement["caveats"]]
    lines += ["", "## Files", ""]
    made = {plain(file["name"]): file for file in statement["release"]["files"]}
    noise = {f"more-{one['number']}": one for one in statement["top_ups"]}
    for file in files:
        one = made[plain(file.name)]
        lines.append(
            f"- `{file.name}`: {one['rows']:,} rows{_made(one, noise)}, SHA-256 `{file.sha256}`"
        )
    names = ("statement.json", "croissant.json", "registry.yaml", "statement.sig.json")
    private = run.private
    claim, metadata, record, signed = (named(name, private=private) for name in names)
    lines += [f"- `{claim}`: the claim, for machines; `{metadata}`: the metadata"]
    if private:
        lines += [f"- `{record}`: a draft for the public registry of deployments"]
    lines += [
        f"- `{signed}`, where it was signed: `dpfedsyn statement verify` checks it",
        "",
    ]
    return lines


def _made(file: Mapping[str, Any], top_ups: Mapping[str, Any]) -> str:
    """How a file of rows came to be, where there are several ways in one run."""
    more = top_ups.get(file["made_by"])
    if more is None:
        return f" by preset {file['made_by']}"
    noise = "" if more["noise"] == 1.0 else f", with {more['noise']:g} times the run's noise"
    status = "" if more["status"] == "complete" else f", {more['status']}"
    return f" asked for after the run, by preset {more['preset']}{noise}{status}"
