"""One step of the server: equations (8)-(11), path energies and noise absorption, literally."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import kolmogorov, ndtr

from dpfedsyn import sampler, schedule
from dpfedsyn.diffusion import Kernel, reverse_kernels, signal_shares, ula_kernels
from dpfedsyn.round_settings import PRESETS, SamplerSettings
from dpfedsyn.sampler import ChainState, RoundAnswers
from tests.dpfedsyn import toys

SEEDS = st.integers(0, 2**32 - 1)
ENERGIES = st.sampled_from(["released", "l2", "path", "uniform"])
STEPS = st.sampled_from(["blend", "mix", "anchored"])
KERNELS = st.sampled_from(
    (
        *reverse_kernels(20),
        *reverse_kernels(20, spacing=3.0, eta=0.7, order=2),
        *ula_kernels(25, 1, step=0.3, power=1.0, score_scale=1.0),
    )
)
EXACT = SamplerSettings(energy="released", step="blend", score_scale=1.0, temperature=1.0)
KERNEL = reverse_kernels(20)[12]


def generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def scene(
    seed: int, k: int = 3, n: int = 6, d: int = 2, std: float = 0.0
) -> tuple[ChainState, RoundAnswers, toys.Array]:
    """A random state, answers and prior; the last silo abstains for the first row."""
    rng = generator(seed)
    labels = np.zeros(n, dtype=np.int64)
    path = rng.uniform(0.0, 3.0, (k, n))
    x = rng.standard_normal((n, d)).astype(np.float32)
    clean = generator(seed + 1).standard_normal((n, d)).astype(np.float32)
    state = ChainState(
        4, x, labels, path, rng.integers(0, k - 1, n), clean, np.zeros(k, np.int64), np.zeros(n)
    )
    answers = RoundAnswers(
        rng.standard_normal((k, n, d)), rng.uniform(0.0, 5.0, (k, n)), np.full(k, std)
    )
    prior = rng.dirichlet(np.ones(k), n).T
    prior[-1, 0] = 0.0
    return state, answers, prior / prior.sum(axis=0)


def softmax(logits: toys.Array) -> toys.Array:
    """The definition, nothing stabilised."""
    return np.exp(logits) / np.exp(logits).sum(axis=0)


# --- responsibilities: equation (9) -------------------------------------------------------------


@given(SEEDS, ENERGIES, st.floats(0.01, 4.0), st.floats(0.0, 2.0))
def test_responsibilities_sum_to_one_and_an_abstaining_silo_has_none(
    seed: int, energy: str, temperature: float, std: float
) -> None:
    """For every energy; and only differences between the silos' energies count."""
    state, answers, prior = scene(seed, std=std)
    settings = SamplerSettings(energy=energy, temperature=temperature)
    found = sampler.responsibilities(state, answers, prior, settings)
    assert found.sum(axis=0) == pytest.approx(1.0)
    assert (found >= 0.0).all()
    assert found[-1, 0] == 0.0
    assert answers.energies is not None
    moved = replace(answers, energies=answers.energies + np.arange(6.0))
    again = sampler.responsibilities(replace(state, path=state.path + 7.0), moved, prior, settings)
    assert again == pytest.approx(found, rel=1e-9)


@given(SEEDS, st.floats(0.01, 2.0), st.floats(0.0, 1.0))
def test_each_energy_is_what_its_name_says(seed: int, temperature: float, std: float) -> None:
    """w~ = softmax(log w_i - lambda f_i), f_i released, 1/2 |eps|^2 - d sigma^2 / 2, F_i or 0."""
    state, answers, prior = scene(seed, std=std)
    answers = replace(answers, score_std=std * np.array([0.0, 1.0, 2.0]))
    l2 = 0.5 * (answers.noise**2).sum(axis=2) - 0.5 * 2 * answers.score_std[:, None] ** 2
    expected = {"released": answers.energies, "l2": l2, "path": state.path, "uniform": 0.0 * l2}
    for energy, f in expected.items():
        settings = SamplerSettings(energy=energy, temperature=temperature)
        assert f is not None
        w = prior * np.exp(-temperature * f)
        before = state if energy == "path" else replace(state, path=np.zeros_like(prior))
        found = sampler.responsibilities(before, answers, prior, settings)
        assert found == pytest.approx(w / w.sum(axis=0), rel=1e-9)


