"""Pages that follow from the code: every key of a configuration, every command, every file.

python -m tests.docs.generated     writes them; a test compares what is there with the code
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click
import typer

from dpfedsyn import cli
from dpfedsyn.allowed_values import Allowed
from dpfedsyn.config import examples
from dpfedsyn.publication import CURATORS, SECTORS, StatementSettings
from dpfedsyn.round_settings import PRESETS
from dpfedsyn.settings import Config, SiloSettings
from tests.docs.page import DOCS
from tests.end_to_end.small import ROOT

WRITTEN = "<!-- Written by `python -m tests.docs.generated`; a test compares it with the code. -->"


def configuration() -> str:
    """Return the page of all keys, by section."""
    parts = [
        WRITTEN,
        "# Configuration",
        "One TOML file describes a run. What it does not name keeps its default; a key that is not "
        "on this page is an error. Nothing in it may be computed from records. "
        "`--set SECTION.KEY=VALUE` overrides a key for one command.",
        "[The schema](schema.md) describes columns or images. `dpfedsyn init run` writes a "
        "configuration [for your own files](../tutorials/own-files.md).",
        "Ranges are as in mathematics: a round bracket excludes its end.",
        "## Top of the file",
        said(Config),
        *table(Config, plain=True),
        "## `[[silos]]`",
        said(SiloSettings),
        *table(SiloSettings),
    ]
    for name, section in sections():
        if name == "best":
            continue
        parts += [f"## `[{name}]`", said(section), *table(section)]
        if name == "sampler":
            parts += presets()
    return "\n\n".join(parts) + "\n"


def sections() -> Iterator[tuple[str, type[Any]]]:
    """Yield the sections of a configuration: name and dataclass."""
    for name, hint in get_type_hints(Config).items():
        kinds = [kind for kind in (hint, *get_args(hint)) if dataclasses.is_dataclass(kind)]
        if kinds and name != "silos" and isinstance(kinds[0], type):
            yield name, kinds[0]


def said(section: type[Any]) -> str:
    """Return the first paragraph of what a section is for."""
    text = (inspect.getdoc(section) or "").split("\n\n")[0].replace("\n", " ")
    return "Of the whole run." if section is Config else text


def table(section: type[Any], *, plain: bool = False) -> list[str]:
    """Return the table of a section's keys; `plain`: without those that are sections themselves."""
    words, hints, lines = comments(section), get_type_hints(section), []
    for field in dataclasses.fields(section):
        default = default_of(field)
        inner = {field.name} & {name for name, _ in sections()} | {field.name} & {"silos", "folder"}
        if plain and inner:
            continue
        lines.append(
            f"| `{field.name}` | {shown(default)} | {allowed(field, hints[field.name])} "
            f"| {escaped(words[field.name])} |"
        )
    return ["\n".join(["| key | default | allowed | what it is |", "|---|---|---|---|", *lines])]


