"""The public schema of a table: what every silo agrees on before a record is read.

A schema is a TOML file of public knowledge: how files are written ([file]), what the label is
([target]), and for each column ([columns.NAME]) its kind, bounds, categories and codes. Encoding,
decoding and every check follow from it alone, never from records.

    name = "clinic"

    [file]
    delimiter = ","
    header = true              # false: list the names in `columns`
    drop = ["comment"]         # columns that are not read
    missing = ["?", ""]        # a row with one of these in a kept column is left out, unless it
                               # is among the column's `missing_codes`
    id = "visit"               # optional: what names a row, else its line number
    person_column = "patient"  # or: whose row it is, where people have several (unit "person")

    [target]
    column = "outcome"
    values = [0, 1]
    labels = ["recovered", "relapsed"]

    [columns.age]
    kind = "integer"           # or "numeric", "date", "ordinal" (levels), "binary" (values),
    bounds = [18, 100]         # "categorical" (categories)
    outside = "clip"           # or "error"
    missing_codes = [-1]       # the row is kept, and the value missing

    [columns.relapsed]
    kind = "date"
    bounds = [2015-01-01, 2024-12-31]
    at_least = "treated"       # a column above; see `dpfedsyn.constraints`
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from dpfedsyn import column_sections, constraints, file_format, sections
from dpfedsyn.columns import Binary, Code, Column, Date, Target, token
from dpfedsyn.errors import ConfigError
from dpfedsyn.file_format import FileFormat
from dpfedsyn.sections import Section, nearest

Part: TypeAlias = FileFormat | Column | Target
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Schema:
    """Public description of one kind of table, shared by all silos.

    Raises:
        ConfigError: the parts contradict each other; every fault is listed.
    """

    name: str
    file: FileFormat
    columns: tuple[Column, ...]
    target: Target
    title: str = ""
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        faults = _own_faults([self.file, *self.columns, self.target])
        faults += _cross_faults(
            self.file, self.columns, self.target, [column.name for column in self.columns]
        )
        sections.refuse("schema", faults)

    @classmethod
    def load(cls, path: Path | str) -> "Schema":
        """Read a schema file.

        Raises:
            ConfigError: no such file, no valid TOML, or faults: all at once, each with the
                nearest valid key or value.
        """
        return cls.from_dict(sections.read(Path(path)), where=str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, where: str = "schema") -> "Schema":
        """Build a schema from the tables of its file; inverse of `to_dict`.

        Guarantee:
            A draft is refused whatever else it holds, so nothing runs on bounds that nobody has
            looked at.

        Raises:
            ConfigError: it is a draft, or at fault.
        """
        if "draft" in content:
            raise ConfigError(
                f"{where}: a draft, so nothing was read or run. Fill in bounds, categories and "
                "labels from public knowledge (a data dictionary, published ranges; never the "
                "records), and remove its line `draft`."
            )
        faults: list[str] = []
        top = Section(content, "", faults)
        name = top.need("name", sections.text, "")
        about = {key: top.take(key, sections.text, "") for key in ("title", "source", "licence")}
        file = file_format.read(Section(top.take("file", sections.table, _NOTHING), "file", faults))
        tables = top.need("columns", sections.table, _NOTHING)
        columns = [column_sections.read(key, tables[key], faults) for key in tables]
        target_table = top.need("target", sections.table, _NOTHING)
        target = _read_target(Section(target_table, "target", faults)) if target_table else None
        top.close()
        sound = [column for column in columns if column is not None]
        faults += _own_faults([part for part in (file, *sound, target) if part is not None])
        if file is not None and target is not None:
            faults += _cross_faults(file, sound, target, tuple(tables))
        sections.refuse(where, faults)
        if file is None or target is None:
            raise AssertionError("a part that could not be read has no fault")
        return cls(name, file, tuple(sound), target, **about)

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain JSON values, in the shape of its file."""
        return {
            **{key: getattr(self, key) for key in ("name", "title", "source", "licence")},
            "file": _plain(self.file),
            "target": _plain(self.target),
            "columns": {
                column.name: {"kind": column.kind, **_plain(column)} for column in self.columns
            },
        }

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the content, the order of the columns included."""
        # Keys stay unsorted: the order of the columns is the order of the coordinates.
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """Kept columns in schema order, the target last: the columns of a synthetic table."""
        return (*(column.name for column in self.columns), self.target.column)

    @property
    def formats(self) -> dict[str, str]:
        """How days are written, by column name."""
        return {c.name: c.format for c in self.columns if isinstance(c, Date)}

    @property
    def labels(self) -> tuple[str, ...]:
        """Public label names; y counts in this order."""
        return self.target.labels

    @property
    def blanks(self) -> dict[str, str]:
        """What a missing value is written as, by column name."""
        marker = self.file.missing[0] if self.file.missing else ""
        codes = {c.name: str(k[0]) for c in self.columns if (k := _missing_codes(c))}
        return dict.fromkeys(self.names, marker) | codes

    @cached_property
    def _markers(self) -> dict[str, frozenset[float | str]]:
        """The missing markers that leave a row out, by column name."""
        markers = frozenset(token(marker) for marker in self.file.missing)
        kept = {c.name: markers - set(map(token, _missing_codes(c))) for c in self.columns}
        return {"": markers, self.target.column: markers} | kept

    @property
    def of_synthetic(self) -> "Schema":
        """This schema for what `TableEncoder.frame` makes: a header line, nothing dropped."""
        return replace(self, file=FileFormat(missing=self.file.missing))

    def is_missing(self, cell: object, column: str = "") -> bool:
        """Return whether a cell is one of the public missing markers.

        Args:
            column: whose cell it is; those among its missing codes are none.
        """
        return token(cell) in self._markers[column]


def _missing_codes(column: Column) -> tuple[Code, ...]:
    return () if isinstance(column, Binary) else column.missing_codes


def _plain(part: Part) -> dict[str, Any]:
    """Return a part's fields as JSON values; what is None is not set, and left out."""
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    values.pop("name", None)
    return {key: _json(value) for key, value in values.items() if value is not None}


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_json(entry) for entry in value]
    return value.isoformat() if isinstance(value, date) else value


