"""`dpfedsyn.dpsgd.probe`: what mixes records is refused, what keeps them apart passes."""

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dpfedsyn import dpsgd
from dpfedsyn.brought import BroughtModel, own_module
from dpfedsyn.brought.coordinates import Coordinates
from dpfedsyn.brought.levels import of_scheduler
from dpfedsyn.brought.model import fixed_of
from dpfedsyn.brought.tuning import Tuned, Tuning
from dpfedsyn.settings import TrainSettings
from tests.dpfedsyn import brought as made

CPU = torch.device("cpu")
SETTINGS = TrainSettings(steps=3, draws=2, sampling_rate=0.5, learning_rate=1e-2)
MIXES = "one record's values depend on the others"


def model(module: nn.Module, shape: Sequence[int] = (1, 8, 8), **changes: Any) -> BroughtModel:
    """A module as a run has it: in evaluation, without gradients, its own fixed ones noted."""
    fixed = fixed_of(module)
    module.eval().requires_grad_(False)
    call = own_module._without_labels
    levels = of_scheduler({}, "here")
    known = BroughtModel(module, call, levels, Coordinates(tuple(shape)), "", CPU, fixed=fixed)
    return replace(known, **changes)


class Between(nn.Module):
    """Two convolutions with something between them."""

    def __init__(self, between: Callable[[nn.Module, Tensor], Tensor], **more: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.a, self.b = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)
        self.between = between
        for name, layer in more.items():
            self.add_module(name, layer)

    def forward(self, samples: Tensor, steps: Tensor) -> Tensor:
        found: Tensor = self.b(self.between(self, self.a(samples)))
        return found


def buffered() -> nn.Module:
    def update(self: Any, x: Tensor) -> Tensor:
        self.mean.mul_(0.9).add_(0.1 * x.detach().mean((0, 2, 3)))
        found: Tensor = x - self.mean[None, :, None, None]
        return found

    module = Between(update)
    module.register_buffer("mean", torch.zeros(4))
    return module


def remembering() -> nn.Module:
    """Adds what the last pass was about; an attribute is no buffer."""
    kept = [torch.zeros(1)]

    def add(_: nn.Module, x: Tensor) -> Tensor:
        found = x + kept[0]
        kept[0] = x.detach().mean()
        return found

    return Between(add)


def hidden() -> nn.Module:
    """A mean over the batch times something, both of which begin at zero and do not move."""

    def product(self: Any, x: Tensor) -> Tensor:
        found: Tensor = x + self.c(x).mean(0) * self.d(x)
        return found

    module = Between(product, c=nn.Conv2d(4, 4, 1), d=nn.Conv2d(4, 4, 1))
    for parameter in (*module.c.parameters(), *module.d.parameters()):
        nn.init.zeros_(parameter)
    return module


class Crossed(nn.Module):
    """A linear layer over a batch that is turned: its rows are coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, samples: Tensor, steps: Tensor) -> Tensor:
        found: Tensor = self.layer(samples.flatten(1).T).T.reshape(samples.shape)
        return found


class Interleaved(nn.Module):
    """A linear layer that sees coordinates of all records in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, samples: Tensor, steps: Tensor) -> Tensor:
        turned = samples.permute(2, 0, 1, 3).flatten(0, 2)
        found: Tensor = self.layer(turned).reshape(8, len(samples), 1, 8).permute(1, 2, 0, 3)
        return found


def rows(_: nn.Module, x: Tensor) -> Tensor:
    return x[torch.randperm(len(x))]


BEFORE_B = r"the module \(Between\), before b \(Conv2d\): "
MIXING = {
    "centred over the batch": (lambda: Between(lambda _, x: x - x.mean(0)), BEFORE_B + MIXES),
    "a product of zeros": (hidden, BEFORE_B + MIXES),
    "batch norm as a function": (
        lambda: Between(lambda _, x: functional.batch_norm(x, None, None, training=True)),
        BEFORE_B + MIXES,
    ),
    "softmax over records": (
        lambda: Between(lambda self, x: self.s(x), s=nn.Softmax(dim=0)), r"^s \(Softmax\): " + MIXES
    ),
    "rolled": (lambda: Between(lambda _, x: x + x.roll(1, 0)), BEFORE_B + MIXES),
    "scaled by the batch's std": (lambda: Between(lambda _, x: x * x.std()), BEFORE_B + MIXES),
    "against the first row": (lambda: Between(lambda _, x: x - x[:1]), BEFORE_B + MIXES),
    "against the largest": (lambda: Between(lambda _, x: x / x.abs().max()), BEFORE_B + MIXES),
    "permuted": (lambda: Between(rows), BEFORE_B + "random numbers are drawn from torch's own"),
    "dropout as a function": (
        lambda: Between(lambda _, x: functional.dropout(x, 0.5)), BEFORE_B + "random numbers"
    ),
    "turned": (Crossed, r"layer \(Linear\): it is given 64 rows where there are 3 records"),
    "interleaved": (Interleaved, r"the module \(Interleaved\), before layer \(Linear\): " + MIXES),
    "a buffer": (buffered, "^mean: a pass changes it"),
    "an attribute": (remembering, BEFORE_B + "the same records gave other numbers"),
    "the number of rows": (lambda: Between(lambda _, x: x / len(x)), "^a.weight.*of rows"),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXING)
