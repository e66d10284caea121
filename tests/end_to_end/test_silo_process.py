"""`dpfedsyn silo`: silos as real processes, a run over their sockets, and how they end."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dpfedsyn import config as configuration
from dpfedsyn import envelope, reach, resolved
from dpfedsyn.daemon import process, users
from dpfedsyn.envelope import Health, Healthy
from dpfedsyn.errors import ConfigError
from dpfedsyn.marking import find
from tests.end_to_end.small import call, environment, lines, read, sets

NAMES = ("cleveland", "hungarian")
LEVELS = 20
ROUNDS = LEVELS + 3
SMALL = (
    "answers.rows=60",
    "train.steps=6",
    "train.block=3",
    "train.draws=1",
    "network.hidden=8",
    f"sampler.levels={LEVELS}",
    "sampler.steps_per_level=1",
    "best.levels=3",
)
WHOLE = ("participation.quorum=1", "participation.attempts=1")  # all have to answer at once
SOON = 120.0  # seconds: more than a process takes to begin or to end, also on a busy machine
EXAMPLE = Path(configuration.__file__).parent / "examples" / "hospitals"


def two_silos(folder: Path, *, records: bool = True) -> Path:
    """Write the example with two of its hospitals; without records, their files are elsewhere."""
    folder.mkdir(parents=True)
    shutil.copy(EXAMPLE / "schema.toml", folder)
    if records:
        shutil.copytree(EXAMPLE / "data", folder / "data")
    text = (EXAMPLE / "config.toml").read_text(encoding="utf-8")
    head, *tables = re.split(r"(?m)^\[\[silos\]\]\n", text)
    *_, rest = re.split(r"(?m)^(?=\[privacy\])", tables[-1])
    kept = [table for table in tables if table.startswith(tuple(f'name = "{n}"' for n in NAMES))]
    silos = "".join(f"[[silos]]\n{table}" for table in kept)
    (folder / "config.toml").write_text(head + silos + rest, encoding="utf-8")
    return folder / "config.toml"


def command(source: Path, name: str, home: Path, *more: object) -> list[str]:
    """The arguments of `serve` for one silo."""
    options = ["--name", name, "--home", str(home), *map(str, more), *sets(SMALL)]
    return ["silo", "serve", str(source), *options]


@dataclass
class Served:
    """Silos that are processes, each with its home and its socket."""

    source: Path
    homes: Path
    place: Path
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def socket(self, name: str) -> Path:
        return self.place / name

    @property
    def sockets(self) -> list[str]:
        return [part for n in NAMES for part in ("--silo", f"{n}={self.socket(n)}")]

    def start(self, name: str) -> None:
        arguments = command(
            self.source, name, self.homes / name, "--socket", self.socket(name), "--allow", ME
        )
        self.running[name] = subprocess.Popen(
            [sys.executable, "-m", "dpfedsyn", *arguments],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def state(self, name: str) -> str | None:
        """How a silo says that it is; None where nobody listens."""
        try:
            data = reach.call(self.socket(name), envelope.encode(Health()), SOON)
        except ConnectionError:
            return None
        reply = envelope.reply(data)
        assert isinstance(reply, Healthy)
        return reply.state

    def wait(self, name: str, *states: str) -> None:
        end = time.monotonic() + SOON
        while self.state(name) not in states:
            if self.running[name].poll() is not None or time.monotonic() > end:
                raise AssertionError(self.end(name))
            time.sleep(0.05)

    def end(self, name: str, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send one silo's process a signal; its status and all that it said."""
        done = self.running.pop(name)
        done.send_signal(number)
        said, _ = done.communicate(timeout=SOON)
        return done.returncode, said

    def run(self, out: Path, *more: object) -> tuple[int, str]:
        """Run over the sockets, from this process."""
        options = ["--out", out, *more, *self.sockets, *sets(SMALL + WHOLE)]
        ran = call("run", self.source, *options)
        return ran.exit_code, ran.output


ME = str(os.getuid())


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Start both silos; whatever still runs at the end is killed."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    silos = Served(two_silos(folder / "config"), folder / "homes", place)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place)
        stack.callback(lambda: [silos.end(name, signal.SIGKILL) for name in list(silos.running)])
        for name in NAMES:
            silos.start(name)
        yield silos


