"""The forward process and the server's kernels against closed-form Gaussians: (3), (8), (11)."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.diffusion import (
    TRAINING_STEPS,
    Kernel,
    levels,
    reverse_kernels,
    signal_shares,
    ula_kernels,
)
from tests.dpfedsyn import toys

COUNTS = st.integers(2, 1000)
STEPS = st.floats(1e-3, 2.0)
POWERS = st.floats(1.0, 4.0)
SCALES = st.floats(0.1, 4.0)


def position(seed: int, d: int = 3) -> toys.Array:
    return 2.0 * np.random.default_rng(seed).standard_normal((5, d))


def test_signal_shares_are_the_running_products_of_one_minus_beta() -> None:
    """abar_t = prod_{s <= t} (1 - beta_s) with beta linear from 1e-4 to 0.02 over T = 1000."""
    product, shares = 1.0, []
    for s in range(1000):
        product *= 1.0 - (1e-4 + (0.02 - 1e-4) * s / 999)
        shares.append(product)
    assert signal_shares() == pytest.approx(shares, rel=1e-12)
    assert signal_shares()[-1] < 1e-4  # x_T is N(0, I) but for a hundredth of the signal


def test_forward_process_has_the_closed_form_mean_and_variance() -> None:
    """x' = sqrt(1 - beta) x + sqrt(beta) z, T times: sqrt(abar) m and abar s^2 + 1 - abar."""
    shares, mean, variance = signal_shares(), 1.7, 0.3
    m, v = mean, variance
    for before, after in pairwise((1.0, *shares)):
        keep = after / before
        m, v = math.sqrt(keep) * m, keep * v + 1.0 - keep
        assert m == pytest.approx(math.sqrt(after) * mean, rel=1e-9)
        assert v == pytest.approx(after * variance + 1.0 - after, rel=1e-9)


@given(COUNTS)
def test_levels_run_evenly_from_the_noisiest_to_the_cleanest(count: int) -> None:
    """The first is T - 1, the last 0, all fall, and no gap is more than one longer than another."""
    chosen = levels(count)
    gaps = [a - b for a, b in pairwise(chosen)]
    assert (len(chosen), chosen[0], chosen[-1]) == (count, TRAINING_STEPS - 1, 0)
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


@given(COUNTS, st.floats(1.0, 10.0))
def test_levels_crowd_towards_the_cleanest(count: int, spacing: float) -> None:
    """As many as asked, each of them another step; a wider spacing puts none of them higher."""
    chosen, even = levels(count, spacing), levels(count)
    assert (len(chosen), chosen[0], chosen[-1]) == (count, TRAINING_STEPS - 1, 0)
    assert all(a > b for a, b in pairwise(chosen))
    assert all(t <= also for t, also in zip(chosen, even, strict=True))
    assert levels(1, spacing) == (TRAINING_STEPS - 1,)


@given(st.integers(0, 999), st.integers(0, 10))
def test_noise_prediction_of_a_gaussian_is_its_score_by_equation_eleven(t: int, seed: int) -> None:
    """-eps / sqrt(1 - abar) is the gradient of log p_t, taken by central differences."""
    silo = toys.Gaussians(np.array([[0.5, -1.0]]), np.array([0.4]), np.ones(1))
    signal, x, h = signal_shares()[t], position(seed, 2), 1e-5
    score = -silo.noise(x, signal)[0] / math.sqrt(1.0 - signal)
    for j, unit in enumerate(np.eye(2)):
        up, down = (silo.log_density(x + sign * h * unit, signal) for sign in (1.0, -1.0))
        assert score[:, j] == pytest.approx((up - down) / (2.0 * h), rel=1e-4, abs=1e-4)


@given(COUNTS, STEPS, POWERS, SCALES, st.integers(0, 100))
def test_ula_kernels_are_equation_eight(
    count: int, c: float, p: float, scale: float, seed: int
) -> None:
    """Mean x + eta s, s = -(lambda / sqrt(1 - abar)) eps, variance 2 eta, eta as in the paper."""
    rng = np.random.default_rng(seed)
    x, noise = rng.standard_normal((2, 5, 3))
    kernels = ula_kernels(count, 1, step=c, power=p, score_scale=scale)
    assert tuple(kernel.t for kernel in kernels) == levels(count)
    for kernel in rng.choice(np.array(kernels, dtype=object), 3):
        signal = signal_shares()[kernel.t]
        eta = min(0.5, c * (1.0 - signal) ** p)
        score = -(scale / math.sqrt(1.0 - signal)) * noise
        assert kernel.signal == signal
        assert kernel.mean(x, noise, x) == pytest.approx(x + eta * score, rel=1e-9)
        assert kernel.variance == pytest.approx(2.0 * eta, rel=1e-12)


@given(COUNTS, st.integers(1, 5), st.floats(1e-3, 100.0), POWERS)
def test_ula_step_size_never_exceeds_one_half(count: int, each: int, c: float, p: float) -> None:
    """Lemma 4.4 asks 0 <= eta <= 1/2; each level is taken `per_level` times."""
    kernels = ula_kernels(count, each, step=c, power=p, score_scale=1.0)
    assert [k.t for k in kernels] == [t for t in levels(count) for _ in range(each)]
    assert all(0.0 < k.variance <= 1.0 for k in kernels)


