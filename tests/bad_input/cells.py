"""Cells of a table that the schema does not allow, each in line 3."""

from __future__ import annotations

from tests.bad_input.case import Case, cell

CASES: dict[str, Case] = {
    "text in a column of numbers": cell("forty", "'forty' is not a finite number"),
    "a decimal comma": cell("40,5", "a decimal comma", mend="write 40.5"),
    "a European number": cell("1.040,5", "a decimal comma", mend="write 1040.5"),
    "an English number": cell("1,040.5", "thousands", mend="write 1040.5"),
    "a comma of either kind": cell("1,040", "a comma", mend="write 1040, or 1.040"),
    "thousands by blanks": cell("1 040 000", "thousands", mend="write 1040000"),
    "thousands by apostrophes": cell("1'040", "thousands", mend="write 1040"),
    "a unit": cell("41 years", "more than a number", mend="write 41"),
    "a currency": cell("$41", "more than a number", mend="write 41"),
    "a limit": cell("<18", "a limit instead of a value", mend="write a value"),
    "digits of another script": cell("\u0664\u0661", "no ASCII digits", mend="write 41"),
    "a minus that is none": cell("\u221241", "no ASCII digits", mend="write -41"),
    "a date": cell("12/03/1980", "looks like a date"),
    "a date of another form": cell("1980-03-12T00:00:00Z", "looks like a date"),
    "a time": cell("14:30", "looks like a time", mend="write the hours or minutes"),
    "a truth value": cell("TRUE", "a truth value", mend="write 1"),
    "a missing value that was not declared": cell(
        "NULL", "looks like a missing value", mend="list the text under `missing`"
    ),
    "an error of a spreadsheet": cell(
        "#DIV/0!", "looks like a missing value", mend="list the text under `missing`"
    ),
    "not a number": cell("NaN", "'NaN' is not a finite number", mend="list the text under"),
    "minus infinity": cell("-Infinity", "'-Infinity' is not a finite number"),
    "beyond all numbers": cell("1e999", "'1e999' is not a finite number"),
    "underscores": cell("1_000", "'1_000' is not a finite number"),
    "hexadecimal": cell("0x29", "'0x29' is not a finite number"),
    "below the bounds": cell("17", "17 lies outside the public bounds [18, 100]"),
    "above the bounds": cell(
        "100.5", "100.5 lies outside the public bounds [18, 100]", mend="widen `bounds`"
    ),
    "a code for missing that was not declared": cell(
        "-999", "-999 lies outside the public bounds", mend='set outside = "clip"'
    ),
    "an unseen category": cell(
        "west", "'west' is not among", "north, south, east", mend="add the value", column="ward"
    ),
    "a category in capitals": cell("South", "it is spelt 'south' there", column="ward"),
    "a category with a blank in it": cell("sou th", "it is spelt 'south' there", column="ward"),
    "a number for a category": cell("2", "'2' is not among", column="ward"),
    "an unseen label": cell("dead", "'dead' is not among", "well, ill", column="outcome"),
}
