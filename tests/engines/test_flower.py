"""Flower on the loopback: its transport, the conformance suite over it, and a whole run."""

import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dpfedsyn import config, envelope, run
from dpfedsyn.daemon.listener import Listener
from dpfedsyn.engine import Failure
from dpfedsyn.envelope import Health, Healthy, Refused
from dpfedsyn.errors import ProtocolMismatch, SiloUnavailable
from dpfedsyn.flower import app as flower_app

pytest.importorskip("flwr")
from flwr.app import Message
from flwr.supercore.task_identity import TaskIdentity

from benchmarks.engines import flower
from benchmarks.engines.processes import Processes, free_port, silos, two_hospitals, until
from dpfedsyn.flower import client, nodes, security
from dpfedsyn.flower.transport import FlowerTransport
from dpfedsyn.marking import find
from tests.engines import conformance
from tests.engines.hosts import NAMES, Hosts

pytestmark = pytest.mark.flower


@pytest.fixture
def inside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages can be made inside of a task of Flower's only; this stands for one."""
    for name in ("_run_id", "_node_id", "_task_id"):
        monkeypatch.setattr(TaskIdentity, name, 1, raising=False)


class Grid:
    """A grid of nodes that stand for silos; each reply is what `answer` makes of a payload."""

    def __init__(
        self,
        nodes: dict[int, Callable[[bytes], bytes | str | None]],
        keys: dict[int, bytes] | None = None,
    ) -> None:
        self.nodes = nodes
        self.keys = keys or {}
        self.sent: list[Message] = []
        self.waiting: dict[str, Message] = {}

    def get_nodes(self) -> list[Any]:
        return [
            SimpleNamespace(node_id=node, public_key=self.keys.get(node, b""))
            for node in self.nodes
        ]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        ids = []
        for message in messages:
            self.sent.append(message)
            name = f"m{len(self.sent)}"
            message.metadata.__dict__["_message_id"] = name
            self.waiting[name] = message
            ids.append(name)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        found = []
        for name in message_ids:
            message = self.waiting[name]
            if message.metadata.dst_node_id not in self.nodes:
                continue
            made = self.nodes[message.metadata.dst_node_id](client.unpacked(message.content))
            if made is None:
                continue  # nothing yet
            content = client.packed(made) if isinstance(made, bytes) else client.failed(made)
            found.append(Message(content, reply_to=message))
        return found


def standing_for(name: str, then: Callable[[bytes], bytes | str | None]) -> Any:
    """A node that says which silo it stands for, and answers other payloads as told."""
    hello = envelope.encode(Healthy(name, "run", "1", "ready", 0, 0, ""))
    return lambda data: hello if data == envelope.encode(Health()) else then(data)


@pytest.mark.usefixtures("inside_a_run")
def test_every_silo_gets_its_own_payload_over_the_node_that_stands_for_it() -> None:
    """Whatever the order of nodes; one that stands for another run's silo gets nothing."""
    grid = Grid(
        {
            7: standing_for("b", lambda data: b"from b " + data),
            3: standing_for("stranger", lambda data: b"never"),
            9: standing_for("a", lambda data: b"from a " + data),
        }
    )
    carrier = FlowerTransport(grid, ["a", "b"])
    assert carrier.members() == ("a", "b")
    found = carrier.query("round 1", {"a": b"1", "b": b"2"}, None)
    assert found == {"a": b"from a 1", "b": b"from b 2"}
    carrier.query("round 2", {"a": b"3"}, None)
    assert len(grid.sent) == 3 + 2 + 1  # hello once each, then payloads alone


