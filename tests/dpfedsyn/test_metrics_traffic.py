"""What a silo sends: the closed form, the arrays of a real answer, and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.errors import DataError
from dpfedsyn.messages import PrivateAnswer, encode_answer
from dpfedsyn.metrics.traffic import Traffic, traffic


def test_a_pass_by_hand() -> None:
    """10 + 0 + 5 rows of 7 numbers and an energy: 480 bytes beside 4 * 60: two uploads."""
    found = traffic([10, 0, 5], 7, energies=True, parameters=60)
    assert found == Traffic(rounds=2, rows=15, answers=15 * 8 * 4, upload=240, ratio=2.0)


def test_energies_cost_one_number_a_row() -> None:
    """Without them the same pass sends 420 bytes."""
    assert traffic([10, 0, 5], 7, energies=False, parameters=60).answers == 15 * 7 * 4


@given(st.lists(st.integers(0, 500), max_size=9), st.integers(1, 99), st.booleans())
def test_answers_add_up_over_rounds(rows: list[int], dimension: int, energies: bool) -> None:
    """Bytes of a pass are the sum of the bytes of its rounds."""
    whole = traffic(rows, dimension, energies=energies, parameters=10)
    rounds = [traffic([r], dimension, energies=energies, parameters=10) for r in rows]
    assert whole.answers == sum(r.answers for r in rounds)
    assert whole.rounds == sum(r.rounds for r in rounds)
    assert whole.ratio == pytest.approx(whole.answers / 40)


@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize("rows", [1, 100])
def test_the_payload_is_that_of_an_encoded_answer(rows: int, energies: bool) -> None:
    """A message is its arrays and less than 1,000 bytes around them, however many rows."""
    answer = PrivateAnswer(
        silo="north",
        round_number=3,
        t=500,
        noise=np.zeros((rows, 20), dtype=np.float32),
        energies=np.zeros(rows, dtype=np.float32) if energies else None,
        clip=1.0,
        energy_bound=1.0,
        score_std=1.0,
        energy_std=1.0 if energies else None,
    )
    payload = traffic([rows], 20, energies=energies, parameters=1).answers
    assert 0 < len(encode_answer(answer)) - payload < 1000


def test_traffic_without_numbers_is_refused() -> None:
    """Negative rows, and a dimension or network of nothing."""
    for rows, dimension, parameters in (([-1], 2, 3), ([1], 0, 3), ([], 2, 0)):
        with pytest.raises(DataError, match="are no traffic; give"):
            traffic(rows, dimension, energies=False, parameters=parameters)
