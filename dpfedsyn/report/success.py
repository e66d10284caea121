"""What a claim lets an attacker achieve, in words and as a table, from a statement alone."""

import math
from decimal import ROUND_CEILING, Decimal

from dpfedsyn.report import wording
from dpfedsyn.report.tables import Table, text
from dpfedsyn.report.wording import Json

RATES = (0.001, 0.01, 0.05)  # false-positive rates that the page names
_DIGITS = 6  # of a percentage, before it is called 100 %


def percent(share: float) -> str:
    """Write an upper bound in percent, rounded up, with as many digits as keep it below 100."""
    exact = 100 * Decimal(repr(float(share)))
    for digits in range(1, _DIGITS + 1):
        rounded = exact.quantize(Decimal(1).scaleb(-digits), ROUND_CEILING)
        if rounded < 100:
            return f"{rounded:f} %"
    return "100 %"


def sentences(risk: Json, terms: wording.Terms) -> tuple[str, str]:
    """Say what a search and what a guess achieve at most.

    Args:
        risk: of a silo, as its statement holds it. terms: of its claim.
    """
    unit, rates = wording.plain(terms.unit), _found(risk)
    wrong = " / ".join(f"{100 * rate:g} %" for rate in RATES)
    right = " / ".join(percent(found) for found in rates)
    search = (
        f"An attacker who may be wrong about {wrong} of those whose data were not used finds at "
        f"most {right} of those whose data were. By chance it would be {wrong}."
    )
    guess = (
        f"Someone who thinks it as likely as not (50 %) that a {unit}'s data were used, and then "
        f"sees everything, guesses right at most {percent(risk['right_guess_from_even_odds'])} of "
        f"the time. In the worst case that someone is {percent(risk['posterior_from_even_odds'])} "
        f"sure about one {unit}; surer only with a probability of at most {terms.delta:g}."
    )
    return search, guess


def of(statement: Json) -> Table:
    """At most how many are found, per silo; silos that allow the same share a line."""
    caption = "What an attacker achieves at most"
    silos = [silo for silo in statement["silos"] if silo.get("risk")]
    if not silos:
        return Table(caption, ("silos",), ())
    alike: dict[tuple[str, ...], list[str]] = {}
    for silo in silos:
        alike.setdefault(_cells(silo["risk"]), []).append(str(silo["name"]))
    names = [str(silo["name"]) for silo in statement["silos"]]
    rows = [(wording.everybody(who, names), *cells) for cells, who in alike.items()]
    across, overlap = statement.get("across_silos") or {}, statement.get("overlap", 1)
    if overlap > 1 and across.get("risk"):
        rows.append((f"across silos (overlap {overlap})", *_cells(across["risk"])))
    rows.append(("by chance", *(f"{100 * rate:.1f} %" for rate in RATES), "50.0 %", "50.0 %"))
    head = (
        "silos", *(f"found at {100 * rate:g} % false alarms" for rate in RATES),
        "right guesses", "most certain",
    )  # fmt: skip
    note = (
        "Upper bounds over all attacks, answers at their caps. Right guesses and certainty begin "
        f"at even odds; {silos[0]['risk']['posterior_holds']}, nobody is more certain."
    )
    return Table(caption, head, text(rows), note)


def _found(risk: Json) -> list[float]:
    """The largest true-positive rates at the rates that the page names."""
    curve = {point["fpr"]: float(point["tpr"]) for point in risk["tradeoff"]}
    return [curve[rate] for rate in RATES]


def _cells(risk: Json) -> tuple[str, ...]:
    guess, certain = risk["right_guess_from_even_odds"], risk["posterior_from_even_odds"]
    return tuple(percent(share) for share in (*_found(risk), guess, certain))


def strength(epsilon: float | None) -> tuple[str, str]:
    """Return (kind of banner, words) for an epsilon that needs a warning; empty words: none does.

    The bands are those that the report warns at: above 1 and, loudly, above 10.
    """
    if epsilon is None or math.isnan(epsilon) or epsilon <= 1.0:
        return "hint", ""
    if epsilon <= 10.0:
        return "hint", (
            "Epsilon is above 1: in the worst case one output says much about one of those whose "
            "data are hidden. The success rates say how much an attack achieves."
        )
    return "alarm", (
        "Epsilon is above 10: whoever stands out among the records has hardly any protection of "
        "it. Ask why it must be so large before you sign."
    )
