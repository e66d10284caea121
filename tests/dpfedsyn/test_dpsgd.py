"""DP-SGD: what one record can do to a step, and that nothing but the step's noise is random."""

import ast
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer
from torch import Tensor

import dpfedsyn
from dpfedsyn import checkpoint, dpsgd
from dpfedsyn.architecture import Architecture
from dpfedsyn.base import AnalyticBase
from dpfedsyn.dpsgd import PublicRateOptimizer, TrainingState, clip_scales, training
from dpfedsyn.errors import MechanismError
from dpfedsyn.network import ResidualNetwork
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import noised, record_losses
from dpfedsyn.settings import NetworkSettings, TrainSettings
from tests.dpfedsyn.test_privatise import is_noise

DECLARED = 1.0 + 1e-6
KEY = b"d" * 32
HIDDEN, DIMENSION, CLASSES = 5, 3, 2
BASE = AnalyticBase(np.zeros((CLASSES, DIMENSION)), np.ones(DIMENSION), np.eye(DIMENSION))
NETWORK = NetworkSettings(hidden=HIDDEN)
ARCHITECTURE = Architecture(NETWORK, DIMENSION, CLASSES)
CPU = torch.device("cpu")
GRADIENTS = st.one_of(
    st.sampled_from([1e30, -1e30, 3.4e38, 1e-30, 1e-45, 0.0, 1.0, math.nan, math.inf, -math.inf]),
    st.floats(width=32),
)


def optimizer_of(
    shapes: Sequence[tuple[int, ...]], *, noise: float = 1.0, clip: float = 1.0, batch: float = 1.0
) -> tuple[PublicRateOptimizer, list[torch.nn.Parameter]]:
    """The product's optimizer over parameters of these shapes, with a keystream to draw from."""
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in shapes]
    optimizer = PublicRateOptimizer(
        torch.optim.SGD(parameters, lr=1.0),
        noise_multiplier=noise,
        clip=clip,
        expected_batch_size=batch,
    )
    optimizer.use(Keystream(KEY))
    return optimizer, parameters


def summed(parameter: Any, optimizer: PublicRateOptimizer) -> Tensor:
    """A parameter's sum of clipped gradients, in their own units."""
    total: Tensor = parameter.summed_grad.double() * optimizer.lattice.spacing
    return total


def give(parameters: Sequence[Any], samples: Sequence[Tensor]) -> None:
    for parameter, sample in zip(parameters, samples, strict=True):
        parameter.grad_sample = sample


def length(tensors: Sequence[Tensor]) -> float:
    """L2 norm over all tensors, correctly rounded."""
    values = torch.cat([tensor.detach().double().reshape(-1) for tensor in tensors])
    return math.sqrt(math.fsum((values.numpy() ** 2).tolist()))


@given(
    arrays(np.float32, (3, 2, 3), elements=GRADIENTS),
    arrays(np.float32, (3, 4), elements=GRADIENTS),
    st.sampled_from([1e-3, 1.0, 50.0]),
)
def test_no_record_adds_more_than_the_declared_norm(
    first: NDArray[np.float32], second: NDArray[np.float32], clip: float
) -> None:
    """Guarantee of dpfedsyn.dpsgd.optimizer.clip_scales: A record whose gradient holds a non-finite
    number counts as zero, before clipping; every other record's gradient times its scale has L2
    norm at most clip * (1 + 1e-6); what it adds to the sum, in integers, has clip at most."""
    samples = [torch.from_numpy(first), torch.from_numpy(second)]
    scale, finite = clip_scales(samples, clip)
    for record in range(3):
        optimizer, parameters = optimizer_of([(2, 3), (4,)], clip=clip)
        own = [sample[record : record + 1] for sample in samples]
        give(parameters, own)
        optimizer.clip_and_accumulate()
        added = length([summed(parameter, optimizer) for parameter in parameters])
        assert added <= clip * (1.0 + 1e-12)
        sound = all(bool(torch.isfinite(part).all()) for part in own)
        assert bool(finite[record]) == sound
        if not sound:
            assert added == 0.0
        else:
            expected = min(length(own), clip)
            assert added == pytest.approx(expected, rel=1e-4, abs=1e-9 * clip)
            assert expected == pytest.approx(length(own) * float(scale[record]), rel=1e-6)


