"""A run without privacy is marked in every name, table and page; a private one nowhere."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dpfedsyn import export
from dpfedsyn.marking import MARK, find
from tests.end_to_end.small import SMALL, call, ledger, sets

SMALL_DIGITS = ("answers.rows=150", "train.steps=4", "train.block=2", "train.draws=2",
                "network.hidden=16", "sampler.levels=3", "sampler.steps_per_level=1")  # fmt: skip
SEED, PLAIN = "privacy.unsafe_noise_seed=7", "train.method=not-private"
INSIDE = {
    "config.toml",
    "state.json",
    "rounds.jsonl",
    "events.jsonl",
    "partition.safetensors",
}
"""State of the program, which no page tells anybody to hand on."""

Made = tuple[Path, str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """A function that makes a run with everything people make of it, each once."""
    known: dict[tuple[str, ...], Made] = {}

    def make(example: str, *overrides: str) -> Made:
        key = (example, *overrides)
        if key not in known:
            folder = tmp_path_factory.mktemp(example) / "run"
            small = SMALL if example == "hospitals" else SMALL_DIGITS
            told = call("run", example, "--out", folder, *sets((*small, *overrides))).output
            told += call("audit", folder).output
            told += call("audit", "attack", folder).output
            told += call("plan", example, *sets((*small, *overrides))).output
            first = sorted((folder / "silos").iterdir())[0].name
            told += call("ledger", "show", ledger(folder, first)).output
            call("report", folder)
            export.write(folder, folder.parent / "out")
            known[key] = folder, told
        return known[key]

    return make


VOID = [("hospitals", SEED), ("hospitals", PLAIN), ("digits", SEED)]


def handed_on(folder: Path) -> list[Path]:
    """Files that people may hand on: of the run's own folder, and of its export."""
    own = [path for path in folder.iterdir() if path.is_file() and path.name not in INSIDE]
    return [*own, *(folder.parent / "out").iterdir()]


def words(path: Path) -> str:
    """What a reader of a file finds in it."""
    match path.suffix:
        case ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return " ".join([*archive.files, str(archive.get("marking"))])
        case ".png":
            return str(Image.open(io.BytesIO(path.read_bytes())).info)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("which", VOID, ids=":".join)
def test_every_file_is_marked_in_name_and_content(
    made: Callable[..., Made], which: tuple[str, ...]
) -> None:
    """Tables of rows have it in the name: a line of words in one would be read as a row."""
    files = handed_on(made(*which)[0])
    assert {path.suffix for path in files} >= {".json", ".html", ".md"}
    assert [path.name for path in files if not path.name.startswith(f"{MARK}-")] == []
    unmarked = [path.name for path in files if MARK not in words(path)]
    assert [name for name in unmarked if not name.endswith(".csv")] == []


@pytest.mark.parametrize("which", VOID, ids=":".join)
def test_every_table_and_page_is_marked(made: Callable[..., Made], which: tuple[str, ...]) -> None:
    """Captions of the page, its title, its heading, a strip that stays in sight, and its prints."""
    folder, _ = made(*which)
    page = find(folder, "report.html").read_text(encoding="utf-8")
    captions = re.findall(r"<caption[^>]*>([^<]*)</caption>", page)
    assert len(captions) > 12
    assert [text for text in captions if not text.startswith(f"{MARK}: ")] == []
    assert f"<title>{MARK}: " in page
    assert f"<h1>{MARK}: " in page
    assert f'<aside class="mark" aria-label="{MARK}">' in page
    assert re.search(r"\.mark \{ position: sticky; top: 0;", page)
    assert f'@page {{ @top-center {{ content: "{MARK}"' in page


@pytest.mark.parametrize("which", VOID, ids=":".join)
def test_every_table_of_the_terminal_is_marked(
    made: Callable[..., Made], which: tuple[str, ...]
) -> None:
    """What stands above a table's head: run, plan, audit, attack and ledger."""
    lines = made(*which)[1].splitlines()
    rules = [k for k, line in enumerate(lines) if re.fullmatch(r"─+", line.strip())]
    assert len(rules) > 10
    found = []
    for rule in rules:
        above = rule - 1
        while above > 0 and lines[above - 1].strip() and not lines[above].startswith(MARK):
            above -= 1
        found.append(lines[above])
    assert [line for line in found if not line.startswith(f"{MARK}: ")] == []


def test_a_private_run_has_the_mark_nowhere(made: Callable[..., Made]) -> None:
    """No name, no content, no line of the terminal."""
    folder, told = made("hospitals")
    files = handed_on(folder)
    assert len(files) > 10
    assert [path.name for path in files if MARK in path.name or MARK in words(path)] == []
    assert MARK not in told


def test_marked_rows_are_read_like_others(made: Callable[..., Made]) -> None:
    """The header and as many rows as were asked for; no line of words between them."""
    table = find(made("hospitals", SEED)[0], "synthetic.csv")
    head, *rows = csv.reader(table.read_text(encoding="utf-8").splitlines())
    assert len(rows) == 90
    assert {len(row) for row in rows} == {len(head)}
