"""The sections of what was measured on real records: heading, drawing and table of each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dpfedsyn.report import attacks, evaluations, figures, tables
from dpfedsyn.report.tables import Table
from dpfedsyn.report.wording import Json

Section = tuple[str, str, Callable[[Json], str] | None, Callable[[Json], Table]]

MAIN: Sequence[Section] = (
    ("utility", "Utility", figures.utility, tables.utility),
    ("groups", "Utility by group", None, evaluations.groups),
    ("promises", "What the private baselines would promise", None, evaluations.claims),
    ("left-out", "Baselines that are not shown", None, evaluations.left_out),
)
ATTACKS: Sequence[Section] = (
    ("membership", "Attacks: membership", None, attacks.membership),
    ("risks", "Attacks: singling out, linkability, inference", None, attacks.risks),
)
FURTHER: Sequence[Section] = (
    ("similarity", "Margins and pairs", figures.similarity, tables.similarity),
    ("features", "Fidelity and diversity", None, evaluations.features),
    ("closeness", "Closeness to real records", None, tables.closeness),
    ("memorisation", "Memorisation", None, evaluations.memorisation),
    ("denoising", "Denoising error of base and network", figures.denoising, tables.denoising),
)


@dataclass(frozen=True)
class Part:
    """A section of the page. figure: inline SVG, or empty."""

    anchor: str
    heading: str
    figure: str
    table: Table


def main(results: Json) -> list[Part]:
    """What a board looks at."""
    return _parts(MAIN, results)


def attacked(found: Json) -> list[Part]:
    """What attacks on the rows achieved, from attacks.json."""
    return _parts(ATTACKS, {"attacks": found})


def further(results: Json) -> list[Part]:
    """What belongs to an appendix."""
    return _parts(FURTHER, results)


def _parts(sections: Sequence[Section], results: Json) -> list[Part]:
    """Those sections whose table holds anything."""
    found = []
    for anchor, heading, figure, table in sections:
        filled = table(results)
        if filled.rows:
            found.append(Part(anchor, heading, figure(results) if figure else "", filled))
    return found