@pytest.mark.usefixtures("inside_a_run")
def test_failures_come_as_such_and_the_node_is_looked_for_again() -> None:
    """A reason of the site, a late reply, a node that has gone and came back as another."""
    grid = Grid({1: standing_for("a", lambda data: "no silo there")})
    carrier = FlowerTransport(grid, ["a"])
    assert carrier.query("round", {"a": b"1"}, None) == {"a": Failure("no silo there")}
    grid.nodes = {1: standing_for("a", lambda data: None)}
    (late,) = carrier.query("round", {"a": b"1"}, 0.2).values()
    assert isinstance(late, Failure)
    assert "no reply within 0.2 s" in late.reason
    grid.nodes = {}
    (gone,) = carrier.query("round", {"a": b"1"}, None).values()
    assert isinstance(gone, Failure)
    assert "no connected node" in gone.reason
    grid.nodes = {5: standing_for("a", lambda data: b"back")}
    assert carrier.query("round", {"a": b"1"}, None) == {"a": b"back"}


@pytest.mark.usefixtures("inside_a_run")
def test_two_nodes_for_one_silo_are_refused_and_a_missing_one_is_named() -> None:
    """Neither is asked: which of them is the silo nobody can tell here."""
    twice = Grid({k: standing_for("a", lambda data: b"") for k in (1, 2)})
    with pytest.raises(ProtocolMismatch, match="two nodes stand for this silo"):
        FlowerTransport(twice, ["a"]).query("round", {"a": b"1"}, None)
    with pytest.raises(SiloUnavailable, match=r"^b: no connected node"):
        FlowerTransport(Grid({1: standing_for("a", lambda data: b"")}), ["a", "b"]).wait(0.0)


