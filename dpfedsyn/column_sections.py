"""One [columns.NAME] section of a schema as a column; every fault is collected."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from dpfedsyn import sections
from dpfedsyn.columns import (
    ISO,
    Binary,
    Categorical,
    Code,
    Column,
    Date,
    Integer,
    Numeric,
    Ordinal,
    Outside,
    Scale,
)
from dpfedsyn.sections import Section, nearest


def read(name: str, content: Any, faults: list[str]) -> Column | None:
    """Return the column, or None where some value of it could not be read."""
    if not isinstance(content, Mapping):
        faults.append(f"columns.{name}: write a section [columns.{name}] with `kind`")
        return None
    section = Section(content, f"columns.{name}", faults)
    readers = {
        "numeric": _numeric,
        "integer": _integer,
        "date": _date,
        "ordinal": _ordinal,
        "binary": _binary,
        "categorical": _categorical,
    }
    kind = section.need("kind", sections.text, "")
    if kind not in readers:
        if kind:
            section.fault(f"unknown `kind` = {kind!r}; {nearest(kind, tuple(readers))}")
        return None
    column = readers[kind](name, section)
    section.close()
    return None if section.broken else column


def _numeric(name: str, section: Section) -> Column:
    return Numeric(**_of_numbers(name, section))


def _integer(name: str, section: Section) -> Column:
    return Integer(**_of_numbers(name, section))


def _of_numbers(name: str, section: Section) -> dict[str, Any]:
    codes: tuple[Code, ...] = section.take("missing_codes", sections.codes, ())
    return {
        "name": name,
        "title": section.take("title", sections.text, ""),
        "unit": section.take("unit", sections.text, ""),
        "bounds": section.need("bounds", sections.interval, (0.0, 1.0)),
        "decimals": section.take("decimals", sections.whole, 0),
        "missing_codes": codes,
        "sum_of": section.take("sum_of", sections.texts, None),
        **_ties(section),
    }


def _date(name: str, section: Section) -> Column:
    return Date(
        name=name,
        title=section.take("title", sections.text, ""),
        bounds=section.need("bounds", sections.days, (date.min, date.max)),
        format=section.take("format", sections.text, ISO),
        missing_codes=section.take("missing_codes", sections.texts, ()),
        **_ties(section),
    )


def _ties(section: Section) -> dict[str, Any]:
    """What numbers and days have in common."""
    return {
        "outside": section.take("outside", _outside, "error"),
        "scale": section.take("scale", _scale, None),
        "at_least": section.take("at_least", sections.text, None),
        "within": section.take("within", sections.real, None),
    }


def _outside(value: Any) -> Outside:
    if value == "clip":
        return "clip"
    if value == "error":
        return "error"
    raise TypeError('"clip" or "error"')


def _scale(value: Any) -> Scale:
    if value == "log":
        return "log"
    if value == "sqrt":
        return "sqrt"
    raise TypeError('"log" or "sqrt"')


def _ordinal(name: str, section: Section) -> Column:
    return Ordinal(
        name=name,
        title=section.take("title", sections.text, ""),
        levels=section.need("levels", sections.codes, (0, 1, 2)),
        names=section.take("names", sections.texts, ()),
        missing_codes=section.take("missing_codes", sections.codes, ()),
    )


def _binary(name: str, section: Section) -> Column:
    return Binary(
        name=name,
        title=section.take("title", sections.text, ""),
        values=section.take("values", sections.codes, (0, 1)),
        names=section.take("names", sections.texts, ()),
    )


def _categorical(name: str, section: Section) -> Column:
    return Categorical(
        name=name,
        title=section.take("title", sections.text, ""),
        categories=section.need("categories", sections.codes, (0, 1)),
        names=section.take("names", sections.texts, ()),
        missing_codes=section.take("missing_codes", sections.codes, ()),
    )
