"""How a privacy claim is put into words: one place, so terminal and report never differ.

Only the standard library is used here: the command line imports this module for `--help`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

NO_PROTECTION_ABOVE = 1e4
_ROUNDING = Decimal("1e-9")  # relative: what floating point adds to 8 is not printed as 8.01
LARGER_CAP = (
    "Resuming asks no more of a cap that is reached. A larger cap is a new budget that composes "
    "with this one: nothing raises it but a person, who starts a new run with it."
)
READINGS = ("record", "answers", "silo")
"""Keys of what an epsilon is of: the claim for its own unit, the answers alone, a whole silo."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Terms:
    """What an epsilon is worth nothing without: delta, unit and adjacency.

    Args:
        delta: the slack of the claim, a probability.
        unit: whose data is hidden: `record`, `person` or `silo`.
        adjacency: `add-or-remove`, `replace` or `zero-out`.
    """

    delta: float
    unit: str
    adjacency: str

    def __str__(self) -> str:
        return f"delta {self.delta:g}, unit {plain(self.unit)}, {plain(self.adjacency)}"


def terms(claim: Json) -> Terms:
    """Read the terms from a statement's silo entry or from a plan."""
    return Terms(float(claim["delta"]), str(claim["unit"]), str(claim["adjacency"]))


def readings(unit: str) -> dict[str, str]:
    """Name the readings of a claim of this unit, by key."""
    return dict(zip(READINGS, (plain(unit), "answers alone", "silo"), strict=True))


def terms_of_reading(reading: str, whole: Terms) -> Terms:
    """Give the terms under which one reading of a claim holds.

    The silo level bounds any two models, so its unit is the silo under `replace`;
    the other readings keep the claim's own unit and adjacency.
    """
    return Terms(whole.delta, "silo", "replace") if reading == "silo" else whole


def plain(text: object) -> str:
    """Drop control characters, which could rewrite a terminal or break a figure."""
    return "".join(c for c in str(text) if c.isprintable() or c == "\n")


def duration(seconds: float) -> str:
    """Write a time as people do: 40 s, 12 min, 3.5 h."""
    if seconds < 100.0:
        return f"{seconds:.0f} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 6000.0 else f"{seconds / 3600.0:.1f} h"


def number(value: float | None, *, upward: bool = True) -> str:
    """Print an epsilon so that rounding never flatters it by more than one part in 1e9.

    Args:
        value: epsilon; None where there is no finite or no stated bound.
        upward: True rounds an upper bound up, False a lower bound down.
    Returns:
        `7.99`, `2.2e+07` above 1e4, `infinite`, or `none`.
    """
    if value is None or math.isnan(value):
        return "none"
    if math.isinf(value):
        return "infinite"
    exact = Decimal(repr(float(value)))
    if not exact:
        return "0"
    large = value > NO_PROTECTION_ABOVE
    quantum = Decimal("0.01")
    if large or exact < Decimal("0.1"):
        quantum = Decimal(1).scaleb(exact.adjusted() - (1 if large else 2))
    exact *= 1 - _ROUNDING if upward else 1 + _ROUNDING
    rounded = exact.quantize(quantum, ROUND_CEILING if upward else ROUND_FLOOR)
    return f"{float(rounded):.1e}" if large else f"{rounded:f}"


def upper_of(bound: Json | None) -> float | None:
    """Give a bound's upper end, or None where the reading has none."""
    return None if bound is None or bound.get("upper") is None else float(bound["upper"])


def lower_of(bound: Json | None) -> float | None:
    """Give a bound's certified lower end, or None where there is none."""
    return None if bound is None or bound.get("lower") is None else float(bound["lower"])


def protects(bound: Json | None) -> bool:
    """Tell whether an epsilon is small enough to protect anybody by itself."""
    upper = upper_of(bound)
    return upper is not None and upper <= NO_PROTECTION_ABOVE


