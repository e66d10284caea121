"""NON-PRIVATE: the mark on everything that people may take out of a run which promises nothing.

void_because  why a run promises nothing, from its public settings alone
named         the name that a file has in such a run
find, every   a run's files by their plain names, whichever names they have
"""

from __future__ import annotations

from pathlib import Path

from dpfedsyn.settings import Config

MARK = "NON-PRIVATE"
NOT_PRIVATE = (
    "train.method = 'not-private': label counts, moments and models were made without any noise"
)
STATE = frozenset({"config.toml", "state.json"})
"""What `named` leaves alone. Nor have logs of rounds and the folders that only programs read a
mark in their names."""


def void_because(config: Config) -> str | None:
    """Say why a run with these settings promises nothing to anybody, or None where it does."""
    if config.privacy.unsafe_noise_seed is not None:
        return (
            "privacy.unsafe_noise_seed is set: anybody can repeat and subtract the noise. This "
            "run is NOT private; it is a test."
        )
    if config.train.method == "not-private":
        return f"{NOT_PRIVATE}. This run is NOT private; it shows what privacy costs."
    return None


def named(name: str, *, private: bool) -> str:
    """Return the name that a file has: `report.html`, or `NON-PRIVATE-report.html`."""
    return name if private or name in STATE else f"{MARK}-{name}"


def plain(name: str) -> str:
    """Return a file's name without the mark."""
    return name.removeprefix(f"{MARK}-")


def find(folder: Path, name: str) -> Path:
    """Return the path of a run's file; the plain one where neither is there.

    Where both are there it is the marked one: less is promised.
    """
    marked = folder / named(name, private=False)
    return marked if marked.exists() else folder / name


def every(folder: Path, pattern: str) -> list[Path]:
    """Return the files whose plain names match: `synthetic.csv` before `synthetic-best.csv`."""
    found = (path for each in (pattern, f"{MARK}-{pattern}") for path in folder.glob(each))
    names = {plain(path.name) for path in found}
    return [find(folder, name) for name in sorted(names, key=lambda name: name.split("."))]


def caption(text: str, *, private: bool) -> str:
    """Return the caption of a table: with the mark before it where nothing is promised."""
    return text if private else f"{MARK}: {text}"
