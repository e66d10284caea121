"""Silos that add up their sums: shown anything else they make no base and charge nothing."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dpfedsyn import envelope, gathering, preparation, resolved
from dpfedsyn import plan as planning
from dpfedsyn.bases import lengths
from dpfedsyn.daemon import process
from dpfedsyn.daemon.combining import FILE, Combining
from dpfedsyn.daemon.resident import LARGE, Resident
from dpfedsyn.device import pick_device
from dpfedsyn.envelope import Combine, Description, Healthy, Refused, Released, Reply, Summed
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.federation import opened
from dpfedsyn.folder import RunFolder
from dpfedsyn.messages import Packed
from dpfedsyn.moments import query_of
from dpfedsyn.preparation import Preparation
from dpfedsyn.records import read_records
from dpfedsyn.releases import sums_of
from dpfedsyn.settings import Config
from tests.dpfedsyn.test_remote import NAMES, Wire, charges, take, tiny

SUM = ("base.combine=sum", "base.residual_radius=3.0")
AGREED = "ab" * 32


def config(*more: str) -> Config:
    return tiny(*SUM, *more)


@contextmanager
def combining(
    folder: Path, loaded: Config | None = None
) -> Iterator[dict[str, tuple[Combining, Preparation]]]:
    """Every silo of the run before it has its base, each with a home of its own."""
    loaded = loaded or config()
    planned = planning.make(loaded)
    records = read_records(loaded, planned.encoder).silos
    with ExitStack() as stack:
        found = {}
        for place, silo in enumerate(loaded.silos):
            home = RunFolder(folder / silo.name)
            home.path.mkdir(parents=True, exist_ok=True)
            own = records[silo.name].train
            one = stack.enter_context(opened(planned, silo, own, home, pick_device(loaded)))
            found[silo.name] = (Combining(one, place, len(loaded.silos), home.path), one)
        yield found


def put(answers: Sequence[Summed]) -> Released:
    values = np.stack([sums.values.array(("<f8",)) for sums in answers])
    return Released(Packed.of(values), Packed.of(np.array([sums.std for sums in answers])))


def ask(one: Combining, transcript: Sequence[Released]) -> Summed | None:
    return one.reply(Combine(tuple(transcript), AGREED))


def asked(one: Combining, transcript: Sequence[Released]) -> Summed:
    found = ask(one, transcript)
    assert found is not None
    return found


def changed(question: Released, place: int) -> Released:
    """Another answer in the place of a silo."""
    values = question.values.array(("<f8",))
    values[place, 0] += 1.0
    return msgspec.structs.replace(question, values=Packed.of(values))


def kinds(one: Preparation) -> list[str]:
    return [charge.kind for charge in one.ledger.charges()]


def play(silos: dict[str, tuple[Combining, Preparation]]) -> list[Released]:
    """Ask as an honest server does, but for the last time."""
    transcript: list[Released] = []
    for _ in range(config().base.questions):
        transcript.append(put([asked(one, transcript) for one, _ in silos.values()]))
    return transcript


def test_a_transcript_of_answers_that_were_not_given_makes_no_base(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.replayed.continued: The silo takes part in the budget's mechanisms,
    each once; a transcript that shows anything of this silo but what it has released is refused:
    before it was asked anything, and where an answer of its own was changed. Guarantee of
    dpfedsyn.releases.given_by: Nothing is drawn or charged: the ledger holds no row."""
    with combining(tmp_path / "honest") as silos:
        honest = play(silos)
    with combining(tmp_path / "forged") as silos:
        one, own = silos["cleveland"]
        for length in range(1, len(honest) + 1):
            with pytest.raises(ProtocolMismatch, match="has not given"):
                ask(one, honest[:length])
        assert kinds(own) == []
        play(silos)
        rows = kinds(own)
        for place in range(len(honest)):
            forged = [changed(q, 0) if n == place else q for n, q in enumerate(honest)]
            with pytest.raises(ProtocolMismatch, match=rf"question {place + 1}.*has given"):
                ask(one, forged)
        assert kinds(own) == rows
        assert one.digest == ""
        assert not (tmp_path / "forged" / "cleveland" / FILE).exists()
        assert ask(one, honest) is None
        assert one.digest == envelope.digest(tuple(honest))


