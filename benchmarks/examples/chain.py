"""One sampling pass of the product's server over models that answer directly, without a ledger."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpfedsyn import schedule, server, service, weights
from dpfedsyn.diffusion import signal_shares
from dpfedsyn.engine.asking import Asking
from dpfedsyn.engine.local import LocalTransport
from dpfedsyn.envelope import Spent
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.network import Denoiser
from dpfedsyn.round_settings import SamplerSettings
from dpfedsyn.rounded_gaussian import COARSE
from dpfedsyn.schedule import AnswerNoise
from dpfedsyn.server import RoundInfo
from dpfedsyn.threads import one_per_silo

LEAST = 2.0**-14  # of noise: answers travel as integers, whose spacing follows from it


@dataclass(frozen=True, eq=False)
class Samples:
    """What a pass left behind.

    Attributes:
        x: (N, d). silo: (N,) the silo that a sample follows where the step is `anchored`.
        responsibilities: (K,) means over the samples in the last round.
    """

    x: NDArray[np.float32]
    silo: NDArray[np.int64]
    responsibilities: tuple[float, ...]


def sample(
    models: Mapping[str, Denoiser],
    shares: tuple[float, ...],
    settings: SamplerSettings,
    *,
    rows: int,
    dimension: int,
    sigma: float,
) -> Samples:
    """Take a whole pass: every silo adds noise of std `sigma` to each predicted coordinate.

    Args:
        models: predict noise; the silos, in the order of `shares`.
    """
    mixture = weights.public(np.array(shares), np.ones(1))
    kernels = schedule.kernels(settings)
    noise = {name: (AnswerNoise(max(sigma, LEAST), None),) * len(kernels) for name in models}
    plan = server.Pass("shares", "shares", 0, settings, kernels, noise, math.inf, math.inf)
    state = server.begin(settings, mixture, first_round=0, rows=rows, dimension=dimension)
    rounds: list[RoundInfo] = []

    def on_round(number: int, info: RoundInfo) -> None:
        rounds.append(info)

    handlers = {
        name: service.answering(answerer(name, model, settings.seed), lambda: Spent(0.0, None))
        for name, model in models.items()
    }
    with (
        one_per_silo(),
        LocalTransport(handlers) as transport,
        tempfile.TemporaryDirectory() as folder,
    ):
        saved, engine = Path(folder) / "state.npz", Asking(transport)
        result = server.run_pass(plan, engine, mixture, state=state, saved=saved, on_round=on_round)
    assert result.refusal is None  # there is no budget to exhaust
    return Samples(result.samples, result.state.silo, rounds[-1].step.responsibilities)


def answerer(name: str, model: Denoiser, seed: int) -> Callable[[ScoreQuery], PrivateAnswer]:
    """Return a silo's `answer`: predicted noise, and the noise that the query asks for."""
    own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")

    def answer(query: ScoreQuery) -> PrivateAnswer:
        predicted = model.predict_noise(
            query.x.astype(np.float64), signal_shares()[query.t], query.labels
        )
        rng = np.random.default_rng([seed, own, query.round_number])
        spacing = max(query.score_std, LEAST) / COARSE
        noisy = predicted + query.score_std * rng.standard_normal(predicted.shape)
        return PrivateAnswer(
            silo=name,
            round_number=query.round_number,
            t=query.t,
            points=np.round(noisy / spacing).astype(np.int64),
            energy_points=None,
            clip=math.inf,  # there is none, and no energies
            energy_bound=math.inf,
            spacing=spacing,
            energy_spacing=None,
            score_std=query.score_std,
            energy_std=None,
        )

    return answer
