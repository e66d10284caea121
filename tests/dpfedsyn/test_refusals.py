"""What a silo says besides its answers depends on public settings and on its ledger, never on data.

Silos with the same settings and very different records are trained for real, then asked the same
things: their refusals, errors, progress and charges are compared word for word.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountants import locks
from accountants.ledger import Ledger
from dpfedsyn.data import Records
from dpfedsyn.errors import DPError
from dpfedsyn.messages import ScoreQuery
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.silo import Public, Silo
from dpfedsyn.train import prepare
from tests.dpfedsyn.test_train import CLASSES, DIMENSION, KEY, preparation, records

MECHANISM = AnswerMechanism(clip=3.0, energy_bound=9.0)


def extreme(value: float) -> Records:
    """Thirty records of one value, or of no number at all, with one label."""
    whole = records(30)
    return replace(whole, x=np.full_like(whole.x, value), y=np.zeros_like(whole.y))


DATA: dict[str, Callable[[], Records]] = {
    "many": lambda: records(300, seed=1),
    "few": lambda: records(3, seed=2),
    "none": lambda: records(0),
    "one label, all alike": lambda: extreme(0.5),
    "huge": lambda: extreme(3e38),
    "no numbers": lambda: extreme(float("nan")),
}


def query(**changes: Any) -> ScoreQuery:
    """Four rows; mu^2 is about 20 of the ledger's cap of 100."""
    x = np.linspace(-1, 1, 4 * DIMENSION, dtype=np.float32).reshape(4, DIMENSION)
    return replace(ScoreQuery("run", 1, 100, x, np.array([0, 1, 0, 1]), 3.0, 9.0), **changes)


def disk_error(one: Silo) -> None:
    """The disk refuses the row."""
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr(one.ledger._storage, "append", refuse)
        one.answer(query(round_number=77))


def closed(one: Silo) -> None:
    """The ledger is gone from under the silo."""
    one.ledger.close()
    one.answer(query(round_number=78))


ASKED: dict[str, Callable[[Silo], Any]] = {
    "another run": lambda one: one.answer(query(run="other")),
    "a level that is none": lambda one: one.answer(query(t=1000)),
    "another shape": lambda one: one.answer(query(x=np.zeros((4, DIMENSION + 1), np.float32))),
    "labels that are none": lambda one: one.answer(query(labels=np.full(4, CLASSES))),
    "no noise": lambda one: one.answer(query(score_std=0.0)),
    "too little noise for the cap": lambda one: one.answer(query(score_std=0.1)),
    "a pruned round": lambda one: [one.answer(query(round_number=k)) for k in (1, 2, 3, 4, 1)],
    "a second process": lambda one: Ledger.open(one.ledger.path, key=KEY.chain),
    "a full disk": disk_error,
    "a closed ledger": closed,
}


def said(folder: Path, data: Records) -> dict[str, Any]:
    """Everything that a silo of these records says, besides its answers."""
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)  # a path in an error must be the same for all of them
    try:
        steps: list[int] = []
        with preparation(Path(), data) as one:
            trained = prepare(one, lambda: steps.append(1))
            public = Public("north", "run", DIMENSION, CLASSES, MECHANISM, None, b"schema/1")
            silo = Silo(public, trained.models, one.ledger, KEY)
            words: dict[str, Any] = {"steps": len(steps)}
            for name, ask in ASKED.items():
                with pytest.raises((DPError, OSError)) as refused:
                    ask(silo)
                words[name] = (type(refused.value).__name__, str(refused.value))
        with Ledger.open(Path("ledger.sqlite"), key=KEY.chain) as ledger:
            words["charged"] = [
                (c.kind, c.group, c.event, c.uses, c.round, c.mu2, c.draws, len(c.reply or b""))
                for c in ledger.charges()
            ]
        return words
    finally:
        os.chdir(before)


def test_refusals_errors_progress_and_charges_are_the_same_whatever_the_records_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six data sets, from none to numbers that overflow: one and the same set of words, steps,
    charges and lengths of replies."""
    monkeypatch.setattr(locks, "holder", lambda _: "since a second that differs")
    heard = {name: said(tmp_path / str(k), make()) for k, (name, make) in enumerate(DATA.items())}
    first = heard["many"]
    assert first["steps"] == 6
    assert len({text for kind, text in (first[name] for name in ASKED)}) == len(ASKED)
    for name, words in heard.items():
        assert words == first, name


def test_a_refusal_comes_before_any_model_is_asked(tmp_path: Path) -> None:
    """So neither the words nor the time of a refusal can depend on what a model makes of it."""

    class Asked(Exception):  # noqa: N818
        pass

    class Model:
        def predict_noise(self, *_: object) -> Any:
            raise AssertionError("asked")

    def never(*_: object) -> Any:
        raise Asked

    with preparation(tmp_path) as one, pytest.MonkeyPatch.context() as patch:
        public = Public("north", "run", DIMENSION, CLASSES, MECHANISM, None, b"schema/1")
        silo = Silo(public, (Model(),), one.ledger, KEY)
        patch.setattr("dpfedsyn.silo._predicted", never)
        for name in list(ASKED)[:6]:
            with pytest.raises(DPError):
                ASKED[name](silo)
        with pytest.raises(Asked):
            silo.answer(query())