@given(arrays(np.float32, (4, 6), elements=GRADIENTS), st.integers(0, 3))
def test_neighbouring_batches_differ_by_one_clipped_gradient(
    gradients: NDArray[np.float32], left_out: int
) -> None:
    """The sum over a sample with and without one record moves by at most C: a record
    with NaN takes nothing of the others with it."""
    sums = []
    for rows in (gradients, np.delete(gradients, left_out, axis=0)):
        optimizer, (parameter,) = optimizer_of([(6,)])
        give([parameter], [torch.from_numpy(rows)])
        optimizer.clip_and_accumulate()
        sums.append(summed(parameter, optimizer))
    assert length([sums[0] - sums[1]]) <= 1.0 + 1e-12


def test_norms_hold_at_a_million_parameters_where_float32_norms_fail() -> None:
    """Few large entries and a million small ones: float32 loses the small ones, float64 does not.

    Opacus's own clip lets more than 1.001 C through on at least one of these gradients.
    """
    others = []
    for large in (1, 4, 8, 16):
        gradient = torch.full((1, 1_000_000), 2.4e-4 * 2.0**10)
        gradient[0, :large] = 2.0**10
        ours, (mine,) = optimizer_of([(1_000_000,)])
        theirs = torch.nn.Parameter(torch.zeros(1_000_000))
        opacus = DPOptimizer(
            torch.optim.SGD([theirs], lr=1.0),
            noise_multiplier=0.0,
            max_grad_norm=1.0,
            expected_batch_size=1,
        )
        for optimizer, parameter in ((ours, mine), (opacus, theirs)):
            give([parameter], [gradient.clone()])
            optimizer.clip_and_accumulate()
        passed = float(summed(mine, ours).norm())
        assert 0.9998 <= passed <= 1.0
        others.append(float(theirs.summed_grad.double().norm()))  # type: ignore[attr-defined]
    assert max(others) > 1.001


def test_a_step_adds_gaussian_noise_of_the_declared_std() -> None:
    """Guarantee of dpfedsyn.dpsgd.optimizer.PublicRateOptimizer: One step is the Gaussian mechanism
    with sensitivity C (1 + 1e-6) under add-or-remove, and the divisor is public.

    60,000 draws over two parameters, from seven records: noise is drawn once per logical batch, not
    per record. False alarm 4e-9; 0.97 and 1.03 times the std are rejected. The slack itself is too
    small for statistics and is compared exactly.
    """
    clip, multiplier, batch = 0.5, 3.0, 12.34
    optimizer, parameters = optimizer_of(
        [(200, 200), (20_000,)], noise=multiplier, clip=clip, batch=batch
    )
    samples = [torch.ones((7, *parameter.shape)) for parameter in parameters]
    give(parameters, samples)
    optimizer.pre_step()
    std, noises = multiplier * clip * (1.0 + 1e-6), []
    for parameter in parameters:
        assert parameter.grad is not None
        exact = summed(parameter, optimizer).numpy().ravel()
        assert exact == pytest.approx(7 * clip / math.sqrt(60_000), rel=1e-3)
        noises.append(parameter.grad.double().numpy().ravel() * batch - exact)
    values = np.concatenate(noises)
    assert is_noise(values, std)
    assert not is_noise(values, 0.97 * std)
    assert not is_noise(values, 1.03 * std)
    lattice, drawn = optimizer.lattice, Keystream(KEY)
    assert Fraction(lattice.spacing) * 1024 * lattice.cells >= Fraction(std)
    assert lattice.std == std > multiplier * clip
    for parameter, noise in zip(parameters, noises, strict=True):
        exact = lattice.noise(drawn, parameter.numel()) * lattice.spacing
        assert np.abs(noise - exact).max() <= 3e-7 * np.abs(exact).max()


