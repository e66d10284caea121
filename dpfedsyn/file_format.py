"""How a silo's file is written: the section [file] of a public schema."""

from dataclasses import dataclass

from dpfedsyn import sections
from dpfedsyn.sections import Section


@dataclass(frozen=True)
class FileFormat:
    """How a silo's file is written.

    Args:
        delimiter: one character between cells.
        header: the first line holds the column names.
        columns: the names in file order, for files without a header line.
        drop: columns of the file that are not read.
        missing: cells that mark a missing value; its row is left out if the column is kept.
        id: column whose cells name the rows, each its own; empty: the line number names a row.
        person_column: column whose cells say whose row it is; empty: every row is its own unit.
    """

    delimiter: str = ","
    header: bool = True
    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    id: str = ""
    person_column: str = ""

    @property
    def naming(self) -> str:
        """The column that names rows or persons, or nothing."""
        return self.person_column or self.id

    def faults(self) -> list[str]:
        """Return what is wrong with the declaration, one sentence each."""
        faults = []
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            faults.append(f"`delimiter` = {self.delimiter!r}; give one character")
        if self.header and self.columns:
            faults.append("`columns` is for files with header = false; remove one of the two")
        if not self.header and not self.columns:
            faults.append("`columns` is missing: with header = false it names the file's columns")
        if self.id and self.person_column:
            faults.append(
                f"`id` = {self.id!r} names rows and `person_column` = {self.person_column!r} "
                "persons: the claim is about one of them; keep one, and drop the other column"
            )
        for name in sorted({n for n in self.columns if self.columns.count(n) > 1}):
            faults.append(f"`columns` names {name!r} twice; names must differ")
        return faults


def read(section: Section) -> FileFormat | None:
    file = FileFormat(
        delimiter=section.take("delimiter", sections.text, ","),
        header=section.take("header", sections.flag, True),
        columns=section.take("columns", sections.texts, ()),
        drop=section.take("drop", sections.texts, ()),
        missing=section.take("missing", sections.texts, ()),
        id=section.take("id", sections.text, ""),
        person_column=section.take("person_column", sections.text, ""),
    )
    section.close()
    return None if section.broken else file
