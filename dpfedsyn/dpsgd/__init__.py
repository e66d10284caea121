"""DP-SGD for the silo's network: the only part of dpfedsyn that knows Opacus."""

from dpfedsyn.dpsgd.optimizer import (
    DECLARED_SLACK,
    PublicRateOptimizer,
    clip_scales,
    clipped_points,
    gradient_lattice,
)
from dpfedsyn.dpsgd.probe import refusals
from dpfedsyn.dpsgd.training import TrainingState, initial_state, state_before, train_block
from dpfedsyn.dpsgd.validation import unsupported

__all__ = [
    "DECLARED_SLACK",
    "PublicRateOptimizer",
    "TrainingState",
    "clip_scales",
    "clipped_points",
    "gradient_lattice",
    "initial_state",
    "refusals",
    "state_before",
    "train_block",
    "unsupported",
]
