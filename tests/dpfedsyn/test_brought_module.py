"""Modules of a silo's own: levels, coordinates and declarations; closed forms and refusals."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from dpfedsyn import brought
from dpfedsyn import config as configuration
from dpfedsyn.brought.coordinates import Coordinates, of_pixels
from dpfedsyn.brought.levels import PREDICTIONS, Levels, of_scheduler
from dpfedsyn.diffusion import signal_shares
from dpfedsyn.domain import encoder_of
from dpfedsyn.errors import ModelError
from dpfedsyn.images import ImageEncoder, ImageSchema
from tests.dpfedsyn import brought as made

CPU = torch.device("cpu")
HOSPITALS = encoder_of(configuration.load("hospitals"))


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_every_level_of_a_model_is_its_own_nearest(kind: str) -> None:
    """Exact where equal; between two levels, one of them; beyond the range, the last."""
    levels = of_scheduler({"beta_schedule": kind}, "here")
    shares = [float(share) for share in levels.shares]
    for t in (0, 1, 250, 998, 999):
        assert levels.nearest(shares[t]) == t
    assert levels.nearest(math.sqrt(shares[400] * shares[401])) in (400, 401)
    assert levels.nearest(1.0 - 1e-9) == 0
    assert levels.nearest(1e-12) == 999


def test_our_own_schedule_has_the_same_steps() -> None:
    """The default of diffusers is ours, but for the last bits of float32."""
    levels = of_scheduler({}, "here")
    assert [levels.nearest(share) for share in signal_shares()] == list(range(1000))


def test_trained_betas_are_taken_as_they_are() -> None:
    """Whatever else is said of the schedule."""
    betas = [0.1, 0.2, 0.3]
    levels = of_scheduler(
        {"trained_betas": betas, "num_train_timesteps": 3, "beta_schedule": "?"}, "here"
    )
    assert np.allclose(levels.shares.numpy(), np.cumprod([0.9, 0.8, 0.7]))


@given(st.sampled_from(PREDICTIONS), st.integers(0, 999), st.integers(0, 2**32 - 1))
def test_all_three_predictions_of_the_truth_are_the_same_noise(
    prediction: str, t: int, seed: int
) -> None:
    """From the true noise, velocity or clean sample of x_t the noise comes back."""
    levels = Levels(of_scheduler({}, "here").shares, prediction)
    rng = np.random.default_rng(seed)
    clean, noise = (torch.from_numpy(rng.normal(size=(3, 5))) for _ in range(2))
    a = levels.shares[t].double()
    x = a.sqrt() * clean + (1 - a).sqrt() * noise
    velocity = a.sqrt() * noise - (1 - a).sqrt() * clean
    told = {"epsilon": noise, "v_prediction": velocity, "sample": clean}[prediction]
    assert torch.allclose(levels.noise(told, x, t), noise, atol=1e-6)


@given(
    st.sampled_from(["pixels", "frequencies"]),
    st.floats(0, 1),
    st.floats(0.1, 10),
    st.sampled_from([(-1.0, 1.0), (0.0, 1.0)]),
    st.integers(0, 999),
    st.integers(0, 2**32 - 1),
)
def test_a_query_s_picture_is_the_model_s_at_the_model_s_level(
    basis: str, grey: float, scale: float, ends: tuple[float, float], t: int, seed: int
) -> None:
    """x_t of a picture enters as p_t = sqrt(a') p_0 + sqrt(1 - a') e', and e' leaves as e."""
    schema = ImageSchema("any", ("a", "b"), 3, 4, 12, grey, scale=scale, basis=basis)
    encoder = ImageEncoder(schema)
    there = of_pixels(encoder, (1, 3, 4), "here", ends)
    rng = np.random.default_rng(seed)
    pictures, noise = rng.random((5, 3, 4)).astype(np.float32), rng.normal(size=(5, 12))
    a = signal_shares()[t]
    x = np.sqrt(a) * encoder.encode(pictures) + np.sqrt(1 - a) * noise
    own = (noise @ encoder.geometry.basis).reshape(5, 1, 3, 4)
    level = there.level(a)
    clean = ends[0] + (ends[1] - ends[0]) * pictures[:, None]
    wanted = np.sqrt(level) * clean + np.sqrt(1 - level) * own
    assert np.allclose(there.entered(x, a), wanted, atol=1e-5)
    assert np.allclose(there.left(own), noise)


def test_where_nothing_has_to_be_changed_nothing_is() -> None:
    """scale 2, grey 1/2, pixels: the query's own numbers, bit for bit."""
    there = of_pixels(made.UNLABELLED, (1, 8, 8), "here")
    assert (there.basis, there.ratio, there.offset) == (None, 1.0, 0.0)
    x = np.random.default_rng(1).normal(size=(4, 64))
    for a in signal_shares()[::97]:
        assert there.level(a) == a
        assert np.array_equal(there.entered(x, a).reshape(4, 64), x)
    assert np.array_equal(Coordinates((64,)).left(x), x)


