"""The U-Net: zeros are the base, every size of image fits, and DP-SGD clips whole records."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dpfedsyn import checkpoint, dpsgd, plain_training, plan
from dpfedsyn import config as configuration
from dpfedsyn.architecture import Architecture
from dpfedsyn.base import AnalyticBase
from dpfedsyn.dpsgd import PublicRateOptimizer, TrainingState, training
from dpfedsyn.dpsgd.hooks import RecordGradients
from dpfedsyn.errors import ConfigError
from dpfedsyn.images import Geometry, dct
from dpfedsyn.network import TIME_FEATURES, Denoiser, Network, base_alone
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import NoisedBatch, noised, record_losses
from dpfedsyn.settings import NetworkSettings, TrainSettings
from dpfedsyn.unet import UNet
from tests.dpfedsyn.test_dpsgd_gradients import formed

KEY = b"u" * 32
CLASSES, KEPT, POSE = 3, 10, 3
DECLARED = 1.0 + 1e-6
CPU = torch.device("cpu")
SETTINGS = NetworkSettings(kind="unet", channels=8)


def geometry(height: int = 5, width: int = 7, kept: int = KEPT, pose: int = POSE) -> Geometry:
    """The lowest frequencies of a small picture, and coordinates that move its pixels."""
    basis = np.zeros((kept + pose, height * width))
    basis[:kept] = dct.basis(height, width, kept)
    return Geometry(height, width, basis)


ARCHITECTURE = Architecture(SETTINGS, KEPT + POSE, CLASSES, geometry())
DIMENSION = ARCHITECTURE.dimension


def base(dimension: int = DIMENSION) -> AnalyticBase:
    values, vectors = np.linalg.eigh(np.diag(np.linspace(0.2, 1.0, dimension)))
    means = np.random.default_rng(1).standard_normal((CLASSES, dimension))
    return AnalyticBase(means, values, vectors)


def records(count: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, DIMENSION)), rng.integers(0, CLASSES, count)


def trained(seed: int = 0, of: Architecture = ARCHITECTURE) -> Network:
    """A network with no weight at zero, as after some steps."""
    network = of.drawn(Keystream(KEY))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network


def test_a_unet_before_its_first_step_is_the_base_exactly() -> None:
    """Bit for bit, drawn from the key alone; the network behind `base_alone` has no parameter."""
    network = ARCHITECTURE.drawn(Keystream(KEY))
    model = Denoiser(base(), network, SETTINGS, CPU)
    x, labels = records(6)
    for signal in (0.99, 0.5, 0.01):
        exact = model.base.denoise(x, signal, labels)
        assert np.array_equal(model.denoise(x, signal, labels), exact)
        moved = Denoiser(base(), trained(), SETTINGS, CPU)
        assert np.abs(moved.denoise(x, signal, labels) - exact).min() > 1e-6
        assert np.array_equal(base_alone(moved).denoise(x, signal, labels), exact)
    assert base_alone(model).parameters == 0


@settings(max_examples=15)
@given(
    st.integers(2, 9), st.integers(2, 9), st.sampled_from([0, POSE]), st.sampled_from([(), (2, 3)])
)
def test_pictures_of_every_size_keep_their_shape(
    height: int, width: int, pose: int, shape: tuple[int, ...]
) -> None:
    """Odd sides too; any leading shape; all coordinates move, pose too."""
    picture = geometry(height, width, min(4, height * width), pose)
    of = Architecture(SETTINGS, len(picture.basis), CLASSES, picture)
    inputs = torch.randn(*shape, 5, 2 * of.dimension + 2 * TIME_FEATURES + CLASSES)
    found = trained(of=of)(inputs)
    assert found.shape == (*shape, 5, of.dimension)
    assert bool((found != 0.0).all())


@given(st.integers(2, 30), st.integers(2, 30), st.data())
def test_the_smallest_grid_holds_every_frequency(
    height: int, width: int, data: st.DataObject
) -> None:
    """Orthonormal rows on even sides, none larger than needed; at 28 x 28, 100 fit into 12 x 12."""
    kept = data.draw(st.integers(1, height * width))
    grid = geometry(height, width, kept).smallest()
    u, v = dct.lowest(height, width, kept)
    assert (grid.height - 1, grid.width - 1) <= (u.max() + 1, v.max() + 1)
    assert grid.height % 2 == grid.width % 2 == 0
    product = grid.basis @ grid.basis.T
    np.testing.assert_allclose(product, np.diag([1.0] * kept + [0.0] * POSE), atol=1e-12)
    large = geometry(28, 28, 100).smallest()
    assert (large.height, large.width, large.frequencies) == (12, 12, 100)


def test_a_picture_looks_the_same_on_the_smallest_grid() -> None:
    """A smooth picture's coarse pixels are its fine ones' averages, twice as bright, but for a few
    per cent: half the rows and columns, the same length."""
    fine = geometry(28, 28, 6)
    grid = fine.smallest()
    x = np.r_[2.0, 0.3, -0.2, 0.1, 0.1, -0.1, np.zeros(POSE)]
    assert (grid.height, grid.width) == (4, 4)
    picture = (x @ fine.basis).reshape(4, 7, 4, 7).mean(axis=(1, 3))
    found = (x @ grid.basis).reshape(4, 4) / 7.0
    assert found == pytest.approx(picture, abs=0.05 * np.abs(picture).max())


def test_the_residual_lies_in_the_span_of_the_kept_frequencies() -> None:
    """Coordinates go to pixels and back by one orthonormal basis; pose comes from its own head."""
    network = trained()
    assert isinstance(network, UNet)
    assert network.pose is not None
    with torch.no_grad():
        network.pose.weight.zero_()
        network.pose.bias.fill_(2.5)
    inputs = torch.randn(4, 2 * DIMENSION + 2 * TIME_FEATURES + CLASSES)
    assert bool((network(inputs)[:, KEPT:] == 2.5).all())
    other = inputs.clone()
    other[:, KEPT:DIMENSION] += 1.0
    assert not torch.equal(network(inputs)[:, :KEPT], network(other)[:, :KEPT])


def test_the_network_sees_the_base_s_guess() -> None:
    """Its picture and its pose: another guess gives other residuals."""
    network = trained()
    inputs = torch.randn(4, 2 * DIMENSION + 2 * TIME_FEATURES + CLASSES)
    for place in (0, KEPT, DIMENSION, DIMENSION + KEPT):
        other = inputs.clone()
        other[:, place] += 1.0
        assert bool((network(other) != network(inputs)).any(dim=1).all())


def test_every_parameter_takes_part_in_the_gradient() -> None:
    """Nothing is dead, once the last layers have left zero."""
    network, (x, labels) = trained(), records(4)
    batch = noised(x, labels, base(), 2, Keystream(KEY))
    record_losses(network, batch, SETTINGS, CLASSES, CPU).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool((parameter.grad != 0.0).any()), name


def test_no_layer_mixes_records() -> None:
    """No batch norm, no buffer; a row's output is its own, alone or in company."""
    network = trained()
    assert not list(network.buffers())
    kinds = {type(module) for module in network.modules() if list(module.parameters(recurse=False))}
    assert kinds == {nn.Conv2d, nn.GroupNorm, nn.Linear}
    inputs = torch.randn(6, 2 * DIMENSION + 2 * TIME_FEATURES + CLASSES)
    torch.testing.assert_close(network(inputs)[2:3], network(inputs[2:3]), rtol=1e-4, atol=1e-5)


