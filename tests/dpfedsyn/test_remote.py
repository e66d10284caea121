"""A run whose silos are elsewhere: the same bytes as in one process, resumable, and suspicious."""

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from accountants.ledger import verify
from dpfedsyn import config as configuration
from dpfedsyn import envelope, gathering, keys, messages, remote, resolved
from dpfedsyn import run as runner
from dpfedsyn.collaboration import RunResult
from dpfedsyn.daemon import process
from dpfedsyn.daemon.listener import Listener
from dpfedsyn.daemon.resident import Resident
from dpfedsyn.engine import Failure, sockets
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.envelope import (
    Answered,
    Ask,
    Describe,
    Description,
    Health,
    Healthy,
    Refused,
    Reply,
    Spent,
)
from dpfedsyn.errors import ProtocolMismatch, RunError, SiloUnavailable
from dpfedsyn.marking import find
from dpfedsyn.messages import Packed
from dpfedsyn.progress import Silent
from dpfedsyn.report import standing
from dpfedsyn.settings import Config
from dpfedsyn.threads import one_per_silo

NAMES = ("cleveland", "hungarian")
ROUNDS = 5  # two of the default pass, three of `best`
TINY = (
    "answers.rows=24",
    "train.steps=4",
    "train.block=2",
    "train.draws=1",
    "network.hidden=8",
    "sampler.levels=2",
    "sampler.steps_per_level=1",
    "best.levels=3",
    "evaluate.enabled=false",
)
# Repeatable noise voids every promise; without it two runs could not be compared byte for byte.
REPEATABLE = (*TINY, "privacy.unsafe_noise_seed=7")
OF_A_ROUND = (
    "pass",
    "round",
    "of",
    "injected",
    "responsibilities",
    "asked",
    "answered",
    "received",
    "unanswered",
    "handed_over",
    "silos",
)
Handle = Callable[[bytes], bytes]


def tiny(*more: str) -> Config:
    """Two of the four hospitals."""
    config = configuration.load("hospitals", [*REPEATABLE, *more])
    return dataclasses.replace(config, silos=config.silos[: len(NAMES)])


@contextlib.contextmanager
def residents(config: Config, folder: Path) -> Iterator[dict[str, Resident]]:
    """Every silo with a home of its own in this folder: trained, or read back."""
    with one_per_silo(), ExitStack() as stack:
        found = {}
        for silo in config.silos:
            home = process.open_home(config, silo.name, folder / silo.name)
            resident = home.resident()
            resident.member = stack.enter_context(process._made(home, resident))
            found[silo.name] = resident
        yield found


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the homes of two silos that have trained; no test may change them."""
    folder = tmp_path_factory.mktemp("homes")
    with residents(tiny(), folder):
        pass
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the same run in one process."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert runner.run(tiny(), folder).status == "complete"
    return folder


@pytest.fixture
def silos(homes: Path, tmp_path: Path) -> Iterator[dict[str, Resident]]:
    """Return two trained silos with ledgers that hold no answer yet."""
    shutil.copytree(homes, tmp_path / "homes")
    with residents(tiny(), tmp_path / "homes") as found:
        yield found


class LostError(Exception):
    """The server's process ends here."""


@dataclass
class Wire:
    """A transport that keeps what it carried, and to which a test can do things."""

    handlers: Mapping[str, Handle]
    end: int = 10**9  # the server is lost in this exchange of questions,
    delivered: bool = True  # after the silos have answered it, or before
    change: Callable[[str, Reply], Reply] = lambda name, reply: reply
    silent: Callable[[str, str, int], bool] = lambda name, step, count: False
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)
    rounds: int = 0

    def members(self) -> tuple[str, ...]:
        return tuple(self.handlers)

    def query(
        self, step: str, payloads: Mapping[str, bytes], timeout: float | None
    ) -> dict[str, bytes | Failure]:
        self.rounds += step.startswith("round")
        if self.rounds == self.end and not self.delivered:
            raise LostError
        found = {name: self._one(step, name, data) for name, data in payloads.items()}
        if self.rounds == self.end:
            raise LostError
        return found

    def _one(self, step: str, name: str, data: bytes) -> bytes | Failure:
        self.sent.append((step, name, data))
        count = sum((step, name) == (s, n) for s, n, _ in self.sent)
        if self.silent(name, step, count):
            return Failure("it is away")
        return envelope.encode(self.change(name, envelope.reply(self.handlers[name](data))))

    def questions(self) -> list[tuple[str, bytes]]:
        """Every question that was asked, with the silo that got it."""
        asked = [(name, envelope.request(data)) for _, name, data in self.sent]
        return [(name, request.query) for name, request in asked if isinstance(request, Ask)]


def wire(silos: Mapping[str, Resident], **options: Any) -> Wire:
    return Wire({name: silo.handle for name, silo in silos.items()}, **options)


def never(seconds: float) -> None:
    raise AssertionError("waited")


def take(transport: Any, out: Path, config: Config | None = None, **options: Any) -> RunResult:
    options = {"resume": False, "sleep": never, **options}
    return remote.run(config or tiny(), transport, out, progress=Silent(), **options)


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rounds(run: Path) -> list[dict[str, Any]]:
    """What every round did and cost, without the time that it took."""
    found = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    return [{key: record[key] for key in OF_A_ROUND} for record in found]


