"""The report for everybody: structure, names, contrast; checked on the page's own text."""

import hashlib
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dpfedsyn.report import write
from tests.dpfedsyn import run_folders

VOID = {"private": False, "void": "privacy.unsafe_noise_seed is set"}
HAZARDS = [
    {"number": 1, "name": "Epsilon too large", "status": "answered", "answer": "it is 7.99"},
    {"number": 2, "name": "Delta too large", "status": "open", "answer": "nobody has said"},
]
VOIDS = frozenset({"meta", "br", "path", "use", "rect", "img", "link"})


class Element:
    """A tag with its attributes, text and what is inside."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag, self.attributes = tag, attributes
        self.inside: list[Element] = []
        self.text = ""

    def all(self, *tags: str) -> "list[Element]":
        """Return everything inside with one of these tags, in the order of the page."""
        found = []
        for element in self.inside:
            found += [element] if element.tag in tags else []
            found += element.all(*tags)
        return found

    def get(self, name: str) -> str:
        """Return an attribute, or an empty text."""
        return self.attributes.get(name) or ""


class Page(HTMLParser):
    """A page as a tree."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self._open[-1].inside.append(element)
        if tag not in VOIDS:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].inside.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOIDS:
            assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data


def written(folder: Path, **changes: object) -> str:
    statement = run_folders.statement(hazards=HAZARDS, **changes)
    return write(run_folders.write(folder, statement=statement)).read_text(encoding="utf-8")


@pytest.fixture(scope="module", params=["private", "void"])
def text(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of a private run, and of one that is not."""
    changes = {} if request.param == "private" else VOID
    return written(tmp_path_factory.mktemp(request.param), **changes)


@pytest.fixture
def page(text: str) -> Element:
    return Page(text).root


def test_the_page_says_its_language_its_name_and_its_one_main_heading(page: Element) -> None:
    """What a screen reader says first."""
    (html,) = page.all("html")
    assert html.get("lang") == "en"
    assert [bool(title.text.strip()) for title in page.all("title")] == [True]
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    viewport = [meta.get("content") for meta in page.all("meta") if meta.get("name") == "viewport"]
    assert viewport == ["width=device-width, initial-scale=1"]  # and nothing that forbids zoom


def test_headings_are_in_order(page: Element) -> None:
    """None is empty, and none skips a level."""
    headings = page.all("h1", "h2", "h3", "h4", "h5", "h6")
    levels = [int(heading.tag[1]) for heading in headings]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(heading.text.strip() for heading in headings)


def test_the_first_link_skips_to_the_content(page: Element) -> None:
    """Its target is there and takes the focus."""
    first = page.all("a")[0]
    assert first.get("href") == "#main"
    (main,) = page.all("main")
    assert (main.get("id"), main.get("tabindex")) == ("main", "-1")


def test_every_table_scrolls_in_a_region_of_its_own_that_its_caption_names(page: Element) -> None:
    """Focus reaches it, so that a keyboard can scroll it; a page's names are all different."""
    regions = [region for region in page.all("div") if region.get("class") == "wide"]
    tables = page.all("table")
    assert len(regions) == len(tables) > 12
    names = []
    for region in regions:
        (caption,) = region.all("caption")
        assert (region.get("role"), region.get("tabindex")) == ("region", "0")
        assert region.get("aria-labelledby") == caption.get("id") != ""
        names.append(caption.text.strip())
    assert all(names)
    assert len(set(names)) == len(names)


def test_every_cell_has_its_heads(page: Element) -> None:
    """A head per column, of the columns' number, and one per row."""
    for table in page.all("table"):
        (head,), (body,) = table.all("thead"), table.all("tbody")
        columns = head.all("th")
        assert {cell.get("scope") for cell in columns} == {"col"}
        for row in body.all("tr"):
            cells = row.all("th", "td")
            assert len(cells) == len(columns)
            assert [cell.get("scope") for cell in cells if cell.tag == "th"] == ["row"]
            assert cells[0].tag == "th"


def test_every_picture_and_every_landmark_has_words(page: Element) -> None:
    """Drawings, images, navigation and what scrolls besides tables."""
    drawings = page.all("svg")
    assert len(drawings) >= 6
    assert all(d.get("role") == "img" and len(d.get("aria-label")) > 20 for d in drawings)
    assert all(len(image.get("alt")) > 10 for image in page.all("img"))
    assert all(nav.get("aria-label") for nav in page.all("nav", "aside"))
    assert all(p.get("aria-label") and p.get("tabindex") == "0" for p in page.all("pre"))


def test_ids_are_used_once_and_links_lead_somewhere(page: Element) -> None:
    """Within the page; nothing is loaded from anywhere."""
    everything = page.all(*{element.tag for element in walk(page)})
    ids = [element.get("id") for element in everything if element.get("id")]
    assert len(set(ids)) == len(ids)
    links = [link.get("href") for link in page.all("a")]
    assert len(links) > 10
    assert {link[:1] for link in links} == {"#"}
    assert {link[1:] for link in links} <= set(ids)


def walk(element: Element) -> list[Element]:
    return [element, *(e for inner in element.inside for e in walk(inner))]


def test_nothing_on_the_page_moves(text: str) -> None:
    """So nothing has to stop for those who asked for less motion."""
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"animation|transition|scroll-behavior|@keyframes", style)


