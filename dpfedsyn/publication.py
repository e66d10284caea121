"""What the owners of a run say of it in words: [statement] of the configuration, all of it public.

Nothing here is computed and nothing here is checked against records; a board reads it as said.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date

NOT_STATED = "not stated"
# The registry of deployments knows these kinds of publishers, and these sectors.
CURATORS = ("Government", "Industry", "Nonprofit")
SECTORS = ("Technology", "Healthcare", "Education", "Government", "Energy", "Finance")


@dataclass(frozen=True)
class StatementSettings:
    """Free texts that go into the statement as they stand, each "not stated" where it is left out.

    Attributes:
        curator: who publishes the rows. curator_type: one of `CURATORS`. author: who fills in the
            registry's record. contact: whom to ask. title, description: of the data.
        intended_use: what for. region: that the data describe, or whose laws apply.
        sector: one of `SECTORS`. published: the day, as YYYY-MM-DD. retention: of records, models
            and ledgers, and why they were collected. tuning: how settings were chosen, and who paid
            for it.
    """

    curator: str = NOT_STATED
    curator_type: str = NOT_STATED
    author: str = NOT_STATED
    contact: str = NOT_STATED
    title: str = NOT_STATED
    description: str = NOT_STATED
    intended_use: str = NOT_STATED
    region: str = NOT_STATED
    sector: str = NOT_STATED
    published: str = NOT_STATED
    retention: str = NOT_STATED
    tuning: str = NOT_STATED


UNSAID = StatementSettings()
MOST_CHARACTERS = 200  # of words that stand in a line of their own wherever they are printed


def line_fault(text: str) -> str | None:
    """Say why a text is not one printable line of bounded length; None: it is.

    Line breaks and control characters would begin lines, items and colours of their own in what
    prints it.
    """
    if not text.strip():
        return "it is empty"
    if len(text) > MOST_CHARACTERS:
        return f"it has {len(text)} characters, and {MOST_CHARACTERS} are allowed"
    if not text.isprintable():
        place = next(n for n, c in enumerate(text) if not c.isprintable())
        return f"character {place + 1} of it is {text[place]!r}, which is not printable"
    return None


def faults(said: StatementSettings) -> list[str]:
    """Return what of it a registry could not take."""
    found = []
    for key, known in (("curator_type", CURATORS), ("sector", SECTORS)):
        value = getattr(said, key)
        if value not in (NOT_STATED, *known):
            found.append(f"statement.{key} = {value!r}: allowed is {' | '.join(known)}.")
    for key, value in asdict(said).items():
        if not value.strip():
            found.append(f"statement.{key} is empty: leave it out, or say it.")
    if said.published != NOT_STATED and not _is_day(said.published):
        found.append(
            f"statement.published = {said.published!r}: is no day; write it as YYYY-MM-DD."
        )
    return found


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
