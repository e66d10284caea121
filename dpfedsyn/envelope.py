"""What a silo's process is asked and what it replies: requests and replies, each with its tag.

A silo is asked how it is (`Health`), what it has released and spent (`Describe`), about samples
(`Ask`), and, where all silos' sums make the base, for its own (`Combine`). It does nothing else.
Every field is public: it depends on settings, on released values and on the ledger's sums, never on
records.
"""

from __future__ import annotations

import msgspec

from dpfedsyn.messages import Packed, decoded

STATES = ("waiting", "training", "ready", "failed")
MOST_REASON = 2000  # characters of a refusal


class Health(msgspec.Struct, frozen=True, tag="health/1", forbid_unknown_fields=True):
    """How is the silo?"""


class Describe(msgspec.Struct, frozen=True, tag="describe/1", forbid_unknown_fields=True):
    """What has the silo released and spent?"""


class Ask(msgspec.Struct, frozen=True, tag="ask/1", forbid_unknown_fields=True):
    """A question about samples: an encoded `ScoreQuery`."""

    query: bytes


class Released(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Released sums (float64), and the std of their noise."""

    values: Packed
    std: float


class Combine(msgspec.Struct, frozen=True, tag="combine/1", forbid_unknown_fields=True):
    """What all silos have answered so far: by question, then by silo in the run's order."""

    transcript: tuple[tuple[Released, ...], ...]


class Healthy(msgspec.Struct, frozen=True, tag="healthy/1", forbid_unknown_fields=True):
    """How the silo is.

    Attributes:
        state: of `STATES`. done, steps: how far training is. silo, run, version: who this is.
    """

    silo: str
    run: str
    version: str
    state: str
    done: int
    steps: int


class Spent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a ledger's rows of answers add up to."""

    answers_mu2: float
    record_mu2: float | None


class Description(msgspec.Struct, frozen=True, tag="description/1", forbid_unknown_fields=True):
    """What a silo has released, spent, and agreed to.

    Attributes:
        agreed: digest of the settings and the schema that all sides must have alike.
        counts, counts_std: noisy label counts (classes,) float64, where they are released.
        marginals, marginals_std: noisy histograms, where they are released.
        parameters: of the silo's network. released, inside: kinds of what was charged in the groups
            R and A, in the ledger's order. answers: how many were charged. spent: their sum.
        ledger_id, ledger_head: of the silo's ledger.
    """

    silo: str
    run: str
    version: str
    agreed: str
    counts: Packed | None
    counts_std: float
    marginals: Packed | None
    marginals_std: float
    parameters: int
    released: tuple[str, ...]
    inside: tuple[str, ...]
    answers: int
    spent: Spent
    ledger_id: str
    ledger_head: str


class Answered(msgspec.Struct, frozen=True, tag="answered/1", forbid_unknown_fields=True):
    """An encoded `PrivateAnswer`, and what the ledger's rows add up to with it."""

    answer: bytes
    spent: Spent


class Summed(msgspec.Struct, frozen=True, tag="summed/1", forbid_unknown_fields=True):
    """A silo's sums for the next question, and the std of their noise."""

    values: Packed
    std: float


class Refused(msgspec.Struct, frozen=True, tag="refused/1", forbid_unknown_fields=True):
    """Why there is no answer.

    Attributes:
        kind: "budget" (it does not fit), "mismatch" (no question for this silo), "pruned" (answered
            too long ago), "not ready" (training), "fault" (only the silo's log says more).
    """

    kind: str
    reason: str


Request = Health | Describe | Ask | Combine
Reply = Healthy | Description | Answered | Summed | Refused

_ENCODER = msgspec.msgpack.Encoder()
_REQUESTS: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Encode a request or a reply."""
    return _ENCODER.encode(message)


def request(data: bytes) -> Request:
    """Decode a request; `ProtocolMismatch` where the bytes are not one."""
    return decoded(_REQUESTS, data, "request")


def reply(data: bytes) -> Reply:
    """Decode a reply; `ProtocolMismatch` where the bytes are not one."""
    return decoded(_REPLIES, data, "reply")
