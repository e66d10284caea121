"""What a claim of privacy lets an auditor's posterior be, at most.

A coin b picks one of two neighbours, the auditor sees the output x and P(b = 1 | x) is the
posterior. A claim bounds V(c) = sup E[(posterior - c)_+], and everything that an auditor can bet
on follows from V: with e^epsilon = c / (1 - c) it is the hockey-stick divergence in disguise,
E[(posterior - c)_+] = (1 - c) delta(epsilon) / 2.
"""

import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from numbers import Real
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_ndtr, ndtr

from accountants import (
    Adjacency,
    ApproximateDP,
    Composed,
    Event,
    Gaussian,
    Laplace,
    PoissonSampled,
    Repeated,
    UnsupportedEvent,
    delta,
)
from dpfedsyn.errors import AuditError

Array = NDArray[np.float64]

# Losses at which V is known: dense about 0, where most outputs of a private mechanism lie; beyond
# the last, 1 - c is below a rounding of 1.
_POINTS, _FAR, _DENSITY = 192, 30.0, 7.0
LOSSES: Array = _FAR * np.sinh(_DENSITY * np.linspace(0, 1, _POINTS)) / math.sinh(_DENSITY)
# The same as posteriors, with both ends: 0 ... 1/2 ... 1.
POSTERIORS: Array = np.concatenate(
    [[0.0], expit(-LOSSES[:0:-1]), expit(LOSSES), [1.0]], dtype=np.float64
)
_MIDDLE = _POINTS


@dataclass(frozen=True)
class GDP:
    """The claim of mu-Gaussian differential privacy (Dong, Roth & Su 2022, Definition 2.6)."""

    mu: float

    def __post_init__(self) -> None:
        if not (isinstance(self.mu, Real) and 0.0 < self.mu < 1e6):
            raise AuditError(
                f"GDP(mu={self.mu!r}) is no claim that can be tested. Pass a number in (0, 1e6); "
                "perfect privacy is tested as a very small mu."
            )
        object.__setattr__(self, "mu", float(self.mu))


Claim: TypeAlias = GDP | Event
"""What `audit` tests: `GDP(mu)`, or an event of `accountants`."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Upper ends of V(c) at `POSTERIORS` where c >= 1/2, and of V(1 - c) where c < 1/2.

    For the worse of both directions of neighbouring 1 - posterior is as spread as the posterior:
    E[(c - posterior)_+] <= V(1 - c).

    Attributes:
        one_sided: whether a mechanism that just keeps the claim need not be so in both directions
            of neighbouring, as sampling is not: less of it shows.
    """

    tails: Array
    one_sided: bool = False

    def expected(self, payoff: Array) -> Array:
        """Upper bound on E[phi(posterior)], for convex `phi`.

        Args:
            payoff: phi at `POSTERIORS`, (..., points).

        Guarantee:
            The mean of phi over the outputs of every mechanism that keeps the claim is at most
            this. phi lies below the broken line through its values, which is linear about 1/2
            (the posterior's mean) plus terms turn * (posterior - c)_+ and turn * (c - posterior)_+
            with turns >= 0, whose means V bounds.
        """
        slopes = np.diff(payoff, axis=-1) / np.diff(POSTERIORS)
        turns = np.maximum(np.diff(slopes, axis=-1), 0.0)
        bound: Array = payoff[..., _MIDDLE] + turns @ self.tails[1:-1]
        above: Array = bound * (1 + 1e-12)
        return above

    def tail(self, posterior: Array) -> Array:
        """Upper bound on V at posteriors >= 1/2: V is convex, so its chords lie above it."""
        upper: Array = np.interp(posterior, POSTERIORS, self.tails)
        return upper

    @property
    def accuracy(self) -> float:
        """Largest probability of guessing the coin: 1/2 + 2 V(1/2)."""
        return 0.5 + 2.0 * float(self.tails[_MIDDLE])

    def masses(self) -> Array:
        """A law of the posterior with this V, as masses at `POSTERIORS`: its second differences.

        Of a one-sided curve only the upper half is known; the lower half then tells as little as
        it may, and is all in one place, so that the mean is 1/2.
        """
        mirrored = 0.5 - POSTERIORS + self.tails
        slopes = np.diff(np.where(POSTERIORS < 0.5, mirrored, self.tails)) / np.diff(POSTERIORS)
        inner = np.maximum(np.diff(slopes), 0.0)
        if self.one_sided:
            return _gathered_below(inner)
        inner = (inner + inner[::-1]) / 2
        end = max(0.0, (1.0 - inner.sum()) / 2)
        masses = np.concatenate([[end], inner, [end]])
        whole: Array = masses / masses.sum()
        return whole


def _gathered_below(inner: Array) -> Array:
    """Masses above 1/2, and the rest in one place, split between the nearest two points."""
    upper = np.where(POSTERIORS > 0.5, np.concatenate([[0.0], inner, [0.0]]), 0.0)
    rest = max(1.0 - upper.sum(), 1e-300)
    place = min(max((0.5 - float(upper @ POSTERIORS)) / rest, 0.0), 0.5)
    k = min(int(np.searchsorted(POSTERIORS, place, side="right")), len(POSTERIORS) - 1)
    share = (place - POSTERIORS[k - 1]) / (POSTERIORS[k] - POSTERIORS[k - 1])
    upper[k - 1] += rest * (1.0 - share)
    upper[k] += rest * share
    masses: Array = upper / upper.sum()
    return masses


def curve_of(claim: Claim, adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE) -> Curve:
    """The curve of a claim: of the worse of both directions of neighbouring.

    Raises:
        AuditError: no claim, or one without a finite epsilon, which nothing could contradict.
        UnsupportedEvent: `accountants` knows no valid bound of the event.
    """
    if not isinstance(claim, Claim):
        raise AuditError(
            f"claim={claim!r} is no claim, so nothing can be tested. Pass GDP(mu) or an event of "
            "accountants, such as ApproximateDP(epsilon, delta)."
        )
    return _curve_of(claim, Adjacency(adjacency))


