"""Levels and coordinates of brought models: values by hand, in diffusers' order of operations."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.brought.coordinates import Coordinates, of_pixels, of_vectors
from dpfedsyn.brought.levels import Levels, of_scheduler
from dpfedsyn.errors import ModelError
from dpfedsyn.images import ImageEncoder, ImageSchema
from tests.dpfedsyn import brought as made

BETAS = {
    "linear": lambda t: 0.1 + 0.3 * t / 3,
    "scaled_linear": lambda t: (math.sqrt(0.1) + (math.sqrt(0.4) - math.sqrt(0.1)) * t / 3) ** 2,
    "squaredcos_cap_v2": lambda t: min(
        0.999,
        1
        - math.cos(((t + 1) / 4 + 0.008) / 1.008 * math.pi / 2) ** 2
        / math.cos((t / 4 + 0.008) / 1.008 * math.pi / 2) ** 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BETAS)
def test_the_levels_of_a_schedule_are_products_of_its_betas(kind: str) -> None:
    """Four steps by hand, in float32, the cosine's last beta capped."""
    content = {"beta_schedule": kind, "beta_start": 0.1, "beta_end": 0.4, "num_train_timesteps": 4}
    levels = of_scheduler(content, "here")
    wanted = np.cumprod([1.0 - BETAS[kind](t) for t in range(4)])
    assert np.allclose(levels.shares.numpy(), wanted, rtol=1e-5)
    assert levels.shares.dtype == torch.float32
    assert levels.prediction == "epsilon"


def test_what_a_schedule_does_not_say_is_as_diffusers_has_it() -> None:
    """A thousand linear steps from 0.0001 to 0.02, of the noise."""
    said = {
        "prediction_type": "epsilon", "num_train_timesteps": 1000, "beta_schedule": "linear",
        "beta_start": 0.0001, "beta_end": 0.02, "trained_betas": None,
        "rescale_betas_zero_snr": False,
    }  # fmt: skip
    assert torch.equal(of_scheduler({}, "here").shares, of_scheduler(said, "here").shares)
    assert len(of_scheduler({}, "here").shares) == 1000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"beta_schedule": ["linear"]}, r"beta_schedule = \['linear'\].*linear, scaled_linear"),
        ({"beta_schedule": None}, "beta_schedule = None is not understood"),
        ({"prediction_type": ["epsilon"]}, r"prediction_type = \['epsilon'\] is not understood"),
        ({"num_train_timesteps": True}, "num_train_timesteps = True"),
        ({"num_train_timesteps": 1e3}, "num_train_timesteps = 1000.0"),
        ({"num_train_timesteps": 0}, "num_train_timesteps = 0"),
        ({"num_train_timesteps": 100_001}, "num_train_timesteps = 100001.*1 to 100000"),
        ({"beta_start": 0.0}, "beta_start = 0.0"),
        ({"beta_start": 1.0}, "beta_start = 1.0"),
        ({"beta_start": "0.1"}, "beta_start = '0.1'"),
        ({"beta_end": 1.0}, "beta_end = 1.0"),
        ({"beta_end": math.nan}, "beta_end = nan"),
        ({"beta_end": 10**400}, "beta_end = 10+,"),
        ({"beta_end": 0.9}, r"make abar_t from 0\.9999 to 0,"),
        ({"beta_start": 1e-12, "beta_end": 1e-12}, "make abar_t from 1 to 1,"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr = true"),
        ({"trained_betas": 0.1}, "trained_betas holds float, but"),
        ({"trained_betas": [0.1, 0.2]}, "trained_betas holds 2 values, but num_train_timesteps = "),
        ({"trained_betas": [0.1, 0.2, 1.0], "num_train_timesteps": 3}, "trained_betas holds 3"),
        ({"trained_betas": [0.1, 0.2, 0.0], "num_train_timesteps": 3}, "trained_betas holds 3"),
        ({"trained_betas": [0.1, 0.2, "x"], "num_train_timesteps": 3}, "trained_betas holds 3"),
        ({"trained_betas": [0.1, 10**400], "num_train_timesteps": 2}, "trained_betas holds 2"),
    ],
)
def test_a_schedule_that_makes_no_levels_is_refused(content: dict[str, Any], words: str) -> None:
    """By its key and value, at the bounds too."""
    with pytest.raises(ModelError, match=f"here: .*{words}") as refused:
        of_scheduler(content, "here")
    assert "nothing was loaded" in str(refused.value)


def test_the_bounds_of_a_schedule_are_its_own() -> None:
    """One step, or as many as there may be."""
    assert len(of_scheduler({"num_train_timesteps": 1}, "here").shares) == 1
    many = {"num_train_timesteps": 100_000, "beta_start": 1e-6, "beta_end": 1e-4}
    assert len(of_scheduler(many, "here").shares) == 100_000


@given(st.lists(st.floats(0.01, 0.3), min_size=2, max_size=30), st.floats(1e-6, 1 - 1e-6))
def test_the_nearest_level_is_nearest_by_log_signal_to_noise(
    betas: list[float], signal: float
) -> None:
    """No other step is nearer, on that scale."""
    content = {"trained_betas": betas, "num_train_timesteps": len(betas)}
    levels = of_scheduler(content, "here")
    shares = levels.shares.numpy().astype(np.float64)
    distance = np.abs(np.log(shares / (1 - shares)) - math.log(signal / (1 - signal)))
    assert distance[levels.nearest(signal)] <= distance.min() + 1e-9


