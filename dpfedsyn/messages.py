"""What travels between server and silo: MessagePack of a strict schema, never pickle.

A message is one map, tagged with what it is and in which version; fields that are missing, more or
of another type are refused. The encoding is injective: equal bytes mean equal content, bit for bit,
so the digest of a query under one ledger names that query alone.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from dpfedsyn.errors import ProtocolMismatch

QUERY, ANSWER = "dpfedsyn-query/2", "dpfedsyn-answer/3"
QUERY_DTYPES = ("<f4", "<i8")  # of samples and labels
DTYPES = ("<i2", "<i4", "<i8")  # of an answer's arrays
MOST_DIMENSIONS = 2

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
    return _ENCODER.encode(
        _Query(
            query.run,
            query.round_number,
            query.t,
            Packed.of(query.x),
            Packed.of(query.labels),
            _plain(query.score_std),
            None if query.energy_std is None else _plain(query.energy_std),
        )
    )


def _plain(number: float) -> float:
    """A float of NumPy as Python's, which is what the format knows; an integer stays one."""
    return float(number) if isinstance(number, float) else number


def decode_query(data: bytes) -> ScoreQuery:
    """Decode a query; `ProtocolMismatch` where the bytes are not one."""
    raw = _of_kind(data, _Query, QUERY)
    x, labels = raw.x.array(QUERY_DTYPES[:1]), raw.labels.array(QUERY_DTYPES[1:])
    return ScoreQuery(raw.run, raw.round_number, raw.t, x, labels, raw.score_std, raw.energy_std)


def encode_answer(answer: PrivateAnswer) -> bytes:
    """Encode an answer."""
    energies = None if answer.energy_points is None else Packed.of(answer.energy_points)
    return _ENCODER.encode(
        _Answer(
            answer.silo,
            answer.round_number,
            answer.t,
            Packed.of(answer.points),
            energies,
            answer.clip,
            answer.energy_bound,
            answer.spacing,
            answer.energy_spacing,
            answer.score_std,
            answer.energy_std,
        )
    )


def decode_answer(data: bytes) -> PrivateAnswer:
    """Decode an answer; `ProtocolMismatch` where the bytes are not one."""
    raw = _of_kind(data, _Answer, ANSWER)
    energies = None if raw.energy_points is None else raw.energy_points.array(DTYPES)
    return PrivateAnswer(
        raw.silo,
        raw.round_number,
        raw.t,
        raw.points.array(DTYPES),
        energies,
        raw.clip,
        raw.energy_bound,
        raw.spacing,
        raw.energy_spacing,
        raw.score_std,
        raw.energy_std,
    )


class Packed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An array: type, shape, and its numbers in C order."""

    dtype: Annotated[str, Meta(max_length=20)]
    shape: Annotated[tuple[int, ...], Meta(max_length=MOST_DIMENSIONS)]
    data: bytes

    @classmethod
    def of(cls, array: NDArray[Any]) -> Packed:
        """Pack an array."""
        return cls(array.dtype.str, array.shape, array.tobytes())

    def array(self, dtypes: tuple[str, ...]) -> NDArray[Any]:
        """Return the array; `ProtocolMismatch` where it is not one of these types."""
        if self.dtype not in dtypes:
            raise ProtocolMismatch(f"an array of type {self.dtype[:20]!r}, not {dtypes}.")
        dtype = np.dtype(self.dtype)
        sound = len(self.shape) <= MOST_DIMENSIONS and all(n >= 0 for n in self.shape)
        if not sound or math.prod(self.shape) * dtype.itemsize != len(self.data):
            raise ProtocolMismatch(f"{len(self.data)} bytes do not fill an array's shape.")
        try:
            return np.frombuffer(self.data, dtype=dtype).reshape(self.shape).copy()
        except ValueError:  # an empty array may have a side that no index can hold
            raise ProtocolMismatch("an array has a shape that no array can have.") from None


class _Query(msgspec.Struct, frozen=True, tag=QUERY, forbid_unknown_fields=True):
    run: str
    round_number: int
    t: int
    x: Packed
    labels: Packed
    score_std: float
    energy_std: float | None


class _Answer(msgspec.Struct, frozen=True, tag=ANSWER, forbid_unknown_fields=True):
    silo: str
    round_number: int
    t: int
    points: Packed
    energy_points: Packed | None
    clip: float
    energy_bound: float
    spacing: float
    energy_spacing: float | None
    score_std: float
    energy_std: float | None


_ENCODER = msgspec.msgpack.Encoder()
# Of a union, for a lone type would be read without its tag.
_MESSAGES: msgspec.msgpack.Decoder[_Query | _Answer] = msgspec.msgpack.Decoder(_Query | _Answer)

Decoded = TypeVar("Decoded")
_Message = TypeVar("_Message", _Query, _Answer)


def decoded(decoder: msgspec.msgpack.Decoder[Decoded], data: bytes, what: str) -> Decoded:
    """Decode by a strict schema; `ProtocolMismatch` where the bytes do not fit it."""
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ProtocolMismatch(
            f"{len(data)} bytes are not a {what} message ({ascii(str(error))[:200]})."
        ) from None


def _of_kind(data: bytes, kind: type[_Message], what: str) -> _Message:
    message = decoded(_MESSAGES, data, what)
    if not isinstance(message, kind):
        raise ProtocolMismatch(f"{len(data)} bytes are not a {what} message, but of another kind.")
    return message


def _prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part
