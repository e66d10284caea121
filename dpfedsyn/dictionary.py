"""A data dictionary: what people wrote down about a table's columns, apart from any record.

A table with a row for each column, as CSV or Parquet, under the headings that are in use: those of
REDCap ("Variable / Field Name", "Choices, Calculations, OR Slider Labels", "Text Validation Min"),
of codebooks ("variable", "type", "min", "max", "values", "label"), or this package's own ("kind",
"categories", "levels"). Values are `code, name | code, name` as REDCap writes them, `code = name`
or `code: name`, or codes alone, with `|`, `;` or line ends between them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpfedsyn import raw
from dpfedsyn.columns import listing
from dpfedsyn.errors import DataError

HEADINGS = {
    "name": ("column", "variable", "variable name", "variable / field name", "field", "field name"),
    "kind": ("kind", "type", "field type", "data type", "variable type"),
    "low": ("min", "minimum", "lowest", "low", "lower", "from", "text validation min"),
    "high": ("max", "maximum", "highest", "high", "upper", "to", "text validation max"),
    "values": (
        "values", "codes", "categories", "levels", "choices", "allowed values", "value labels",
        "choices, calculations, or slider labels",
    ),
    "missing": (
        "missing", "missing codes", "missing values", "missing value codes", "missing_codes",
    ),
    "title": ("title", "label", "field label", "description", "meaning", "variable label"),
    "unit": ("unit", "units", "field note"),
}  # fmt: skip
"""What a column of a dictionary may be called, in small letters; the first one found counts."""

KINDS = {
    "integer": ("integer", "int", "whole", "count"),
    "numeric": ("numeric", "number", "float", "real", "decimal", "continuous", "double"),
    "date": ("date", "day", "date_ymd", "date_dmy", "date_mdy", "calendar date"),
    "ordinal": ("ordinal", "ordered", "slider", "scale", "likert"),
    "categorical": ("categorical", "nominal", "radio", "dropdown", "choice", "factor", "category"),
    "binary": ("binary", "yesno", "truefalse", "boolean", "bool", "dichotomous"),
}
"""Kinds of a schema, and what dictionaries call them; any other word is left to the file."""

YES_OR_NO = (("1", "yes"), ("0", "no"))  # what REDCap stores for fields of type yesno


@dataclass(frozen=True)
class Described:
    """What a dictionary says of one column; empty where it says nothing.

    Attributes:
        kind: a kind of a schema. low, high: as they are written. values: (code, name) pairs, in
            the dictionary's order; a code without a name is its own. missing: codes of what is
            not known.
    """

    title: str = ""
    unit: str = ""
    kind: str = ""
    low: str = ""
    high: str = ""
    values: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()


def read(path: Path) -> dict[str, Described]:
    """Return what a dictionary says of each column, by the column's name.

    Raises:
        DataError: no table, no heading for names, or a name that comes twice.
    """
    table = raw.read(path).table
    places = _places(list(table.columns))
    if "name" not in places:
        raise DataError(
            f"{path}: none of the headings {listing(table.columns)} says which column a row "
            f"describes, so nothing was read; call it {listing(HEADINGS['name'][:3])}"
        )
    found: dict[str, Described] = {}
    for number, row in enumerate(table.to_dict("records"), start=2):
        said = {key: row[heading] for key, heading in places.items()}
        name = said.pop("name")
        if name in found:
            raise DataError(
                f"{path}, row {number}: column {name!r} is described twice, so nobody knows which "
                "of the two holds; remove one"
            )
        if name:
            found[name] = _described(said)
    return found


def gaps(known: Mapping[str, Described], columns: Sequence[str]) -> list[str]:
    """Say which columns of a table a dictionary does not describe, and the other way round."""
    missing = [name for name in columns if name not in known]
    beyond = [name for name in known if name not in columns]
    found = []
    if missing:
        found.append(f"Not in the dictionary, so left to be filled in: {', '.join(missing)}.")
    if beyond:
        found.append(f"In the dictionary, but not in the file: {', '.join(beyond)}.")
    return found


def _places(headings: list[str]) -> dict[str, str]:
    known = {" ".join(heading.lower().split()): heading for heading in headings}
    return {
        key: known[next(name for name in names if name in known)]
        for key, names in HEADINGS.items()
        if any(name in known for name in names)
    }


def _described(said: dict[str, str]) -> Described:
    word = said.get("kind", "").lower()
    kind = next((kind for kind, words in KINDS.items() if word in words), "")
    values = pairs(said.get("values", ""))
    if not values and word == "yesno":
        values = YES_OR_NO
    if len(values) == 2 and kind == "categorical":
        kind = "binary"
    return Described(
        said.get("title", ""), said.get("unit", ""), kind or _by_values(values),
        said.get("low", ""), said.get("high", ""), values,
        tuple(code for code, _ in pairs(said.get("missing", ""))),
    )  # fmt: skip


def _by_values(values: tuple[tuple[str, str], ...]) -> str:
    if not values:
        return ""
    return "binary" if len(values) == 2 else "categorical"


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Return (code, name) pairs of a cell such as `1, male | 2, female`, `m=male; f=female`, `a|b`.

    Without `|`, `;` or line ends, codes alone may have commas between them.
    """
    parts = _parts(re.split(r"[|;\n]", text))
    if len(parts) == 1:
        parts = _parts(parts[0].split(","))
        return tuple(_pair(part, "[=:]") for part in parts)
    return tuple(_pair(part, "[,=:]") for part in parts)


def _parts(cells: list[str]) -> list[str]:
    return [cell.strip() for cell in cells if cell.strip()]


def _pair(text: str, marks: str) -> tuple[str, str]:
    code, *names = (part.strip() for part in re.split(marks, text, maxsplit=1))
    return code, names[0] if names and names[0] else code
