"""Attacks on planted runs of the hospitals: copies are found, independent rows are not.

No run is needed for it: a folder holds a configuration and synthetic rows that were made here.
"""

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dpfedsyn import config, plan
from dpfedsyn.attacks import command, environment, target
from dpfedsyn.attacks.command import attack, attacks
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import AttackError, ConfigError, DataError, RunError
from dpfedsyn.evaluation.setting import pooled
from dpfedsyn.marking import find
from dpfedsyn.records import read_records
from dpfedsyn.report import write
from dpfedsyn.resolved import absolute, dump
from tests.dpfedsyn import run_folders
from tests.end_to_end.small import SILOS, read

ROWS = 400
app = typer.Typer()
app.command("attack")(attack)


@app.callback()
def _audit() -> None:
    """A group, as the program's own is."""


def planted(folder: Path, *, copies: bool, best: bool = False) -> Path:
    """A run folder whose synthetic rows are used records, or know nothing of who was used.

    The latter are normal with mean and covariance of all records of a label, used and held-out
    alike: exchanging both changes nothing in their law.
    """
    loaded = config.load("hospitals", ["preset=best"])
    planned = plan.make(loaded)
    encoder = planned.encoder
    assert isinstance(encoder, TableEncoder)
    parts = read_records(loaded, encoder).silos
    used = pooled({name: part.train for name, part in parts.items()})
    if copies:
        frame = encoder.frame(used.x, used.y)
    else:
        everybody = pooled({f"{n}/{i}": p for n, both in parts.items()
                            for i, p in enumerate((both.train, both.test))})  # fmt: skip
        random = np.random.Generator(np.random.Philox(5))
        y = random.integers(0, 2, ROWS)
        x = np.empty((ROWS, encoder.dimension))
        for label in (0, 1):
            own = everybody.x[everybody.y == label].astype(np.float64)
            law = own.mean(axis=0), np.cov(own.T)
            x[y == label] = random.multivariate_normal(*law, size=int(np.sum(y == label)))
        frame = encoder.frame(x, y)
    folder.mkdir()
    (folder / "config.toml").write_text(dump(absolute(loaded)))
    frame.to_csv(folder / "synthetic.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that published its records."""
    return planted(tmp_path_factory.mktemp("attack") / "copied", copies=True)


@pytest.fixture(scope="module")
def independent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose rows know nothing of who was used."""
    return planted(tmp_path_factory.mktemp("attack") / "independent", copies=False)


@pytest.fixture
def no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """anonymeter is installed nowhere."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    """The interpreter that has anonymeter; tests that need it are skipped where there is none."""
    try:
        yield environment.find()
    except AttackError as absent:
        pytest.skip(str(absent))


def call(*arguments: object) -> tuple[int, str]:
    """Status and output of the command."""
    runner = CliRunner(env={"COLUMNS": "160", "NO_COLOR": "1", "TERM": "dumb"})
    result = runner.invoke(app, ["attack", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, " ".join(result.output.split())


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != command.FILE}


def test_copied_records_are_found_as_members(copied: Path, no_environment: None) -> None:
    """AUC near 1 for both attacks, and more than epsilon = 8 allows, in so many words."""
    before = files(copied)
    status, output = call(copied)
    assert status == 0
    found = read(copied / command.FILE)
    for entry in found["membership"]:
        assert entry["auc"]["low"] > 0.9
        assert entry["above_claim"]
    assert "ABOVE THE CLAIM" in output
    assert "look for a fault" in output
    assert files(copied) == before


def test_independent_rows_leave_membership_at_a_guess(
    independent: Path, no_environment: None
) -> None:
    """AUC 0.5 lies in both intervals (one fixed set; 95 % each), and below what is allowed."""
    status, output = call(independent)
    assert status == 0
    found = read(independent / command.FILE)
    for entry in found["membership"]:
        assert entry["auc"]["low"] <= 0.5 <= entry["auc"]["high"] < found["allowed"]["auc"]
        assert not entry["above_claim"]
        for rate in entry["rates"][:2]:
            assert rate["found"]["low"] <= found["allowed"]["rates"][str(rate["fpr"])]
        assert entry["rates"][2] == {"fpr": 0.001, "needed": 999}
    assert "ABOVE THE CLAIM" not in output
    assert "the claim allows at most" in output


def test_what_was_found_is_internal_and_says_so(independent: Path, no_environment: None) -> None:
    """First words of the output, first key of a file that its owner alone can read; what cannot
    leave says that success is no proof of safety, and names what was not run."""
    status, output = call(independent)
    assert status == 0
    assert output.startswith("Internal, unpaid: do not publish.")
    assert "An attack that fails proves nothing" in output
    assert "Not run: singling out, linkability, inference. anonymeter is not installed" in output
    assert "--make-env" in output
    path = independent / command.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(read(path))[:2] == ["internal", "means"]
    assert "do not publish" in read(path)["internal"]


def test_one_silo_can_attack_its_own_records_only(copied: Path) -> None:
    """Its records, its held-out part, its claim."""
    whole, own = target.read(copied), target.read(copied, silo="va")
    assert own.silos == ("va",)
    assert whole.silos == SILOS
    assert 0 < len(own.used) < len(whole.used)
    assert set(own.used.ids) <= set(whole.used.ids)
    assert {identity.split("/")[0] for identity in own.control.ids} == {"va"}


def test_reference_control_and_used_records_are_apart(copied: Path) -> None:
    """No record is in two of the three; another seed divides the held-out ones otherwise."""
    found, other = target.read(copied), target.read(copied, seed=1)
    parts = [set(part.ids) for part in (found.used, found.reference, found.control)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert abs(len(found.reference) - len(found.control)) <= 1
    assert set(other.control.ids) != set(found.control.ids)
    assert set(other.control.ids) | set(other.reference.ids) == parts[1] | parts[2]
    assert found.vectors(found.used).shape == (len(found.used), found.plan.dimension + 2)


def test_what_cannot_be_attacked_is_refused_in_words(copied: Path, tmp_path: Path) -> None:
    """No run, no rows, no such silo, too few held-out records; nothing is written."""
    with pytest.raises(RunError, match="holds no run"):
        target.read(tmp_path)
    with pytest.raises(ConfigError, match=r"--silo vaa.*cleveland"):
        target.read(copied, silo="vaa")
    written = (copied / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(written)
    with pytest.raises(RunError, match="no synthetic rows"):
        target.read(tmp_path)
    (tmp_path / "synthetic.csv").write_bytes(find(copied, "synthetic.csv").read_bytes())
    few = written.replace("test_fraction = 0.33", "test_fraction = 0.01")
    assert few != written
    (tmp_path / "config.toml").write_text(few)
    with pytest.raises(DataError, match="At least 20"):
        target.read(tmp_path)
    assert call(tmp_path)[0] == 2
    assert not (tmp_path / command.FILE).exists()


def test_an_interpreter_that_was_asked_for_must_do(
    independent: Path, tmp_path: Path, no_environment: None
) -> None:
    """--python without anonymeter is an error; with --make-env it is a contradiction."""
    again = tmp_path / "again"
    again.mkdir()
    for name, content in files(independent).items():
        (again / name).write_bytes(content)
    status, output = call(again, "--python", sys.executable)
    assert status == 2
    assert "not installed for" in output
    assert not (again / command.FILE).exists()
    assert call(again, "--python", sys.executable, "--make-env")[0] == 2


def test_make_env_makes_it_first_and_then_asks_it(
    independent: Path, monkeypatch: pytest.MonkeyPatch, no_environment: None
) -> None:
    """Where it cannot be made nothing is attacked."""
    made: list[Path] = []

    def make(folder: Path, *, timeout: float) -> Path:
        made.append(folder)
        raise AttackError(f"pip failed within {timeout:g}")

    monkeypatch.setattr(environment, "make", make)
    status, output = call(independent, "--make-env", "--timeout", "77")
    assert (status, made) == (2, [environment.default_folder()])
    assert "pip failed within 77" in output


def test_the_report_shows_attacks_as_internal_and_the_statement_does_not(
    independent: Path, tmp_path: Path, no_environment: None
) -> None:
    """Both tables under a heading marked internal; without attacks no such section."""
    found = attacks(target.read(independent), independent, asked=False)
    found["anonymeter"] = {"version": "1", "remarks": [], "entries": [dict(
        {"pass": "best", "attack": "linkability", "of": "half", "risk": 0.25, "range": [0.2, 0.3]},
        attacks=40, hits=12, hits_held_out=4, hits_guessing=1.6,
    )]}  # fmt: skip
    run = run_folders.write(tmp_path / "run")
    before = find(run, "statement.json").read_bytes()
    assert "Attacks:" not in write(run).read_text(encoding="utf-8")
    (run / command.FILE).write_text(json.dumps(found))
    page = write(run).read_text(encoding="utf-8")
    for heading in ("Attacks: membership", "Attacks: singling out, linkability, inference"):
        assert f'{heading} <span class="quiet">internal</span>' in page
    assert "0.200 to 0.300" in page
    assert "the claim allows at most" in page
    assert "anonym" not in page.lower()
    assert find(run, "statement.json").read_bytes() == before


def risks(folder: Path, python: Path) -> dict[str, dict[str, Any]]:
    """Risks by attack and column, of a planted run."""
    found = attacks(target.read(folder), folder, python)["anonymeter"]
    assert found["version"] == "1.1.0"
    return {f"{entry['attack']} {entry['of']}": entry for entry in found["entries"]}


def test_copied_records_are_singled_out_linked_and_inferred(copied: Path, python: Path) -> None:
    """Every risk lies clearly above zero, which is what held-out records give."""
    found = risks(copied, python)
    assert len(found) == 13
    assert found["singling out 3 columns"]["range"][0] > 0.2
    for name, entry in found.items():
        assert entry["range"][0] > 0.1, name
        assert entry["hits"] > entry["hits_held_out"], name


def test_independent_rows_give_risks_around_zero(independent: Path, python: Path) -> None:
    """At most 3 of 13 intervals of 95 %, one-sided 2.5 %, leave zero out: once in 4,000 sets, if
    they were independent. The guess at random is what value shares give."""
    found = risks(independent, python)
    assert sum(entry["range"][0] > 0.0 for entry in found.values()) <= 3
    for name in ("singling out 3 columns", "linkability every other column"):
        assert found[name]["range"][0] == 0.0
        assert found[name]["risk"] < 0.1
    sex = found["inference sex"]
    assert 0.4 < sex["hits_guessing"] / sex["attacks"] < 0.9
    assert list(independent.glob("attack-*")) == []
