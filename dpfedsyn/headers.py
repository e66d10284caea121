"""The column names of a silo's table, checked against the public schema.

Errors name places in the file. They are for its owner and never leave the silo.
"""

from __future__ import annotations

from collections.abc import Sequence

from dpfedsyn import raw
from dpfedsyn.errors import DataError
from dpfedsyn.schema import Schema
from dpfedsyn.sections import nearest


def check(where: str, names: Sequence[str], schema: Schema, *, typed: bool = False) -> None:
    """Refuse a header that has not each of the schema's columns once, and no other.

    Args:
        where: file, and line where it has lines. typed: of a format that has no header line and
            no delimiter, such as Parquet.

    Raises:
        DataError: the first fault, with the mend.
    """
    if not typed:
        _check_delimiter(where, names, schema)
    wanted = [*schema.names, *([schema.file.naming] if schema.file.naming else [])]
    for name in wanted:
        if names.count(name) != 1:
            raise DataError(f"{where}: {_miscounted(name, names, typed)}")
    for place, name in enumerate(names, start=1):
        if not name:
            raise DataError(
                f"{where}: column {place} of {len(names)} has no name, so nothing was read; give "
                "it one and list it in file.drop, or remove it (a delimiter at the end of every "
                "line makes such a column)"
            )
        if name not in wanted and name not in schema.file.drop:
            raise DataError(
                f"{where}: column {name!r} is not in the schema, so nothing was read; add a "
                f"section [columns.{name}], or list it in file.drop"
            )


def _check_delimiter(where: str, names: Sequence[str], schema: Schema) -> None:
    """A header of one cell that holds another delimiter: the schema has the wrong one."""
    mark = schema.file.delimiter
    others = {d: names[0].count(d) for d in raw.DELIMITERS if d != mark} if len(names) == 1 else {}
    found = max(others, key=lambda d: others[d], default="")
    if found and others[found]:
        raise DataError(
            f"{where}: no {mark!r} divides the header, which holds {found!r} {others[found]} "
            f"times, so nothing was read; set delimiter = {found!r} under [file] of the schema if "
            f"every silo has it, else save this file with {mark!r}"
        )


def _miscounted(name: str, names: Sequence[str], typed: bool) -> str:
    count = names.count(name)
    fact = f"column {name!r} appears {count} times in the header, the schema needs it once"
    if count > 1:
        return f"{fact}, so nothing was read; keep one of them, and remove or rename the others"
    spelt = [n for n in names if "".join(n.lower().split()) == "".join(name.lower().split())]
    if spelt:
        return f"{fact}, so nothing was read; it is spelt {spelt[0]!r} there: rename it"
    near = nearest(name, [n for n in names if n])
    hint = "An index is no column" if typed else "Set header = false if this line is a row"
    return f"{fact}, so nothing was read; {near}{'' if near.endswith('?') else '.'} {hint}."
