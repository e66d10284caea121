"""The answers' noise over the rounds: what all of it costs, and where it goes."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import schedule
from dpfedsyn.diffusion import reverse_kernels, ula_kernels
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.round_settings import PRESETS, AnswersSettings, SamplerSettings

SAMPLERS = st.builds(
    SamplerSettings,
    kernel=st.sampled_from(["ula", "ancestral"]),
    energy=st.sampled_from(["released", "l2", "path", "uniform"]),
    levels=st.integers(2, 60),
    steps_per_level=st.integers(1, 4),
    step_size=st.floats(0.01, 2.0),
    power=st.floats(1.0, 3.0),
    score_scale=st.floats(0.5, 3.0),
)
ANSWERS = st.builds(
    AnswersSettings,
    clip=st.floats(0.1, 50.0),
    energy_bound=st.floats(0.1, 100.0),
    energy_share=st.floats(0.01, 0.99),
)
MUS = st.floats(1e-2, 1e5)
ROWS = st.integers(1, 100_000)


def total(
    sampler: SamplerSettings, answers: AnswersSettings, *, mu: float, rows: int, spent_on: str = ""
) -> float:
    """Sum of the rounds' two-point costs by the silo's own mechanism; of one output alone."""
    mechanism = AnswerMechanism(answers.clip, answers.energy_bound)
    costs = []
    for noise in schedule.calibrate(sampler, answers, mu=mu, rows=rows):
        score_std = math.inf if spent_on == "energies" else noise.score_std
        costs.append(mechanism.silo_mu2(rows, score_std, noise.energy_std))
    return math.fsum(costs)


@given(SAMPLERS, ANSWERS, MUS, ROWS)
def test_all_rounds_together_cost_mu_squared_and_never_more(
    sampler: SamplerSettings, answers: AnswersSettings, mu: float, rows: int
) -> None:
    """Relative 1e-6 below at most; the mechanism's own formula does the counting."""
    spent = total(sampler, answers, mu=mu, rows=rows)
    assert spent <= mu**2
    assert spent == pytest.approx(mu**2, rel=1e-6)


@given(SAMPLERS, ANSWERS, MUS, ROWS)
def test_energies_get_their_configured_share_where_they_are_released(
    sampler: SamplerSettings, answers: AnswersSettings, mu: float, rows: int
) -> None:
    """In every round; where they are not released no noise is named and scores get all."""
    noise = schedule.calibrate(sampler, answers, mu=mu, rows=rows)
    if sampler.energy != "released":
        assert all(entry.energy_std is None for entry in noise)
        return
    spent = total(sampler, answers, mu=mu, rows=rows, spent_on="energies")
    assert spent == pytest.approx(answers.energy_share * mu**2, rel=1e-6)
    ratios = {entry.energy_std / entry.score_std for entry in noise if entry.energy_std}
    assert len(noise) == len(schedule.kernels(sampler))
    assert max(ratios) == pytest.approx(min(ratios), rel=1e-9)


@given(SAMPLERS, ANSWERS, MUS, ROWS, st.floats(1.01, 100.0))
def test_noise_falls_with_mu_and_grows_with_the_root_of_the_rows(
    sampler: SamplerSettings, answers: AnswersSettings, mu: float, rows: int, factor: float
) -> None:
    """sigma ~ sqrt(rows) / mu in every round and for both outputs."""
    here = schedule.calibrate(sampler, answers, mu=mu, rows=rows)
    richer = schedule.calibrate(sampler, answers, mu=factor * mu, rows=rows)
    longer = schedule.calibrate(sampler, answers, mu=mu, rows=4 * rows)
    for one, less, more in zip(here, richer, longer, strict=True):
        assert less.score_std == pytest.approx(one.score_std / factor, rel=1e-9)
        assert more.score_std == pytest.approx(2.0 * one.score_std, rel=1e-9)
        if one.energy_std is not None:
            assert less.energy_std == pytest.approx(one.energy_std / factor, rel=1e-9)
            assert more.energy_std == pytest.approx(2.0 * one.energy_std, rel=1e-9)


