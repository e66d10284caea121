"""Convolution powers of tilted laws by the FFT, with its rounding and its wrap-around bounded.

A path from one input of a radix-2 or radix-4 FFT to one output runs through log2(n) additions and
as many multiplications by roots of unity, so that each output is off by at most c u log2(n) times
the sum of the inputs' sizes (Higham 2002, chapter 24, read path by path): lemma 8 of LATTICE.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accountants.cells import UNIT
from accountants.laws import Law

Array = NDArray[np.float64]

_FFT = 8.0  # c: three would do for twiddles good to an ulp; a test measures it


@dataclass(frozen=True, eq=False)
class TiltedComposition:
    """The tilted composition on a window of nodes start, start + 1, ...

    probability: (n,) of the tilted law, wrapped around, each off by at most `error`.
    log_scale: sum of the log normalisers. outside: tilted mass outside the window, at most.
    """

    start: int
    probability: Array
    error: float
    log_scale: float
    log_scale_error: float
    outside: float


@dataclass(frozen=True, eq=False)
class _Tilted:
    mass: Array
    log_norm: float


def compose(
    laws: Sequence[tuple[Law, int]], spacing: float, tilt: float, start: int, size: int,
    rates: tuple[float, float], *, up: bool,
) -> TiltedComposition:  # fmt: skip
    """All laws, each as often as its count, tilted by e^(tilt x).

    Args:
        start: first node of the window. rates: extra tilts (up, down) of the Chernoff bounds of
        what lies outside. up: whether masses are rounded up or down.
    """
    tilted = [(_tilted(law, spacing, tilt, up=up), count) for law, count in laws]
    first = start - sum(count * law.low for law, count in laws)
    ahead = behind = 0.0
    for one, count in tilted:
        losses = np.arange(one.mass.size, dtype=np.float64) * spacing
        ahead += count * _log_sum(one.mass, losses * rates[0])
        behind += count * _log_sum(one.mass, losses * -rates[1])
    outside = _chernoff(ahead, (first + size) * (spacing * rates[0]))
    outside += _chernoff(behind, -first * (spacing * rates[1]))
    if len(tilted) == 1 and tilted[0][1] == 1:  # nothing to convolve
        wrapped, error = _folded(tilted[0][0].mass, size), 0.0
    else:
        wrapped, error = _convolved(tilted, size)
    scale = math.fsum(count * one.log_norm for one, count in tilted)
    rounding = 4 * UNIT * math.fsum(count * abs(one.log_norm) for one, count in tilted)
    return TiltedComposition(
        start, np.roll(wrapped, -(first % size)), error, scale, rounding, outside
    )


def _tilted(law: Law, spacing: float, tilt: float, *, up: bool) -> _Tilted:
    """The law times e^(tilt x) over its norm, rounded outward; x without the law's offset."""
    exponent = (law.low + np.arange(law.mass.size)) * (spacing * tilt)
    with np.errstate(divide="ignore"):
        logs = np.log(law.mass)
    height = exponent + logs
    top = float(height.max())
    if top == -math.inf:
        return _Tilted(np.zeros_like(height), 0.0)
    with np.errstate(under="ignore"):
        log_norm = top + math.log(float(np.exp(height - top).sum()))
        mass = np.exp(height - log_norm)
    finite = np.where(law.mass > 0, np.abs(exponent) + np.abs(logs), 0.0)
    rounding = UNIT * (8 + 4 * finite + 2 * abs(log_norm))
    if up:
        return _Tilted(mass * (1 + rounding) + np.where(law.mass > 0, 1e-305, 0.0), log_norm)
    return _Tilted(mass * np.maximum(1 - rounding, 0.0), log_norm)


def _convolved(tilted: Sequence[tuple[_Tilted, int]], size: int) -> tuple[Array, float]:
    """(all of them convolved on a circle, bound of the error of each value)."""
    spectrum = np.ones(size // 2 + 1, dtype=np.complex128)
    error = np.zeros(size // 2 + 1)
    for one, count in tilted:
        power, off = _power(one.mass, count, size)
        error = np.abs(spectrum) * off + error * (np.abs(power) + off)
        spectrum = spectrum * power
        error = error + 8 * UNIT * np.abs(spectrum)
    mean_size = _mean(np.abs(spectrum) + error, size)
    off_by = _mean(error, size) + _FFT * UNIT * math.log2(size) * mean_size
    return np.fft.irfft(spectrum, size), 1.01 * off_by


def _power(mass: Array, count: int, size: int) -> tuple[NDArray[np.complex128], Array]:
    """(spectrum ** count, bound of its error), elementwise."""
    once = np.fft.rfft(_folded(mass, size))
    eta = _FFT * UNIT * math.log2(size) * float(mass.sum()) * (1 + 1e-12)
    length = np.abs(once)
    with np.errstate(under="ignore"):
        # |a^k - b^k| <= k |a - b| max(|a|, |b|)^(k - 1)
        error = count * eta * (length * (1 + 4 * UNIT) + eta) ** (count - 1) * (1 + 1e-9)
        power = length**count * np.exp(1j * (np.angle(once) * count))
        error = error + UNIT * (32.0 + 16.0 * count) * np.abs(power)
    return power, error


def _folded(mass: Array, size: int) -> Array:
    """On a circle of `size` nodes."""
    places = np.arange(mass.size) % size
    return np.asarray(np.bincount(places, weights=mass, minlength=size), dtype=np.float64)


def _mean(half: Array, size: int) -> float:
    """Mean over all frequencies of a spectrum given by its half."""
    return float((2 * half.sum() - half[0] - half[-1]) / size)


def _log_sum(mass: Array, exponent: Array) -> float:
    with np.errstate(divide="ignore"):
        height = exponent + np.log(mass)
    top = float(height.max())
    if top == -math.inf:
        return -math.inf
    with np.errstate(under="ignore"):
        return top + math.log(float(np.exp(height - top).sum())) + 1e-12 * (1 + abs(top))


def _chernoff(log_moment: float, exponent: float) -> float:
    """e^(log_moment - exponent), rounded up, at most 1."""
    slack = 1e-9 + 1e-12 * (abs(log_moment) + abs(exponent))
    return math.exp(min(log_moment - exponent + slack, 0.0))
