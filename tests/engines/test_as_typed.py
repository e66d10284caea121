"""The README's commands for several machines, run as they are typed."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks.engines.processes import SETTINGS
from tests.end_to_end.small import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
LONGEST = 900.0  # seconds


def typed(name: str) -> str:
    """The README's block of commands that names an engine in its first line."""
    (block,) = re.findall(rf"^```bash\n# {name}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    return str(block)


def end(block: str) -> str:
    """Run a block in a new folder, end whatever it started, and return what it printed last."""
    with tempfile.TemporaryDirectory(prefix="rm-", dir="/tmp") as name:
        log = Path(name) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-e", "-c", block], cwd=name, stdout=out, stderr=out,
                start_new_session=True, env={**os.environ, **SETTINGS},
            )  # fmt: skip
            try:
                status = process.wait(LONGEST)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        printed = log.read_text(encoding="utf-8", errors="replace")
    assert status == 0, printed[-4000:]
    return printed


@pytest.mark.slow
@pytest.mark.typed
@pytest.mark.parametrize(
    "engine",
    [
        "processes",
        pytest.param("flower", marks=pytest.mark.flower),
        pytest.param("nvflare", marks=pytest.mark.nvflare),
    ],
)
def test_the_readme_s_federation_ends_with_a_whole_run(engine: str) -> None:
    """Daemons, what connects them, one run: on the loopback, in a folder of their own."""
    if engine != "processes":
        pytest.importorskip({"flower": "flwr"}.get(engine, engine))
    assert sys.prefix != sys.base_prefix
    printed = end(typed(engine))
    assert "rounds: 10 of 10" in printed