@given(SAMPLERS, ANSWERS)
def test_noise_follows_what_the_sampler_absorbs(
    sampler: SamplerSettings, answers: AnswersSettings
) -> None:
    """sigma_t is one multiple of the kernel's tolerance in every round that injects noise."""
    kernels = schedule.kernels(sampler)
    noise = schedule.calibrate(sampler, answers, mu=1.0, rows=1)
    # The first rounds of every schedule absorb more than the last step's public tolerance.
    ratios = [
        entry.score_std / kernel.tolerance
        for kernel, entry in zip(kernels, noise, strict=True)
        if kernel.tolerance * kernel.gain > schedule.LAST_STEP_TOLERANCE
    ]
    assert max(ratios, default=1.0) == pytest.approx(min(ratios, default=1.0), rel=1e-9)


@given(st.integers(1, 100), st.floats(0.01, 0.5), st.floats(0.5, 3.0))
def test_ula_noise_is_the_same_every_round_at_power_one(
    levels: int, step_size: float, scale: float
) -> None:
    """Its tolerance sqrt(2 / (c lambda^2)) is; at power 2 the clean levels get more noise."""
    sampler = SamplerSettings(
        kernel="ula", power=1.0, levels=levels, step_size=step_size, score_scale=scale
    )
    noise = schedule.calibrate(sampler, AnswersSettings(), mu=10.0, rows=100)
    first = noise[0].score_std
    assert [entry.score_std for entry in noise] == pytest.approx([first] * len(noise), rel=1e-9)
    if levels > 1:
        squared = replace(sampler, power=2.0)
        noise = schedule.calibrate(squared, AnswersSettings(), mu=10.0, rows=100)
        assert noise[-1].score_std > 10.0 * noise[0].score_std


def test_last_ancestral_round_leaves_the_public_noise_in_the_clean_sample() -> None:
    """Nothing absorbs there: gain * sigma is .05, in units of sigma over tolerance elsewhere."""
    sampler = SamplerSettings(kernel="ancestral", energy="path", step="anchored", levels=30)
    noise = schedule.calibrate(sampler, AnswersSettings(), mu=100.0, rows=100)
    kernels = schedule.kernels(sampler)
    unit = noise[0].score_std / kernels[0].tolerance
    assert noise[-1].score_std * kernels[-1].gain == pytest.approx(0.05 * unit)
    assert all(math.isfinite(entry.score_std) and entry.score_std > 0.0 for entry in noise)


def test_kernels_are_those_that_the_settings_name() -> None:
    """One query round each, every number handed on."""
    sampler = SamplerSettings(
        kernel="ula", levels=7, steps_per_level=3, step_size=0.2, power=2.0, score_scale=1.5
    )
    assert schedule.kernels(sampler) == ula_kernels(7, 3, step=0.2, power=2.0, score_scale=1.5)
    assert schedule.kernels(replace(sampler, kernel="ancestral")) == reverse_kernels(7)


def test_presets_are_the_methods_that_they_name() -> None:
    """default: annealed ULA on released scores and energies, scale 1; best: path energies."""
    default, paper, best = (PRESETS[name] for name in ("default", "paper", "best"))
    asked = (default.kernel, default.energy, default.step, default.prior, default.score_scale)
    assert asked == ("ula", "released", "blend", "labels", 1.0)
    assert default.steps_per_level > 1
    literal = (paper.kernel, paper.energy, paper.step, paper.prior, paper.absorb)
    assert literal == ("ula", "l2", "blend", "uniform", False)
    assert (paper.score_scale, paper.temperature, len(schedule.kernels(paper))) == (2.0, 2.0, 1000)
    assert (best.energy, best.prior) == ("path", "labels")
    assert best.step in ("mix", "anchored")
