"""A silo that is shown what all have answered finds the next question, and the base, by itself."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpfedsyn import config, plan
from dpfedsyn.base import Base
from dpfedsyn.bases import bases
from dpfedsyn.device import pick_device
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.federation import federation, opened
from dpfedsyn.folder import RunFolder
from dpfedsyn.preparation import Preparation
from dpfedsyn.progress import Silent
from dpfedsyn.records import read_records
from dpfedsyn.releases import Sum, given_by, sums_of
from dpfedsyn.replayed import Transcript, continued
from tests.dpfedsyn.test_bases import ENCODER, QUERY, SETTINGS, Part, Silos, denoised, part

PARTS: Sequence[Part] = [part(1, 60), part(2, 40, [0, 1]), part(3, 50)]
HOSPITALS = (
    "base.combine=pool", "base.residual_radius=3.0", "train.steps=2", "answers.rows=20",
    "privacy.unsafe_noise_seed=3",
)  # fmt: skip


class One:
    """The sums of one of several silos, as `SiloSums` would make them."""

    def __init__(self, place: int, std: float) -> None:
        self.place, self.std, self.asked = place, std, 0

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: Any) -> Sum:
            self.asked += 1
            all_of_them = Silos(PARTS, self.std)
            all_of_them.asked = [("", None)] * (self.asked - 1)
            if name == "moments":
                (means,) = arguments
                arguments = (None if means is None else [means] * len(PARTS),)
            found: list[Sum] = getattr(all_of_them, name)(*arguments)
            return found[self.place]

        return ask


def play(settings: Any, std: float = 0.3) -> list[Base]:
    """Show every silo what all have answered until all have a base."""
    return played(settings, std)[0]


def played(settings: Any, std: float = 0.3) -> tuple[list[Base], list[list[Sum]]]:
    """The bases that all silos find, and what they were shown at last."""
    silos: list[Any] = [One(place, std) for place in range(len(PARTS))]

    def given(place: int) -> Any:
        return One(place, std)  # asked anew from the first question on

    transcript: list[list[Sum]] = []
    while True:
        found = [
            continued(transcript, one, given(place), place, len(PARTS), QUERY, ENCODER, settings)
            for place, one in enumerate(silos)
        ]
        if not isinstance(found[0], tuple):
            assert len(transcript) == settings.questions
            return found, transcript  # type: ignore[return-value]
        transcript.append(found)  # type: ignore[arg-type]


@pytest.mark.parametrize("combine", ["sum", "pool"])
def test_all_silos_find_the_base_that_one_who_asks_them_all_finds(combine: str) -> None:
    """Bit for bit, whichever way the base is made of their sums."""
    settings = SETTINGS if combine == "sum" else replace(SETTINGS, combine="pool", clusters=1)
    together = bases(Silos(PARTS, 0.3), QUERY, ENCODER, settings)
    for alone, expected in zip(play(settings), together, strict=True):
        assert np.array_equal(denoised(alone), denoised(expected))


def test_a_transcript_of_another_run_is_refused() -> None:
    """Too few silos, too many questions, wrong lengths, numbers that are none."""
    one: Any = One(0, 0.3)

    def go(transcript: Transcript) -> Any:
        given: Any = One(0, 0.3)
        return continued(transcript, one, given, 0, len(PARTS), QUERY, ENCODER, SETTINGS)

    counts = Silos(PARTS, 0.3).counts()
    bad: list[Transcript] = [
        [counts[:2]],
        [[(np.zeros(7), 0.1)] * 3, [(np.zeros(7), 0.1)] * 3, [(np.zeros(7), 0.1)] * 3],
        [[(np.full(3, np.nan), 0.1)] * 3],
        [[(np.zeros(3), -1.0)] * 3],
        [[(np.zeros((3, 1)), 1.0)] * 3],
    ]
    for transcript in bad:
        with pytest.raises(ProtocolMismatch):
            go(transcript)
    assert isinstance(go([counts]), tuple)
    whole: list[list[Sum]] = []
    silos = Silos(PARTS, 0.3)
    for ask in ("counts", "origin"):
        whole.append(getattr(silos, ask)())
    with pytest.raises(ProtocolMismatch):
        go([*whole, *[counts] * 20])


def test_each_fault_of_a_transcript_is_seen_by_itself() -> None:
    """Other silos' sums that are none, another noise than this silo's own, one question more."""

    def refused(transcript: Transcript, words: str) -> None:
        one, given = One(0, 0.3), One(0, 0.3)
        with pytest.raises(ProtocolMismatch, match=words):
            continued(transcript, one, given, 0, len(PARTS), QUERY, ENCODER, SETTINGS)  # type: ignore[arg-type]
        assert one.asked == 0

    own, *others = Silos(PARTS, 0.3).counts()
    for bad in ((np.full(3, np.inf), 0.1), (np.zeros(3), -1.0), (np.zeros(3), np.inf)):
        refused([[own, bad, others[1]]], "not 3 finite vectors a question")
    refused([[(own[0], 2.0 * own[1]), *others]], "another answer to question 1")
    _, whole = played(SETTINGS)
    refused([*whole, whole[0]], f"of more than {len(whole)} questions")


def test_a_silo_answers_each_question_once_whatever_it_is_shown(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.replayed.continued: The silo takes part in the budget's mechanisms,
    each once, whatever the transcript says: other counts of the others would make other questions,
    but the sums that were released are given again, and the ledger gets no row more."""
    loaded = config.load("hospitals", list(HOSPITALS))
    planned = plan.make(loaded)
    records = read_records(loaded, planned.encoder).silos
    silo, folder = loaded.silos[0], RunFolder(tmp_path / "one")
    count = len(loaded.silos)
    with opened(planned, silo, records[silo.name].train, folder, pick_device(loaded)) as one:

        def go(transcript: Transcript) -> Sum:
            return _sum(one, transcript, 0, count)

        first = go([])
        others = [[first, *[(first[0] * scale, first[1])] * (count - 1)] for scale in (1.0, 9.0)]
        answers = [go([counts]) for counts in others]
        assert np.array_equal(answers[0][0], answers[1][0])
        assert len(one.ledger.charges()) == 2
        means = [[answers[0]] * count]
        found = [go([counts, *means]) for counts in others]
        assert np.array_equal(found[0][0], found[1][0])
        assert [charge.kind for charge in one.ledger.charges()] == ["counts", "means", "moments"]