def claim(bound: Json | None, of: Terms, reason: str | None = None) -> str:
    """Put one epsilon into words: upper bound first, then lower, delta, unit, adjacency."""
    upper, lower = upper_of(bound), lower_of(bound)
    if upper is None:
        return f"none ({plain(reason or 'no finite bound')})"
    remark = "" if protects(bound) else ", no protection of its own"
    floor = "" if not lower else f", certified at least {number(lower, upward=False)}"
    return f"epsilon <= {number(upper)}{remark} ({of}{floor})"


def behind(model: Json | None) -> str:
    """Say in brackets, for beside an epsilon, who answers for a model that a silo brought.

    Args:
        model: a statement's `brought` or a plan's `model` of a silo; None: it was trained here.

    Returns:
        "" for a model that was trained here, else words that begin with a space.
    """
    if not model:
        return ""
    claim = model.get("claim")
    carried = model.get("carried_by", "answers" if claim is None else "claim")
    if model.get("training") == "dp-sgd":
        return " (first weights brought, said to be public; not checked here)"
    if carried != "claim":
        return " (model not trained here: only the noise on its answers protects)"
    if not claim:
        return " (claimed for a model that was not trained here; not checked here)"
    signer, data = plain(claim["signer"]), plain(claim["data"])
    return f" (claimed by {signer} for a model trained on {data}; not checked here)"


def models(silos: Iterable[Json], *, key: str = "brought") -> str:
    """Say which silos brought their models, and who answers for them; nothing to say: ""."""
    said: dict[str, list[str]] = {}
    for silo in silos:
        if words := behind(silo.get(key)):
            said.setdefault(words.strip(" ()"), []).append(plain(silo["name"]))
    return " ".join(f"{', '.join(names)}: {words}." for words, names in said.items())


def drawn(claims: Iterable[Json], delta: float) -> str:
    """Say how much of delta the noise takes for being drawn, and not ideal; nothing to say: ""."""
    known = [c["delta_with_noise"] for c in claims if c.get("delta_with_noise") is not None]
    if not known:
        return ""
    return (
        f"Noise is drawn, not ideal: delta' = delta + (1 + e^epsilon) tau, at most "
        f"{max(known) - delta:.1g} above delta."
    )


def whose(unit: str) -> str:
    """Say whose data a claim of this unit hides."""
    known = {
        "record": "Every single record: one row of one silo.",
        "person": "Every person, with all their rows.",
    }
    return known.get(unit, f"Every {plain(unit)}: its whole data set, and no part of it by itself.")


def everybody(some: Sequence[str], names: Sequence[str]) -> str:
    """Name some silos of a run, or say that it is all of them."""
    return "every silo" if list(some) == list(names) else ", ".join(some)


def infinite_last(value: float | None) -> float:
    """Order upper bounds: none at all is the worst."""
    return math.inf if value is None else value


def why_line_is_flat(first: Json, last: Json, *, unit: str, private_model: bool) -> str:
    """Explain the line of a pass at the level of its unit, records or persons.

    Args:
        first, last: the worst silo's upper bounds by reading ("record", "answers"), in the first
            and in the last round.
        private_model: whether the models were trained with DP.
    """
    unit = plain(unit)
    start, end, answers = first.get("record"), last.get("record"), last.get("answers")
    if start is None or end is None:
        return f"The {unit}-level reading has no finite bound in this pass."
    flat = math.isclose(start, end, rel_tol=1e-3)
    if flat and private_model and (answers is None or answers > 10 * end):
        return (
            f"The {unit}-level line is flat. The answers are post-processing of a model that "
            "is differentially private itself, and for this many answers delta_B = 1: asking "
            f"once more costs a {unit} nothing more. The protection comes from the training "
            "noise, not from the noise on the answers."
        )
    if flat:
        return f"The {unit}-level line does not move by a thousandth over these rounds."
    return (
        f"The {unit}-level line grows: each round's answers are charged to every {unit}, "
        "and a silo refuses to answer once its cap is reached."
    )


def count(number: int) -> str:
    """Return a whole number for a message, shortened where it has more than twenty digits."""
    if abs(number) < 10**20:
        return str(number)
    return f"{number:.3e}" if abs(number) < 10**300 else "a number of more than 300 digits"
