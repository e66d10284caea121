"""The tables of a plan: what a run will cost before anything runs."""

from dataclasses import replace

from dpfedsyn.report import tables, wording
from dpfedsyn.report.tables import Table
from dpfedsyn.report.wording import Json


def of(plan: Json) -> tuple[Table, ...]:
    """All tables of `Plan.to_dict()`, in reading order."""
    found = tables.readings(plan["silos"], wording.terms(plan))
    readings = replace(found, caption=f"{found.caption}, as planned")
    own = [_targets(plan), readings, _mechanisms(plan), _passes(plan), _over_rounds(plan)]
    own += [_engines(plan)] if plan.get("engines") else []
    return tuple([*own, _after(plan)] if plan.get("after") else own)


def summary(plan: Json) -> str:
    """One sentence: what is planned, at which claim, across how many silos."""
    if plan.get("across_silos") is None:
        return f"{plan['rounds']} rounds of {plan['rows']} rows do not fit their budget."
    across = wording.claim(plan["across_silos"], wording.terms(plan))
    return (
        f"{len(plan['silos'])} silos, {plan['rounds']} rounds of {plan['rows']} rows. "
        f"Across silos, a person in up to {plan['overlap']}: {across}."
    )


def _after(plan: Json) -> Table:
    """This run together with earlier ones on the same records."""
    terms = wording.terms(plan)
    rows = tuple(
        (
            wording.plain(silo["name"]),
            str(len(silo["runs"])),
            wording.plain("; ".join(silo["charged"]) or "nothing"),
            *(wording.number(wording.upper_of(silo[key])) for key in ("earlier", "together")),
        )
        for silo in plan["after"]
    )
    head = ("silo", "runs", "charged so far", "epsilon of those", "with this run")
    note = (
        f"Upper ends at {terms}. Runs on the same records compose; each earlier one counts at its "
        "caps, since it may be resumed."
    )
    return Table("Together with earlier runs on the same records", head, rows, note)


def _targets(plan: Json) -> Table:
    terms = wording.terms(plan)
    rows = tuple(
        (
            wording.plain(silo["name"]),
            wording.number(wording.upper_of(silo["readings"].get("record"))),
            wording.number(wording.lower_of(silo["readings"].get("record")), upward=False),
            wording.number(silo.get("epsilon_target")),
            f"{terms.delta:g}",
            terms.unit,
            terms.adjacency,
            f"{silo['reference_size']:g}",
        )
        for silo in plan["silos"]
    )
    head = ("silo", *tables.CLAIM_HEAD[:2], "budget", *tables.CLAIM_HEAD[2:], "reference size")
    claims = [silo["readings"].get("record") or {} for silo in plan["silos"]]
    note = wording.drawn([*claims, plan.get("across_silos") or {}], terms.delta)
    if note:
        drawn = max(sum(silo["draws"].values()) for silo in plan["silos"])
        note = f"{note} Draws of noise are capped: {drawn:,} in a silo."
    return Table("Planned claim per silo", head, rows, note)


def _mechanisms(plan: Json) -> Table:
    terms = wording.terms(plan)
    rows = tuple(
        (
            wording.plain(f"{silo['name']}: {entry['name']}"),
            str(entry.get("group", "")),
            "none" if entry.get("mu") is None else f"{entry['mu']:.4g}",
            "none" if entry.get("noise_std") is None else f"{entry['noise_std']:.4g}",
            "none" if entry.get("share_mu2") is None else f"{100 * entry['share_mu2']:.1f} %",
            wording.number(wording.upper_of(entry.get("epsilon_alone"))),
        )
        for silo in plan["silos"]
        for entry in silo["mechanisms"]
    )
    head = ("mechanism", "group", "mu", "noise std", "share of mu^2", "epsilon alone, upper")
    note = (
        f"Epsilon at {terms}. Noise std is measured in: {_units(plan)}. R leaves the silo, A "
        "trains the model inside, B answers; claim = R composed with delta_A * delta_B."
    )
    return Table("Where the budget goes", head, rows, note)


def _units(plan: Json) -> str:
    """What each mechanism's noise is measured in, each said once."""
    entries = (entry for silo in plan["silos"] for entry in silo["mechanisms"])
    said = (f"{e['name']}: {e['noise_of']}" for e in entries if e.get("noise_of"))
    return wording.plain("; ".join(dict.fromkeys(said)) or "encoded units")


def _passes(plan: Json) -> Table:
    rows = tuple(
        (
            wording.plain(entry["name"]),
            wording.plain(entry.get("sampler", "")),
            str(entry["rounds"]),
            _brief(entry.get("mu_per_round")),
            _brief(entry.get("score_noise")),
            _brief(entry.get("energy_noise")),
        )
        for entry in plan["passes"]
    )
    head = ("pass", "sampler", "rounds", "mu per round", "score noise", "energy noise")
    return Table("Server passes", head, rows, "Noise: standard deviation added to every answer.")


def _over_rounds(plan: Json) -> Table:
    """What each silo has spent after some of the rounds; silos that agree share a line."""
    rows = []
    for entry in plan.get("epsilon_over_rounds", ()):
        alike: dict[tuple[str, ...], list[str]] = {}
        for name, readings in entry["silos"].items():
            ends = (wording.upper_of(readings.get(key)) for key in wording.READINGS)
            alike.setdefault(tuple(wording.number(end) for end in ends), []).append(name)
        for numbers, names in alike.items():
            who = "every silo" if len(names) == len(plan["silos"]) else ", ".join(names)
            rows.append((str(entry["round"]), wording.plain(who), *numbers))
    head = ("after round", "silo", *wording.readings(wording.terms(plan).unit).values())
    note = (
        f"Epsilon, upper bound ({wording.terms(plan)}; silo: unit silo, replace). What will be "
        "spent by then, not a guarantee; a silo without a line has refused."
    )
    return Table("Epsilon over the rounds", head, tuple(rows), note)


def _engines(plan: Json) -> Table:
    """What carrying the messages of all rounds takes."""
    rows = tuple(
        (entry["engine"], f"{entry['seconds_per_round']:.3g}", wording.duration(entry["seconds"]))
        for entry in plan["engines"]
    )
    note = (
        "Measured between processes of one machine: a network adds to it, and so does computing "
        "the answers."
    )
    return Table("Carrying the rounds", ("engine", "seconds a round", "all rounds"), rows, note)


def _brief(value: object) -> str:
    """A number, or a range from least to greatest, in four digits."""
    if isinstance(value, list | tuple):
        return " to ".join(dict.fromkeys(_brief(v) for v in value))
    return f"{value:.4g}" if isinstance(value, int | float) else "none"
