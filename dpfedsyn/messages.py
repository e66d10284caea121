"""What travels between server and silo: numpy arrays and public numbers, never pickle.

The encoding is injective: a fixed magic, then every field behind its length. The digest of a query
under one ledger is therefore equal for equal content only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import ProtocolMismatch

QUERY, ANSWER = b"dpfedsyn-query/1", b"dpfedsyn-answer/2"
DTYPES = ("<i2", "<i4", "<i8")  # of an answer's arrays

Array = NDArray[np.float64]
Points = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, eq=False)
class ScoreQuery:
    """A question about N samples at one noise level.

    Attributes:
        run: name of the run. round_number: counts up over all passes of a run; public.
        t: time step, 0 (clean) ... 999. x: (N, d) float32. labels: (N,) int64.
        score_std, energy_std: noise that the silo is to add; `energy_std` None: no energies.
    """

    run: str
    round_number: int
    t: int
    x: NDArray[np.float32]
    labels: NDArray[np.int64]
    score_std: float
    energy_std: float | None


@dataclass(frozen=True, eq=False)
class PrivateAnswer:
    """What a silo releases: noised lattice points, and the public parameters of their noise.

    Attributes:
        points: (N, d) predicted noise in whole numbers of `spacing`. energy_points: (N,) energies
            less B/2, in whole numbers of `energy_spacing`; None where none were asked for.
        clip, energy_bound: C and B. score_std, energy_std: the noise that was drawn, per
            coordinate; never less than was asked for.
    """

    silo: str
    round_number: int
    t: int
    points: Points
    energy_points: Points | None
    clip: float
    energy_bound: float
    spacing: float
    energy_spacing: float | None
    score_std: float
    energy_std: float | None

    @property
    def noise(self) -> Array:
        """The noised predictions (N, d)."""
        return self.points.astype(np.float64) * self.spacing

    @property
    def energies(self) -> Array | None:
        """The noised energies (N,), or None."""
        if self.energy_points is None or self.energy_spacing is None:
            return None
        points = self.energy_points.astype(np.float64)
        return points * self.energy_spacing + 0.5 * self.energy_bound

    @property
    def payload(self) -> int:
        """Bytes of the arrays, without headers and transport."""
        energies = 0 if self.energy_points is None else self.energy_points.nbytes
        return self.points.nbytes + energies


def narrowed(points: NDArray[np.int64]) -> Points:
    """Return the same whole numbers in the smallest type of `DTYPES` that holds them all."""
    least, most = int(points.min(initial=0)), int(points.max(initial=0))
    for dtype in DTYPES[:-1]:
        limits = np.iinfo(dtype)
        if limits.min <= least and most <= limits.max:
            return points.astype(dtype)
    return points.astype(DTYPES[-1])


def digest(query: ScoreQuery, *context: bytes) -> bytes:
    """Return the SHA-256 that names this query under this context (ledger id, model nonce, ...).

    Guarantee:
        Equal digests mean equal content, bit for bit: the encoding is injective and covers the
        bits, shapes and dtypes of the arrays and every public parameter of the answer.
    """
    parts = [*context, encode_query(query)]
    return hashlib.sha256(b"".join(_prefixed(part) for part in parts)).digest()


def encode_query(query: ScoreQuery) -> bytes:
    """Encode a query."""
    header = {k: getattr(query, k) for k in ("run", "round_number", "t", "score_std", "energy_std")}
    return _encode(QUERY, header, query.x, query.labels)


def encode_answer(answer: PrivateAnswer) -> bytes:
    """Encode an answer."""
    energies = np.zeros(0, DTYPES[0]) if answer.energy_points is None else answer.energy_points
    return _encode(ANSWER, _numbers(answer), answer.points, energies)


def decode_answer(data: bytes) -> PrivateAnswer:
    """Decode an answer; `ProtocolMismatch` where the bytes are not one."""
    header, arrays = _decode(ANSWER, data)
    if len(arrays) != 2 or not isinstance(header, dict):
        raise ProtocolMismatch(f"an answer has a header and 2 arrays, not {len(arrays)}.")
    points, energies = arrays
    try:
        return PrivateAnswer(
            **header,
            points=points,
            energy_points=None if header["energy_std"] is None else energies,
        )
    except (TypeError, KeyError) as error:
        raise ProtocolMismatch(f"an answer's header does not fit version 2 ({error}).") from None


def _numbers(message: PrivateAnswer) -> dict[str, Any]:
    arrays = ("points", "energy_points")
    return {f.name: getattr(message, f.name) for f in fields(message) if f.name not in arrays}


def _prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part


def _encode(magic: bytes, header: dict[str, Any], *arrays: NDArray[Any]) -> bytes:
    parts = [magic, json.dumps(header, sort_keys=True, allow_nan=False).encode()]
    for array in arrays:
        description = {"dtype": array.dtype.str, "shape": list(array.shape)}
        parts += [json.dumps(description, sort_keys=True).encode(), array.tobytes()]
    return b"".join(_prefixed(part) for part in parts)


def _decode(magic: bytes, data: bytes) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    parts, position = [], 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 8], "big")
        parts.append(data[position + 8 : position + 8 + length])
        position += 8 + length
    if position != len(data) or len(parts) < 2 or parts[0] != magic:
        raise ProtocolMismatch(f"{len(data)} bytes are not a {magic.decode()} message.")
    try:
        arrays = []
        for description, raw in zip(parts[2::2], parts[3::2], strict=True):
            shape = json.loads(description)
            if shape["dtype"] not in DTYPES:
                raise ValueError(f"dtype {shape['dtype']!r}")
            arrays.append(np.frombuffer(raw, dtype=shape["dtype"]).reshape(shape["shape"]))
        return json.loads(parts[1]), arrays
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolMismatch(f"a {magic.decode()} message is damaged ({error}).") from None