def energy_gap(subtracted: bool) -> tuple[float, float]:
    """Mean of f_1 - f_0 over 40,000 rows, and its standard error; silo 1's answers are noisy."""
    rng, rows, std = generator(3), 40_000, 0.5
    exact = np.repeat(rng.standard_normal((1, rows, 4)), 2, axis=0)
    noisy = exact + np.array([0.0, std])[:, None, None] * rng.standard_normal(exact.shape)
    declared = np.array([0.0, std if subtracted else 0.0])
    x = np.zeros((rows, 4), np.float32)
    state = sampler.start(rows, 4, 2, np.zeros(rows, dtype=np.int64), rng)
    state = replace(state, x=x)
    w = sampler.responsibilities(
        state,
        RoundAnswers(noisy, None, declared),
        np.full((2, rows), 0.5),
        SamplerSettings(energy="l2"),
    )
    gaps = np.log(w[0]) - np.log(w[1])
    return float(gaps.mean()), float(gaps.std() / math.sqrt(rows))


def test_l2_energy_of_a_noisy_answer_is_unbiased() -> None:
    """|z| < 5 (false alarm 6e-7); without d sigma^2 / 2 taken off, z is beyond 50."""
    mean, error = energy_gap(subtracted=True)
    assert abs(mean) < 5.0 * error
    mean, error = energy_gap(subtracted=False)
    assert mean == pytest.approx(4 * 0.5**2 / 2, abs=5.0 * error)
    assert mean > 50.0 * error


def test_softmax_survives_huge_and_infinite_energies() -> None:
    """Logits of -1e6 or -inf give shares, never NaN."""
    logits = np.array([[-1e6, 0.0, -np.inf], [-1e6 - 1.0, -1e5, 3.0]])
    expected = [[1.0 / (1.0 + math.exp(-1.0)), 1.0, 0.0], [1.0 / (1.0 + math.e), 0.0, 1.0]]
    assert sampler.softmax(logits) == pytest.approx(np.array(expected))


# --- the step: equations (8), (10), (11) --------------------------------------------------------


def test_paper_preset_is_the_literal_method() -> None:
    """Five rounds, T = 1000 to 0, against (8), (9) and (11) written out: lambda = 2, w_i = 1/K."""
    settings, rng, literal = PRESETS["paper"], generator(1), generator(1)
    assert (settings.energy, settings.step, settings.prior) == ("l2", "blend", "uniform")
    assert (settings.score_scale, settings.temperature, settings.absorb) == (2.0, 2.0, False)
    kernels = schedule.kernels(settings)
    assert [kernel.t for kernel in kernels] == list(range(999, -1, -1))
    lam, k, d, c, sigma = 2.0, 3, 4, settings.step_size, 0.4
    state, answers, _ = scene(2, k=k, n=200, d=d, std=sigma)
    x = state.x.astype(np.float64)
    for kernel in (kernels[0], kernels[300], kernels[600], kernels[900], kernels[999]):
        prior = np.full((k, 200), 1.0 / k)
        state, _ = sampler.step(state, answers, kernel, prior, settings, rng)
        one_less = 1.0 - signal_shares()[kernel.t]
        eta = c * one_less**settings.power
        f = np.stack([0.5 * (eps**2).sum(axis=1) - d * sigma**2 / 2 for eps in answers.noise])
        s = -(lam / math.sqrt(one_less)) * answers.noise
        w = softmax(-lam * f)
        gradient = sum(w[i][:, None] * s[i] for i in range(k))
        z = literal.standard_normal(x.shape)
        x = x + eta * gradient + math.sqrt(2.0 * eta) * z
        assert state.x == pytest.approx(x, rel=1e-4, abs=1e-4)
        x = state.x.astype(np.float64)