def test_every_colour_is_one_of_the_page_s_own_in_light_and_in_dark(text: str) -> None:
    """Both schemes define the same variables; no rule but a printed page's margin names a colour
    itself."""
    light, dark = schemes(text)
    assert light.keys() == dark.keys()
    style = text.partition("<style>")[2].partition("</style>")[0]
    rules = "\n".join(line for line in style.splitlines() if not re.match(r"\s*--|@page", line))
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsl", rules)
    used = set(re.findall(r"var\((--[\w-]+)\)", text))
    assert used <= light.keys()


WORDS = (
    ("--ink", "--paper"), ("--ink", "--card"), ("--quiet", "--paper"), ("--quiet", "--card"),
    ("--s1", "--paper"), ("--s1", "--card"), ("--s2", "--card"), ("--alarm", "--alarm-paper"),
    ("--alarm", "--paper"), ("--hint", "--hint-paper"),
)  # fmt: skip
SHAPES = tuple((f"--s{k}", "--card") for k in range(1, 5))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_and_shapes_stand_out(text: str, scheme: str) -> None:
    """WCAG 2.2: text at least 4.5 to 1, what a drawing is made of at least 3 to 1."""
    colours = dict(zip(("light", "dark"), schemes(text), strict=True))[scheme]
    for pairs, least in ((WORDS, 4.5), (SHAPES, 3.0)):
        for front, back in pairs:
            assert contrast(colours[front], colours[back]) >= least, (front, back)


def test_contrast_is_measured_as_the_guidelines_do() -> None:
    """Black on white is 21 to 1; a middle grey on white misses 4.5 by a hair."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)


def schemes(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """The page's variables in light and in dark."""
    blocks = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    assert len(blocks) == 2
    light, dark = (dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", block)) for block in blocks)
    return light, dark


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2, relative luminance)."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    shares = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# --- what the first screen says


def facts(text: str) -> dict[str, str]:
    """Questions and answers of the page's first section."""
    page = Page(text).root
    (summary,) = [s for s in page.all("section") if s.get("id") == "summary"]
    questions, answers = summary.all("dt"), summary.all("dd")
    return {q.text: a.text.strip() for q, a in zip(questions, answers, strict=True)}


def test_the_first_screen_answers_what_a_board_asks(tmp_path: Path) -> None:
    """Whose data, from whom, how well, what an attack achieves, what is left, what it is worth."""
    found = facts(written(tmp_path))
    assert found["Whose data are hidden?"] == "Every single record: one row of one silo."
    assert "the server too, also one that cheats" in found["From whom?"]
    assert "ε ≤ 7.99 (delta 1e-05, unit record, add-or-remove" in found["How well?"]
    search = found["What does a search find at most?"]
    assert "0.1 % / 1 % / 5 %" in search
    assert "at most 7.7 % / 25.2 % / 50.4 %" in search  # 7.601, 25.12 and 50.34, rounded up
    guess = found["How sure can somebody become?"]
    assert "guesses right at most 79.6 % of the time" in guess
    assert "99.99 % sure about one record; surer only with a probability of at most 1e-05" in guess
    assert "97.1 % of the cap" in found["What is left of the budget?"]  # (5912.25 / 6000)^2
    assert "0.837 (default (ULA)), 0.856 (best (ancestral))" in found["What are the rows worth?"]
    assert "private base alone beats" in found["Would something simpler do as well?"]
    served = found["Who is served worse?"]
    assert "Worse than the average: label: disease." in served
    assert "Too few test rows to say: silo: switzerland." in served
    assert "2 hazards: 1 answered, 1 open." in found["Which hazards are answered?"]


