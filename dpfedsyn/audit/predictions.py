"""Kept replies against the model behind them: its clipped prediction, plus the noise of a key."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dpfedsyn.audit import laws
from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.findings import INCONCLUSIVE, NEW_RUN, Finding, Measured, one
from dpfedsyn.audit.models import model
from dpfedsyn.audit.queries import Query
from dpfedsyn.lattice import COARSE
from dpfedsyn.silo import Model, energies_of

STD = float(COARSE)  # of an answer's noise in spacings
SAME = 0.01  # of the noise: how far floats of another machine may move a prediction
FLOATS = 2.0**-22  # relative: what they may move it by, with a query known to a float32

LESS = "The silo's answers protect less than they were charged for."


def predicted(
    evidence: Evidence, silo: SiloEvidence, queries: list[Query]
) -> tuple[Finding, list[Measured]]:
    """Where query and model are at hand: the reply is prediction plus noise of the key."""
    check = "model behind answers"
    clear = [query for query in queries if _is_clear(evidence, query)]
    own = None if not clear else model(evidence, silo)
    if own is None:
        why = _why_not(evidence, silo, queries, clear)
        mend = "The checks of keys, bounds and charges do not need it."
        return Finding(check, silo.name, INCONCLUSIVE, why, mend=mend), []
    faults, tested, furthest = [], [], 0.0
    for query in clear:
        noise, energies = _residuals(evidence, query, own)
        kept, places = query.released, query.rows
        off = [float(np.sqrt(np.mean(np.square(noise - kept.noise[places]))))]
        p_values = laws.gaussian(noise, STD)
        if energies is not None and kept.energy_noise is not None:
            gaps = energies - kept.energy_noise[places]
            off.append(float(np.sqrt(np.mean(np.square(gaps)))))
            p_values["energies' variance"] = laws.variance(energies, STD)
            p_values["energies' law"] = laws.law(energies, STD)
        furthest = max(furthest, *(distance / STD for distance in off))
        if max(off) > SAME * STD:
            faults.append(
                f"round {kept.charge.round}: {len(places)} rows differ from the model's clipped "
                f"prediction plus the noise of their key by {max(off) / STD:.3g} of that noise"
            )
        tested.append(
            Measured(
                "noise over the model",
                silo.name,
                f"round {kept.charge.round}: reply less prediction ({noise.size} draws)",
                p_values,
                LESS,
                NEW_RUN,
                {"draws": noise.size, "query": "exact" if query.exact else "to float32"},
            )
        )
    finding = one(
        check,
        silo.name,
        faults,
        holds=f"{len(clear)} of its answers, predicted again, are the model's clipped "
        f"predictions plus the noise of their key, but for {furthest:.2g} of it.",
        consequence="The silo released something else than was charged. " + LESS,
        mend=NEW_RUN,
        numbers={"rounds": len(clear), "furthest": furthest},
    )
    return finding, tested


def _is_clear(evidence: Evidence, query: Query) -> bool:
    """Whether rounding of floats moves a prediction by far less than the noise."""
    if len(query.x) == 0:
        return False
    answer, clip = query.released.answer, evidence.config.answers.clip
    moves = (
        FLOATS * (1.0 + float(np.sqrt(np.mean(np.square(query.x))))) / math.sqrt(1.0 - query.signal)
    )
    energies = math.inf if answer.energy_std is None else answer.energy_std / clip
    return moves <= SAME * min(answer.score_std, energies)


def _why_not(
    evidence: Evidence, silo: SiloEvidence, queries: list[Query], clear: list[Query]
) -> str:
    if evidence.config.train.method != "dp-sgd" and not silo.settings.brings:
        return (
            "its models are not in its folder (they are trained again from records), so kept "
            "replies could not be compared with predictions."
        )
    if not queries:
        return "no checkpoint tells the query of a kept reply, so none could be predicted again."
    if not clear:
        return "the noise of kept replies is so small that rounding of floats would hide it."
    if silo.settings.brings:
        gone = "its model cannot be read here, or is no longer the one that the run began with."
        return f"{silo.settings.model}: {gone}"
    return f"{silo.folder}: its model is missing, so kept replies could not be predicted again."


def _residuals(
    evidence: Evidence, query: Query, own: Model
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """The reply less the clipped prediction, in spacings: (rows, d) and (rows,) or None."""
    answers, answer = evidence.config.answers, query.released.answer
    predicted = own.predict_noise(query.x, query.signal, query.labels)
    norms = np.sqrt(np.square(predicted).sum(axis=1, keepdims=True))
    clipped = predicted * np.minimum(1.0, answers.clip / np.maximum(norms, 1e-300))
    noise = answer.points[query.rows] - np.trunc(clipped / answer.spacing)
    if answer.energy_points is None or answer.energy_spacing is None:
        return noise, None
    half = 0.5 * answers.energy_bound
    centred = np.clip(energies_of(predicted[None])[0], 0.0, 2.0 * half) - half
    energies = answer.energy_points[query.rows] - np.trunc(centred / answer.energy_spacing)
    return noise, energies
