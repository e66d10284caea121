"""Turn the numbers of a plan or a run into tables, for the terminal and the report alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpfedsyn.report import wording
from dpfedsyn.report.wording import Json

NOT_PROMISED = "Epsilons elsewhere are what the same run with secret noise would have cost."
CLASSIFIERS = {"logistic": "logistic", "mlp": "MLP", "cnn": "CNN"}
WOULD_BE = (
    "what a baseline would promise if somebody ran it and used its models without noise. Nothing "
    "of it leaves this page: trained baselines draw their noise from a public seed."
)
SPENT = "Readings of what was spent, not a guarantee: the guarantee is the claim, at the caps."
CLAIM_HEAD = ("epsilon upper", "epsilon lower", "delta", "unit", "adjacency")


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row.

    Args:
        caption: what the table shows.
        head: one header per column.
        rows: cells as text, one per column.
        note: what the reader has to know to read it, or empty.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def guarantee(statement: Json) -> Table:
    """The claim of every silo, and across silos, upper bound first."""
    silos, private = statement["silos"], statement["private"]
    rows = [(s["name"], *_claim(private and s["epsilon"], wording.terms(s))) for s in silos]
    if silos and (across := statement.get("across_silos")):
        label = f"across silos (overlap {statement.get('overlap', 1)})"
        rows.append((label, *_claim(private and across, wording.terms(silos[0]))))
    note = "Overlap m: a person may have data in up to m silos."
    if silos:
        claims = [*silos, statement.get("across_silos") or {}]
        note = f"{note} {wording.drawn(claims, silos[0]['delta'])}".rstrip()
    if not private:
        note = "NON-PRIVATE: nothing is promised. " + NOT_PROMISED
    note = f"{wording.models(silos)} {note}".strip()
    return Table("Guarantee per silo", ("silo", *CLAIM_HEAD), text(rows), note)


def readings(silos: Sequence[Json], terms: wording.Terms | None = None) -> Table:
    """The three readings per silo, with the reason where there is none.

    Args:
        silos: the silo entries of a statement, or of a plan.
        terms: a plan's terms; None where each silo names its own.
    """
    rows = []
    reasons: list[str] = []
    for silo in silos:
        whole = terms or wording.terms(silo)
        for key, label in wording.readings(whole.unit).items():
            bound = silo["readings"].get(key)
            held = wording.terms_of_reading(key, whole)
            rows.append((f"{silo['name']}: {label}", *_claim(bound, held)))
            reason = silo.get(f"{key}_reason") or silo["readings"].get(f"{key}_reason")
            if bound is None and reason:
                reasons.append(f"{label}: none, because {str(reason).rstrip('.')}.")
    notes = [SPENT] if terms is None else []
    notes += dict.fromkeys(reasons)
    if any(b and not wording.protects(b) for s in silos for b in _bounds(s)):
        notes.append("An epsilon above 1e4 is no protection of its own.")
    return Table("Three readings", ("reading", *CLAIM_HEAD), text(rows), " ".join(notes))


def shares(statement: Json) -> Table:
    """Each mechanism's share of a silo's mu^2."""
    silos = [s for s in statement["silos"] if s.get("shares_mu2")]
    names = list(dict.fromkeys(name for s in silos for name in s["shares_mu2"]))
    rows = [(s["name"], *(_percent(s["shares_mu2"].get(n)) for n in names)) for s in silos]
    return Table("Shares of mu^2", ("silo", *names), text(rows))


def charged(statement: Json) -> Table:
    """What was charged: R leaves the silo, A trains the model inside, B answers."""
    silos = [s["name"] for s in statement["silos"]]
    found: dict[tuple[str, str], list[str]] = {}
    for silo in statement["silos"]:
        for group, entries in (silo.get("charged") or {}).items():
            for entry in entries if isinstance(entries, list) else [entries]:
                if entry:
                    found.setdefault((group, _words(entry)), []).append(silo["name"])
    rows = [
        (words, group, wording.everybody(names, silos))
        for (group, words), names in sorted(found.items(), key=lambda item: "RAB".find(item[0][0]))
    ]
    note = (
        "R: everything that leaves the silo and is not an answer. A: what trains the model "
        "and stays inside. B: the noisy answers. The claim is R composed with delta_A * delta_B."
    )
    return Table("Charged mechanisms", ("mechanism", "group", "silos"), text(rows), note)


def spent(statement: Json) -> Table:
    """What of its cap on answers each silo has spent, and what is left."""
    rows = []
    for silo in statement["silos"]:
        answers = (silo.get("charged") or {}).get("B") or {}
        if answers.get("cap_mu"):
            share = (answers["mu"] / answers["cap_mu"]) ** 2
            mu, cap = f"{answers['mu']:.6g}", f"{answers['cap_mu']:.6g}"
            left = f"{100 * max(1.0 - share, 0.0):.1f} %"
            rows.append((silo["name"], answers["answers"], mu, cap, f"{100 * share:.1f} %", left))
    head = ("silo", "answers", "mu spent", "mu of the cap", "mu^2 spent", "left")
    note = "mu^2 adds up over answers. What is left stays unspent, and is no part of another run."
    return Table("Budget of the answers", head, text(rows), note)


def rounds(passes: Mapping[str, Sequence[Json]], silos: Sequence[Json]) -> Table:
    """One line per server pass: how far it came and the worst silo's epsilon at its end."""
    rows = []
    for name, records in passes.items():
        last = records[-1]
        ends = (wording.number(worst(last, key)) for key in wording.READINGS)
        seconds = f"{sum(record.get('seconds') or 0.0 for record in records):.2f}"
        done = f"{last['round']} of {last['of']}"
        rows.append((name, last.get("sampler", ""), done, seconds, *ends))
    unit = wording.terms(silos[0]).unit if silos else "record"
    head = ("pass", "sampler", "rounds", "seconds", *wording.readings(unit).values())
    note = "Last three columns: epsilon, upper bound, of the worst silo after the last round"
    if silos:
        note += f" ({wording.terms(silos[0])}; the silo reading: unit silo, replace)"
    return Table("Rounds", head, text(rows), f"{note}. {SPENT}")