def contraction(kernel: Kernel, std: float) -> float:
    """|d mean / dx| for a silo that holds N(m, std^2 I)."""
    slope = math.sqrt(1.0 - kernel.signal) / (kernel.signal * std**2 + 1.0 - kernel.signal)
    return abs(kernel.scale - kernel.gain * slope)


@given(st.floats(1e-3, 1.0), POWERS, st.floats(1e-3, 3.0))
def test_ula_step_with_lambda_two_is_never_expansive(c: float, p: float, std: float) -> None:
    """Lemma 4.4 on Gaussian silos of any width, while c <= 1; at lambda = 5 it would not hold."""
    kernels = ula_kernels(50, 1, step=c, power=p, score_scale=2.0)
    assert max(contraction(kernel, std) for kernel in kernels) <= 1.0 + 1e-9
    wild = ula_kernels(50, 1, step=1.0, power=1.0, score_scale=5.0)
    assert max(contraction(kernel, 0.01) for kernel in wild) > 1.5


@given(COUNTS, st.integers(0, 100))
def test_reverse_kernels_are_the_ddpm_posterior(count: int, seed: int) -> None:
    """q(x' | x_t, x_0) of Ho et al. 2020, eq. 7, with x_0 read off the predicted noise."""
    rng = np.random.default_rng(seed)
    x, noise = rng.standard_normal((2, 5, 3))
    kernels = reverse_kernels(count)
    for k in rng.integers(0, count - 1, 3):
        a, cleaner = kernels[k].signal, kernels[k + 1].signal
        alpha = a / cleaner
        x_0 = (x - math.sqrt(1.0 - a) * noise) / math.sqrt(a)
        from_x_0 = math.sqrt(cleaner) * (1.0 - alpha) / (1.0 - a)
        from_x_t = math.sqrt(alpha) * (1.0 - cleaner) / (1.0 - a)
        mean = from_x_0 * x_0 + from_x_t * x
        assert kernels[k].mean(x, noise, x) == pytest.approx(mean, rel=1e-6, abs=1e-9)
        variance = (1.0 - alpha) * (1.0 - cleaner) / (1.0 - a)
        assert kernels[k].variance == pytest.approx(variance, rel=1e-9)


ETAS = st.floats(0.0, 1.0)


@given(COUNTS, ETAS, st.sampled_from((1, 2)))
def test_last_reverse_step_returns_the_predicted_clean_sample(
    count: int, eta: float, order: int
) -> None:
    """At t = 0 the mean is x_0 = (x - sqrt(1 - abar) eps) / sqrt(abar) and nothing is injected."""
    last = reverse_kernels(count, eta=eta, order=order)[-1]
    assert last.memory == 0.0
    x, noise = np.random.default_rng(1).standard_normal((2, 5, 3))
    x_0 = (x - math.sqrt(1.0 - last.signal) * noise) / math.sqrt(last.signal)
    assert (last.t, last.variance) == (0, 0.0)
    assert last.mean(x, noise, x) == pytest.approx(x_0, rel=1e-9)


@given(COUNTS, ETAS, st.floats(1.0, 5.0), st.integers(0, 100))
def test_reverse_kernels_are_equation_twelve_of_ddim(
    count: int, eta: float, spacing: float, seed: int
) -> None:
    """x' = sqrt(abar') x_0 + sqrt(1 - abar' - s^2) eps + s z, s = eta times DDPM's own."""
    rng = np.random.default_rng(seed)
    x, noise = rng.standard_normal((2, 5, 3))
    kernels, full = (reverse_kernels(count, spacing=spacing, eta=e) for e in (eta, 1.0))
    for k in rng.integers(0, count - 1, 3):
        a, cleaner = kernels[k].signal, kernels[k + 1].signal
        x_0 = (x - math.sqrt(1.0 - a) * noise) / math.sqrt(a)
        variance = eta**2 * full[k].variance
        mean = math.sqrt(cleaner) * x_0 + math.sqrt(1.0 - cleaner - variance) * noise
        assert kernels[k].mean(x, noise, x) == pytest.approx(mean, rel=1e-6, abs=1e-7)
        assert kernels[k].variance == pytest.approx(variance, rel=1e-9, abs=1e-15)


