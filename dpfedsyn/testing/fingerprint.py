"""A name for an example by its content, so that the same example meets the same verdict again."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Iterator
from typing import Any

import numpy as np


def fingerprint(*values: Any) -> bytes | None:
    """Return a digest of values, equal for equal content; None where one has no visible content.

    Functions count by code, defaults and closure; objects by class and attributes.
    """
    try:
        parts = list(_parts(values, ()))
    except TypeError:
        return None
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(joined).digest()


def _parts(value: Any, above: tuple[int, ...]) -> Iterator[bytes]:
    if id(value) in above:
        yield b"above"
        return
    above = (*above, id(value))
    yield type(value).__qualname__.encode()
    if value is None or isinstance(value, str | bytes | bool | int | float | complex | type):
        yield repr(value).encode()
    elif hasattr(value, "detach"):
        yield from _parts(value.detach().cpu().numpy(), above)
    elif isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        yield f"{array.dtype.str}{array.shape}".encode()
        yield repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
    elif isinstance(value, types.CodeType):
        yield value.co_code
        yield from _parts((value.co_consts, value.co_names), above)
    elif isinstance(value, types.FunctionType):
        closed = [cell.cell_contents for cell in value.__closure__ or ()]
        yield from _parts((value.__code__, value.__defaults__, value.__kwdefaults__, closed), above)
    elif isinstance(value, types.MethodType):
        yield from _parts((value.__func__, value.__self__), above)
    elif isinstance(value, functools.partial):
        yield from _parts((value.func, value.args, value.keywords), above)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _parts(key, above)
            yield from _parts(item, above)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _parts(item, above)
    elif isinstance(value, types.ModuleType | types.BuiltinFunctionType | np.ufunc):
        yield repr(value).encode()
    elif hasattr(value, "state_dict"):
        yield from _parts(dict(value.state_dict()), above)
    elif hasattr(value, "__dict__"):
        yield from _parts(vars(value), above)
    else:
        raise TypeError(f"{type(value)} shows no content")
