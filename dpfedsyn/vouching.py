"""Who answers for the records behind a model that a silo brings: what every output says of it."""

from __future__ import annotations

from dataclasses import replace

from accountants import epsilon as bound_of
from accountants.rows import Header
from dpfedsyn import signed_claim
from dpfedsyn.budget import Budget
from dpfedsyn.errors import ModelError
from dpfedsyn.report import wording
from dpfedsyn.settings import CLAIMED, Config, SiloSettings
from dpfedsyn.signed_claim import Claim

CLAIM, ANSWERS, TRAINING = "claim", "answers", "dp-sgd"
SHOWN = 1e-3  # relative: a claim that lowers epsilon by less carries nothing that is printed


def carries(config: Config, silo: SiloSettings, claim: Claim | None, budget: Budget | None) -> str:
    """Return what a silo's epsilon comes from: its claim, its answers' noise, or DP-SGD here.

    Args:
        budget: None where the plan does not fit: then what was named for it.
    """
    if silo.tunes:
        return TRAINING
    if claim is None:
        return ANSWERS
    return CLAIM if budget is None or rests_on_claim(config, budget) else ANSWERS


def rests_on_claim(config: Config, budget: Budget) -> bool:
    """Whether a budget's epsilon would be larger without what a signer claims of the model."""
    if budget.claimed is None:
        return False
    alone = replace(budget, claimed=None, record_mu=budget.answers_mu)
    delta, adjacency = config.privacy.delta, config.privacy.adjacency
    whole, without = (
        bound_of(one.record_claim(), delta=delta, adjacency=adjacency).upper
        for one in (budget, alone)
    )
    return whole < without * (1.0 - SHOWN)


def told(config: Config, silo: SiloSettings, claim: Claim | None, carried: str) -> str:
    """Say what protects the records behind a model that a silo brings.

    Args:
        carried: as `carries` returns it.
    """
    if silo.tunes:
        return (
            f"{silo.name}: its model was brought and trained further here with DP-SGD. Its first "
            f"weights are said to be public ({silo.provenance}); if they were trained on records "
            "of the silo, nothing here protects those records from them but the answers' noise."
        )
    return f"{_first(silo, claim, carried)}{_shared(config)}"


def _first(silo: SiloSettings, claim: Claim | None, carried: str) -> str:
    if claim is None:
        return (
            f"{silo.name}: this model was not trained here; only the noise on its answers protects "
            "the records that it was trained on."
        )
    said = (
        f"{silo.name}: this model was not trained here. {claim.signer!r} claims epsilon <= "
        f"{claim.epsilon:g} for it (delta {claim.delta:g}, unit {claim.unit}, {claim.adjacency}; "
        f"data: {claim.data}) and has signed that"
    )
    if carried == ANSWERS:
        return (
            f"{said}, but no epsilon here comes from it: it is the answers' own, and only the "
            "noise on the answers protects. Nobody here has checked the claim."
        )
    return (
        f"{said}; the record-level claim rests on it. Nobody here has checked it; without it only "
        "the noise on the answers protects."
    )


def _shared(config: Config) -> str:
    if len(config.silos) == 1:
        return ""
    return (
        f" A {config.privacy.unit} that is also behind another silo's model counts there too, "
        f"toward privacy.overlap = {config.privacy.overlap}; nothing here can see which are."
    )


def in_short(config: Config, silo: SiloSettings, header: Header) -> str:
    """Say the same in brackets, for beside an epsilon; empty for a model that was trained here.

    Args:
        header: of its ledger, which composes a claim or not.
    """
    if not silo.brings:
        return ""
    if silo.tunes or not _composes(header):
        return wording.behind({"training": silo.training, "carried_by": ANSWERS})
    try:
        claim = signed_claim.of_silo(config, silo)
    except ModelError:
        claim = None
    if claim is None:
        return of_ledger(header)
    return wording.behind({"training": silo.training, "claim": claim.to_dict()})


def of_ledger(header: Header) -> str:
    """Say what a ledger tells by itself: of a claim that is gone, or was edited since."""
    if not _composes(header):
        return ""
    return wording.behind({"training": CLAIMED, "carried_by": CLAIM, "claim": {}})


def _composes(header: Header) -> bool:
    return any(planned.kind == "claimed" for planned in header.planned)
