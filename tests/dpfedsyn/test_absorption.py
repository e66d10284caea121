"""What the sampler makes of the answers' noise, against the sampler itself and closed forms."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import absorption, config, sampler, schedule
from dpfedsyn.round_settings import PRESETS, AnswersSettings, SamplerSettings
from dpfedsyn.sampler import RoundAnswers
from dpfedsyn.schedule import AnswerNoise
from dpfedsyn.settings import Config, SiloSettings

DATA_STD = 0.7
ULA = SamplerSettings(energy="uniform", levels=8, steps_per_level=3)
ANCESTRAL = replace(PRESETS["best"], levels=15)


def chain_spread(settings: SamplerSettings, factor: float, silos: int) -> float:
    """Width over the right one of 32,000 coordinates that the real sampler moved."""
    rng = np.random.Generator(np.random.Philox(11))
    settings = replace(settings, step="blend", energy="uniform")
    state = sampler.start(4000, 8, silos, np.zeros(4000, np.int64), rng)
    prior = np.full((silos, 4000), 1.0 / silos)
    for kernel in schedule.kernels(settings):
        std = factor * schedule.tolerance(kernel, settings)
        x = state.x.astype(np.float64)
        response = math.sqrt(1.0 - kernel.signal) / (
            kernel.signal * DATA_STD**2 + 1.0 - kernel.signal
        )
        noise = response * x + std * rng.standard_normal((silos, *x.shape))
        answers = RoundAnswers(noise, None, np.full(silos, std))
        state, _ = sampler.step(state, answers, kernel, prior, settings, rng)
    return float(state.x.std()) / DATA_STD


def predicted(settings: SamplerSettings, factor: float, silos: int) -> float:
    """The same by the recursion."""
    noise = [
        AnswerNoise(factor * schedule.tolerance(kernel, settings), None)
        for kernel in schedule.kernels(settings)
    ]
    return absorption.spread(settings, noise, data_std=DATA_STD, concentration=1.0 / silos)


@pytest.mark.parametrize("settings", [ULA, ANCESTRAL], ids=["ula", "ancestral"])
@pytest.mark.parametrize(("factor", "silos"), [(0.5, 1), (1.0, 1), (3.0, 1), (3.0, 4)])
def test_the_spread_is_the_sampler_s_own(
    settings: SamplerSettings, factor: float, silos: int
) -> None:
    """Within 2 %: five standard errors of the std of 32,000 coordinates (false alarms < 1e-6); a
    noise half as large or twice as large beyond what is absorbed is rejected."""
    found = chain_spread(settings, factor, silos)
    assert found == pytest.approx(predicted(settings, factor, silos), rel=0.02)
    if factor > 1.0 and silos == 1:
        for wrong in (0.5 * factor, 2.0 * factor):
            assert found != pytest.approx(predicted(settings, wrong, silos), rel=0.2)


def test_noise_within_the_tolerance_of_langevin_steps_changes_nothing() -> None:
    """Up to a factor of 1 the spread is that without noise, bit for bit; beyond it grows."""
    alone = absorption.spread(ULA, None, data_std=DATA_STD, concentration=1.0)
    assert predicted(ULA, 1.0 - 1e-12, 1) == alone
    assert predicted(ULA, 1.01, 1) > alone


def test_rows_are_too_wide_with_few_langevin_rounds_and_too_narrow_with_few_ancestral() -> None:
    """What few rounds do by themselves; many make it right within 3 %."""

    def alone(settings: SamplerSettings, levels: int) -> float:
        wanted = replace(settings, levels=levels)
        return absorption.spread(wanted, None, data_std=DATA_STD, concentration=1.0)

    assert alone(ULA, 2) > 1.5
    first = replace(ANCESTRAL, spacing=1.0, order=1)
    assert alone(first, 5) < 0.6
    assert alone(ANCESTRAL, 25) == pytest.approx(1.0, abs=0.03)  # the second order's gain
    assert alone(replace(ULA, steps_per_level=10), 200) == pytest.approx(1.0, abs=0.03)
    assert alone(ANCESTRAL, 500) == pytest.approx(1.0, abs=0.03)


@given(
    mu=st.floats(0.1, 1e4),
    rows=st.integers(1, 10_000),
    settings=st.sampled_from([ULA, ANCESTRAL, SamplerSettings()]),
    concentration=st.floats(0.1, 1.0),
)
def test_the_excess_grows_as_the_root_of_rows_over_mu(
    mu: float, rows: int, settings: SamplerSettings, concentration: float
) -> None:
    """And with the root of the concentration: one number of all rounds."""
    answers = AnswersSettings()

    def excess(mu: float, rows: int, concentration: float) -> float:
        return absorption.excess(settings, answers, mu=mu, rows=rows, concentration=concentration)

    one = excess(1.0, 1, 1.0)
    expected = one * math.sqrt(rows * concentration) / mu
    assert excess(mu, rows, concentration) == pytest.approx(expected, rel=1e-9)


def test_the_share_that_is_absorbed_falls_with_the_square_of_the_excess() -> None:
    """All of it up to the tolerance, 1 / 9 of the variance at three times it."""
    for factor, share in ((0.5, 1.0), (1.0, 1.0), (3.0, 1.0 / 9.0)):
        noise = [AnswerNoise(factor * kernel.tolerance, None) for kernel in schedule.kernels(ULA)]
        assert absorption.absorbed(ULA, noise, 1.0) == pytest.approx(share, rel=1e-9)


def of_silos(*weights: float, source: str, **sampler_settings: str) -> Config:
    """A configuration with silos of these weights."""
    loaded = config.load("hospitals", [f"weights.source={source}"])
    silos = tuple(SiloSettings(f"s{k}", "", weight=w) for k, w in enumerate(weights))
    settings = replace(SamplerSettings(), **sampler_settings)
    return replace(loaded, folder=Path(), silos=silos, sampler=settings)


def test_only_averaged_answers_of_public_weights_are_less_noisy_than_one() -> None:
    """Elsewhere a row may rest on a single silo, and the worst case counts."""
    averaged = of_silos(1.0, 3.0, source="public", energy="uniform")
    assert absorption.concentration(averaged) == pytest.approx(0.25**2 + 0.75**2)
    alike = of_silos(1.0, 3.0, source="counts", energy="uniform", prior="uniform")
    assert absorption.concentration(alike) == pytest.approx(0.5)
    for single in (
        of_silos(1.0, 3.0, source="counts", energy="uniform"),
        of_silos(1.0, 3.0, source="public", energy="released"),
        of_silos(1.0, 3.0, source="public", energy="uniform", step="mix"),
        of_silos(1.0, 3.0, source="public", energy="uniform", step="anchored"),
    ):
        assert absorption.concentration(single) == 1.0


@given(st.floats(0.3, 1.0), st.floats(0.05, 0.94))
def test_steps_of_second_order_absorb_loud_answers_nearly(data_std: float, excess: float) -> None:
    """An answer's noise is in a row and, the other way round, in the clean sample that the next
    round extrapolates from; what cancels is injected again. Without that rows would be narrow."""
    settings = PRESETS["best"]
    kernels = schedule.kernels(settings)
    noise = [AnswerNoise(excess * schedule.tolerance(k, settings), None) for k in kernels]
    found = absorption.spread(settings, noise, data_std=data_std, concentration=1.0)
    assert 0.95 <= found <= 1.2
    if data_std >= 0.45:
        assert found <= 1.13
    with pytest.MonkeyPatch.context() as patch:
        forgetful = tuple(replace(k, cancelled=0.0) for k in kernels)
        patch.setattr(schedule, "kernels", lambda _: forgetful)
        narrow = absorption.spread(settings, noise, data_std=data_std, concentration=1.0)
    assert narrow < found
    if excess > 0.8:
        assert narrow < 0.85
