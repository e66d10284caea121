"""One secret per ledger: 256 bits from the operating system, from which all other keys derive.

Whoever holds this secret can subtract every noise that the silo ever added, so it never leaves the
silo's folder, is never copied and is readable by its owner only.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dpfedsyn.errors import LedgerMismatch

KEY_BYTES = 32


@dataclass(frozen=True)
class SiloKey:
    """The root secret of one silo's ledger; every use derives a key of its own (HKDF-SHA256)."""

    root: bytes

    def derive(self, *context: bytes, length: int = KEY_BYTES) -> bytes:
        """Return `length` bytes that are independent, to any bounded adversary, for every context.

        The context is encoded injectively (each part behind its length), so two contexts collide
        only when they are equal.
        """
        info = b"".join(len(part).to_bytes(8, "big") + part for part in context)
        return HKDF(hashes.SHA256(), length, salt=b"dpfedsyn/1", info=info).derive(self.root)

    @property
    def ledger_id(self) -> str:
        """Random name of the ledger; public."""
        return self.derive(b"ledger-id", length=16).hex()

    @property
    def model_nonce(self) -> bytes:
        """Random name of the trained model; a hash of its weights would be a release."""
        return self.derive(b"model-nonce", length=16)

    @property
    def chain(self) -> bytes:
        """Key of the HMAC that chains the ledger's rows."""
        return self.derive(b"ledger-chain")

    @property
    def public(self) -> bytes:
        """The silo's Ed25519 public key, 32 bytes: whoever has it can check `sign`, and no more."""
        return self._signing().public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the silo's Ed25519 signature of a message, 64 bytes."""
        return self._signing().sign(message)

    def _signing(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.derive(b"head-signature"))

    def noise(self, digest: bytes, charge: int) -> bytes:
        """Key of the noise of one charge: KDF(root, query digest, charge number).

        Guarantee:
            Two charges never share noise, and neither do two different queries under one charge
            number: the digest binds the query's every bit.
        """
        return self.derive(b"noise", digest, charge.to_bytes(8, "big"))


def fresh() -> SiloKey:
    """Return a secret from the operating system's generator."""
    return SiloKey(os.urandom(KEY_BYTES))


def repeatable(seed: int, silo: str) -> SiloKey:
    """Return a secret that anybody can compute: for tests; it voids every privacy statement."""
    return SiloKey(hashlib.sha256(f"not private: {seed}/{silo}".encode()).digest())


def store(key: SiloKey, path: Path) -> None:
    """Write the secret, whole or not at all, for its owner only; refuses to replace one."""
    beside = path.with_name(path.name + ".part")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.root)
        file.flush()
        os.fsync(file.fileno())
    os.link(beside, path)  # fails where a key lies already, which a rename would not
    beside.unlink()


def is_signed(message: bytes, signature: bytes, public: bytes) -> bool:
    """Whether the silo with this public key signed this message."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def load(path: Path) -> SiloKey:
    """Read a silo's secret.

    Guarantee:
        A secret that others may read is refused: what they can have read subtracts all noise.

    Raises:
        LedgerMismatch: it is missing, no key, or open to others.
    """
    try:
        root, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise LedgerMismatch(
            f"{path}: the silo's key cannot be read ({error.strerror}); without it the ledger's "
            "rows cannot be checked and no noise can be drawn. Put the key back beside its ledger."
        ) from None
    if len(root) != KEY_BYTES:
        raise LedgerMismatch(
            f"{path}: a key has {KEY_BYTES} bytes, this file has {len(root)}; the ledger beside it "
            "cannot be checked. Put the original key back."
        )
    if mode & 0o077:
        raise LedgerMismatch(
            f"{path}: others may read this key (mode {stat.S_IMODE(mode):o}), and whoever has it "
            "subtracts every noise of this silo. Nothing was read or charged. If nobody can have "
            "read it, `chmod 600` it; else start a new run, whose budget composes with this one."
        )
    return SiloKey(root)
