"""A run over NVFlare: what its transport, forwarder and job do, and one run in its processes."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn import config as configuration
from dpfedsyn import frames, resolved
from dpfedsyn.engine import Failure
from dpfedsyn.errors import ConfigError, FederationError, RunError, SiloUnavailable
from dpfedsyn.marking import find

pytest.importorskip("nvflare")
import psutil
from nvflare.collab import CollabCallError
from nvflare.collab.api.exceptions import RunAborted

from benchmarks.engines.nvflare_rounds import OWN_ADDRESS
from benchmarks.engines.processes import SETTINGS, free_port
from dpfedsyn.nvflare import job, server, transport
from dpfedsyn.nvflare.ending import Ending
from dpfedsyn.nvflare.job import Job
from dpfedsyn.nvflare.poc import Poc
from dpfedsyn.nvflare.site import SOCKET, Forwarder
from dpfedsyn.nvflare.transport import NVFlareTransport
from tests.engines import conformance
from tests.engines.hosts import NAMES as SILOS
from tests.engines.hosts import Hosts

pytestmark = pytest.mark.nvflare

NAMES = ("cleveland", "hungarian")


class Site:
    """A proxy whose site answers as it is told."""

    def __init__(self, reply: Callable[[bytes, float], Any]) -> None:
        self._reply = reply

    def __call__(self, timeout: float) -> "Site":
        return self

    def forward(self, request: bytes, seconds: float) -> Any:
        return self._reply(request, seconds)


def lost(request: bytes, seconds: float) -> Any:
    raise CollabCallError("a", "forward", "no path")


def late(request: bytes, seconds: float) -> Any:
    time.sleep(seconds)
    raise CollabCallError("a", "forward", TimeoutError("late"))


def never() -> bool:
    return False


def test_every_silo_gets_its_own_payload_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=10)

    def reply(request: bytes, seconds: float) -> bytes:
        together.wait()
        return request * 2

    with NVFlareTransport({"a": Site(reply), "b": Site(reply)}, never) as over:
        assert over.members() == ("a", "b")
        assert over.query("x", {"a": b"1", "b": b"2"}, None) == {"a": b"11", "b": b"22"}


def test_late_and_refusing_sites_are_failures_and_the_others_reply() -> None:
    sites = {"a": Site(late), "b": Site(lambda r, s: "the silo is away"), "c": Site(lambda r, s: r)}
    with NVFlareTransport(sites, never) as over:
        found = over.query("x", dict.fromkeys(sites, b"1"), 0.1)
    assert isinstance(found["a"], Failure)
    assert "TimeoutError" in found["a"].reason
    assert found["b"] == Failure("its site has no reply of it: the silo is away")
    assert found["c"] == b"1"


def test_what_a_site_says_is_cut_and_a_late_call_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its words go into logs and events; NVFlare itself drops what comes after the call's time."""
    sites = {"a": Site(late), "b": Site(lambda r, s: "\x1b[2J" + "x" * 10_000)}
    with NVFlareTransport(sites, never) as over:
        found = over.query("round 7", dict.fromkeys(sites, b"1"), 0.1)
    assert "a: no reply in round 7; if one comes later, it is dropped" in caplog.text
    assert isinstance(found["b"], Failure)
    assert found["b"].reason.startswith("its site has no reply of it: \\x1b[2J")
    assert len(found["b"].reason) < 300


def test_a_lost_site_ends_the_round_with_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVFlare reports the call of a killed site as late, and only then that the job ends."""
    ends = iter([False, False])
    over = NVFlareTransport({"a": Site(lost)}, lambda: next(ends, True))
    with over, pytest.raises(RunAborted):
        over.query("x", {"a": b"1"}, 60.0)
    monkeypatch.setattr(transport, "NOTICE", 0.2)
    with NVFlareTransport({"a": Site(lost)}, never) as over:
        assert isinstance(over.query("x", {"a": b"1"}, 60.0)["a"], Failure)


@contextmanager
def silo(path: Path, replies: bool = True) -> Iterator[None]:
    """Listen for one request, and send it back."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                request = frames.receive(connection, 1000)
                if replies and request is not None:
                    frames.send(connection, request)
                connection.recv(1)  # until the other side leaves

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10)