@given(COUNTS, ETAS, st.integers(0, 100))
def test_second_order_steps_extrapolate_the_clean_sample(count: int, eta: float, seed: int) -> None:
    """D + (D - D_before) h / (2 h_before) stands where a first-order step has D; the noise and the
    first step are the same, and a clean sample that does not move changes nothing."""
    rng = np.random.default_rng(seed)
    x, noise, moved = rng.standard_normal((3, 5, 3))
    first, second = (reverse_kernels(count, spacing=3.0, eta=eta, order=o) for o in (1, 2))
    assert second[0] == first[0]
    lengths = [math.log(math.sqrt(1.0 / k.signal - 1.0)) for k in first]
    for k in range(1, min(count - 1, 4)):
        a, cleaner = first[k].signal, first[k + 1].signal
        clean = (x - math.sqrt(1.0 - a) * noise) / math.sqrt(a)
        ahead = (lengths[k] - lengths[k + 1]) / (2.0 * (lengths[k - 1] - lengths[k]))
        at = clean + ahead * moved  # the sample before was `clean - moved`
        seen = (x - math.sqrt(a) * at) / math.sqrt(1.0 - a)  # the noise that would predict it
        found = second[k].mean(x, noise, clean - moved)
        assert found == pytest.approx(first[k].mean(x, seen, x), rel=1e-6, abs=1e-7)
        assert second[k].mean(x, noise, clean) == pytest.approx(first[k].mean(x, noise, x))
        assert second[k].variance == first[k].variance
        assert cleaner > a


def moments_after(kernels: tuple[Kernel, ...], mean: float, std: float) -> tuple[float, float]:
    """Mean and variance that N(0, 1) becomes under exact answers of N(mean, std^2)."""
    m, c = 0.0, 0.0  # of a row, and of the clean sample that was last predicted
    vx, vc, both = 1.0, 0.0, 0.0
    for kernel in kernels:
        a = kernel.signal
        noisy, clean = math.sqrt(1.0 - a), math.sqrt(a)
        slope = noisy / (a * std**2 + 1.0 - a)
        towards = slope * clean * mean
        keep, memory = kernel.scale - kernel.gain * slope, kernel.memory
        seen = (1.0 - noisy * slope) / clean
        m, c = keep * m - memory * c + kernel.gain * towards, seen * m + noisy / clean * towards
        vx, vc, both = (
            keep**2 * vx - 2.0 * keep * memory * both + memory**2 * vc + kernel.variance,
            seen**2 * vx,
            seen * (keep * vx - memory * both),
        )
    return m, vx


@given(st.floats(-2.0, 2.0), st.floats(0.2, 1.5))
def test_a_thousand_ancestral_steps_carry_noise_to_the_gaussian(mean: float, std: float) -> None:
    """Closed-form recursion, no sampling: mean to .015, std to 2 %; 20 rounds shrink std .2."""
    m, v = moments_after(reverse_kernels(1000), mean, std)
    assert m == pytest.approx(mean, abs=0.015)
    assert math.sqrt(v) == pytest.approx(std, rel=0.02)
    assert moments_after(reverse_kernels(20), 0.0, 0.2)[1] < 0.9 * 0.2**2


@given(st.floats(-2.0, 2.0), st.floats(0.05, 1.5), st.sampled_from((0.0, 0.5, 1.0)))
def test_twenty_five_second_order_steps_do_what_a_thousand_of_first_order_do(
    mean: float, std: float, eta: float
) -> None:
    """Closed form: std to 4 %, where the steps of DDPM lose from a tenth to a quarter of it."""
    m, v = moments_after(reverse_kernels(25, spacing=3.0, eta=eta, order=2), mean, std)
    assert m == pytest.approx(mean, abs=0.03)
    assert math.sqrt(v) == pytest.approx(std, rel=0.04)
    assert moments_after(reverse_kernels(25, spacing=3.0), mean, std)[1] < 0.9**2 * std**2


@given(st.floats(-2.0, 2.0), st.floats(0.5, 1.5))
def test_annealed_langevin_steps_carry_noise_to_the_gaussian(mean: float, std: float) -> None:
    """1000 levels with 20 steps each at lambda = 1, at the widths that they can reach."""
    m, v = moments_after(ula_kernels(1000, 20, step=0.1, power=1.0, score_scale=1.0), mean, std)
    assert m == pytest.approx(mean, abs=0.05)
    assert math.sqrt(v) == pytest.approx(std, rel=0.05)
    doubled = ula_kernels(1000, 20, step=0.1, power=1.0, score_scale=2.0)
    assert moments_after(doubled, mean, std)[1] < 0.7 * std**2


@given(COUNTS, st.floats(1e-3, 0.5), SCALES)
def test_ula_tolerance_is_the_exact_absorption_limit(count: int, c: float, scale: float) -> None:
    """p = 1, one silo: sigma = sqrt(2 / (c lambda^2)) at every level."""
    kernels = ula_kernels(count, 1, step=c, power=1.0, score_scale=scale)
    limit = math.sqrt(2.0 / (c * scale**2))
    assert [kernel.tolerance for kernel in kernels] == pytest.approx([limit] * count, rel=1e-9)


@given(COUNTS)
def test_ancestral_tolerance_shrinks_towards_the_last_rounds(count: int) -> None:
    """sigma^2 = alpha_eff (1 - abar_prev) / beta_eff, and 0 where nothing is injected."""
    kernels = reverse_kernels(count)
    for here, following in pairwise(kernels):
        alpha = here.signal / following.signal
        limit = math.sqrt(alpha * (1.0 - following.signal) / (1.0 - alpha))
        assert here.tolerance == pytest.approx(limit, rel=1e-9)
    assert kernels[-1].tolerance == 0.0
    tolerances = [kernel.tolerance for kernel in kernels[:-1]]
    assert min(tolerances) == min(tolerances[-3:])