def answered(home: Path, name: str) -> list[tuple[int, bytes]]:
    """Round and digest of every answer in a silo's ledger, read past the program."""
    ledger = home / name / "silos" / name / "ledger.sqlite"
    with sqlite3.connect(ledger) as connection:
        query = "SELECT round, digest FROM charges WHERE kind = 'answer' ORDER BY seq"
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def killed_in_round(silos: Served, name: str, run: Path, number: int) -> threading.Thread:
    """Kill a silo's process as soon as the run has taken so many rounds."""

    def watch() -> None:
        log, end = run / "rounds.jsonl", time.monotonic() + SOON
        while not log.exists() or len(log.read_text(encoding="utf-8").splitlines()) < number:
            if time.monotonic() > end:
                return
            time.sleep(0.005)
        silos.running[name].kill()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.slow
def test_processes_answer_for_further_rows_after_their_run(tmp_path: Path) -> None:
    """Started again, with their models read back; a ledger pays for what it paid before, and more
    than its reserve holds is refused with 3 before anything is asked."""
    run = tmp_path / "run"
    with served(tmp_path) as silos:
        for name in NAMES:
            silos.wait(name, "ready")
        assert silos.run(run)[0] == 0
        silos.end("hungarian")
        before = answered(silos.homes, "hungarian")
        silos.start("hungarian")
        silos.wait("hungarian", "ready")
        refused = call("sample", run, "--rows", 60, *silos.sockets)
        assert refused.exit_code == 3, refused.output
        assert "15 rows fit" in " ".join(refused.output.split())
        done = call("sample", run, "--rows", 12, *silos.sockets)
        assert done.exit_code == 0, done.output
        silos.end("hungarian")
        after = answered(silos.homes, "hungarian")
        assert after[: len(before)] == before
        new = [number for number, _ in after[len(before) :]]
        assert new == list(range(ROUNDS + 1, ROUNDS + LEVELS + 1))
        assert len(find(run, "synthetic-more-1.csv").read_text().splitlines()) == 13
        told = read(find(run, "statement.json"))
        assert [one["status"] for one in told["top_ups"]] == ["complete"]
        assert call("sample", run, "--rows", 12).exit_code == 2  # the silos are not in the folder


def test_a_run_over_processes_survives_kill_9_of_one_of_them(tmp_path: Path) -> None:
    """Two silos train and answer; one is killed in the middle of a run, started again, and the run
    is resumed: no answer is charged twice. Then both are told to end, and do."""
    run = tmp_path / "run"
    with served(tmp_path) as silos:
        for name in NAMES:
            silos.wait(name, "ready")
        for name in NAMES:
            shown = call("silo", "status", silos.homes / name, "--socket", silos.socket(name))
            assert shown.exit_code == 0, shown.output
            assert f"{name} of run hospitals: ready" in shown.output
            assert "released: counts; kept inside: dp-sgd, moments" in shown.output
            assert "answers: 0, mu 0 together" in shown.output
        watcher = killed_in_round(silos, "hungarian", run, 5)
        status, said = silos.run(run)
        watcher.join()
        assert status == 1, said
        assert "hungarian: no answer in round" in said
        assert "--resume" in said
        assert silos.end("hungarian", signal.SIGKILL)[0] == -signal.SIGKILL
        assert silos.socket("hungarian").is_socket()  # nobody listens on it any more
        before = answered(silos.homes, "hungarian")
        assert 5 <= len(before) < ROUNDS
        silos.start("hungarian")
        silos.wait("hungarian", "ready")
        shown = call(
            "silo", "status", silos.homes / "hungarian", "--socket", silos.socket("hungarian")
        )
        assert f"answers: {len(before)}, mu " in shown.output
        status, said = silos.run(run, "--resume")
        assert status == 0, said
        assert read(run / "state.json") == {"status": "complete", "reason": None}
        assert len(lines(run / "rounds.jsonl")) == ROUNDS
        assert find(run, "report.html").exists()
        assert len(find(run, "synthetic.csv").read_text().splitlines()) == 61
        claimed = {silo["name"]: silo for silo in read(find(run, "statement.json"))["silos"]}
        for name, number in zip(NAMES, (signal.SIGTERM, signal.SIGINT), strict=True):
            status, said = silos.end(name, number)
            assert status == 0, said
            assert "Traceback" not in said
            assert f"{name}: ready" in said
            assert not silos.socket(name).exists()
            rows = answered(silos.homes, name)
            assert claimed[name]["charged"]["B"]["answers"] == len(rows)
            distinct = {number for number, _ in rows}
            assert set(range(1, LEVELS + 1)) <= distinct <= set(range(1, ROUNDS + 1))
            assert len(distinct) <= len(rows) <= len(distinct) + 1
            ledger = silos.homes / name / "silos" / name / "ledger.sqlite"
            verified = call("ledger", "verify", ledger)
            assert verified.exit_code == 0, verified.output
            shown = call("silo", "ledger", silos.homes / name)
            assert shown.exit_code == 0, shown.output
            assert "dp-sgd" in shown.output
        assert answered(silos.homes, "hungarian")[: len(before)] == before