def _place(part: Part) -> str:
    if isinstance(part, FileFormat):
        return "file"
    return "target" if isinstance(part, Target) else f"columns.{part.name}"


def _own_faults(parts: Sequence[Part]) -> list[str]:
    return [f"{_place(part)}: {fault}" for part in parts for fault in part.faults()]


def _cross_faults(
    file: FileFormat, columns: Sequence[Column], target: Target, names: Sequence[str]
) -> list[str]:
    """Contradictions between the parts; `names` are all columns, also those not readable."""
    faults = []
    if not names:
        faults.append("columns: none is declared; add a [columns.NAME] section for each")
    markers = {token(marker) for marker in file.missing}
    for part in (*columns, target):
        for code in part.codes:
            if token(code) in markers:
                faults.append(
                    f"{_place(part)}: {code!r} is also a marker in file.missing; "
                    "remove one of the two"
                )
    faults += [f"columns.{name}: {fault}" for name, fault in constraints.faults(columns, names)]
    return faults + _name_faults(file, names, target.column)


def _name_faults(file: FileFormat, names: Sequence[str], target: str) -> list[str]:
    """Names that are declared twice, or that the file and the columns do not share."""
    uses = [(name, "a feature") for name in names] + [(target, "the target")]
    uses += [(name, "dropped") for name in file.drop]
    uses += [(file.id, "the id")] if file.id else []
    uses += [(file.person_column, "the person column")] if file.person_column else []
    faults, seen = [], dict[str, str]()
    for name, use in uses:
        if name in seen:
            faults.append(f"column {name!r} is {seen[name]} and {use}; keep one of the two")
        seen[name] = use
    if file.header or not file.columns:
        return faults
    for name in seen:
        if name not in file.columns:
            faults.append(f"column {name!r} is not in file.columns; {nearest(name, file.columns)}")
    for name in file.columns:
        if name not in seen:
            faults.append(
                f"file.columns names {name!r}, which has no section [columns.{name}]; "
                "add one, or list it in file.drop"
            )
    return faults


def _read_target(section: Section) -> Target | None:
    target = Target(
        column=section.need("column", sections.text, ""),
        values=section.need("values", sections.codes, ()),
        labels=section.need("labels", sections.texts, ()),
        positive=section.take("positive", sections.text, ""),
        title=section.take("title", sections.text, ""),
    )
    section.close()
    return None if section.broken else target
