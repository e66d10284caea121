"""Put words, tables and figures of a run into the page's template."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dpfedsyn.report import attacks, evaluations, figures, plan_tables, tables, wording
from dpfedsyn.report.finished import FinishedRun
from dpfedsyn.report.tables import Table
from dpfedsyn.report.wording import Json


def render(run: FinishedRun) -> str:
    """Return the page as HTML; every text from the run is escaped by the template."""
    loader = PackageLoader("dpfedsyn", "report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["typeset"] = typeset
    return environment.get_template("report.html.j2").render(
        run=run,
        statement=run.statement,
        title=run.path.resolve().name,
        promises=promises(run.statement),
        guarantee=_guarantee(run),
        budget=_budget(run.statement),
        passes=passes(run),
        terms=wording.terms(run.statement["silos"][0]) if run.statement["silos"] else "",
        not_promised=tables.NOT_PROMISED,
        larger_cap=wording.LARGER_CAP,
        spent=tables.SPENT,
        results=_results({**run.results, "attacks": run.attacks}),
        wins=run.results.get("baselines_that_win") or (),
        plan_sentence=plan_tables.summary(run.plan) if run.plan else "",
        plan=plan_tables.of(run.plan) if run.plan else (),
        preview=run.preview,
        grids=[(name, b64encode(png).decode()) for name, png in run.grids.items()],
        federation=_federation(run),
    )


def typeset(text: str) -> str:
    """Write the terminal's ASCII formulas with the signs that a page can show."""
    for ascii_form, sign in (("epsilon <=", "ε ≤"), ("mu^2", "μ²"), ("delta_", "δ_")):
        text = text.replace(ascii_form, sign)
    return text


def promises(statement: Json) -> list[tuple[str, str]]:
    """Say what is promised and to whom; silos that promise the same share an entry.

    Returns:
        (names, sentences) pairs in the order of the statement.
    """
    told: dict[str, list[str]] = {}
    for silo in statement["silos"]:
        promise = _promise(silo, wording.terms(silo), bool(statement["private"]))
        told.setdefault(promise, []).append(wording.plain(silo["name"]))
    return [(", ".join(names), promise) for promise, names in told.items()]


def _promise(silo: Json, terms: wording.Terms, private: bool) -> str:
    if not private or wording.upper_of(silo["epsilon"]) is None:
        why = wording.claim(None, terms, silo.get("reason") or "not private")
        return f"Promised: nothing, epsilon {why}."
    whom = {"record": "every single record", "person": "every person, with all their records"}
    whose = whom.get(terms.unit, "the silo's whole data set, and to it alone")
    return (
        f"Promised to {whose}: {wording.claim(silo['epsilon'], terms)}. "
        "It holds against everyone who sees everything that this silo sends and that is "
        f"published, the server included. {wording.odds(silo['epsilon'])}"
    )


def passes(run: FinishedRun) -> list[dict[str, Any]]:
    """Each server pass with its drawing and the reason for the shape of its line."""
    told = []
    private_model = any("dp-sgd" in (s.get("shares_mu2") or {}) for s in run.statement["silos"])
    for place, (name, records) in enumerate(run.passes().items()):
        ends = [
            {r: tables.worst(k, r) for r in wording.READINGS} for k in (records[0], records[-1])
        ]
        told.append(
            {
                "name": name,
                "figure": Markup(figures.epsilon_over_rounds(name, records, place)),
                "why": wording.why_line_is_flat(*ends, private_model=private_model),
            }
        )
    return told


def worst_record(record: Json) -> float | None:
    """Record-level upper bound of the worst silo after a round."""
    return tables.worst(record, "record")


def _guarantee(run: FinishedRun) -> tuple[Table, ...]:
    return (tables.guarantee(run.statement), tables.readings(run.statement["silos"]))


def _budget(statement: Json) -> dict[str, Any]:
    return {
        "figure": Markup(figures.shares(statement)),
        "tables": (tables.shares(statement), tables.charged(statement)),
    }


def _federation(run: FinishedRun) -> tuple[Table, ...]:
    found = (
        evaluations.shares(run.federation, run.passes()),
        evaluations.participation(run.federation),
        evaluations.traffic(run.federation),
    )
    return tuple(table for table in found if table.rows)


def _results(results: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """The sections of evaluation and attacks that were measured: id, heading, drawing, table."""
    sections = (
        ("utility", "Utility", figures.utility, tables.utility),
        ("promises", "What the private baselines would promise", None, evaluations.claims),
        ("left-out", "Baselines that are not shown", None, evaluations.left_out),
        ("similarity", "Margins and pairs", figures.similarity, tables.similarity),
        ("denoising", "Denoising error of base and network", figures.denoising, tables.denoising),
        ("groups", "Utility by group", None, evaluations.groups),
        ("features", "Fidelity and diversity", None, evaluations.features),
        ("closeness", "Closeness to real records", None, tables.closeness),
        ("memorisation", "Memorisation", None, evaluations.memorisation),
        ("membership", "Attacks: membership", None, attacks.membership),
        ("risks", "Attacks: singling out, linkability, inference", None, attacks.risks),
    )
    told = []
    for anchor, heading, figure, table in sections:
        filled = table(results)
        drawing = Markup(figure(results) if figure and filled.rows else "")
        told.append({"id": anchor, "heading": heading, "figure": drawing, "table": filled})
    return told
