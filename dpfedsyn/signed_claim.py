"""What somebody else promises of a model that was not trained here: a claim, signed (Ed25519).

    {
      "version": 1,
      "epsilon": 3.0, "delta": 1e-6, "unit": "record", "adjacency": "add-or-remove",
      "data": "discharge letters 2019 to 2023",
      "signer": "Statistics unit of the hospital",
      "model": "SHA-256 of the opening and of the weights' own SHA-256",
      "signature": "..."
    }

A hash of weights is a release that depends on records. So the claim holds a commitment instead,
which says nothing to who lacks its opening: 32 random bytes in a file beside the claim that stays
in the silo. Whose key signed it, the configuration says: a key inside a claim would prove nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from accountants import Adjacency, ApproximateDP
from accountants.rows import encode
from dpfedsyn import publication
from dpfedsyn.errors import ModelError
from dpfedsyn.keys import SiloKey, is_signed
from dpfedsyn.settings import PERSON, RECORD, Config, SiloSettings

VERSION = 1
OPENING_BYTES = 32


@dataclass(frozen=True)
class Claim:
    """An (epsilon, delta) that a signer answers for; all of it is public.

    Args:
        unit, adjacency: as of `PrivacySettings`. data: what the model was trained on, in words.
        model: commitment to its weights (hex). signature: hex; empty: not signed.
    """

    epsilon: float
    delta: float
    unit: str
    adjacency: str
    data: str
    signer: str
    model: str
    signature: str = ""

    def checked(self) -> Claim:
        """Return the claim.

        Raises:
            ModelError: numbers that claim nothing, an unknown unit or adjacency, words that are
                not one printable line.
        """
        finite = math.isfinite(self.epsilon) and self.epsilon >= 0.0
        if not (finite and 0.0 <= self.delta < 1.0):
            raise ModelError(
                f"epsilon = {self.epsilon:g}, delta = {self.delta:g}: is no privacy claim; nothing "
                "was signed or read. epsilon is 0 or more, delta from 0 to below 1."
            )
        if self.unit not in (RECORD, PERSON) or self.adjacency not in set(Adjacency):
            raise ModelError(
                f"unit = {self.unit!r}, adjacency = {self.adjacency!r}: is no privacy claim; "
                f"nothing was signed or read. Units are {RECORD}, {PERSON}; adjacencies "
                f"{', '.join(Adjacency)}."
            )
        for name in ("data", "signer"):
            if fault := publication.line_fault(getattr(self, name)):
                raise ModelError(
                    f"{name} of a claim: {fault}. Reports, cards and terminals print it as it "
                    "stands, so nothing was signed or read. Say it in one line."
                )
        return self

    def message(self) -> bytes:
        """Return the bytes that are signed: injective, every field behind its length."""
        numbers = (self.epsilon.hex(), self.delta.hex())
        rest = (self.unit, self.adjacency, self.data, self.signer, self.model)
        return encode("dpfedsyn-claim/1", *numbers, *rest)

    @property
    def event(self) -> ApproximateDP:
        """The claim as the accountants know it: of the mechanism nothing else is known."""
        return ApproximateDP(self.epsilon, self.delta)

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as plain JSON values; `read` reads them back."""
        return {"version": VERSION, **asdict(self)}


def committed(secret: bytes, weights: str) -> str:
    """Return the commitment (hex) to weights whose file has this SHA-256 (hex).

    Args:
        secret: the opening.
    """
    return hashlib.sha256(secret + bytes.fromhex(weights)).hexdigest()


def signed(claim: Claim, signer: SiloKey) -> Claim:
    """Return the claim with a signature of its every field."""
    return replace(claim, signature=signer.sign(claim.message()).hex())


def is_genuine(claim: Claim, public: bytes) -> bool:
    """Whether the holder of this public key's secret signed this claim.

    Guarantee:
        True only for what that holder signed, every field of it: its numbers, its unit and
        adjacency, the data and the model. The key must come from the signer by another way.
    """
    try:
        message, signature = claim.message(), bytes.fromhex(claim.signature)
    except ValueError:
        return False
    return is_signed(message, signature, public)


def write(claim: Claim, path: Path, secret: bytes) -> None:
    """Write a claim, and beside it its opening (`secret`), for the owner only."""
    place = opening_of(path)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret.hex() + "\n")
    path.write_text(json.dumps(claim.to_dict(), indent=2) + "\n", encoding="utf-8")


