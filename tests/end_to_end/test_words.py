"""What the project's own files must not say."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.small import ROOT

FOLDERS = ("accountants", "benchmarks", "docs", "dpfedsyn", "tests", ".ci")
FILES = (
    "README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "mkdocs.yml", "pyproject.toml",
)  # fmt: skip
TEXT = {".py", ".md", ".ipynb", ".toml", ".j2", ".json", ""}
FORBIDDEN = {
    # A promise that no epsilon makes.
    "identity promise": "anonym" + "(ous|is|iz)",
    "issue number": r"\b[Ii]ssue" + r"s? #?\d|(?<![&\w\"'(])#\d+\b(?!\s*[%)])",
    "machine path": "/(work|root|home)/" + r"\w",
    "unfinished work": "TO" + "DO|FIX" + "ME|NotImplemented" + "Error",
    "unsafe randomness": r"np\.random\." + r"(seed|normal)|default_rng\(" + r"\)",
    "pickle": r"import " + "pickle",
    "code in a data file": r"torch\." + r"(load|save)\(|allow_pickle=" + "True",
}
# A test may seed it to show that nothing depends on it, or write what a reader has to refuse.
SHIPPED_CODE_ONLY = {"unsafe randomness", "code in a data file"}


def texts() -> Iterator[Path]:
    """Yield every text file that the repository ships."""
    yield from (ROOT / name for name in FILES)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts:
                yield path


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_shipped_file_says_it(kind: str) -> None:
    """Neither code nor documentation holds a word of this kind."""
    pattern = re.compile(FORBIDDEN[kind])
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        if kind not in SHIPPED_CODE_ONLY or path.relative_to(ROOT).parts[0] != "tests"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("identity promise", "the rows are anonym" + "ous"),
        ("issue number", "see issue" + " 12"),
        ("issue number", "fixes " + "#12"),
        ("machine path", "/work" + "/main"),
        ("unfinished work", "# TO" + "DO later"),
        ("unsafe randomness", "default_rng(" + ")"),
        ("pickle", "import " + "pickle"),
        ("code in a data file", "state = torch" + ".load(path)"),
        ("code in a data file", "np.load(path, allow_pickle" + "=True)"),
    ],
)
def test_the_search_finds_what_it_is_for(kind: str, text: str) -> None:
    """Each pattern matches an example, so an empty result says something."""
    assert re.search(FORBIDDEN[kind], text)


def test_files_are_found() -> None:
    """The search covers the packages, the documentation and itself."""
    names = {str(path.relative_to(ROOT)) for path in texts()}
    assert {"README.md", "dpfedsyn/silo.py", "accountants/ledger.py", ".ci/run"} <= names
    assert "dpfedsyn/examples/hospitals/config.toml" in names
    assert "tests/end_to_end/test_words.py" in names
