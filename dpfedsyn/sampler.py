"""The server's step: privatised answers in, moved samples out. Pure functions, numpy only.

Each silo's answer gives it a Gaussian kernel N(m_i, v) (see `dpfedsyn.diffusion`). The step
combines the kernels by responsibilities, equation (9):

    w~_i = softmax_i(log w_i(y) - temperature * energy_i)

Because the silos' noise is Gaussian with a known variance, the server injects only what is missing
of v (noise absorption), which leaves a step's kernel unchanged as long as v is not exceeded and the
weights do not depend on this round's noise (`l2` do). The whole chain's law is unchanged with prior
or uniform weights, `anchored`, and `mix` with path energies; not where weights remember noise:
`blend` with path energies, and released energies, whose own noise moves them.

Silos may be missing from a round. Where weights look at this round's answers alone, they are
renormalised over those who answered. Where a row belongs to a silo (anchored) or its past speaks
for one (path energies), a missing silo keeps its share: its kernel is the one that the row's last
clean estimate implies. So E[w~] does not move under `mix`, whoever drops out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.diffusion import Kernel
from dpfedsyn.round_settings import SamplerSettings

Array = NDArray[np.float64]

# Of the kernel's own variance: where less was left to inject (but not nothing), path energies are
# taken at this width, and their responsibilities are no longer exact.
LEAST_VARIANCE = 1e-3


@dataclass(frozen=True, eq=False)
class ChainState:
    """All that the server keeps between rounds.

    Attributes:
        round_number: rounds done.
        x: (N, d) float32 samples.
        labels: (N,).
        path: (K, N) path energies F_i.
        silo: (N,) the silo that an anchored sample follows.
        clean: (N, d) the clean samples predicted in the last round (what a partial run returns).
        missed: (K,) rounds in a row for which each silo was asked and gave no answer.
        heard: (N,) variance of the noise that each row absorbed with its last answer.
    """

    round_number: int
    x: NDArray[np.float32]
    labels: NDArray[np.int64]
    path: Array
    silo: NDArray[np.int64]
    clean: NDArray[np.float32]
    missed: NDArray[np.int64]
    heard: Array


@dataclass(frozen=True, eq=False)
class RoundAnswers:
    """One round's privatised answers, silos in a fixed order.

    Attributes:
        noise: (K, N, d) noised predictions (zeros where a silo was not asked).
        energies: (K, N) released noised energies, or None.
        score_std: (K,) answer noise.
        answered: (K,) which silos answered; None: all of them.
    """

    noise: Array
    energies: Array | None
    score_std: Array
    answered: NDArray[np.bool_] | None = None

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which silos answered (K,)."""
        return np.ones(len(self.noise), dtype=bool) if self.answered is None else self.answered


@dataclass(frozen=True)
class StepInfo:
    """What a round did: mean responsibility per silo, the injected share of the variance, and how
    many samples moved on their last clean estimate, since nobody answered for them."""

    responsibilities: tuple[float, ...]
    injected: float
    unanswered: int


def start(
    rows: int, dimension: int, silos: int, labels: NDArray[np.int64], rng: np.random.Generator
) -> ChainState:
    """Return x_T ~ N(0, I): equation (10)."""
    x = rng.standard_normal((rows, dimension)).astype(np.float32)
    return ChainState(
        round_number=0,
        x=x,
        labels=labels,
        path=np.zeros((silos, rows)),
        silo=np.zeros(rows, dtype=np.int64),
        clean=np.zeros_like(x),
        missed=np.zeros(silos, dtype=np.int64),
        heard=np.zeros(rows),
    )


def keeps_shares(settings: SamplerSettings) -> bool:
    """Whether a row remembers its silo, so that a silo that is missing keeps its share of rows."""
    return settings.step == "anchored" or settings.energy == "path"


def responsibilities(
    state: ChainState, answers: RoundAnswers, prior: Array, settings: SamplerSettings
) -> Array:
    """Return w~ (K, N) for prior weights w_i(y) (K, N); columns of zeros stay zeros.

    `released`: the silos' own noised energies; `l2`: 1/2 |answer|^2 less its noise bias
    d sigma^2 / 2; `path`: accumulated path energies; `uniform`: the prior alone.
    """
    if settings.energy == "released":
        if answers.energies is None:
            raise AssertionError("released energies were not asked for")
        energy = answers.energies
    elif settings.energy == "l2":
        dimension = answers.noise.shape[2]
        bias = dimension * answers.score_std[:, None] ** 2
        energy = 0.5 * ((answers.noise**2).sum(axis=2) - bias)
    else:
        energy = state.path
    with np.errstate(divide="ignore"):
        logits = np.log(prior) - settings.temperature * energy
    return softmax(logits)


def softmax(logits: Array) -> Array:
    """Softmax over the first axis; zeros where every logit is -inf."""
    largest = logits.max(axis=0)
    shifted = np.exp(logits - np.where(np.isneginf(largest), 0.0, largest))
    totals = shifted.sum(axis=0)
    weights: Array = np.divide(shifted, totals, out=np.zeros_like(shifted), where=totals > 0.0)
    return weights