def _sum(one: Preparation, transcript: Transcript, place: int, silos: int) -> Sum:
    base = one.config.base
    own, given = sums_of(one), given_by(one)
    found = continued(transcript, own, given, place, silos, one.query, one.encoder, base)
    assert isinstance(found, tuple)
    return found


def test_silos_of_a_real_run_find_its_bases(tmp_path: Path) -> None:
    """With the noise of their ledgers: the same as where one process holds them all."""
    loaded = config.load("hospitals", list(HOSPITALS))
    planned = plan.make(loaded)
    records = read_records(loaded, planned.encoder).silos
    device, folder = pick_device(loaded), RunFolder(tmp_path / "together")
    with federation(planned, planned.encoder, records, folder, device, Silent()) as members:
        sites = {name: member.trained.models[0].base.means for name, member in members.items()}
    transcript: list[list[Sum]] = []
    place = RunFolder(tmp_path / "apart")
    silos = [
        opened(planned, silo, records[silo.name].train, place, device) for silo in loaded.silos
    ]
    with ExitStack() as stack:
        own = [stack.enter_context(silo) for silo in silos]
        for _ in range(loaded.base.questions):
            transcript.append([_sum(one, transcript, k, len(own)) for k, one in enumerate(own)])
        for k, one in enumerate(own):
            ways = sums_of(one), given_by(one)
            found: Any = continued(
                transcript, *ways, k, len(own), one.query, one.encoder, loaded.base
            )
            assert np.array_equal(found.means, sites[one.silo.name])
