"""Kinds of column that a public schema declares, and how one cell of each is read.

A column knows public things only: bounds, categories, codes. `read` turns one cell into a
number and looks at no other cell, so nothing here depends on other records.

    Numeric, Integer  read -> the value, clipped to the bounds if the schema says so, or a code
    Date              read -> days since 1 January of the year 1, or a code's negative place
    Ordinal           read -> 0 .. k - 1, the position in `levels`, or a code's negative place
    Binary            read -> 0 or 1, the position in `values`
    Categorical       read -> 0 .. k - 1, the position in `options`
    Target            read -> 0 .. labels - 1, the position in `labels`

Numbers, dates and levels are `Ordered`; numbers and dates may depend on other columns of their row
(`dpfedsyn.constraints`).
"""

from typing import TypeAlias

from dpfedsyn.columns.cells import Code, listing, number, token
from dpfedsyn.columns.coded import Binary, Categorical
from dpfedsyn.columns.dates import ISO, Date
from dpfedsyn.columns.numbers import MAX_DECIMALS, Integer, Numeric
from dpfedsyn.columns.ordered import Ordered, Outside, Scale
from dpfedsyn.columns.ordinal import Ordinal
from dpfedsyn.columns.target import Target

Column: TypeAlias = Numeric | Date | Ordinal | Binary | Categorical
"""Any kind of feature column."""

__all__ = [
    "ISO",
    "MAX_DECIMALS",
    "Binary",
    "Categorical",
    "Code",
    "Column",
    "Date",
    "Integer",
    "Numeric",
    "Ordered",
    "Ordinal",
    "Outside",
    "Scale",
    "Target",
    "listing",
    "number",
    "token",
]
