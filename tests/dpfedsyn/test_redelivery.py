"""One query, delivered again and again: late, at the same time, after crashes. One charge."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from accountants.ledger import Ledger
from dpfedsyn import messages
from dpfedsyn.errors import ReplyPruned
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.silo import Silo
from tests.dpfedsyn.test_silo import ONE, Array, query, silo

TIMES = 1000


class Unstable:
    """A model whose forward pass is never twice the same, as on some devices."""

    def __init__(self) -> None:
        self.calls, self._lock = 0, threading.Lock()

    def predict_noise(self, x: Array, signal: float, labels: NDArray[np.int64]) -> Array:
        with self._lock:
            self.calls += 1
            number = self.calls
        time.sleep(0.01)  # long enough for others to come in between
        return np.full_like(x, number / 7)


def copied(asked: ScoreQuery) -> ScoreQuery:
    """The same content in other memory, as another delivery brings it."""
    return query(
        round_number=asked.round_number, x=asked.x.copy(order="F"), labels=asked.labels.copy()
    )


def bytes_of(answers: list[PrivateAnswer]) -> set[bytes]:
    return {messages.encode_answer(answer) for answer in answers}


def at_once(one: Silo, asked: Callable[[int], ScoreQuery], times: int) -> list[PrivateAnswer]:
    """Deliver from sixteen threads that start together."""
    gate = threading.Barrier(16)

    def deliver(number: int) -> PrivateAnswer:
        if number < 16:
            gate.wait()
        return one.answer(asked(number))

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(deliver, range(times)))


def test_redelivered_a_thousand_times_in_turn_it_is_one_charge_and_identical_bytes(
    tmp_path: Path,
) -> None:
    """The model is asked once; the stored bytes are the reply, and the ledger has one row."""
    model = Unstable()
    with silo(tmp_path, model) as one:
        answers = [one.answer(copied(query())) for _ in range(TIMES)]
        (charge,) = one.ledger.charges()
        assert bytes_of(answers) == {charge.reply}
        assert model.calls == 1
        assert one.ledger.totals().answers_mu2 == ONE.silo_mu2(5, 2.0, 3.0)


def test_redelivered_a_thousand_times_at_once_it_is_one_charge_and_identical_bytes(
    tmp_path: Path,
) -> None:
    """Sixteen threads with the same query: one computes, all the others get what it stored."""
    model = Unstable()
    with silo(tmp_path, model) as one:
        answers = at_once(one, lambda _: copied(query()), TIMES)
        (charge,) = one.ledger.charges()
        assert len(answers) == TIMES
        assert bytes_of(answers) == {charge.reply}
        assert model.calls == 1


def test_different_queries_at_once_get_a_row_each_and_none_is_refused(tmp_path: Path) -> None:
    """Forty queries, five deliveries each, all at the same time: forty charges, one reply each."""
    with silo(tmp_path, Unstable(), keep=1000) as one:
        answers = at_once(one, lambda n: copied(query(round_number=n % 40)), 200)
        assert [charge.seq for charge in one.ledger.charges()] == list(range(1, 41))
        assert len(bytes_of(answers)) == 40
        for number in range(40):
            assert len(bytes_of(answers[number::40])) == 1


def test_a_late_redelivery_gets_the_bytes_until_they_are_pruned(tmp_path: Path) -> None:
    """Within the kept rounds the first bytes; later a refusal, free, and never a new answer."""
    model = Unstable()
    with silo(tmp_path, model, keep=3) as one:
        first = bytes_of([one.answer(query(round_number=1))])
        for number in (2, 3):
            one.answer(query(round_number=number))
            assert bytes_of([one.answer(copied(query(round_number=1)))]) == first
        one.answer(query(round_number=4))
        for _ in range(3):
            with pytest.raises(ReplyPruned):
                one.answer(copied(query(round_number=1)))
        assert len(one.ledger.charges()) == model.calls == 4


def test_redelivered_while_the_disk_refuses_nothing_leaves_and_one_row_is_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first commits fail: what is released in the end is one reply under one charge."""
    commit, calls = Ledger.commit, iter(range(10**6))

    def failing(self: Ledger, *arguments: Any) -> Any:
        if next(calls) < 3:
            raise OSError(28, "No space left on device")
        return commit(self, *arguments)

    monkeypatch.setattr(Ledger, "commit", failing)
    with silo(tmp_path, Unstable()) as one:
        answers = []
        for _ in range(20):
            try:
                answers.append(one.answer(copied(query())))
            except OSError:
                assert one.ledger.charges() == []
        assert len(answers) == 17
        assert len(bytes_of(answers)) == len(one.ledger.charges()) == 1


@pytest.mark.slow
def test_redelivered_a_thousand_times_over_reopened_ledgers_it_is_one_charge(
    tmp_path: Path,
) -> None:
    """Every delivery finds a silo that has just been started again, with a model of its own."""
    seen = set()
    for _ in range(TIMES):
        with silo(tmp_path, Unstable()) as one:
            seen |= bytes_of([one.answer(copied(query()))])
            assert len(one.ledger.charges()) == 1
    assert len(seen) == 1