def worst(record: Json, reading: str) -> float | None:
    """The largest upper bound over the silos of a round; None where a silo has none."""
    uppers = [wording.upper_of(silo.get(reading)) for silo in record["silos"].values()]
    known = [u for u in uppers if u is not None]
    return max(known) if known and len(known) == len(uppers) else None


def utility(results: Json) -> Table:
    """Train on synthetic, test on real: ours beside the baselines."""
    lines, claims = results.get("utility", ()), results.get("claims") or {}
    models = [m for m in CLASSIFIERS if any(line.get(m) for line in lines)]
    rows = []
    for line in lines:
        scores = (
            score((line.get(model) or {}).get(metric))
            for model in models
            for metric in ("auc", "accuracy")
        )
        about = (line.get("kind", ""), line.get("rows", ""), _promised(line, claims))
        rows.append((line["name"], *about, *scores))
    head = (f"{CLASSIFIERS[model]} {what}" for model in models for what in ("AUC", "acc."))
    notes = [f"Tested on {results.get('test_rows', 'an unknown number of')} held-out real rows."]
    if claims:
        terms = wording.terms(next(iter(claims.values())))
        notes.append(f"Epsilon: upper bound per silo ({terms}), {WOULD_BE}")
    notes += results.get("baseline_notes", ())
    names = ("trained on", "kind", "rows", "epsilon", *head)
    return Table("Utility", names, text(rows), " ".join(notes))


