"""Local samples: what the baselines of a run are drawn by."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dpfedsyn.baselines import local_samples

MEAN = np.array([0.5, -1.0])


@pytest.mark.parametrize("std", [0.2, 0.5, 1.0])
def test_local_samples_of_a_gaussian_model_are_as_wide_as_it(std: float) -> None:
    """Within 4 % of its width and .03 of its mean, with 40,000 rows (six standard errors: 2 % of
    the width, .03); steps that forget what they predicted last lose a tenth and more."""

    class Model:
        def predict_noise(
            self, x: NDArray[np.float64], signal: float, labels: NDArray[np.int64]
        ) -> NDArray[np.float64]:
            slope = math.sqrt(1.0 - signal) / (signal * std**2 + 1.0 - signal)
            noise: NDArray[np.float64] = slope * (x - math.sqrt(signal) * MEAN)
            return noise

    x = local_samples(Model(), np.zeros(40_000, np.int64), 2, np.random.default_rng(3))
    assert x.mean(axis=0) == pytest.approx(MEAN, abs=0.03)
    assert x.std(axis=0) == pytest.approx(std, rel=0.04)
