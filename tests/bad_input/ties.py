"""Whole numbers, levels and days, and what a schema declares between columns of a row."""

from __future__ import annotations

import tomllib

from dpfedsyn.schema import Schema
from tests.bad_input.case import Case, table

STAYS = Schema.from_dict(
    tomllib.loads("""
name = "stays"
[target]
column = "died"
values = [0, 1]
labels = ["alive", "died"]
[columns.age]
kind = "integer"
bounds = [18, 100]
[columns.triage]
kind = "ordinal"
levels = ["green", "yellow", "red"]
[columns.admitted]
kind = "date"
bounds = [2020-01-01, 2023-12-31]
[columns.discharged]
kind = "date"
bounds = [2020-01-01, 2024-12-31]
at_least = "admitted"
within = 365
[columns.room]
kind = "integer"
bounds = [0, 5000]
[columns.drugs]
kind = "integer"
bounds = [0, 5000]
[columns.charges]
kind = "integer"
bounds = [0, 10000]
sum_of = ["room", "drugs"]
""")
)
SOUND = {
    "age": "40", "triage": "green", "admitted": "2020-02-01", "discharged": "2020-02-05",
    "room": "100", "drugs": "20", "charges": "120", "died": "0",
}  # fmt: skip


def stay(column: str, text: str, *said: str, mend: str = "correct the cell") -> Case:
    """Two stays, the second of which, in line 3, holds this text in one column."""
    rows = [SOUND.keys(), SOUND.values(), (SOUND | {column: text}).values()]
    content = "".join(",".join(row) + "\n" for row in rows)
    return table(content, f"line 3, column {column}", *said, mend=mend, schema=STAYS)


CASES = {
    "half a year of age": stay("age", "40.5", "no whole number", mend='kind = "numeric"'),
    "an unseen level": stay("triage", "blue", "green, yellow, red", mend="add the value"),
    "a level in capitals": stay("triage", "Green", "it is spelt 'green' there"),
    "days in another form": stay("admitted", "01.02.2020", "%Y-%m-%d", mend="another `format`"),
    "a day that there is not": stay("admitted", "2020-02-30", "'2020-02-30' is no day"),
    "a time of day": stay("admitted", "2020-02-01 10:00", mend="days have no time of day"),
    "a day before the first": stay("admitted", "2019-12-31", "outside the public bounds"),
    "discharged before admitted": stay(
        "discharged", "2020-01-31", "below 2020-02-01 in column admitted", mend="correct the row"
    ),
    "two years in hospital": stay(
        "discharged", "2022-02-01", "more than 365 above", mend="correct the row"
    ),
    "a negative amount": stay("room", "-5", "[0, 5000]", mend="widen `bounds`"),
    "a sum that is none": stay(
        "charges", "121", "not the sum of room, drugs, which is 120", mend="correct the row"
    ),
}