def charges(silos: Mapping[str, Resident]) -> dict[str, list[tuple[str, bytes]]]:
    return {
        name: [(charge.kind, charge.digest) for charge in silo.member.silo.ledger.charges()]
        for name, silo in silos.items()
        if silo.member is not None
    }


def answers(silos: Mapping[str, Resident]) -> dict[str, int]:
    return {n: sum(kind == "answer" for kind, _ in rows) for n, rows in charges(silos).items()}


def tables(run: Path) -> list[bytes]:
    return [find(run, name).read_bytes() for name in ("synthetic.csv", "synthetic-best.csv")]


def assert_same(run: Path, whole: Path) -> None:
    """The same rows, rounds and claims, file by file."""
    assert tables(run) == tables(whole)
    for name in ("federation.json", "plan.json", "state.json"):
        assert read(find(run, name)) == read(find(whole, name))
    assert_same_claims(run, whole)
    assert rounds(run) == rounds(whole)


def assert_same_claims(run: Path, whole: Path) -> None:
    """The same statement, but for who held what: silos of their own, or one process."""
    elsewhere, together = (read(find(path, "statement.json")) for path in (run, whole))
    assert not elsewhere["settings"].pop("one_process")
    assert together["settings"].pop("one_process")
    assert "trusts itself alone" in elsewhere["trust"].pop("silo")
    assert "trust whoever ran it" in together["trust"].pop("silo")
    for told, words in ((elsewhere, "each silo decides"), (together, "whole run folder")):
        (anchor,) = [text for text in told["caveats"] if text.startswith("An older copy of")]
        assert words in anchor
        told["caveats"].remove(anchor)
        told["hazards"] = [one for one in told["hazards"] if one["number"] not in (20, 21)]
    assert elsewhere == together


# --- the same run --------------------------------------------------------------------------------