def test_what_mixes_records_is_refused(name: str) -> None:
    """Guarantee of dpfedsyn.dpsgd.probe.refusals: Without a reason, on the probed rows: no bit of a
    record's loss and of its gradient depends on any other; the place is told, and the mend."""
    make, words = MIXING[name]
    assert dpsgd.unsupported(make()) == []  # classes alone do not tell
    (found,) = dpsgd.refusals(model(make()))
    assert re.search(words, found), found
    assert found.endswith(".")


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Linear(64, 64)

    def forward(self, samples: Tensor, steps: Tensor) -> Tensor:
        found: Tensor = self.c(functional.silu(self.c(samples.flatten(1)))).reshape(samples.shape)
        return found


def functionally(self: Any, x: Tensor) -> Tensor:
    return torch.einsum("bchw,oc->bohw", x, self.z.weight) + self.z.bias[None, :, None, None]


def beside(self: Any, x: Tensor) -> Tensor:
    """The layer's own weights, once as a layer and once beside it."""
    return x * self.a.weight.square().mean()


def weight_norm() -> nn.Module:
    module = Between(lambda _, x: x)
    with pytest.warns(FutureWarning, match="weight_norm"):
        module.a = nn.utils.weight_norm(module.a)
    return module


def spectral_norm() -> nn.Module:
    module = Between(lambda _, x: x)
    module.a = nn.utils.spectral_norm(module.a)
    return module


def replaced() -> nn.Module:
    module = Between(lambda _, x: x)
    forward = module.a.forward
    module.a.forward = lambda x: 2 * forward(x)
    return module


class Own(nn.Conv2d):
    """A subclass may compute anything."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight - self.weight.mean(), self.bias, padding=1)


def fails(_: nn.Module, x: Tensor) -> Tensor:
    raise ValueError("no such rows")


CRASHING = {
    "a layer twice": (Twice, r"^c \(Linear\): it is used twice in a pass"),
    "a layer not used": (
        lambda: Between(lambda _, x: x, z=nn.Linear(3, 3)),
        r"^z\.weight, z\.bias: no gradient of single records",
    ),
    "weights without their layer": (
        lambda: Between(functionally, z=nn.Linear(4, 4)), r"^z\.weight, z\.bias: no gradient of"
    ),
    "weights beside their layer": (lambda: Between(beside), r"^a\.weight: a record's gradient"),
    "weight norm": (weight_norm, r"^a \(Conv2d\): its weights are computed from weight_g"),
    "spectral norm": (spectral_norm, r"^a \(Conv2d\): .*weight_orig.*remove_spectral_norm"),
    "relu_": (
        lambda: Between(lambda _, x: functional.relu_(x)),
        r"^the module \(Between\): a pass over synthetic records fails.*in place; write relu",
    ),
    "silu in place": (
        lambda: Between(lambda self, x: functional.silu(self.g(x), inplace=True),
                        g=nn.GroupNorm(2, 4)),
        "fails.*in place; write relu",
    ),
    "a subclass": (
        lambda: Between(lambda self, x: self.c(x), c=Own(4, 4, 3)),
        r"^c \(Own\): .*it is a subclass of nn\.Conv2d, which has to be used itself",
    ),
    "a forward that was replaced": (replaced, r"^a \(Conv2d\): its forward was replaced"),
    "circular padding": (
        lambda: Between(lambda self, x: self.c(x),
                        c=nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")),
        r'^c \(Conv2d\): only plain convolutions.*padding_mode="zeros"',
    ),
    "nothing to train": (
        lambda: Between(lambda _, x: x).requires_grad_(False), "nothing to train"
    ),
    "an error of its own": (lambda: Between(fails), r"\(Between\): .*ValueError: no such rows"),
    "not finite": (lambda: Between(lambda _, x: x / 0.0), "nothing can be told"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*inference tensor:UserWarning")
@pytest.mark.parametrize("name", CRASHING)
def test_what_would_fail_or_be_wrong_in_training_is_refused_by_name(name: str) -> None:
    """In words and not by a traceback, which would come after the charge."""
    make, words = CRASHING[name]
    (found,) = dpsgd.refusals(model(make()))
    assert re.search(words, found), found


class Perceptron(nn.Module):
    def __init__(self, width: int = 7) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.Sequential(
            nn.Linear(width + 1, 9), nn.ReLU(), nn.Dropout(0.3), nn.Linear(9, width)
        )

    def forward(self, samples: Tensor, steps: Tensor) -> Tensor:
        found: Tensor = self.layers(torch.cat([samples, steps[:, None] / 1000.0], dim=1))
        return found


class Attention(nn.Module):
    """Over the rows of a picture: linear layers alone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
        self.leave, self.norm = nn.Linear(8, 8), nn.GroupNorm(1, 8)

    def forward(self, samples: Tensor, steps: Tensor) -> Tensor:
        tokens = self.norm(samples[:, 0])
        scores = self.query(tokens) @ self.key(tokens).transpose(1, 2) / 8**0.5
        found: Tensor = self.leave(scores.softmax(-1) @ self.value(tokens))[:, None] + samples
        return found