def test_a_step_is_a_sum_of_integers_and_nothing_is_rounded_before_its_noise() -> None:
    """Gradients, their sum and the noise are whole numbers of one spacing, until the noisy sum is
    read as float32: post-processing. The same records in another order give the same bits."""
    rows = np.random.default_rng(2).standard_normal((9, 300)).astype(np.float32) * 5
    grads = []
    for order in (np.arange(9), np.arange(9)[::-1].copy()):
        optimizer, (parameter,) = optimizer_of([(300,)], noise=2.0, batch=3.0)
        give([parameter], [torch.from_numpy(rows[order])])
        optimizer.pre_step()
        total: Any = parameter.summed_grad  # type: ignore[attr-defined]
        assert total.dtype == torch.int64
        noise = optimizer.lattice.noise(Keystream(KEY), 300)
        noisy = (total.numpy() + noise) * optimizer.lattice.spacing
        assert parameter.grad is not None
        assert np.array_equal(parameter.grad.numpy(), noisy.astype(np.float32) / np.float32(3.0))
        grads.append(parameter.grad.numpy().tobytes())
    assert grads[0] == grads[1]


@pytest.mark.parametrize("noise", [2.0**-30, 1e-3, 0.3, 1.0, 3.46, 5000.0])
@pytest.mark.parametrize("clip", [1e-3, 1.0, 1e4])
def test_the_lattice_of_gradients_is_fine_and_its_noise_never_less_than_charged(
    noise: float, clip: float
) -> None:
    """Guarantee of dpfedsyn.dpsgd.optimizer.PublicRateOptimizer: One step is the Gaussian mechanism
    with sensitivity C (1 + 1e-6): 1024 cells spacings are at least that times the multiplier, and
    no more than 2^-9 above it."""
    lattice = dpsgd.gradient_lattice(noise, clip)
    drawn = Fraction(lattice.spacing) * 1024 * lattice.cells
    assert Fraction(noise) * Fraction(clip) * Fraction(1 + 1e-6) <= drawn * (1 + Fraction(1, 2**50))
    assert float(drawn) <= noise * clip * DECLARED * (1 + 2.0**-40)
    assert 2.0**26 <= clip / lattice.spacing <= 2.0**42


@pytest.mark.parametrize(
    ("change", "words"),
    [({"noise": 2.0**-31}, "noise multiplier"), ({"batch": 1e9}, "could leave 64 bits")],
)
def test_noise_or_batches_that_integers_cannot_hold_are_refused(
    change: dict[str, float], words: str
) -> None:
    """From public settings alone, before a gradient is taken."""
    with pytest.raises(MechanismError, match=words):
        optimizer_of([(4,)], **change)  # type: ignore[arg-type]


def test_a_step_without_a_keystream_is_refused() -> None:
    """It would be a step without noise."""
    optimizer, (parameter,) = optimizer_of([(4,)])
    optimizer.keystream = None
    give([parameter], [torch.ones((1, 4))])
    with pytest.raises(AssertionError, match="without noise"):
        optimizer.step()


def test_gradients_that_were_used_cannot_be_used_again() -> None:
    """A second step without `zero_grad` would add each record's gradient twice under one charge."""
    optimizer, (parameter,) = optimizer_of([(4,)])
    give([parameter], [torch.ones((1, 4))])
    optimizer.step()
    with pytest.raises(ValueError, match="cleared"):
        optimizer.step()
    assert length([summed(parameter, optimizer)]) <= 1.0


