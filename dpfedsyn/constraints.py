"""What a public schema declares between columns of one row: sums, and an order of two columns.

    at_least = "admitted"          a value is not below that of `admitted` in the same row
    within = 120                   and at most so much above it
    sum_of = ["room", "drugs"]     a value is the sum of those of `room` and `drugs`

A column names columns that stand above it, so that rows are decoded from the first column to the
last: of an ordered pair the difference is encoded, and a sum is computed and not encoded at all.
That is why every decoded row keeps what is declared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.columns import Column, Date, Numeric, Ordered, listing
from dpfedsyn.columns.ordered import too_fine
from dpfedsyn.sections import nearest

Array = NDArray[np.float64]
Columns = Mapping[str, Column]


@dataclass(frozen=True)
class Violation:
    """The first row (from 0) of a column that is not as declared, and what to do about it."""

    row: int
    text: str


def names(column: Column) -> tuple[str, ...]:
    """Return the columns that one depends on."""
    if not isinstance(column, Ordered):
        return ()
    return column.sum_of or (() if column.at_least is None else (column.at_least,))


def width(column: Ordered, base: Ordered) -> float:
    """Return the most that a column's values are above those of the one that it is counted from."""
    reach = column.limits[1] - base.limits[0]
    return reach if column.within is None else min(column.within, reach)


def sentences(columns: Sequence[Column]) -> tuple[str, ...]:
    """Return what is declared between columns, as a person writes it, and what comes of it."""
    found = []
    for column in columns:
        if not isinstance(column, Ordered):
            continue
        if column.sum_of:
            found.append(f"{column.name} = {' + '.join(column.sum_of)} (computed, not encoded)")
        elif column.at_least is not None:
            order = f"{column.at_least} <= {column.name}"
            if column.within is not None:
                unit = " days" if isinstance(column, Date) else ""
                order += f" <= {column.at_least} + {column.within:g}{unit}"
            found.append(f"{order} (the difference is encoded)")
    return tuple(found)


def faults(columns: Sequence[Column], known: Sequence[str]) -> list[tuple[str, str]]:
    """Return what contradicts itself between columns: (column, sentence).

    Args:
        columns: all that could be read. known: names of all, in the schema's order.
    """
    readable = {column.name: column for column in columns}
    found = []
    for column in columns:
        above = tuple(known)[: tuple(known).index(column.name)]
        faults = _key_faults(column)
        for name in names(column):
            if name not in above:
                faults.append(_unknown(column, name, above, known))
            elif name in readable:
                faults += _base_faults(column, readable[name])
        if not faults and isinstance(column, Ordered) and names(column) and column.faults() == []:
            bases = [readable[name] for name in names(column) if name in readable]
            measured = [base for base in bases if isinstance(base, Ordered)]
            if len(measured) == len(names(column)):
                faults += _range_faults(column, measured)
        found += [(column.name, fault) for fault in faults]
    return found


def _key_faults(column: Column) -> list[str]:
    """Keys of one column that do not go together."""
    if not isinstance(column, Ordered):
        return []
    if column.within is not None and column.at_least is None:
        return ["`within` says how far above another column; add `at_least`"]
    if column.sum_of is None:
        return []
    own = {
        "at_least": column.at_least,
        "scale": column.scale,
        "missing_codes": column.missing_codes or None,
    }
    faults = [
        f"`{key}` of a sum, which is computed in every row; remove `{key}` or `sum_of`"
        for key, value in own.items()
        if value is not None
    ]
    if len(column.sum_of) < 2 or len(set(column.sum_of)) < len(column.sum_of):
        faults.append(f"`sum_of` = {list(column.sum_of)}; name two or more different columns")
    return faults


def _unknown(column: Column, name: str, above: Sequence[str], known: Sequence[str]) -> str:
    key = "sum_of" if isinstance(column, Ordered) and column.sum_of else "at_least"
    if name in known and name != column.name:
        return f"`{key}` names {name!r}, which stands below; move [columns.{name}] above this one"
    mend = nearest(name, above) if above else "this is the first column"
    return f"`{key}` names {name!r}, which is no column above; {mend}"


