"""What the chain as a whole must do, with exact scores: Theorem 4.5, mixing weights, absorption."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from dpfedsyn import sampler, schedule
from dpfedsyn.diffusion import Kernel, levels, reverse_kernels, signal_shares, ula_kernels
from dpfedsyn.round_settings import PRESETS, SamplerSettings
from dpfedsyn.sampler import ChainState, RoundAnswers
from tests.dpfedsyn import toys
from tests.dpfedsyn.toys import Gaussians, finish, three_silos, walk

# With the toy's exact energies this is Langevin on the exact mixture score.
ULA = SamplerSettings(
    kernel="ula", energy="released", step="blend", score_scale=1.0, temperature=1.0, power=1.0
)
MIX = SamplerSettings(kernel="ancestral", energy="path", step="mix")
HALFWAY = levels(1000)[-300]  # abar = .40


def at_one_level(rounds: int, *, c: float, score_scale: float = 1.0) -> tuple[Kernel, ...]:
    """ULA steps that all take place at the level HALFWAY."""
    kernels = ula_kernels(1000, 1, step=c, power=1.0, score_scale=score_scale)
    (kernel,) = (k for k in kernels if k.t == HALFWAY)
    return (kernel,) * rounds


# --- Theorem 4.5: convergence at a fixed level ---------------------------------------------------


def gaussian_kl(mean: float, variance: float, target: tuple[float, float]) -> float:
    """KL(N(mean, variance) || N(target)) per coordinate."""
    ratio = variance / target[1]
    return 0.5 * (ratio - 1.0 - math.log(ratio) + (mean - target[0]) ** 2 / target[1])


def moments(silo: Gaussians, kernels: tuple[Kernel, ...], begin: toys.Array) -> toys.Array:
    """Mean and variance over all coordinates after each step, (steps, 2)."""
    states = walk(silo, kernels, ULA, rows=len(begin), seed=1, begin=begin)
    samples = [state.x.astype(np.float64) for state, _ in states]
    return np.array([(x.mean(), x.var()) for x in samples])


def test_kl_to_a_gaussian_falls_as_the_closed_form_recursion_says() -> None:
    """m' = r m, v' = r^2 v + 2 eta with r = 1 - eta / v*: KL falls by r^2 a step, to its floor.

    40,000 coordinates: both moments within 6 standard errors of the recursion at each of 60 steps
    (false alarm 3e-7 in all); score_scale 2 is beyond 50 of them and its KL stays above .06.
    """
    silo = Gaussians(np.full((1, 4), 0.8), np.array([0.5]), np.ones(1))
    begin = 3.0 + 0.5 * np.random.default_rng(1).standard_normal((10_000, 4))
    kernels = at_one_level(60, c=0.1)
    signal, eta = kernels[0].signal, kernels[0].variance / 2.0
    target = (math.sqrt(signal) * 0.8, float(silo.variances(signal)[0]))
    r, mean, variance, rows = 1.0 - eta / target[1], 3.0, 0.25, []
    for _ in kernels:
        mean = target[0] + r * (mean - target[0])
        variance = r**2 * variance + 2.0 * eta
        rows.append((mean, variance))
    expected = np.array(rows)
    error = np.stack([np.sqrt(expected[:, 1]), math.sqrt(2.0) * expected[:, 1]], axis=1) / 200.0
    found = moments(silo, kernels, begin)
    assert (np.abs(found - expected) < 6.0 * error).all()
    kls = [gaussian_kl(m, v, target) for m, v in found]
    assert kls[20] / kls[0] == pytest.approx(r**40, rel=0.1)  # geometric
    assert kls[-1] < 0.001 * kls[0]
    doubled = moments(silo, at_one_level(60, c=0.1, score_scale=2.0), begin)
    assert np.abs(doubled - expected)[-1, 1] > 50.0 * error[-1, 1]
    assert min(gaussian_kl(m, v, target) for m, v in doubled[20:]) > 0.06


def histogram_kl(mixture: Gaussians, state: ChainState, signal: float) -> float:
    """KL of a 1-d sample's histogram to the noised mixture, less its bias (bins - 1) / 2N."""
    edges = np.linspace(-6.0, 8.0, 71)
    middles, width = 0.5 * (edges[1:] + edges[:-1]), edges[1] - edges[0]
    inside = np.linspace(-0.4, 0.4, 5) * width  # midpoint rule on five points a bin
    logs = np.stack([mixture.log_density((middles + p)[:, None], signal) for p in inside])
    exact = np.log(np.exp(logs).mean(axis=0)) + math.log(width)
    counts = np.histogram(state.x[:, 0], edges)[0]
    seen = counts > 0
    shares = counts[seen] / len(state.x)
    bias = (seen.sum() - 1) / (2.0 * len(state.x))
    return float((shares * (np.log(shares) - exact[seen])).sum() - bias)