def test_the_first_whole_transcript_is_the_only_one(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.daemon.combining.Combining: The first whole transcript that holds this
    silo's own answers makes the base, and is kept before the base is used. From then on nothing is
    drawn or charged, and another one is refused, also by a process that was started again."""
    with combining(tmp_path) as silos:
        honest = play(silos)
        other = [*honest[:-1], changed(honest[-1], 1)]
        assert ask(silos["cleveland"][0], honest) is None
    with combining(tmp_path) as silos:
        one, own = silos["cleveland"]
        assert one.digest == envelope.digest(tuple(honest))
        rows = kinds(own)
        for shown in (other, [changed(honest[0], 1)], [*honest, honest[0]]):
            with pytest.raises(ProtocolMismatch, match=r"^cleveland: its base was made of other"):
                ask(one, shown)
        for length, question in enumerate(honest):  # a server that asks again
            found = asked(one, honest[:length])
            assert np.array_equal(found.values.array(("<f8",)), question.values.array(("<f8",))[0])
        assert ask(one, honest) is None
        assert kinds(own) == rows


def test_the_base_is_used_after_its_transcript_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, a silo would train on with a base that nobody could tell any more."""
    with combining(tmp_path) as silos:
        honest, (one, _) = play(silos), silos["cleveland"]
        monkeypatch.setattr("dpfedsyn.checkpoint.save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ask(one, honest)
        assert one.base(lambda: True) is None


def test_two_threads_that_charge_at_once_do_not_take_one_row(tmp_path: Path) -> None:
    """The sums of one question asked at once, and of others: each is charged once, none fails."""
    with combining(tmp_path) as silos:
        _, own = silos["cleveland"]
        slow = preparation.charge_once

        def waits(*arguments: Any) -> Any:
            found = slow(*arguments)
            time.sleep(0.05)
            return found

        zeros = np.zeros((own.classes, own.query.dimension))
        barrier = threading.Barrier(6)

        def call(number: int) -> Any:
            barrier.wait(10)
            return sums_of(own).counts() if number % 2 else sums_of(own).moments(zeros)

        with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(6) as threads:
            patch.setattr(preparation, "charge_once", waits)
            found = list(threads.map(call, range(6)))
        assert sorted(kinds(own)) == ["counts", "moments"]
        for first, second in ((0, 2), (2, 4), (1, 3), (3, 5)):
            assert np.array_equal(found[first][0], found[second][0])


def test_sums_for_other_settings_are_refused(tmp_path: Path) -> None:
    """A server that means another run hears nothing, and nothing is charged."""
    with combining(tmp_path) as silos:
        one, own = silos["cleveland"]
        who = Resident("cleveland", "run", AGREED, 4, combining=one)
        for agreed, kind in (("cd" * 32, Refused), ("", Refused), (AGREED, Summed)):
            reply = envelope.reply(who.handle(envelope.encode(Combine((), agreed))))
            assert isinstance(reply, kind)
            assert kinds(own) == ([] if kind is Refused else ["counts"])


MANY = ("base.clusters=3", "base.cluster_rounds=2", "base.label_share=0.3")


@pytest.mark.parametrize(
    "more",
    [
        (),
        MANY,
        ("base.origin_share=0.1", "base.origin_radius=2.0"),
        (*MANY, "base.origin_share=0.1", "base.origin_radius=2.0"),
        ("base.residual_radius=0",),
    ],
    ids=["means", "cells", "origin", "both", "moments"],
)
def test_every_answer_has_the_length_that_settings_say(
    more: tuple[str, ...], tmp_path: Path
) -> None:
    """So that the server knows which silo's is another one."""
    loaded = config(*more)
    planned = planning.make(loaded)
    expected = lengths(query_of(planned.dimension, planned.classes, loaded.base), loaded.base)
    assert len(expected) == loaded.base.questions <= envelope.MOST_QUESTIONS
    with combining(tmp_path, loaded) as silos:
        transcript: list[Released] = []
        for length in expected:
            transcript.append(put([asked(one, transcript) for one, _ in silos.values()]))
            assert transcript[-1].values.shape == (len(silos), length)
        assert ask(silos["cleveland"][0], transcript) is None


# --- the server's side ---------------------------------------------------------------------------


class Played:
    """Silos that add up their sums, without a process: they have trained once they have a base."""

    def __init__(self, silos: dict[str, tuple[Combining, Preparation]], loaded: Config) -> None:
        planned = planning.make(loaded)
        agreed = resolved.agreed(loaded, planned.encoder.digest)
        self.residents = {
            name: Resident(name, loaded.name, agreed, 4, combining=one)
            for name, (one, _) in silos.items()
        }
        self.planned = planned

    def wire(self, **options: Any) -> Wire:
        return Wire({name: who.handle for name, who in self.residents.items()}, **options)


@pytest.mark.parametrize(
    "sums",
    [
        Summed(Packed.of(np.array([np.nan, 1.0])), 1.0),
        Summed(Packed.of(np.array([1.0, 2.0, 3.0])), 1.0),
        Summed(Packed.of(np.array([1.0, 2.0], np.float32)), 1.0),
        Summed(Packed.of(np.array([1.0, 2.0])), np.inf),
        Summed(Packed.of(np.array([1.0, 2.0])), -1.0),
    ],
    ids=["no number", "too many", "floats", "noise without end", "negative noise"],
)
def test_sums_that_are_none_are_refused_by_the_name_of_their_silo(
    sums: Summed, tmp_path: Path
) -> None:
    """Before another silo is shown them, which could only refuse them under its own name."""

    def change(name: str, reply: Reply) -> Reply:
        return sums if name == "hungarian" and isinstance(reply, Summed) else reply

    with combining(tmp_path) as silos:
        played = Played(silos, config())
        transport = played.wire(change=change)
        with pytest.raises(ProtocolMismatch, match=r"^hungarian: says .*sums for question 1"):
            gathering.combined(played.planned, transport, lambda: None)
        assert len(transport.sent) == len(NAMES)


def test_a_silo_with_another_base_is_refused(tmp_path: Path) -> None:
    """The base's digest is in its description: it is that of the sums that all silos gave."""
    with combining(tmp_path) as silos:
        played = Played(silos, config())
        base = gathering.combined(played.planned, played.wire(), lambda: None)
        assert {one.digest for one, _ in silos.values()} == {base} != {""}
        again = gathering.combined(played.planned, played.wire(), lambda: None)
        assert again == base  # a server that was started again


def test_the_longest_transcript_is_one_that_a_process_reads(tmp_path: Path) -> None:
    """`Home.most` is what settings come to, and little more."""
    loaded = config(
        "base.clusters=3", "base.cluster_rounds=2", "base.label_share=0.3", "answers.rows=1"
    )
    with combining(tmp_path / "silos", loaded) as silos:
        played = Played(silos, loaded)
        transport = played.wire()
        gathering.combined(played.planned, transport, lambda: None)
    most = process.open_home(loaded, "cleveland", tmp_path / "home").most
    longest = max(len(data) for _, _, data in transport.sent)
    assert longest <= most < longest + process.OVERHEAD


def test_a_message_of_many_small_parts_is_not_read() -> None:
    """Guarded by the schema: objects cost many times their bytes."""
    small = Released(Packed.of(np.zeros((0, 1))), Packed.of(np.zeros(0)))
    most = Combine((small,) * envelope.MOST_QUESTIONS, AGREED)
    assert envelope.request(envelope.encode(most)) == most
    healthy = Healthy("s", "r", "1", "ready", 1, 2, "")
    for read, message in (
        (envelope.request, Combine((small,) * (envelope.MOST_QUESTIONS + 1), AGREED)),
        (envelope.request, Combine((), "x" * 10_000)),
        (envelope.request, Combine((Released(Packed("<f8", (0,) * 9, b""), small.stds),), "")),
        (envelope.reply, Refused("fault", "x" * (envelope.MOST_REASON + 1))),
        (envelope.reply, Refused("x" * 10_000, "why")),
        (envelope.reply, msgspec.structs.replace(healthy, state="x" * 10_000)),
    ):
        with pytest.raises(ProtocolMismatch):
            read(envelope.encode(message))


def test_large_requests_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And small ones, health among them, do not wait for them."""
    inside, most, begun, lock = 0, 0, threading.Event(), threading.Lock()

    def handled(data: bytes, reply: Any) -> bytes:
        nonlocal inside, most
        with lock:
            inside += len(data) > LARGE
            most = max(most, inside)
        if len(data) > LARGE:
            begun.set()
            time.sleep(0.05)
        with lock:
            inside -= len(data) > LARGE
        return data[:1]

    monkeypatch.setattr("dpfedsyn.service.handled", handled)
    who = Resident("north", "run", AGREED, 7)
    with ThreadPoolExecutor(4) as threads:
        large = [threads.submit(who.handle, bytes(LARGE + 1)) for _ in range(3)]
        assert begun.wait(10)
        assert who.handle(b"small") == b"s"
        assert not all(future.done() for future in large)
    assert most == 1


def test_a_run_whose_silos_have_another_base_samples_nothing(tmp_path: Path) -> None:
    """Whole, with trained silos: one that says another digest is named."""
    loaded = config("network.kind=none")
    agreed = resolved.agreed(loaded, planning.make(loaded).encoder.digest)
    residents = {}
    with ExitStack() as stack:
        for name in NAMES:
            home = process.open_home(loaded, name, tmp_path / name)
            who = residents[name] = home.resident()
            assert who.agreed == agreed

            def make(who: Resident = who, home: Any = home) -> None:
                member = process._made(home, who)
                who.member = stack.enter_context(member)

            thread = threading.Thread(target=make)
            thread.start()
            stack.callback(thread.join)
        until = time.monotonic() + 60
        while any(who.combining is None for who in residents.values()):
            assert time.monotonic() < until
            time.sleep(0.05)

        def change(name: str, reply: Reply) -> Reply:
            if name == "hungarian" and isinstance(reply, Description):
                return msgspec.structs.replace(reply, base="00" * 32)
            return reply

        handlers = {name: who.handle for name, who in residents.items()}
        with pytest.raises(ProtocolMismatch, match=r"^hungarian: its base was made of other sums"):
            take(Wire(handlers, change=change), tmp_path / "run", loaded, sleep=time.sleep)
        assert (
            take(Wire(handlers), tmp_path / "run", loaded, resume=True, sleep=time.sleep).status
            == "complete"
        )
        assert all(rows for rows in charges(residents).values())
