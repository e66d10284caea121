"""Users and groups of this machine, by the names that people type."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Sequence

from dpfedsyn.errors import ConfigError


def numbers(names: Sequence[str]) -> frozenset[int]:
    """Return the numbers of these users (names or numbers), and of the process's own.

    Its own user has key and ledger anyway, and asks how the silo is.

    Raises:
        ConfigError: there is no such user.
    """
    return frozenset({os.getuid(), *map(_user, names)})


def group(name: str | None) -> int | None:
    """Return the number of a group; None: no group was named.

    Raises:
        ConfigError: there is no such group.
    """
    if name is None:
        return None
    try:
        return int(name) if name.isascii() and name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigError(
            f"--group {name}: this machine has no such group; nothing was started. Make it, or "
            "name another."
        ) from None


def _user(name: str) -> int:
    try:
        return int(name) if name.isascii() and name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise ConfigError(
            f"--allow {name}: this machine has no such user; nothing was started. Make it, or name "
            "another."
        ) from None
