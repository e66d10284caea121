"""What a silo's process is asked and what it replies: requests and replies, each with its tag.

A silo is asked how it is (`Health`), what it has released and spent (`Describe`), about samples
(`Ask`), and, where all silos' sums make the base, for its own (`Combine`). It does nothing else.
Every field is public: it depends on settings, on released values and on the ledger's sums, never on
records.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from dpfedsyn.messages import Packed, decoded

STATES = ("waiting", "training", "ready", "failed")
MOST_REASON = 2000  # characters of a refusal
MOST_QUESTIONS = 32  # in a transcript; settings allow fewer

# A reader's memory is no more than a few times the bytes that it was sent.
Word = Annotated[str, Meta(max_length=200)]
Reason = Annotated[str, Meta(max_length=MOST_REASON)]
Kinds = Annotated[tuple[Word, ...], Meta(max_length=100)]


class Health(msgspec.Struct, frozen=True, tag="health/1", forbid_unknown_fields=True):
    """How is the silo?"""


class Describe(msgspec.Struct, frozen=True, tag="describe/1", forbid_unknown_fields=True):
    """What has the silo released and spent?"""


class Ask(msgspec.Struct, frozen=True, tag="ask/1", forbid_unknown_fields=True):
    """A question about samples: an encoded `ScoreQuery`."""

    query: bytes


class Released(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What all silos answered to one question, in the run's order.

    Attributes:
        values: sums (silos, numbers) float64. stds: of their noise, (silos,) float64.
    """

    values: Packed
    stds: Packed


Transcript = Annotated[tuple[Released, ...], Meta(max_length=MOST_QUESTIONS)]


class Combine(msgspec.Struct, frozen=True, tag="combine/1", forbid_unknown_fields=True):
    """What is this silo's answer to the next question, after these?

    Attributes:
        transcript: what all silos have answered so far, by question. agreed: as in `Description`:
            a silo that means another run answers nothing.
    """

    transcript: Transcript
    agreed: Word


class Healthy(msgspec.Struct, frozen=True, tag="healthy/1", forbid_unknown_fields=True):
    """How the silo is.

    Attributes:
        state: of `STATES`. done, steps: how far training is. silo, run, version: who this is.
        agreed: as in `Description`.
    """

    silo: Word
    run: Word
    version: Word
    state: Word
    done: int
    steps: int
    agreed: Word


class Spent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a ledger's rows of answers add up to.

    Attributes:
        answers: how many they are. ledger_id, ledger_head: whose, and its newest row: nobody else's
            answers are among them.
    """

    answers_mu2: float
    record_mu2: float | None
    answers: int = 0
    ledger_id: Word = ""
    ledger_head: Word = ""


class Description(msgspec.Struct, frozen=True, tag="description/1", forbid_unknown_fields=True):
    """What a silo has released, spent, and agreed to.

    Attributes:
        agreed: digest of the settings and the schema that all sides must have alike.
        counts, counts_std: noisy label counts (classes,) float64, where they are released.
        marginals, marginals_std: noisy histograms, where they are released.
        parameters: of the silo's network. released, inside: kinds of what was charged in the groups
            R and A, in the ledger's order. answers: how many were charged. spent: their sum.
        ledger_id, ledger_head: of the silo's ledger. base: digest of the transcript that made the
            silo's base; empty where it made its own.
    """

    silo: Word
    run: Word
    version: Word
    agreed: Word
    counts: Packed | None
    counts_std: float
    marginals: Packed | None
    marginals_std: float
    parameters: int
    released: Kinds
    inside: Kinds
    answers: int
    spent: Spent
    ledger_id: Word
    ledger_head: Word
    base: Word


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

    kind: Word
    reason: Reason


Request = Health | Describe | Ask | Combine
Reply = Healthy | Description | Answered | Summed | Refused

_ENCODER = msgspec.msgpack.Encoder()
_REQUESTS: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_REPLIES: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """Encode a request or a reply."""
    return _ENCODER.encode(message)


def digest(transcript: tuple[Released, ...]) -> str:
    """Return the SHA-256 of a transcript, in hex: equal digests mean equal sums, bit for bit."""
    return hashlib.sha256(_ENCODER.encode(transcript)).hexdigest()


def request(data: bytes) -> Request:
    """Decode a request; `ProtocolMismatch` where the bytes are not one."""
    return decoded(_REQUESTS, data, "request")


def reply(data: bytes) -> Reply:
    """Decode a reply; `ProtocolMismatch` where the bytes are not one."""
    return decoded(_REPLIES, data, "reply")