def with_integers() -> nn.Module:
    module = Perceptron()
    module.kept = nn.Parameter(torch.ones(2, dtype=torch.int64), requires_grad=False)
    return module


ORDINARY: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "perceptron": (Perceptron, (7,)),
    "of one coordinate": (lambda: Perceptron(1), (1,)),
    "pictures": (made.Pictures, (1, 8, 8)),
    "attention": (Attention, (1, 8, 8)),
    "integers that are not trained": (with_integers, (7,)),
    "dropout that asks `training`": (
        lambda: Between(lambda self, x: functional.dropout(x, 0.5, self.training)),
        (1, 8, 8),
    ),
    "zero at its end": (lambda: zero_end(), (1, 8, 8)),
    "half precision": (lambda: Between(lambda _, x: x).half(), (1, 8, 8)),
}


def zero_end() -> nn.Module:
    module = made.Pictures()
    nn.init.zeros_(module.leave.weight)
    return module


@pytest.mark.parametrize("name", ORDINARY)
def test_what_keeps_records_apart_passes(name: str) -> None:
    """Whatever its layers and its weights are."""
    make, shape = ORDINARY[name]
    assert dpsgd.refusals(model(make(), shape, call=_in_its_precision)) == []


def _in_its_precision(module: nn.Module, samples: Tensor, steps: Tensor, _: Tensor) -> Tensor:
    kind = next(p.dtype for p in module.parameters() if p.is_floating_point())
    found: Tensor = module(samples.to(kind), steps.to(kind))
    return found.float()


def test_a_probe_leaves_everything_as_it_is() -> None:
    """The module's weights, buffers, mode and hooks; torch's generators; also where it refuses."""
    for make in (made.Pictures, buffered, lambda: Between(rows), lambda: Between(fails)):
        probed = model(make())
        before, stood = copy.deepcopy(probed.module.state_dict()), torch.get_rng_state()
        dpsgd.refusals(probed)
        after = probed.module.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        assert torch.equal(stood, torch.get_rng_state())
        for layer in probed.module.modules():
            assert not layer.training
            assert not layer._forward_hooks
            assert not layer._forward_pre_hooks
            assert not layer._backward_hooks
        assert not any(p.requires_grad for p in probed.module.parameters())


def test_what_is_held_fixed_is_neither_counted_nor_trained() -> None:
    """Fixed features of any class pass, keep their values, and take no part in state and size."""
    module = Perceptron()
    module.frequencies = nn.Parameter(torch.ones(3), requires_grad=False)
    module.layers[0].weight.requires_grad_(False)
    task = Tuning(model(module, (7,)))
    assert dpsgd.refusals(task.model) == []
    names = {"module.layers.0.bias", "module.layers.3.weight", "module.layers.3.bias"}
    assert task.start.keys() == names
    assert task.size == sum(value.size for value in task.start.values()) == 9 + 9 * 7 + 7
    state = dpsgd.train_block(
        dpsgd.state_before(task.start), 3, x=np.zeros((4, 7)), labels=np.zeros(4, dtype=np.int64),
        base=None, noise_multiplier=1.0, expected_batch_size=2.0, architecture=task,
        settings=SETTINGS, key=b"f" * 32, device=CPU,
    )  # fmt: skip
    assert state.weights.keys() == state.first.keys() == names
    after = task.tuned(state.weights).module
    assert isinstance(after, Perceptron)
    assert torch.equal(after.layers[0].weight, module.layers[0].weight)
    assert not torch.equal(after.layers[3].weight, module.layers[3].weight)


def test_a_brought_module_is_trained_in_evaluation() -> None:
    """Dropout, as a layer or as a function, draws from torch's generators, which no key sets."""
    module = Perceptron().train()
    for layer in Tuned(replace(model(module, (7,)), module=module.train())).module.modules():
        assert not layer.training
    task = Tuning(replace(model(module, (7,)), module=module.train()))
    tuned = task.tuned(task.start).module
    assert not any(layer.training for layer in tuned.modules())
    assert not any(p.requires_grad for p in tuned.parameters())
