"""Canaries for DP-SGD: one crafted record, in or out by coin, through real steps of training.

White box: whoever audits chooses weights, batch and the canary, and sees each step's noised
gradient (Nasr et al. 2023, arXiv 2302.07956). Every step of the real code is one call of the audit,
so that a bug shows within hundreds of steps, and no model needs to be trained.

    from dpfedsyn.audit.canaries import audit_optimizer, audit_training

    audit_optimizer(network, lambda module: DPOptimizer(...), claim=Gaussian(1.1))
    audit_training(config.train, noise_multiplier=1.1)

These need torch: import them from here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from accountants import Adjacency, Gaussian, PoissonSampled
from dpfedsyn import dpsgd
from dpfedsyn.architecture import Architecture
from dpfedsyn.audit import Audit, Claim, audit
from dpfedsyn.base import AnalyticBase
from dpfedsyn.dpsgd import TrainingState
from dpfedsyn.errors import AuditError
from dpfedsyn.settings import NetworkSettings, TrainSettings

FAR = 1e3  # clips: how long the canary's gradient is before it is clipped
MOST_CALLS = 2_000
_DISTANCE = (
    1e6  # of a crafted record from what the base expects: its gradient is thousands of clips
)
_ADAM_KEEPS = 0.1  # of a gradient, in a first moment of Adam's that was zero

Step = Callable[[bool, np.random.Generator], float]


def audit_optimizer(
    module: nn.Module,
    optimizer_of: Callable[[nn.Module], Any],
    *,
    claim: Claim,
    others: int = 0,
    adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE,
    alpha: float = 1e-6,
    max_calls: int = MOST_CALLS,
    seed: int = 0,
) -> Audit:
    """Audit steps of an Opacus optimizer: its clipping, sum, noise and division, as they run.

    In every call records' gradients are put where a backward pass would leave them
    (`grad_sample`), `optimizer.step()` is taken and `grad` is read: its inner product with the
    canary's direction is the call's score. The canary has the same share in every parameter, far
    beyond the clip, so that clipping each parameter by itself shows. One optimizer takes all the
    steps, so that noise which is used twice shows as well.

    Args:
        module: any network.
        optimizer_of: makes the optimizer that is audited over its parameters, such as Opacus's
            `DPOptimizer`; ghost clipping has no `grad_sample` to put anything in.
        claim: of one step and one record. For `PoissonSampled` the canary joins a call that has it
            with the sampling rate, as a loader would let it.
        others: records beside the canary, in every batch, whose gradients point against it: the
            neighbours that show most mistakes about the batch.

    Guarantee:
        For an optimizer that keeps the claim the verdict is a violation with probability at most
        `alpha`: coins and samples are the auditor's own, and a step's score is a function of its
        noised gradient alone.

    Raises:
        AuditError: the module has nothing to train, or neighbours cannot be made.
    """
    parameters: list[Any] = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise AuditError(
            "the module has no parameter that is trained, so its steps say nothing. Pass the "
            "network whose parameters the optimizer has."
        )
    rate = claim.sampling_rate if isinstance(claim, PoissonSampled) else 1.0
    optimizer, share = optimizer_of(module), 1.0 / math.sqrt(len(parameters))
    length = FAR * float(np.max(optimizer.max_grad_norm)) * share

    def step(joined: bool, rng: np.random.Generator) -> float:
        present = int(joined and rng.random() < rate)
        optimizer.zero_grad()
        for p in parameters:
            p.grad_sample = torch.zeros((others + present, *p.shape), device=p.device)
            entries = p.grad_sample.view(others + present, p.numel())[:, 0]
            entries[:others], entries[others:] = -length, length
        optimizer.step()
        return share * sum(float(p.grad.reshape(-1)[0]) for p in parameters)

    return _audited(step, claim, others, adjacency, alpha, max_calls, seed)


def audit_training(
    settings: TrainSettings,
    *,
    noise_multiplier: float,
    claim: Claim | None = None,
    others: int = 0,
    alpha: float = 1e-6,
    max_calls: int = MOST_CALLS,
    seed: int = 0,
) -> Audit:
    """Audit steps of this package's own DP-SGD, from records to the noised gradient.

    In every call `dpsgd.train_block` takes one step under a fresh key: Poisson sampling, (t, noise)
    draws, backward pass, clipping, sum, noise and division are the ones of training. The weights
    are the auditor's: a hidden layer that is constant, so that the canary, a record 1e6 from the
    base, has one gradient whatever its draws are. The score is the noised gradient's inner product
    with that direction, read from Adam's first moment, in units of the clip.

    Args:
        settings: of training; sampling rate, clip and draws are the ones audited.
        noise_multiplier: of a step.
        claim: of a step; None: that of the accounting, `PoissonSampled(Gaussian(noise_multiplier),
            settings.sampling_rate)`.
        others: records beside the canary that point against it, sampled like it.

    Guarantee:
        Where a step keeps its claim the verdict is a violation with probability at most `alpha`.

    Raises:
        AuditError: neighbours cannot be made. MechanismError: training refuses the noise.
    """
    if claim is None:
        claim = PoissonSampled(Gaussian(noise_multiplier), settings.sampling_rate)
    architecture = Architecture(NetworkSettings(hidden=4), 2, 1)
    base = AnalyticBase(np.zeros((1, 2)), np.ones(2), np.eye(2))
    state, direction = _constant_inside(architecture)
    batch = settings.sampling_rate * max(others, 1)  # public: any number, the same for both

    def step(joined: bool, rng: np.random.Generator) -> float:
        x = np.zeros((others + joined, 2))
        x[:others, 0], x[others:, 0] = -_DISTANCE, _DISTANCE
        after = dpsgd.train_block(
            state,
            1,
            x=x,
            labels=np.zeros(len(x), dtype=np.int64),
            base=base,
            noise_multiplier=noise_multiplier,
            expected_batch_size=batch,
            architecture=architecture,
            settings=settings,
            key=rng.bytes(32),
            device=torch.device("cpu"),
        )
        moved = sum(float(np.vdot(direction[name], after.first[name])) for name in direction)
        return moved / _ADAM_KEEPS * batch / settings.clip

    return _audited(step, claim, others, Adjacency.ADD_OR_REMOVE, alpha, max_calls, seed)


def _audited(
    step: Step,
    claim: Claim,
    others: int,
    adjacency: Adjacency | str,
    alpha: float,
    max_calls: int,
    seed: int,
) -> Audit:
    if isinstance(others, bool) or not isinstance(others, int) or others < 0:
        raise AuditError(
            f"others = {others!r}: beside the canary there are 0 records or more, in both of the "
            "neighbours. Give a whole number."
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _require_a_step(step, seed)
        return audit(
            step,
            (False, True),
            claim=claim,
            alpha=alpha,
            max_calls=max_calls,
            seed=seed,
            adjacency=adjacency,
        )


def _require_a_step(step: Step, seed: int) -> None:
    """Let an error through that comes with either neighbour: no audit could tell them apart by it.

    One that comes with a single neighbour is left to the audit, as a finding.
    """
    try:
        step(True, np.random.default_rng(seed))
    except Exception:
        step(False, np.random.default_rng(seed))


def _constant_inside(
    architecture: Architecture,
) -> tuple[TrainingState, dict[str, NDArray[np.float64]]]:
    """Return a state whose hidden layer is constant, and the canary's direction, of length 1.

    A record's gradient is then (what its output lacks) (hidden, 1)^T: for a record far out along
    the first coordinate, the same for every t and noise but for its length. What the output lacks
    is positive there, so that the loss falls along -direction.
    """
    drawn = dpsgd.initial_state(architecture, bytes(32)).weights
    zeros = {name: np.zeros_like(values) for name, values in drawn.items()}
    weights = zeros | {"hidden.bias": np.ones_like(zeros["hidden.bias"])}
    hidden = torch.nn.functional.silu(torch.ones(len(weights["hidden.bias"]))).double().numpy()
    row = np.zeros(zeros["output.weight"].shape)
    bias = np.zeros(zeros["output.bias"].shape)
    length = math.sqrt(float(hidden @ hidden) + 1.0)
    row[0], bias[0] = -hidden / length, -1.0 / length
    state = TrainingState(1, weights, weights, zeros, zeros)  # 1: Adam's moments are there, zero
    return state, {"output.weight": row, "output.bias": bias}
