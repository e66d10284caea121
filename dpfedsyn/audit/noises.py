"""Noise audit: a silo's owner takes the kept replies apart and tests the noise that is in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from accountants.rows import ANSWER
from dpfedsyn.audit import costs, laws
from dpfedsyn.audit.evidence import Evidence, SiloEvidence
from dpfedsyn.audit.findings import INCONCLUSIVE, NEW_RUN, WHOLE_RUN, Finding, Measured, one
from dpfedsyn.audit.kept import KeptAnswer, released, summed
from dpfedsyn.audit.predictions import LESS, STD, predicted
from dpfedsyn.audit.queries import found_again

Points = NDArray[np.int64]

SLACK = 1e-12  # of a bound that was divided by a spacing
PAIRS = 1000  # of answers whose noise is compared


def findings(evidence: Evidence) -> tuple[list[Finding], list[Measured]]:
    """Return what follows without chance, and the p-values that are still to be judged.

    Guarantee:
        Of every kept answer, what is left once the noise of its key is subtracted has to lie within
        the clipping bound and be uncorrelated with that noise; where the query and the model are at
        hand it has to be the model's clipped prediction. What could not be looked at is a finding.
    """
    kept = {name: released(silo) for name, silo in evidence.silos.items()}
    found: list[Finding | None] = []
    tested: list[Measured] = []
    for name, silo in evidence.silos.items():
        found += [_bounds(evidence, silo, kept[name]), _counts(evidence, silo)]
        tested += _of_keys(silo, kept[name])
    tested += _between(kept)
    queries = found_again(evidence, kept)
    for name, silo in evidence.silos.items():
        own = [query for query in queries if query.silo == name]
        exact, chance = predicted(evidence, silo, own)
        found.append(exact)
        tested += chance
    return [finding for finding in found if finding is not None], tested


def _bounds(evidence: Evidence, silo: SiloEvidence, kept: list[KeptAnswer]) -> Finding | None:
    """What is left of a reply lies within the bounds, row by row, in integers."""
    config, faults = evidence.config, []
    if not silo.of(ANSWER):
        return Finding("bounds", silo.name, INCONCLUSIVE, "it has answered nothing yet.")
    if not kept:
        return Finding("bounds", silo.name, INCONCLUSIVE, "no reply is kept.")
    for each in kept:
        limit = (config.answers.clip / each.answer.spacing) ** 2 * (1.0 + SLACK)
        squares = np.square(each.rest.astype(np.float64)).sum(axis=1)
        outside = int((squares > limit).sum())
        if outside:
            faults.append(
                f"round {each.charge.round}: {outside} of {len(squares)} rows, less the noise of "
                f"their key, are longer than the clip norm {config.answers.clip:g}, by a factor "
                f"of up to {(squares.max() / limit) ** 0.5:.3g}"
            )
        if each.energy_rest is not None and each.answer.energy_spacing is not None:
            most = 0.5 * config.answers.energy_bound / each.answer.energy_spacing * (1.0 + SLACK)
            outside = int((np.abs(each.energy_rest) > most).sum())
            if outside:
                faults.append(f"round {each.charge.round}: {outside} energies are out of bounds")
    rows = sum(len(each.answer.points) for each in kept)
    return one(
        "bounds",
        silo.name,
        faults,
        holds=f"{rows} rows of {len(kept)} kept replies, less their noise, lie within the bounds.",
        consequence="They are not the clipped predictions plus the noise of their charge. " + LESS,
        mend=NEW_RUN,
        numbers={"replies": len(kept), "rows": rows},
    )


def _counts(evidence: Evidence, silo: SiloEvidence) -> Finding | None:
    """Released counts, less their noise, are whole records, or whole persons together."""
    counts, noun = summed(silo, "counts"), f"{evidence.config.privacy.unit}s"
    if counts is None:
        return None
    whole = int(1.0 / counts.spacing)  # points of one unit; exact, since spacing <= 2^-20
    whole -= whole * counts.spacing > 1.0
    faults = []
    if (counts.rest < 0).any() or not _whole(counts.rest, whole, noun == "records"):
        faults = [f"counts, less the noise of their charge, are no whole {noun}"]
    return one(
        "counts",
        silo.name,
        faults,
        holds=f"counts, less the noise of their charge, are whole {noun}.",
        consequence="Their noise is not the one that was charged.",
        mend=NEW_RUN,
    )


def _whole(counts: Points, unit: int, each: bool) -> bool:
    """Whether each count is of whole units, or their sum, where a unit is shared out over labels.

    A share is cut to a whole number of points, so a sum may lack one point a unit and label.
    """
    if each:
        return bool((counts % unit == 0).all())
    total = int(counts.sum())
    units = -(-total // unit)
    return units * unit - total <= units * (len(counts) - 1)


def _of_keys(silo: SiloEvidence, kept: list[KeptAnswer]) -> Iterator[Measured]:
    """The law of the noise that a silo's keys give, and its independence of what it hides."""
    if kept:
        drawn = np.concatenate([each.noise for each in kept]).astype(np.float64)
        energies = [e.energy_noise for e in kept if e.energy_noise is not None]
        p_values = laws.gaussian(drawn, STD)
        if energies:
            flat = np.concatenate(energies).astype(np.float64)
            p_values["energies' variance"] = laws.variance(flat, STD)
            p_values["energies' law"] = laws.law(flat, STD)
        p_values["repeats"], windows = laws.repeats([each.noise for each in kept], STD)
        yield Measured(
            "noise of keys",
            silo.name,
            f"noise of {len(kept)} kept answers ({drawn.size} draws)",
            p_values,
            LESS,
            NEW_RUN,
            {"draws": drawn.size, "windows": windows},
        )
        p_values = {}
        for each in kept:
            where = f"round {each.charge.round} (row {each.charge.seq})"
            p_values[where] = laws.inner(_float(each.noise), _float(each.rest), STD)
            if each.energy_noise is not None and each.energy_rest is not None:
                own = laws.inner(_float(each.energy_noise), _float(each.energy_rest), STD)
                p_values[f"{where}, energies"] = own
        yield Measured(
            "noise in replies",
            silo.name,
            "what is left of a reply, against the noise that was subtracted from it,",
            p_values,
            "The reply holds another amount of noise than its charge. " + LESS,
            NEW_RUN,
        )
    for kind in ("marginals", *costs.BASE):
        sums = summed(silo, kind)
        if sums is not None:
            flat = _float(sums.noise)
            yield Measured(
                f"noise of {kind}",
                silo.name,
                f"noise of {kind} ({flat.size} draws)",
                {
                    "mean": laws.inner(flat, np.ones(flat.size), sums.std),
                    "variance": laws.variance(flat, sums.std),
                    "what it hides": laws.inner(flat, _float(sums.rest), sums.std),
                },
                "Training saw less noise than was charged.",
                NEW_RUN,
            )


def _between(kept: Mapping[str, list[KeptAnswer]]) -> Iterator[Measured]:
    """Noise of different answers, of one silo or of two, has nothing in common."""
    answers = [(name, each) for name, own in kept.items() for each in own]
    pairs = list(itertools.islice(itertools.combinations(answers, 2), PAIRS))
    if not pairs:
        return
    p_values = {}
    for (first, one_answer), (second, other) in pairs:
        rows = min(len(one_answer.noise), len(other.noise))
        name = f"{first} row {one_answer.charge.seq}, {second} row {other.charge.seq}"
        p_values[name] = laws.inner(
            _float(one_answer.noise[:rows]), _float(other.noise[:rows]), STD
        )
    p_values["repeats"], windows = laws.repeats([each.noise for _, each in answers], STD)
    yield Measured(
        "noise between answers",
        WHOLE_RUN,
        f"noise of {len(answers)} answers of {len(kept)} silos, in {len(pairs)} pairs,",
        p_values,
        "Shared noise cancels: the difference of two answers shows what both should hide.",
        NEW_RUN,
        {"windows": windows},
    )


def _float(points: Points) -> NDArray[np.float64]:
    return points.astype(np.float64).ravel()