def test_a_run_over_a_transport_is_the_run_in_one_process(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """Guarantee of dpfedsyn.collaboration.collaborate: Post-processing: everything here is made of
    what silos released, and of public settings: a server that has descriptions and answers alone
    makes the same rows and the same claims, bit for bit."""
    transport = wire(silos)
    result = take(transport, tmp_path / "run")
    assert (result.status, result.reason, result.foreseen) == ("complete", None, True)
    assert_same(tmp_path / "run", whole)
    assert max(answers(silos).values()) == ROUNDS
    kinds = {type(envelope.request(data)) for _, _, data in transport.sent}
    assert kinds == {Health, Describe, Ask}


def test_the_servers_folder_holds_nothing_of_a_silo(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """No key, no ledger, no model, no record: what lies here may be looked at."""
    take(wire(silos), tmp_path / "run")
    here = {str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*")}
    assert here == {
        "config.toml",
        "NON-PRIVATE-plan.json",
        "described.json",
        "questions.jsonl",
        "NON-PRIVATE-statement.json",
        "NON-PRIVATE-federation.json",
        "events.jsonl",
        "rounds.jsonl",
        "state.json",
        "NON-PRIVATE-synthetic.csv",
        "NON-PRIVATE-synthetic-best.csv",
        "checkpoint",
        "checkpoint/default.safetensors",
        "checkpoint/best.safetensors",
    }


def test_a_run_over_sockets_is_the_same_run(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """Each silo behind its socket, each question on a connection of its own."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    most = process.open_home(tiny(), NAMES[0], tmp_path / "homes" / NAMES[0]).most
    listeners = [
        Listener(place / name, silo.handle, most=most, allowed={os.getuid()})
        for name, silo in silos.items()
    ]
    threads = [threading.Thread(target=listener.serve) for listener in listeners]
    try:
        for thread in threads:
            thread.start()
        with sockets.transport({name: place / name for name in NAMES}) as transport:
            take(transport, tmp_path / "run")
    finally:
        for listener in listeners:
            listener.stop()
        for thread in threads:
            thread.join(10)
        shutil.rmtree(place)
    assert_same(tmp_path / "run", whole)


def test_the_largest_question_is_one_that_a_process_reads(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """`Home.most` follows from public settings, and leaves no room for another dimension."""
    transport = wire(silos)
    take(transport, tmp_path / "run")
    most = process.open_home(tiny(), NAMES[0], tmp_path / "homes" / NAMES[0]).most
    longest = max(len(data) for _, _, data in transport.sent)
    assert longest <= most < longest + process.OVERHEAD


def test_other_noise_gives_other_rows(whole: Path, tmp_path: Path) -> None:
    """The comparison can fail."""
    config = tiny("privacy.unsafe_noise_seed=8")
    with residents(config, tmp_path / "homes") as found:
        take(wire(found), tmp_path / "run", config)
    table = find(tmp_path / "run", "synthetic.csv").read_bytes()
    assert table != find(whole, "synthetic.csv").read_bytes()


def test_the_order_in_which_silos_are_named_changes_nothing(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """`--silo b=... --silo a=...`: each silo is asked about its own rows."""
    take(wire({name: silos[name] for name in reversed(NAMES)}), tmp_path / "run")
    assert_same(tmp_path / "run", whole)


def test_a_member_that_the_run_does_not_have_is_not_asked(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """Whoever else is connected takes no part."""

    def fail(data: bytes) -> bytes:
        raise AssertionError("was asked")

    transport = wire(silos)
    transport.handlers = {**transport.handlers, "stranger": fail}
    take(transport, tmp_path / "run")
    assert_same(tmp_path / "run", whole)


# --- waiting -------------------------------------------------------------------------------------


def test_a_silo_that_trains_is_waited_for(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """As long as it says so, also beyond the tries of one that says nothing."""
    late, waited = silos["hungarian"], 0
    member, late.member = late.member, None

    def sleep(seconds: float) -> None:
        nonlocal waited
        assert seconds == gathering.POLL
        waited += 1
        if waited == gathering.TRIES + 5:
            late.member = member

    transport = wire(silos)
    take(transport, tmp_path / "run", sleep=sleep)
    assert waited == gathering.TRIES + 5
    assert_same(tmp_path / "run", whole)
    asked = [name for step, name, _ in transport.sent if step == "describe"]
    assert asked.count("cleveland") == 2  # who has said it is not asked again before the end
    assert asked.count("hungarian") == waited + 2


def test_a_silo_that_is_not_there_yet_is_looked_for(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """It comes with the last try."""
    waits: list[float] = []

    def late(name: str, step: str, count: int) -> bool:
        return (name, step) == ("hungarian", "describe") and count < gathering.TRIES

    transport = wire(silos, silent=late)
    take(transport, tmp_path / "run", sleep=waits.append)
    assert waits == [gathering.POLL] * (gathering.TRIES - 1)
    assert_same(tmp_path / "run", whole)


def test_a_silo_that_never_replies_is_missing(silos: dict[str, Resident], tmp_path: Path) -> None:
    """Named, with the mend, which works; nothing was charged."""
    waits: list[float] = []
    transport = wire(silos, silent=lambda name, step, n: name == "hungarian")
    with pytest.raises(SiloUnavailable, match=r"^hungarian: no reply, asked 60 times.*--resume"):
        take(transport, tmp_path / "run", sleep=waits.append)
    assert len(waits) == gathering.TRIES - 1
    assert {step for step, _, _ in transport.sent} == {"health"}
    assert standing.lines(tmp_path / "run")[0].endswith(": running")
    assert answers(silos) == dict.fromkeys(NAMES, 0)
    assert take(wire(silos), tmp_path / "run", resume=True).status == "complete"


def test_a_silo_that_is_not_connected_is_said_before_anything_is_asked(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """All that are missing, and who is there."""
    for there in (["cleveland"], []):
        transport = wire({name: silos[name] for name in there})
        missing = ", ".join(name for name in NAMES if name not in there)
        with pytest.raises(SiloUnavailable, match=rf"^{missing}: not connected"):
            take(transport, tmp_path / "run")
        assert transport.sent == []
        assert not (tmp_path / "run").exists()


def test_a_silo_that_misses_a_round_is_waited_for_no_longer(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """With a quorum of a half the run goes on, and says who answered."""
    transport = wire(silos, silent=lambda n, step, c: (n, step) == ("hungarian", "round 2"))
    assert take(transport, tmp_path / "run").status == "complete"
    log = rounds(tmp_path / "run")
    assert [record["answered"] for record in log[:2]] == [list(NAMES), ["cleveland"]]
    table = read(find(tmp_path / "run", "federation.json"))["participation"]["default"]
    assert (table["hungarian"]["asked"], table["hungarian"]["answered"]) == (2, 1)


def test_a_round_without_its_quorum_is_asked_again_after_a_pause(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """The silo that was away comes back, and the rows are those of a run in which it never was."""
    waits: list[float] = []

    def away(name: str, step: str, count: int) -> bool:
        return (name, step) == ("hungarian", "round 2") and count < 3

    config, transport = tiny("participation.quorum=1"), wire(silos, silent=away)
    take(transport, tmp_path / "run", config, sleep=waits.append)
    assert waits == [remote.PAUSE] * 2
    assert tables(tmp_path / "run") == tables(whole)
    asked = [name for step, name, _ in transport.sent if step == "round 2"]
    assert asked == ["cleveland", *["hungarian"] * 3]  # who has answered is not asked again


def test_a_silos_refusal_ends_the_run_with_what_there_is(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Partial, and not as planned: its cap came before the plan's."""

    def refuse(name: str, reply: Reply) -> Reply:
        over = isinstance(reply, Answered) and transport.rounds == 2 and name == "hungarian"
        return Refused("budget", "hungarian: the cap is reached") if over else reply

    transport = wire(silos, change=refuse)
    result = take(transport, tmp_path / "run")
    assert (result.status, result.foreseen) == ("partial", False)
    assert result.reason is not None
    assert result.reason.startswith("stopped at the cap after 1 of 5 rounds: round 2")
    assert "hungarian: the cap is reached" in result.reason
    assert find(tmp_path / "run", "synthetic.csv").exists()
    assert read(find(tmp_path / "run", "statement.json"))["status"] == "partial"


# --- who takes part ------------------------------------------------------------------------------


def refused(silos: dict[str, Resident], out: Path, **options: Any) -> str:
    """Run, expect `ProtocolMismatch`, and that no silo was asked a question; its words."""
    transport = wire(silos, **options)
    with pytest.raises(ProtocolMismatch) as raised:
        take(transport, out)
    assert transport.questions() == []
    assert answers(silos) == dict.fromkeys(NAMES, 0)
    assert not find(out, "synthetic.csv").exists()
    return str(raised.value)


def changed(**fields: Any) -> Callable[[str, Reply], Reply]:
    """Let hungarian describe itself with these fields."""

    def change(name: str, reply: Reply) -> Reply:
        if name == "hungarian" and isinstance(reply, Description | Healthy):
            known = {field.name for field in msgspec.structs.fields(reply)}
            return msgspec.structs.replace(reply, **{k: fields[k] for k in fields.keys() & known})
        return reply

    return change


@pytest.mark.parametrize("override", ["answers.clip=5.0", "privacy.epsilon=7", "sampler.seed=2"])
def test_a_silo_of_another_configuration_is_refused(
    override: str, silos: dict[str, Resident], tmp_path: Path
) -> None:
    """By what both sides must have alike: the server's own configuration is the other one."""
    transport = wire(silos)
    with pytest.raises(ProtocolMismatch, match=r"^cleveland: does not take part .*agreed: '"):
        take(transport, tmp_path / "run", tiny(override))
    assert {step for step, _, _ in transport.sent} == {"health"}


def test_a_silo_of_another_schema_is_refused(silos: dict[str, Resident], tmp_path: Path) -> None:
    """The schema's digest is part of what both sides must have alike."""
    config = tiny()
    silos["hungarian"].agreed = resolved.agreed(config, "another schema")
    words = refused(silos, tmp_path / "run")
    assert words.startswith("hungarian: does not take part")
    assert "agreed" in words
    assert "Nothing was asked of it" in words


@pytest.mark.parametrize(
    ("key", "value"), [("version", "0.0.9"), ("run", "another"), ("silo", "cleveland")]
)
def test_a_silo_that_is_somebody_else_is_refused(
    key: str, value: str, silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Another version, run or name; the words show both sides."""
    words = refused(silos, tmp_path / "run", change=changed(**{key: value}))
    assert words.startswith("hungarian: does not take part")
    assert f"{key}: {value!r}, here " in words
    assert "agreed" not in words


def test_where_files_lie_and_who_takes_part_need_not_be_alike(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """The server knows no records; participation and evaluation are its own affair."""
    config = tiny("participation.quorum=1", "evaluate.enabled=true", "device=cpu")
    elsewhere = tuple(dataclasses.replace(s, path="not-here.csv") for s in config.silos)
    take(wire(silos), tmp_path / "run", dataclasses.replace(config, silos=elsewhere))
    assert (
        find(tmp_path / "run", "synthetic.csv").read_bytes()
        == find(whole, "synthetic.csv").read_bytes()
    )


def test_a_silo_that_trained_for_itself_cannot_hide_it(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """One that replies with anything but a description is refused by name."""
    for place, (reply, told) in enumerate(
        (
            (Refused("fault", "its log says why"), "its log says why"),
            (Refused("budget", "over"), "over"),
            (Answered(b"", Spent(0.0, None)), "Answered"),
        )
    ):
        words = refused(
            silos,
            tmp_path / f"run-{place}",
            change=lambda name, found, reply=reply: reply if name == "hungarian" else found,
        )
        assert words.startswith("hungarian: did not say what it has released")
        assert told in words


def floats(*values: float) -> Packed:
    return Packed.of(np.array(values, dtype=np.float64))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("field_", ["counts", "marginals"])
def test_numbers_that_are_not_finite_are_refused(
    number: float, field_: str, silos: dict[str, Resident], tmp_path: Path
) -> None:
    """One of them would be in every weight and in every row."""
    change = changed(**{field_: floats(100.0, number)})
    words = refused(silos, tmp_path / "run", change=change)
    assert words.startswith("hungarian: says that it has released or spent what no silo can")
    assert ("finite numbers" if field_ == "counts" else "histograms") in words


@pytest.mark.parametrize(
    "counts",
    [
        floats(100.0),
        floats(100.0, 80.0, 60.0),
        Packed.of(np.ones((2, 1))),
        Packed.of(np.ones(2, np.float32)),
        Packed.of(np.ones(2, ">f8")),
        Packed("<f8", (2,), bytes(15)),
        Packed("|O", (2,), bytes(16)),
        Packed("<f8", (2,) * 3, bytes(64)),
    ],
    ids=["one", "three", "column", "floats", "byte order", "cut", "objects", "dimensions"],
)
def test_counts_of_another_shape_or_type_are_refused(
    counts: Packed, silos: dict[str, Resident], tmp_path: Path
) -> None:
    """One noisy count per label, little-endian doubles."""
    refused(silos, tmp_path / "run", change=changed(counts=counts))


SENSELESS = (AssertionError, ValueError, pytest.fail.Exception)
UNCHECKED = {
    "no counts": {"counts": None},
    "noise that is no number": {"counts_std": np.nan},
    "noise without end": {"counts_std": np.inf},
    "negative noise": {"counts_std": -1.0},
    "histograms of another length": {"marginals": floats(1.0, 2.0, 3.0), "marginals_std": 1.0},
    "a cost that is no number": {"spent": Spent(np.nan, None)},
    "a negative cost": {"spent": Spent(-1.0, None)},
}


@pytest.mark.parametrize("fields", UNCHECKED.values(), ids=UNCHECKED.keys())
def test_a_description_that_makes_no_sense_is_refused(
    fields: dict[str, Any], silos: dict[str, Resident], tmp_path: Path
) -> None:
    """With the silo's name, before anything is asked: never another exception, or NaN weights."""
    assert refused(silos, tmp_path / "run", change=changed(**fields)).startswith("hungarian: ")


def test_a_ledger_that_was_exchanged_during_the_run_is_noticed(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """The claims would be those of a ledger that did not pay for the answers."""

    def change(name: str, reply: Reply) -> Reply:
        if isinstance(reply, Description) and transport.rounds and name == "hungarian":
            return msgspec.structs.replace(reply, ledger_id="00" * 16, answers=0)
        return reply

    transport = wire(silos, change=change)
    with pytest.raises(ProtocolMismatch, match="hungarian"):
        take(transport, tmp_path / "run")


def test_a_silo_of_another_run_is_refused_before_anybody_is_asked_for_sums(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Guarantee of dpfedsyn.remote._met: No silo is asked for anything that is charged before all
    have said that they mean this run: no `Combine` is sent where settings differ."""
    transport, config = wire(silos), tiny("base.combine=sum", "answers.clip=5.0")
    with pytest.raises(ProtocolMismatch, match=r"^cleveland: does not take part"):
        take(transport, tmp_path / "run", config)
    assert {type(envelope.request(data)) for _, _, data in transport.sent} == {Health}


@pytest.mark.parametrize(
    "spent",
    [
        {"answers_mu2": np.nan},
        {"answers_mu2": np.inf},
        {"answers_mu2": 1e300},
        {"answers_mu2": -1.0},
        {"record_mu2": 1.0},
        {"answers": -1},
    ],
    ids=str,
)
def test_an_answer_whose_ledger_cannot_be_is_refused_by_name(
    spent: dict[str, Any], silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Sums beyond the cap, or none at all, reach neither the log nor an accountant."""

    def change(name: str, reply: Reply) -> Reply:
        if name == "hungarian" and isinstance(reply, Answered):
            false = msgspec.structs.replace(reply.spent, **spent)
            return msgspec.structs.replace(reply, spent=false)
        return reply

    with pytest.raises(ProtocolMismatch, match=r"^hungarian: says that it has released or spent"):
        take(wire(silos, change=change), tmp_path / "run")
    assert not (tmp_path / "run" / "rounds.jsonl").exists()


# --- silos that leave or come back as others -----------------------------------------------------


def leaving(silos: dict[str, Resident], number: int, **options: Any) -> Wire:
    """A transport on which hungarian is silent from a round on, and never comes back."""
    transport = wire(silos, **options)
    transport.silent = lambda name, step, count: (
        name == "hungarian" and transport.rounds >= number and step != "health"
    )
    return transport


def stated(run: Path, name: str) -> dict[str, Any]:
    found = {silo["name"]: silo for silo in read(find(run, "statement.json"))["silos"]}
    return dict(found[name])


def answered_mu2(silos: dict[str, Resident], name: str) -> float:
    member = silos[name].member
    assert member is not None
    return float(member.silo.ledger.totals().answers_mu2)


class Noted(Silent):
    """Keeps what was noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("late", [False, True], ids=["never asked", "asked, unheard"])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_silo_that_left_for_good_keeps_nobody_from_a_statement(
    number: int, late: bool, silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Guarantee of dpfedsyn.roster.Roster.charged: Never less than the ledger's answers: what the
    statement says of it is what it said last, and every question that it may have been charged."""
    transport, noted = leaving(silos, number), Noted()
    if late:  # it does answer, and is charged, but its replies are lost
        heard = transport.silent

        def silent(name: str, step: str, count: int) -> bool:
            if heard(name, step, count) and step.startswith("round"):
                silos[name].handle(transport.sent[-1][2])
            return heard(name, step, count)

        transport.silent = silent
    result = remote.run(
        tiny(), transport, tmp_path / "run", resume=False, progress=noted, sleep=lambda _: None
    )
    assert result.status == "complete"
    told = stated(tmp_path / "run", "hungarian")
    assert told["last_heard"] == {"round": number - 1, "unheard": ROUNDS - number + 1}
    assert told["charged"]["B"]["answers"] == ROUNDS
    charged = told["charged"]["B"]["mu"] ** 2
    assert charged >= answered_mu2(silos, "hungarian")
    if late:
        assert charged == pytest.approx(answered_mu2(silos, "hungarian"))
    assert charged <= told["charged"]["B"]["cap_mu"] ** 2 * (1 + 1e-9)
    assert "last_heard" not in stated(tmp_path / "run", "cleveland")
    caveats = read(find(tmp_path / "run", "statement.json"))["caveats"]
    assert any(c.startswith(f"hungarian was last heard in round {number - 1}:") for c in caveats)
    assert any(n.startswith("hungarian: was last heard") for n in noted.notes)
    assert read(tmp_path / "run" / "state.json")["status"] == "complete"


def test_a_silo_that_comes_back_has_its_own_sums_stated(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Resumed with it, the run asks nothing and states what its ledger says."""
    take(leaving(silos, 2), tmp_path / "run", sleep=lambda _: None)
    assert stated(tmp_path / "run", "hungarian")["charged"]["B"]["answers"] == ROUNDS
    transport = wire(silos)
    take(transport, tmp_path / "run", resume=True)
    assert transport.questions() == []
    told = stated(tmp_path / "run", "hungarian")
    assert "last_heard" not in told
    assert told["charged"]["B"]["answers"] == 1 == answers(silos)["hungarian"]
    assert told["charged"]["B"]["mu"] ** 2 == pytest.approx(answered_mu2(silos, "hungarian"))


@pytest.mark.parametrize("connected", [True, False])
def test_a_run_goes_on_without_a_silo_that_left(
    connected: bool, silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Killed in round 3 and resumed: the silo that was there in the first is not needed, whether
    the transport knows it or not; questions that were sent before the kill are counted too."""
    with pytest.raises(LostError):
        take(leaving(silos, 2, end=3), tmp_path / "run", sleep=lambda _: None)
    there = silos if connected else {"cleveland": silos["cleveland"]}
    transport = leaving(there, 0)
    take(transport, tmp_path / "run", resume=True, sleep=lambda _: None)
    told = stated(tmp_path / "run", "hungarian")
    assert told["last_heard"] == {"round": 1, "unheard": ROUNDS - 1}
    assert told["charged"]["B"]["answers"] == ROUNDS


def test_a_silo_that_was_made_anew_is_refused_on_resume(homes: Path, tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.agreement.require_one_ledger: The claims are those of the ledgers that
    paid for the answers: a home that was deleted and made again is not taken for the old one."""
    shutil.copytree(homes, tmp_path / "homes")
    with residents(tiny(), tmp_path / "homes") as found, pytest.raises(LostError):
        take(wire(found, end=4), tmp_path / "run")
    shutil.rmtree(tmp_path / "homes" / "hungarian")
    with residents(tiny(), tmp_path / "homes") as found:
        # Of a seed, the key and so the ledger's id are those of before; one's own never are.
        change = changed(ledger_id="cd" * 16)
        transport = wire(found, change=change)
        with pytest.raises(ProtocolMismatch, match=r"^hungarian: came back as another silo"):
            take(transport, tmp_path / "run", resume=True)
        assert transport.questions() == []
        transport = wire(found)
        with pytest.raises(ProtocolMismatch, match=r"^hungarian: came back as another .*answers"):
            take(transport, tmp_path / "run", resume=True)
        assert transport.questions() == []
    assert not find(tmp_path / "run", "statement.json").exists()


def test_an_answer_of_another_ledger_is_not_used(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Whenever it comes: a silo that was away when the run was resumed is not asked who it is."""

    def change(name: str, reply: Reply) -> Reply:
        if name == "hungarian" and isinstance(reply, Answered) and transport.rounds >= 3:
            other = msgspec.structs.replace(reply.spent, ledger_id="00" * 16)
            return msgspec.structs.replace(reply, spent=other)
        return reply

    transport = wire(silos, change=change)
    with pytest.raises(ProtocolMismatch, match=r"^hungarian: came back as another silo"):
        take(transport, tmp_path / "run")
    assert len(rounds(tmp_path / "run")) == 2


def test_a_silo_that_never_is_ready_again_does_not_hold_the_statement(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """It may say so as often as it likes."""

    def change(name: str, reply: Reply) -> Reply:
        done = transport.rounds == ROUNDS and isinstance(reply, Description)
        return Refused("not ready", "wait") if done and name == "hungarian" else reply

    waits: list[float] = []
    transport = wire(silos, change=change)
    assert take(transport, tmp_path / "run", sleep=waits.append).status == "complete"
    assert len(waits) == gathering.LOOKS - 1
    assert stated(tmp_path / "run", "hungarian")["last_heard"] == {"round": ROUNDS, "unheard": 0}
    assert stated(tmp_path / "run", "hungarian")["charged"]["B"]["answers"] == ROUNDS


# --- the run's folder ----------------------------------------------------------------------------


def test_the_folder_is_there_before_anything_is_asked(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """Its state can be read, and a run that ends in its first question is resumed."""
    seen: list[list[str]] = []

    class Ending(Wire):
        def query(self, *arguments: Any) -> dict[str, bytes | Failure]:
            seen.append(standing.lines(tmp_path / "run"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(Ending({n: silo.handle for n, silo in silos.items()}), tmp_path / "run")
    assert seen[0][0].endswith(": running")
    assert (tmp_path / "run" / "events.jsonl").exists()
    take(wire(silos), tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", whole)


def test_a_folder_in_use_is_found_before_anything_is_asked(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """A folder of other files, and one that another process writes into now."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    transport = wire(silos)
    with pytest.raises(RunError, match="not empty"):
        take(transport, tmp_path / "other")

    class Meanwhile(Wire):
        def query(self, *arguments: Any) -> dict[str, bytes | Failure]:
            with pytest.raises(RunError, match="another process is at this run"):
                take(transport, tmp_path / "run", resume=True)
            return super().query(*arguments)

    take(Meanwhile({n: silo.handle for n, silo in silos.items()}), tmp_path / "run")
    assert transport.sent == []
    take(transport, tmp_path / "run", resume=True)  # and afterwards it is free


def test_a_damaged_record_of_the_silos_is_one_clear_error(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """What they were asked is unknown then, so nothing more is; a line that was cut is dropped."""
    take(wire(silos), tmp_path / "run")
    path = tmp_path / "run" / "questions.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"round":6,"sent":["hung')
    take(wire(silos), tmp_path / "run", resume=True)
    assert path.read_bytes().startswith(whole)
    for name in ("questions.jsonl", "described.json"):
        before = (tmp_path / "run" / name).read_bytes()
        (tmp_path / "run" / name).write_bytes(b"{damaged\n")
        transport = wire(silos)
        with pytest.raises(RunError, match=r"is damaged"):
            take(transport, tmp_path / "run", resume=True)
        assert transport.sent == []
        (tmp_path / "run" / name).write_bytes(before)


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivered", [True, False], ids=["replies lost", "questions lost"])
@pytest.mark.parametrize("end", [1, 2, 4])
def test_an_interrupted_run_goes_on_with_the_same_rows_at_no_further_cost(
    end: int, delivered: bool, silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """In the first round, between the passes' and in the second pass; what was asked and not saved
    is asked again, and redelivered."""
    with pytest.raises(LostError):
        take(wire(silos, end=end, delivered=delivered), tmp_path / "run")
    before = charges(silos)
    assert answers(silos)["cleveland"] == end - (not delivered)
    assert not find(tmp_path / "run", "synthetic.csv").exists()
    assert take(wire(silos), tmp_path / "run", resume=True).status == "complete"
    assert_same(tmp_path / "run", whole)
    after = charges(silos)
    assert all(after[name][: len(rows)] == rows for name, rows in before.items())
    told = {silo["name"]: silo for silo in read(find(whole, "statement.json"))["silos"]}
    for name, count in answers(silos).items():
        assert count == told[name]["charged"]["B"]["answers"]


def test_a_silo_that_was_started_again_meanwhile_goes_on(
    homes: Path, whole: Path, tmp_path: Path
) -> None:
    """Its ledger and its model are read back; the lost round is redelivered from the disk."""
    shutil.copytree(homes, tmp_path / "homes")
    with residents(tiny(), tmp_path / "homes") as found, pytest.raises(LostError):
        take(wire(found, end=2), tmp_path / "run")
    with residents(tiny(), tmp_path / "homes") as found:
        take(wire(found), tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", whole)


def test_a_complete_run_can_be_resumed_and_asks_nothing(
    silos: dict[str, Resident], whole: Path, tmp_path: Path
) -> None:
    """Its files are written again, from its checkpoints."""
    take(wire(silos), tmp_path / "run")
    find(tmp_path / "run", "synthetic.csv").unlink()
    before, transport = charges(silos), wire(silos)
    take(transport, tmp_path / "run", resume=True)
    assert transport.questions() == []
    assert charges(silos) == before
    assert_same(tmp_path / "run", whole)


def test_a_folder_that_holds_a_run_is_not_written_without_resume(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """And none is resumed where there is none; nothing is asked."""
    transport = wire(silos)
    with pytest.raises(RunError, match="no run to resume"):
        take(transport, tmp_path / "run", resume=True)
    take(wire(silos), tmp_path / "run")
    with pytest.raises(RunError, match="--resume"):
        take(transport, tmp_path / "run")
    assert transport.questions() == []


# --- a server that means harm --------------------------------------------------------------------


def question(silo: Resident, **changes: Any) -> bytes:
    """A question that this silo answers, but for the changes."""
    assert silo.member is not None
    dimension = silo.member.silo.public.dimension
    asked = messages.ScoreQuery(
        run=silo.run,
        round_number=1,
        t=500,
        x=np.zeros((3, dimension), np.float32),
        labels=np.array([0, 1, 1]),
        score_std=1.0,
        energy_std=None,
    )
    changed_ = dataclasses.replace(asked, **changes)
    return envelope.encode(Ask(messages.encode_query(changed_)))


def forged(silo: Resident) -> Iterator[bytes]:
    """Requests that are none, and questions that are none for this silo."""
    good = question(silo)
    yield from (b"", b"\x00", b"\xff" * 64, b"x" * 10_000, good[:-1], good + b"\x00")
    yield from (envelope.encode(Ask(data)) for data in (b"", b"{}", good, bytes(500)))
    yield from (msgspec.msgpack.encode(raw) for raw in ({}, [], {"type": "train/1"}, None))
    yield from (msgspec.msgpack.encode({"type": "ask/1", "query": 1, "more": 2}), bytes(1000))
    rng = np.random.default_rng(3)
    for place in rng.integers(0, 40, 60).tolist():  # of the envelope and the query's header
        damaged = bytearray(good)
        damaged[place] ^= 0x80
        yield bytes(damaged)
    wide = np.zeros((3, 400), np.float32)
    for changes in (
        {"run": "another"},
        {"run": ""},
        {"round_number": -1},
        {"round_number": 2**40},
        {"t": -1},
        {"t": 1000},
        {"x": wide},
        {"x": wide[:, :0]},
        {"labels": np.array([0, 1, 2])},
        {"labels": np.array([0, 1, -1])},
        {"labels": np.array([0, 1])},
        {"score_std": 0.0},
        {"score_std": -1.0},
        {"score_std": float("nan")},
        {"score_std": float("inf")},
        {"energy_std": 0.0},
    ):
        yield question(silo, **changes)


def test_a_server_that_forges_questions_gets_no_answer(silos: dict[str, Resident]) -> None:
    """Every one is refused as a mismatch, and nothing is charged for any."""
    silo = silos["cleveland"]
    found = [envelope.reply(silo.handle(data)) for data in forged(silo)]
    assert len(found) > 90
    wrong = [reply for reply in found if not isinstance(reply, Refused)]
    assert wrong == []
    assert {reply.kind for reply in found if isinstance(reply, Refused)} == {"mismatch"}
    assert answers(silos)["cleveland"] == 0


def test_a_server_that_asks_too_much_is_refused_at_the_cap(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Ever dearer questions, each several times, with forged ones between: answered once or
    refused, and the ledger, which verifies, holds no more than its cap."""
    silo = silos["cleveland"]
    assert silo.member is not None
    ledger, replies = silo.member.silo.ledger, {}
    forgeries, rng = list(forged(silo)), np.random.default_rng(4)
    refusals: set[str] = set()
    for number in range(1, 60):
        std = float(10.0 ** -rng.uniform(1.0, 3.5))
        data = question(silo, round_number=number, score_std=std)
        for _ in range(2):
            reply = envelope.reply(silo.handle(data))
            if isinstance(reply, Answered):
                assert replies.setdefault(data, reply.answer) == reply.answer
            else:
                assert isinstance(reply, Refused)
                refusals.add(reply.kind)
                assert data not in replies
            assert ledger.totals().answers_mu2 <= ledger.header.answers_cap
        bad = forgeries[int(rng.integers(len(forgeries)))]
        refusal = envelope.reply(silo.handle(bad))
        assert isinstance(refusal, Refused)
        assert refusal.kind == "mismatch"
    assert refusals == {"budget"}
    assert 1 < len(replies) == answers(silos)["cleveland"] < 59
    assert len(set(replies.values())) == len(replies)
    path = ledger.path
    ledger.close()
    key = keys.load(path.parent / "key")
    totals = verify(path, key=key.chain).totals
    assert totals.uses["answer"] == len(replies)
    assert totals.answers_mu2 <= silo.member.silo.ledger.header.answers_cap


def test_a_server_that_repeats_old_questions_is_not_answered_anew(
    silos: dict[str, Resident],
) -> None:
    """Redelivered while the reply is kept, refused afterwards; charged once."""
    silo = silos["cleveland"]
    asked = [question(silo, round_number=number) for number in range(1, 8)]
    first, again = ([envelope.reply(silo.handle(data)) for data in asked] for _ in range(2))
    kept, last = tiny().answers.keep_replies, first[-1]
    assert isinstance(last, Answered)
    for before, after in zip(first[-kept:], again[-kept:], strict=True):
        assert isinstance(before, Answered)
        assert after == Answered(before.answer, last.spent)
    old = again[:-kept]
    assert [reply.kind for reply in old if isinstance(reply, Refused)] == ["pruned"] * len(old)
    assert answers(silos)["cleveland"] == len(asked)


def test_a_silo_tells_a_server_nothing_else(silos: dict[str, Resident]) -> None:
    """Whatever the bytes: of the four replies, and never the key, a path or a record."""
    silo = silos["cleveland"]
    assert silo.member is not None
    path = silo.member.silo.ledger.path
    secret = (path.parent / "key").read_bytes()
    requests = [envelope.encode(Health()), envelope.encode(Describe()), question(silo)]
    for data in [*requests, *forged(silo)]:
        reply = silo.handle(data)
        envelope.reply(reply)
        assert secret not in reply
        assert str(path.parent).encode() not in reply


def test_a_local_transport_raises_a_silos_own_trouble(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """In one process a fault is no missing answer: it is raised as it is."""

    def broken(data: bytes) -> bytes:
        if isinstance(envelope.request(data), Ask):
            raise ZeroDivisionError
        return silos["hungarian"].handle(data)

    handlers = {"cleveland": silos["cleveland"].handle, "hungarian": broken}
    with LocalTransport(handlers) as transport, pytest.raises(ZeroDivisionError):
        take(transport, tmp_path / "run")