def records(count: int, seed: int = 0, scale: float = 1.0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = scale * rng.standard_normal((count, DIMENSION))
    return x, rng.integers(0, CLASSES, count)


def start() -> TrainingState:
    return dpsgd.initial_state(ARCHITECTURE, KEY)


def train(state: TrainingState, steps: int, data: tuple[Any, Any], **changes: Any) -> TrainingState:
    """`train_block` on toy data; settings by keyword."""
    arguments = {
        "base": BASE,
        "noise_multiplier": 1.0,
        "expected_batch_size": 4.5,
        "architecture": ARCHITECTURE,
        "settings": TrainSettings(sampling_rate=0.5, draws=3),
        "key": KEY,
        "device": CPU,
    }
    return dpsgd.train_block(state, steps, x=data[0], labels=data[1], **(arguments | changes))


def equal(first: TrainingState, second: TrainingState) -> bool:
    """Whether two states hold the same bits."""
    one, other = first.to_arrays(), second.to_arrays()
    return one.keys() == other.keys() and all(
        one[name].tobytes() == other[name].tobytes() for name in one
    )


@dataclass
class Steps:
    """What each step summed and handed to the inner optimizer."""

    sums: list[float]
    gradients: list[list[NDArray[np.float64]]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Watch the optimizer of `train_block`."""
    seen = Steps([], [])

    class Watched(PublicRateOptimizer):
        def add_noise(self) -> None:
            seen.sums.append(length([summed(parameter, self) for parameter in self.params]))
            super().add_noise()

        def scale_grad(self) -> None:
            super().scale_grad()
            seen.gradients.append([p.grad.double().numpy().copy() for p in self.params])

    monkeypatch.setattr(training, "PublicRateOptimizer", Watched)
    return seen


def sampled(chosen: int) -> Callable[..., Any]:
    """A keystream whose Poisson sample is always the first `chosen` records."""

    class Chosen(Keystream):
        def bernoulli(self, count: int, rate: float) -> NDArray[np.bool_]:
            return np.arange(count) < chosen

    return Chosen


@pytest.mark.parametrize("chosen", [0, 3])
def test_records_outside_the_sample_change_nothing(
    chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee of dpfedsyn.dpsgd.training.train_block: Each step is one Poisson-subsampled
    Gaussian mechanism, and nothing else about the records (their number included) enters the
    update: 3, 4 or 60 of them give the same bits."""
    monkeypatch.setattr(training, "Keystream", sampled(chosen))
    x, labels = records(3)
    states = []
    for more in ((0, 0), (1, 1), (57, 2)):
        extra = records(more[0], seed=more[1], scale=100.0)
        data = (np.concatenate([x, extra[0]]), np.concatenate([labels, extra[1]]))
        states.append(train(start(), 3, data))
    assert equal(states[0], states[1])
    assert equal(states[0], states[2])


def test_the_learning_rate_falls_to_its_last_share() -> None:
    """Evenly over all steps, also where blocks cut them: of four the first is whole, the last moves
    the weights by the share, and the third by what is left after two thirds of the fall."""
    data, whole = records(9), TrainSettings(steps=4, sampling_rate=0.5, draws=3)
    falling = replace(whole, last_rate=0.25)
    for before, share in ((0, 1.0), (2, 0.5), (3, 0.25)):
        state = train(start(), before, data, settings=whole) if before else start()
        moved = []
        for settings in (whole, falling):
            after = train(state, 1, data, settings=settings)
            moved.append(after.weights["hidden.weight"] - state.weights["hidden.weight"])
        assert moved[1] == pytest.approx(share * moved[0], rel=1e-3, abs=1e-7)
        assert np.abs(moved[0]).max() > 1e-4


def test_the_divisor_is_the_public_fractional_batch_size(steps: Steps) -> None:
    """Twice the public batch size halves the gradient; the record count does nothing."""
    data = records(9)
    train(start(), 1, data, expected_batch_size=4.5)
    train(start(), 1, data, expected_batch_size=9.0)
    for first, second in zip(*steps.gradients, strict=True):
        assert first == pytest.approx(2.0 * second, rel=1e-6)


@pytest.mark.parametrize("count", [0, 6])
def test_an_empty_sample_is_a_step_of_noise_alone(count: int, steps: Steps) -> None:
    """It is taken, counted and noised like any other, with records or without any.

    1,000 steps' noise of the smallest parameters; false alarm 2e-9, 0.9 times the std is rejected.
    """
    told = []
    state = train(
        start(), 400, records(count), settings=TrainSettings(sampling_rate=1e-12, draws=2),
        on_step=lambda: told.append(1), noise_multiplier=2.0,
    )  # fmt: skip
    assert state.step == len(told) == len(steps.sums) == 400
    assert steps.sums == [0.0] * 400
    noise = np.concatenate([part.ravel() for step in steps.gradients for part in step]) * 4.5
    assert is_noise(noise, 2.0 * DECLARED)
    assert not is_noise(noise, 0.97 * 2.0 * DECLARED)
    assert not equal(start(), replace(state, step=0))


@pytest.mark.parametrize("draws", [1, 16])
def test_draws_of_a_record_are_averaged_inside_its_gradient_and_clipped_once(
    draws: int, steps: Steps
) -> None:
    """One record with many (t, noise) draws adds C, not draws * C; and C is attained."""
    clip = 0.01
    train(
        start(), 5, (np.full((1, DIMENSION), 30.0), np.array([1])),
        settings=TrainSettings(sampling_rate=1.0, draws=draws, clip=clip),
    )  # fmt: skip
    assert max(steps.sums) <= clip * DECLARED
    assert max(steps.sums) >= 0.99 * clip


def test_a_batch_adds_each_record_once(steps: Steps) -> None:
    """Equal records whose gradients agree add up to B times C at most, and do so."""
    data = (np.full((6, DIMENSION), 1e4), np.ones(6, dtype=np.int64))
    clip = 1e-4
    train(start(), 4, data, settings=TrainSettings(sampling_rate=1.0, draws=64, clip=clip))
    assert max(steps.sums) <= 6 * clip * DECLARED
    assert max(steps.sums) >= 3 * clip


def test_a_record_without_numbers_changes_no_other_record_and_counts_as_zero(
    steps: Steps,
) -> None:
    """NaN in one record leaves the sum within the clip of the records that are sound."""
    x, labels = records(2, scale=30.0)
    x[1, 2] = math.nan
    state = train(start(), 3, (x, labels), settings=TrainSettings(sampling_rate=1.0, clip=0.01))
    assert max(steps.sums) <= 0.01 * DECLARED
    assert min(steps.sums) > 0.0
    assert all(np.isfinite(array).all() for array in state.to_arrays().values())


def test_opacus_gradients_are_each_records_own() -> None:
    """Per-record gradients of GradSampleModule equal autograd's, one record at a time."""
    network = ARCHITECTURE.with_weights(train(start(), 2, records(8)).weights)
    x, labels = records(4)
    batch = noised(x, labels, BASE, 3, Keystream(KEY))
    module = GradSampleModule(network, loss_reduction="sum")
    record_losses(module, batch, NETWORK, CLASSES, CPU).sum().backward()
    per_record = [parameter.grad_sample.clone() for parameter in network.parameters()]
    module.remove_hooks()
    for record in range(4):
        network.zero_grad()
        losses = record_losses(network, batch, NETWORK, CLASSES, CPU)
        own = torch.autograd.grad(losses[record], list(network.parameters()))
        for gradient, sample in zip(own, per_record, strict=True):
            torch.testing.assert_close(sample[record], gradient, rtol=1e-4, atol=1e-6)


def test_a_step_sums_the_records_own_gradients(steps: Steps) -> None:
    """Where nothing is clipped, the sum is the gradient of the summed losses: no factor B."""
    x, labels = records(4)
    state = train(start(), 2, records(8))
    train(state, 1, (x, labels), settings=TrainSettings(sampling_rate=1.0, draws=3, clip=1e3))
    network = ARCHITECTURE.with_weights(state.weights)
    batch = noised(x, labels, BASE, 3, Keystream(KEY))
    record_losses(network, batch, NETWORK, CLASSES, CPU).sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert steps.sums[-1] == pytest.approx(length(gradients), rel=3e-5)


def test_adams_moments_are_part_of_the_state() -> None:
    """A resumed block goes on with them: without them the next step would be another one."""
    state = train(start(), 4, records(12))
    zeros = {name: np.zeros_like(value) for name, value in state.first.items()}
    assert any(value.any() for value in state.second.values())
    for lost in (replace(state, first=zeros), replace(state, second=zeros)):
        assert not equal(train(state, 1, records(12)), train(lost, 1, records(12)))


def test_training_depends_on_no_global_generator() -> None:
    """The result is the same, bit for bit, whatever torch's and numpy's global seeds are."""
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        states.append(train(start(), 3, records(10)))
    assert equal(*states)


def test_who_is_sampled_is_decided_by_the_secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inclusion bits are fresh keystream words each step, at the public rate.

    4,000 bits at .25 under each of two keys; 6 standard deviations: false alarm 4e-9.
    """
    bits: list[NDArray[np.bool_]] = []

    class Watched(Keystream):
        def bernoulli(self, count: int, rate: float) -> NDArray[np.bool_]:
            assert rate == 0.25
            bits.append(super().bernoulli(count, rate))
            return bits[-1]

    monkeypatch.setattr(training, "Keystream", Watched)
    settings = TrainSettings(sampling_rate=0.25, draws=1)
    for key in (KEY, b"e" * 32):
        train(start(), 40, records(100), settings=settings, key=key)
    drawn = np.array(bits).reshape(2, 4_000)
    spread = 6.0 * math.sqrt(4_000 * 0.25 * 0.75)
    assert (np.abs(drawn.sum(axis=1) - 1_000) < spread).all()
    agree = int((drawn[0] == drawn[1]).sum())
    assert abs(agree - 4_000 * 0.625) < spread * 1.2
    assert len({row.tobytes() for row in bits}) == 80


def test_a_block_is_a_function_of_state_and_key_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Two blocks in one process, or through a checkpoint file and another one, give equal bits."""
    data, keys = records(12), (KEY, b"e" * 32)
    straight = start()
    for key in keys:
        straight = train(straight, 4, data, key=key)
    resumed = start()
    for key in keys:
        checkpoint.save(tmp_path / "model.safetensors", resumed.to_arrays())
        arrays_read = checkpoint.load(tmp_path / "model.safetensors")
        assert arrays_read is not None
        resumed = train(TrainingState.from_arrays(arrays_read), 4, data, key=key)
    assert straight.step == resumed.step == 8
    assert equal(straight, resumed)
    assert not equal(straight, train(train(start(), 4, data, key=keys[1]), 4, data, key=keys[0]))


def test_a_checkpoint_holds_no_random_state_and_no_key() -> None:
    """Weights, averages and Adam's moments: float32 arrays and a step count, nothing else."""
    state = train(start(), 2, records(5)).to_arrays()
    assert {name.partition("/")[0] for name in state} == {
        "step", "weights", "average", "first", "second"
    }  # fmt: skip
    for name, array in state.items():
        assert KEY not in array.tobytes()
        assert array.dtype == np.float32 or name == "step"


def test_the_untrained_network_is_the_base() -> None:
    """The output layer starts at zero, the hidden one does not; both only from the key."""
    state = start()
    assert not state.weights["output.weight"].any()
    assert not state.weights["output.bias"].any()
    assert state.weights["hidden.weight"].any()
    assert equal(state, start())
    assert not equal(state, dpsgd.initial_state(ARCHITECTURE, b"e" * 32))
    network = ARCHITECTURE.with_weights(state.average)
    assert isinstance(network, ResidualNetwork)
    assert not list(network.buffers())  # batch norm, which mixes records, would have some


@functools.cache
def sources() -> dict[str, ast.Module]:
    """Syntax trees of the package, by module path."""
    root = Path(dpfedsyn.__file__).parent
    return {
        str(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(root.rglob("*.py"))
    }


def names(tree: ast.Module) -> set[str]:
    """Every name, attribute and imported module or name in a file."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.Import(names=aliases):
                found |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=module, names=aliases):
                found |= {f"{module}", *(f"{module}.{a.name}" for a in aliases)}
                found |= {alias.name for alias in aliases}
    return found


def test_only_one_subpackage_knows_opacus_and_it_never_makes_private() -> None:
    """`make_private` takes rate and divisor from the private record count."""
    knowing = {name for name, tree in sources().items() if any("opacus" in n for n in names(tree))}
    files = ("accountant", "hooks", "optimizer", "validation")
    assert knowing == {f"dpsgd/{name}.py" for name in files}
    forbidden = {"PrivacyEngine", "make_private", "make_private_with_epsilon", "DPDataLoader"}
    assert not [name for name, tree in sources().items() if names(tree) & forbidden]
