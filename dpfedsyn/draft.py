"""A first draft of a table's schema: column names and kinds, and room for what the public knows.

Whoever has a file can see its least and largest values; a schema may not hold them, for bounds and
categories that were read off records are themselves releases. So a draft has none. It carries a
mark that every run refuses, until a person has filled it in and taken the mark away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

import pandas as pd

from dpfedsyn.columns import ISO, number
from dpfedsyn.dictionary import Described

MARK = (
    "not yet public: fill in bounds, categories and labels from public knowledge, never from "
    "records, then remove this line"
)
CODES = "if these are codes: binary (values), categorical (categories) or ordinal (levels)"
ORDER = "if they have an order: ordinal, with `levels` from the lowest to the highest"
WHOSE = "where people have several rows and it says whose each is; then take it out of `drop`"
NO_DAYS = "some cells are no days: list what marks a missing one under `missing_codes`"
VALUES = {"binary": "values", "categorical": "categories", "ordinal": "levels"}
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


NOTHING = Described()


def draft(
    table: pd.DataFrame,
    name: str,
    delimiter: str = ",",
    target: str = "",
    dictionary: Mapping[str, Described] | None = None,
) -> str:
    """Return a draft of the schema of a table of texts, as TOML.

    Args:
        table: (n, columns) of text, as read from a file. name: of the kind of data.
        delimiter: between cells of the file. target: column of the label; empty: to be filled in.
        dictionary: what is written down of columns, which fills in bounds, values and names.

    Guarantee:
        No cell of the table stands in it: only names of columns, kinds, digits after the point,
        formats of days and which of `MARKERS` occur. Bounds and values are the dictionary's.
    """
    known = dictionary or {}
    present = [m for m in MARKERS if any((table[c] == m).any() for c in table.columns)]
    guesses = [
        _as_described(
            guess(column, table[column], present), known.get(column, NOTHING), table[column]
        )
        for column in table.columns
    ]
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
    lines += [f"# person_column = {json.dumps(n)}   # {WHOSE}" for n in dropped]
    lines += ["", "[target]   # the label; it must not be a column below"]
    lines += [f"column = {json.dumps(target)}", *_labels(known.get(target, NOTHING))]
    for one in features:
        lines += ["", f"[columns.{_key(one.name)}]", f'kind = "{one.kind}"{_remark(one)}']
        said = known.get(one.name, NOTHING)
        lines += [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in _about(one, said) if v]
        lines += _filled(one, said) or _to_fill(one)
        lines += _missing(one, said)
    return "\n".join(lines) + "\n"


def _as_described(guessed: Guess, said: Described, cells: pd.Series) -> Guess:
    """Take the dictionary's kind; a date of it only where most cells are days."""
    if said.kind == "date" and not guessed.format:
        return _mostly_days(guessed, cells.unique().tolist())
    if not said.kind:
        return guessed
    return replace(guessed, kind=said.kind, remark="" if said.kind != "date" else guessed.remark)


def _mostly_days(guessed: Guess, cells: Sequence[str]) -> Guess:
    """A column of days among which stand codes, such as a day that there cannot be."""
    days = {form: sum(_is_day(cell, form) for cell in cells) for form in FORMATS}
    form = max(days, key=lambda form: days[form])
    if 2 * days[form] <= len(cells):
        return guessed
    return replace(guessed, kind="date", format=form, remark=NO_DAYS)


def _missing(one: Guess, said: Described) -> list[str]:
    """What the dictionary says stands for "not known"; two values have no room for it."""
    if not said.missing or one.kind == "binary":
        return []
    codes = [str(k) if one.kind != "date" and _is_whole(k) else json.dumps(k, ensure_ascii=False)
             for k in said.missing]  # fmt: skip
    return [f"missing_codes = [{', '.join(codes)}]   # not known: the row is kept"]


def _labels(said: Described) -> list[str]:
    if not said.values:
        return [
            "values = []   # every value that the column may hold",
            "labels = []   # the public name of each",
        ]
    return [f"values = {_codes(said)}", f"labels = {_texts([name for _, name in said.values])}"]


def _about(one: Guess, said: Described) -> list[tuple[str, str]]:
    measured = one.kind in ("numeric", "integer")
    return [("title", said.title), ("unit", said.unit if measured else "")]


def _filled(one: Guess, said: Described) -> list[str]:
    """What the dictionary fills in of a column; nothing where it does not say enough."""
    if one.kind in VALUES:
        if not said.values or (one.kind == "binary" and len(said.values) != 2):
            return []
        names = [name for _, name in said.values]
        named = names != [code for code, _ in said.values]
        return [f"{VALUES[one.kind]} = {_codes(said)}", *[f"names = {_texts(names)}"] * named]
    low, high = (_bound(one, text) for text in (said.low, said.high))
    if not low or not high:
        return []
    bounds = "bounds = []"
    return [line.partition("   #")[0].replace(bounds, f"bounds = [{low}, {high}]")
            if line.startswith(bounds) else line for line in _to_fill(one)]  # fmt: skip


def _bound(one: Guess, text: str) -> str:
    """A bound as TOML; nothing where the dictionary's is no number, or no day."""
    if one.kind == "date":
        known = [form for form in (ISO, one.format) if _is_day(text, form)]
        return datetime.strptime(text, known[0]).date().isoformat() if known else ""
    value = number(text)
    return "" if value is None else f"{value:g}" if value % 1 else f"{value:.0f}"


def _codes(said: Described) -> str:
    """The dictionary's codes: numbers where all of them are whole, else texts."""
    codes = [code for code, _ in said.values]
    return f"[{', '.join(codes)}]" if all(map(_is_whole, codes)) else _texts(codes)


def _is_whole(code: str) -> bool:
    """Whether a code is a whole number, written as numbers are."""
    return code.removeprefix("-").isdecimal() and str(int(code)) == code


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
    outside = 'outside = "error"   # or "clip": values beyond the bounds are moved to the nearest'
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
