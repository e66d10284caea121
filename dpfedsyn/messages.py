"""What travels between server and silo: numpy arrays and public numbers, never pickle.

The encoding is injective: a fixed magic, then every field behind its length. The digest of a query
under one ledger is therefore equal for equal content only.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.errors import ProtocolMismatch

QUERY, ANSWER = b"dpfedsyn-query/1", b"dpfedsyn-answer/1"
DTYPES = ("<f4",)  # of an answer's arrays


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
    """What a silo releases: noised predictions (N, d), noised energies (N,) or None, and the
    public parameters that the noise was calibrated with."""

    silo: str
    round_number: int
    t: int
    noise: NDArray[np.float32]
    energies: NDArray[np.float32] | None
    clip: float
    energy_bound: float
    score_std: float
    energy_std: float | None


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
    header = {k: v for k, v in _numbers(answer).items()}
    empty = np.zeros(0, dtype=np.float32)
    energies = empty if answer.energies is None else answer.energies
    return _encode(ANSWER, header, answer.noise, energies)


def decode_answer(data: bytes) -> PrivateAnswer:
    """Decode an answer; `ProtocolMismatch` where the bytes are not one."""
    header, arrays = _decode(ANSWER, data)
    if len(arrays) != 2 or not isinstance(header, dict):
        raise ProtocolMismatch(f"an answer has a header and 2 arrays, not {len(arrays)}.")
    noise, energies = arrays
    try:
        return PrivateAnswer(
            **header, noise=noise, energies=None if header["energy_std"] is None else energies
        )
    except (TypeError, KeyError) as error:
        raise ProtocolMismatch(f"an answer's header does not fit version 1 ({error}).") from None


def _numbers(message: PrivateAnswer) -> dict[str, Any]:
    return {k: v for k, v in asdict(message).items() if k not in ("noise", "energies")}


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