def opening_of(path: Path) -> Path:
    """Return where the opening of a claim lies."""
    return path.with_name(path.stem + ".opening")


def read(path: Path, public: str) -> Claim:
    """Read a claim, and check that the pinned key signed it.

    Args:
        public: the signer's public key, hex, as the configuration pins it.

    Raises:
        ModelError: no claim, no signature, or not one by this key.
    """
    try:
        claim = _parsed(json.loads(path.read_text(encoding="utf-8")))
    # A number or a nesting without end is no claim either.
    except (OSError, ValueError, RecursionError, OverflowError, ModelError) as error:
        raise ModelError(
            f"{path}: holds no privacy claim ({error}), so nothing is claimed of the model and "
            'nothing was run. Give the file that its signer wrote, or set training = "not private".'
        ) from None
    if not claim.signature:
        raise ModelError(
            f"{path}: the privacy claim is not signed, so nobody answers for it; nothing was run. "
            f'Let {claim.signer!r} sign it, or set training = "not private".'
        )
    try:
        key = bytes.fromhex(public)
    except ValueError:
        key = b""
    if not is_genuine(claim, key):
        raise ModelError(
            f"{path}: the signature is not one of this claim by the key that claim_key pins "
            f"({public[:16]}...): somebody else signed it, or it was edited afterwards. Nothing "
            'was run. Give the claim as it was signed, or set training = "not private".'
        )
    return claim


def of_silo(config: Config, silo: SiloSettings) -> Claim | None:
    """Return the claim that a silo's configuration names, for this run's terms.

    Raises:
        ModelError: as `read`, or its unit, adjacency or delta are not the run's.
    """
    if not silo.claim:
        return None
    path, privacy = config.path(silo.claim), config.privacy
    claim = read(path, silo.claim_key)
    for name in ("unit", "adjacency"):
        own, run = getattr(claim, name), getattr(privacy, name)
        if own != run:
            raise ModelError(
                f"{path}: claims {name} {own!r}, the run has {run!r}, and one says nothing of the "
                f'other; nothing was run. Set privacy.{name} = "{own}", or training = "not '
                'private".'
            )
    if not claim.delta < privacy.delta:
        raise ModelError(
            f"{path}: claims delta = {claim.delta:g}, the run's is {privacy.delta:g}, so that no "
            "epsilon follows from the claim; nothing was run. Set privacy.delta above the claim's, "
            'or training = "not private".'
        )
    return claim


def require_model(claim: Claim, path: Path, weights: str) -> None:
    """Refuse a model that is not the one that was claimed.

    Args:
        path: of the claim, whose opening lies beside it. weights: SHA-256 (hex) of the weights.

    Guarantee:
        Passes only for weights with the digest that the signer committed to, by the collision
        resistance of SHA-256; who lacks the opening learns nothing of them from the claim.

    Raises:
        ModelError: the opening is missing, or the model is another.
    """
    if committed(opening(path), weights) != claim.model:
        raise ModelError(
            f"{path}: the claim is of another model than these weights, or its opening is another "
            "one's; nothing was run. Bring the model that was claimed."
        )


def opening(path: Path) -> bytes:
    """Read the opening of a claim.

    Args:
        path: of the claim.

    Raises:
        ModelError: there is none.
    """
    place = opening_of(path)
    try:
        found = bytes.fromhex(place.read_text(encoding="ascii").strip())
        if len(found) != OPENING_BYTES:
            raise ValueError(f"it has {len(found)} bytes instead of {OPENING_BYTES}")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{place}: the claim's opening cannot be read ({error}), so that nobody can tell which "
            "model was claimed; nothing was run. Put the file back that was written beside the "
            "claim."
        ) from None
    return found


def _parsed(content: Any) -> Claim:
    if not isinstance(content, Mapping) or content.get("version") != VERSION:
        raise ValueError(f"it has no version {VERSION}")
    kinds = {field.name: float if "float" in str(field.type) else str for field in fields(Claim)}
    values = {name: value for name, value in content.items() if name != "version"}
    values.setdefault("signature", "")
    if set(values) != set(kinds):
        other = sorted(set(values) ^ set(kinds))
        raise ValueError(f"a claim has the fields {', '.join(kinds)}; {', '.join(other)} differ")
    for name, kind in kinds.items():
        value = values[name]
        if kind is float and type(value) is int:
            values[name] = value = float(value)
        if type(value) is not kind:
            raise ValueError(f"{name} = {value!r}")
    return Claim(**values).checked()
