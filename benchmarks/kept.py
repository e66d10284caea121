"""Results that are kept, one file each, so that an interrupted measurement goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def read_or_make(path: Path, bound: str, make: Callable[[], Result]) -> tuple[Result, bool]:
    """Return a kept result and False, or make it, keep it, and return it and True.

    Args:
        bound: all that the result depends on; one that was kept for anything else is made again.
    """
    name = hashlib.sha256(bound.encode()).hexdigest()[:16]
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if known.get("settings") == name:
        return known, False
    known = {"settings": name, **make()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    return known, True
