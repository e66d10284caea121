"""Tables of what a federation did and of what was measured beside utility."""

from collections.abc import Mapping, Sequence

from dpfedsyn.report import wording
from dpfedsyn.report.tables import WOULD_BE, Table, score, text
from dpfedsyn.report.wording import Json

TOO_SMALL, BELOW = "too small to say", "below average"


def shares(federation: Json, passes: Mapping[str, Sequence[Json]]) -> Table:
    """Each silo's share of the mixture: as asked for, and as the samples were moved in the end."""
    ended = {n: r[-1]["responsibilities"] for n, r in passes.items() if "responsibilities" in r[-1]}
    rows = [
        (name, score(asked), *(score(ended[p][k]) for p in ended))
        for k, (name, asked) in enumerate((federation.get("shares") or {}).items())
    ]
    note = "Last columns: mean responsibility of the silo in the last round of a pass."
    return Table("Shares of the silos", ("silo", "asked for", *ended), text(rows), note)


def participation(federation: Json) -> Table:
    """How often each silo was asked in a pass, and how often it answered in time."""
    rows = [
        (f"{name}: {silo}", *(str(counts[key]) for key in ("rounds", "asked", "answered")),
         str(counts["asked"] - counts["answered"]))
        for name, silos in (federation.get("participation") or {}).items()
        for silo, counts in silos.items()
    ]  # fmt: skip
    head = ("pass", "rounds", "asked", "answered in time", "missed")
    moved = [
        f"{name}: {counts['unanswered']} of {counts['row_steps']} steps of a row were taken on its "
        f"last clean estimate, since its silo did not answer; {counts['handed_over']} rows went to "
        "other silos, since theirs had left."
        for name, counts in (federation.get("moved") or {}).items()
        if counts["unanswered"] or counts["handed_over"]
    ]
    note = " ".join(
        [f"A round needs {score(federation.get('quorum'))} of all silos (quorum).", *moved]
    )
    return Table("Rounds of each silo", head, text(rows), note)


def traffic(federation: Json) -> Table:
    """Bytes that each silo sent, and the uploads of its network that would have been as many."""
    rows = [
        (f"{name}: {silo}", *(str(sent[key]) for key in ("rounds", "rows", "answers", "upload")),
         score(sent["ratio"]))
        for name, silos in (federation.get("traffic") or {}).items()
        for silo, sent in silos.items()
    ]  # fmt: skip
    head = ("pass", "rounds", "rows", "bytes sent", "bytes of one upload", "ratio")
    note = (
        "Payload of the answers that were used, against one upload of the same network's "
        "parameters, as one round of federated averaging sends it; below 1 the answers of the "
        "whole pass are smaller."
    )
    return Table("Bytes sent by each silo", head, text(rows), note)


def claims(results: Json) -> Table:
    """What each private baseline would promise; silos of one epsilon share a line."""
    rows = []
    for name, claim in (results.get("claims") or {}).items():
        alike: dict[str, list[str]] = {}
        for silo, upper in claim["epsilon"].items():
            alike.setdefault(wording.number(upper), []).append(silo)
        terms = wording.terms(claim)
        rows += [
            (name, ", ".join(silos), upper, f"{terms.delta:g}", terms.unit, terms.adjacency)
            for upper, silos in alike.items()
        ]
    head = ("baseline", "silos", "epsilon upper", "delta", "unit", "adjacency")
    note = (
        f"It is {WOULD_BE} The literal paper charges its training alone (Theorem 4.7); here "
        "the labels of its rows follow the run's own noisy counts, which are not in its line."
    )
    return Table("Promises of the private baselines", head, text(rows), note)


def left_out(results: Json) -> Table:
    """Baselines that are in no table, each with its reason."""
    rows = [(entry["name"], entry["reason"]) for entry in results.get("left_out") or ()]
    return Table("Baselines that are not shown", ("baseline", "why"), text(rows))


def groups(results: Json) -> Table:
    """Accuracy for each group of real test rows; small and badly served groups are flagged."""
    rows = [
        (
            group_name(group),
            str(group["rows"]),
            score(group["accuracy"]),
            f"{score(group['low'])} to {score(group['high'])}",
            score(group["reference"]),
            flag(group),
        )
        for group in results.get("groups", ())
    ]
    head = ("group", "test rows", "accuracy", "95 %", "trained on real records", "flag")
    note = (
        "Logistic regression trained on the main synthetic rows, tested on held-out real ones; "
        "beside it the same trained on the real records of all silos. One interval in twenty "
        f"misses. \u201c{TOO_SMALL}\u201d: fewer than {results.get('least_group')} test rows. "
        f"\u201c{BELOW}\u201d: the whole interval lies below the accuracy on all test rows."
    )
    return Table("Accuracy by group", head, text(rows), note)


def group_name(group: Json) -> str:
    """What divides the rows, and the group's name."""
    return f"{group['kind'].strip()}: {group['name'] or 'an empty cell'}"


def flag(group: Json) -> str:
    """What a reader must see of a group, or an empty string."""
    return TOO_SMALL if group["small"] else BELOW if group["below"] else ""


def features(results: Json) -> Table:
    """Precision, recall, density, coverage and Frechet distance in a fixed classifier's space."""
    found: Json = results.get("features") or {}
    keys = ("precision", "recall", "density", "coverage", "frechet")
    rows = [
        (line["name"], line["kind"], *(score(line[key]) for key in keys))
        for line in found.get("rows", ())
    ]
    note = f"Features: {wording.plain(found.get('space', ''))}. Against held-out real rows."
    return Table("Fidelity and diversity", ("rows", "kind", *keys), text(rows), note)


def memorisation(results: Json) -> Table:
    """How often a synthetic row lies much closer to one training record than to any other."""
    passes: Json = results.get("memorisation") or {}
    measures = dict.fromkeys(m for p in passes.values() for m in p if m != "note")
    rows = [(m.replace("_", " "), *(score(p.get(m)) for p in passes.values())) for m in measures]
    notes = dict.fromkeys(str(p["note"]) for p in passes.values() if p.get("note"))
    note = " ".join(["`reference`: the same of held-out real rows.", *notes])
    return Table("Nearest-record memorisation", ("measure", *passes), text(rows), note)
