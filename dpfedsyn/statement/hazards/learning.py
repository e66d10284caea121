"""Hazards 15 to 19: tuning, pretraining, and what synthetic data is taken for."""

from __future__ import annotations

from dpfedsyn.statement.hazards.answer import (
    ANSWERED,
    OPEN,
    PARTLY,
    Answer,
    Hazard,
    Told,
    claimed,
    owners_word,
)


def _tuning(told: Told) -> Answer:
    silence = (
        "Nobody has said how the settings were chosen. Tried out on these records, every try "
        "counts: say in statement.tuning what was done, and compose what it cost."
    )
    evidence = ("publication.tuning", "preprocessing.tuning_charged")
    return owners_word(told, "tuning", silence, evidence)


def _pretraining(told: Told) -> Answer:
    evidence = ("settings.pretrain_steps", "settings.base")
    brought = [silo["brought"]["words"] for silo in told["silos"] if "brought" in silo]
    if brought:
        # Where a model was trained on what is not public, its records paid for nothing here.
        return Answer(PARTLY, " ".join(brought), ("silos[].brought.words", *evidence))
    if told["settings"]["pretrain_steps"]:
        text = (
            "Networks were pretrained on synthetic records, drawn from released noised sums that "
            "the claim pays for; no model and no data from elsewhere was loaded."
        )
    else:
        text = "No pretrained model and no data from elsewhere was loaded."
    return Answer(ANSWERED, text, evidence)


def _assumed(told: Told) -> Answer:
    evidence = ("private", "void", "silos[].epsilon")
    if claimed(told):
        text = (
            "These rows are made with differential privacy under the terms above; being synthetic "
            "alone would protect nobody."
        )
        return Answer(ANSWERED, text, evidence)
    text = (
        "These rows are synthetic and NOT private: no epsilon is claimed, and the names of "
        "their files begin with NON-PRIVATE. Treat them like the records themselves."
    )
    return Answer(OPEN, text, evidence)


def _uncertainty(told: Told) -> Answer:
    evidence = ("settings.baselines", "settings.evaluated", "settings.rows", "rounds")
    text = (
        "Noise and sampling add uncertainty that the rows do not show, so intervals computed from "
        "them as if they were real are too narrow."
    )
    if not told["settings"]["evaluated"]:
        more = " No plainer baseline was compared with them: on small tables one may well win."
        return Answer(OPEN, text + more, evidence)
    trained = ", ".join(told["settings"]["baselines"])
    beside = f", with {trained} trained for it" if trained else ""
    more = (
        f" Plainer baselines stand beside them in the silos' report{beside}, also where they win: "
        "on small tables they may."
    )
    return Answer(PARTLY, text + more, evidence)


def _unstructured(told: Told) -> Answer:
    evidence = ("settings.kind", "silos[].unit")
    if told["settings"]["kind"] == "table":
        return Answer(ANSWERED, "The data are tables with a row per entry.", evidence)
    text = (
        "The data are images, and one record is one picture. Nobody here looks who is in it: "
        "somebody in several pictures is protected less, and so is everybody in one of several."
    )
    return Answer(PARTLY, text, evidence)


HAZARDS = (
    Hazard(15, "settings tuned on private data", _tuning),
    Hazard(16, "public pretraining data that is not public", _pretraining),
    Hazard(17, "synthetic data taken for private", _assumed),
    Hazard(18, "uncertainty of synthetic data, and models too deep for it", _uncertainty),
    Hazard(19, "unstructured data: whose is it?", _unstructured),
)