def presets() -> list[str]:
    """Return the table of what each preset sets."""
    names = list(PRESETS)
    lines = [
        f"| `{field.name}` | "
        + " | ".join(shown(getattr(PRESETS[name], field.name)) for name in names)
        + " |"
        for field in dataclasses.fields(PRESETS["default"])
        if len({getattr(preset, field.name) for preset in PRESETS.values()}) > 1
    ]
    head = "| key | " + " | ".join(f"`{name}`" for name in names) + " |"
    return [
        "A preset sets these of them; `preset = NAME` at the top of the file chooses it, and what "
        "the file says of `[sampler]` goes before. A section `[best]` has the same keys and "
        "overrides the preset `best`, for the extra pass too.",
        "\n".join([head, "|---" * (len(names) + 1) + "|", *lines]),
    ]


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return a field's default, `MISSING` where there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def shown(value: Any) -> str:
    """Return a value as TOML has it, in code marks."""
    if value is dataclasses.MISSING:
        return "needed"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{value:,}`".replace(",", "_") if isinstance(value, int) else f"`{value:g}`"


def allowed(field: dataclasses.Field[Any], hint: Any) -> str:
    """Return which values a field may have, in words."""
    found = field.metadata.get("allowed")
    if isinstance(found, Allowed):
        kind = "whole, " if hint is int else ""
        values = found.words.split(" | ")
        if hint is str:
            return ", ".join(f'`"{value}"`' for value in values)
        words = found.words
        for power in (63, 31):
            words = words.replace(f"{2**power - 1:g}", f"2^{power} - 1")
        return kind + re.sub(r"1e\+0*(\d+)", r"10^\1", words)
    if "names" in field.metadata:
        return "some of " + ", ".join(f'`"{name}"`' for name in field.metadata["names"])
    return {
        bool: "true or false",
        str: "a text",
        tuple[str, ...]: "a list of texts",
        tuple[float, ...]: "a list of numbers",
    }.get(hint, "a whole number")


def comments(section: type[Any]) -> dict[str, str]:
    """Return what the source says of each field: its comment, or its entry in the docstring."""
    if section is StatementSettings:
        text = re.sub(r"\s+", " ", inspect.getdoc(section) or "")
        names = "|".join(field.name for field in dataclasses.fields(section))
        parts = re.split(rf"(?:^|(?<=\s))((?:{names})(?:, (?:{names}))*): ", text)[1:]
        return {
            name: says.strip()
            .rstrip(".")
            .replace("`CURATORS`", ", ".join(CURATORS))
            .replace("`SECTORS`", ", ".join(SECTORS))
            for keys, says in zip(parts[::2], parts[1::2], strict=True)
            for name in keys.split(", ")
        }
    source = inspect.getsource(section)
    remarks: dict[int, str] = {}
    alone: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            remarks[token.start[0]] = token.string.lstrip("# ").strip()
            if not token.line[: token.start[1]].strip():
                alone.add(token.start[0])
    found = {}
    (body,) = (node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    for node in body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        before = []
        line = node.lineno - 1
        while line in alone:
            before.insert(0, remarks[line])
            line -= 1
        inside = [
            remarks[k] for k in range(node.lineno, (node.end_lineno or 0) + 1) if k in remarks
        ]
        found[node.target.id] = " ".join([*before, *inside])
    return found


def escaped(text: str) -> str:
    """Return text that may stand in a cell of a table."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def commands() -> str:
    """Return the page of all commands."""
    parts = [
        WRITTEN,
        "# Commands",
        "`dpfedsyn COMMAND --help` says the same. Where a file or an example is asked for, the "
        f"examples are {', '.join(f'`{name}`' for name in examples())}.",
        "Beside them, `python -m accountants` counts privacy without a run "
        "([how](../how-to/accounting.md)), and `python -m dpfedsyn.nvflare` starts a federation on "
        "one machine ([how](../how-to/nvflare.md)).",
        "## Exit codes",
        '--8<-- "README.md:exits"',
    ]
    for path, command in every_command():
        parts += [f"## {' '.join(path)}", escaped(" ".join((command.help or "").split()))]
        rows = [row for parameter in command.params if (row := of(parameter)) is not None]
        if rows:
            parts.append("\n".join(["| takes | | for |", "|---|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def every_command() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command that does something: the words that call it, and what click knows."""
    yield from _below(("dpfedsyn",), typer.main.get_command(cli.app))


def _below(
    path: tuple[str, ...], command: click.Command
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    if command.invoke_without_command:
        yield path, command
    for name, inner in sorted(command.commands.items()):
        yield from _below((*path, name), inner)


def of(parameter: click.Parameter) -> str | None:
    """Return the row of a command's parameter."""
    if parameter.name == "help":
        return None
    names = " ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    metavar = parameter.metavar or parameter.name
    if isinstance(parameter, click.Argument):
        names = f"`{metavar}`".replace("|", "\\|")
    elif isinstance(parameter, click.Option) and not parameter.is_flag:
        names += f" {escaped(parameter.metavar or parameter.type.name.split()[0].upper())}"
    told = [] if not parameter.required else ["needed"]
    default = parameter.default
    if default not in (None, "", ()) and not isinstance(default, bool) and not callable(default):
        told.append(f"default `{default}`")
    return f"| {names} | {', '.join(told)} | {escaped(getattr(parameter, 'help', None) or '')} |"


def files() -> str:
    """Return the page of all files."""
    parts = [
        WRITTEN,
        "# Every file",
        "What each file says of itself. The [map](map.md) has the most important ones, by stage.",
    ]
    for package in ("accountants", "dpfedsyn"):
        for folder in sorted({path.parent for path in (ROOT / package).rglob("*.py")}):
            rows = [
                f"| `{path.relative_to(ROOT).as_posix()}` | {escaped(sentence(path))} |"
                for path in sorted(folder.glob("*.py"))
            ]
            place = folder.relative_to(ROOT).as_posix()
            parts += [f"## {place}", "\n".join(["| file | what it is |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def sentence(path: Path) -> str:
    """Return the first sentence of a file's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[a-z)`])\. (?=[A-Z`])", first)[0].rstrip(".")


PAGES = {
    "reference/configuration.md": configuration,
    "reference/commands.md": commands,
    "files.md": files,
}


def main() -> None:
    """Write the pages."""
    for page, text in PAGES.items():
        (DOCS / page).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
