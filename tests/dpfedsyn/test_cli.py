"""The command line: exit codes, one clear block per error, and a `--help` that loads nothing."""

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from accountants.events import Adjacency, Gaussian, Unit
from accountants.ledger import Header, Ledger, Planned
from dpfedsyn import cli, console, errors, keys, run_cli
from dpfedsyn.marking import find
from tests.dpfedsyn import run_folders

PRIVACY = SimpleNamespace(
    delta=1e-5, unit="record", adjacency="add-or-remove", unsafe_noise_seed=None
)
TRAIN = SimpleNamespace(method="dp-sgd")


@dataclass
class Fakes:
    """Stands in for configuration, plan and run; records what the command line asked for."""

    folder: Path
    plan: dict[str, Any] = field(default_factory=run_folders.plan)
    fault: BaseException | None = None
    foreseen: bool = True
    parts: Mapping[str, Any] = field(default_factory=dict)
    loads: list[tuple[str, list[str]]] = field(default_factory=list)
    runs: list[tuple[Path, bool]] = field(default_factory=list)

    def load(self, name: str, overrides: list[str], *, records: bool = True) -> SimpleNamespace:
        self.loads.append((name, overrides))
        return SimpleNamespace(name=name, privacy=PRIVACY, train=TRAIN)

    def make(self, _: object) -> SimpleNamespace:
        faults = self.plan["faults"]
        return SimpleNamespace(to_dict=lambda: self.plan, fits=not faults, faults=faults)

    def run(self, _: object, out: Path, *, resume: bool, progress: Any) -> SimpleNamespace:
        self.runs.append((out, resume))
        if self.fault is not None and not isinstance(self.fault, KeyboardInterrupt):
            raise self.fault
        run_folders.write(out, **self.parts)
        progress.stage("rounds", 2)
        for record in run_folders.rounds("default", "ula", 2):
            progress.round(record)
        if self.fault is not None:
            raise self.fault
        return SimpleNamespace(status="complete", folder=out, reason=None, foreseen=self.foreseen)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Replace the modules that the commands import when they are called."""
    made = Fakes(tmp_path / "default-out")
    modules = {
        "config": {"load": made.load},
        "plan": {"make": made.make},
        "run": {"run": made.run},
    }
    import dpfedsyn
    from dpfedsyn import folder

    monkeypatch.setattr(folder, "next_free", lambda _: made.folder)

    for name, members in modules.items():
        module = ModuleType(f"dpfedsyn.{name}")
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(dpfedsyn, name, module, raising=False)
    return made


def call(*arguments: object) -> Result:
    """Run the command line in this process; a bug's exception is raised, not swallowed."""
    runner = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    result = runner.invoke(cli.app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(cli.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_help_lists_every_command() -> None:
    """Both levels of commands are found from `--help`."""
    top = call("--help").output
    assert all(name in top for name in ("run", "plan", "ledger", "report", "--version"))
    below = call("ledger", "--help").output
    assert "show" in below
    assert "verify" in below
    for option in ("--set", "--out", "--resume"):
        assert option in call("run", "--help").output


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """`python -m dpfedsyn --help` answers without torch, numpy, pandas or matplotlib."""
    shown = python("-X", "importtime", "-m", "dpfedsyn", *arguments)
    assert shown.returncode == 0
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in shown.stderr.splitlines()
    }
    assert {"dpfedsyn", "typer"} <= imported
    heavy = {"torch", "numpy", "pandas", "matplotlib", "scipy", "opacus", "jinja2", "sklearn"}
    assert imported & heavy == set()


def test_version_is_printed() -> None:
    """The version is one line with the program's name."""
    assert re.fullmatch(r"dpfedsyn \d+\.\d+\S*\n", call("--version").output)


def test_run_writes_the_report_and_prints_claim_rounds_and_baselines(
    fakes: Fakes, tmp_path: Path
) -> None:
    """The end of a run: tables with all terms, every winning baseline, where things lie."""
    result = call("run", "--out", tmp_path / "r1")
    assert result.exit_code == 0
    assert find(tmp_path / "r1", "report.html").is_file()
    flat = " ".join(result.output.split())
    assert "cleveland 7.99 4.12 1e-05 record add-or-remove" in flat
    assert "cleveland: answers alone 2.2e+07" in flat
    assert "cleveland 3.0 % 62.0 % 35.0 %" in flat
    assert "default (ula) 2/2: record epsilon <= 7.99" in flat
    assert "baseline: private base alone beats best (ancestral)" in flat
    assert fakes.loads == [("hospitals", [])]


def test_run_hands_on_its_arguments(fakes: Fakes, tmp_path: Path) -> None:
    """Name, overrides and the default folder reach configuration and run."""
    result = call("run", "answers-only", "--set", "a.b=1", "--set", "c.d=x y")
    assert result.exit_code == 0
    assert fakes.loads == [("answers-only", ["a.b=1", "c.d=x y"])]
    assert fakes.runs == [(tmp_path / "default-out", False)]


def test_partial_run_ends_well_and_says_who_refused(fakes: Fakes, tmp_path: Path) -> None:
    """Partial is an outcome, not an error: exit code 0 and the reason."""
    reason = "silo hungary refused round 10"
    fakes.parts = {"statement": run_folders.statement(status="partial", reason=reason)}
    result = call("run", "--out", tmp_path / "r2")
    assert result.exit_code == 0
    assert f"PARTIAL RUN: {reason}" in result.output


def test_a_stop_that_was_not_foreseen_has_a_code_of_its_own(fakes: Fakes, tmp_path: Path) -> None:
    """The report is written all the same; the code is neither success nor `nothing released`."""
    fakes.foreseen = False
    result = call("run", "--out", tmp_path / "r")
    assert result.exit_code == console.STOPPED == 6
    assert find(tmp_path / "r", "report.html").is_file()


def test_non_private_run_is_named(fakes: Fakes, tmp_path: Path) -> None:
    """A run whose noise anybody can repeat is called what it is."""
    fakes.parts = {"statement": run_folders.statement(private=False)}
    assert "NON-PRIVATE RUN" in call("run", "--out", tmp_path / "r").output


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (errors.ConfigError, 2),
        (errors.DataError, 2),
        (errors.BudgetExhausted, 3),
        (errors.LedgerLocked, 4),
        (errors.SiloUnavailable, 1),
    ],
)
def test_expected_error_is_one_block_with_its_exit_code(
    fakes: Fakes, tmp_path: Path, fault: Callable[[str], Exception], code: int
) -> None:
    """The message goes to stderr once, without a traceback; nothing stands on stdout."""
    fakes.fault = fault("silo-2: 8.13 > 8.00.\n  - Lower [b]rounds[/b] to 96.")
    result = call("run", "--out", tmp_path / "r")
    assert result.exit_code == code
    assert result.stderr == "Error: silo-2: 8.13 > 8.00.\n  - Lower [b]rounds[/b] to 96.\n"
    assert result.stdout == ""


