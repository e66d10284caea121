"""`python -m tests.corpus.table` prints README's table: every row before every layer."""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_lowercase

from tests.corpus.case import PATTERN, Case, Layer
from tests.corpus.corpus import ALL
from tests.corpus.not_applicable import TRIED, reason

CAUGHT, PASSED, APART = "caught", "not caught", "n/a"


def outcome(case: Case, layer: Layer) -> tuple[str, str]:
    """Return what a layer made of a row, and why if it did not catch it.

    Raises:
        LookupError: nothing was tried, and nothing says why; or both.
    """
    passed = dict.fromkeys(p.why for p in case.passed if p.trial.check.layer is layer)
    caught, apart = str(layer) in case.layers, reason(case.number, layer)
    if (caught or bool(passed)) is (apart is not None):
        raise LookupError(f"row {case.number}, {layer}: try it, or say why not, and not both")
    if apart is not None:
        return APART, apart
    return (CAUGHT, "") if caught else (PASSED, "; ".join(passed))


def lines(cases: Iterable[Case] = ALL) -> list[str]:
    """Return the table and the reasons that its letters stand for, as lines of Markdown."""
    letters: dict[str, str] = {}
    rows = [
        f"| row | bug | {' | '.join(TRIED)} |",
        "|---" * (2 + len(TRIED)) + "|",
    ]
    for case in cases:
        linked = case.title if case.source == PATTERN else f"[{case.title}]({case.source})"
        cells = [str(case.number), linked]
        for layer in TRIED:
            word, why = outcome(case, layer)
            if why:
                letter = letters.setdefault(why, ascii_lowercase[len(letters)])
                word = f"{word} ({letter})"
            cells.append(word)
        rows.append(f"| {' | '.join(cells)} |")
    return [*rows, "", *(f"- ({letter}) {why}" for why, letter in letters.items())]


if __name__ == "__main__":
    print("\n".join(lines()))