def test_the_forwarder_passes_bytes_and_tells_nothing_of_its_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee of dpfedsyn.nvflare.site.Forwarder: What goes back to the server is a reply of the
    silo's process, or a fixed sentence, whatever is wrong at the site."""
    forwarder = Forwarder()
    monkeypatch.delenv(SOCKET, raising=False)
    with pytest.raises(RuntimeError, match=SOCKET):
        forwarder.ready()
    monkeypatch.setenv(SOCKET, str(tmp_path / "s"))
    forwarder.ready()
    assert forwarder.forward(b"1", 5.0) == "the silo cannot be reached from its site"
    with silo(tmp_path / "s"):
        assert forwarder.forward(b"1", 5.0) == b"1"
    monkeypatch.setenv(SOCKET, str(tmp_path / "t"))
    with silo(tmp_path / "t", replies=False):
        assert forwarder.forward(b"1", 0.1) == "the silo did not reply in time"
    for request, seconds in ((b"1", 0.0), (b"1", float("nan")), ("1", 1.0)):
        assert isinstance(forwarder.forward(request, seconds), str)


def test_the_forwarder_needs_nothing_of_dpfedsyn_but_the_way_to_a_silo() -> None:
    code = "import dpfedsyn.nvflare.site, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    ours = {name for name in loaded.stdout.split() if name.partition(".")[0] == "dpfedsyn"}
    needed = {"", ".nvflare", ".nvflare.site", ".reach", ".frames"}
    assert ours == {f"dpfedsyn{name}" for name in needed}


def test_a_job_names_classes_and_holds_no_code(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.nvflare.job.Job.write: There is no `custom` folder in it, nor any other
    file than configurations that name the allowed classes."""
    path = Job("j", "hospitals", tmp_path / "out", NAMES).write(tmp_path)
    written = {str(p.relative_to(path)): json.loads(p.read_text()) for p in path.rglob("*.json")}
    assert {p for p in path.rglob("*") if p.is_file()} == {path / name for name in written}
    assert written["meta.json"]["mandatory_clients"] == list(NAMES)
    at_site = written["site/config/config_fed_client.json"]
    paths = [at_site["executors"][0]["executor"]["path"], at_site["components"][0]["path"]]
    assert paths == list(job.AT_SITES)
    assert at_site["components"][0]["args"] == {}
    run = written["server/config/config_fed_server.json"]["components"][0]["args"]
    server.Server(**run)  # all that a job says is an argument of the server's part
    with pytest.raises(ConfigError, match="relative"):
        Job("j", "hospitals", Path("out"), NAMES).write(tmp_path)


class Session:
    """An administrator's session whose jobs end as it is told; None: lost."""

    def __init__(self, *endings: Ending | None) -> None:
        self._endings = list(endings)

    def submit_job(self, path: str) -> str:
        assert (Path(path) / "meta.json").is_file()
        return str(len(self._endings))

    def wait_for_job(self, job_id: str, poll_interval: float) -> dict[str, str]:
        return {"status": "FINISHED:EXECUTION_EXCEPTION"}

    def download_job_result(self, job_id: str, folder: str) -> None:
        ending = self._endings.pop(0)
        if ending is not None:
            (Path(folder) / "workspace").mkdir()
            ending.write(Path(folder) / "workspace")


def test_lost_jobs_are_handed_in_again_and_failed_runs_are_not(tmp_path: Path) -> None:
    mine, done, failed = (
        Job("j", "hospitals", tmp_path, NAMES),
        Ending("complete"),
        Ending("failed"),
    )
    assert job.run(Session(None, None, done), mine, tries=3) == done
    with pytest.raises(SiloUnavailable, match="3, 2"):
        job.run(Session(None, None, done), mine, tries=2)
    with pytest.raises(FederationError, match="NVFlare job 2"):
        job.run(Session(failed, done), mine)


DOUBLED = """
from concurrent.futures import ThreadPoolExecutor
from dpfedsyn.nvflare import server, transport


class Doubled(transport.NVFlareTransport):
    def query(self, step, payloads, timeout):
        with ThreadPoolExecutor(1) as two:
            other = two.submit(super().query, step, payloads, timeout)
            first, second = super().query(step, payloads, timeout), other.result()
        assert first == second or step == "describe", step
        return first


server.NVFlareTransport = Doubled


class Server(server.Server):
    pass
"""


@contextmanager
def daemon(config: Path, home: Path, name: str) -> Iterator[Path]:
    """A silo's process, for the time of a context."""
    serve = [sys.executable, "-m", "dpfedsyn", "silo", "serve", str(config), "--name", name]
    path = home / f"{name}.sock"
    with (home / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*serve, "--home", str(home / name), "--socket", str(path)], stderr=log, stdout=log
        )
        try:
            yield path
        finally:
            process.terminate()
            process.wait(30)


def rounds(out: Path) -> int:
    path = out / "rounds.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def kill(poc: Poc, name: str, out: Path, after: int) -> None:
    """Kill a site's job process once so many rounds are over."""
    while rounds(out) < after:
        time.sleep(0.02)
    for number in poc.children(name):
        os.kill(number, signal.SIGKILL)


def require_loopback(poc: Poc, sites: Sequence[str]) -> None:
    """No participant listens where other machines could reach it."""
    for name in ("server", *sites):
        for connection in psutil.Process(poc.process(name)).net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1"


