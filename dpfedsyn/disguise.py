"""What a file really is, where it is not what was asked for: told from its first bytes.

Errors name places in the file. They are for its owner and never leave the silo.
"""

from __future__ import annotations

from pathlib import Path

from dpfedsyn.errors import DataError

HEAD = 4096  # bytes that are looked at
_UNPACK = "unpack it and give the file within"
_SAVE = "save it as UTF-8"
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"PK\x03\x04", "a ZIP archive or a workbook", f"{_UNPACK}, or save the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"PAR1", "a Parquet file", "let its name end in .parquet"),
    (b"ARROW1", "an Arrow file", "write it as Parquet or CSV"),
    (b"\x89HDF", "an HDF5 file", "write the table as Parquet or CSV, images as NPZ"),
    (b"\x93NUMPY", "a single NumPy array", "write an archive with numpy.savez_compressed"),
    (b"SQLite format 3", "a SQLite database", "export the table as CSV"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
    (b"\x89PNG", "a picture", "give a folder of pictures, a folder per label"),
    (b"\xff\xd8\xff", "a picture", "give a folder of pictures, a folder per label"),
    (b"\xff\xfe", "text in UTF-16", _SAVE),
    (b"\xfe\xff", "text in UTF-16", _SAVE),
)


def kind(head: bytes) -> tuple[str, str] | None:
    """Return what a file is that begins with these bytes and what to do; None: nothing known."""
    for magic, name, mend in _KINDS:
        if head.startswith(magic):
            return name, mend
    return None


def refuse(path: Path) -> None:
    """Refuse a file that is no UTF-8 text.

    Raises:
        DataError: what it is instead, and the mend; where only some of it is no text, the line.
            OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if found := _foreign(file.read(HEAD)):
            name, mend = found
            raise DataError(f"{path}: not a table of text but {name}, so nothing was read; {mend}")
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                odd = line[error.start : error.start + 1]
                raise DataError(
                    f"{path}, line {number}: not a table of text in UTF-8 (byte 0x{odd.hex()}, in "
                    f"Windows-1252 and Latin-1 {odd.decode('cp1252', 'replace')!r}), so nothing "
                    f"was read; {_SAVE}"
                ) from None


def _foreign(head: bytes) -> tuple[str, str] | None:
    """What a file is that begins so; None: text, as far as the beginning tells."""
    if b"\x00" not in head and (found := kind(head)) is not None:
        # A column may have any name; only what no text holds makes it another kind of file.
        return found if _undecodable(head) else None
    if b"\x00" in head:
        line = head[: head.index(b"\x00")].count(b"\n") + 1
        zero = f"bytes (line {line} holds a zero byte, as UTF-16 text and binary files do)", _SAVE
        return kind(head) or zero
    return None


def _undecodable(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start < len(head) - 3  # a character may be cut in two at the end
    return False
