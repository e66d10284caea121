"""The reference is complete, shows every name once, and its docstrings are such that it can."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml

from dpfedsyn.settings import Config, SiloSettings
from tests.docs import generated
from tests.docs.page import DOCS, source
from tests.end_to_end.small import ROOT

REFERENCE = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob("reference/*.md"))
_DIRECTIVE = re.compile(r"^::: (\S+)\n((?:    .*\n)*)", re.MULTILINE)
_SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Guarantee|Yields|Notes?|Source|Examples?):")


@dataclass(frozen=True)
class Shown:
    """What one directive of a page shows: of a module these members, or all of its public ones."""

    name: str
    members: tuple[str, ...] | bool | None

    @property
    def module(self) -> str:
        """The module: of a class that is shown by itself, the one it is in."""
        return self.name if path_of(self.name) else self.name.rpartition(".")[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of that module that it shows."""
        if self.module != self.name:
            return (self.name.rpartition(".")[2],)
        if isinstance(self.members, tuple):
            return self.members
        return exported(self.name) or public(self.name)


def path_of(module: str) -> Path | None:
    """Return the file of a module, None where there is none of that name."""
    start = ROOT.joinpath(*module.split("."))
    found = [path for path in (start.with_suffix(".py"), start / "__init__.py") if path.is_file()]
    return found[0] if found else None


@cache
def tree(module: str) -> ast.Module:
    """Return the syntax of a module."""
    path = path_of(module)
    assert path is not None, module
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def shown() -> tuple[Shown, ...]:
    """Return everything that the pages of the reference show."""
    found = []
    for page in REFERENCE:
        for name, text in _DIRECTIVE.findall(source(page)):
            options = (yaml.safe_load(text) or {}).get("options", {}) if text else {}
            members = options.get("members")
            found.append(Shown(name, tuple(members) if isinstance(members, list) else members))
    return tuple(found)


def exported(module: str) -> tuple[str, ...]:
    """Return the names in `__all__`."""
    for node in tree(module).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return tuple(ast.literal_eval(node.value))
    return ()


def public(module: str) -> tuple[str, ...]:
    """Return the public names that a module defines and describes."""
    return tuple(name for name, text in described(module).items() if text and name[0] != "_")


@cache
def described(module: str) -> dict[str, str | None]:
    """Return the names that a module defines, each with its docstring."""
    body, found = tree(module).body, {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found[node.name] = ast.get_docstring(node)
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        for target in targets:
            text = after.value if isinstance(after, ast.Expr) else None
            told = text.value if isinstance(text, ast.Constant) else None
            if isinstance(target, ast.Name):
                found[target.id] = str(told) if told else None
    return found


@cache
def home(module: str, name: str) -> tuple[str, str]:
    """Return the module that defines a name which another one may only import, and its name."""
    if name in described(module):
        return module, name
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    inner = f"{node.module}.{alias.name}"
                    return (inner, "") if path_of(inner) else home(node.module, alias.name)
    raise AssertionError(f"{module} has no {name}")


PACKAGES = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for root in ("accountants", "dpfedsyn")
    for path in (ROOT / root).rglob("__init__.py")
    if exported(".".join(path.parent.relative_to(ROOT).parts))
)


@cache
def count() -> Counter[tuple[str, str]]:
    """Return how often each name is shown, by the module that defines it."""
    return Counter(home(one.module, name) for one in shown() for name in one.names)


def test_there_are_packages() -> None:
    """Otherwise the next tests compare nothing."""
    assert {"accountants", "dpfedsyn.audit", "dpfedsyn.columns"} <= set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exported_name_is_shown_once(package: str) -> None:
    """Of a package's `__all__`; a subpackage among them by its own directive."""
    modules = Counter(one.name for one in shown())
    for name in exported(package):
        module, own = home(package, name)
        assert (count()[module, own] if own else modules[module]) == 1, (package, name)
        if own:
            assert described(module)[own], f"{module}.{own} has no docstring, so it is not shown"


def test_nothing_is_shown_twice() -> None:
    """One place for each name."""
    assert {name for name, often in count().items() if often > 1} == set()


MODULES = sorted({home(one.module, name)[0] for one in shown() for name in one.names})


@pytest.mark.parametrize("module", MODULES)
def test_docstrings_have_one_argument_a_line_and_air_before_sections(module: str) -> None:
    """The tables of the site are made of these lines."""
    faults = [
        f"{getattr(node, 'name', module)}: {fault}"
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module)
        for fault in crowded(ast.get_docstring(node) or "", known(node))
    ]
    assert faults == []