def test_weights_come_from_the_stream_alone() -> None:
    """Whatever torch's generator holds; another key gives others; last layers are zero."""
    states = []
    for seed, key in ((1, KEY), (2, KEY), (1, b"v" * 32)):
        torch.manual_seed(seed)
        states.append(dpsgd.initial_state(ARCHITECTURE, key).weights)
    names = states[0].keys()
    assert all(np.array_equal(states[0][name], states[1][name]) for name in names)
    assert not np.array_equal(states[0]["enter.weight"], states[2]["enter.weight"])
    assert not any(states[0][f"{layer}.weight"].any() for layer in ("output", "pose"))
    drawn = states[0]["fine.first.weight"]
    assert drawn.std() == pytest.approx(1.0 / math.sqrt(8 * 9), rel=0.2)


# --- DP-SGD


def batch_of(count: int, draws: int, seed: int = 0) -> NoisedBatch:
    x, labels = records(count, seed)
    return noised(x, labels, base(), draws, Keystream(KEY))


def pieces(batch: NoisedBatch, records: int) -> Iterator[NoisedBatch]:
    """Cut a batch into pieces of so many records."""
    parts = (batch.noisy, batch.signal, batch.guess, batch.residual, batch.labels)
    for start in range(0, len(batch.labels), records):
        yield NoisedBatch(*(part[start : start + records] for part in parts))


def explicit(network: Network, batch: NoisedBatch) -> list[list[Tensor]]:
    """Gradients of the records' losses by autograd, one record at a time."""
    losses = [
        record_losses(network, piece, SETTINGS, CLASSES, CPU).sum() for piece in pieces(batch, 1)
    ]
    return [list(torch.autograd.grad(loss, list(network.parameters()))) for loss in losses]