def two_modes() -> Gaussians:
    """.7 N(-.7, .2^2) + .3 N(.7, .2^2) in one dimension; log-concave once it is noised halfway."""
    return Gaussians(np.array([[-0.7], [0.7]]), np.array([0.2, 0.2]), np.array([0.7, 0.3]))


def log_sobolev(mixture: Gaussians, signal: float) -> float:
    """Bakry and Emery: -log p'' >= 1/v - m^2 / v^2 for modes at +-m of variance v."""
    v = float(mixture.variances(signal)[0])
    m2 = signal * float(mixture.means[1, 0]) ** 2
    return 1.0 / v - m2 / v**2


def mixture_kls(kernels: tuple[Kernel, ...], settings: SamplerSettings = ULA) -> list[float]:
    """KL to the mixture after each step of 40,000 chains that start in N(3, 1/4)."""
    mixture, rows = two_modes(), 40_000
    begin = 3.0 + 0.5 * np.random.default_rng(5).standard_normal((rows, 1))
    states = walk(mixture, kernels, settings, rows=rows, seed=2, begin=begin)
    return [histogram_kl(mixture, state, kernels[0].signal) for state, _ in states]


def first_below(kls: Sequence[float], level: float) -> int:
    """Number of steps until KL < level."""
    return next(k for k, kl in enumerate(kls, start=1) if kl < level)


def test_kl_to_a_mixture_falls_geometrically_as_theorem_4_5_says() -> None:
    """KL_k <= exp(-a eta k) KL_0 + floor with the mixture's own log-Sobolev constant a.

    40,000 chains, KL by histogram: its standard error at the floor is sqrt(bins / 2) / N = 2e-4,
    so a floor of .005 is no false alarm (beyond 10 standard errors). A chain with score_scale 2
    and one without noise stay above it by more than .05.
    """
    kernels = at_one_level(100, c=0.1)
    signal, eta = kernels[0].signal, kernels[0].variance / 2.0
    a = log_sobolev(two_modes(), signal)
    kls = mixture_kls(kernels)
    assert a > 0.3
    for k, kl in enumerate(kls[1:], start=1):
        assert kl <= math.exp(-a * eta * k) * kls[0] + 0.005
    assert kls[0] > 1.0
    assert max(kls[-20:]) < 0.005
    assert min(mixture_kls(at_one_level(100, c=0.1, score_scale=2.0))[-20:]) > 0.055
    silent = tuple(replace(kernel, variance=0.0) for kernel in kernels)
    assert min(mixture_kls(silent)[-20:]) > 0.055


def test_steps_to_a_given_kl_grow_with_the_log_of_its_inverse_and_with_one_over_eta() -> None:
    """Theorem 4.5: O(1 / eta * log(KL_0 / delta)); wrong were e.g. O(1 / eta^2) or O(1 / delta)."""
    slow, fast = (mixture_kls(at_one_level(n, c=c)) for n, c in ((120, 0.05), (60, 0.1)))
    for level in (1.0, 0.1):
        assert first_below(slow, level) / first_below(fast, level) == pytest.approx(2.0, rel=0.15)
    # From 1 to .1 and from .1 to .01: equal factors, about equal numbers of steps.
    marks = [first_below(slow, level) for level in (1.0, 0.1, 0.01)]
    assert 0.6 < (marks[2] - marks[1]) / (marks[1] - marks[0]) < 1.7