@pytest.mark.usefixtures("inside_a_run")
@pytest.mark.parametrize("junk", [b"", b"\xff\xff", envelope.encode(Refused("fault", ""))])
def test_a_node_that_says_what_nobody_can_read_is_none_of_the_silos(
    junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on with those that are; the node is named, and not asked again."""
    grid = Grid({4: lambda data: junk, 5: standing_for("a", lambda data: b"from a")})
    carrier = FlowerTransport(grid, ["a", "b"])
    for _ in range(2):
        found = carrier.query("round", {"a": b"1", "b": b"2"}, 5.0)
        assert found["a"] == b"from a"
        assert isinstance(found["b"], Failure)
    assert [message.metadata.dst_node_id for message in grid.sent].count(4) == 1
    if junk[:1] != b"\x83":  # what can be read, but is no health, is no warning
        assert "node 4: stands for no silo" in caplog.text


@pytest.mark.usefixtures("inside_a_run")
def test_a_silent_node_costs_no_step_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silos that are known are asked meanwhile; the wait for a stranger is bounded by the step's
    time, and by `HELLO` in the whole run where the step has none."""
    monkeypatch.setattr(nodes, "HELLO", 0.5)
    grid = Grid({4: lambda data: None, 5: standing_for("a", lambda data: b"from a")})
    carrier = FlowerTransport(grid, ["a", "b"])
    began = time.monotonic()
    found = carrier.query("round 1", {"a": b"1", "b": b"2"}, 0.2)
    assert found["a"] == b"from a"
    assert time.monotonic() - began < 0.45
    for _ in range(10):
        found = carrier.query("round", {"a": b"1", "b": b"2"}, None)
        assert found["a"] == b"from a"
    assert time.monotonic() - began < 2.0
    grid.nodes[4] = standing_for("b", lambda data: b"from b")  # and is heard when it speaks
    carrier.query("round", {"a": b"1", "b": b"2"}, None)
    assert carrier.query("round", {"a": b"1", "b": b"2"}, None)["b"] == b"from b"


@pytest.mark.usefixtures("inside_a_run")
def test_a_silo_that_came_back_as_another_node_is_asked_there() -> None:
    """While Flower still believes in the old node: the new one is found in the next step."""
    grid = Grid({1: standing_for("a", lambda data: None)})
    carrier = FlowerTransport(grid, ["a"])
    carrier.query("round", {"a": b"1"}, 0.1)
    grid.nodes[2] = standing_for("a", lambda data: b"back")
    assert carrier.query("round", {"a": b"1"}, None) == {"a": b"back"}


@pytest.mark.usefixtures("inside_a_run")
def test_only_the_node_with_a_silos_key_stands_for_it() -> None:
    """Guarantee of dpfedsyn.flower.nodes.Nodes: Where keys are pinned, only the node whose key is a
    silo's stands for it, whatever any node says: nobody else is sent so much as a greeting."""
    grid = Grid(
        {
            1: standing_for("a", lambda data: b"forged"),
            2: lambda data: b"from a",
            3: lambda data: b"forged",
        },
        {1: b"other", 2: b"key of a", 3: b""},
    )
    carrier = FlowerTransport(grid, ["a", "b"], {"a": b"key of a", "b": b"key of b"})
    with pytest.raises(SiloUnavailable, match=r"^b: .*the key that is pinned"):
        carrier.wait(0.0)
    found = carrier.query("round", {"a": b"1", "b": b"2"}, None)
    assert found["a"] == b"from a"
    assert isinstance(found["b"], Failure)
    assert [message.metadata.dst_node_id for message in grid.sent] == [2]


@pytest.mark.usefixtures("inside_a_run")
def test_a_late_reply_is_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It was charged; the next question's reply is not mistaken for it."""
    slow: list[bytes] = []
    grid = Grid({1: standing_for("a", lambda data: None if data == b"1" and not slow else data)})
    carrier = FlowerTransport(grid, ["a"])
    assert isinstance(carrier.query("round 1", {"a": b"1"}, 0.1)["a"], Failure)
    slow.append(b"now")
    assert carrier.query("round 2", {"a": b"2"}, None) == {"a": b"2"}
    carrier.query("round 3", {"a": b"3"}, None)
    assert "a: its reply in round 1 came too late, dropped" in caplog.text


@pytest.mark.usefixtures("inside_a_run")
def test_a_site_writes_no_more_into_a_log_than_a_line() -> None:
    """What it says of a failure is cut, and its control characters are shown as such."""
    grid = Grid({1: standing_for("a", lambda data: "\x1b[2J" + "x" * 10_000)})
    (found,) = FlowerTransport(grid, ["a"]).query("round", {"a": b"1"}, None).values()
    assert isinstance(found, Failure)
    assert found.reason.startswith("\\x1b[2Jxx")
    assert len(found.reason) < 300


def test_the_forwarder_reaches_its_own_socket_only_and_imports_no_more(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.flower.client.replied: What goes back to the server is a reply of the
    silo's process, bytes as they are, or a fixed sentence that says nothing of the site."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        path = Path(name) / "s"
        heard: list[bytes] = []

        def handle(data: bytes) -> bytes:
            heard.append(data)
            return b"reply"

        listener = Listener(path, handle, most=100, allowed={os.getuid()})
        thread = threading.Thread(target=listener.serve)
        thread.start()
        context: Any = SimpleNamespace(node_config={"socket": str(path)})
        assert client.unpacked(client.replied(client.packed(b"\x00any"), context)) == b"reply"
        assert heard == [b"\x00any"]
        listener.stop()
        thread.join()
        reason = client.replied(client.packed(b"x"), context).config_records[client.FAILED]
        assert reason["reason"] == client.UNREACHED
        nowhere: Any = SimpleNamespace(node_config={})
        reason = client.replied(client.packed(b"x"), nowhere).config_records[client.FAILED]
        assert reason["reason"] == client.UNNAMED
    code = (
        "import sys, dpfedsyn.flower.client\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'msgspec', 'accountants')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def conforming(checks: Iterable[str], soon: float, *, secure: bool) -> dict[str, str]:
    """Run checks of the conformance suite in a ServerApp: what is wrong, by check.

    No process that is started looks for an address outside of this machine.
    """
    with tempfile.TemporaryDirectory(prefix="fl-", dir="/tmp") as name:
        folder = Path(name)
        keys = folder / "keys" if secure else None
        if keys is not None:
            security.write(keys, NAMES)
        outcomes, look_ups = folder / conformance.OUTCOMES, folder / "look-ups"
        with Hosts(folder, soon) as hosts, Processes(folder) as processes:
            sockets = {name: hosts.socket(name) for name in NAMES}
            watched = {"DPFEDSYN_LOOKUPS": str(look_ups)}
            flower.federation(processes, sockets, more=watched, keys=keys)
            config: dict[str, str | int] = {"folder": name, "checks": ",".join(checks)}
            server = "tests.engines.flower_conformance"
            app = flower.write_app(
                folder / "app",
                server,
                "dpfedsyn.flower.client",
                config | {"soon": int(soon), "keys": str(keys or "")},
            )
            flower.submit(processes, app, "run")
            until(outcomes.is_file, "the checks", 900.0)
        assert not look_ups.exists(), look_ups.read_text()
        return dict(json.loads(outcomes.read_text()))


def test_a_round_trip_a_duplicate_and_a_kill_behind_keys_and_certificates() -> None:
    """The quick part of the conformance suite, over TLS, by SuperNodes whose keys are pinned.

    Nothing outside of the machine is looked up by any process.
    """
    assert conforming(conformance.QUICK, 1.0, secure=True) == dict.fromkeys(conformance.QUICK, "")


@pytest.mark.slow
def test_conformance() -> None:
    """The whole suite; a step over Flower takes seconds, so that nothing less than 30 is late."""
    assert conforming(conformance.CHECKS, 30.0, secure=False) == dict.fromkeys(
        conformance.CHECKS, ""
    )


def test_a_node_names_an_expired_certificate_and_ends() -> None:
    """The SuperNode refuses such a SuperLink, and says why; the SuperLink hears no question."""
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2 * security.DAYS)
    with tempfile.TemporaryDirectory(prefix="fl-", dir="/tmp") as name:
        folder = Path(name)
        security.write(folder / "keys", NAMES[:1], now=long_ago)
        keys = ("--ssl-certfile", str(folder / "keys" / "server.crt"), "--ssl-keyfile",
                str(folder / "keys" / "server.key"), "--ssl-ca-certfile",
                str(folder / "keys" / "ca.crt"))  # fmt: skip
        port, home = str(free_port()), {"FLWR_HOME": name, **flower.QUIET}
        with Processes(folder) as processes:
            processes.start("link", "flower-superlink", *keys, "--port", port,
                            "--host", "127.0.0.1", **home)  # fmt: skip
            until(lambda: "Uvicorn running" in processes.log("link"), "the SuperLink")
            processes.start(
                "node", "flower-supernode", "--root-certificates", str(folder / "keys" / "ca.crt"),
                "--superlink", f"127.0.0.1:{port}", "--port", str(free_port()), **home,
            )  # fmt: skip
            assert processes.running["node"].wait(60.0) != 0
            assert "certificate has expired" in processes.log("node")


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
    statement = json.loads(find(out, "statement.json").read_text())
    return [silo["charged"]["B"]["answers"] for silo in statement["silos"]]


@pytest.mark.slow
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
            until((out / "checkpoint" / "default.safetensors").is_file, "the first round")
            shutil.copy(out / "checkpoint" / "default.safetensors", folder / "first.safetensors")
            processes.kill("hungarian")
            processes.silo("hungarian", path)
            until(lambda: state(out) == "complete", "the run's end", 240.0)
            first, charged = find(out, "synthetic.csv").read_bytes(), answers(out)
            assert rounds(out) == 3
            assert all(3 <= count <= 4 for count in charged)  # at most a wasted step per kill

            shutil.copy(folder / "first.safetensors", out / "checkpoint" / "default.safetensors")
            find(out, "synthetic.csv").unlink()
            flower.submit(processes, folder / "app", "run-2")
            until(lambda: find(out, "synthetic.csv").is_file(), "the repeated steps", 240.0)
            until(lambda: "report.html" in processes.log("run-2"), "the report", 60.0)
            assert find(out, "synthetic.csv").read_bytes() == first
            assert answers(out) == charged
        here = run.run(config.load(str(path)), folder / "here")
        assert find(here.folder, "synthetic.csv").read_bytes() == first