def _base_faults(column: Column, base: Column) -> list[str]:
    """What a column that another depends on must be."""
    kind = Date if isinstance(column, Date) else Numeric
    if not isinstance(base, kind):
        return [f"depends on {base.name!r}, which is of kind {base.kind}; name a column of its own"]
    faults = []
    if base.missing_codes:
        faults.append(
            f"depends on {base.name!r}, which has missing codes; list them under file.missing, "
            "which leaves those rows out, or remove them"
        )
    if isinstance(column, Ordered) and base.decimals > column.decimals:
        faults.append(
            f"`decimals` = {column.decimals}, and {base.name!r} has {base.decimals}; raise them"
        )
    return faults


def _range_faults(column: Ordered, bases: Sequence[Ordered]) -> list[str]:
    """Bounds that leave some row of the other columns without an allowed value."""
    (low, high), show = column.limits, column.shown
    if column.sum_of:
        least, most = (sum(base.limits[end] for base in bases) for end in (0, 1))
        if low <= least + column.step / 2 and most - column.step / 2 <= high:
            return []
        return [
            f"`bounds` = [{show(low)}, {show(high)}] do not hold every sum of "
            f"{listing(column.sum_of)}; write [{show(least)}, {show(most)}]"
        ]
    (base,) = bases
    first, last = base.limits
    faults = []
    if high < last:
        faults.append(
            f"`bounds` end at {show(high)}, those of {base.name!r} at {base.shown(last)}: some "
            "rows would have no value; raise the upper one"
        )
    if column.within is not None:
        if not column.within > 0 or round(column.within, column.decimals) != column.within:
            return [*faults, f"`within` = {column.within:g}; give a positive multiple of "
                             f"{column.step:g}"]  # fmt: skip
        if low > first + column.within + column.step / 2:
            faults.append(
                f"`bounds` begin more than `within` = {column.within:g} above those of "
                f"{base.name!r}: some rows would have no value; lower the first one"
            )
    if too_fine(column, width(column, base)):
        faults.append(
            f"`bounds` and `within` leave more steps of {column.step:g} above {base.name!r} than "
            "the encoding can tell apart; lower `within` or `decimals`, or declare "
            'scale = "log"'
        )
    return faults


def violation(column: Ordered, own: Array, others: Mapping[str, Array]) -> Violation | None:
    """Return the first row that is not as declared, to half a step.

    Args:
        own: (n,) what the cells of the column hold, before any clipping.
        others: the same of the columns that it depends on.
    """
    slack = column.step * (0.5 + 1e-6)
    if column.sum_of:
        sums = total(column.sum_of, others)
        wrong = np.abs(own - sums) > slack
        if not wrong.any():
            return None
        row = int(np.argmax(wrong))
        return Violation(
            row,
            f"{column.shown(own[row])} is not the sum of {listing(column.sum_of)}, which is "
            f'{column.shown(sums[row])}; correct the row, or set outside = "clip" in the schema, '
            "which takes the sum",
        )
    if column.at_least is None:
        return None
    base = others[column.at_least]
    most = np.inf if column.within is None else column.within
    above = np.where(np.isin(own, column.missing), 0.0, own - base)
    wrong = (above < -slack) | (above > most + slack)
    if not wrong.any():
        return None
    row = int(np.argmax(wrong))
    what = "below" if above[row] < 0.0 else f"more than {most:g} above"
    return Violation(
        row,
        f"{column.shown(own[row])} is {what} {column.shown(base[row])} in column "
        f'{column.at_least}; correct the row, or set outside = "clip" in the schema, which moves '
        "it to the nearest value that is allowed",
    )


def settled(column: Ordered, own: Array, others: Mapping[str, Array]) -> Array:
    """Return values (n,) as near to `own` as bounds and declarations allow; sums are computed.

    Args:
        own: within the bounds, or missing. others: of the columns that it depends on, settled.
    """
    if column.sum_of:
        return total(column.sum_of, others)
    if column.at_least is None:
        return own
    low, high = column.limits
    base = others[column.at_least]
    most = high if column.within is None else np.minimum(base + column.within, high)
    nearest_allowed = np.clip(own, np.maximum(base, low), most)
    return np.where(np.isin(own, column.missing), own, nearest_allowed)


def total(names: Sequence[str], values: Mapping[str, Array]) -> Array:
    """Return the sum (n,) of these columns' values."""
    found: Array = np.stack([values[name] for name in names]).sum(axis=0)
    return found