def known(node: ast.AST) -> set[str]:
    """Return the names that a docstring's sections can be about."""
    names: set[str] = set()
    if isinstance(node, ast.FunctionDef):
        spec = node.args
        names |= {arg.arg for arg in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)}
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                names.add(inner.target.id)
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                names |= known(inner)
    return names


def crowded(text: str, names: set[str]) -> list[str]:
    """Return what the reader of docstrings would take wrongly."""
    found, section, before = [], "", ""
    for line in text.splitlines():
        if _SECTION.fullmatch(line):
            section = line
            if before.strip():
                found.append(f"no empty line before {line}")
        elif line and not line.startswith(" "):
            section = ""
        elif section in {"Args:", "Attributes:"}:
            entry = re.fullmatch(r"    ([^\s:].*?): .*", line)
            if entry and "," in entry[1] and set(entry[1].split(", ")) <= names:
                found.append(f"several names before one colon: {line.strip()}")
            for name in re.findall(r"(?<=[.;] )(\w+): ", line):
                if name in names:
                    found.append(f"{name} does not begin a line: {line.strip()}")
            inner = re.match(r"     +(\w+): ", line)
            if inner and inner[1] in names and before.rstrip().endswith((".", ";")):
                found.append(f"{inner[1]} is indented as a continuation")
        before = line
    return found


@pytest.mark.parametrize(
    "text",
    [
        "Do.\n\nArgs:\n    a: one. b: two.\n",
        "Do.\n\nArgs:\n    a, b: both.\n",
        "Do.\n\nArgs:\n    a: one.\n        b: two.\n",
        "Do.\n\nArgs:\n    a: one.\nGuarantee:\n    It holds.\n",
    ],
)
def test_a_crowded_docstring_is_found(text: str) -> None:
    """Two on one line, two before a colon, one too far in, no air before a section."""
    assert crowded(text, {"a", "b"})


@pytest.mark.parametrize("page", generated.PAGES)
def test_generated_pages_are_of_this_code(page: str) -> None:
    """`python -m tests.docs.generated` would change nothing."""
    assert (DOCS / page).read_text(encoding="utf-8") == generated.PAGES[page]()


def test_every_key_of_a_configuration_has_its_line_and_its_words() -> None:
    """Of every section, and none is empty."""
    text = generated.configuration()
    for name, section in [("silos", SiloSettings), *generated.sections()]:
        part = re.search(rf"^## `\[+{name}\]+`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert part is not None or name == "best"
        for field in fields(section):
            assert generated.comments(section)[field.name], (name, field.name)
            assert part is None or f"\n| `{field.name}` | " in part[1]
    assert all(f"\n| `{key}` | " in text for key in ("name", "preset", "device"))
    assert {field.name for field in fields(Config)} == (
        {name for name, _ in generated.sections()} | {"name", "folder", "silos", "preset", "device"}
    )


def test_every_command_and_option_has_its_line() -> None:
    """What a command takes has help, too."""
    text = generated.commands()
    found = dict(generated.every_command())
    assert ("dpfedsyn", "run") in found
    assert ("dpfedsyn", "audit", "attack") in found
    for path, command in found.items():
        assert f"\n## {' '.join(path)}\n" in text
        assert command.help
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (path, parameter.name)


def test_every_key_of_a_column_is_on_the_page_of_the_schema() -> None:
    """As the reader of columns asks for them."""
    asked = {
        ast.literal_eval(node.args[0])
        for node in ast.walk(tree("dpfedsyn.column_sections"))
        if isinstance(node, ast.Call)
        and re.fullmatch(r"section\.(need|take)", ast.unparse(node.func))
    }
    assert {"kind", "bounds", "levels"} <= asked
    assert {key for key in asked if f"`{key}`" not in source("reference/schema.md")} == set()


def test_every_folder_is_on_the_map_and_every_file_has_its_line() -> None:
    """Of both packages."""
    on_map, text = source("map.md"), source("files.md")
    for package in ("accountants", "dpfedsyn"):
        paths = [path for path in (ROOT / package).rglob("*.py")]
        folders = {path.parent for path in paths} | {ROOT / "dpfedsyn" / "examples"}
        deep = {folder for folder in folders if folder.parent == ROOT / package}
        assert {f.name for f in deep if f"`{package}/{f.name}/" not in on_map} == set()
        assert {p for p in paths if f"`{p.relative_to(ROOT).as_posix()}` | " not in text} == set()
    assert re.search(r"\| `\S+` \|  \|", text) is None  # each says something of itself


def test_what_is_shown_can_be_imported() -> None:
    """Every module of the reference, and the names that it is said to have."""
    for one in shown():
        module: ModuleType | Any = import_module(one.module)
        assert [name for name in one.names if not hasattr(module, name)] == [], one