def _promised(line: Json, claims: Json) -> str:
    """The epsilon of a line: a number, a range over the silos, or in a word."""
    if (claim := claims.get(line["name"])) is not None:
        ends = [
            wording.number(e) for e in sorted(claim["epsilon"].values(), key=wording.infinite_last)
        ]
        return " to ".join(dict.fromkeys((ends[0], ends[-1])))
    return {"ours": "the run's", "baseline without privacy": "none"}.get(line.get("kind", ""), "")


def similarity(results: Json) -> Table:
    """How close synthetic margins and pairs come to the real ones, per column and pass."""
    passes: Json = results.get("similarity") or {}
    columns = dict.fromkeys(c for p in passes.values() for c in p.get("marginals") or {})
    rows = [
        (column, *(score((p.get("marginals") or {}).get(column)) for p in passes.values()))
        for column in columns
    ]
    for key, label in (("marginal_mean", "all columns, mean"), ("pairwise_mean", "pairs, mean")):
        rows.append((label, *(score(p.get(key)) for p in passes.values())))
    rows.append(("worst pair", *(_worst_pair(p.get("pairwise")) for p in passes.values())))
    return Table("Similarity", ("column", *passes), text(rows) if passes else ())


def closeness(results: Json) -> Table:
    """Distance of synthetic rows to the closest training and held-out record, per pass."""
    passes: Json = results.get("closeness") or {}
    measures = dict.fromkeys(m for p in passes.values() for m in p if m != "note")
    rows = [(m.replace("_", " "), *(score(p.get(m)) for p in passes.values())) for m in measures]
    notes = dict.fromkeys(str(p["note"]) for p in passes.values() if p.get("note"))
    head = ("measure", *passes)
    return Table("Distance to the closest record", head, text(rows), " ".join(notes))


def denoising(results: Json) -> Table:
    """Denoising error of the analytic base and of the network, per silo and noise level."""
    rows = [
        (d["silo"], f"{d['noise_level']:.3g}", score(d.get("base")), score(d.get("network")))
        for d in results.get("denoising", ())
    ]
    head = ("silo", "noise level", "base", "network")
    note = "Mean squared error on synthetic data; lower is better."
    return Table("Denoising error", head, text(rows), note)


def _claim(bound: Json | bool | None, terms: wording.Terms) -> tuple[str, ...]:
    """The cells of one claim; a false bound is no claim at all."""
    bound = None if isinstance(bound, bool) else bound
    upper = wording.number(wording.upper_of(bound))
    lower = wording.number(wording.lower_of(bound), upward=False)
    return upper, lower, f"{terms.delta:g}", terms.unit, terms.adjacency


def _bounds(silo: Json) -> list[Json | None]:
    return [silo["readings"].get(key) for key in wording.READINGS]


def text(rows: Iterable[Sequence[object]]) -> tuple[tuple[str, ...], ...]:
    """Return rows as text that a terminal and a page can show."""
    return tuple(tuple(wording.plain(cell) for cell in row) for row in rows)


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.1f} %"


def score(value: object) -> str:
    """Three decimals for a measured number or range; text as it is; none where there is none."""
    if isinstance(value, list | tuple):
        return " to ".join(map(score, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "none" if value is None else str(value)
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _worst_pair(pairs: Json | None) -> str:
    """Name the two columns whose dependence is kept least."""
    name = min(pairs, key=pairs.__getitem__) if pairs else None
    return "none" if pairs is None or name is None else f"{score(pairs[name])} ({name})"


def _flat(value: Json, path: str = "") -> list[tuple[str, object]]:
    flat: list[tuple[str, object]] = []
    for key, inner in value.items():
        name = f"{path}: {key}" if path else str(key)
        flat += _flat(inner, name) if isinstance(inner, Mapping) else [(name, inner)]
    return flat


def _words(entry: Any) -> str:
    """Write one charged mechanism as `name value, name value`."""
    if not isinstance(entry, Mapping):
        return str(entry)
    return ", ".join(f"{name.replace('_', ' ')} {_brief(value)}" for name, value in _flat(entry))


def _brief(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
