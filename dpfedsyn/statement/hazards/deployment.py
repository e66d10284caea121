"""Hazards 20 to 28: budgets, trust, machines, and why the data was collected."""

from __future__ import annotations

from dpfedsyn.statement.hazards.answer import (
    ANSWERED,
    OPEN,
    PARTLY,
    Answer,
    Hazard,
    Told,
    owners_word,
    unit,
)


def _budget(told: Told) -> Answer:
    answers = sum(int(silo["charged"]["B"]["answers"]) for silo in told["silos"])
    text = (
        f"Each silo refuses beyond its own cap; {answers:,} answers were charged, each on disk "
        "before it left, and one that was asked for again came from the ledger without new noise. "
        "The ledger survives restarts, and an older copy put back counts as exhausted"
    )
    evidence = ("silos[].budget", "silos[].charged", "silos[].ledger_head")
    if not told["settings"]["one_process"]:
        more = (
            ", but for one with its anchor: where that lies each silo decides. Keep signed heads."
        )
        return Answer(PARTLY, text + more, evidence)
    if told["settings"]["anchors_elsewhere"]:
        return Answer(ANSWERED, f"{text}.", evidence)
    more = ", but for one of the whole run folder: keep signed heads, or anchors on another disk."
    return Answer(PARTLY, text + more, evidence)


def _trust(told: Told) -> Answer:
    text = (
        "Silos trust themselves alone: each claim holds against a malicious server that colludes "
        "with all other silos, and against whoever reads the rows."
    )
    settings = told["settings"]
    evidence = ("trust", "implementation.adversary", "settings.one_process")
    if settings["simulated_partition"]:
        more = " Here the silos were simulated from one file: whoever held it saw all of them."
        return Answer(PARTLY, text + more, (*evidence, "settings.simulated_partition"))
    if settings["one_process"]:
        more = (
            " Here one process was all silos and the server: whoever ran it could read every "
            "silo's records, and among the owners nothing protects them from that."
        )
        return Answer(PARTLY, text + more, evidence)
    return Answer(ANSWERED, text, evidence)


def _hardware(told: Told) -> Answer:
    text = "No secure hardware or aggregation is used, and no epsilon counts on any."
    return Answer(ANSWERED, text, ("trust.secure_aggregation",))


def _floating_point(told: Told) -> Answer:
    text = (
        "Clips, sums and noise of all mechanisms are integers on a lattice; what the drawn noise "
        "deviates from a Gaussian's is bounded and carried by delta"
    )
    evidence = ("implementation.noise_deviation", "silos[].delta_with_noise", "caveats")
    settings = told["settings"]
    if settings["method"] == "dp-sgd" and settings["network"] != "none":
        more = (
            f". DP-SGD still computes a {unit(told)}'s gradient in float32 beside others, with a "
            "declared slack of 1e-6 that was tested and not proved for every device."
        )
        return Answer(PARTLY, text + more, evidence)
    return Answer(ANSWERED, f"{text}.", evidence)


def _randomness(told: Told) -> Answer:
    evidence = ("implementation.noise", "release.seed_disclosed", "settings.noise_seeded")
    if told["settings"]["noise_seeded"]:
        text = "The noise was seeded: anybody can draw it again and subtract it. That voids it all."
        return Answer(OPEN, text, evidence)
    text = (
        "Noise and sampling bits are AES-256-CTR keystreams under keys of the operating system's "
        "entropy, one per charge; no noise seed exists, and the claim is computational through AES."
    )
    return Answer(ANSWERED, text, evidence)


def _timing(told: Told) -> Answer:
    text = "How long replies take is not hidden and is outside the claim"
    if told["settings"]["timeout"]:
        text += ", and with a limit on time it decides which answers are used"
    return Answer(PARTLY, f"{text}.", ("unprotected", "settings.timeout"))


def _side_channels(told: Told) -> Answer:
    text = (
        "Refusals and errors that leave a silo depend on public settings and on its ledger only; "
        "values that are not finite become zero, and an empty batch is a step of noise."
    )
    return Answer(ANSWERED, text, ("upstream_defects", "trust.silo"))


def _access(told: Told) -> Answer:
    text = (
        "Records, models, keys and ledgers stay in the silo's own folder, keys and ledgers "
        "readable by their owner only. Access to that machine, and its copies, are the owners' to "
        "control."
    )
    return Answer(PARTLY, text, ("trust.silo", "caveats"))


def _collection(told: Told) -> Answer:
    silence = (
        "Nobody has said why these data are kept, and for how long. Privacy of a release is no "
        "reason to collect: say it in statement.retention."
    )
    evidence = ("publication.retention", "publication.contact")
    return owners_word(told, "retention", silence, evidence)


HAZARDS = (
    Hazard(20, "a budget that runs out, or starts anew", _budget),
    Hazard(21, "the wrong trust model", _trust),
    Hazard(22, "secure hardware or computation taken for privacy", _hardware),
    Hazard(23, "floating-point noise", _floating_point),
    Hazard(24, "weak or seeded randomness", _randomness),
    Hazard(25, "timing", _timing),
    Hazard(26, "errors and special values that tell", _side_channels),
    Hazard(27, "access to the records themselves", _access),
    Hazard(28, "collecting because it is private", _collection),
)
