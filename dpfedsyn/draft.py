"""A first draft of a table's schema: column names and kinds, and room for what the public knows.

Whoever has a file can see its least and largest values; a schema may not hold them, for bounds and
categories that were read off records are themselves releases. So a draft has none. It carries a
mark that every run refuses, until a person has filled it in and taken the mark away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pandas as pd

from dpfedsyn.columns import ISO, number

MARK = (
    "not yet public: fill in bounds, categories and labels from public knowledge, never from "
    "records, then remove this line"
)
CODES = "if these are codes: binary (values), categorical (categories) or ordinal (levels)"
ORDER = "if they have an order: ordinal, with `levels` from the lowest to the highest"
MARKERS = ("", "?", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", ".", "-")
FEW = 10  # different whole numbers that may be codes
MANY = 50  # different texts that are hardly categories
MOST_DECIMALS = 6
FORMATS = (ISO, "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y")
"""How days are written that a draft knows of."""


@dataclass(frozen=True)
class Guess:
    """What a column looks like.

    Attributes:
        kind: "numeric", "integer", "date", "binary", "categorical", "id" (all cells differ) or
            "text" (too many values for categories). decimals: of its numbers. format: of its days.
        remark: for whoever fills the draft.
    """

    name: str
    kind: str
    decimals: int = 0
    format: str = ""
    remark: str = ""


def draft(table: pd.DataFrame, name: str, delimiter: str = ",", target: str = "") -> str:
    """Return a draft of the schema of a table of texts, as TOML.

    Args:
        table: (n, columns) of text, as read from a file. name: of the kind of data.
        delimiter: between cells of the file. target: column of the label; empty: to be filled in.

    Guarantee:
        No cell of the table stands in it: only names of columns, kinds, digits after the point,
        formats of days and which of `MARKERS` occur.
    """
    present = [m for m in MARKERS if any((table[c] == m).any() for c in table.columns)]
    guesses = [guess(column, table[column], present) for column in table.columns]
    dropped = [g.name for g in guesses if g.kind == "text"]
    ids = [g.name for g in guesses if g.kind == "id"]
    features = [g for g in guesses if g.kind not in ("text", "id") and g.name != target]
    lines = [
        f"draft = {json.dumps(MARK)}",
        f"name = {json.dumps(name)}",
        "",
        "[file]",
        f"delimiter = {json.dumps(delimiter)}",
        "header = true",
        f"drop = {_texts([*dropped, *ids[1:]])}   # columns that are not read",
        f"missing = {_texts(present)}   # cells that mark a missing value",
    ]
    lines += [f"id = {json.dumps(ids[0])}   # names the rows"] if ids else []
    lines += [
        "",
        "[target]   # the label; it must not be a column below",
        f"column = {json.dumps(target)}",
        "values = []   # every value that the column may hold",
        "labels = []   # the public name of each",
    ]
    for one in features:
        lines += ["", f"[columns.{_key(one.name)}]", f'kind = "{one.kind}"{_remark(one)}']
        lines += _to_fill(one)
    return "\n".join(lines) + "\n"


def guess(name: str, cells: pd.Series, missing: Sequence[str] = ()) -> Guess:
    """Return what a column's cells look like, missing markers left out."""
    known = cells[~cells.isin(list(missing))]
    different = known.nunique()
    numbers = [number(cell) for cell in known]
    numeric = bool(numbers) and all(value is not None for value in numbers)
    decimals = max(map(_decimals, known)) if numeric else 0
    days = _days(known.unique().tolist())
    if days:
        others = f"or {' or '.join(days[1:])}: the cells do not tell" if days[1:] else ""
        return Guess(name, "date", format=days[0], remark=others)
    if different == 2 and not decimals:
        return Guess(name, "binary")
    if numeric and decimals:
        return Guess(name, "numeric", decimals)
    if numeric:
        return Guess(name, "integer", remark=CODES if different <= FEW else "")
    if different == len(known) > 1:
        return Guess(name, "id")
    if different > MANY:
        return Guess(name, "text")
    return Guess(name, "categorical", remark=ORDER)


def _to_fill(one: Guess) -> list[str]:
    outside = 'outside = "clip"   # or "error": refuse a file with values beyond the bounds'
    if one.kind in ("numeric", "integer"):
        lines = ["bounds = []   # lowest and highest value that the public knows of"]
        lines += [f"decimals = {one.decimals}"] if one.decimals else []
        return [*lines, outside, '# scale = "log"   # for amounts from 0 on, most of them small']
    if one.kind == "date":
        return [
            "bounds = []   # first and last day that there can be, for example the study's",
            f'format = "{one.format}"',
            outside,
            '# at_least = "COLUMN"   # a date above that is never later',
        ]
    if one.kind == "binary":
        return ["values = []   # two"]
    return ["categories = []   # every one that the public knows of"]


def _remark(one: Guess) -> str:
    return f"   # {one.remark}" if one.remark else ""


def _days(cells: Sequence[str]) -> list[str]:
    """The formats that all of these cells are days of."""
    return [form for form in FORMATS if cells and all(_is_day(cell, form) for cell in cells)]


def _is_day(cell: str, form: str) -> bool:
    try:
        datetime.strptime(cell, form)
    except ValueError:
        return False
    return True


def _decimals(cell: str) -> int:
    exponent = Decimal(cell.strip()).normalize().as_tuple().exponent
    return min(max(-int(exponent), 0), MOST_DECIMALS)


def _texts(values: Sequence[str]) -> str:
    return "[" + ", ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"


def _key(name: str) -> str:
    bare = name.replace("_", "").replace("-", "")
    return name if bare.isascii() and bare.isalnum() else json.dumps(name, ensure_ascii=False)
