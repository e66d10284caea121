"""Pretraining: a function of what was released, and a start from which DP-SGD goes on."""

import ast
import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dpfedsyn import dpsgd, pretrain
from dpfedsyn.architecture import Architecture, Arrays
from dpfedsyn.base import AnalyticBase
from dpfedsyn.network import Denoiser
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import noised, record_losses
from dpfedsyn.settings import NetworkSettings, PretrainSettings, TrainSettings
from tests.dpfedsyn import test_unet

CPU = torch.device("cpu")
SEED = b"p" * 32
DIMENSION, CLASSES = 4, 2
MLP = Architecture(NetworkSettings(hidden=64, highest_noise=0.4), DIMENSION, CLASSES)
BASE = AnalyticBase(np.zeros((CLASSES, DIMENSION)), np.full(DIMENSION, 0.49), np.eye(DIMENSION))
STEPS = PretrainSettings(steps=60, batch=64, learning_rate=1e-2)


def corners(count: int, seed: int = 0) -> tuple[Any, Any]:
    """Points at the corners of a cube, which no Gaussian describes."""
    rng = np.random.default_rng(seed)
    return 0.7 * np.sign(rng.standard_normal((count, DIMENSION))), rng.integers(0, CLASSES, count)


def trained(data: tuple[Any, Any], **changes: Any) -> Arrays:
    arguments: dict[str, Any] = {
        "base": BASE, "architecture": MLP, "settings": STEPS, "seed": SEED, "device": CPU,
    }  # fmt: skip
    return pretrain.pretrain(*data, **(arguments | changes))


def same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(
        one[name].tobytes() == other[name].tobytes() for name in one
    )


def loss(weights: Arrays) -> float:
    """Denoising error of a network on fresh corners, in units of the residual's public scale."""
    batch = noised(*corners(2000, seed=9), BASE, 1, Keystream(b"t" * 32), 0.4)
    with torch.no_grad():
        return float(
            record_losses(MLP.with_weights(weights), batch, MLP.settings, CLASSES, CPU).mean()
        )


def test_pretraining_is_a_function_of_what_was_released() -> None:
    """Guarantee of dpfedsyn.pretrain.pretrain: Post-processing: no record and no key of a silo is
    an argument. Again, whatever torch and numpy would draw, gives equal bits; another seed or other
    synthetic records do not."""
    torch.manual_seed(1)
    first = trained(corners(50))
    torch.manual_seed(2)
    np.random.seed(2)
    assert same(first, trained(corners(50)))
    assert not same(first, trained(corners(50), seed=b"q" * 32))
    assert not same(first, trained(corners(50, seed=1)))


def test_pretraining_reads_no_file_and_no_key() -> None:
    """Its module imports nothing that holds records, keys or a ledger, and opens nothing."""
    tree = ast.parse(inspect.getsource(pretrain))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    of_us = {name for name in imported if name and name.startswith(("dpfedsyn", "accountants"))}
    allowed = {"architecture", "base", "noise", "objective", "settings"}
    assert of_us <= {f"dpfedsyn.{name}" for name in allowed}
    called = {node.func.id for node in ast.walk(tree)
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    assert "open" not in called


def test_pretraining_learns_what_the_base_leaves() -> None:
    """Corners of a cube: a third of the base's loss at least is gone on fresh ones."""
    weights = trained(corners(2000), settings=replace(STEPS, steps=400, learning_rate=0.03))
    start = trained(corners(2000), settings=replace(STEPS, steps=0))
    assert loss(weights) < 0.67 * loss(start)


def test_no_steps_leave_the_network_that_is_zero() -> None:
    """`pretrain.steps` = 0: the drawn network, whose denoiser is the base."""
    weights, (x, labels) = trained(corners(9), settings=PretrainSettings()), corners(5)
    model = Denoiser(BASE, MLP.with_weights(weights), MLP.settings, CPU)
    assert same(weights, dpsgd.initial_state(MLP, SEED).weights)
    assert np.array_equal(model.denoise(x, 0.5, labels), BASE.denoise(x, 0.5, labels))


def test_steps_are_told_one_by_one() -> None:
    """For a progress bar, and nothing else: the result is the same."""
    told: list[int] = []
    weights = trained(corners(9), on_step=lambda: told.append(1))
    assert len(told) == STEPS.steps
    assert same(weights, trained(corners(9)))


@pytest.mark.parametrize("kind", ["mlp", "unet"])
def test_dp_sgd_goes_on_from_given_weights(kind: str) -> None:
    """The state before its first step holds them, average included, and no moment of Adam's; with
    next to no learning rate it stays there."""
    architecture, data, base = MLP, corners(40), BASE
    if kind == "unet":
        architecture, data, base = test_unet.ARCHITECTURE, test_unet.records(40), test_unet.base()
    weights = trained(data, architecture=architecture, base=base, settings=replace(STEPS, steps=3))
    state = dpsgd.state_before(weights)
    assert state.step == 0
    assert same(state.weights, weights)
    assert same(state.average, weights)
    assert not any(part.any() for part in (*state.first.values(), *state.second.values()))
    after = dpsgd.train_block(
        state, 2, x=data[0], labels=data[1], base=base, noise_multiplier=1.0,
        expected_batch_size=20.0, architecture=architecture, key=b"k" * 32, device=CPU,
        settings=TrainSettings(sampling_rate=0.5, draws=2, learning_rate=1e-9),
    )  # fmt: skip
    for name, value in weights.items():
        assert after.weights[name] == pytest.approx(value, abs=1e-7)
    assert not same(after.first, state.first)
