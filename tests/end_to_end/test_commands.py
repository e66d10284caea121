"""Every command, option and argument is documented: in its help, and by its full name in README."""

import argparse
from collections.abc import Iterator

import click
import pytest
import typer
from typer.main import get_command

from accountants.__main__ import _parser as accountants_parser
from benchmarks.__main__ import _parser as benchmarks_parser
from dpfedsyn import cli
from dpfedsyn.nvflare import __main__ as nvflare
from tests.end_to_end.small import ROOT

README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())

Documented = tuple[str, str, dict[str, str]]
"""A command as it is typed, its help, and the help of each option and argument by name."""


def of_click(command: click.Command, typed: str) -> Iterator[Documented]:
    """A command, or a group with everything below it."""
    parameters = {
        parameter.opts[0]: getattr(parameter, "help", None) or ""
        for parameter in command.params
        if parameter.name != "help"
    }
    yield typed, command.help or "", parameters
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from of_click(below, f"{typed} {name}")


def of_argparse(parser: argparse.ArgumentParser, typed: str) -> Iterator[Documented]:
    """A parser; each of its commands, or of the names that it lets choose among."""
    parameters, commands = dict[str, str](), dict[str, argparse.ArgumentParser]()
    names, helps = list[str](), dict[str, str]()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands = dict(action.choices)
            helps = {entry.dest: entry.help or "" for entry in action._choices_actions}
        elif not isinstance(action, argparse._HelpAction):
            parameters[action.option_strings[0] if action.option_strings else action.dest] = (
                action.help or ""
            )
            names += [] if action.option_strings else map(str, action.choices or ())
    yield typed, parser.description or "", parameters
    for name, below in commands.items():
        for found, _, inner in of_argparse(below, f"{typed} {name}"):
            yield found, helps.get(name, ""), inner
    for name in names:
        yield f"{typed} {name}", parser.description or "", {}


def commands() -> dict[str, Documented]:
    """Every command of every program."""
    app = typer.Typer(add_completion=False)
    app.command()(nvflare.main)
    found = [
        *of_click(get_command(cli.app), "dpfedsyn"),
        *of_argparse(accountants_parser(), "python -m accountants"),
        *of_argparse(benchmarks_parser(), "python -m benchmarks"),
        *of_click(get_command(app), "python -m dpfedsyn.nvflare"),
    ]
    return {typed: (typed, text, parameters) for typed, text, parameters in found}


COMMANDS = commands()


def test_all_programs_are_walked() -> None:
    """Groups, commands of theirs, and the choices of a benchmark."""
    wanted = {
        "dpfedsyn run", "dpfedsyn ledger verify", "dpfedsyn audit attack", "dpfedsyn silo serve",
        "dpfedsyn init nvflare", "dpfedsyn schema draft", "dpfedsyn export",
        "python -m accountants calibrate", "python -m benchmarks utility",
        "python -m dpfedsyn.nvflare",
    }  # fmt: skip
    assert wanted <= set(COMMANDS)
    assert len(COMMANDS) >= 35


@pytest.mark.parametrize("typed", COMMANDS)
def test_every_command_and_every_option_has_help(typed: str) -> None:
    """A sentence each: for whoever types `--help`."""
    _, text, parameters = COMMANDS[typed]
    assert text.strip()
    assert [name for name, said in parameters.items() if not said.strip()] == []


@pytest.mark.parametrize("typed", COMMANDS)
def test_every_command_is_in_the_readme(typed: str) -> None:
    """As it is typed, in full."""
    assert typed in README


def test_a_command_without_help_would_be_found() -> None:
    """The walk sees what is missing, in either kind of program."""
    app = typer.Typer(add_completion=False)

    @app.command()
    def bare(name: str, wide: bool = False) -> None: ...

    (found,) = of_click(get_command(app), "bare")
    assert found == ("bare", "", {"name": "", "--wide": ""})
    parser = argparse.ArgumentParser()
    parser.add_argument("--wide")
    parser.add_subparsers().add_parser("inner").add_argument("file")
    top, inner = of_argparse(parser, "bare")
    assert top == ("bare", "", {"--wide": ""})
    assert inner == ("bare inner", "", {"file": ""})
