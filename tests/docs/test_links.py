"""Every page is in the navigation, every link and anchor resolves, every test that is named is."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.page import DOCS, INCLUDED, NOTEBOOK, PAGES, existing, prose, source, whole
from tests.end_to_end.small import ROOT

SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`\n]+`")
_TEST = re.compile(r"tests/[\w/]+\.py(?:::\w+)?")
_FILE = re.compile(r"`((?:accountants|dpfedsyn|benchmarks|tests|\.ci)/[\w./-]*\w/?)(?:::\w+)?`")

LETTERS = 84


def named(nav: Any) -> Iterator[str]:
    """Yield the pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    for entry in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from named(entry)


def slug(heading: str) -> str:
    """Return the anchor of a heading, as Python-Markdown makes it."""
    text = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


@cache
def anchors(page: str) -> frozenset[str]:
    """Return the anchors of a page."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE)
    return frozenset(slug(heading) for heading in headings)


def links(page: str) -> list[str]:
    """Return where a page's links lead."""
    return _LINK.findall(_CODE.sub("", prose(page)))


def broken(page: str, target: str) -> str | None:
    """Return what is wrong with a link of a page; None where nothing is."""
    if re.match(r"https://|mailto:", target):
        return None
    path, _, anchor = target.partition("#")
    to = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    if to not in PAGES:
        return f"no page {to}"
    if anchor and anchor not in anchors(to) and "::: " not in source(to):
        return f"no heading #{anchor} in {to}"
    return None


def test_every_page_is_in_the_navigation_once() -> None:
    """Nothing is hidden, and the navigation leads nowhere else."""
    assert sorted(named(SITE["nav"])) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    """To a page of this site and a heading on it, or outside over https."""
    assert [(to, wrong) for to in links(page) if (wrong := broken(page, to))] == []


@pytest.mark.parametrize(
    "target", ["nowhere.md", "index.md" + "#no-such-heading", "http://example.org"]
)
def test_a_broken_link_is_found(target: str) -> None:
    """Another page, another heading, and what is not encrypted."""
    assert broken("index.md", target)


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_test_that_is_named_exists(page: str) -> None:
    """Paths in code marks are of this repository; a test is named with its function."""
    text = whole(page)
    gone = [name for name in _TEST.findall(text) if not existing(name)]
    gone += [name for name in _FILE.findall(text) if not (ROOT / name).exists()]
    assert gone == []


def test_a_test_that_does_not_exist_is_found() -> None:
    """Neither a file nor a function of that name."""
    assert not existing("tests/docs/test_nowhere.py")
    assert not existing("tests/docs/test_links.py::test_of_nothing")
    assert existing("tests/docs/test_links.py::test_a_test_that_does_not_exist_is_found")


@pytest.mark.parametrize("page", PAGES)
def test_what_is_included_exists(page: str) -> None:
    """Files are whole or have the marks; nothing else on the page looks like an inclusion."""
    assert source(page).count("--8<--") == len(INCLUDED.findall(source(page)))
    assert whole(page)


def commands() -> list[str]:
    """Return the commands of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines()]


@pytest.mark.parametrize("command", commands())
def test_every_command_for_developers_is_run_by_ci(command: str) -> None:
    """Word for word, alone or with further arguments."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(rf"(?m)^ *step (quiet )?{re.escape(command)}(?=$| )", script)


def test_contributors_are_led_to_what_exists() -> None:
    """Links of README and CONTRIBUTING.md into this repository."""
    for name in ("README.md", "CONTRIBUTING.md"):
        text = _CODE.sub("", (ROOT / name).read_text(encoding="utf-8"))
        here = [to for to in _LINK.findall(text) if not to.startswith("https://")]
        assert here
        assert [to for to in here if not (ROOT / to).exists()] == []


def test_pages_begin_with_one_heading() -> None:
    """A title of the first degree and no second one."""
    for page in PAGES:
        first = [line for line in prose(page).splitlines() if line.startswith("# ")]
        assert len(first) == 1, (page, first)


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("mathematics/")])
def test_displayed_formulas_fit_the_page(page: str) -> None:
    """A window of 1,300 pixels shows this many letters of them."""
    lines = prose(page).splitlines()
    assert [line for line in lines if line.startswith("    ") and len(line) > LETTERS] == []


def test_the_folder_holds_pages_alone() -> None:
    """What lies beside them would be published."""
    found = {path.suffix for path in Path(DOCS).rglob("*") if path.is_file()}
    assert found == {".md", NOTEBOOK}
