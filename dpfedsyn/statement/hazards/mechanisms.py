"""Hazards 9 to 14: mechanisms, public schema, bias, and utility that is measured."""

from __future__ import annotations

from dpfedsyn.statement.hazards.answer import ANSWERED, OPEN, PARTLY, Answer, Hazard, Told, unit


def _own_code(told: Told) -> Answer:
    text = (
        "One noise primitive, whose law is proved and tested, serves every mechanism, and the "
        "accountant is compared with dp-accounting in tests. Both are this project's own code: "
        "have them reviewed as such."
    )
    return Answer(PARTLY, text, ("implementation.noise", "implementation.accountant", "software"))


def _sensitivity(told: Told) -> Answer:
    text = (
        "Clipping bounds, norms and sensitivities are settings or follow from the public schema, "
        "never from the data's own smallest or largest values; clipping is checked in integers."
    )
    return Answer(ANSWERED, text, ("settings.schema", "implementation.training"))


def _domains(told: Told) -> Answer:
    text = (
        "Columns, bounds, categories and labels are in a public schema, which people fill in; a "
        "draft is refused. What the schema does not know is clipped, left out or an error, record "
        "by record, and never makes a column or category."
    )
    return Answer(ANSWERED, text, ("settings.schema", "settings.labels", "unprotected"))


def _groups(told: Told) -> Answer:
    settings, evidence = told["settings"], ("settings.groups", "settings.evaluated")
    groups = ", ".join(settings["groups"])
    if not settings["evaluated"] or not groups:
        text = (
            "Nobody has looked: no utility by group was measured. Small groups lose most to noise; "
            "name their columns in evaluate.groups before these rows are used on them."
        )
        return Answer(OPEN, text, evidence)
    text = (
        f"The settings ask for utility by {groups}, measured inside, and small groups are flagged "
        "in the silos' report. That they lose more is seen there, not repaired."
    )
    return Answer(PARTLY, text, evidence)


def _bias(told: Told) -> Answer:
    counts = told["settings"]["weights"] == "counts"
    shares = (
        ", and noisy counts that do not rise out of their noise count as none" if counts else ""
    )
    text = (
        f"Rows are clipped to the schema's bounds and rounded to its digits{shares}: that biases "
        f"what is computed from the rows, most where few {unit(told)}s are. The noised values "
        "themselves are not published."
    )
    return Answer(PARTLY, text, ("release.post_processing", "settings.weights"))


def _utility(told: Told) -> Answer:
    evidence = ("internal", "settings.evaluated", "caveats")
    if not told["settings"]["evaluated"]:
        text = "No utility was measured on real records."
        return Answer(ANSWERED, text, evidence)
    text = (
        "The settings ask for utility on real records, measured without noise. It is marked "
        "internal, stands in no file of the release and must not be published."
    )
    return Answer(PARTLY, text, evidence)


HAZARDS = (
    Hazard(9, "home-made mechanisms", _own_code),
    Hazard(10, "sensitivity or clipping bounds taken from the data", _sensitivity),
    Hazard(11, "bins, categories or labels taken from the data", _domains),
    Hazard(12, "small groups that lose most", _groups),
    Hazard(13, "bias by post-processing and rounding", _bias),
    Hazard(14, "utility monitoring that leaks", _utility),
)
