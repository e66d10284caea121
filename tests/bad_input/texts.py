"""Files that are no table of text, or not the table that the schema describes."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
from pathlib import Path
from unittest import mock

from tests.bad_input.case import GOOD, HEADER, PERSONS, ROW, TABLE, Case, table


def place(make: str, *said: str, mend: str) -> Case:
    """A path at which there is no file to read."""

    def made(folder: Path) -> Path:
        path = folder / "silo.csv"
        if make == "folder":
            path.mkdir()
        if make == "dangling":
            path.symlink_to("nowhere.csv")
        if make == "loop":
            path.symlink_to("silo.csv")
        if make == "below a file":
            path.write_text(GOOD)
            path /= "more.csv"
        return path

    return Case(made, TABLE.read, ("FILE", *said), mend)


def unreadable(folder: Path) -> Path:
    """A sound file."""
    (folder / "silo.csv").write_text(GOOD)
    return folder / "silo.csv"


def refused(path: Path) -> object:
    """Read a file that the system does not open (to root it would open one of any mode)."""
    denied = PermissionError(errno.EACCES, "Permission denied", str(path))
    with mock.patch.object(io, "open", side_effect=denied):
        return TABLE.read(path)


CASES = {
    "semicolons": table(
        GOOD.replace(",", ";"), "line 1", "';' 4 times", mend="set delimiter = ';'"
    ),
    "tabs": table(GOOD.replace(",", "\t"), "line 1", r"'\t' 4 times", mend=r"delimiter = '\t'"),
    "bars": table(GOOD.replace(",", "|"), "line 1", "'|' 4 times", mend="set delimiter = '|'"),
    "blanks": table(GOOD.replace(",", " "), "line 1", "'age' appears 0 times", mend="known are"),
    "Latin-1": table(
        f"{HEADER}\n{ROW}\np2,41,caf\xe9,south,ill\n".encode("latin-1"),
        "line 3", "byte 0xe9", "'é'", mend="save it as UTF-8",
    ),
    "Windows-1252 after many lines": table(
        (GOOD + "\n" * 5000).encode() + "p3,41,\u20ac,south,ill\n".encode("cp1252"),
        "line 5004", "byte 0x80", "'€'", mend="save it as UTF-8",
    ),
    "UTF-16": table(GOOD.encode("utf-16"), "text in UTF-16", mend="save it as UTF-8"),
    "UTF-16 without a mark": table(
        GOOD.encode("utf-16-le"), "line 1 holds a zero byte", mend="save it as UTF-8"
    ),
    "a zero byte": table(GOOD.replace("41", "4\x001"), "line 3", mend="save it as UTF-8"),
    "gzip by another name": table(
        gzip.compress(GOOD.encode()), "a gzip file", mend="unpack it and give the file within"
    ),
    "bzip2 by another name": table(bz2.compress(GOOD.encode()), "bzip2", mend="unpack it"),
    "xz by another name": table(lzma.compress(GOOD.encode()), "an xz file", mend="unpack it"),
    "a workbook": table(
        b"PK\x03\x04\x14\x00\x06\x00" + bytes(60), "workbook", mend="save the sheet as CSV"
    ),
    "an old workbook": table(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60), "Excel", mend="save the sheet as CSV"
    ),
    "a database": table(
        b"SQLite format 3\x00" + bytes(60), "SQLite", mend="export the table as CSV"
    ),
    "a picture": table(
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "a picture", mend="a folder of pictures"
    ),
    "a page of the web": table("<html><body>Sign in</body></html>\n", "line 1", mend="known are"),
    "a quote never closed": table(
        f'{HEADER}\n{ROW}\n\np2,41,"open,south,ill\np3,42,,south,ill\n',
        "line 4", mend="correct the quotation marks",
    ),
    "a quote within a cell": table(
        f'{HEADER}\np2,"41"x,,south,ill\n', "line 2", mend="correct the quotation marks"
    ),
    "a row too short": table(
        f"{GOOD}# exported in spring\n", "line 4: 1 fields instead of 5", mend="correct the line"
    ),
    "a row too long": table(
        f"{HEADER}\n{ROW}\np2,1,041,,south,ill\n", "line 3: 6 fields instead of 5",
        mend="correct the line",
    ),
    "a name twice": table(
        f"{HEADER.replace('comment', 'ward')}\n{ROW}\n", "line 1", "'ward' appears 2 times",
        mend="keep one of them",
    ),
    "a name in capitals": table(
        f"{HEADER.replace('age', 'AGE')}\n{ROW}\n", "line 1", "it is spelt 'AGE' there",
        mend="rename it",
    ),
    "a column without a name": table(
        f"{HEADER},\n{ROW},\n", "line 1", "column 6 of 6 has no name", mend="give it one"
    ),
    "no target": table(
        "patient,age,comment,ward\np1,40,,north\n", "line 1", "'outcome' appears 0 times",
        mend="known are patient, age, comment, ward",
    ),
    "no id": table(
        "age,comment,ward,outcome\n40,,north,well\n", "line 1", "'patient' appears 0 times",
        mend="known are",
    ),
    "a column that the schema has not": table(
        f"{HEADER},bmi\n{ROW},22\n", "line 1", "'bmi' is not in the schema",
        mend="list it in file.drop",
    ),
    "no header line": table(
        f"{ROW}\n", "line 1", "'age' appears 0 times", mend="Set header = false"
    ),
    "a title above the header": table(
        f"Clinic in spring\n{GOOD}", "line 1", "known are Clinic in spring", mend="Set header"
    ),
    "two files behind each other": table(
        GOOD + GOOD.replace("p1", "p3").replace("p2", "p4"), "line 4, column age",
        "repeats the column names", mend="remove it",
    ),
    "an id twice": table(
        f"{GOOD}\np1,50,,east,ill\n", "line 5, column patient", "'p1' names line 2 too",
        mend="write person_column = 'patient' in place of `id`",
    ),
    "nobody in a row": table(
        f"{GOOD},50,,east,ill\n", "line 4, column patient", "nobody knows whose row it is",
        mend="remove `person_column`", schema=PERSONS,
    ),
    "no column of persons": table(
        "age,comment,ward,outcome\n40,,north,well\n", "line 1", "'patient' appears 0 times",
        mend="known are", schema=PERSONS,
    ),
    "no id in a row": table(
        f"{GOOD}n/a,50,,east,ill\n", "line 4, column patient", "the id is missing", mend="fill it"
    ),
    "nothing at all": table("", "no rows and no header line", mend="write the header line alone"),
    "a mark and nothing": table(b"\xef\xbb\xbf\n\n", "no header line", mend="write the header"),
    "a header alone": table(f"{HEADER}\n", "holds no rows", mend="fill it"),
    "missing in every row": table(
        f"{HEADER}\np1,,,north,well\np2,n/a,,south,ill\n", "none of 2 rows is left",
        mend="list columns that are mostly missing under file.drop",
    ),
    "no such file": place("", "No such file", mend="correct the path"),
    "a folder": place("folder", "Is a directory", mend="correct the path"),
    "a link that leads nowhere": place("dangling", "No such file", mend="correct the path"),
    "a link to itself": place("loop", "symbolic links", mend="correct the path"),
    "a path below a file": place("below a file", "Not a directory", mend="correct the path"),
    "a file that may not be read": Case(
        unreadable, refused, ("FILE", "Permission denied"), "correct the path"
    ),
}  # fmt: skip
