"""Hazards 1 to 8: what the parameters mean, whose data is hidden, what an audit is worth."""

from __future__ import annotations

import math

from dpfedsyn.report import wording
from dpfedsyn.settings import RECORD
from dpfedsyn.statement.hazards.answer import (
    ANSWERED,
    OPEN,
    PARTLY,
    Answer,
    Hazard,
    Told,
    largest,
    unit,
    worst,
)

SMALL, LARGE = 1.0, 10.0  # epsilon: below, few doubts; above, little protection for outliers
MOST_DELTA = 1e-5


def _epsilon(told: Told) -> Answer:
    upper, silo = largest(told), worst(told)
    if upper is None or silo["risk"] is None or told["across_silos"] is None:
        return Answer(OPEN, "No epsilon is claimed.", ("silos[].epsilon",))
    whole = told["across_silos"]["risk"]
    risk = whole or silo["risk"]
    where = "" if whole else f" In {silo['name']} alone:"
    low = risk["at_low_rate"]
    words = wording.claim({"upper": upper}, wording.terms(silo))
    models = wording.models(told["silos"])
    words += f". {models[:-1]}" if models else ""
    text = (
        f"{words}.{where} Whoever accuses one {unit(told)} in {1 / low['fpr']:,.0f} of those not "
        f"in the data finds at most {_percent(low['tpr'])} of those who are, and a guess at even "
        f"odds is right in at most {_percent(risk['right_guess_from_even_odds'])} of cases."
    )
    evidence = ("silos[].epsilon", "silos[].risk", "across_silos.risk")
    if upper <= SMALL:
        return Answer(ANSWERED, text, evidence)
    if upper <= LARGE:
        more = f" Above {SMALL:g} the curve, not the number, says what it is worth."
        return Answer(PARTLY, text + more, evidence)
    more = f" Above {LARGE:g} outliers have little protection: a board has to accept that or not."
    return Answer(OPEN, text + more, evidence)


def _percent(rate: float) -> str:
    """A rate, rounded up."""
    return f"{math.ceil(rate * 1000.0 - 1e-9) / 10.0:.1f} %"


def _delta(told: Told) -> Answer:
    delta = float(told["silos"][0]["delta"])
    over = [
        f"{silo['name']} {1.0 / silo['reference_size'] ** 2:.2g}"
        for silo in told["silos"]
        if delta > 1.0 / silo["reference_size"] ** 2
    ]
    evidence = ("silos[].delta", "silos[].delta_with_noise", "silos[].reference_size")
    if over or delta > MOST_DELTA:
        faults = [f"1 / n^2 of {', '.join(over)} by public reference size"] if over else []
        faults += [f"{MOST_DELTA:g}"] if delta > MOST_DELTA else []
        text = (
            f"delta = {delta:g} is above {' and above '.join(faults)}: a failure that exposes "
            "somebody is not excluded. Lower privacy.delta."
        )
        return Answer(OPEN, text, evidence)
    text = (
        f"delta = {delta:g} is at most 1 / n^2 of every silo's public reference size n and at most "
        f"{MOST_DELTA:g}; what drawn noise adds to it is stated."
    )
    return Answer(ANSWERED, text, evidence)


def _conversion(told: Told) -> Answer:
    text = (
        "The trade-off curve itself is stated, from the privacy-loss profile; epsilon is converted "
        "from that profile once, at the stated delta, with a certified lower bound of what "
        "accounting could still gain. Compare with claims of the same unit, adjacency and delta."
    )
    return Answer(ANSWERED, text, ("silos[].risk.tradeoff", "silos[].epsilon"))


def _unit(told: Told) -> Answer:
    whose, evidence = unit(told), ("silos[].unit",)
    if whose == RECORD:
        text = (
            "The unit is one record. Somebody with several records in a silo is protected less, by "
            "group privacy; where that happens, name the column of persons (`person_column`) and "
            "claim the unit `person`."
        )
        return Answer(PARTLY, text, evidence)
    text = f"The unit is the {whose}: all rows of a {whose} are hidden together."
    return Answer(ANSWERED, text, evidence)


def _adjacency(told: Told) -> Answer:
    adjacency = told["silos"][0]["adjacency"]
    sizes = (
        "the number of them is private too, and divisors, rates and steps are public"
        if adjacency == "add-or-remove"
        else "it does not hide how many there are, although nothing is computed from that"
    )
    text = f"Neighbours are {adjacency} of one {unit(told)}, in every mechanism alike: {sizes}."
    return Answer(ANSWERED, text, ("silos[].adjacency", "implementation.adjacency", "unprotected"))


def _overlap(told: Told) -> Answer:
    most, silos = int(told["overlap"]), len(told["silos"])
    evidence = ("overlap", "across_silos")
    if most >= silos:
        text = f"The claim across silos composes all {silos}: nobody can be in more."
        return Answer(ANSWERED, text, evidence)
    text = (
        f"The claim across silos is for people in {most} of {silos} silos at most (overlap). That "
        "is the owners' word: nothing here can see who is in two of them."
    )
    return Answer(PARTLY, text, evidence)


def _mixing(told: Told) -> Answer:
    text = (
        "What is outside the claim is listed, from the settings. Rows are made of noised answers; "
        "no step after the noise reads a record."
    )
    evidence = ("unprotected", "release.post_processing", "internal")
    if told["settings"]["evaluated"]:
        more = " Figures of the internal evaluation are unpaid: they must stay with the silos."
        return Answer(PARTLY, text + more, evidence)
    return Answer(ANSWERED, text, evidence)


def _audit(told: Told) -> Answer:
    audit, evidence = told["audit"], ("audit",)
    if audit is None:
        text = "No audit is part of this statement, and nothing here rests on one."
        return Answer(ANSWERED, text, evidence)
    heads = {silo["name"]: silo["ledger_head"] for silo in told["silos"]}
    text = f"An audit of the run found: {audit['verdict']}. "
    if audit["verdict"] == "VIOLATION":
        return Answer(OPEN, text + "The claim must not be relied on.", evidence)
    text += "An audit can refute a claim and never prove it; the proof is the accounting."
    if audit["heads"] != heads:
        return Answer(PARTLY, text + " It saw other ledger heads than these.", evidence)
    return Answer(ANSWERED, text, evidence)


HAZARDS = (
    Hazard(1, "epsilon too large to mean anything", _epsilon),
    Hazard(2, "delta too large", _delta),
    Hazard(3, "conversion between notions of privacy that loses or flatters", _conversion),
    Hazard(4, "events protected in place of people", _unit),
    Hazard(5, "neighbours confused, and sizes that leak", _adjacency),
    Hazard(6, "one person in several silos", _overlap),
    Hazard(7, "private releases mixed with others", _mixing),
    Hazard(8, "an audit taken for a proof", _audit),
)
