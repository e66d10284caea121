"""kill -9 in the middle of commits: what was handed out was charged."""

import signal
import subprocess
import sys

import pytest

from accountants import Gaussian, Header, Ledger, verify

KEY = b"k" * 32
HEADER = Header(
    "0a", "hungary", "r", "record", "add-or-remove", 1e-5, (), 1e6, None, 10**6, "1"
)  # fmt: skip

WRITER = """
import hashlib, sys
from accountants import Gaussian, Ledger
with Ledger.open(sys.argv[1], key=b"k" * 32) as ledger:
    start = ledger.totals().rows
    for k in range(start, start + 100_000):
        digest = hashlib.sha256(str(k).encode()).digest()
        ticket = ledger.admit(digest=digest, kind="answer", group="B", event=Gaussian(1.0),
                              mu2=1.0, round=k)
        charge = ledger.commit(ticket, digest * 1000)
        sys.stdout.write(f"{digest.hex()} {ledger.head}\\n")
        sys.stdout.flush()
"""


@pytest.mark.parametrize("handed_out", [1, 7, 40])
def test_charges_whose_reply_was_handed_out_are_never_missing(tmp_path, handed_out):
    """Kill the writer after some replies, twice; every one that left is charged, with its bytes."""
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path, HEADER, key=KEY).close()
    released = []
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            released += [writer.stdout.readline().split() for _ in range(handed_out)]
            writer.send_signal(signal.SIGKILL)
            released += [line.split() for line in writer.stdout if line.endswith("\n")]
        assert writer.returncode == -signal.SIGKILL
        assert path.with_name(path.name + "-wal").exists()
        files = {file: file.read_bytes() for file in tmp_path.iterdir()}
        found = verify(path, key=KEY, expected_head=released[-1][1])
        assert {file: file.read_bytes() for file in tmp_path.iterdir()} == files
        # The row being written when the kill came may be there, its reply never left: waste.
        assert found.totals.rows - len(released) in (0, 1)
        with Ledger.open(path, key=KEY) as ledger:
            for digest, _ in released:
                assert ledger.find(bytes.fromhex(digest)).reply == bytes.fromhex(digest) * 1000
            extra = ledger.totals().rows - len(released)
            assert ledger.totals().answers_mu2 == len(released) + extra
        # Rows charged for nothing stay; the next writer goes on after them.
        released += [(c.digest.hex(), "") for c in found_extra(path, len(released))]


def found_extra(path, known):
    """Charges beyond those that were handed out."""
    with Ledger.open(path, key=KEY) as ledger:
        return ledger.charges()[known:]


def test_a_charge_is_on_disk_before_commit_returns(tmp_path):
    """The file and its log, copied right after `commit`, already hold row and reply."""
    path = tmp_path / "ledger.sqlite"
    copy = tmp_path / "copy" / "ledger.sqlite"
    copy.parent.mkdir()
    with Ledger.create(path, HEADER, key=KEY) as ledger:
        ticket = ledger.admit(digest=b"d", kind="answer", group="B", event=Gaussian(1.0), mu2=1.0)
        ledger.commit(ticket, b"reply")
        for file in tmp_path.glob("ledger.sqlite*"):
            copy.with_name(file.name).write_bytes(file.read_bytes())
        head = ledger.head
    assert verify(copy, key=KEY, expected_head=head).totals.rows == 1