@pytest.mark.parametrize(("count", "draws"), [(1, 1), (4, 1), (1, 3), (4, 3)])
def test_hooks_give_each_records_own_gradient_in_every_layer(count: int, draws: int) -> None:
    """Convolutions, strided too, norms and linear layers: autograd's, one record at a time, draws
    inside, to 1e-5 of each."""
    network, batch = trained(), batch_of(count, draws)
    own = explicit(network, batch)
    module = RecordGradients(network)
    module.backward(record_losses(module, batch, SETTINGS, CLASSES, CPU))
    for place, (name, parameter) in enumerate(network.named_parameters()):
        sample = parameter.grad_sample  # type: ignore[attr-defined]
        norms = sample.double().squares().sqrt()
        for record in range(count):
            found, wanted = formed(sample)[record].float(), own[record][place]
            assert float((found - wanted).norm()) <= 1e-5 * float(wanted.norm()), name
            assert float(norms[record]) == pytest.approx(float(wanted.norm()), rel=1e-5), name


def clipped_sum(batch: NoisedBatch, clip: float, rows: int) -> list[Tensor]:
    """What the product sums over a batch that it takes `rows` draws at a time."""
    network = trained()
    module = RecordGradients(network)
    optimizer = PublicRateOptimizer(
        torch.optim.SGD(network.parameters(), lr=0.0),
        noise_multiplier=1.0, clip=clip, expected_batch_size=1.0,
    )  # fmt: skip
    optimizer.use(Keystream(KEY))
    count, draws = batch.labels.shape
    size = max(1, rows // draws)
    for number, piece in enumerate(pieces(batch, size), 1):
        optimizer.zero_grad()
        module.backward(record_losses(module, piece, SETTINGS, CLASSES, CPU))
        optimizer.signal_skip_step(number * size < count)
        optimizer.step()
    spacing = optimizer.lattice.spacing
    return [p.summed_grad.double() * spacing for p in network.parameters()]  # type: ignore[attr-defined]


def norm(tensors: list[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))


@pytest.mark.parametrize("rows", [3, 6, 1000])
def test_the_sum_is_that_of_records_clipped_one_at_a_time(rows: int) -> None:
    """Draws averaged, then one clip for each record, in pieces of one, two or all records.

    Draws that are clipped separately would give three times as much: that sum is refused.
    """
    batch, clip = batch_of(5, 3), 0.05
    found = clipped_sum(batch, clip, rows)
    gradients = explicit(trained(), batch)
    wanted = [torch.zeros_like(tensor) for tensor in found]
    for gradient in gradients:
        scale = min(1.0, clip / norm(gradient))
        assert scale < 1.0
        wanted = [one + scale * more.double() for one, more in zip(wanted, gradient, strict=True)]
    assert norm([a - b for a, b in zip(found, wanted, strict=True)]) <= 3e-4 * norm(wanted)
    assert norm(found) <= 5 * clip


def test_one_more_record_moves_the_sum_by_at_most_the_clip() -> None:
    """Of norm up to the clip, which is attained, for ordinary, huge and NaN records.

    The others' own rounding in float32 is allowed for: 1e-5 of the clip.
    """
    clip, more = 0.05, batch_of(5, 3)
    parts = (more.noisy, more.signal, more.guess, more.residual, more.labels)
    fewer = NoisedBatch(*(part[:4] for part in parts))
    alone = clipped_sum(fewer, clip, 1000)
    for factor in (1.0, 1e6, math.nan):
        noisy = torch.cat([more.noisy[:4], factor * more.noisy[4:]])
        joined = clipped_sum(NoisedBatch(noisy, *parts[1:]), clip, 1000)
        moved = norm([a - b for a, b in zip(joined, alone, strict=True)])
        if math.isnan(factor):
            assert moved <= 1e-5 * clip
        else:
            assert 0.999 * clip <= moved <= clip * (DECLARED + 1e-5)


def test_the_clipped_norm_of_one_record_is_never_above_the_declared_one() -> None:
    """Alone in its batch no other record's rounding is in the way: the clip itself holds."""
    for seed in range(6):
        for clip in (1e-4, 0.05):
            assert norm(clipped_sum(batch_of(1, 4, seed), clip, 1000)) <= clip


def train(state: TrainingState, steps: int, data: Any, **changes: Any) -> TrainingState:
    arguments: dict[str, Any] = {
        "base": base(), "noise_multiplier": 1.0, "expected_batch_size": 4.5,
        "architecture": ARCHITECTURE, "settings": TrainSettings(sampling_rate=0.5, draws=2),
        "key": KEY, "device": CPU,
    }  # fmt: skip
    return dpsgd.train_block(state, steps, x=data[0], labels=data[1], **(arguments | changes))


def equal(first: TrainingState, second: TrainingState) -> bool:
    one, other = first.to_arrays(), second.to_arrays()
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


def test_a_checkpoint_brings_back_network_and_training_bit_for_bit(tmp_path: Path) -> None:
    """State, file, state: the next block gives equal bits, the denoiser equal answers."""
    data = records(9)
    state = train(dpsgd.initial_state(ARCHITECTURE, KEY), 2, data)
    checkpoint.save(tmp_path / "model.safetensors", state.to_arrays())
    arrays = checkpoint.load(tmp_path / "model.safetensors")
    assert arrays is not None
    again = TrainingState.from_arrays(arrays)
    assert equal(train(state, 2, data, key=b"w" * 32), train(again, 2, data, key=b"w" * 32))
    models = [
        Denoiser(base(), ARCHITECTURE.with_weights(s.average), SETTINGS, CPU)
        for s in (state, again)
    ]
    x, labels = records(5)
    answers = [model.predict_noise(x, 0.5, labels) for model in models]
    assert np.array_equal(*answers)
    assert not np.array_equal(answers[0], base_alone(models[0]).predict_noise(x, 0.5, labels))


def test_an_empty_sample_is_a_step_of_noise_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a U-Net too: its size is taken from public shapes, never from a batch."""
    sums: list[float] = []

    class Watched(PublicRateOptimizer):
        def add_noise(self) -> None:
            sums.append(norm([parameter.summed_grad for parameter in self.params]))
            super().add_noise()

    monkeypatch.setattr(training, "PublicRateOptimizer", Watched)
    start = dpsgd.initial_state(ARCHITECTURE, KEY)
    after = train(start, 3, records(0))
    assert sums == [0.0] * 3
    assert not equal(start, replace(after, step=0))


def test_noise_is_drawn_once_for_a_batch_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """One draw for each parameter and step, however many pieces memory asks for."""
    drawn: list[int] = []
    add_noise = PublicRateOptimizer.add_noise
    monkeypatch.setattr("dpfedsyn.unet.NUMBERS_AT_ONCE", 1)

    class Watched(PublicRateOptimizer):
        def add_noise(self) -> None:
            drawn.append(1)
            add_noise(self)

    monkeypatch.setattr(training, "PublicRateOptimizer", Watched)
    settings = TrainSettings(sampling_rate=1.0, draws=2)
    train(dpsgd.initial_state(ARCHITECTURE, KEY), 3, records(7), settings=settings)
    assert len(drawn) == 3


def test_answers_do_not_depend_on_how_many_rows_a_pass_takes() -> None:
    """Pieces bound memory and nothing else."""
    model, (x, labels) = Denoiser(base(), trained(), SETTINGS, CPU), records(7)
    whole = model.denoise(x, 0.4, labels)
    model.network.rows_at_once = 3
    assert model.denoise(x, 0.4, labels) == pytest.approx(whole, abs=1e-5)


def test_a_unet_learns_what_the_base_leaves() -> None:
    """Two points, which no Gaussian describes: plain training halves the denoising loss."""
    rng = np.random.default_rng(0)
    points = 0.7 * np.sign(rng.standard_normal((2, DIMENSION)))
    x, labels = points[rng.integers(0, 2, 40)], np.zeros(40, dtype=np.int64)
    identity = AnalyticBase(
        np.zeros((CLASSES, DIMENSION)), np.full(DIMENSION, 0.49), np.eye(DIMENSION)
    )
    network = plain_training.train(
        x, labels, base=identity, architecture=ARCHITECTURE,
        settings=TrainSettings(steps=60, draws=2, learning_rate=5e-3), key=KEY, device=CPU,
    )  # fmt: skip
    batch = noised(x, labels, identity, 8, Keystream(b"t" * 32))
    with torch.no_grad():
        found, start = (
            float(record_losses(one, batch, SETTINGS, CLASSES, CPU).mean())
            for one in (network, ARCHITECTURE.drawn(Keystream(KEY)))
        )
    assert found < 0.5 * start


def test_a_unet_for_a_table_is_refused_with_the_mend() -> None:
    """A table's coordinates make no picture; nothing is planned."""
    with pytest.raises(ConfigError, match=r'network.kind = "mlp"'):
        plan.make(configuration.load("hospitals", ("network.kind=unet",)))


@pytest.mark.parametrize("channels", [0, 4, 12, 264])
def test_channels_are_whole_groups(channels: int) -> None:
    """Four groups of channels are normalised: the range is named."""
    with pytest.raises(ConfigError, match="multiples of 8"):
        configuration.load("digits", (f"network.channels={channels}",))