def test_the_unit_of_the_claim_is_the_one_that_is_told(tmp_path: Path) -> None:
    """Persons are called persons, everywhere on the first screen."""
    statement = run_folders.statement()
    for silo in statement["silos"]:
        silo["unit"] = "person"
    found = facts(written(tmp_path, silos=statement["silos"]))
    assert found["Whose data are hidden?"] == "Every person, with all their rows."
    assert "that a person's data were used" in found["How sure can somebody become?"]
    assert "record" not in found["How sure can somebody become?"]


def test_the_worst_silo_is_the_one_that_is_told(tmp_path: Path) -> None:
    """One silo with a larger epsilon speaks for all of them; the table has both."""
    statement = run_folders.statement()
    worse = run_folders.risk() | {"right_guess_from_even_odds": 0.91}
    statement["silos"][2] |= {"epsilon": run_folders.bound(12.0), "risk": worse}
    text = written(tmp_path, silos=statement["silos"])
    found = facts(text)
    assert "ε ≤ 12.00" in found["How well?"]
    assert "at most 91.0 % of the time" in found["How sure can somebody become?"]
    assert "Epsilon is above 10" in text
    table = text.partition("What an attacker achieves at most</caption>")[2].partition("</table>")
    assert re.findall(r'<th scope="row">([^<]+)</th>', table[0]) == [
        "cleveland, hungary, va-long-beach",
        "switzerland",
        "by chance",
    ]


def test_what_nobody_looked_at_is_called_so(tmp_path: Path) -> None:
    """No audit, no attack, no evaluation: each says so; so does a run without privacy."""
    statement = run_folders.statement(**VOID)
    folder = run_folders.write(tmp_path, statement=statement, results=None)
    found = facts(write(folder).read_text(encoding="utf-8"))
    assert "Nothing is promised to anybody" in found["What is promised?"]
    assert "It was not measured" in found["What are the rows worth?"]
    assert "Not yet." in found["Did anybody check the run?"]
    assert "Not yet." in found["Did anybody attack the rows?"]
    assert "How well?" not in found
    assert "Which hazards are answered?" not in found


def test_an_attack_above_the_claim_is_the_first_word(tmp_path: Path) -> None:
    """Success beyond the claim is no footnote."""
    for above, start in ((True, "Look at this. ABOVE THE CLAIM."), (False, "Yes.")):
        folder = run_folders.write(tmp_path / str(above))
        attack = {
            "pass": "default", "attack": "distance", "above_claim": above, "rates": [],
            "auc": {"value": 0.91, "low": 0.8, "high": 1.0},
            "pairs": {"value": 0.9, "low": 0.8, "high": 1.0},
        }  # fmt: skip
        records = {"used": 9, "control": 9, "reference": 9}
        allowed = {"auc": 0.7, "rates": {}, "void": None}
        found = {"membership": [attack], "allowed": allowed, "records": records}
        run_folders.add(folder, "attacks", found)
        said = facts(write(folder).read_text(encoding="utf-8"))["Did anybody attack the rows?"]
        assert said.startswith(start)


def test_every_hazard_stands_with_its_answer(tmp_path: Path) -> None:
    """In a section of its own, which is absent where the statement answers none."""
    text = written(tmp_path / "some")
    part = text.partition('id="hazards"')[2].partition("</section>")[0]
    assert "1. Epsilon too large" in part
    assert "nobody has said" in part
    without = write(run_folders.write(tmp_path / "none")).read_text(encoding="utf-8")
    assert 'id="hazards"' not in without


def test_rows_can_be_compared_with_those_that_were_given(tmp_path: Path) -> None:
    """The page has the digest of the file that lies there, and the head of every ledger."""
    text = written(tmp_path)
    assert hashlib.sha256((tmp_path / "synthetic.csv").read_bytes()).hexdigest() in text
    assert text.count("ab" * 32) == len(run_folders.SILOS)


def test_budget_is_drawn_against_its_cap(tmp_path: Path) -> None:
    """The drawing says in words where every silo ends; without rounds there is none."""
    text = written(tmp_path / "with")
    drawing = re.search(r'aria-label="(Spent of each silo[^"]*)"', text)
    assert drawing is not None
    for name in run_folders.SILOS:
        assert f"{name} 4.0 percent" in drawing[1]  # 3.6e5 * 4 of 6000^2
    without = run_folders.write(tmp_path / "without", rounds=[])
    assert "Spent of each silo" not in write(without).read_text(encoding="utf-8")
