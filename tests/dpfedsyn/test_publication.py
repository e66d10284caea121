"""[statement]: the owners' words, free but for what a registry has fixed values for."""

from dataclasses import fields, replace

import pytest

from dpfedsyn import config as configuration
from dpfedsyn import resolved
from dpfedsyn.errors import ConfigError
from dpfedsyn.publication import CURATORS, NOT_STATED, SECTORS, UNSAID, StatementSettings, faults


def test_what_nobody_says_is_not_stated() -> None:
    """Every text by default, and that is no fault."""
    assert {getattr(UNSAID, field.name) for field in fields(StatementSettings)} == {NOT_STATED}
    assert faults(UNSAID) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"curator_type": "Hospital"}, "curator_type = 'Hospital': allowed is Government | Indu"),
        ({"sector": "Health"}, "sector = 'Health': allowed is Technology | Healthcare"),
        ({"published": "29.11.2026"}, "is no day; write it as YYYY-MM-DD"),
        ({"published": "2026-02-30"}, "is no day"),
        ({"published": "20261129"}, "is no day"),
        ({"contact": "  "}, "statement.contact is empty: leave it out, or say it"),
    ],
)
def test_what_no_registry_could_take_is_a_fault(change: dict[str, str], said: str) -> None:
    """Each with what is allowed; nothing runs with it."""
    (found,) = faults(replace(UNSAID, **change))
    assert said in found
    ((key, value),) = change.items()
    with pytest.raises(ConfigError, match=f"statement.{key}"):
        configuration.load("hospitals", [f'statement.{key}="{value}"'])


def test_all_that_a_registry_takes_is_taken() -> None:
    """Every kind of curator and every sector."""
    for kind in CURATORS:
        assert faults(replace(UNSAID, curator_type=kind, published="2026-11-29")) == []
    for sector in SECTORS:
        assert faults(replace(UNSAID, sector=sector)) == []


def test_words_bind_no_ledger() -> None:
    """Neither a ledger nor another silo has to have the same words: they may be found later."""
    plain = configuration.load("hospitals")
    said = configuration.load("hospitals", ['statement.curator="St. Ann"'])
    assert said.statement.curator == "St. Ann"
    assert resolved.digest(plain) == resolved.digest(said)
    assert resolved.agreed(plain, "s") == resolved.agreed(said, "s")
    assert 'curator = "St. Ann"' in resolved.dump(said)
