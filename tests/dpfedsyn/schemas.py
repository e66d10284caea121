"""Strategies for public schemas with columns of every kind, and for rows that they allow."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import assume
from hypothesis import strategies as st

from dpfedsyn import constraints
from dpfedsyn.columns import (
    Binary,
    Categorical,
    Code,
    Column,
    Date,
    Integer,
    Numeric,
    Ordered,
    Ordinal,
    Target,
)
from dpfedsyn.columns.ordered import forward
from dpfedsyn.file_format import FileFormat
from dpfedsyn.schema import Schema

HOSPITALS = Schema.load(Path(str(files("dpfedsyn") / "examples" / "hospitals" / "schema.toml")))
FORMATS = ("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y%m%d", "%Y-%j")

words = st.text("abcxyz ÄΩ_-", min_size=1, max_size=6).filter(lambda word: word.strip() != "")
codes = st.one_of(st.integers(-9, 9), words)
outsides = st.sampled_from(["clip", "error"])
scales = st.sampled_from([None, "log", "sqrt"])


def several(low: int, high: int) -> st.SearchStrategy[tuple[Code, ...]]:
    """Codes that differ also as cells."""
    return st.lists(codes, min_size=low, max_size=high, unique_by=lambda c: str(c).strip()).map(
        tuple
    )


def number_of(steps: int, decimals: int) -> float:
    """The number of so many steps of 10^-decimals, as its digits are read."""
    return float(Decimal(steps).scaleb(-decimals))


def told_apart(column: Ordered, low: float, high: float) -> bool:
    """Whether float32 keeps every step over this range; on a scale, the uppermost is shortest."""
    ends = np.array([low, max(high - column.step, low), high])
    first, before, last = forward(column.scale, ends)
    return bool((last - before) * 2**24 > last - first)


@st.composite
def numerics(draw: st.DrawFn, name: str) -> Numeric:
    whole = draw(st.booleans())
    decimals = draw(st.integers(-2, 0) if whole else st.integers(-1, 3))
    low = draw(st.integers(-(10**5), 10**5))
    width = draw(st.integers(1, 10**6))
    missing = draw(st.lists(st.integers(1, 50), max_size=2, unique=True))
    column = (Integer if whole else Numeric)(
        name,
        bounds=(number_of(low, decimals), number_of(low + width, decimals)),
        decimals=decimals,
        missing_codes=(
            *draw(st.sampled_from([(), ("",), ("not known", "")])),
            *(number_of(low - gap, decimals) for gap in missing),
        ),
        outside=draw(outsides),
        scale=draw(scales) if low >= 0 else None,
    )
    assume(not column.faults())
    assume(told_apart(column, *column.bounds))
    return column


@st.composite
def dates(draw: st.DrawFn, name: str) -> Date:
    first = draw(st.dates(date(1900, 1, 1), date(2030, 1, 1)))
    days = draw(st.integers(1, 10**4))
    form = draw(st.sampled_from(FORMATS))
    before = date.fromordinal(first.toordinal() - 1).strftime(form)
    return Date(
        name,
        bounds=(first, date.fromordinal(first.toordinal() + days)),
        format=form,
        missing_codes=draw(st.sampled_from([(), ("",), (before,), ("not known", before)])),
        outside=draw(outsides),
    )


@st.composite
def ordinals(draw: st.DrawFn, name: str) -> Ordinal:
    known = draw(several(3, 8))
    missing = draw(st.integers(0, len(known) - 3))
    return Ordinal(name, known[missing:], missing_codes=known[:missing])


@st.composite
def categoricals(draw: st.DrawFn, name: str) -> Categorical:
    known = draw(several(2, 7))
    missing = draw(st.integers(0, len(known) - 2))
    codes = draw(st.sampled_from([known[:missing], ("", *known[:missing])]))
    return Categorical(name, known[missing:], missing_codes=codes)


def columns(name: str) -> st.SearchStrategy[Column]:
    """A column of any kind that depends on no other."""
    return st.one_of(
        numerics(name),
        dates(name),
        ordinals(name),
        st.builds(Binary, st.just(name), several(2, 2)),
        categoricals(name),
    )


@st.composite
def later(draw: st.DrawFn, name: str, base: Date) -> Date:
    """A column of days that are never before those of another."""
    first, last = (day.toordinal() for day in base.bounds)
    low = draw(st.integers(first - 50, last + 50))
    high = draw(st.integers(max(last, low + 1), last + 1000))
    within = draw(st.one_of(st.none(), st.integers(max(1, low - first), 12_000)))
    return Date(
        name,
        bounds=(date.fromordinal(low), date.fromordinal(high)),
        format=draw(st.sampled_from(FORMATS)),
        missing_codes=draw(st.sampled_from([(), ("open",)])),
        outside=draw(outsides),
        scale=draw(scales),
        at_least=base.name,
        within=within,
    )


@st.composite
def higher(draw: st.DrawFn, name: str, base: Numeric) -> Numeric:
    """A column of numbers that are never below those of another."""
    decimals = base.decimals + draw(st.integers(0, 1))
    first, last = (int(Decimal(repr(end)).scaleb(decimals)) for end in base.bounds)
    low = draw(st.integers(first - 50, last + 50))
    high = draw(st.integers(max(last, low + 1), last + 1000))
    within = draw(st.one_of(st.none(), st.integers(max(1, low - first), last - first + 1000)))
    return Numeric(
        name,
        bounds=(number_of(low, decimals), number_of(high, decimals)),
        decimals=decimals,
        missing_codes=draw(st.sampled_from([(), (number_of(low - 7, decimals),)])),
        outside=draw(outsides),
        scale=draw(scales),
        at_least=base.name,
        within=None if within is None else number_of(within, decimals),
    )


@st.composite
def sums(draw: st.DrawFn, name: str, parts: list[Numeric]) -> Numeric:
    """A column of sums of others."""
    decimals = max(part.decimals for part in parts)
    low, high = (
        sum(int(Decimal(repr(part.bounds[end])).scaleb(decimals)) for part in parts)
        for end in (0, 1)
    )
    return Numeric(
        name,
        bounds=(
            number_of(low - draw(st.integers(0, 9)), decimals),
            number_of(high + draw(st.integers(0, 9)), decimals),
        ),
        decimals=decimals,
        outside=draw(outsides),
        sum_of=tuple(part.name for part in parts),
    )


@st.composite
def tied(draw: st.DrawFn, name: str, above: list[Column]) -> Column:
    """A column of any kind, one that depends on others above it where that can be."""
    days = [c for c in above if isinstance(c, Date) and not c.missing_codes]
    numbers = [c for c in above if isinstance(c, Numeric) and not c.missing_codes]
    kinds: list[st.SearchStrategy[Column]] = []
    if days:
        kinds.append(later(name, draw(st.sampled_from(days))))
    if numbers:
        kinds.append(higher(name, draw(st.sampled_from(numbers))))
    if len(numbers) > 1:
        parts = draw(st.lists(st.sampled_from(numbers), min_size=2, max_size=3, unique=True))
        kinds.append(sums(name, parts))
    return draw(st.sampled_from(kinds).flatmap(lambda kind: kind) if kinds else columns(name))


@st.composite
def schemas(draw: st.DrawFn, ties: bool = True) -> Schema:
    """Any valid schema of one to six columns."""
    kept: list[Column] = []
    for k in range(draw(st.integers(1, 6))):
        depends = ties and draw(st.booleans())
        kept.append(draw(tied(f"c{k}", kept) if depends else columns(f"c{k}")))
    values = draw(several(2, 4))
    labels = tuple(f"label {k}" for k in range(len(values)))
    for column in kept:
        if isinstance(column, Ordered) and column.at_least is not None:
            (base,) = (c for c in kept if c.name == column.at_least)
            assert isinstance(base, Ordered)
            assume(told_apart(column, 0.0, constraints.width(column, base)))
    return Schema("made-up", FileFormat(), tuple(kept), Target("y", values, labels))


def written(column: Binary | Categorical | Target) -> tuple[Code, ...]:
    """What decoding writes of codes."""
    match column:
        case Target():
            return column.representatives
        case Categorical():
            return column.options
    return column.values


def exact(column: Ordered, cell: Any) -> Decimal | None:
    """The number of a cell, or of its day, read past the package; None where it is missing."""
    if cell in column.missing_codes:
        return None
    if isinstance(column, Date):
        return Decimal(datetime.strptime(cell, column.format).toordinal())
    if isinstance(column, Ordinal):
        return Decimal(column.levels.index(cell))
    return Decimal(repr(cell))


@st.composite
def cells(draw: st.DrawFn, column: Column | Target, row: Mapping[str, Decimal | None]) -> Code:
    """A cell of a column, as decoding writes it, that the rest of its row allows."""
    if not isinstance(column, Ordered):
        return draw(st.sampled_from(written(column)))
    if column.missing_codes and draw(st.integers(0, 4)) == 0:
        code: Code = column.missing_codes[0]
        whole = isinstance(column, Numeric) and column.decimals <= 0
        return int(code) if whole and not isinstance(code, str) else code
    if isinstance(column, Ordinal):
        return draw(st.sampled_from(column.levels))
    low, high = (int(Decimal(repr(end)).scaleb(column.decimals)) for end in column.limits)
    if column.sum_of:
        low = high = int(sum(row[name] for name in column.sum_of).scaleb(column.decimals))  # type: ignore[union-attr, arg-type]
    if column.at_least is not None:
        base = row[column.at_least]
        assert base is not None
        start = int(base.scaleb(column.decimals))
        if column.within is not None:
            high = min(high, start + int(Decimal(repr(column.within)).scaleb(column.decimals)))
        low = max(low, start)
    steps = draw(st.integers(low, high))
    if isinstance(column, Date):
        return date.fromordinal(steps).strftime(column.format)
    value = number_of(steps, column.decimals)
    return int(value) if column.decimals <= 0 else value


@st.composite
def tables(draw: st.DrawFn, of: st.SearchStrategy[Schema]) -> tuple[Schema, pd.DataFrame]:
    """A schema and one to six valid rows."""
    schema = draw(of)
    found = []
    for _ in range(draw(st.integers(1, 6))):
        row: dict[str, Any] = {}
        known: dict[str, Decimal | None] = {}
        for column in schema.columns:
            row[column.name] = draw(cells(column, known))
            if isinstance(column, Ordered):
                known[column.name] = exact(column, row[column.name])
        row[schema.target.column] = draw(cells(schema.target, known))
        found.append(row)
    return schema, pd.DataFrame(found, dtype=object)