def test_a_module_of_vectors_answers_for_a_table(tmp_path: Path) -> None:
    """Time and label reach it; its output is the predicted noise itself."""
    path = made.declared(tmp_path, [HOSPITALS.dimension])
    model = brought.read(path, HOSPITALS, CPU)
    x = np.random.default_rng(2).normal(size=(2000, HOSPITALS.dimension)).astype(np.float32)
    labels = np.arange(2000) % 2
    found = model.predict_noise(x.astype(np.float64), signal_shares()[300], labels)
    wanted = np.float32(0.5) * x + (np.float32(0.25) * labels + 0.3)[:, None]
    assert np.allclose(found, wanted, atol=1e-6)
    assert model.parameters == 3


def test_a_module_without_labels_for_records_without(tmp_path: Path) -> None:
    """`labels` is false where the run has none; pictures go by their shape."""
    path = made.declared(tmp_path, [1, 8, 8], module="tests.dpfedsyn.brought:Unlabelled")
    model = brought.read(path, made.UNLABELLED, CPU)
    assert not model.labelled
    x = np.ones((3, 64))
    found = model.predict_noise(x, signal_shares()[100], np.zeros(3, dtype=np.int64))
    assert np.allclose(found, 0.5 + 0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"module": None}, "`module` is missing"),
        ({"modul": "a:b"}, "`modul` is unknown"),
        ({"module": "os.system"}, r'is not "package\.module:name"'),
        ({"module": "no_such_package:Thing"}, "cannot be imported and called.*no_such_package"),
        ({"module": "tests.dpfedsyn.brought:edit"}, "cannot be imported and called"),
        ({"module": "builtins:dict"}, "makes a dict, no torch"),
        ({"module": "tests.dpfedsyn.brought:wrong_shape"}, r"returns shape \(5, 1\)"),
        ({"module": "tests.dpfedsyn.brought:Unlabelled", "labels": False}, "labels = false"),
        ({"module": "torch.nn:Identity"}, "unexpected: gain, shift"),
        ({"weights": "../weights.safetensors"}, "the name of a file beside this one"),
        ({"weights": "model.pt"}, r"model\.pt: files of this kind can run code"),
        ({"shape": [5]}, r"\(5,\).*coordinates"),
        ({"shape": [0]}, "`shape` = "),
        ({"shape": [1, 8, 8]}, "the schema describes a table"),
        ({"range": [1, 1]}, "`range` = "),
        ({"schedule": {"beta_schedule": "cosine"}}, "beta_schedule = 'cosine'"),
        ({"schedule": []}, "`schedule` = "),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """Each names the key; code that is imported is named, and nothing else is run."""
    path = made.declared(tmp_path, **({"shape": [HOSPITALS.dimension]} | changes))
    with pytest.raises(ModelError, match=f"(?s){words}") as refused:
        brought.read(path, HOSPITALS, CPU)
    assert "nothing was loaded" in str(refused.value) or "not opened" in str(refused.value)


def test_files_that_are_no_declaration_are_refused(tmp_path: Path) -> None:
    """No such file, no JSON, no object; and a checkpoint that can hold code, by its name."""
    for name, content, words in (
        ("none.json", None, "cannot be read"),
        ("text.json", "{", "cannot be read"),
        ("list.json", "[]", "no JSON object"),
        ("model.ckpt", "", "can run code"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_text(content)
        with pytest.raises(ModelError, match=words):
            brought.read(path, HOSPITALS, CPU)


def test_weights_of_another_module_are_refused(tmp_path: Path) -> None:
    """Keys and shapes are those of the module that was imported."""
    path = made.declared(tmp_path, [HOSPITALS.dimension])
    save_file({"gain": torch.zeros(2), "bias": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match=r"missing: shift; unexpected: bias; wrong shape: gain"):
        brought.read(path, HOSPITALS, CPU)
