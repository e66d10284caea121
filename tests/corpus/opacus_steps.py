"""Rows about DP-SGD as Opacus runs it: its own classes, with the bug put back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from opacus import GradSampleModule
from opacus.optimizers import DPOptimizer, DPPerLayerOptimizer
from torch import nn

from accountants import Gaussian
from tests.corpus.case import Case, Trial, case
from tests.corpus.checks import Audited, Canary, Replayed
from tests.corpus.rows import Array, Rng, added

CLIP, MULTIPLIER, BATCH = 1.0, 1.0, 4
CLAIM = Gaussian(MULTIPLIER)
REPO = "https://github.com/meta-pytorch/opacus"
# Rows are two features and a target; the last one's gradient is far beyond the clip.
PAIR = added((30.0, 10.0, 100.0), ((0.2, 0.1, 0.3), (0.1, -0.2, 0.1), (0.3, 0.0, -0.2)))


def network(bias: bool = False) -> nn.Linear:
    """Return a linear network whose weights are public."""
    layer = nn.Linear(2, 1, bias=bias)
    nn.init.zeros_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def tensors(data: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features (n, 2) and targets (n, 1)."""
    rows = torch.from_numpy(data.astype(np.float32))
    return rows[:, :2].clone().requires_grad_(), rows[:, 2:]  # or hooks of Opacus would warn


def dp_sgd(kind: Any, module: nn.Module, rng: Rng | None, **changes: Any) -> Any:
    """Return an Opacus optimizer over a module's parameters."""
    generator = None
    if rng is not None:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    settings = {"noise_multiplier": MULTIPLIER, "max_grad_norm": CLIP, "expected_batch_size": BATCH}
    sgd = torch.optim.SGD(module.parameters(), lr=1.0)
    return kind(sgd, generator=generator, **settings | changes)


def released(module: nn.Module) -> tuple[torch.Tensor, ...]:
    """Return the noised gradients: what a step lets out."""
    return tuple(p.grad.detach().clone() for p in module.parameters())


# 1: the noise is that of an average, the sensitivity that of a sum


class SumForMean(DPOptimizer):
    """Calibrates the noise to clip / batch size although gradients are summed."""

    def add_noise(self) -> None:
        """Add noise of a batch-th of the right size."""
        sound = self.max_grad_norm
        self.max_grad_norm = sound / self.expected_batch_size
        super().add_noise()
        self.max_grad_norm = sound


def one_step(data: Array, rng: Rng, *, kind: Any, **changes: Any) -> Any:
    """Take one step with materialised gradients; `changes` to the optimizer's settings."""
    module = GradSampleModule(network())
    optimizer = dp_sgd(kind, module, rng, **changes)
    features, targets = tensors(data)
    (module(features) - targets).square().mean().backward()
    optimizer.pre_step()
    return released(module)


# 2: the inner optimizer calls the closure again


class PassesClosureOn(DPOptimizer):
    """Hands the closure to the inner optimizer, which computes the gradient anew."""

    def step(self, closure: Any = None) -> Any:
        """Noise the gradient, then lose it."""
        if closure is not None:
            with torch.enable_grad():
                closure()
        return self.original_optimizer.step(closure) if self.pre_step() else None


def with_closure(data: Array, rng: Rng, *, kind: Any, **changes: Any) -> Any:
    """Take one step through a closure and return the weights."""
    module = GradSampleModule(network())
    optimizer = dp_sgd(kind, module, rng, **changes)
    features, targets = tensors(data)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = (module(features) - targets).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return [p.detach().clone() for p in module.parameters()]


# 6, 28: each layer is clipped to the whole clip norm


