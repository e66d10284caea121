"""A brought module is tried before it answers, on rows that are made here and are nobody's records.

Once it answers, every row is noised and charged, and a row that could not be predicted is sent as
zeros: nobody could see what is wrong. So it is called while it can still be refused.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dpfedsyn.brought import foreign
from dpfedsyn.brought.model import BroughtModel
from dpfedsyn.errors import ModelError

ROWS = 5


def passed(model: BroughtModel, labels: int, where: str) -> BroughtModel:
    """Return the model, whose module answered at its first and at its last step.

    Args:
        labels: how many the run has; the first and the last are among the rows. where: the file
            that describes the module, for messages.

    Raises:
        ModelError: the module fails, or returns something else than one real, finite number for
            each of the samples'.
    """
    samples, known = _samples(model), torch.arange(ROWS, device=model.device) % labels
    known[-1] = labels - 1
    for t in sorted({0, len(model.levels.shares) - 1}):
        steps = torch.full((ROWS,), t, dtype=torch.int64, device=model.device)
        asked = f"{where}: called with samples {tuple(samples.shape)} and {ROWS} steps t = {t}"
        mend = "It has to return one finite real number for each of the samples'."
        with foreign.refused(f"{asked}, its module fails", mend), torch.inference_mode():
            problem = _problem(model.call(model.module, samples, steps, known), samples)
        if problem:
            raise ModelError(f"{asked}, its module {problem}; nothing was loaded. {mend}")
    return model


def _samples(model: BroughtModel) -> Tensor:
    """Rows of a wave (ROWS, *shape): the same in every run, no two rows or columns alike."""
    shape = (ROWS, *model.coordinates.shape)
    wave = torch.arange(math.prod(shape), dtype=torch.float32).mul_(0.7).cos_()
    return wave.reshape(shape).to(model.device)


def _problem(found: object, samples: Tensor) -> str:
    if not isinstance(found, Tensor):
        return f"returns a {type(found).__name__}, no tensor"
    if found.shape != samples.shape:
        return f"returns shape {tuple(found.shape)}"
    if not found.is_floating_point():
        return f"returns {str(found.dtype).removeprefix('torch.')} numbers"
    missing = int((~torch.isfinite(found)).sum())
    return f"returns {missing} of {found.numel()} values that are not finite" if missing else ""
