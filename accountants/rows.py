"""What a ledger holds: its header, its charges, and how both are chained.

    mac_0 = HMAC-SHA256(key, encode("header", canonical JSON of the header))
    mac_k = HMAC-SHA256(key, mac_{k-1} || encode(row k, with the SHA-256 of its reply))

`encode` is injective: every field is written with its type and length.
"""

import hashlib
import hmac
import json
import struct
from dataclasses import asdict, dataclass, fields
from typing import Any

from accountants.errors import AccountingError, LedgerCorrupt
from accountants.event_json import from_json, to_json
from accountants.events import Adjacency, Event, Unit
from accountants.filter import GaussianFilter

ANSWER = "answer"
Field = int | float | str | bytes | None


@dataclass(frozen=True)
class Planned:
    """A precommitted mechanism: `event` is one use of it, `uses` how many are allowed.

    `group` is "R" where the result leaves the silo and "A" where it only trains the model.
    """

    kind: str
    group: str
    event: Event
    uses: int

    def __post_init__(self) -> None:
        if not self.kind or self.kind == ANSWER or self.group not in ("R", "A"):
            raise AccountingError(
                f"Planned(kind={self.kind!r}, group={self.group!r}) cannot be charged. Name a kind "
                f"other than {ANSWER!r} and a group 'R' (leaves the silo) or 'A' (stays inside)."
            )
        if isinstance(self.uses, bool) or not isinstance(self.uses, int) or self.uses < 1:
            raise AccountingError(f"Planned.uses={self.uses!r} is not a whole number >= 1.")
        to_json(self.event)


@dataclass(frozen=True)
class Header:
    """What is fixed before the first charge and chained as row 0.

    answers_cap: cap on the sum of mu^2 of the answers under the two-point bound; 0: none allowed.
    record_cap: cap on the answers' record-level mu^2 (ensembles without DP-SGD); None: not used.
    keep_replies: replies to answers of this many latest rounds stay for redelivery (>= 1).
    draws_cap: cap on the noise draws of all rows, for mechanisms whose delta grows with each draw;
        None: not counted.
    """

    ledger_id: str
    silo: str
    run: str
    unit: str
    adjacency: str
    delta: float
    planned: tuple[Planned, ...]
    answers_cap: float
    record_cap: float | None
    keep_replies: int
    version: str
    draws_cap: int | None = None

    def __post_init__(self) -> None:
        try:
            bytes.fromhex(self.ledger_id)
            object.__setattr__(self, "unit", Unit(self.unit).value)
            object.__setattr__(self, "adjacency", Adjacency(self.adjacency).value)
        except (ValueError, TypeError) as error:
            raise AccountingError(
                f"The header does not say what it protects: {error}. Give a hexadecimal ledger_id, "
                f"a unit among {[u.value for u in Unit]} and an adjacency among "
                f"{[a.value for a in Adjacency]}."
            ) from error
        if not 0.0 < self.delta < 1.0 or self.keep_replies < 1:
            raise AccountingError(
                f"delta={self.delta} must lie in (0, 1) and keep_replies={self.keep_replies} must "
                "be >= 1. Nothing was created."
            )
        if self.draws_cap is not None and (type(self.draws_cap) is not int or self.draws_cap < 0):
            raise AccountingError(
                f"draws_cap={self.draws_cap!r} is no whole number >= 0. Nothing was created."
            )
        object.__setattr__(self, "planned", tuple(self.planned))
        keys = [(p.kind, p.group, p.event) for p in self.planned]
        if len(set(keys)) != len(keys):
            raise AccountingError("A planned mechanism is listed twice. Add up its uses instead.")
        GaussianFilter(self.answers_cap)
        if self.record_cap is not None:
            GaussianFilter(self.record_cap)

    def canonical(self) -> str:
        """One JSON text per header: sorted keys, no spaces."""
        value = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.draws_cap is None:  # as headers were written before draws were counted
            del value["draws_cap"]
        value["planned"] = [{**asdict(p), "event": to_json(p.event)} for p in self.planned]
        return canonical_json(value)

    @staticmethod
    def parse(text: str) -> "Header":
        """The header that `canonical` wrote."""
        value = json.loads(text)
        planned = tuple(
            Planned(p["kind"], p["group"], from_json(p["event"]), p["uses"])
            for p in value.pop("planned")
        )
        return Header(planned=planned, **value)


@dataclass(frozen=True)
class Charge:
    """One committed row. `reply` is None where there was none or it has been pruned."""

    seq: int
    kind: str
    group: str
    digest: bytes
    event: Event
    mu2: float
    record_mu2: float | None
    uses: int
    round: int
    reply_sha256: bytes | None
    draws: int = 0
    reply: bytes | None = None

    def encoded(self) -> bytes:
        """Injective bytes of the row; the reply enters by its hash.

        A row without draws has the bytes of rows from before draws were counted.
        """
        event = canonical_json(to_json(self.event))
        draws = (self.draws,) if self.draws else ()
        return encode(
            "charge", self.seq, self.kind, self.group, self.digest, event, self.mu2,
            self.record_mu2, self.uses, self.round, self.reply_sha256, *draws,
        )  # fmt: skip


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; floats round-trip; NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def encode(*values: Field) -> bytes:
    """Length-prefixed, typed bytes: two different lists never encode alike."""
    parts = []
    for value in values:
        match value:
            case None:
                tag, body = b"n", b""
            case bool():
                raise TypeError("a bool has no encoding here")
            case int():
                tag, body = b"i", str(value).encode()
            case float():
                tag, body = b"f", struct.pack(">d", value)
            case str():
                tag, body = b"s", value.encode()
            case bytes():
                tag, body = b"b", value
        parts.append(tag + struct.pack(">Q", len(body)) + body)
    return b"".join(parts)


def first_mac(key: bytes, header: Header) -> bytes:
    """The chain's start."""
    return hmac.digest(key, encode("header", header.canonical()), "sha256")


def next_mac(key: bytes, previous: bytes, charge: Charge) -> bytes:
    """The chain's next link."""
    return hmac.digest(key, previous + charge.encoded(), "sha256")


def sha256(data: bytes) -> bytes:
    """SHA-256 of a reply."""
    return hashlib.sha256(data).digest()


def charge_from_columns(columns: tuple[Any, ...]) -> Charge:
    """A row as SQLite gave it, with every type checked.

    Raises:
        LedgerCorrupt: a column holds another type, or another spelling, than was written.
    """
    seq, kind, group, digest, event, mu2, record_mu2, uses, round_, reply_hash, draws = columns
    types = ((seq, int), (kind, str), (group, str), (digest, bytes), (event, str), (mu2, float),
             (uses, int), (round_, int), (draws, int))  # fmt: skip
    optional = ((record_mu2, float), (reply_hash, bytes))
    sound = all(type(v) is t for v, t in types) and all(
        v is None or type(v) is t for v, t in optional
    )
    try:
        if not sound:
            raise ValueError("a column changed its type")
        parsed = from_json(json.loads(event))
        if canonical_json(to_json(parsed)) != event:
            raise ValueError("the event is written otherwise")
    except (ValueError, RecursionError) as error:
        raise LedgerCorrupt(f"row {seq!r} cannot be read back ({error}); it was edited.") from error
    return Charge(
        seq, kind, group, digest, parsed, mu2, record_mu2, uses, round_, reply_hash, draws
    )