SUITE = "tests.engines.nvflare_conformance.Server"


@pytest.mark.filterwarnings("ignore")  # NVFlare's threads call what aiohttp has deprecated
def test_conformance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole suite inside a job of an NVFlare with mutual TLS, all on the loopback.

    Nothing outside of the machine is looked up by any process.
    """
    with tempfile.TemporaryDirectory(prefix="nv-", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        look_ups, outcomes = folder / "look-ups", folder / conformance.OUTCOMES
        for key, value in {**SETTINGS, "DPFEDSYN_LOOKUPS": str(look_ups)}.items():
            monkeypatch.setenv(key, value)
        monkeypatch.setattr(job, "AT_SERVER", (job.CONTROLLER, SUITE))
        hosts = stack.enter_context(Hosts(folder, soon=3.0))
        sockets = {silo: hosts.socket(silo) for silo in SILOS}
        poc = stack.enter_context(Poc(folder / "poc", sockets, free_port()))
        session = stack.enter_context(poc.session())
        number = session.submit_job(str(_suite(folder, hosts)))
        meta = session.wait_for_job(number, timeout=300.0, poll_interval=job.POLL)
        assert meta["status"] == "FINISHED:COMPLETED"
        require_loopback(poc, SILOS)
        found = json.loads(outcomes.read_text(encoding="utf-8"))
        outside = look_ups.read_text().splitlines() if look_ups.is_file() else []
    assert found == dict.fromkeys(conformance.CHECKS, "")
    assert [line for line in outside if not line.startswith(OWN_ADDRESS)] == []


def _suite(folder: Path, hosts: Hosts) -> Path:
    """The product's job, with the suite where the server's part of the run stands."""
    path = Job("conformance", "hospitals", folder / "run", SILOS).write(folder)
    config = path / "server" / "config" / "config_fed_server.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    arguments = {"folder": str(folder), "soon": hosts.soon, "checks": list(conformance.CHECKS)}
    content["components"] = [{"id": "run", "path": SUITE, "args": arguments}]
    config.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_port_in_use_is_named_before_anything_is_made(tmp_path: Path) -> None:
    """Else NVFlare's server would end, and everybody else wait for it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(RunError, match=rf"{port}.*nothing was started"):
            Poc(tmp_path / "poc", {"a": tmp_path / "socket"}, port).__enter__()
    assert not (tmp_path / "poc").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # NVFlare's threads call what aiohttp has deprecated
def test_a_run_survives_a_killed_site_and_pays_every_step_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is asked twice at once, and a site's job process is killed in the middle.

    No look-up leaves the loopback interface meanwhile, in any of the processes.
    """
    code, out, look_ups = tmp_path / "code", tmp_path / "out", tmp_path / "look-ups"
    code.mkdir()
    (code / "doubled.py").write_text(DOUBLED)
    monkeypatch.setenv("PYTHONPATH", f"{SETTINGS['PYTHONPATH']}:{code}")
    monkeypatch.setenv("DPFEDSYN_LOOKUPS", str(look_ups))
    monkeypatch.setattr(job, "SERVER", "doubled.Server")
    monkeypatch.setattr(job, "AT_SERVER", (job.CONTROLLER, "doubled.Server"))
    short = ["network.kind=none", "answers.rows=50", "sampler.levels=15", "best.levels=3"]
    loaded = resolved.absolute(configuration.load("hospitals", short))
    config = tmp_path / "config.toml"
    config.write_text(resolved.dump(dataclasses.replace(loaded, silos=loaded.silos[:2])))
    with ExitStack() as stack:
        sockets = {n: stack.enter_context(daemon(config, tmp_path, n)) for n in NAMES}
        poc = stack.enter_context(Poc(tmp_path / "poc", sockets, free_port()))
        session = stack.enter_context(poc.session())
        killer = threading.Thread(target=kill, args=(poc, NAMES[0], out, 5), daemon=True)
        killer.start()
        mine = Job("hospitals", str(config), out, NAMES)
        assert job.run(session, mine) == Ending("complete")
        assert not killer.is_alive()
        require_loopback(poc, NAMES)
    stated = json.loads(find(out, "statement.json").read_text())
    taken = stated["rounds"]["taken"]
    assert taken == stated["rounds"]["planned"] == rounds(out)
    assert {s["name"]: s["charged"]["B"]["answers"] - taken <= 1 for s in stated["silos"]} == (
        dict.fromkeys(NAMES, True)
    )
    assert find(out, "synthetic.csv").is_file()
    outside = look_ups.read_text().splitlines() if look_ups.is_file() else []
    assert [line for line in outside if not line.startswith(OWN_ADDRESS)] == []
