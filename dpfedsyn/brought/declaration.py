"""The JSON file that declares a module of a silo's own, beside its weights.

{
  "module": "my_package.models:denoiser",     what to import, and call without arguments
  "weights": "weights.safetensors",           beside this file
  "shape": [14],                              of a sample: coordinates, or [1, height, width]
  "range": [-1, 1],                           pictures only: black and white; this is default
  "labels": true,                             whether it is called with labels
  "schedule": {"prediction_type": "epsilon", "beta_schedule": "linear",
               "beta_start": 0.0001, "beta_end": 0.02, "num_train_timesteps": 1000}
}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dpfedsyn.brought import json_object, levels
from dpfedsyn.errors import ModelError
from dpfedsyn.sections import nearest

KEYS = ("module", "weights", "shape", "range", "labels", "schedule")
NEEDED = ("module", "weights", "shape", "schedule")
FARTHEST, NARROWEST = 1e6, 1e-3  # ends of a range, and its span: float32 keeps a picture in it
_MEND = "Give a JSON file that declares the model, or a folder that diffusers saved."


def read(path: Path) -> dict[str, Any]:
    """Return what a file declares, every key of its kind; whether it fits a schema is open.

    Raises:
        ModelError: it cannot be read, or names every key that is missing, unknown or no value of
            its kind.
    """
    content = json_object.read(path, _MEND)
    faults = _faults(content)
    if faults:
        raise ModelError(
            f"{path}: {'; '.join(faults)}; nothing was loaded. A declaration has "
            f"{', '.join(NEEDED)}, and may have range (pictures) and labels."
        )
    return content


def _faults(content: Mapping[str, Any]) -> list[str]:
    faults = [f"`{key}` is missing" for key in NEEDED if key not in content]
    faults += _unknown(content, KEYS, "")
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "module": (_is_factory, '"package.module:name"'),
        "weights": (_is_name, "the name of a file beside this one"),
        "shape": (_is_shape, "[d] or [1, height, width]"),
        "range": (_is_range, f"[black, white], from {-FARTHEST:.0f} to {FARTHEST:.0f} and "
                             f"{NARROWEST:g} or more apart"),
        "labels": (lambda value: isinstance(value, bool), "true or false"),
        "schedule": (lambda value: isinstance(value, dict), "an object"),
    }  # fmt: skip
    for key, (test, words) in checks.items():
        if key in content and not test(content[key]):
            faults.append(f"`{key}` = {_shown(content[key])} is not {words}")
    if isinstance(content.get("schedule"), dict):
        faults += _unknown(content["schedule"], levels.KEYS, "schedule.")
    shape = content.get("shape")
    if "range" in content and isinstance(shape, list) and len(shape) == 1:
        faults.append("`range` is of pictures, and `shape` declares vectors: leave it out")
    return faults


def _unknown(content: Mapping[str, Any], known: tuple[str, ...], before: str) -> list[str]:
    return [
        f"`{before}{key}` is unknown; {nearest(key, known)}" for key in content if key not in known
    ]


def _shown(value: Any) -> str:
    """As it stands in the file, or its beginning."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _is_factory(value: Any) -> bool:
    parts = value.split(":") if isinstance(value, str) else []
    return len(parts) == 2 and all(
        name.isidentifier() for part in parts for name in part.split(".")
    )


def _is_name(value: Any) -> bool:
    named = isinstance(value, str) and value.isprintable() and value not in ("", "..")
    return named and Path(value).name == value


def _is_shape(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (1, 3)
        and all(type(side) is int and side > 0 for side in value)
    )


def _is_range(value: Any) -> bool:
    if not (isinstance(value, list) and len(value) == 2):
        return False
    numbers = all(type(end) in (int, float) and -FARTHEST <= end <= FARTHEST for end in value)
    return numbers and value[1] - value[0] >= NARROWEST