def largest_accuracy(claim: Claim, adjacency: Adjacency) -> float:
    """`Curve.accuracy` of a claim, without the rest of its curve: (1 + delta(0)) / 2."""
    if _closed_form(claim, adjacency) is not None:
        return curve_of(claim, adjacency).accuracy
    assert not isinstance(claim, GDP)
    return 0.5 + 0.5 * delta(claim, epsilon=0.0, adjacency=adjacency).upper


@lru_cache(maxsize=64)
def _curve_of(claim: Claim, adjacency: Adjacency) -> Curve:
    known = _closed_form(claim, adjacency)
    if known is not None:
        return replace(_curve(np.clip(known, 0.0, 1.0)), one_sided=not _is_symmetric(claim))
    assert not isinstance(claim, GDP)
    if delta(claim, epsilon=0.0, adjacency=adjacency).upper >= 1.0:
        raise AuditError(
            f"{claim} allows everything, so no output could contradict it and nothing can be "
            "tested. Claim an event with a finite epsilon."
        )
    return replace(_asked(claim, adjacency), one_sided=not _is_symmetric(claim))


def _is_symmetric(claim: Claim) -> bool:
    """Whether what just keeps the claim is known to be as private in both directions."""
    match claim:
        case Repeated(event, _):
            return _is_symmetric(event)
        case Composed(events):
            return all(_is_symmetric(event) for event in events)
    return isinstance(claim, (GDP, Gaussian, Laplace, ApproximateDP))


def gaussian_curve(mu: float) -> Curve:
    """The curve of mu-GDP; of perfect privacy for mu <= 0."""
    return _curve(np.clip(_gaussian(mu, LOSSES), 0.0, 1.0) if mu > 0.0 else np.zeros(_POINTS))


def _closed_form(claim: Claim, adjacency: Adjacency) -> Array | None:
    """Delta at `LOSSES` where a formula gives it."""
    match claim:
        case GDP(mu):
            return _gaussian(mu, LOSSES)
        case Gaussian(multiplier):
            return _gaussian(1.0 / multiplier, LOSSES)
        case Laplace(multiplier):
            return -np.expm1(np.minimum(LOSSES - 1.0 / multiplier, 0.0) / 2.0)
        case ApproximateDP(epsilon, least):
            # Randomised response, and with chance `least` the truth (Kairouz, Oh & Viswanath 2015).
            share = np.maximum(-np.expm1(LOSSES - epsilon), 0.0) / (1.0 + math.exp(-epsilon))
            return least + (1.0 - least) * share
        case PoissonSampled(Gaussian(multiplier), rate) if adjacency is not Adjacency.REPLACE:
            # (1 - q) P + q Q against P is the worse direction where epsilon >= 0.
            inner = np.log1p(np.expm1(LOSSES) / rate)
            return rate * _gaussian(1.0 / multiplier, inner)
    return None


def _gaussian(mu: float, losses: Array) -> Array:
    """Delta of mu-GDP (Dong, Roth & Su 2022, Corollary 2.13)."""
    profile: Array = ndtr(mu / 2 - losses / mu) - np.exp(losses + log_ndtr(-mu / 2 - losses / mu))
    return profile


def _asked(event: Event, adjacency: Adjacency) -> Curve:
    """The curve of an event by the accountant, at every fourth loss; chords in between.

    Once nothing is left to be seen, the last delta stands for all that follow: it falls.
    """
    coarse = [*range(0, _POINTS - 1, 4), _POINTS - 1]
    profile, last = [], 1.0
    for k in coarse:
        if last * expit(-LOSSES[k]) > 1e-12:
            last = delta(event, epsilon=float(LOSSES[k]), adjacency=adjacency).upper
        profile.append(last)
    posterior = expit(LOSSES)
    upper = 0.5 * expit(-LOSSES[coarse]) * np.array(profile)
    chords = np.interp(posterior, posterior[coarse], upper)
    return Curve(np.concatenate([[0.0], chords[:0:-1], chords, [0.0]]))


def _curve(profile: Array) -> Curve:
    """From delta at `LOSSES`."""
    upper = 0.5 * expit(-LOSSES) * profile
    return Curve(np.concatenate([[0.0], upper[:0:-1], upper, [0.0]]))


def scaled(claim: Claim, noise_ratio: float) -> Claim:
    """What a mechanism would keep that adds `noise_ratio` times the claimed noise.

    An (epsilon, delta) claim says nothing about noise: its epsilon is divided, as Laplace's is.
    """
    if not (math.isfinite(noise_ratio) and noise_ratio > 0.0):
        raise AuditError(f"noise_ratio = {noise_ratio}: pass a positive, finite ratio.")
    match claim:
        case GDP(mu):
            return GDP(mu / noise_ratio)
        case Gaussian(multiplier):
            return Gaussian(multiplier * noise_ratio)
        case Laplace(multiplier):
            return Laplace(multiplier * noise_ratio)
        case ApproximateDP(epsilon, delta_):
            return ApproximateDP(epsilon / noise_ratio, delta_)
        case Composed(events):
            return Composed(tuple(scaled(event, noise_ratio) for event in events))  # type: ignore[misc]
    inner = {
        field.name: scaled(getattr(claim, field.name), noise_ratio)
        for field in fields(claim)
        if field.name in ("event", "model", "answers")
    }
    if not inner:
        raise UnsupportedEvent(f"{claim} has no noise that could be scaled.")
    changed: Event = replace(claim, **inner)  # type: ignore[arg-type]
    return changed
