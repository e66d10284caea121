"""Certificates and keys of a test federation: an own authority, a server, one key per SuperNode.

For one host or a laboratory. A real federation has an authority of its own, and each site makes its
own key and sends the public half, as the README says; `pinned` binds those to the silos' names.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dpfedsyn.errors import ConfigError, RunError

DAYS = 30
Key = ec.EllipticCurvePrivateKey


def write(
    folder: Path,
    silos: Sequence[str],
    hosts: Sequence[str] = ("127.0.0.1",),
    now: datetime.datetime | None = None,
) -> list[Path]:
    """Write the authority's certificate, the server's certificate and key, and each silo's key.

    Args:
        hosts: addresses or names under which the SuperLink is reached. now: certificates are valid
            for `DAYS` from then on; None: from now on.

    Returns:
        The files; private keys have mode 0600. The authority's own key is not kept: nobody can
        issue a second certificate in its name.

    Raises:
        RunError: the folder is there already.
    """
    if folder.exists():
        raise RunError(f"{folder}: is there already; no key was written. Name a new folder.")
    folder.mkdir(parents=True, mode=0o700)
    authority, server, now = _key(), _key(), now or datetime.datetime.now(datetime.UTC)
    root = _certificate("dpfedsyn test authority", authority.public_key(), authority, None, (), now)
    issued = _certificate(hosts[0], server.public_key(), authority, root, hosts, now)
    files = {
        "ca.crt": _pem(root),
        "server.crt": _pem(issued),
        "server.key": _private(server, serialization.PrivateFormat.PKCS8),
    }
    for silo in silos:
        key = _key()
        files[f"{silo}.key"] = _private(key, serialization.PrivateFormat.OpenSSH)
        files[f"{silo}.pub"] = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
    for name, content in files.items():
        _write(folder / name, content, 0o600 if name.endswith(".key") else 0o644)
    return [folder / name for name in files]


def pinned(folder: Path, silos: Iterable[str]) -> dict[str, bytes]:
    """Return each silo's public key (PEM, as Flower keeps it) from NAME.pub in a folder.

    Raises:
        ConfigError: a silo has none there, or one that is no key, or that is another silo's too.
    """
    keys = {name: _public(folder / f"{name}.pub") for name in silos}
    shared = [name for name, key in keys.items() if list(keys.values()).count(key) > 1]
    if shared:
        raise ConfigError(
            f"{folder}: {', '.join(shared)} have one key, so nobody can tell them apart; nothing "
            "was asked. Let each site make its own."
        )
    return keys


def _public(path: Path) -> bytes:
    try:
        key = serialization.load_ssh_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path}: holds no public key of an SSH key pair ({error}), so nothing was asked. "
            "Keep each silo's as NAME.pub in the folder that `keys` names."
        ) from None
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _key() -> Key:
    return ec.generate_private_key(ec.SECP384R1())


def _certificate(
    name: str,
    public: ec.EllipticCurvePublicKey,
    signer: Key,
    issuer: x509.Certificate | None,
    hosts: Sequence[str],
    now: datetime.datetime,
) -> x509.Certificate:
    """Return a certificate that is valid for `DAYS`; without an issuer, the authority's own."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_general(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA384())


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: Key, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
