"""Brought models trained further with DP-SGD: the loss, single steps, and what is refused."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from accountants import Adjacency, PoissonSampled, Repeated, epsilon
from dpfedsyn import brought, budget, dpsgd
from dpfedsyn import config as configuration
from dpfedsyn.brought.levels import PREDICTIONS, Levels
from dpfedsyn.brought.model import fixed_of
from dpfedsyn.brought.tuning import Tuning
from dpfedsyn.diffusion import signal_shares
from dpfedsyn.errors import ModelError
from dpfedsyn.noise import Keystream
from dpfedsyn.settings import TUNED, TrainSettings
from dpfedsyn.train import require_tunable
from tests.dpfedsyn import brought as made

CPU, KEY = torch.device("cpu"), b"t" * 32
COUNT = sum(p.numel() for p in made.Pictures().parameters())
SETTINGS = TrainSettings(steps=30, draws=2, sampling_rate=0.5, learning_rate=2e-2, clip=100.0)


def tuning(folder: Path) -> Tuning:
    return Tuning(brought.read(made.pictures(folder), made.UNLABELLED, CPU))


def stripes(n: int = 24) -> np.ndarray:
    """Pictures that a denoiser can learn."""
    rows = np.random.default_rng(2).choice([-1.0, 1.0], size=(n, 8, 1))
    return np.broadcast_to(rows, (n, 8, 8)).reshape(n, 64).copy()


def train(task: Tuning, x: np.ndarray, steps: int = 30, **changes: Any) -> dpsgd.TrainingState:
    arguments = {
        "x": x, "labels": np.zeros(len(x), dtype=np.int64), "base": None,
        "noise_multiplier": 1e-6, "expected_batch_size": 12.0, "architecture": task,
        "settings": SETTINGS, "key": KEY, "device": CPU,
    } | changes  # fmt: skip
    return dpsgd.train_block(dpsgd.state_before(task.start), steps, **arguments)


def error(model: brought.BroughtModel, x: np.ndarray) -> float:
    """Mean squared error of the predicted noise at a middle level."""
    a, noise = signal_shares()[300], np.random.default_rng(9).normal(size=x.shape)
    found = model.predict_noise(
        np.sqrt(a) * x + np.sqrt(1 - a) * noise, a, np.zeros(len(x), dtype=np.int64)
    )
    return float(np.square(found - noise).mean())


def test_training_further_lowers_the_error_and_repeats(tmp_path: Path) -> None:
    """With next to no noise the model learns; the same key gives the same bits."""
    task, x = tuning(tmp_path), stripes()
    state = train(task, x)
    assert error(task.tuned(state.average), x) < 0.8 * error(task.model, x)
    again = train(task, x)
    assert all(np.array_equal(state.weights[k], again.weights[k]) for k in state.weights)
    # The brought model itself is as it was.
    assert error(task.model, x) == error(task.tuned(task.start), x)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_target_is_what_the_model_predicts(prediction: str, tmp_path: Path) -> None:
    """The noise that the target stands for, by the answers' own conversion, is the drawn one."""
    task = tuning(tmp_path)
    levels = Levels(task.model.levels.shares, prediction)
    task = Tuning(replace(task.model, levels=levels))
    x, rows = stripes(5), np.repeat(np.arange(5)[:, None], 3, axis=1)
    ((batch, _),) = task.pieces(x, np.zeros(5, dtype=np.int64), rows, Keystream(KEY), at_once=15)
    assert batch.features.shape == (5, 3, 65)
    for record in range(5):
        for draw in range(3):
            sample, t = batch.features[record, draw, :-1], int(batch.features[record, draw, -1])
            noise = levels.noise(batch.target[record, draw], sample, t).double().numpy()
            a = float(levels.shares[t])
            back = np.sqrt(a) * x[record] + np.sqrt(1 - a) * noise
            assert np.allclose(back, sample.numpy(), atol=2e-3)


def test_an_empty_batch_is_a_step_of_noise(tmp_path: Path) -> None:
    """Without records the weights move all the same."""
    task = tuning(tmp_path)
    state = train(task, stripes(0).reshape(0, 64), steps=1, noise_multiplier=1.0)
    assert any(not np.array_equal(state.weights[k], task.start[k]) for k in task.start)


