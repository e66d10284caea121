"""What a budget buys, as sentences and a table."""

from dpfedsyn.report import wording
from dpfedsyn.report.tables import Table
from dpfedsyn.report.wording import Json


def summary(solved: Json) -> tuple[str, ...]:
    """What was asked, what was chosen, by which rule, and the training split."""
    budget, chosen, split = solved["budget"], solved["chosen"], solved["split"]
    asked = wording.claim({"upper": budget["epsilon"]}, wording.terms(budget))
    unit = wording.plain(budget["unit"])
    rows = "1 row" if chosen["rows"] == 1 else f"{chosen['rows']} rows"
    lines = [
        f"Budget per silo: {unit} level {asked}; answers alone mu <= {budget['answers_mu']:g} "
        f"({budget['answers_mu_of']}).",
        f"Chosen: {rows} in {chosen['rounds']} rounds ({_levels(solved, chosen)}).",
        f"Rule: {solved['rule']}.",
    ]
    if split is not None:
        shares = (split[name] for name in ("counts", "moments", "dp-sgd"))
        counts, moments, training = (f"{100 * share:.3g} %" for share in shares)
        lines.append(
            f"Split of the {unit} level's mu^2: counts {counts}, moments {moments}, DP-SGD the "
            f"rest ({training})."
        )
    return tuple(lines)


def of(solved: Json) -> Table:
    """One line per number of rounds; the chosen one is marked."""
    chosen = solved["chosen"]["rounds"]
    rows = tuple(
        (
            f"{point['rounds']}{' *' if point['rounds'] == chosen else ''}",
            _levels(solved, point),
            "yes" if point["holds"] else "no",
            str(point["absorbed_rows"]),
            f"{point['mu_of_a_row']:.4g}",
            str(point["rows"]),
            _range(point["score_noise"]),
            _range(point["energy_noise"]),
            f"{point['excess']:.3g}",
            f"{100 * point['absorbed']:.3g} %",
            f"{point['spread']:.3g}",
        )
        for point in solved["frontier"]
    )
    head = (
        "rounds", "levels x steps", "enough rounds", "rows absorbed", "mu of one", "rows planned",
        "score noise", "energy noise", "noise over tolerated", "absorbed", "spread",
    )  # fmt: skip
    note = (
        "* chosen. Rows absorbed: the most whose noise the sampler absorbs; mu of one: what one "
        "such row costs. The next columns are those of the rows planned: noise (std) of an answer "
        "over the rounds, over what the sampler tolerates; share of its variance that replaces the "
        "sampler's own, the rest widens the rows; spread: width of rows over the right one, for "
        "Gaussian data of the public network.data_std."
    )
    return Table("What the budget buys", head, rows, note)


def _levels(solved: Json, point: Json) -> str:
    steps = point["rounds"] // point["levels"]
    kernel = solved["sampler"]["kernel"]
    return f"{kernel}, {point['levels']} x {steps}"


def _range(ends: object) -> str:
    if not isinstance(ends, list | tuple):
        return "none"
    return " to ".join(dict.fromkeys(f"{end:.4g}" for end in ends))