class FlatNoise(DPPerLayerOptimizer):
    """Clips each layer to its own norm and noises as if the whole were clipped to one."""

    def __init__(self, *arguments: Any, noise_for: float, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.max_grad_norm = noise_for


def by_layer(module: nn.Module, **changes: Any) -> Any:
    """Return the optimizer with the whole clip for every layer."""
    clips = [CLIP] * len(list(module.parameters()))
    return dp_sgd(FlatNoise, module, None, max_grad_norm=clips, noise_for=CLIP, **changes)


def by_layer_shared(module: nn.Module, **changes: Any) -> Any:
    """Return the optimizer with the clip shared among layers."""
    count = len(list(module.parameters()))
    clips = [CLIP / count**0.5] * count
    return dp_sgd(DPPerLayerOptimizer, module, None, max_grad_norm=clips, **changes)


def flat(module: nn.Module, kind: Any = DPOptimizer) -> Any:
    """Return an optimizer that clips all parameters together."""
    return dp_sgd(kind, module, None)


def step_of(data: Array, rng: Rng, *, optimizer: Any, **changes: Any) -> Any:
    """Take one step of a network with a bias: two parameters, one optimizer over both."""
    module = GradSampleModule(network(bias=True))
    stepper = optimizer(module, **changes)
    features, targets = tensors(data)
    (module(features) - targets).square().mean().backward()
    stepper.pre_step()
    return released(module)


SHARED = added((1.0, 0.0, 100.0), ((0.2, 0.1, 0.3), (0.1, -0.2, 0.1)))


# 7: several evaluations of the network per record, as a diffusion model's timesteps are


def timesteps(data: Array, rng: Rng, *, draws: int = 4, as_records: bool, **changes: Any) -> Any:
    """Take one step on `draws` noised copies of each record."""
    module = GradSampleModule(network())
    optimizer = dp_sgd(DPOptimizer, module, rng, **changes)
    features, targets = tensors(data)
    copies = features[:, None] * torch.linspace(0.5, 1.0, draws)[None, :, None]
    if as_records:
        copies, goals = copies.flatten(0, 1), targets.repeat_interleave(draws, dim=0)
    else:
        goals = targets[:, None].expand(-1, draws, -1)
    (module(copies) - goals).square().mean().backward()
    optimizer.pre_step()
    return released(module)


# 8: a second step without zero_grad


class Unchecked(DPOptimizer):
    """The optimizer as it was before it refused gradients that were used already."""

    def clip_and_accumulate(self) -> None:
        """Forget that gradients were used, as no flag was kept."""
        for p in self.params:
            for sample in p.grad_sample if isinstance(p.grad_sample, list) else [p.grad_sample]:
                if hasattr(sample, "_processed"):
                    del sample._processed
            p.summed_grad = None
        super().clip_and_accumulate()


def two_steps(data: Array, rng: Rng, *, clear: bool, **changes: Any) -> Any:
    """Take a step on each of two batches; a record is in one of them."""
    module = GradSampleModule(network())
    optimizer = dp_sgd(Unchecked, module, rng, **changes)
    steps = []
    for batch in (data[1:], data[:1]):
        features, targets = tensors(batch)
        if clear:
            optimizer.zero_grad()
        (module(features) - targets).square().mean().backward()
        optimizer.pre_step()
        steps.append(released(module))
    return steps


STEP = Replayed(PAIR, mu=1.0, tolerance=1e-4)
OUTPUTS = Audited(PAIR, CLAIM, max_calls=500, slow=True)

CASES: tuple[Case, ...] = (
    case(
        1, "Sensitivity off by the batch size",
        "https://arxiv.org/abs/2202.12219",
        partial(one_step, kind=SumForMean), partial(one_step, kind=DPOptimizer),
        STEP,
        Audited(PAIR, CLAIM, max_calls=500),
        Trial(Canary(), partial(flat, kind=SumForMean), flat),
    ),
    case(
        2, "A closure recomputes the gradient after its noise",
        f"{REPO}/issues/330",
        partial(with_closure, kind=PassesClosureOn), partial(with_closure, kind=DPOptimizer),
        STEP, Audited(PAIR, CLAIM, max_calls=500),
    ),
    case(
        6, "Each layer is clipped to the whole norm",
        f"{REPO}/issues/750",
        by_layer, by_layer_shared,
        Canary(),
        Trial(
            Replayed(SHARED, mu=1.0, tolerance=1e-4),
            partial(step_of, optimizer=by_layer), partial(step_of, optimizer=by_layer_shared),
        ),
    ),
    case(
        7, "Timesteps of one record count as records",
        f"{REPO}/issues/461",
        partial(timesteps, as_records=True), partial(timesteps, as_records=False),
        STEP, OUTPUTS,
    ),
    case(
        8, "Steps without zero_grad",
        f"{REPO}/pull/203",
        partial(two_steps, clear=False), partial(two_steps, clear=True),
        STEP, Audited(PAIR, CLAIM, slow=True),
    ),
)  # fmt: skip