def test_all_signal_and_all_noise_are_the_ends() -> None:
    """Levels that rounding has made 1 or 0 are beyond the model's range, and no error."""
    levels = of_scheduler({}, "here")
    assert [levels.nearest(signal) for signal in (1.0, 0.0)] == [0, 999]
    assert [levels.nearest(signal) for signal in (math.nextafter(1, 0), 5e-324)] == [0, 999]


def test_every_prediction_is_turned_in_the_bits_of_diffusers() -> None:
    """In float32 and in this order of operations, at the share of the step that is asked."""
    shares = torch.tensor([0.9, 0.5, 0.2])
    x, told = torch.tensor([[0.3, -1.1]]), torch.tensor([[0.7, 0.2]])
    for t, a in enumerate(shares):
        velocity = Levels(shares, "v_prediction").noise(told, x, t)
        assert torch.equal(velocity, (a**0.5) * told + ((1 - a) ** 0.5) * x)
        clean = Levels(shares, "sample").noise(told, x, t)
        assert torch.equal(clean, (x - a**0.5 * told) / (1 - a) ** 0.5)
        assert torch.equal(Levels(shares, "epsilon").noise(told, x, t), told)
        assert velocity.dtype == clean.dtype == torch.float32


@given(st.floats(0.1, 10), st.floats(-3, 3), st.floats(1e-4, 1 - 1e-4), st.integers(0, 2**32 - 1))
def test_a_level_and_a_sample_are_those_of_the_affine_picture(
    ratio: float, offset: float, signal: float, seed: int
) -> None:
    """Signal-to-noise r^2 a / (1 - a); sqrt(a') p_0 + sqrt(1 - a') e enters, p_0 = x_0 / r + o."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    there = Coordinates((1, 2, 3), basis, ratio, offset)
    clean, noise = rng.normal(size=(2, 4, 6))
    level = there.level(signal)
    assert level / (1 - level) == pytest.approx(ratio**2 * signal / (1 - signal))
    x = math.sqrt(signal) * clean + math.sqrt(1 - signal) * noise
    inner = math.sqrt(level) * there.clean(clean) + math.sqrt(1 - level) * (noise @ basis)
    assert np.allclose(there.entered(x, signal).reshape(4, 6), inner)
    assert np.allclose(there.clean(clean), (clean @ basis) / ratio + offset)
    assert np.allclose(there.left((noise @ basis).reshape(4, 1, 2, 3)), noise)
    assert there.entered(x, signal).shape == (4, 1, 2, 3)


@given(st.floats(-3, 3), st.floats(1e-4, 1 - 1e-4))
def test_an_offset_alone_moves_the_samples_and_not_the_level(offset: float, signal: float) -> None:
    """r = 1: sqrt(a) o is added, whatever o; without a basis the coordinates stay."""
    there, x = Coordinates((3,), offset=offset), np.array([[1.0, -2.0, 0.5]])
    assert there.level(signal) == signal
    assert np.allclose(there.entered(x, signal), x + math.sqrt(signal) * offset)
    assert np.array_equal(there.clean(x), x + offset)
    assert np.array_equal(there.left(x), x)


def test_the_map_to_pixels_is_read_from_the_schema() -> None:
    """r = scale / span and o = black + span * grey; a basis where the schema has waves."""
    schema = ImageSchema("any", ("a", "b"), 3, 4, 12, grey=0.25, scale=3.0, basis="pixels")
    there = of_pixels(ImageEncoder(schema), (1, 3, 4), "here", (-2.0, 4.0))
    assert (there.ratio, there.offset, there.basis) == (0.5, -0.5, None)
    waves = ImageSchema("any", ("a", "b"), 3, 4, 12, grey=0.25, scale=3.0)
    encoder = ImageEncoder(waves)
    assert of_pixels(encoder, (1, 3, 4), "here").basis is encoder.geometry.basis
    assert of_pixels(encoder, (1, 3, 4), "here").ratio == 1.5


@pytest.mark.parametrize("shape", [(1, 8), (1, 4, 3), (3, 3, 4), (12,), (1, 3, 4, 1)])
def test_pictures_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """Height before width, one channel."""
    encoder = ImageEncoder(ImageSchema("any", ("a", "b"), 3, 4, 12, 0.5, basis="pixels"))
    with pytest.raises(ModelError, match=r"the schema 'any' has pictures \(1, 3, 4\)"):
        of_pixels(encoder, shape, "here")


def test_what_the_encoding_loses_is_named() -> None:
    """Moved pixels first, then frequencies that were left out."""
    schemas = {
        "canonical = true": ImageSchema("a", ("a", "b"), 3, 4, 12, 0.5, canonical=True),
        "frequencies = 11 of 12 are kept": ImageSchema("a", ("a", "b"), 3, 4, 11, 0.5),
    }
    for words, schema in schemas.items():
        with pytest.raises(ModelError, match=words):
            of_pixels(ImageEncoder(schema), (1, 3, 4), "here")


def test_vectors_are_records_as_they_are_encoded() -> None:
    """As many coordinates, in one dimension."""
    there = of_vectors(made.UNLABELLED, (64,), "here")
    assert (there.shape, there.basis, there.ratio, there.offset) == ((64,), None, 1.0, 0.0)
    for shape in ((63,), (1, 8, 8), (64, 1)):
        with pytest.raises(ModelError, match="has 64 coordinates"):
            of_vectors(made.UNLABELLED, shape, "here")
