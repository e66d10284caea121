"""Where the claim ends: what nobody pays for, and caveats."""

from __future__ import annotations

from collections.abc import Mapping

from dpfedsyn.plan import Plan
from dpfedsyn.released import Charged
from dpfedsyn.settings import PERSON, Config


def unprotected(plan: Plan) -> list[str]:
    """Return the quantities that the claim says nothing about."""
    config = plan.config
    sizes = ", ".join(f"{silo.name} {silo.reference_size:g}" for silo in config.silos)
    found = [
        "the schema: columns, bounds, categories, orders, constraints, labels, missing-value codes",
        f"which silos take part, their public reference sizes ({sizes}) and all settings; "
        f"{_number(config)}",
    ]
    if config.weights.labels:
        found.append("the shares of the labels, which the settings give as public")
    if config.data.test:
        found.append("the test file, which the settings call public")
    else:
        found.append(
            "the test part: it is never used for training and enters the internal evaluation "
            f"unpaid ({config.data.test_fraction:.0%} of each silo's "
            f"{config.privacy.unit}s, by keyed hash)"
        )
    found.append(
        "timing of the replies; with participation.timeout it also decides which answers are used"
    )
    return found


def caveats(plan: Plan, *, one_process: bool) -> list[str]:
    """Return what a reader has to know beside the claim.

    Args:
        one_process: whether it was all silos and the server.
    """
    config, unit = plan.config, plan.config.privacy.unit
    found = [
        "Defaults were chosen on development splits of the public hospital data in the package; "
        "on other records they are fixed beforehand and cost nothing.",
        "Test scores, distances and everything else under 'internal evaluation' are computed from "
        "real records without noise; publishing them is not covered by the claim.",
        _names(unit),
        f"A {unit}'s gradient is computed in float32 beside others: its last bits may depend on "
        "how many records are in the batch. Clipping, sums and noise are exact; the declared slack "
        "of 1e-6 for those last bits was not exceeded in tests, but does not bound them for every "
        "device.",
        _rollback(config, one_process),
        f"The claim is of this run alone; another run on the same {unit}s composes with it "
        "(`dpfedsyn plan --after`).",
        "The run folder holds every silo's key and ledger: publish the synthetic tables, not the "
        "folder.",
    ]
    found += [plan.behind(silo) for silo in config.bringing]
    if config.bringing:
        found.append(
            "Brought models may have been trained on rows of the test part: what they generate can "
            "look better in the internal evaluation than it is."
        )
    if _answers_promise_little(plan):
        found.append(
            "With this many rows and rounds the answers' noise promises next to nothing of its "
            f"own; the {unit}-level claim rests on the DP training of the models."
        )
    if config.weights.source == "counts":
        found.append("There is no silo-level claim: noisy label counts are released.")
    return found


def unheard(charges: Mapping[str, Charged]) -> list[str]:
    """Say whose spending is an upper bound, since its ledger could not be asked at the end."""
    return [
        f"{name} was last heard in round {last.round}: its charges are those of its last reply, "
        f"and {last.unheard} questions that it was sent and did not answer are counted as charged "
        "at their planned cost. Its own ledger has the exact sum; the claim, at the caps, holds."
        for name, charged in charges.items()
        if (last := charged.last_heard) is not None
    ]


def _names(unit: str) -> str:
    if unit == PERSON:
        return (
            "A person is named by the schema's person_column: the claim is about people whose rows "
            "all carry one name, in every file that they are in."
        )
    return (
        "A record is named by its line in the silo's file, or by the schema's id column: the claim "
        "is about records that keep their names."
    )


def _number(config: Config) -> str:
    unit = config.privacy.unit
    if config.privacy.adjacency == "add-or-remove":
        return (
            f"the number of {unit}s in a silo is private, and the reference size stands in its "
            "place"
        )
    return (
        f"the number of {unit}s in a silo: {config.privacy.adjacency} does not hide it, although "
        "nothing here is computed from it"
    )


def _answers_promise_little(plan: Plan) -> bool:
    """Whether some silo's answers alone claim ten times its whole epsilon, or more."""
    if plan.config.train.method != "dp-sgd":
        return False
    return any(
        plan.epsilon(b.answers_claim(b.answers_mu**2)).upper
        > 10.0 * plan.epsilon(b.record_claim()).upper
        for b in plan.budgets.values()
    )


def _rollback(config: Config, one_process: bool) -> str:
    """Say which older copies are noticed: those that leave the anchor behind."""
    if not one_process:
        return (
            "An older copy of a ledger, put back, is noticed by its anchor; where that lies, each "
            "silo decides and this statement cannot tell. One of a silo's whole folder with its "
            "anchor, or of the machine, is noticed only by an exported head."
        )
    if config.privacy.anchors:
        return (
            "An older copy of a ledger or of the run folder, put back, is noticed by its anchor; "
            "one of both, a clone of the machine for instance, only by an exported head."
        )
    return (
        "An older copy of a ledger, put back, is noticed by its anchor; one of the whole run "
        "folder, in which the anchors lie, or of the machine only by an exported head."
    )
