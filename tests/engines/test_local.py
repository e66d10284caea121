"""The conformance suite over silos that are processes of this machine."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpfedsyn.engine import sockets
from dpfedsyn.engine.local import LocalTransport
from tests.engines.conformance import CHECKS
from tests.engines.hosts import NAMES, Hosts


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Two silos in processes of their own."""
    with (
        tempfile.TemporaryDirectory(prefix="ho-", dir="/tmp") as name,
        Hosts(Path(name), soon=1.0) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def transport(hosts: Hosts) -> Iterator[LocalTransport]:
    """What carries to them."""
    with sockets.transport({name: hosts.socket(name) for name in NAMES}) as found:
        yield found


@pytest.mark.parametrize("check", CHECKS)
def test_conformance(check: str, transport: LocalTransport, hosts: Hosts) -> None:
    """Each check of the suite that every engine's transport has to pass."""
    CHECKS[check](transport, hosts)