# --- the mixing weights of the d = 8 toy -------------------------------------------------------

TRUE = np.array([0.6, 0.3, 0.1])


def recovered(settings: SamplerSettings, *, rows: int = 4000, std: float = 0.0) -> toys.Array:
    """The shares of the three silos after a whole pass."""
    kernels = schedule.kernels(settings)
    steps = walk(three_silos(), kernels, settings, rows=rows, seed=1, answer_std=lambda k: std)
    return three_silos().shares(finish(steps).x.astype(np.float64))


@pytest.mark.parametrize(
    ("step", "rounds", "tolerance"),
    [("mix", 50, 0.04), ("blend", 100, 0.04), ("anchored", 50, 0.01)],
)
def test_path_energy_recovers_the_mixing_weights(step: str, rounds: int, tolerance: float) -> None:
    """4,000 rows, .60 / .30 / .10: within 5 standard errors of a share (.04; false alarm 2e-6).

    `anchored` strata its silos, so only assignment errors are left: .01.
    """
    found = recovered(replace(MIX, step=step, levels=rounds))
    assert np.abs(found - TRUE).max() < tolerance


def test_path_energy_recovers_the_mixing_weights_in_langevin_steps() -> None:
    """The same under the paper's sampler: 300 levels, blended, lambda = 1."""
    found = recovered(replace(ULA, energy="path", levels=300, steps_per_level=1, step_size=0.1))
    assert np.abs(found - TRUE).max() < 0.06


@pytest.mark.parametrize(
    "settings",
    [
        SamplerSettings(kernel="ancestral", energy="l2", levels=100, temperature=1.0),
        SamplerSettings(kernel="ancestral", energy="l2", step="mix", levels=100),
        replace(PRESETS["paper"], prior="labels", levels=250, step_size=0.08),
    ],
    ids=["ancestral blend", "ancestral mix", "paper, lambda 2"],
)
def test_l2_energy_does_not_recover_the_mixing_weights(settings: SamplerSettings) -> None:
    """It has no partition function: the heavy, narrow silo loses more than half of its weight."""
    found = recovered(settings, rows=2000)
    assert found[0] < 0.3
    assert found[2] > 0.4


@pytest.mark.parametrize("std", [0.0, 1.0])
def test_mix_keeps_the_weights_under_answer_noise(std: float) -> None:
    """20 rounds, sigma = 1, 8,000 rows: each mean responsibility within 5 standard errors, .03."""
    settings = replace(MIX, levels=20)
    kernels = schedule.kernels(settings)
    steps = walk(three_silos(), kernels, settings, rows=8000, seed=3, answer_std=lambda k: std)
    found = toys.mean_responsibilities(three_silos(), finish(steps))
    assert np.abs(found - TRUE).max() < 0.03


def test_blend_drifts_to_the_heavy_silo_under_answer_noise() -> None:
    """The same 20 rounds at sigma = 1 leave it more than .85 of .60."""
    assert recovered(replace(MIX, step="blend", levels=20), std=1.0)[0] > 0.85