def test_a_process_that_trains_says_so_and_ends_when_it_is_told(tmp_path: Path) -> None:
    """It listens before it has trained; SIGTERM ends training at its next step, with status 0; the
    ledger verifies and training goes on from there."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    silos = Served(two_silos(tmp_path / "config"), tmp_path / "homes", place)
    try:
        long = ("--set", "train.steps=100000")
        arguments = command(
            silos.source, NAMES[0], silos.homes / NAMES[0], "--socket", silos.socket(NAMES[0])
        )
        silos.running[NAMES[0]] = subprocess.Popen(
            [sys.executable, "-m", "dpfedsyn", *arguments, *long],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        silos.wait(NAMES[0], "training")
        model = silos.homes / NAMES[0] / "silos" / NAMES[0] / "model.safetensors"
        end = time.monotonic() + SOON
        while not model.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        shown = call("silo", "status", silos.homes / NAMES[0], "--socket", silos.socket(NAMES[0]))
        assert shown.exit_code == 0, shown.output
        assert re.search(r"training, version \S+; \d+ of 100000 training steps", shown.output)
        status, said = silos.end(NAMES[0])
        assert status == 0, said
        assert "Traceback" not in said
        assert not silos.socket(NAMES[0]).exists()
        verified = call("ledger", "verify", model.with_name("ledger.sqlite"))
        assert verified.exit_code == 0, verified.output
    finally:
        for name in list(silos.running):
            silos.end(name, signal.SIGKILL)
        shutil.rmtree(place)


# --- errors --------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return two_silos(tmp_path / "config")


def one_error(code: int, *arguments: object) -> str:
    """Call, expect one error block of this exit code and no traceback; its words on one line."""
    done = call(*arguments)
    assert done.exit_code == code, done.output
    said = " ".join(done.stderr.split())
    assert said.count("Error: ") == 1
    assert "Traceback" not in done.output
    return said


@pytest.mark.parametrize("verb", ["serve", "train"])
def test_a_name_that_the_run_does_not_have_is_one_error(
    verb: str, source: Path, tmp_path: Path
) -> None:
    """With the names that it has; no folder is made."""
    said = one_error(2, "silo", verb, source, "--name", "va", "--home", tmp_path / "home")
    assert "--name va: the configuration has no such silo, so nothing was started" in said
    assert "cleveland, hungarian" in said
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--allow", "nobody-of-that-name", "--allow nobody-of-that-name: this machine has no such"),
        ("--group", "none-of-that-name", "--group none-of-that-name: this machine has no such"),
        ("--socket", "/tmp/" + "s" * 200, "at most 107 bytes"),
        ("--socket", "/nowhere/at/all", "the socket cannot be made"),
    ],
)
def test_who_and_where_are_checked_before_training(
    option: str, value: str, words: str, source: Path, tmp_path: Path
) -> None:
    """One error, exit code 2, and nothing was charged."""
    # Where nothing is checked, the socket ends the process: this test must not serve for ever.
    socket = () if option == "--socket" else ("--socket", "/nowhere/at/all")
    said = one_error(2, *command(source, NAMES[0], tmp_path / "home", option, value, *socket))
    assert words in said
    assert "nothing was started" in said
    assert not list(tmp_path.rglob("ledger.sqlite"))


@pytest.mark.parametrize("verb", ["serve", "train"])
def test_records_that_are_missing_are_one_error(verb: str, tmp_path: Path) -> None:
    """The process ends, its socket is gone and nothing was charged."""
    source, place = two_silos(tmp_path / "config", records=False), tempfile.mkdtemp(dir="/tmp")
    socket = ("--socket", f"{place}/s") if verb == "serve" else ()
    try:
        arguments = command(source, NAMES[0], tmp_path / "home", *socket)
        arguments[1] = verb
        said = one_error(2, *arguments)
        assert os.listdir(place) == []
    finally:
        shutil.rmtree(place)
    assert str(tmp_path / "config" / "data" / "processed.cleveland.data") in said
    assert not list(tmp_path.rglob("ledger.sqlite"))


def test_records_may_lie_elsewhere_and_the_others_need_not_be_here(tmp_path: Path) -> None:
    """A silo's machine has its own records alone: it trains with these."""
    source = two_silos(tmp_path / "config", records=False)
    own = EXAMPLE / "data" / "processed.cleveland.data"
    arguments = command(source, NAMES[0], tmp_path / "home", "--records", own)
    arguments[1] = "train"
    done = call(*arguments)
    assert done.exit_code == 0, done.output
    assert f"{NAMES[0]}: trained." in done.output
    assert (tmp_path / "home" / "silos" / NAMES[0] / "model.safetensors").exists()


