"""Base and network together: zeros are the base, and the factors are those of EDM."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import network
from dpfedsyn.base import AnalyticBase, Array
from dpfedsyn.diffusion import signal_shares
from dpfedsyn.network import TIME_FEATURES, Denoiser, ResidualNetwork
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import noised
from dpfedsyn.settings import NetworkSettings

LEVELS = st.integers(0, 999)
SEEDS = st.integers(0, 2**32 - 1)
SETTINGS = NetworkSettings(hidden=7, data_std=0.7)
CPU = torch.device("cpu")


def denoiser(seed: int, output: float = 0.0, d: int = 3, classes: int = 2) -> Denoiser:
    """A random base and hidden layer; the output layer's bias is `output`."""
    rng = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(np.cov(rng.standard_normal((d, 9))))
    net = ResidualNetwork(d, classes, SETTINGS.hidden)
    words = rng.standard_normal((SETTINGS.hidden, d + 2 * TIME_FEATURES + classes + 1))
    network.initialise(net, words)
    with torch.no_grad():
        net.output.bias.fill_(output)
    base = AnalyticBase(rng.standard_normal((classes, d)), values, vectors)
    return Denoiser(base, net, SETTINGS, CPU)


def queries(seed: int, d: int = 3) -> tuple[Array, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((5, d)), rng.integers(0, 2, 5)


@given(SEEDS, LEVELS)
def test_network_of_zeros_is_the_base_exactly(seed: int, t: int) -> None:
    """Bit for bit, so that training starts at the private Gaussian."""
    model, (x, labels) = denoiser(seed), queries(seed)
    signal = signal_shares()[t]
    assert np.array_equal(model.denoise(x, signal, labels), model.base.denoise(x, signal, labels))


@given(SEEDS, LEVELS, st.floats(0.1, 2.0))
def test_output_layer_is_scaled_by_the_posterior_std(seed: int, t: int, output: float) -> None:
    """c_out = sigma s / sqrt(sigma^2 + s^2) at sigma^2 = (1 - abar) / abar: EDM, table 1."""
    model, (x, labels) = denoiser(seed, output), queries(seed)
    signal = signal_shares()[t]
    sigma, s = math.sqrt((1.0 - signal) / signal), SETTINGS.data_std
    c_out = sigma * s / math.sqrt(sigma**2 + s**2)
    moved = model.denoise(x, signal, labels) - model.base.denoise(x, signal, labels)
    assert moved == pytest.approx(np.full((5, 3), c_out * output), rel=1e-4, abs=1e-6)


@given(SEEDS, LEVELS)
def test_output_layer_changes_the_predicted_noise(seed: int, t: int) -> None:
    """By -sqrt(abar) c_out F / sqrt(1 - abar): a network that was trained is used."""
    signal = signal_shares()[t]
    (x, labels), zero, trained = queries(seed), denoiser(seed), denoiser(seed, 1.0)
    level = torch.tensor([[signal]], dtype=torch.float64)
    c_out = float(network.residual_scale(level, SETTINGS.data_std))
    change = trained.predict_noise(x, signal, labels) - zero.predict_noise(x, signal, labels)
    expected = -math.sqrt(signal) * c_out / math.sqrt(1.0 - signal)
    assert change == pytest.approx(np.full((5, 3), expected), rel=1e-4, abs=1e-6)
    assert abs(expected) > 1e-3


@given(SEEDS, LEVELS)
def test_predicted_noise_and_clean_sample_make_up_the_noisy_one(seed: int, t: int) -> None:
    """x_t = sqrt(abar) D(x_t) + sqrt(1 - abar) eps(x_t)."""
    model, (x, labels), signal = denoiser(seed, 0.5), queries(seed), signal_shares()[t]
    clean, noise = (f(x, signal, labels) for f in (model.denoise, model.predict_noise))
    again = math.sqrt(signal) * clean + math.sqrt(1.0 - signal) * noise
    assert again == pytest.approx(x, abs=1e-9)


@given(SEEDS, LEVELS)
def test_features_are_scaled_samples_time_and_label(seed: int, t: int) -> None:
    """The base's guess over s; c_in = 1 / sqrt(abar s^2 + 1 - abar); a quarter of the log SNR."""
    x, labels = queries(seed)
    signal, s = signal_shares()[t], SETTINGS.data_std
    level = torch.tensor([[signal]], dtype=torch.float64)
    noisy, guess = torch.from_numpy(x), torch.from_numpy(x[::-1].copy())
    found = network.features(guess, noisy, level, torch.from_numpy(labels), 2, s).numpy()
    assert found.shape == (5, 3 + 3 + 2 * TIME_FEATURES + 2)
    assert found[:, :3] == pytest.approx(x[::-1] / s, rel=1e-9)
    assert found[:, 3:6] == pytest.approx(x / math.sqrt(signal * s**2 + 1.0 - signal), rel=1e-9)
    angles = 0.25 * math.log(signal / (1.0 - signal)) * np.arange(1, 9) * math.pi / 8.0
    time = np.concatenate([np.sin(angles), np.cos(angles)])
    assert found[:, 6:-2] == pytest.approx(np.repeat(time[None], 5, axis=0), abs=1e-6)
    assert np.array_equal(found[:, -2:], np.eye(2)[labels])


def test_the_network_fades_out_where_training_ends() -> None:
    """Whole up to half of the highest noise, nothing from there on, halfway at sqrt(1/2) of it."""

    def at(noise: float) -> float:
        return network.fade(1.0 / (1.0 + noise**2), 0.8)

    assert [at(noise) for noise in (0.01, 0.399, 0.8001, 20.0)] == [1.0, 1.0, 0.0, 0.0]
    assert at(0.8 * math.sqrt(0.5)) == pytest.approx(0.5, abs=1e-9)
    assert network.fade(signal_shares()[-1], NetworkSettings().highest_noise) == 1.0


@given(SEEDS)
def test_above_the_highest_noise_the_base_is_alone(seed: int) -> None:
    """Bit for bit, with a network that changes every cleaner sample; in between it counts half."""
    settings = replace(SETTINGS, highest_noise=1.0)
    whole, (x, labels) = denoiser(seed, 1.0), queries(seed)
    faded = Denoiser(whole.base, whole.network, settings, CPU)
    for noise, share in ((2.0, 0.0), (1.0, 0.0), (math.sqrt(0.5), 0.5), (0.3, 1.0)):
        signal = 1.0 / (1.0 + noise**2)
        base = whole.base.denoise(x, signal, labels)
        found = faded.denoise(x, signal, labels) - base
        wanted = share * (whole.denoise(x, signal, labels) - base)
        assert found == pytest.approx(wanted, rel=1e-6, abs=1e-9)
        assert share > 0.0 or not found.any()


def test_training_draws_levels_up_to_the_highest_noise() -> None:
    """All of them, evenly in t, and none beyond: of 20,000 draws each tenth has its share.

    False alarm 2e-8 (5.5 standard errors of a tenth, ten times); 15 % more would be rejected.
    """
    base = AnalyticBase(np.zeros((1, 1)), np.ones(1), np.eye(1))
    x, labels = np.zeros((20_000, 1)), np.zeros(20_000, dtype=np.int64)
    signals = np.array(signal_shares())
    for highest, steps in ((1.0, int((signals >= 0.5).sum())), (1000.0, 1000)):
        batch = noised(x, labels, base, 1, Keystream(b"l" * 32), highest)
        found = np.searchsorted(-signals, -batch.signal.double().numpy().ravel() - 1e-7)
        assert found.max() < steps
        shares = np.histogram(found, bins=10, range=(0, steps))[0] / 2000.0
        assert shares == pytest.approx(np.ones(10), abs=0.12)


def test_scaled_samples_and_residuals_have_unit_variance() -> None:
    """x_t of data N(0, s^2): c_in x_t and (x_0 - E[x_0 | x_t]) / c_out have variance 1.

    200,000 draws within 5 standard errors, 1.6 % (false alarm 6e-7); a 3 % wrong scale is rejected.
    """
    rng, s = np.random.default_rng(1), SETTINGS.data_std
    for t in (0, 300, 700, 999):
        signal = signal_shares()[t]
        clean, noise = s * rng.standard_normal(200_000), rng.standard_normal(200_000)
        x = math.sqrt(signal) * clean + math.sqrt(1.0 - signal) * noise
        level = torch.tensor([[signal]], dtype=torch.float64)
        labels = torch.zeros(200_000, dtype=torch.int64)
        noisy = torch.from_numpy(x)[:, None]
        scaled = network.features(noisy, noisy, level, labels, 1, s)[:, 1].numpy()
        posterior = math.sqrt(signal) * s**2 / (signal * s**2 + 1.0 - signal) * x
        residual = (clean - posterior) / float(network.residual_scale(level, s))
        for values in (scaled, residual):
            assert values.var() == pytest.approx(1.0, abs=0.016)
            assert (1.03 * values).var() != pytest.approx(1.0, abs=0.016)


def test_hidden_layer_is_set_from_the_given_draws() -> None:
    """Weights are the draws over the root of the inputs, the last column is the bias."""
    net = ResidualNetwork(2, 1, 4)
    words = np.random.default_rng(1).standard_normal((4, 2 + 2 * TIME_FEATURES + 1 + 1))
    network.initialise(net, words)
    assert net.hidden.weight.detach().numpy() == pytest.approx(
        words[:, :-1] / math.sqrt(19.0), rel=1e-6
    )
    assert net.hidden.bias.detach().numpy() == pytest.approx(words[:, -1], rel=1e-6)
    assert not net.output.weight.any()
