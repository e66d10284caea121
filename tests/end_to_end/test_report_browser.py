"""The report in headless Chromium: desk and phone, light and dark; axe-core, keyboard, overflow.

Marked `browser` and skipped where Chromium or its driver is not there: the static checks of
tests/dpfedsyn/test_report_page.py always run.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn.marking import find
from tests.end_to_end.small import SMALL, call, sets

driver = pytest.importorskip("playwright.sync_api", reason="needs `pip install playwright`")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="needs `pip install axe-playwright-python`"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (`apt-get install chromium`)"),
]

DESK, PHONE = (1280, 900), (390, 844)
VIEWS = [(size, scheme) for size in (DESK, PHONE) for scheme in ("light", "dark")]
LEAST_TARGET = 24  # pixels, WCAG 2.2 target size


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for all checks; a container has no sandbox to offer it."""
    with driver.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module", params=["private", "void", "images"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with an audit and attacks: private, without privacy, of images."""
    folder = tmp_path_factory.mktemp(request.param) / "run"
    images = ("answers.rows=150", "train.steps=4", "train.block=2", "network.hidden=16",
              "sampler.levels=3", "sampler.steps_per_level=1")  # fmt: skip
    overrides = images if request.param == "images" else (*SMALL, 'evaluate.groups=["sex"]')
    if request.param == "void":
        overrides += ("privacy.unsafe_noise_seed=7",)
    example = "digits" if request.param == "images" else "hospitals"
    assert call("run", example, "--out", folder, *sets(overrides)).exit_code == 0
    assert call("audit", folder).exit_code == 0
    call("audit", "attack", folder)
    assert call("report", folder).exit_code == 0
    return find(folder, "report.html")


def opened(browser: Any, page: Path, size: tuple[int, int], scheme: str) -> Any:
    """Open a page in a context of its own, which may load nothing but the page."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce"
    )
    asked: list[str] = []
    found = context.new_page()
    found.on("request", lambda request: asked.append(request.url))
    found.goto(page.as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    return found


@pytest.mark.parametrize(("size", "scheme"), VIEWS, ids=str)
def test_axe_finds_nothing(browser: Any, page: Path, size: tuple[int, int], scheme: str) -> None:
    """No rule of axe-core is broken, at any impact; contrast is measured on what is drawn."""
    shown = opened(browser, page, size, scheme)
    found = axe.Axe().run(shown).response["violations"]
    told = [(rule["id"], rule["impact"], rule["nodes"][0]["target"]) for rule in found]
    shown.context.close()
    assert told == []


@pytest.mark.parametrize(("size", "scheme"), VIEWS[::2], ids=str)
def test_the_page_is_never_wider_than_its_window(
    browser: Any, page: Path, size: tuple[int, int], scheme: str
) -> None:
    """What is wide scrolls in a region of its own: the page itself does not move sideways."""
    shown = opened(browser, page, size, scheme)
    width, wide = shown.evaluate(
        "[document.documentElement.scrollWidth, "
        "[...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth).length]"
    )
    shown.context.close()
    assert width <= size[0]
    assert wide > 0 or size == DESK  # on a phone some tables are wider, and do scroll


def test_a_keyboard_reaches_and_scrolls_everything(browser: Any, page: Path) -> None:
    """The first key skips to the content; every stop is visible; a wide table scrolls by arrows."""
    shown = opened(browser, page, PHONE, "light")
    shown.keyboard.press("Tab")
    assert shown.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "main"
    stops, scrolled = 0, False
    while shown.evaluate("document.activeElement !== document.body") and stops < 300:
        shown.keyboard.press("Tab")
        stops += 1
        style = shown.evaluate(
            "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
            "return [e.className, s.outlineStyle, parseFloat(s.outlineWidth),"
            "e.scrollWidth > e.clientWidth] })()"
        )
        if shown.evaluate("document.activeElement === document.body"):
            break
        assert style[1] == "solid"
        assert style[2] >= 2
        if style[0] == "wide" and style[3] and not scrolled:
            shown.keyboard.press("ArrowRight")
            shown.wait_for_timeout(300)
            scrolled = shown.evaluate("document.activeElement.scrollLeft") > 0
    shown.context.close()
    assert 30 < stops < 300
    assert scrolled


def test_the_focus_is_not_hidden_behind_the_mark(browser: Any, page: Path) -> None:
    """Where the mark stays in sight, a section that is jumped to begins below it."""
    shown = opened(browser, page, PHONE, "dark")
    shown.evaluate("location.hash = 'caveats'")
    shown.wait_for_timeout(200)
    top, bottom = shown.evaluate(
        "[document.querySelector('#caveats h2').getBoundingClientRect().top,"
        "document.querySelector('.mark')?.getBoundingClientRect().bottom ?? 0]"
    )
    marked = page.name.startswith("NON-PRIVATE")
    shown.context.close()
    assert (bottom > 0) == marked
    assert top >= bottom


def test_a_screen_reader_hears_the_outline(browser: Any, page: Path) -> None:
    """The tree that is read begins with the skip link; headings, tables, drawings are in it."""
    shown = opened(browser, page, DESK, "light")
    heard = shown.locator("body").aria_snapshot()
    drawings = shown.evaluate("document.querySelectorAll('svg, img').length")
    shown.context.close()
    assert heard.splitlines()[0].startswith('- link "Skip to what is promised"')
    assert len(re.findall(r"- '?heading .* \[level=1\]", heard)) == 1
    assert len(re.findall(r"- '?heading .* \[level=2\]", heard)) > 6
    assert len(re.findall(r"""- '?table \"""", heard)) > 12
    assert len(re.findall(r"""- '?img \"""", heard)) == drawings


def test_what_can_be_touched_is_large_enough(browser: Any, page: Path) -> None:
    """Links that stand alone are at least 24 pixels high on a phone."""
    shown = opened(browser, page, PHONE, "light")
    heights = shown.evaluate(
        "[...document.querySelectorAll('nav a')].map(e => e.getBoundingClientRect().height)"
    )
    shown.context.close()
    assert min(heights) >= LEAST_TARGET


def test_a_printed_page_of_a_run_without_privacy_is_marked(
    browser: Any, page: Path, tmp_path: Path
) -> None:
    """It prints, and its rules put the mark into the margin of every sheet."""
    shown = opened(browser, page, DESK, "dark")
    shown.pdf(path=tmp_path / "page.pdf", format="A4", prefer_css_page_size=True)
    shown.emulate_media(media="print")
    paper = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    shown.context.close()
    assert (tmp_path / "page.pdf").stat().st_size > 20_000
    assert paper == "rgb(251, 251, 249)"  # dark is for screens alone
    marked = page.name.startswith("NON-PRIVATE")
    assert ("@top-center" in page.read_text(encoding="utf-8")) == marked
