"""Put words, tables and figures of a run into the page's template."""

import itertools
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dpfedsyn.marking import caption
from dpfedsyn.report import (
    audits,
    evaluations,
    figures,
    hazards,
    measures,
    plan_tables,
    success,
    summary,
    tables,
    top_ups,
    verifying,
    wording,
)
from dpfedsyn.report.finished import FinishedRun
from dpfedsyn.report.tables import Table
from dpfedsyn.report.wording import Json


class Numbered:
    """Gives every table of a page an id of its own."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def table(self, table: Table) -> dict[str, Any]:
        """Return a table as the template takes it."""
        fields = {name: getattr(table, name) for name in ("caption", "head", "rows", "note")}
        return {"id": f"table-{next(self._count)}", **fields}

    def tables(self, shown: Iterable[Table]) -> list[dict[str, Any]]:
        """Return those that hold anything."""
        return [self.table(table) for table in shown if table.rows]

    def parts(self, shown: Iterable[measures.Part]) -> list[dict[str, Any]]:
        """Return the sections of what was measured."""
        return [
            {
                "id": part.anchor,
                "heading": part.heading,
                "figure": Markup(part.figure),
                "table": self.table(part.table),
            }
            for part in shown
        ]


def render(run: FinishedRun) -> str:
    """Return the page as HTML; every text from the run is escaped by the template."""
    loader = PackageLoader("dpfedsyn", "report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["typeset"] = typeset
    statement, number = run.statement, Numbered()
    content: dict[str, Any] = {
        "run": run,
        "statement": statement,
        "mark": caption("", private=run.private),
        "title": run.path.resolve().name,
        "facts": [asdict(fact) for fact in summary.of(run)],
        "strength": _strength(statement),
        "promises": promises(statement),
        "guarantee": number.tables((success.of(statement), tables.guarantee(statement))),
        "budget": _budget(run, number),
        "grids": [(name, b64encode(png).decode()) for name, png in run.grids.items()],
        "preview": number.table(_preview(run)) if run.preview else None,
        "measures": number.parts(measures.main(run.results)),
        "wins": run.results.get("baselines_that_win") or (),
        "audit": audits.section(run.audit, statement),
        "checks": number.tables((audits.summary(run.audit), audits.details(run.audit)))
        if run.audit
        else (),
        "attacks": number.parts(measures.attacked(run.attacks)),
        "hazards": hazards.of(statement),
        "commands": verifying.commands(),
        "verify": number.tables((verifying.digests(run), verifying.heads(run))),
        "implementation": verifying.implementation(run),
        "readings": number.table(tables.readings(statement["silos"])),
        "passes": passes(run),
        "terms": wording.terms(statement["silos"][0]) if statement["silos"] else "",
        "not_promised": tables.NOT_PROMISED,
        "larger_cap": wording.LARGER_CAP,
        "spent": tables.SPENT,
        "further": number.parts(measures.further(run.results)),
        "federation": number.tables(_federation(run)),
        "plan_sentence": plan_tables.summary(run.plan) if run.plan else "",
        "plan": number.tables(plan_tables.of(run.plan)) if run.plan else (),
    }
    anchors = _anchors(content)
    return environment.get_template("report.html.j2").render(**content, anchors=anchors)


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
    whose = whom.get(terms.unit, f"the {terms.unit}'s whole data set, and to it alone")
    return (
        f"Promised to {whose}: {wording.claim(silo['epsilon'], terms)}"
        f"{wording.behind(silo.get('brought'))}. "
        "It holds against everyone who sees everything that this silo sends and that is "
        f"published, the server included. The table says what an attack achieves at most."
    )


def passes(run: FinishedRun) -> list[dict[str, Any]]:
    """Each server pass with its drawing and the reason for the shape of its line."""
    told = []
    unit = wording.terms(run.statement["silos"][0]).unit
    private_model = any("dp-sgd" in (s.get("shares_mu2") or {}) for s in run.statement["silos"])
    for place, (name, records) in enumerate(run.passes().items()):
        ends = [
            {r: tables.worst(k, r) for r in wording.READINGS} for k in (records[0], records[-1])
        ]
        told.append(
            {
                "name": name,
                "figure": Markup(figures.epsilon_over_rounds(name, records, unit, place)),
                "why": wording.why_line_is_flat(*ends, unit=unit, private_model=private_model),
            }
        )
    return told


def _anchors(content: dict[str, Any]) -> dict[str, str]:
    """Id and name of every section that the page has and its head links to, in reading order."""
    named = {"guarantee": "What is promised", "budget": "Budget"}
    if content["grids"] or content["preview"]:
        named["samples"] = "Samples"
    named |= {part["id"]: part["heading"] for part in content["measures"]}
    if content["audit"]:
        named["audit"] = "Audit"
    named |= {part["id"]: part["heading"] for part in content["attacks"]}
    if content["hazards"]:
        named["hazards"] = "Hazards"
    return named | {"caveats": "Caveats", "verify": "How to check it", "appendix": "Appendix"}


def _strength(statement: Json) -> tuple[str, str] | None:
    """Return the kind of banner and the words for an epsilon that needs a warning, or None."""
    uppers = [wording.upper_of(silo["epsilon"]) for silo in statement["silos"]]
    known = [upper for upper in uppers if upper is not None]
    found = success.strength(max(known, default=None))
    return found if statement["private"] and found[1] else None


def _budget(run: FinishedRun, number: Numbered) -> dict[str, Any]:
    shown = (tables.spent, top_ups.of, tables.shares, tables.charged)
    return {
        "spending": Markup(figures.spending(run.statement, run.passes())),
        "shares": Markup(figures.shares(run.statement)),
        "tables": number.tables(table(run.statement) for table in shown),
    }


def _preview(run: FinishedRun) -> Table:
    head, *rows = run.preview
    cells = tuple((str(k), *row) for k, row in enumerate(rows, start=1))
    return Table("First rows of synthetic.csv", ("row", *head), cells)


def _federation(run: FinishedRun) -> tuple[Table, ...]:
    return (
        evaluations.shares(run.federation, run.passes()),
        evaluations.participation(run.federation),
        evaluations.traffic(run.federation),
    )