def test_bug_keeps_its_traceback(fakes: Fakes, tmp_path: Path) -> None:
    """An exception outside the tree is not dressed up as bad input."""
    fakes.fault = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        call("run", "--out", tmp_path / "r")


def test_ctrl_c_names_the_folder_and_the_way_on(fakes: Fakes, tmp_path: Path) -> None:
    """Exit code 130, and the printed command continues this very run."""
    fakes.fault = KeyboardInterrupt()
    out = tmp_path / "my run"
    result = call("run", "--out", out)
    assert result.exit_code == 130
    assert f"dpfedsyn run --out '{out}' --resume" in result.stderr
    assert not find(out, "report.html").exists()
    fakes.fault = None
    assert call("run", "--out", out, "--resume").exit_code == 0
    assert fakes.loads[-1] == (str(out / "config.toml"), [])
    assert fakes.runs[-1] == (out, True)


def test_ctrl_c_over_sockets_names_them_again(tmp_path: Path) -> None:
    """The command that continues the run is whole: without its silos it would be another run."""
    run_folders.write(tmp_path)
    told = run_cli._interrupted(tmp_path, ["a=my home/socket", "b=s2"])
    assert f"run --out {tmp_path} --resume --silo 'a=my home/socket' --silo b=s2`" in told


def test_ctrl_c_before_anything_was_written_says_so(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a folder there is nothing to resume, and no command is offered."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["dpfedsyn.config"], "load", interrupted)
    result = call("run", "--out", tmp_path / "r")
    assert result.exit_code == 130
    assert "before anything was written" in result.stderr
    assert "--resume" not in result.stderr


def test_folder_with_a_run_is_refused_with_the_mend(fakes: Fakes, tmp_path: Path) -> None:
    """A second run never mixes with a first: exit code 2 before anything starts."""
    folder = run_folders.write(tmp_path / "r")
    result = call("run", "--out", folder)
    assert result.exit_code == 2
    assert "--resume, or give another --out" in result.stderr
    assert fakes.runs == []


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("file", [], "is a file"),
        ("other", [], "is not empty"),
        ("missing", ["--resume"], "holds no run to resume"),
        ("other", ["--resume"], "holds no run to resume"),
    ],
)
def test_folder_that_cannot_be_used_is_refused(
    fakes: Fakes, tmp_path: Path, kind: str, options: list[str], said: str
) -> None:
    """Each wrong folder gets its own sentence, and stays as it was."""
    folder = tmp_path / "r"
    if kind == "file":
        folder.write_text("mine")
    elif kind == "other":
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    result = call("run", "--out", folder, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert fakes.runs == []


def test_resume_asks_for_the_folder(fakes: Fakes) -> None:
    """A default folder is always a new one, so there is nothing to resume without `--out`."""
    result = call("run", "--resume")
    assert result.exit_code == 2
    assert "Name its folder with --out" in result.stderr
    assert fakes.loads == []


def test_plan_prints_every_reading_and_mechanism(fakes: Fakes) -> None:
    """Per silo: three readings, mechanisms with shares; per pass: cost of a round."""
    result = call("plan", "hospitals", "--set", "a.b=1")
    assert result.exit_code == 0
    assert fakes.loads == [("hospitals", ["a.b=1"])]
    flat = " ".join(result.output.split())
    assert "cleveland 7.99 4.12 8.00 1e-05 record add-or-remove 200" in flat
    assert "hungary: dp-sgd A 0.5 9.2 35.0 % 3.60" in flat
    assert "cleveland: silo none none 1e-05 silo replace" in flat
    assert "default ula 100 600 0.51 to 1.2 2.5" in flat


def test_plan_over_budget_exits_3_with_the_mend(fakes: Fakes) -> None:
    """What does not fit is printed with what would, and the code says budget."""
    fakes.plan["faults"] = ["cleveland: epsilon 8.13 > 8.00; train.steps = 150 would fit"]
    result = call("plan")
    assert result.exit_code == 3
    assert "train.steps = 150 would fit" in result.stderr
    assert "would release nothing" in result.stderr


def test_plan_as_json_is_strict_json(fakes: Fakes) -> None:
    """Infinity is no JSON: a bound that is not finite becomes null, all else is kept."""
    result = call("plan", "--json")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    plan = json.loads(result.stdout, parse_constant=refuse)
    planned = fakes.plan["silos"][0]["mechanisms"][3]["epsilon_alone"]["upper"]
    assert planned == math.inf
    assert plan["silos"][0]["mechanisms"][3]["epsilon_alone"]["upper"] is None
    assert plan["passes"] == fakes.plan["passes"]


def test_report_command_prints_the_page_it_wrote(tmp_path: Path) -> None:
    """`report` needs nothing but the run folder."""
    folder = run_folders.write(tmp_path / "r")
    result = call("report", folder)
    assert result.exit_code == 0
    assert result.stdout.strip() == str(find(folder, "report.html"))
    missing = call("report", tmp_path / "missing")
    assert missing.exit_code == 2
    assert "no such run folder" in missing.stderr


def silo(folder: Path, name: str) -> Path:
    """A real ledger beside its key, with one training charge."""
    folder.mkdir(parents=True)
    key = keys.fresh()
    keys.store(key, folder / "key")
    event = Gaussian(4.0)
    planned = (Planned("counts", "R", event, 1),)
    header = Header(
        ledger_id=key.ledger_id,
        silo=name,
        run="r",
        unit=Unit.RECORD,
        adjacency=Adjacency.ADD_OR_REMOVE,
        delta=1e-5,
        planned=planned,
        answers_cap=4.0,
        record_cap=None,
        keep_replies=3,
        version="1",
    )
    path = folder / "ledger.sqlite"
    with Ledger.create(path, header, key=key.chain) as ledger:
        ticket = ledger.admit(digest=b"counts", kind="counts", group="R", event=event)
        ledger.commit(ticket, None)
    return path


def test_verify_names_every_ledger_its_head_and_the_unseen_tail(tmp_path: Path) -> None:
    """Whole ledgers: exit code 0, a line each, and the warning that a cut tail is not seen."""
    files = [silo(tmp_path / name, name) for name in ("cleveland", "hungary")]
    result = call("ledger", "verify", *files)
    assert result.exit_code == 0
    assert result.stdout.count(": holds.") == 2
    heads = re.findall(r"head ([0-9a-f]{64})", result.stdout)
    assert len(set(heads)) == 2
    assert call("ledger", "verify", files[0], "--expected-head", heads[0]).exit_code == 0
    assert call("ledger", "verify", files[0], "--expected-head", heads[1]).exit_code == 4
    assert call("ledger", "verify", *files, "--expected-head", heads[0]).exit_code == 2


def test_damaged_ledger_exits_4_and_does_not_hide_the_others(tmp_path: Path) -> None:
    """The fault is named on stderr, the whole ledger still gets its line."""
    whole = silo(tmp_path / "a", "a")
    damaged = silo(tmp_path / "b", "b")
    damaged.write_bytes(b"not a ledger" * 100)
    result = call("ledger", "verify", damaged, whole)
    assert result.exit_code == 4
    assert str(damaged) in result.stderr
    assert f"{whole}: holds." in result.stdout


def test_missing_ledger_is_bad_input_and_a_missing_key_is_not(tmp_path: Path) -> None:
    """A path that leads nowhere exits 2; a ledger that cannot be checked exits 4."""
    assert call("ledger", "verify", tmp_path / "none.sqlite").exit_code == 2
    path = silo(tmp_path / "a", "a")
    (tmp_path / "a" / "key").unlink()
    assert call("ledger", "verify", path).exit_code == 4


def test_ledger_show_states_spending_and_the_guarantee_at_the_cap(tmp_path: Path) -> None:
    """Spent is not a guarantee: the epsilon printed is the one at the cap, with its terms."""
    result = call("ledger", "show", silo(tmp_path / "a", "cleveland"))
    assert result.exit_code == 0
    flat = " ".join(result.output.split())
    assert "R: counts 1 of 1 uses" in flat
    assert "0 spent of a cap of 4" in flat
    assert "epsilon <= 10.00 (delta 1e-05, unit record, add-or-remove)" in flat
    assert "the guarantee is the one at the cap" in flat
