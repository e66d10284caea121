"""Results that are kept, one file each, so that an interrupted measurement goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def read(path: Path, bound: str) -> Result | None:
    """Return a kept result, or None where there is none, or one of anything else.

    Args:
        bound: all that the result depends on.
    """
    known: Result = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return known if known.get("settings") == _name(bound) else None


def write(path: Path, bound: str, result: Result) -> Result:
    """Keep a result, whole or not at all, and return it as it is kept."""
    known = {"settings": _name(bound), **result}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    return known


def read_or_make(path: Path, bound: str, make: Callable[[], Result]) -> tuple[Result, bool]:
    """Return a kept result and False, or make it, keep it, and return it and True.

    Args:
        bound: all that the result depends on; one that was kept for anything else is made again.
    """
    known = read(path, bound)
    return (write(path, bound, make()), True) if known is None else (known, False)


def _name(bound: str) -> str:
    return hashlib.sha256(bound.encode()).hexdigest()[:16]