def one_step(
    stds: Sequence[float], *, absorb_as: float = 1.0, rows: int = 200_000
) -> tuple[toys.Array, toys.Array]:
    """Mean of w~' - w~ over one `mix` step from random means, and its standard errors.

    stds: each silo's answer noise in units of the kernel's tolerance. absorb_as: what the server
    takes the noise for; 1 is the truth.
    """
    rng, kernel = np.random.default_rng(8), reverse_kernels(20)[12]
    sigma = kernel.tolerance * np.asarray(stds)
    exact = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5]]) * kernel.tolerance
    noise = exact[:, None] + sigma[:, None, None] * rng.standard_normal((3, rows, 2))
    state = sampler.start(rows, 2, 3, np.zeros(rows, dtype=np.int64), rng)
    prior = np.repeat(np.array([[0.5], [0.3], [0.2]]), rows, axis=1)
    answers = RoundAnswers(noise, None, absorb_as * sigma)
    after, _ = sampler.step(state, answers, kernel, prior, MIX, rng)
    change = sampler.responsibilities(after, answers, prior, MIX) - prior
    return change.mean(axis=1), change.std(axis=1) / math.sqrt(rows)


@pytest.mark.parametrize("std", [0.0, 0.5, 0.9, 2.0])
def test_mean_responsibilities_are_a_martingale_under_mix(std: float) -> None:
    """E[w~'] = w~ whatever the answer noise: |z| < 5 for three silos (false alarm 2e-6 each)."""
    drift, error = one_step([std] * 3)
    assert (np.abs(drift) < 5.0 * error).all()


def test_mean_responsibilities_are_a_martingale_when_silos_noise_differs() -> None:
    """E[w~'] = w~ also where every silo adds noise of its own size: |z| < 5 (false alarm 2e-6)."""
    for stds in ([0.0, 0.9, 0.9], [0.9, 0.0, 0.5], [0.0, 2.0, 0.0]):
        drift, error = one_step(stds)
        assert (np.abs(drift) < 5.0 * error).all()


def drift_of_one_blended_step() -> tuple[float, float]:
    """The same for `blend`: how much the heavy silo gains in one step."""
    rng, kernel, rows = np.random.default_rng(8), reverse_kernels(20)[12], 200_000
    exact = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.5]]) * kernel.tolerance
    noise = np.repeat(exact[:, None], rows, axis=1)
    state = sampler.start(rows, 2, 3, np.zeros(rows, dtype=np.int64), rng)
    prior = np.repeat(np.array([[0.5], [0.3], [0.2]]), rows, axis=1)
    settings, answers = replace(MIX, step="blend"), RoundAnswers(noise, None, np.zeros(3))
    after, _ = sampler.step(state, answers, kernel, prior, settings, rng)
    change = (sampler.responsibilities(after, answers, prior, settings) - prior)[0]
    return float(change.mean()), float(change.std() / math.sqrt(rows))


def test_martingale_test_rejects_blended_steps() -> None:
    """`blend` is biased towards the heavy silo at a finite step: z > 20."""
    drift, error = drift_of_one_blended_step()
    assert drift > 20.0 * error


# --- noise absorption ----------------------------------------------------------------------------


def final_variance(kernels: tuple[Kernel, ...], std: float, fraction: float, absorb: bool) -> float:
    """Variance of a one-silo chain after all steps, relative to its closed form without noise."""
    silo = Gaussians(np.zeros((1, 10)), np.array([std]), np.ones(1))
    settings = SamplerSettings(energy="uniform", absorb=absorb)
    steps = walk(
        silo, kernels, settings, rows=8000, seed=4, answer_std=lambda k: fraction * k.tolerance
    )
    variance = 1.0
    for kernel in kernels:
        slope = math.sqrt(1.0 - kernel.signal) / float(silo.variances(kernel.signal)[0])
        variance = (kernel.scale - kernel.gain * slope) ** 2 * variance + kernel.variance
    return float(finish(steps).x.astype(np.float64).var()) / variance


@pytest.mark.parametrize("kind", ["ula", "ancestral"])
@pytest.mark.parametrize("fraction", [0.5, 1.0])
def test_absorbed_noise_leaves_the_closed_form_law_unchanged(kind: str, fraction: float) -> None:
    """80,000 coordinates: variance within 2.5 % = 5 standard errors (false alarm 6e-7).

    The chain without absorption is off by more than 10 %.
    """
    ula = ula_kernels(25, 4, step=0.3, power=1.0, score_scale=1.0)
    kernels = ula if kind == "ula" else reverse_kernels(50)
    assert final_variance(kernels, 0.5, fraction, True) == pytest.approx(1.0, rel=0.025)
    assert final_variance(kernels, 0.5, fraction, False) > 1.1


