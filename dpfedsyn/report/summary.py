"""The page's first screen: what a board has to know, each with the place where it is shown."""

from dataclasses import dataclass

from dpfedsyn.report import audits, evaluations, hazards, success, wording
from dpfedsyn.report.finished import FinishedRun
from dpfedsyn.report.wording import Json

WITHOUT = "baseline without privacy"


@dataclass(frozen=True)
class Fact:
    """A question, its answer, and the section that shows it.

    Args:
        anchor: id of the section. warns: whether the answer is one to stop at.
    """

    question: str
    answer: str
    anchor: str = ""
    warns: bool = False


def of(run: FinishedRun) -> tuple[Fact, ...]:
    """Return the facts in reading order; what was not measured says so."""
    return (
        *_promise(run.statement),
        _budget(run.statement),
        *_utility(run.results),
        *_groups(run.results),
        _audit(run),
        _attacks(run),
        *_hazards(run.statement),
    )


def _promise(statement: Json) -> tuple[Fact, ...]:
    silos = statement["silos"]
    if not statement["private"] or not silos:
        words = "Nothing is promised to anybody: these rows were made without privacy."
        return (Fact("What is promised?", words, "guarantee", True),)
    worst = max(silos, key=lambda silo: wording.infinite_last(wording.upper_of(silo["epsilon"])))
    terms, where = wording.terms(worst), "in every silo"
    across, overlap = statement.get("across_silos") or {}, statement.get("overlap", 1)
    if overlap > 1 and across:
        worst = {"epsilon": across, "risk": across.get("risk")}
        where = f"for somebody with data in up to {overlap} silos"
    claim = wording.claim(worst["epsilon"], terms, worst.get("reason"))
    models = wording.models(silos)
    facts = [
        Fact("Whose data are hidden?", wording.whose(terms.unit)),
        Fact(
            "From whom?",
            "From everyone who sees all that a silo sends and all that is published: the server "
            "too, also one that cheats, and whatever else they know.",
        ),
        Fact("How well?", f"{claim}, {where}. {models}".rstrip(), "guarantee"),
    ]
    if worst.get("risk"):
        search, guess = success.sentences(worst["risk"], terms)
        facts.append(Fact("What does a search find at most?", search, "guarantee"))
        facts.append(Fact("How sure can somebody become?", guess, "guarantee"))
    return tuple(facts)


def _budget(statement: Json) -> Fact:
    question = "What is left of the budget?"
    shares = [
        (answers["mu"] / answers["cap_mu"]) ** 2
        for silo in statement["silos"]
        if (answers := (silo.get("charged") or {}).get("B")) and answers.get("cap_mu")
    ]
    if not shares:
        return Fact(question, "The statement names no cap on answers.", "budget", True)
    least, most = (f"{100 * share:.1f} %" for share in (min(shares), max(shares)))
    spent = most if least == most else f"{least} to {most}"
    words = (
        f"{spent} of the cap on answers is spent, silo by silo; a silo refuses what would exceed "
        "it. Training and sums are charged once, before the first answer."
    )
    if statement["private"]:
        words += " The claim above counts all caps as spent."
    return Fact(question, words, "budget")


def _utility(results: Json) -> tuple[Fact, ...]:
    lines = [line for line in results.get("utility", ()) if _score(line) is not None]
    ours = [line for line in lines if line.get("kind") == "ours"]
    if not ours:
        words = "It was not measured: the records are elsewhere, too few, or it was switched off."
        return (Fact("What are the rows worth?", words, "utility", True),)
    told = ", ".join(f"{_score(line):.3f} ({wording.plain(line['name'])})" for line in ours)
    words = f"AUC of a logistic regression trained on them, on held-out real rows: {told}."
    real = [line for line in lines if line.get("kind") == WITHOUT]
    if real:
        best = max(real, key=lambda line: _score(line) or 0.0)
        words += f" Best without privacy: {_score(best):.3f} ({wording.plain(best['name'])})."
    names = _winners(results, [str(line["name"]) for line in lines])
    simpler = (
        f"Better in at least one measure: {', '.join(map(wording.plain, names))}."
        if names
        else "No baseline on this page is better in any measure."
    )
    return (
        Fact("What are the rows worth?", words, "utility"),
        Fact("Would something simpler do as well?", simpler, "utility", bool(names)),
    )


def _winners(results: Json, names: list[str]) -> list[str]:
    """Names of the baselines that the evaluation's sentences begin with."""
    sentences = [str(sentence) for sentence in results.get("baselines_that_win") or ()]
    found = [name for name in names if any(s.startswith(f"{name} ") for s in sentences)]
    return found or sentences


def _groups(results: Json) -> tuple[Fact, ...]:
    groups = results.get("groups") or ()
    if not groups:
        return ()
    small = [wording.plain(evaluations.group_name(g)) for g in groups if g["small"]]
    below = [wording.plain(evaluations.group_name(g)) for g in groups if g["below"]]
    parts = [
        f"Worse than the average: {', '.join(below)}." if below else "",
        f"Too few test rows to say: {', '.join(small)}." if small else "",
    ]
    words = " ".join(filter(None, parts)) or "No group of those looked at is shown to be."
    return (Fact("Who is served worse?", words, "groups", bool(below or small)),)


def _audit(run: FinishedRun) -> Fact:
    question = "Did anybody check the run?"
    if not run.audit:
        return Fact(question, "Not yet. dpfedsyn audit RUN does.", "verify", True)
    found = audits.section(run.audit, run.statement)
    return Fact(question, found["sentence"], "audit", found["alarm"])


def _attacks(run: FinishedRun) -> Fact:
    question = "Did anybody attack the rows?"
    entries = run.attacks.get("membership") or ()
    if not entries:
        return Fact(question, "Not yet. dpfedsyn audit attack RUN does.", "verify", True)
    best = max(entries, key=lambda entry: float(entry["auc"]["value"]))
    allowed = run.attacks["allowed"]["auc"]
    above = any(entry["above_claim"] for entry in entries)
    words = (
        f"Yes. The best attack on membership has an AUC of {best['auc']['value']:.3f} (0.5 is "
        f"chance; the claim allows {allowed:.3f}). That an attack fails is no proof of privacy."
    )
    return Fact(question, f"ABOVE THE CLAIM. {words}" if above else words, "membership", above)


def _hazards(statement: Json) -> tuple[Fact, ...]:
    told = hazards.summary(statement)
    unanswered = any(hazard.status == hazards.OPEN for hazard in hazards.of(statement))
    return (Fact("Which hazards are answered?", told, "hazards", unanswered),) if told else ()


def _score(line: Json) -> float | None:
    value = (line.get("logistic") or {}).get("auc")
    return None if value is None else float(value)
