"""Configurations that cannot be run, and files that silos do not have as they should."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from dpfedsyn import config as configuration
from dpfedsyn import plan as planning
from dpfedsyn import run as runner
from dpfedsyn import simulation
from dpfedsyn.errors import ConfigError, DataError, DPError
from tests.bad_input.case import Case

EXAMPLE = Path(str(files("dpfedsyn"))) / "examples" / "hospitals"
VA = 'path = "data/processed.va.data"'
ONE_LABEL = "63,1,1,145,233,1,2,150,0,2.3,3,0,6,0\n"


def copied(folder: Path) -> Path:
    """A copy of the example that may be broken."""
    return Path(shutil.copytree(EXAMPLE, folder / "example"))


def started(example: Path) -> object:
    """Run the copy; what is refused is refused before its folder is made."""
    loaded = configuration.load(str(example / "config.toml"))
    return runner.run(loaded, example.parent / "run")


def change(before: str, after: str, *said: str, mend: str) -> Case:
    """A copy of the example with one change of its configuration."""

    def make(folder: Path) -> Path:
        path = copied(folder) / "config.toml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))
        return path.parent

    return Case(make, started, ("config.toml", *said), mend, ConfigError)


def done(
    what: Callable[[Path], object], *said: str, mend: str, error: type[DPError] = DataError
) -> Case:
    """A copy of the example to which something was done."""

    def make(folder: Path) -> Path:
        example = copied(folder)
        what(example)
        return example

    return Case(make, started, said, mend, error)


def given(settings: str, *said: str, mend: str, error: type[DPError] = ConfigError) -> Case:
    """The example with settings of the command line, separated by blanks."""

    def run(example: Path) -> object:
        loaded = configuration.load(str(example / "config.toml"), settings.split())
        planning.make(loaded).require()
        return runner.run(loaded, example.parent / "run")

    return Case(copied, run, said, mend, error)


def fitted(
    *said: str, mend: str, error: type[DPError] = ConfigError, **changed: Mapping[str, Any] | str
) -> Case:
    """Two hospitals that a program fits, with one argument changed."""

    def fit(example: Path) -> object:
        names = ("cleveland", "hungarian")
        silos = {name: example / "data" / f"processed.{name}.data" for name in names}
        arguments: dict[str, Any] = {
            "silos": silos,
            "schema": example / "schema.toml",
            "sizes": dict.fromkeys(names, 200.0),
            "folder": example.parent / "run",
        }
        return simulation.fit(**(arguments | changed))

    return Case(copied, fit, said, mend, error)


def _link(example: Path) -> None:
    path = example / "data" / "processed.va.data"
    path.unlink()
    path.symlink_to("processed.cleveland.data")


def _void(example: Path) -> None:
    (example / "data" / "processed.va.data").write_text("")


def _of_another_schema(example: Path) -> None:
    (example / "data" / "processed.va.data").write_text("id;age;label\n1;63;0\n")


CASES = {
    "one file for two silos": change(
        VA, 'path = "data/processed.cleveland.data"', "silos.va", "the file of silos.cleveland too",
        mend="give each a file of its own",
    ),
    "one file for two silos, by a link": done(
        _link, "silos.va", "the file of silos.cleveland too", mend="a file of its own",
        error=ConfigError,
    ),
    "a silo's file for the public test": given(
        "data.test=data/processed.va.data", "data.test", "the file of silos.va too",
        mend="give each a file of its own",
    ),
    "names that differ in capitals": change(
        'name = "va"', 'name = "Cleveland"', "capitals", mend="give every silo its own"
    ),
    "a silo's name that is a path": change(
        'name = "va"', 'name = "../va"', "'../va'", mend="letters, digits, - and _"
    ),
    "a silo without a path": change(
        VA, "", "silos.va", "`path` is missing", mend="give it records"
    ),
    "an empty path": change(VA, 'path = ""', "silos.va", mend="give it records"),
    "a silo's count in the configuration": change(
        'name = "va"', 'name = "va"\nrecords = 130', "silos[3].records", mend="Known: name, path"
    ),
    "a folder for a table": done(
        lambda e: (e / "data/processed.va.data").unlink() or (e / "data/processed.va.data").mkdir(),
        "processed.va.data", "Is a directory", mend="correct the path",
    ),
    "a silo without a record": done(
        _void, "processed.va.data", "holds no rows", mend="fill it"
    ),
    "a silo of another schema": done(
        _of_another_schema, "processed.va.data", "line 1: 1 fields instead of 14",
        mend="correct the line, or `delimiter` = ','",
    ),
    "another encoding": done(
        lambda e: (e / "config.toml").write_bytes((e / "config.toml").read_text().encode("utf-16")),
        "config.toml, line 1", mend="save it as UTF-8", error=ConfigError,
    ),
    "an empty configuration": done(
        lambda e: (e / "config.toml").write_text(""), "config.toml", "no silo is named",
        mend="add at least one [[silos]] table", error=ConfigError,
    ),
    "a truth value for a number": given(
        "privacy.epsilon=true", "privacy.epsilon = True", mend="expected float"
    ),
    "a number in quotes": given('privacy.epsilon="8"', "privacy.epsilon = '8'", mend="float"),
    "half a step": given("train.steps=1.5", "train.steps = 1.5", mend="expected int"),
    "more steps than there can be": given(
        "train.steps=99999999999999999999", "train.steps", mend="allowed is [1, 1e+07]"
    ),
    "certainty for delta": given("privacy.delta=1", "privacy.delta", mend="allowed is (0, 0.1]"),
    "an unknown adjacency": given(
        "privacy.adjacency=remove", "'remove'", mend="allowed is add-or-remove | replace"
    ),
    "an unknown unit": given(
        "privacy.unit=patient", "privacy.unit = 'patient'", mend="allowed is record | person"
    ),
    "persons that no column names": given(
        "privacy.unit=person", "does not say whose rows they are", mend="Name the column",
    ),
    "an unknown preset": given("preset=bestt", "'bestt'", mend="allowed is default | paper | best"),
    "an unknown baseline": given(
        'evaluate.baselines=["fedavgg"]', "'fedavgg'", mend="Did you mean `fedavg`?"
    ),
    "groups of a column that is not there": given(
        'evaluate.groups=["sexx"]', "evaluate.groups", "no column 'sexx'",
        mend="did you mean `sex`?",
    ),
    "more overlap than silos": given(
        "privacy.overlap=9", "privacy.overlap = 9", mend="there are only 4 silos"
    ),
    "shares that leave nothing": given(
        "privacy.counts_share=0.6 privacy.moments_share=0.6", "leaves nothing for DP-SGD",
        mend="keep their sum below 1",
    ),
    "a number for a section": given("sampler=3", "sampler", "got 3", mend="expected a table"),
    "a folder for a schema": given("data.schema=data", "data.schema", mend="name a schema"),
    "a file for the anchors": given(
        "privacy.anchors=config.toml", "privacy.anchors", "is a file", mend="name a folder"
    ),
    "a table without labels": given(
        "data.conditional=false", "describes a table", mend="Set data.conditional = true"
    ),
    "a partition of other silos": given(
        "partition.kind=dirichlet partition.silos=3 data.path=data/processed.va.data",
        "divides over 3 silos", mend="name as many, or none",
    ),
    "sizes that are not given": fitted(
        "sizes of none", mend="give about how many records each has", sizes={}
    ),
    "a size of nothing": fitted(
        "reference_size = 0.0", mend="allowed is (0, 1e+12]",
        sizes={"cleveland": 0.0, "hungarian": 200.0},
    ),
    "no schema where one is named": fitted(
        "none.toml", "No such file", mend="correct the path", schema="none.toml"
    ),
}  # fmt: skip
