"""A base that all silos' sums make, where every silo is a process of its own."""

import tempfile
from pathlib import Path

import pytest

from benchmarks.engines.processes import SILOS, SMALL, Processes, ready, two_hospitals, until
from dpfedsyn import config, remote, run
from dpfedsyn.engine import sockets
from dpfedsyn.marking import find
from dpfedsyn.progress import Silent


@pytest.mark.parametrize("combine", ["sum", pytest.param("pool", marks=pytest.mark.slow)])
def test_a_base_of_all_sums_is_that_of_one_process(combine: str) -> None:
    """Question by question every silo hears what all have answered, and makes the same base: rows
    and statement's charges are those of one process, bit for bit, since noise can be repeated."""
    with tempfile.TemporaryDirectory(prefix="co-", dir="/tmp") as name:
        folder = Path(name)
        path = two_hospitals(folder / "two", (*SMALL, f'base.combine="{combine}"'))
        loaded = config.load(str(path))
        with Processes(folder) as processes:
            reached = {silo: processes.silo(silo, path) for silo in SILOS}
            until(lambda: all(place.exists() for place in reached.values()), "both sockets")
            assert not any(map(ready, reached.values()))  # they wait for the run's questions
            with sockets.transport(reached) as transport:
                apart = remote.run(
                    loaded, transport, folder / "apart", resume=False, progress=Silent()
                )
        together = run.run(loaded, folder / "together")
        first, second = (find(done.folder, "synthetic.csv") for done in (apart, together))
        assert first.read_bytes() == second.read_bytes()
        assert apart.status == together.status == "complete"