def test_a_silo_with_its_own_records_alone_can_be_started_again(tmp_path: Path) -> None:
    """Its home is one of the same configuration, although the others' files are elsewhere."""
    source = two_silos(tmp_path / "config", records=False)
    own = EXAMPLE / "data" / "processed.cleveland.data"
    for _ in range(2):
        loaded = configuration.load(str(source), list(SMALL), records=False)
        loaded = resolved.with_places(loaded, NAMES[0], own)
        process.open_home(loaded, NAMES[0], tmp_path / "home")


def test_a_path_of_records_that_was_mistyped_can_be_mended(tmp_path: Path) -> None:
    """Nothing was charged under the wrong one."""
    source = two_silos(tmp_path / "config")
    wrong, own = tmp_path / "typo", EXAMPLE / "data" / "processed.cleveland.data"
    for records, code in ((wrong, 2), (own, 0)):
        arguments = command(source, NAMES[0], tmp_path / "home", "--records", records)
        arguments[1] = "train"
        assert call(*arguments).exit_code == code


def test_a_home_of_another_configuration_is_one_error(source: Path, tmp_path: Path) -> None:
    """Its ledger enforces what it was opened for."""
    home = tmp_path / "home"
    process.open_home(configuration.load(str(source), list(SMALL)), NAMES[0], home)
    said = one_error(2, *command(source, NAMES[0], home, "--set", "answers.clip=5.0"))
    assert "another configuration" in said


def test_a_plan_that_does_not_fit_is_refused_before_anything_is_made(
    source: Path, tmp_path: Path
) -> None:
    """Exit code 3, as for a run."""
    arguments = command(source, NAMES[0], tmp_path / "home", "--set", "privacy.epsilon=0.001")
    one_error(3, *arguments)
    assert not (tmp_path / "home").exists()


def test_silos_that_need_each_others_sums_are_refused(source: Path, tmp_path: Path) -> None:
    """A process of its own makes its base alone; nothing is charged."""
    arguments = command(source, NAMES[0], tmp_path / "home", "--set", "base.combine=sum")
    arguments[1] = "train"
    assert "base.combine = 'sum'" in one_error(2, *arguments)
    assert not list(tmp_path.rglob("ledger.sqlite"))


def test_status_where_nobody_listens_is_one_error(tmp_path: Path) -> None:
    """With the path, and what starts a silo."""
    said = one_error(1, "silo", "status", tmp_path)
    assert f"{tmp_path / 'socket'}: no silo can be reached there" in said
    assert "dpfedsyn silo serve" in said


@pytest.mark.parametrize("entry", ["cleveland", "cleveland=", ""])
def test_a_socket_without_a_name_or_a_path_is_a_usage_error(
    entry: str, source: Path, tmp_path: Path
) -> None:
    """Nothing is made."""
    done = call("run", source, "--out", tmp_path / "run", "--silo", entry)
    assert done.exit_code == 2
    assert "NAME=SOCKET" in done.output
    assert not (tmp_path / "run").exists()


def test_a_run_whose_silos_are_not_all_named_is_one_error(source: Path, tmp_path: Path) -> None:
    """Who is missing; nothing is made."""
    said = one_error(
        1, "run", source, "--out", tmp_path / "run", "--silo", "cleveland=/tmp/none", *sets(SMALL)
    )
    assert "hungarian: not connected" in said
    assert not (tmp_path / "run").exists()


# --- users and groups ----------------------------------------------------------------------------


def test_users_are_named_or_numbered() -> None:
    """The process's own is always among them."""
    assert users.numbers(["root", "4711"]) == {os.getuid(), 0, 4711}
    assert users.numbers([]) == {os.getuid()}
    assert users.group(None) is None
    assert (users.group("root"), users.group("4711")) == (0, 4711)
    with pytest.raises(ConfigError):
        users.numbers(["root", "-1"])


def test_a_digit_that_is_no_number_is_one_error() -> None:
    """As any other unknown name."""
    for name in ("²", "①"):
        with pytest.raises(ConfigError):
            users.numbers([name])
        with pytest.raises(ConfigError):
            users.group(name)
