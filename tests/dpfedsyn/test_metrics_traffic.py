"""What a silo sends: the closed form, the arrays of a real answer, and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.errors import DataError
from dpfedsyn.messages import PrivateAnswer, encode_answer, narrowed
from dpfedsyn.metrics.traffic import Traffic, traffic


def test_a_pass_by_hand() -> None:
    """10 + 0 + 5 rows whose arrays take 320 and 160 bytes: 480 beside 4 * 60, two uploads."""
    found = traffic([10, 0, 5], [320, 0, 160], parameters=60)
    assert found == Traffic(rounds=2, rows=15, answers=480, upload=240, ratio=2.0)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 10**6)), max_size=9))
def test_answers_add_up_over_rounds(rounds: list[tuple[int, int]]) -> None:
    """Rows and bytes of a pass are the sums over its rounds."""
    whole = traffic([r for r, _ in rounds], [b for _, b in rounds], parameters=10)
    each = [traffic([r], [b], parameters=10) for r, b in rounds]
    assert whole.answers == sum(one.answers for one in each)
    assert (whole.rounds, whole.rows) == tuple(
        sum(getattr(one, name) for one in each) for name in ("rounds", "rows")
    )
    assert whole.ratio == pytest.approx(whole.answers / 40)


@pytest.mark.parametrize("energies", [False, True])
@pytest.mark.parametrize("rows", [1, 100])
@pytest.mark.parametrize(("largest", "width"), [(2**15 - 1, 2), (2**15, 4), (2**31, 8)])
def test_the_payload_is_that_of_an_encoded_answer(
    rows: int, energies: bool, largest: int, width: int
) -> None:
    """A message is its arrays and less than 1,000 bytes around them, however many rows; a number
    takes as few bytes as hold it."""
    answer = PrivateAnswer(
        silo="north",
        round_number=3,
        t=500,
        points=narrowed(np.full((rows, 20), largest)),
        energy_points=narrowed(np.full(rows, largest)) if energies else None,
        clip=1.0,
        energy_bound=1.0,
        spacing=1.0,
        energy_spacing=1.0 if energies else None,
        score_std=1.0,
        energy_std=1.0 if energies else None,
    )
    assert answer.payload == width * rows * (20 + energies)
    assert 0 < len(encode_answer(answer)) - answer.payload < 1000


def test_traffic_without_numbers_is_refused() -> None:
    """Negative rows, bytes or parameters; without a network there is no ratio."""
    for rows, payloads, parameters in (([-1], [2], 3), ([1], [-1], 3), ([], [], -1)):
        with pytest.raises(DataError, match="are no traffic; give"):
            traffic(rows, payloads, parameters=parameters)
    assert traffic([1], [8], parameters=0).ratio is None