@given(SEEDS, KERNELS)
def test_blended_step_with_exact_energies_is_langevin_on_the_mixture_score(
    seed: int, kernel: Kernel
) -> None:
    """sum_i w~_i s_i is the gradient of log sum_i w_i p_i (central differences); z is the rng's."""
    rng = generator(seed)
    silos = toys.Gaussians(
        rng.standard_normal((3, 2)), rng.uniform(0.3, 1.0, 3), rng.dirichlet(np.ones(3))
    )
    x = rng.standard_normal((4, 2)).astype(np.float32)
    (state, _), *_ = toys.walk(
        silos, (kernel,), EXACT, rows=4, seed=seed, begin=x.astype(np.float64)
    )
    position, h = x.astype(np.float64), 1e-5
    gradient = np.stack(
        [
            silos.log_density(position + h * unit, kernel.signal)
            - silos.log_density(position - h * unit, kernel.signal)
            for unit in np.eye(2)
        ],
        axis=1,
    ) / (2.0 * h)
    replay = generator(seed)  # x_T and the anchored silos were drawn first
    replay.standard_normal((4, 2)), replay.permutation(4), replay.random()
    z = replay.standard_normal((4, 2))
    moved = kernel.scale * position + kernel.gain * math.sqrt(1.0 - kernel.signal) * gradient
    moved += math.sqrt(kernel.variance) * z
    assert state.x == pytest.approx(moved, rel=1e-3, abs=1e-3)


def uniformity(values: toys.Array, std: float = 1.0) -> float:
    """Kolmogorov-Smirnov p-value of N(0, std^2)."""
    ordered = ndtr(np.sort(values.ravel()) / std)
    n = len(ordered)
    grid = np.arange(n + 1) / n
    distance = max(np.abs(ordered - grid[:-1]).max(), np.abs(ordered - grid[1:]).max())
    return float(kolmogorov(math.sqrt(n) * distance))


def test_start_is_standard_normal() -> None:
    """Equation (10): p > 1e-6 of a KS test on 10^6 draws; N(0, .98^2) is rejected."""
    state = sampler.start(50_000, 20, 3, np.zeros(50_000, dtype=np.int64), generator(1))
    x = state.x.astype(np.float64)
    assert uniformity(x) > 1e-6
    assert uniformity(x, 0.98) < 1e-9
    assert state.x.dtype == np.float32
    assert (state.round_number, state.path.sum()) == (0, 0.0)


