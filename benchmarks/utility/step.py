"""What a private step of the residual network costs beside a plain one.

One hidden layer of 512, 600 records with 4 draws each. CPU seconds of one process and one thread,
medians, the three kinds of step taken in turn so that a busy machine slows them alike. Drawing the
noise is listed apart: it goes with the number of parameters, not with the records.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from benchmarks.record import Row, Target
from dpfedsyn.architecture import Architecture
from dpfedsyn.base import AnalyticBase
from dpfedsyn.dpsgd import PublicRateOptimizer
from dpfedsyn.dpsgd.hooks import RecordGradients
from dpfedsyn.network import Network
from dpfedsyn.noise import Keystream
from dpfedsyn.objective import NoisedBatch, noised, record_losses
from dpfedsyn.settings import NetworkSettings

CPU = torch.device("cpu")
DIMENSION, CLASSES, RECORDS, DRAWS = 64, 10, 600, 4
SETTINGS = NetworkSettings(hidden=512)
RATIO = 2.0  # private step, noise apart, to plain forward and backward
REPEATS = 15


def target(*, smoke: bool) -> tuple[Target, list[Row]]:
    """Return whether a private step takes at most twice a plain one, and the table behind it."""
    plain, private, noise = seconds(3 if smoke else REPEATS)
    rows: list[Row] = [
        {"step": name, "CPU milliseconds": round(1e3 * value, 1), "of plain": value / plain}
        for name, value in (("plain", plain), ("private, noise apart", private), ("noise", noise))
    ]
    reason = "median CPU time of one thread; drawing the noise is listed apart"
    return Target(private / plain, RATIO, at_least=False, reason=reason), rows