def test_pieces_change_nothing_but_memory(tmp_path: Path) -> None:
    """Whole records, all of them once."""
    task = tuning(tmp_path)
    rows = np.repeat(np.arange(7)[:, None], 2, axis=1)
    x, labels = stripes(7), np.zeros(7, dtype=np.int64)
    ((batch, _),) = task.pieces(x, labels, rows, Keystream(KEY), at_once=14)
    pieces = list(task.pieces(x, labels, rows, Keystream(KEY), at_once=4))
    assert [last for _, last in pieces] == [False, False, False, True]
    assert torch.equal(torch.cat([piece.features for piece, _ in pieces]), batch.features)


def test_the_budget_is_counts_and_steps_and_meets_epsilon() -> None:
    """No sums for a base; DP-SGD gets all that the counts leave."""
    config = configuration.load("digits", ["data.conditional=false", "weights.source=public"])
    silo = replace(config.silos[0], model="m", training=TUNED, provenance="p", parameters=9)
    found = budget.solve(config, silo)
    assert (found.counts, found.moments, found.record_mu) == (None, None, None)
    assert isinstance(found.training, Repeated)
    assert isinstance(found.training.event, PoissonSampled)
    claim = epsilon(found.record_claim(), delta=1e-5, adjacency=Adjacency.ADD_OR_REMOVE)
    assert claim.upper <= config.epsilon(silo)
    assert claim.upper >= 0.98 * config.epsilon(silo)


def test_layers_labels_and_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """By the layer's name; a wrong number of parameters is told the right one."""
    config = configuration.load("digits", ["data.conditional=false"])
    silo = replace(config.silos[0], model="m", training=TUNED, provenance="p", parameters=COUNT)
    good = tuning(tmp_path).model
    require_tunable(silo, good)
    with pytest.raises(ModelError, match=f"has {COUNT} parameters.*Set parameters = {COUNT}"):
        require_tunable(replace(silo, parameters=5), good)
    with pytest.raises(ModelError, match="labels: it takes them"):
        require_tunable(silo, replace(good, labelled=True))
    blurred = brought.read(made.pictures(tmp_path, made.Blurred), made.UNLABELLED, CPU)
    with pytest.raises(ModelError, match=r"norm \(BatchNorm2d\): .*nn\.GroupNorm"):
        require_tunable(silo, blurred)


def test_a_unet_of_diffusers_is_probed(tmp_path: Path) -> None:
    """Attention keeps records apart; fixed Fourier features are no fault; a block that changes a
    layer's output in place is refused in words; a processor of one's own by its layer."""
    pytest.importorskip(
        "diffusers", reason="diffusers is not installed: pip install 'dpfedsyn[diffusers]'"
    )
    made.unet(tmp_path)
    model = brought.read(tmp_path, made.UNLABELLED, CPU)
    assert dpsgd.refusals(model) == []
    fourier = made.unet(tmp_path, time_embedding_type="fourier")
    fixed = fixed_of(fourier)
    assert fixed == {"time_proj.weight"}
    task = Tuning(replace(model, module=fourier, fixed=fixed))
    with pytest.raises(ModelError, match=r"t = 0, its module returns .* not finite"):
        brought.read(tmp_path, made.UNLABELLED, CPU)  # it takes the logarithm of its step
    assert dpsgd.refusals(task.model) == []
    assert "module.time_proj.weight" not in train(task, stripes(8), steps=2).weights
    blocks = {"down_block_types": ("DownBlock2D", "SkipDownBlock2D"),
              "up_block_types": ("SkipUpBlock2D", "UpBlock2D")}  # fmt: skip
    (found,) = dpsgd.refusals(replace(model, module=made.unet(tmp_path, **blocks)))
    assert re.search(r"a pass over synthetic records fails .*in place; write relu", found)
    own = made.unet(tmp_path)
    attention = own.mid_block.attentions[0]
    attention.processor = type("AttnProcessor2_0", (type(attention.processor),), {})()
    (found,) = dpsgd.refusals(replace(model, module=own))
    assert re.match(r"mid_block\.attentions\.0 \(Attention\): its processor AttnProc", found)


def test_a_unet_of_diffusers_is_trained_further(tmp_path: Path) -> None:
    """Attention, residual blocks, time embeddings: all of its weights take steps."""
    pytest.importorskip(
        "diffusers", reason="diffusers is not installed: pip install 'dpfedsyn[diffusers]'"
    )
    made.unet(tmp_path)
    task = Tuning(brought.read(tmp_path, made.UNLABELLED, CPU))
    state = train(task, stripes(8), steps=2)
    assert state.weights.keys() == task.start.keys()
    assert all(not np.array_equal(state.weights[k], task.start[k]) for k in task.start)
