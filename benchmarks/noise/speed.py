"""Draws per second of one processor: ours, on both lattices, and OpenDP's exact Gaussian."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median

from dpfedsyn.lattice import coarse, fine
from dpfedsyn.noise import Keystream

FINE = 1127  # fine cells in a coarse one: noise of 1.1 times a bound

Draw = Callable[[int], object]


def ours() -> dict[str, Draw]:
    """Return what is measured of this package, by name."""
    stream = Keystream(os.urandom(32))
    return {
        "coarse lattice (answers)": lambda count: coarse(stream, count),
        "fine lattice (counts, moments, DP-SGD)": lambda count: fine(stream, count, FINE),
        "float64 inverse CDF": lambda count: stream.normal((count,)),
        "the keystream's words alone": lambda count: stream.words(count),
    }


def opendp() -> Draw | None:
    """Return OpenDP's vector Gaussian over floats, sigma 1; None where it is not installed."""
    if find_spec("opendp") is None:
        return None
    import opendp.prelude as dp

    dp.enable_features("contrib")
    domain = dp.vector_domain(dp.atom_domain(T=float, nan=False))
    mechanism = dp.m.make_gaussian(domain, dp.l2_distance(T=float), scale=1.0)
    return lambda count: mechanism([0.0] * count)


def per_second(draw: Draw, count: int, times: int) -> float:
    """Return draws per processor second of this thread: the median of several calls."""
    draw(min(count, 1000))  # builds tables, warms caches
    took = []
    for _ in range(times):
        began = time.thread_time()
        draw(count)
        took.append(time.thread_time() - began)
    return count / median(took)