def test_noise_beyond_the_absorption_limit_changes_the_law() -> None:
    """ULA at p = 1: sigma = sqrt(2 / (c lambda^2)) is the limit; at 1.5 of it the law is wider."""
    kernels = ula_kernels(25, 4, step=0.3, power=1.0, score_scale=1.0)
    assert kernels[0].tolerance == pytest.approx(math.sqrt(2.0 / 0.3))
    assert final_variance(kernels, 0.5, 1.5, True) > 1.25


def energy_test(x: toys.Array, y: toys.Array, permutations: int = 199) -> tuple[float, float]:
    """Energy distance of two samples of equal size, and the largest of its permuted values."""
    both = np.concatenate([x, y])
    squares = (both**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2.0 * both @ both.T, 0.0))
    signs = np.repeat([1.0, -1.0], len(x))
    rng = np.random.default_rng(0)
    shuffled = np.stack([signs, *(rng.permutation(signs) for _ in range(permutations))], axis=1)
    values = -(shuffled * (distances @ shuffled)).sum(axis=0) / len(x) ** 2
    return float(values[0]), float(values[1:].max())


def toy_samples(step: str, seed: int, fraction: float, absorb: bool = True) -> toys.Array:
    """1,200 samples of the three-silo toy after 30 ancestral rounds, noise at a share of tolerance.

    Each is told by its silo and its residual in that silo's widths, so that a test of the law
    sees the weights as well as the shape of the modes.
    """
    settings = replace(MIX, step=step, levels=30, absorb=absorb)
    steps = walk(
        three_silos(),
        schedule.kernels(settings),
        settings,
        rows=1200,
        seed=seed,
        answer_std=lambda kernel: fraction * kernel.tolerance,
    )
    x, toy = finish(steps).x.astype(np.float64), three_silos()
    mode = np.abs(toy.centred(x, 1.0) / toy.stds[:, None, None]).sum(axis=2).argmin(axis=0)
    return np.hstack([(x - toy.means[mode]) / toy.stds[mode, None], 2.0 * np.eye(3)[mode]])


@pytest.mark.parametrize("step", ["mix", "anchored"])
def test_absorbed_noise_leaves_the_law_of_the_toy_unchanged(step: str) -> None:
    """Energy distance of 1,200 against 1,200 samples: below the largest of 199 permuted values.

    False alarm .005 for each step; the chain without absorption is beyond three times the largest.
    """
    free = toy_samples(step, 1, 0.0)
    distance, largest = energy_test(free, toy_samples(step, 2, 0.9))
    assert distance < largest
    distance, largest = energy_test(free, toy_samples(step, 2, 0.9, absorb=False))
    assert distance > 3.0 * largest


def test_within_mode_width_keeps_to_the_published_toy_values() -> None:
    """100 rounds at sigma = 1: std of silo 1 is .165 without and .138 with absorption (+-.006)."""
    for absorb, width in ((False, 0.165), (True, 0.138)):
        settings = replace(MIX, step="anchored", levels=100, absorb=absorb)
        kernels = schedule.kernels(settings)
        steps = walk(three_silos(), kernels, settings, rows=4000, seed=5, answer_std=lambda k: 1.0)
        state = finish(steps)
        assert state.x[state.silo == 0].std(axis=0).mean() == pytest.approx(width, abs=0.006)


def test_level_of_the_convergence_tests_is_the_one_they_speak_of() -> None:
    """abar at HALFWAY, on which the log-Sobolev constant of the mixture rests."""
    assert signal_shares()[HALFWAY] == pytest.approx(0.40, abs=0.01)
