"""registry.yaml: a record for the public registry of deployments, from the statement alone.

The fields and their values are those of the Differential Privacy Deployments Registry (OpenDP; its
schema after Ghazi, Nanayakkara & Vadhan 2025, arXiv:2509.13509), in its order. The record is a
draft: its owners file it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from dpfedsyn.publication import NOT_STATED
from dpfedsyn.report import wording
from dpfedsyn.statement.hazards.answer import claimed, largest, worst

Told = Mapping[str, Any]
# What stands where the registry takes no "not stated"; each is named in the record as such.
PLACEHOLDERS = {"curator_type": "Industry", "published": "1900-01-01"}
WANTED = ("title", "curator", "curator_type", "description", "intended_use", "region", "published")


def record(told: Told) -> dict[str, Any] | None:
    """Return the record as plain values; None where nothing is claimed, so nothing is filed.

    Args:
        told: statement.json.
    """
    if not claimed(told):
        return None
    said = {key: wording.plain(value) for key, value in told["publication"].items()}
    told = {**told, "publication": said}
    return {
        "url_slug": _slug(told),
        "deployment": {
            "basic": _basic(told),
            "dp_variant": _variant(told),
            "privacy_loss": _loss(told),
            "deployment_model": _model(told),
            "implementation": _implementation(told),
            "administrative": {
                "status": "Draft",
                "registry_authors": [told["publication"]["author"]],
                "tier": 3,
            },
        },
    }


def missing(told: Told) -> list[str]:
    """Return what the registry wants and the owners have not said, by its key in [statement]."""
    return [key for key in WANTED if told["publication"][key] == NOT_STATED]


def text(filed: Mapping[str, Any], unsaid: Iterable[str] = ()) -> str:
    """Return a record as YAML, with what is left to fill in on top.

    Args:
        unsaid: keys of [statement] that nobody has filled in.
    """
    lines = [
        "# A draft for the Differential Privacy Deployments Registry, made from statement.json.",
        *(f"# To fill in before it is filed: statement.{key}" for key in unsaid),
    ]
    body = yaml.dump(
        dict(filed), Dumper=_Blocks, sort_keys=False, allow_unicode=True, width=100
    )  # fmt: skip
    return "\n".join(lines) + "\n" + str(body)


class _Blocks(yaml.SafeDumper):
    """Texts of several lines as blocks, which people can read."""


def _block(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Blocks.add_representer(str, _block)


def _slug(told: Told) -> str:
    said = told["publication"]
    parts = [_title(told), said["curator"], said["published"][:4]]
    words = " ".join(part for part in parts if part not in (NOT_STATED, NOT_STATED[:4])).lower()
    return re.sub(r"[^a-z0-9]+", "-", words).strip("-") or "dpfedsyn-run"


def _title(told: Told) -> str:
    title = str(told["publication"]["title"])
    return str(told["run"]) if title == NOT_STATED else title


def _basic(told: Told) -> dict[str, Any]:
    said = {**told["publication"]}
    for key, placeholder in PLACEHOLDERS.items():
        said[key] = placeholder if said[key] == NOT_STATED else said[key]
    sector = {} if said["sector"] == NOT_STATED else {"data_product_sector": said["sector"]}
    curator = {"data_curator_name": said["curator"], "data_curator_type": said["curator_type"]}
    return {
        "name": _title(told),
        "data_curators": [curator],
        "description": said["description"],
        "intended_use": said["intended_use"],
        "data_product_type": "Synthetic data",
        "data_product_region": said["region"],
        **sector,
        "publication_date": said["published"],
    }


def _variant(told: Told) -> dict[str, Any]:
    settings = told["settings"]
    kind = "Rows of a table" if settings["kind"] == "table" else "Grayscale images"
    labels = ", ".join(settings["labels"])
    return {
        "variant_name": "Approximate DP",
        "data_domain": f"{kind} within a public schema (SHA-256 {settings['schema']}), encoded in "
        f"{settings['dimension']} coordinates, with the labels {labels}; any number of them in "
        f"each of {len(told['silos'])} silos.",
        "unprotected_quantities": _bullets(told["unprotected"]),
    }


def _loss(told: Told) -> dict[str, Any]:
    silo = worst(told)
    deltas = [one["delta_with_noise"] for one in (*told["silos"], told["across_silos"])]
    people = round(sum(one["reference_size"] for one in told["silos"]))
    claims = [
        f"{one['name']}: {wording.claim(one['epsilon'], wording.terms(one))}"
        f"{wording.behind(one.get('brought'))}; without "
        f"amplification by sampling {_unsampled(one)}."
        for one in told["silos"]
    ]
    across = wording.claim(told["across_silos"], wording.terms(told["across_silos"]))
    risk = silo["risk"]
    return {
        "privacy_unit": silo["unit"],
        "privacy_unit_details": f"Neighbouring data sets: {silo['adjacency']} of one "
        f"{silo['unit']} within one silo. Somebody in up to {told['overlap']} silos: {across}.",
        "number_of_privacy_units": people,
        "privacy_parameters": {"epsilon": largest(told), "delta": max(deltas)},
        "privacy_parameters_details": _bullets(
            [
                *claims,
                "delta includes what drawn noise deviates from a Gaussian's; the number of units "
                "is a sum of public reference sizes, the true one is private.",
                f"Largest advantage of any attacker {risk['advantage']:.3f}; true-positive rate at "
                f"a false-positive rate of {risk['at_low_rate']['fpr']:g} at most "
                f"{risk['at_low_rate']['tpr']:.4f}; statement.json has the trade-off curve.",
            ]
        ),
    }


def _unsampled(silo: Told) -> str:
    plain = silo["without_amplification"]
    return "the same" if plain is None else wording.claim(plain, wording.terms(plain))


def _model(told: Told) -> dict[str, Any]:
    trust = told["trust"]
    return {
        "model_name": "Federated",
        "model_name_details": _curators(told),
        "trust_assumptions": told["implementation"]["adversary"],
        "actors": _bullets(f"{name.replace('_', ' ')}: {role}" for name, role in trust.items()),
        "release_type": "One release",
        "release_type_details": f"One run, {told['status']} after {told['rounds']['taken']} of "
        f"{told['rounds']['planned']} rounds. Another run on the same records composes with it.",
        "data_source_type": "Static",
        "data_source_type_details": "Records are read once, before the run.",
        "access_type": "Non-interactive",
        "access_type_details": "The rows are published; nobody but the run's server asks silos.",
    }


def _curators(told: Told) -> str:
    if told["settings"].get("one_process"):
        return (
            "One process was all silos and the server: whoever ran it was the curator of every "
            "silo's records."
        )
    return (
        "Each silo is the curator of its own records; a server combines noised answers and never "
        "sees a record or a model."
    )


def _implementation(told: Told) -> dict[str, Any]:
    made, software = told["implementation"], told["software"]
    versions = ", ".join(f"{name} {version}" for name, version in software.items())
    answers = sum(silo["charged"]["B"]["answers"] for silo in told["silos"])
    return {
        "preprocessing_and_hyperparameter_tuning": _bullets(
            f"{name.replace('_', ' ')}: {what}" for name, what in told["preprocessing"].items()
        ),
        "mechanisms": _bullets(
            [
                *(f"{key}: {made[key]}" for key in ("noise", "noise_deviation", "sampling")),
                f"training: {made['training']}",
                f"software: {versions}",
                "security: records, models, keys and ledgers stay in the silos; timing is not "
                "hidden",
            ]
        ),
        "composition": f"{made['accountant']}. {answers} answers were charged in all; every claim "
        "is the one at the silo's cap.",
        "post_processing": told["release"]["post_processing"],
        "justification": _bullets(
            f"{hazard['number']}. {hazard['name']} ({hazard['status']}): {hazard['answer']}"
            for hazard in told["hazards"]
        ),
        "utility": told["internal"],
        "additional_information": _further(told),
    }


def _further(told: Told) -> str:
    files = [f"{file['name']} (SHA-256 {file['sha256']})" for file in told["release"]["files"]]
    lines = [f"Files: {', '.join(files) or 'none'}.", f"Contact: {told['publication']['contact']}."]
    stand_in = [key for key in PLACEHOLDERS if told["publication"][key] == NOT_STATED]
    if stand_in:
        names = ", ".join(f"{key} ({PLACEHOLDERS[key]})" for key in stand_in)
        lines.append(f"Not stated by the owners, a placeholder stands there: {names}.")
    return _bullets([*lines, *told["caveats"]])


def _bullets(lines: Iterable[str]) -> str:
    return "".join(f"- {wording.plain(line)}\n" for line in lines)
