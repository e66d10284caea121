"""Tables of attacks on the synthetic tables, from attacks.json alone."""

import math
from collections.abc import Sequence

from dpfedsyn.report.tables import Table, text
from dpfedsyn.report.wording import Json


def of(results: Json) -> tuple[Table, Table]:
    """Both tables; empty where a run was not attacked."""
    return membership(results), risks(results)


def membership(results: Json) -> Table:
    """How well used records are told from held-out ones, and what the claim allows at most."""
    found: Json = results.get("attacks") or {}
    entries: Sequence[Json] = found.get("membership") or ()
    if not entries:
        return Table("Membership", ("attack",), ())
    rates = [rate["fpr"] for rate in entries[0]["rates"]]
    rows = [
        (f"{entry['pass']}: {entry['attack']}", _share(entry["auc"]), _share(entry["pairs"]),
         *(_rate(rate) for rate in entry["rates"]))
        for entry in entries
    ]  # fmt: skip
    allowed, records = found["allowed"], found["records"]
    most = (allowed["auc"], allowed["auc"], *(allowed["rates"][str(rate)] for rate in rates))
    rows.append(("the claim allows at most", *map(_upward, most)))
    head = (
        "attack",
        "AUC",
        "told apart in pairs",
        *(f"found at {100 * r:g} % false" for r in rates),
    )
    note = (
        f"Shares with 95 % intervals. {records['used']} used records against {records['control']} "
        f"held-out ones; the attacker knows {records['reference']} others. Found at r % false: "
        "used records above a score that held-out ones exceed at rate r at most. Intervals are "
        "over records, as if drawn independently, and one in twenty misses; AUC's is approximate. "
        + (f"Nothing is claimed: {allowed['void']}" if allowed["void"] else "")
    ).rstrip()
    return Table("Membership: was a record used?", head, text(rows), note)


def risks(results: Json) -> Table:
    """Singling out, linkability and inference: success on used records beyond held-out ones."""
    found: Json = (results.get("attacks") or {}).get("anonymeter") or {}
    rows = [
        (f"{entry['pass']}: {entry['attack']}", entry["of"], f"{entry['risk']:.3f}",
         _range(entry["range"]), f"{entry['hits']} of {entry['attacks']}",
         str(entry["hits_held_out"]), f"{entry['hits_guessing']:.0f}")
        for entry in found.get("entries", ())
    ]  # fmt: skip
    head = ("attack", "by, or of", "risk", "95 %", "hits, used", "held-out", "guessing")
    note = (
        "Risk: hits on used records beyond those on held-out ones, 0 none, 1 all (Giomi et al. "
        "2023). One interval in twenty misses. An attack that hits no more than guessing says "
        "nothing. Numbers count as inferred within the right twentieth of their public range."
    )
    return Table("Singling out, linkability, inference", head, text(rows), note)


def remarks(found: Json) -> list[str]:
    """Say what must not be overlooked: success beyond the claim, attacks that were not run."""
    above = [f"{e['pass']}: {e['attack']}" for e in found["membership"] if e["above_claim"]]
    told = []
    if above:
        told.append(
            f"ABOVE THE CLAIM: {', '.join(above)}. If the claim holds and records are independent "
            "that happens once in 10,000 attacks: look for a fault, in the program or in how "
            "records were divided, and release nothing."
        )
    if found["not_run"]:
        told.append(f"Not run: singling out, linkability, inference. {found['not_run']}")
    told += (found["anonymeter"] or {}).get("remarks", ())
    return told


def _share(share: Json) -> str:
    return f"{share['value']:.3f} ({_range((share['low'], share['high']))})"


def _upward(bound: float) -> str:
    """Three decimals of an upper bound, rounded up."""
    return f"{math.ceil(1000 * bound) / 1000:.3f}"


def _rate(rate: Json) -> str:
    if "needed" in rate:
        return f"needs {rate['needed']} held-out records"
    return _share(rate["found"])


def _range(ends: Sequence[float]) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}"
