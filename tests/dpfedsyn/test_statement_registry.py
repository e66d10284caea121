"""registry.yaml: it validates against the registry's schema, and follows from the statement."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.folder import RunFolder
from dpfedsyn.statement import keep, registry
from tests.dpfedsyn import statements

HERE = Path(__file__).parent / "registry"
SCHEMA: dict[str, Any] = json.loads((HERE / "deployments.schema.json").read_text(encoding="utf-8"))
CLAIMING = [kind for kind in statements.KINDS if not kind.startswith("void")]


def faults(record: Any) -> list[str]:
    """What the registry would find wrong with a record."""
    validator = jsonschema.Draft7Validator(
        SCHEMA, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER
    )
    return [error.message for error in validator.iter_errors(record)]


def record(kind: str) -> dict[str, Any]:
    """The record of a statement that claims something."""
    made = registry.record(statements.of(kind))
    assert made is not None
    return made


def paths(node: Any, path: str = "") -> list[str]:
    """Every key of nested objects in order."""
    if not isinstance(node, dict):
        return [path]
    return [leaf for key, value in node.items() for leaf in paths(value, f"{path}/{key}")]


def wanted(node: dict[str, Any], path: str = "") -> list[str]:
    """Every property of the schema in order."""
    below = node.get("properties")
    if below is None:
        return [path]
    return [leaf for key, value in below.items() for leaf in wanted(value, f"{path}/{key}")]


@pytest.mark.parametrize("kind", CLAIMING)
def test_the_record_validates(kind: str) -> None:
    """Whatever the run and whatever its owners have said, as values and as YAML read again."""
    made = record(kind)
    assert faults(made) == []
    text = registry.text(made, registry.missing(statements.of(kind)))
    assert yaml.safe_load(text) == made


def test_the_schema_finds_what_it_is_for() -> None:
    """A surplus field, a missing one, a wrong value, a day that is none: each is a fault."""
    for change in (
        lambda d: d.update(surprise=1),
        lambda d: d["basic"].pop("name"),
        lambda d: d["basic"].update(data_product_type="Surprise"),
        lambda d: d["basic"].update(publication_date="1/1/2026"),
        lambda d: d["basic"].update(data_curators=[]),
        lambda d: d["privacy_loss"]["privacy_parameters"].update(epsilon="small"),
        lambda d: d["administrative"].update(tier=0),
    ):
        made = copy.deepcopy(record("complete"))
        change(made["deployment"])
        assert faults(made)


def test_fields_stand_in_the_registry_s_order() -> None:
    """Its pages rely on that."""
    order = wanted(SCHEMA)
    places = [order.index(path) for path in paths(record("complete"))]
    assert places == sorted(places)


@pytest.mark.parametrize("kind", CLAIMING)
def test_its_parameters_are_the_largest_that_are_claimed(kind: str) -> None:
    """Epsilon across silos or of the worst silo, delta with what drawn noise deviates."""
    told, made = statements.of(kind), record(kind)["deployment"]
    loss = made["privacy_loss"]
    uppers = [silo["epsilon"]["upper"] for silo in told["silos"]]
    assert loss["privacy_parameters"]["epsilon"] == max([*uppers, told["across_silos"]["upper"]])
    assert loss["privacy_parameters"]["delta"] >= told["silos"][0]["delta"]
    assert loss["privacy_unit"] == told["silos"][0]["unit"]
    assert loss["number_of_privacy_units"] == 580
    assert made["deployment_model"]["model_name"] == "Federated"
    assert made["basic"]["data_product_type"] == "Synthetic data"
    for silo in told["silos"]:
        assert f"{silo['name']}: epsilon <= " in loss["privacy_parameters_details"]
    for hazard in told["hazards"]:
        assert hazard["answer"] in made["implementation"]["justification"]


@pytest.mark.parametrize("kind", [kind for kind in statements.KINDS if kind.startswith("void")])
def test_nothing_is_filed_where_nothing_is_claimed(kind: str, tmp_path: Path) -> None:
    """A void run has no record, as value or as file."""
    assert registry.record(statements.of(kind)) is None
    keep(RunFolder(tmp_path), statements.of(kind))
    assert [path.name for path in tmp_path.iterdir()] == ["statement.json"]


def test_what_owners_have_not_said_is_named() -> None:
    """On top of the file, and in the record where a placeholder had to stand."""
    told = statements.of("not heard")
    text = registry.text(record("not heard"), registry.missing(told))
    for key in ("curator", "curator_type", "published"):
        assert f"# To fill in before it is filed: statement.{key}\n" in text
    further = record("not heard")["deployment"]["implementation"]["additional_information"]
    assert "a placeholder stands there: curator_type (Industry), published (1900-01-01)" in further
    assert registry.missing(statements.of("complete")) == []
    further = record("complete")["deployment"]["implementation"]["additional_information"]
    assert "placeholder" not in further
    curators = record("complete")["deployment"]["basic"]["data_curators"]
    assert curators == [
        {"data_curator_name": "Clinics, together", "data_curator_type": "Nonprofit"}
    ]


@given(text=st.text(min_size=1).filter(str.strip))
def test_any_words_of_the_owners_can_be_filed(text: str) -> None:
    """Quotes, colons, line ends, control characters: the YAML is read again as it was meant."""
    told = statements.of("complete")
    told["publication"].update(title=text, description=text, curator=text)
    made = registry.record(told)
    assert made is not None
    assert faults(made) == []
    assert yaml.safe_load(registry.text(made)) == made
    assert made["url_slug"]
