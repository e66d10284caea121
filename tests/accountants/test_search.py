"""Only tested points are returned, and they meet the target."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from accountants.search import crossing


@given(st.floats(1e-3, 1e7), st.floats(0.01, 100.0), st.floats(1e-12, 0.3), st.floats(0.01, 1e4))
def test_result_meets_the_target_and_is_almost_the_first(shift, slope, delta, start):
    """An exponential profile's crossing is found from any start, from the safe side."""

    def profile(at):
        with np.errstate(under="ignore"):
            return np.exp(np.minimum(-slope * (at - shift), 0.0))

    failing, found = crossing(profile, delta, start)
    truth = shift - math.log(delta) / slope
    assert profile(np.array([found]))[0] <= delta < profile(np.array([failing]))[0]
    assert found * (1 - 1e-7) - 1e-9 <= failing < found
    assert truth * (1 - 1e-8) <= found <= truth * (1 + 1e-7) + 1e-9


def test_a_profile_that_never_falls_gives_infinity():
    """Nothing finite is claimed, and 0 is claimed where nothing was spent."""
    assert crossing(lambda at: np.full_like(at, 0.5), 1e-5, 1.0)[1] == math.inf
    assert crossing(np.zeros_like, 1e-5, 1.0) == (0.0, 0.0)
