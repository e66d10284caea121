"""A JSON file that holds one object: what diffusers and declarations write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dpfedsyn.errors import ModelError


def read(path: Path, mend: str) -> dict[str, Any]:
    """Return a file's object.

    Args:
        mend: what to give instead, for the message.

    Raises:
        ModelError: no such file, no JSON, nested too deeply, or something else than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: cannot be read ({_reason(error)}), so nothing was loaded. {mend}"
        ) from None
    return content


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
