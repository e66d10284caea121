"""Answers as a silo's mechanism makes them fit their queries, whatever its models say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import messages
from dpfedsyn.errors import ProtocolMismatch
from dpfedsyn.fitting import FARTHEST, require_fit
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.silo import energies_of

ROWS, D = 5, 3


def query(score_std: float, energy_std: float | None) -> ScoreQuery:
    labels = np.zeros(ROWS, np.int64)
    return ScoreQuery("r", 4, 9, np.zeros((ROWS, D), np.float32), labels, score_std, energy_std)


def answered(mechanism: AnswerMechanism, asked: ScoreQuery, value: float) -> PrivateAnswer:
    """What `Silo.answer` makes of models that predict this value everywhere."""
    lattice = mechanism.lattice(asked.score_std, asked.energy_std)
    noise = np.full((mechanism.parts, ROWS, D), value)
    points, energies = mechanism.release(noise, energies_of(noise), lattice=lattice, key=b"k" * 32)
    parts, other = mechanism.parts, lattice.energies
    return PrivateAnswer(
        "a", 4, 9, messages.narrowed(points), None if energies is None else energies,
        mechanism.clip, mechanism.energy_bound, lattice.scores.spacing / parts,
        None if other is None else other.spacing / parts, lattice.scores.std / parts,
        None if other is None else other.std / parts,
    )  # fmt: skip


@given(
    st.integers(1, 9),
    st.floats(1e-3, 1e9),
    st.floats(1e-3, 1e9) | st.none(),
    st.sampled_from([0.0, 1.0, -5.0, 1e30, -np.inf, np.nan]),
    st.floats(0.5, 100.0),
    st.floats(0.5, 100.0),
)
def test_no_answer_of_the_mechanism_is_refused(
    parts: int,
    score_std: float,
    energy_std: float | None,
    value: float,
    clip: float,
    bound: float,
) -> None:
    """One model or an ensemble, any noise, any bounds, and models that run wild."""
    mechanism, asked = AnswerMechanism(clip, bound, parts), query(score_std, energy_std)
    require_fit("a", asked, answered(mechanism, asked, value), clip, bound)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_farthest_point_is_that_of_the_bound_and_the_largest_draw(sign: int) -> None:
    """One spacing beyond, nobody can have drawn it."""
    asked = query(1.0, None)
    for more, fits in ((0, True), (1, False)):
        points = np.full((ROWS, D), sign * (6 * 1024 + FARTHEST + more))
        answer = PrivateAnswer("a", 4, 9, points, None, 6.0, 18.0, 2.0**-10, None, 1.0, None)
        if fits:
            require_fit("a", asked, answer, 6.0, 18.0)
        else:
            with pytest.raises(ProtocolMismatch, match=r"^a: .*\(points\)"):
                require_fit("a", asked, answer, 6.0, 18.0)
