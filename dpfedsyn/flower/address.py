"""Where a SuperLink is reached: HOST:PORT, with an IPv6 address in brackets."""

from __future__ import annotations

import ipaddress
import re

from dpfedsyn.errors import ConfigError

_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>\d{1,5})"
)


def host(address: str) -> str:
    """Return the host of an address, as a certificate names it: without brackets.

    Raises:
        ConfigError: it is no HOST:PORT.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or not 1 <= int(found["port"]) <= 65535 or not _sound(found["six"]):
        raise ConfigError(
            f"--address {address}: no address of a SuperLink, so nothing was written. Give "
            "HOST:PORT, such as server.example:8000, 127.0.0.1:8000 or [::1]:8000."
        )
    return found["host"] or found["six"]


def _sound(six: str | None) -> bool:
    try:
        return six is None or bool(ipaddress.IPv6Address(six).packed)
    except ValueError:
        return False
