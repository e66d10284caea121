"""What a cell that is not a number may have been meant as: a remark for the owner of the file.

A remark is made of the one cell that it is about, and stands in the message that names the cell.
"""

from __future__ import annotations

import math
import re
import unicodedata

_THOUSANDS = re.compile(
    r"[+-]?\d{1,3}(?P<mark>[ ,.'\u2019\u00a0\u202f])\d{3}((?P=mark)\d{3})*", re.ASCII
)
_EUROPEAN = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+", re.ASCII)
_ENGLISH = re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d+", re.ASCII)
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}([T ][\d:.]+(Z|[+-][\d:]+)?)?", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", re.ASCII)
_WITH_UNIT = re.compile(r"[$€£¥]?\s*(?P<number>[+-]?\d+(\.\d+)?)\s*(%|€|£| [^\d]+)?", re.ASCII)
_LIMIT = re.compile(r"[<>~≤≥±]+\s*=?\s*[+-]?\d.*", re.ASCII)
_MISSING = frozenset(
    (
        *("na", "n/a", "nan", "null", "none", "nil", "missing", "unknown", "unk"),
        *("-", "--", ".", "?", "*"),
        *("#n/a", "#null!", "#value!", "#ref!", "#div/0!", "#name?", "#num!"),
    )
)
_TRUTHS = {"true": 1, "false": 0, "yes": 1, "no": 0}


def remark(cell: object) -> str:
    """Return " (what it looks like: what to write)", or nothing where it looks like nothing."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return ""
    text = str(cell).strip()
    found = _remark(text)
    return f" ({found})" if found else ""


def _remark(text: str) -> str:
    if not text:
        return "an empty cell"
    if text.lower() in _MISSING:
        return "it looks like a missing value"
    if text.lower() in _TRUTHS:
        return f"a truth value: write {_TRUTHS[text.lower()]}"
    if _DATE.fullmatch(text):
        return 'it looks like a date: declare kind = "date" in the schema'
    if _CLOCK.fullmatch(text):
        return "it looks like a time: write the hours or minutes"
    return _separators(text) or _characters(text)


def _separators(text: str) -> str:
    """Commas, points and blanks that people write into numbers."""
    if thousands := _THOUSANDS.fullmatch(text):
        whole = text.replace(thousands["mark"], "")
        if thousands["mark"] == "," and text.count(",") == 1:
            return f"a comma: write {whole}, or {text.replace(',', '.')} if it is a decimal comma"
        return f"thousands are set apart: write {whole}"
    if _EUROPEAN.fullmatch(text):
        return f"a decimal comma: write {text.replace('.', '').replace(',', '.')}"
    if _ENGLISH.fullmatch(text):
        return f"thousands are set apart: write {text.replace(',', '')}"
    return ""


def _characters(text: str) -> str:
    """Digits of other scripts, minus signs that are none, units."""
    plain = text.replace("\u2212", "-").replace("\u2013", "-")
    plain = "".join(str(unicodedata.decimal(c, c)) for c in plain)
    if plain != text and re.fullmatch(r"[+-]?\d+(\.\d+)?", plain, re.ASCII):
        return f"characters that are no ASCII digits: write {plain}"
    if _LIMIT.fullmatch(text):
        return "a limit instead of a value: write a value, or mark it as missing"
    if unit := _WITH_UNIT.fullmatch(text):
        return f"more than a number: write {unit['number']}"
    return ""
