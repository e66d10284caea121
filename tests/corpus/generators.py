"""Rows about where randomness comes from, and about auditors that are wrong themselves."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.special import ndtri

from dpfedsyn.audit.binomial import upper_rate
from dpfedsyn.noise import Keystream
from tests.corpus.case import Case, case
from tests.corpus.checks import Calibrated, Foretold
from tests.corpus.rows import Array, added, clipped

# 43: noise from a generator that is seeded for the sake of repeatable training


def seeded_noise(data: Array) -> Any:
    """Add noise from torch's global generator, a Mersenne Twister."""
    total = torch.from_numpy(clipped(data).sum(axis=0))
    return total + torch.normal(0.0, 1.0, total.shape, dtype=torch.float64)


def secret_noise(data: Array) -> Any:
    """Add noise from a keystream whose key is drawn from the operating system."""
    total = clipped(data).sum(axis=0)
    return total + Keystream(secrets.token_bytes(32)).normal(total.shape)


# 42: the auditor


def mu_bound(without: Array, with_: Array, alpha: float, *, absolute: bool) -> float:
    """Return a lower bound on mu from error rates of the test "above 0": Nasr et al. (2023).

    Args:
        absolute: take the absolute value of the difference. Where nothing leaks it is negative,
            since both rates are bounded from above: the sign says that nothing was shown.
    """
    alarms, misses = np.sum(without > 0.0), np.sum(~(with_ > 0.0))  # NaN is no alarm, so a miss
    false_positive = upper_rate(int(alarms), len(without), alpha / 2)
    false_negative = upper_rate(int(misses), len(with_), alpha / 2)
    gap = float(ndtri(1.0 - false_positive) - ndtri(false_negative))
    return abs(gap) if absolute else max(0.0, gap)


CASES: tuple[Case, ...] = (
    case(
        42, "An absolute value in the auditor's bound",
        "https://github.com/google-deepmind/jax_privacy/commit/aab3e1c",
        partial(mu_bound, absolute=True), partial(mu_bound, absolute=False),
        Calibrated(),
    ),
    case(
        43, "Noise from a generator that is no secret",
        "https://github.com/fedbiomed/fedbiomed/issues/973",
        seeded_noise, secret_noise,
        Foretold(added((1.0, 1.0))[1]),
    ),
)  # fmt: skip
