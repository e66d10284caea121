"""The hazards of differential privacy in practice, each answered from a run's own statement.

answer      what an answer is, and what several of them read
claim       1 to 8: parameters, unit, adjacency, audits
mechanisms  9 to 14: mechanisms, schema, bias, utility
learning    15 to 19: training and synthetic data
deployment  20 to 28: queries, trust, machines, collection
"""

from __future__ import annotations

from typing import Any

from dpfedsyn.statement.hazards import claim, deployment, learning, mechanisms
from dpfedsyn.statement.hazards.answer import OPEN, Answer, Hazard, Told, claimed

AFTER = "hazards after NIST SP 800-226; numbering and wording ours"
HAZARDS = (*claim.HAZARDS, *mechanisms.HAZARDS, *learning.HAZARDS, *deployment.HAZARDS)
# What does not rest on the claim, and keeps its own answer where there is none.
UNCLAIMED = frozenset({8, 12, 13, 14, 17, 18, 25, 26, 27, 28})


def answered(told: Told) -> list[dict[str, Any]]:
    """Return every hazard with its answer, from the rest of a statement alone.

    Each has `number`, `name`, `status` ("answered"; "partly": what is left is named; "open":
    somebody has to decide or act), `answer` and `evidence`: where in the statement it is seen.

    Guarantee:
        Where nothing is claimed, no hazard that a claim would answer is called answered.
    """
    sound = claimed(told)
    found = []
    for hazard in HAZARDS:
        given = _answer(hazard, told)
        if not sound and hazard.number not in UNCLAIMED:
            given = Answer(OPEN, _nothing(told), ("private", "void"))
        found.append(
            {
                "number": hazard.number,
                "name": hazard.name,
                "status": given.status,
                "answer": given.text,
                "evidence": list(given.evidence),
            }
        )
    return found


def _answer(hazard: Hazard, told: Told) -> Answer:
    try:
        return hazard.answer(told)
    except KeyError as missing:  # an audit answers anew for a statement of an earlier version
        text = (
            f"This statement does not say {missing.args[0]!r}: an earlier version of the program "
            "wrote it. Resume the run, which writes it anew."
        )
        return Answer(OPEN, text, ("software",))


def _nothing(told: Told) -> str:
    if told["void"] is not None:
        return f"Nothing is claimed, so nothing answers it. {told['void']}"
    return (
        "Nothing is claimed, so nothing answers it: with so many draws of noise, delta cannot "
        "carry what they deviate from a Gaussian's."
    )