@given(SEEDS, STEPS, ENERGIES, KERNELS, st.floats(0.0, 3.0))
def test_step_is_a_pure_function_of_its_arguments(
    seed: int, move: str, energy: str, kernel: Kernel, std: float
) -> None:
    """Taken again it is the same bit for bit, counts one round, and changes none of its inputs."""
    state, answers, prior = scene(seed, std=std)
    settings = SamplerSettings(step=move, energy=energy)
    inputs = (state.x, state.path, state.silo, answers.noise, answers.energies, prior)
    before = [np.copy(array) for array in inputs if array is not None]
    first, told = sampler.step(state, answers, kernel, prior, settings, generator(seed))
    second, again = sampler.step(state, answers, kernel, prior, settings, generator(seed))
    assert (first.round_number, told) == (5, again)
    for name in ("x", "path", "silo", "clean", "labels"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert all(np.array_equal(a, b) for a, b in zip(before, inputs, strict=True))
    assert np.isfinite(first.x).all()
    assert sum(told.responsibilities) == pytest.approx(1.0)
    assert 0.0 <= told.injected <= 1.0 + 1e-12


@given(SEEDS, KERNELS)
def test_anchored_row_moves_by_its_own_silo_alone(seed: int, kernel: Kernel) -> None:
    """Other silos' answers change nothing; its own moves it by kernel.mean plus the rng's noise."""
    state, answers, prior = scene(seed)
    settings = SamplerSettings(kernel="ancestral", energy="path", step="anchored")
    moved, _ = sampler.step(state, answers, kernel, prior, settings, generator(seed))
    rows = np.arange(6)
    own = np.zeros((3, 6, 1))
    own[state.silo, rows] = 1.0
    others = replace(answers, noise=answers.noise + (1.0 - own) * 5.0)
    again, _ = sampler.step(state, others, kernel, prior, settings, generator(seed))
    z = generator(seed).standard_normal((6, 2))
    mean = kernel.mean(state.x.astype(np.float64), answers.noise[state.silo, rows], state.clean)
    assert np.array_equal(moved.x, again.x)
    assert moved.x == pytest.approx(mean + math.sqrt(kernel.variance) * z, rel=1e-4, abs=1e-5)


@given(SEEDS)
def test_mix_step_follows_one_silo_that_does_not_abstain(seed: int) -> None:
    """Where nothing is injected each row lands on one silo's mean, never on one of weight zero."""
    state, answers, prior = scene(seed)
    last = reverse_kernels(20)[-1]
    settings = SamplerSettings(step="mix", energy="path")
    moved, _ = sampler.step(state, answers, last, prior, settings, generator(seed))
    means = last.mean(state.x.astype(np.float64)[None], answers.noise, state.clean).astype(
        np.float32
    )
    hits = (moved.x[None] == means).all(axis=2)
    assert hits.any(axis=0).all()
    assert not hits[-1, 0]


class Corner:
    """A generator whose uniforms lie as near to 1 as a float can, and whose normals are 0."""

    def random(self, count: int) -> toys.Array:
        return np.full(count, 1.0 - 2.0**-53)

    def standard_normal(self, shape: tuple[int, ...]) -> toys.Array:
        return np.zeros(shape)


@given(SEEDS)
def test_mix_step_stays_among_the_silos_at_the_very_end_of_the_unit_interval(seed: int) -> None:
    """Where rounding leaves no room above the last share, the last silo in use is drawn."""
    state, answers, prior = scene(seed)
    last = reverse_kernels(20)[-1]
    settings = SamplerSettings(step="mix", energy="uniform")
    fresh = replace(state, path=np.zeros_like(prior))
    moved, _ = sampler.step(fresh, answers, last, prior, settings, Corner())  # type: ignore[arg-type]
    means = last.mean(state.x.astype(np.float64)[None], answers.noise, state.clean).astype(
        np.float32
    )
    assert np.array_equal(moved.x[0], means[-2, 0])
    assert np.array_equal(moved.x[1:], means[-1, 1:])


def drawn_shares(weights: toys.Array, rows: int) -> toys.Array:
    """How often a `mix` step follows each of three silos that lie apart."""
    last = reverse_kernels(20)[-1]
    labels = np.zeros(rows, dtype=np.int64)
    state = replace(
        sampler.start(rows, 1, 3, labels, generator(1)), x=np.zeros((rows, 1), np.float32)
    )
    noise = np.repeat(np.array([-1.0, 0.0, 1.0])[:, None, None], rows, axis=1)
    settings = SamplerSettings(step="mix", energy="uniform")
    prior = np.repeat(weights[:, None], rows, axis=1)
    answers = RoundAnswers(noise, None, np.zeros(3))
    moved, _ = sampler.step(state, answers, last, prior, settings, generator(2))
    sign = -np.sign(moved.x[:, 0])
    return np.array([(sign == value).mean() for value in (-1.0, 0.0, 1.0)])


def test_mix_step_draws_silos_at_their_responsibilities() -> None:
    """100,000 rows: each share within 5 standard errors (false alarm 2e-6); rejects .50 for .48."""
    weights, rows = np.array([0.48, 0.32, 0.2]), 100_000
    found = drawn_shares(weights, rows)
    errors = np.sqrt(weights * (1.0 - weights) / rows)
    assert (np.abs(found - weights) < 5.0 * errors).all()
    assert abs(found[0] - 0.50) > 5.0 * errors[0]


# --- path energies and absorption ---------------------------------------------------------------


@given(SEEDS, KERNELS, st.sampled_from(["blend", "mix"]), st.floats(0.0, 0.9))
def test_path_energy_adds_the_squared_distance_over_twice_the_injected_variance(
    seed: int, kernel: Kernel, move: str, used: float
) -> None:
    """F_i + |x' - m_i|^2 / (2 V), up to a constant per row; unchanged where the kernel is sharp."""
    std = used * kernel.tolerance
    state, answers, prior = scene(seed, std=std)
    settings = SamplerSettings(kernel="ancestral", energy="path", step=move)
    moved, _ = sampler.step(state, answers, kernel, prior, settings, generator(seed))
    if kernel.variance == 0.0:
        assert np.array_equal(moved.path, state.path)
        return
    shares = np.ones(6)
    if move == "blend":
        w = sampler.responsibilities(state, answers, prior, settings)
        shares = (w**2).sum(axis=0)
    injected = kernel.variance - kernel.gain**2 * std**2 * shares
    means = kernel.mean(state.x.astype(np.float64)[None], answers.noise, state.clean)
    gaps = ((moved.x.astype(np.float64) - means) ** 2).sum(axis=2)
    expected = state.path + gaps / (2.0 * injected)
    assert moved.path == pytest.approx(expected - expected.min(axis=0), rel=1e-2, abs=1e-2)


@given(SEEDS, STEPS, KERNELS, st.floats(0.0, 30.0))
def test_injected_variance_is_what_is_missing_and_never_negative(
    seed: int, move: str, kernel: Kernel, std: float
) -> None:
    """v - gain^2 sum_i w~_i^2 sigma_i^2, floored at 0; all of v where absorption is off."""
    state, answers, prior = scene(seed, std=std)
    answers = replace(answers, score_std=std * np.array([0.0, 0.5, 1.0]))
    settings = SamplerSettings(step=move, energy="released")
    moved, told = sampler.step(state, answers, kernel, prior, settings, generator(seed))
    _, plain = sampler.step(
        state, answers, kernel, prior, replace(settings, absorb=False), generator(seed)
    )
    assert plain.injected == pytest.approx(1.0, rel=1e-12)
    if kernel.variance == 0.0:
        return
    assert 0.0 <= told.injected <= 1.0 + 1e-12
    if move == "blend":
        w = sampler.responsibilities(state, answers, prior, settings)
        brought = kernel.gain**2 * (w**2 * answers.score_std[:, None] ** 2).sum(axis=0)
        expected = np.maximum(kernel.variance - brought, 0.0)
        assert told.injected == pytest.approx(expected.mean() / kernel.variance, abs=1e-9)
    if move == "anchored":
        brought = (kernel.gain * answers.score_std[state.silo]) ** 2
        expected = np.maximum(kernel.variance - brought, 0.0)
        assert told.injected == pytest.approx(expected.mean() / kernel.variance, abs=1e-9)
    assert np.isfinite(moved.x).all()


@given(st.floats(0.01, 0.5), st.floats(0.5, 3.0), SEEDS)
def test_blended_langevin_step_absorbs_up_to_its_exact_limit(
    c: float, scale: float, seed: int
) -> None:
    """At sigma = sqrt(2 / (c lambda^2 sum w~^2)) nothing is left to inject, at .6 of it .64."""
    settings = SamplerSettings(kernel="ula", energy="uniform", step_size=c, score_scale=scale)
    kernel = schedule.kernels(settings)[50]
    weights = generator(seed).dirichlet(np.ones(3))
    prior = np.repeat(weights[:, None], 6, axis=1)
    limit = math.sqrt(2.0 / (c * scale**2 * (weights**2).sum()))
    for factor, left in ((1.0 + 1e-9, 0.0), (0.6, 0.64), (0.0, 1.0)):
        state, answers, _ = scene(seed, std=factor * limit)
        state = replace(state, path=np.zeros_like(prior))
        _, told = sampler.step(state, answers, kernel, prior, settings, generator(1))
        assert told.injected == pytest.approx(left, abs=1e-9)


@given(SEEDS)
def test_mix_beyond_the_limit_makes_the_drawn_silo_certain(seed: int) -> None:
    """Nothing was injected: the row lies on one silo's mean, whose responsibility becomes 1."""
    state, answers, prior = scene(seed, std=2.0 * KERNEL.tolerance)
    settings = SamplerSettings(kernel="ancestral", energy="path", step="mix")
    moved, told = sampler.step(state, answers, KERNEL, prior, settings, generator(seed))
    means = KERNEL.mean(state.x.astype(np.float64)[None], answers.noise, state.clean).astype(
        np.float32
    )
    found = sampler.responsibilities(moved, answers, prior, settings)
    assert told.injected == 0.0
    assert np.array_equal(found, (moved.x[None] == means).all(axis=2).astype(float))


@given(SEEDS, KERNELS)
def test_clean_samples_are_the_posterior_mean_of_a_gaussian_silo(seed: int, kernel: Kernel) -> None:
    """E[x_0 | x_t] = (s^2 sqrt(a) x + (1 - a) m) / (a s^2 + 1 - a): what a partial run returns."""
    rng = generator(seed)
    silos = toys.Gaussians(rng.standard_normal((1, 2)), rng.uniform(0.3, 1.0, 1), np.ones(1))
    x = rng.standard_normal((6, 2)).astype(np.float32)
    (state, _), *_ = toys.walk(silos, (kernel,), EXACT, rows=6, seed=1, begin=x)
    a, variance = kernel.signal, silos.stds[0] ** 2
    posterior = variance * math.sqrt(a) * x + (1.0 - a) * silos.means
    posterior = posterior / (a * variance + 1.0 - a)
    # float32 rounding of the clean sample is blown up by 1 / sqrt(abar) at the noisiest levels
    assert state.clean == pytest.approx(posterior, rel=1e-4, abs=1e-5)
