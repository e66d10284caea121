"""A run over Flower on the loopback: SuperLink, two SuperNodes, two daemons."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from benchmarks.engines import flower
from benchmarks.engines.processes import silos, two_hospitals, until
from dpfedsyn import config, run
from dpfedsyn.flower import app as flower_app

pytest.importorskip("flwr")
pytestmark = pytest.mark.flower


def rounds(out: Path) -> int:
    """How many rounds the run in this folder has taken."""
    log = out / "rounds.jsonl"
    return len(log.read_text().splitlines()) if log.is_file() else 0


def state(out: Path) -> str:
    """How the run in this folder stands."""
    path = out / "state.json"
    return str(json.loads(path.read_text())["status"]) if path.is_file() else "none"


def answers(out: Path) -> list[int]:
    """How many answers each silo has charged, as the statement says."""
    statement = json.loads((out / "statement.json").read_text())
    return [silo["charged"]["B"]["answers"] for silo in statement["silos"]]


def test_a_run_over_flower_survives_a_killed_silo_and_repeats_its_steps_for_free() -> None:
    """A daemon is killed after the first round: the run waits for it and ends as one process does.

    Its rows are those of the same run in one process, bit for bit, since the noise can be repeated
    here. Then the server's checkpoint of the first round is put back: the steps after it are asked
    again, as new messages, and the silos reply with the same bytes and charge nothing.
    """
    with tempfile.TemporaryDirectory(prefix="fl-", dir="/tmp") as name:
        folder = Path(name)
        path = two_hospitals(folder / "two")
        out = folder / "out"
        with silos(folder, path) as (processes, sockets):
            flower.federation(processes, sockets)
            flower_app.write(folder / "app", str(path), out)
            flower.submit(processes, folder / "app", "run-1")
            until((out / "checkpoint" / "default.npz").is_file, "the first round")
            shutil.copy(out / "checkpoint" / "default.npz", folder / "first.npz")
            processes.kill("hungarian")
            processes.silo("hungarian", path)
            until(lambda: state(out) == "complete", "the run's end", 240.0)
            first, charged = (out / "synthetic.csv").read_bytes(), answers(out)
            assert rounds(out) == 3
            assert all(3 <= count <= 4 for count in charged)  # at most a wasted step per kill

            shutil.copy(folder / "first.npz", out / "checkpoint" / "default.npz")
            (out / "synthetic.csv").unlink()
            flower.submit(processes, folder / "app", "run-2")
            until((out / "synthetic.csv").is_file, "the repeated steps", 240.0)
            until(lambda: "report.html" in processes.log("run-2"), "the report", 60.0)
            assert (out / "synthetic.csv").read_bytes() == first
            assert answers(out) == charged
        here = run.run(config.load(str(path)), folder / "here")
        assert (here.folder / "synthetic.csv").read_bytes() == first
