"""The documented fields of a statement: each is there whatever the run, and no other is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dpfedsyn
from tests.dpfedsyn import statements

FIELDS = Path(dpfedsyn.__file__).parent / "statement" / "FIELDS.md"
CLAIMS = ("epsilon", "delta_with_noise", "risk", "without_amplification", "guarantees")


def documented() -> dict[str, bool]:
    """Every field of the table, and whether it is always there."""
    rows = re.findall(
        r"^\| `([^`]+)` \| (.*) \|$", FIELDS.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {name: not text.startswith("*if*") for name, text in rows}


def found(told: Any, path: str) -> Iterator[Any]:
    """Yield what a path leads to; nothing where a part of it is absent."""
    head, _, rest = path.partition(".")
    name, each = head.removesuffix("[]"), head.endswith("[]")
    if told is None:
        yield None
        return
    if name not in told:
        return
    inner = told[name] if each else [told[name]]
    for value in inner:
        yield from found(value, rest) if rest else [value]


@pytest.mark.parametrize("kind", statements.KINDS)
def test_every_documented_field_is_there(kind: str) -> None:
    """In every silo, for complete, partial and void runs, and where silos left."""
    told = statements.of(kind)
    assert len(documented()) > 60
    for field, always in documented().items():
        wanted = always or (field == "silos[].last_heard" and kind == "not heard")
        if field == "marking":  # the folder of a void run adds it
            continue
        values = list(found(told, field))
        assert bool(values) == wanted, field
        if wanted and field.startswith("silos[]."):
            assert len(values) >= len(told["silos"]), field


@pytest.mark.parametrize("kind", statements.KINDS)
def test_no_field_is_undocumented(kind: str) -> None:
    """At the top and in every silo, and in what the table takes apart."""
    told, known = statements.of(kind), set(documented())
    assert set(told) <= {name.partition(".")[0].removesuffix("[]") for name in known}
    for silo in told["silos"]:
        assert {f"silos[].{key}" for key in silo} <= {
            ".".join(name.split(".")[:2]).removesuffix("[]") for name in known
        }
    for part in ("publication", "release", "preprocessing"):
        assert {f"{part}.{key}" for key in told[part]} <= known
    for hazard in told["hazards"]:
        assert {f"hazards[].{key}" for key in hazard} <= known


@pytest.mark.parametrize("kind", [kind for kind in statements.KINDS if kind.startswith("void")])
def test_a_void_run_claims_nothing_in_any_field(kind: str) -> None:
    """Guarantee of dpfedsyn.statement.making.make: Every claimed epsilon is the one at the ledger's
    cap ... With a noise seed there is no claim at all: null in every field of a claim."""
    told = statements.of(kind)
    assert told["private"] is False
    assert "NOT private" in told["void"]
    assert told["across_silos"] is None
    for silo in told["silos"]:
        assert [silo[key] for key in CLAIMS] == [None] * len(CLAIMS)
        assert silo["budget"]["epsilon_cap"] is silo["budget"]["epsilon_spent"] is None
    assert told["release"]["seed_disclosed"] is (kind == "void by its seed")


def test_budgets_add_up_and_stay_below_their_caps() -> None:
    """Cap = spent + remaining, in what adds up; epsilon spent never above epsilon at the cap."""
    for silo in statements.of("complete")["silos"]:
        left = silo["budget"]["answers_mu2"]
        assert left["cap"] == pytest.approx(left["spent"] + left["remaining"])
        assert left["spent"] == pytest.approx(silo["charged"]["B"]["mu"] ** 2)
        assert silo["budget"]["epsilon_spent"] <= silo["budget"]["epsilon_cap"]
        assert silo["budget"]["epsilon_cap"] == silo["epsilon"]["upper"]


def test_sampling_is_shown_with_and_without() -> None:
    """Without the secret of who is in a batch more is lost; an ensemble samples nobody."""
    for silo in statements.of("complete")["silos"]:
        plain = silo["without_amplification"]
        assert plain["upper"] > 1.5 * silo["epsilon"]["upper"]
        assert (plain["delta"], plain["unit"]) == (silo["delta"], silo["unit"])
    for silo in statements.of("unsampled")["silos"]:
        assert silo["without_amplification"] is None


def test_parts_promise_what_their_events_do() -> None:
    """R and A of the default run are finite and below the whole; B alone promises little there."""
    for silo in statements.of("complete")["silos"]:
        parts, whole = silo["guarantees"], silo["epsilon"]["upper"]
        assert 0.0 < parts["R"]["upper"] < whole
        assert 0.0 < parts["A"]["upper"] < whole
        assert parts["B"]["upper"] > 1e4
    for silo in statements.of("unsampled")["silos"]:
        assert silo["guarantees"]["R"] is silo["guarantees"]["A"] is None
        assert silo["guarantees"]["B"]["upper"] == pytest.approx(silo["epsilon"]["upper"])


def test_files_of_rows_stand_with_their_digests() -> None:
    """Name, digest, size, pass and steps of every file; the noise's seed is nobody's."""
    release = statements.of("complete")["release"]
    (file,) = release["files"]
    assert (file["name"], file["rows"], file["made_by"], file["steps"]) == (
        "synthetic.csv", 1, "default", 3,
    )  # fmt: skip
    assert len(file["sha256"]) == 64
    assert release["seed_disclosed"] is False


def test_texts_never_name_another_unit_than_the_claims() -> None:
    """What is said of single units says `record` here, as privacy.unit does."""
    told = statements.of("complete")
    assert "the number of records in a silo is private" in " ".join(told["unprotected"])
    assert any(text.startswith("A record's gradient") for text in told["caveats"])