def step(
    state: ChainState,
    answers: RoundAnswers,
    kernel: Kernel,
    prior: Array,
    settings: SamplerSettings,
    rng: np.random.Generator,
) -> tuple[ChainState, StepInfo]:
    """Take one step of the chain: (state, info) = step(state, ...).

    Args:
        prior: (K, N) mixing weights of each row's label.
    """
    x = state.x.astype(np.float64)
    estimate = noise_implied(x, state.clean, kernel.signal)
    if keeps_shares(settings):
        answers = _standing_in(answers, estimate)
    else:
        prior = np.where(answers.present[:, None], prior, 0.0)
    if settings.step == "anchored":
        weights = np.zeros(prior.shape)
        weights[state.silo, np.arange(len(state.silo))] = 1.0
    else:
        weights = responsibilities(state, answers, prior, settings)
    used = _one_hot(weights, rng) if settings.step == "mix" else weights
    noise = np.einsum("kn,knd->nd", used, answers.noise)
    nobody = used.sum(axis=0) == 0.0
    noise[nobody] = estimate[nobody]
    heard = ((used * answers.score_std[:, None]) ** 2).sum(axis=0)
    injected = np.full(len(heard), kernel.variance)
    if settings.absorb:
        injected = kernel.injected(heard, state.heard)
    mean = kernel.mean(x, noise, state.clean)
    moved = mean + np.sqrt(injected)[:, None] * rng.standard_normal(x.shape)
    path = state.path
    if settings.energy == "path" and settings.step != "anchored":
        own = _own_variances(kernel, used, injected, answers, settings)
        path = _path_energies(state, answers, kernel, moved, own, injected, used)
    after = replace(
        state,
        round_number=state.round_number + 1,
        x=moved.astype(np.float32),
        path=path,
        clean=clean_estimate(x, noise, kernel.signal),
        heard=kernel.absorbed(heard),
    )
    share = float(injected.mean() / kernel.variance) if kernel.variance > 0.0 else 1.0
    unanswered = int((used[answers.present].sum(axis=0) == 0.0).sum())
    return after, StepInfo(tuple(float(w) for w in weights.mean(axis=1)), share, unanswered)


def noise_implied(x: Array, clean: NDArray[np.float32], signal: float) -> Array:
    """Return the noise (N, d) that x holds if its clean sample is `clean`; undoes `clean_estimate`.

    Before the first answer the estimate is 0, the centre of every encoding.
    """
    noise: Array = (x - math.sqrt(signal) * clean) / math.sqrt(1.0 - signal)
    return noise


def _standing_in(answers: RoundAnswers, estimate: Array) -> RoundAnswers:
    """Put the last estimate in a missing silo's place; it brings no fresh noise to be absorbed."""
    present = answers.present
    if present.all():
        return answers
    return replace(
        answers,
        noise=np.where(present[:, None, None], answers.noise, estimate),
        score_std=np.where(present, answers.score_std, 0.0),
    )


def clean_estimate(x: Array, noise: Array, signal: float) -> NDArray[np.float32]:
    """Return the clean sample that the combined answer implies (Tweedie): post-processing."""
    clean = (x - math.sqrt(1.0 - signal) * noise) / math.sqrt(signal)
    return clean.astype(np.float32)


def _one_hot(weights: Array, rng: np.random.Generator) -> Array:
    """Draw one silo per row with the given probabilities (K, N); columns of zeros draw nobody."""
    cumulative = np.cumsum(weights, axis=0)
    # Rounding may leave the last sum off 1; a point must stay below it to belong to a silo.
    points = rng.random(weights.shape[1]) * cumulative[-1]
    points = np.minimum(points, np.nextafter(cumulative[-1], 0.0))
    drawn = (points[None, :] >= cumulative).sum(axis=0)
    rows = np.flatnonzero(cumulative[-1])
    chosen = np.zeros_like(weights)
    chosen[drawn[rows], rows] = 1.0
    return chosen


def _own_variances(
    kernel: Kernel, used: Array, injected: Array, answers: RoundAnswers, settings: SamplerSettings
) -> Array:
    """Return (K, N): the variance that would have been injected had silo i moved the row.

    Silos whose noise differs leave kernels of different width behind. A blended step has one width.
    """
    if settings.step != "mix" or not settings.absorb:
        return np.broadcast_to(injected, used.shape)
    own = np.maximum(kernel.variance - (kernel.gain * answers.score_std) ** 2, 0.0)
    return np.broadcast_to(own[:, None], used.shape)


def _path_energies(
    state: ChainState,
    answers: RoundAnswers,
    kernel: Kernel,
    moved: Array,
    own: Array,
    injected: Array,
    used: Array,
) -> Array:
    """Add |x' - m_i|^2 / (2 V) for every silo: Bayes' rule along the chain.

    V is the variance that was really injected, or for `mix` what silo i's own noise would have left
    to inject (with the kernel's log width beside it); with that, and one silo drawn per step, the
    mean responsibilities never drift, whatever the answer noise. Where nothing was injected
    although the kernel has variance, the silo that moved the sample is certain.
    """
    if kernel.variance == 0.0:
        return state.path
    means = kernel.mean(state.x.astype(np.float64)[None], answers.noise, state.clean)
    variance = np.maximum(own, LEAST_VARIANCE * kernel.variance)
    gaps = ((moved[None] - means) ** 2).sum(axis=2)
    widths = 0.5 * means.shape[2] * np.log(variance)
    path = state.path + gaps / (2.0 * variance) + widths
    path = path - path.min(axis=0)
    certain = (injected == 0.0) & (used.max(axis=0) == 1.0)
    others = certain[None, :] & (used == 0.0)
    settled: Array = np.where(others, np.inf, np.where(certain[None, :], 0.0, path))
    return settled
