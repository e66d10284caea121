"""The report: what it promises, what it refuses to hide, and that it stands alone."""

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn.errors import DataError
from dpfedsyn.report import write
from tests.dpfedsyn import run_folders

HOSTILE = '<script>alert("x")</script>&$x^$'


class Outline(HTMLParser):
    """Collects what the tests ask of a page: tags, attributes, ids, headings, open tags."""

    VOID = frozenset({"meta", "br", "path", "use", "rect", "img", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID and (not self.open or self.open.pop() != tag):
            self.unbalanced.append(tag)


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    return parser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a complete, private run."""
    return written(tmp_path_factory.mktemp("run"))


def written(folder: Path, **parts: Any) -> str:
    return write(run_folders.write(folder, **parts)).read_text(encoding="utf-8")


def test_page_loads_nothing_from_anywhere(page: str) -> None:
    """Every reference points into the page; there is no script, no import and no URL at all."""
    found = outline(page)
    references = [
        value
        for _, attributes in found.tags
        for name, value in attributes.items()
        if name in {"href", "src", "xlink:href", "srcset", "action"}
    ]
    assert references
    assert all(value is not None and value.startswith("#") for value in references)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in found.tags}
    assert "http" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_ids_are_unique_and_every_link_has_its_target(page: str) -> None:
    """Several drawings share one page, so their ids must not collide."""
    found = outline(page)
    ids = [a["id"] for _, a in found.tags if a.get("id")]
    targets = {a["href"] for _, a in found.tags if (a.get("href") or "").startswith("#")}
    targets |= set(re.findall(r"url\((#[^)]+)\)", page))
    assert len(ids) == len(set(ids))
    assert {t[1:] for t in targets if t} <= set(ids)
    assert found.unbalanced == []
    assert found.open == []


def test_tables_and_drawings_can_be_read_aloud(page: str) -> None:
    """Headers have a scope, tables a caption, drawings a text; headings skip no level."""
    tags = outline(page).tags
    assert all(a.get("scope") in {"col", "row"} for tag, a in tags if tag == "th")
    names = [tag for tag, _ in tags]
    assert names.count("table") == names.count("caption") > 8
    drawings = [a for tag, a in tags if tag == "svg"]
    assert len(drawings) == 7
    assert all(a.get("role") == "img" and a.get("aria-label") for a in drawings)
    levels = [int(n[1]) for n in names if re.fullmatch(r"h\d", n)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_page_follows_the_readers_light_or_dark(page: str) -> None:
    """No drawing keeps a colour of its own: all come from variables with two values."""
    assert "prefers-color-scheme: dark" in page
    svgs = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--s1)" in svgs
    assert (
        re.findall(r"#[0-9a-f]{6}\b(?!-)", re.sub(r'(id|href)="[^"]*"|url\([^)]*\)', "", svgs))
        == []
    )


def test_guarantee_comes_first_with_all_its_terms(page: str) -> None:
    """The first section is the claim: upper bound, then lower, delta, unit and adjacency."""
    assert page.index('id="guarantee"') < page.index('id="budget"') < page.index('id="rounds"')
    assert "ε ≤ 7.99 (delta 1e-05, unit record, add-or-remove, certified at least 4.12)" in page
    heads = re.findall(r"<thead>(.*?)</thead>", page, re.DOTALL)
    assert re.findall(r">([^<]+)</th>", heads[1]) == [
        "silo",
        "epsilon upper",
        "epsilon lower",
        "delta",
        "unit",
        "adjacency",
    ]


def test_what_is_not_covered_is_said(page: str) -> None:
    """Unpaid evaluation, unprotected quantities and the noise implementation are named."""
    assert "unpaid internal evaluation" in page
    assert "must not be published" in page
    assert "reference sizes" in page
    assert "ChaCha20" in page
    assert "no protection of its own" in page
    assert "have no silo-level sensitivity" in page


def test_unnamed_noise_is_called_unnamed(tmp_path: Path) -> None:
    """A statement that is silent about its noise is not read as a good sign."""
    text = written(tmp_path, statement=run_folders.statement(implementation={}))
    assert "does not name the implementation of its noise" in text


def test_page_is_for_its_owner_only(tmp_path: Path) -> None:
    """The page holds unpaid numbers: nobody else may read the file."""
    page = write(run_folders.write(tmp_path))
    assert page.stat().st_mode & 0o077 == 0


def test_forbidden_word_never_appears(page: str) -> None:
    """The page never calls its data what no mechanism can make it."""
    assert "anonym" not in page.lower()


def test_flat_line_is_explained_and_a_growing_one_differently(tmp_path: Path) -> None:
    """Where rounds cost nothing the page says why; where they cost it does not say so."""
    reason = "The record-level line is flat."
    flat = written(tmp_path / "flat", rounds=run_folders.rounds("default", "ula", 5))
    growing = run_folders.rounds("default", "ula", 5, flat=False)
    grown = written(tmp_path / "grown", rounds=growing)
    assert reason in flat
    assert "δ_B = 1" in flat
    assert reason not in grown
    assert "The record-level line grows" in grown


def test_winning_baseline_is_named_in_words(tmp_path: Path) -> None:
    """The sentence of each baseline that wins stands above the table; without one none is."""
    won = written(tmp_path / "won")
    assert "private base alone beats best (ancestral) in AUC" in won
    fair = run_folders.results() | {"baselines_that_win": []}
    assert "No baseline is named as better" in written(tmp_path / "fair", results=fair)
    assert "No baseline is named as better" not in won


def test_partial_run_says_so_with_its_reason(tmp_path: Path) -> None:
    """A partial run is never taken for a complete one."""
    reason = "silo hungary refused round 10"
    partial = run_folders.statement(status="partial", reason=reason)
    text = written(tmp_path / "a", statement=partial)
    assert "PARTIAL RUN" in text
    assert f"{reason}." in text
    assert "PARTIAL RUN" not in written(tmp_path / "b")


def test_broken_state_outweighs_a_whole_statement(tmp_path: Path) -> None:
    """A statement that says complete beside a state that does not is shown as unfinished."""
    text = written(tmp_path, state={"status": "running", "reason": None})
    assert "UNFINISHED RUN" in text


def test_non_private_run_claims_no_epsilon(tmp_path: Path) -> None:
    """The banner stands, and neither words nor the guarantee table hold a number."""
    void = "privacy.unsafe_noise_seed is set"
    text = written(tmp_path, statement=run_folders.statement(private=False, void=void))
    assert void in text
    table = text[text.index("Guarantee per silo") : text.index("Three readings")]
    assert "NON-PRIVATE" in text
    assert "ε ≤" not in text[: text.index("Three readings")]
    assert "7.99" not in table
    assert table.count("none") >= 10


def test_hostile_names_and_values_are_shown_not_run(tmp_path: Path) -> None:
    """Text from any file of the run is escaped in tables, words and drawings."""
    statement = run_folders.statement(reason=HOSTILE, status="partial", caveats=[HOSTILE])
    statement["silos"][0]["name"] = HOSTILE
    results = run_folders.results()
    results["utility"][0]["name"] = HOSTILE
    results["baselines_that_win"] = [HOSTILE]
    results["similarity"][HOSTILE] = {"marginals": {HOSTILE: 0.5}}
    results["denoising"][0]["silo"] = HOSTILE
    rounds = run_folders.rounds(HOSTILE, HOSTILE, 2)
    folder = run_folders.write(tmp_path, statement=statement, results=results, rounds=rounds)
    (folder / "config.toml").write_text(f"name = '{HOSTILE}'")
    (folder / "synthetic.csv").write_text(f"{HOSTILE}\n{HOSTILE}\n")
    text = write(folder).read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 12
    assert outline(text).unbalanced == []


def test_run_that_ended_early_still_has_a_report(tmp_path: Path) -> None:
    """A partial run may lack results, rounds, plan and synthetic rows."""
    folder = run_folders.write(tmp_path, results=None, plan=None, rounds=[])
    (folder / "synthetic.csv").unlink()
    text = write(folder).read_text()
    assert "Guarantee per silo" in text
    assert 'id="utility"' not in text


def test_missing_scores_are_written_as_none(page: str) -> None:
    """A one-class silo has no AUC: the cell says none and the row stays."""
    row = re.search(r"switzerland alone</th>(.*?)</tr>", page)
    assert row is not None
    assert row[1].count("none") == 4


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("statement.json", '{"statement_version": 2,', "statement.json: line 1"),
        ("statement.json", '{"statement_version": 1, "silos": [], "private": true}', "version 2"),
        (
            "statement.json",
            '{"statement_version": 2, "private": true, "silos": [{"name": "x"}]}',
            "delta",
        ),
        ("statement.json", "[]", "expected a JSON object"),
        ("rounds.jsonl", '{"pass": "default"}\n', "a round needs"),
        ("results.json", "\n\n{", "results.json: line 3"),
    ],
)
def test_damaged_file_is_named_and_leaves_no_page(
    tmp_path: Path, file: str, content: str, said: str
) -> None:
    """One error names the file and the mend; the page is written whole or not at all."""
    folder = run_folders.write(tmp_path)
    (folder / file).write_text(content)
    with pytest.raises(DataError, match=re.escape(said)) as caught:
        write(folder)
    assert "--resume" in str(caught.value)
    assert not list(folder.glob("report*"))


def test_folder_without_statement_is_refused_with_the_mend(tmp_path: Path) -> None:
    """Neither a missing folder nor an unfinished run gives a page."""
    with pytest.raises(DataError, match="no such run folder"):
        write(tmp_path / "missing")
    with pytest.raises(DataError, match="holds no statement"):
        write(tmp_path)


def test_a_private_baseline_is_shown_with_what_it_would_promise(tmp_path: Path) -> None:
    """Its line has a range over the silos; a table has each silo's, rounded up, with the terms."""
    results = run_folders.results()
    results["utility"][3] |= {"kind": "private baseline", "rows": 77}
    results["utility"][5] |= {"kind": "baseline without privacy"}
    uppers = {"cleveland": 7.991, "hungary": 7.991, "va-long-beach": 3.002}
    terms = {"delta": 1e-6, "unit": "record", "adjacency": "zero-out"}
    results["claims"] = {results["utility"][3]["name"]: {"epsilon": uppers, **terms}}
    results["baseline_notes"] = ["Untuned: something."]
    text = written(tmp_path, results=results)
    cells = re.search(r'"row">union of local generators</th>(.*?)</tr>', text)
    assert cells is not None
    assert re.findall(r">([^<]+)</td>", cells[1])[:3] == ["private baseline", "77", "3.01 to 8.00"]
    assert "<td>baseline without privacy</td><td></td><td>none</td>" in text
    assert "Untuned: something." in text
    promised = text.partition('id="promises"')[2].partition("</section>")[0]
    rows = [re.findall(r">([^<]+)</t[hd]>", row) for row in promised.split("<tr>")[2:]]
    assert [row[1:] for row in rows] == [
        ["cleveland, hungary", "8.00", "1e-06", "record", "zero-out"],
        ["va-long-beach", "3.01", "1e-06", "record", "zero-out"],
    ]


def test_a_baseline_that_is_not_shown_is_named_with_the_reason(tmp_path: Path) -> None:
    """In a table of its own, which is absent where nothing is missing."""
    assert "Baselines that are not shown" not in written(tmp_path / "all")
    left_out = [{"name": "the literal paper", "reason": f"because {HOSTILE}"}]
    results = run_folders.results() | {"left_out": left_out}
    text = written(tmp_path / "some", results=results)
    assert "Baselines that are not shown" in text
    assert "because &lt;script&gt;" in text
