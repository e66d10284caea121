"""The README is executed: its commands, its configuration and its figures are what they say."""

import json
import re
import shutil
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn import config, console, plan
from dpfedsyn.columns import Binary, Categorical, Date, Integer, Numeric, Ordinal
from dpfedsyn.round_settings import PRESETS
from dpfedsyn.schema import Schema
from tests.end_to_end.small import ROOT, call

README = (ROOT / "README.md").read_text(encoding="utf-8")
IMAGES = ("logistic accuracy", "mlp accuracy", "cnn accuracy")


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return every shell command of the README."""
    lines = [line for block in blocks("sh") for line in block.splitlines() if line]
    return [command.strip() for line in lines for command in line.split("&&")]


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_readme_is_run_by_ci(command: str) -> None:
    """`.ci/run` holds each of them, word for word (it installs with the tests' extra)."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    wanted = command.replace("pip install .", "pip install '.") if "'" not in command else command
    assert re.search(rf"(?m)\b{re.escape(wanted)}(?=$|[ '\[])", script), command


@pytest.mark.filterwarnings("ignore:Secure RNG turned off", "ignore:Full backward hook is firing")
@pytest.mark.parametrize("block", blocks("python"))
def test_the_python_of_the_readme_runs(block: str) -> None:
    """Every snippet is whole: what it needs it imports or makes."""
    exec(compile(block, "README.md", "exec"), {})


def test_the_configuration_of_the_readme_can_be_planned(tmp_path: Path) -> None:
    """The example's keys are all known, and its plan fits."""
    (written,) = (block for block in blocks("toml") if "[[silos]]" in block)
    shutil.copytree(str(files("dpfedsyn") / "examples" / "hospitals"), tmp_path / "clinics")
    path = tmp_path / "clinics" / "config.toml"
    path.write_text(written)
    assert set(tomllib.loads(written)) == {"name", "preset", "data", "silos", "privacy", "answers"}
    planned = plan.make(config.load(str(path)))
    assert planned.fits, planned.faults
    assert set(planned.budgets) == {"cleveland", "hungarian"}


def test_the_schema_of_the_readme_shows_every_kind_and_every_tie(tmp_path: Path) -> None:
    """It is read as it stands, and its example of each kind is one."""
    (written,) = (block for block in blocks("toml") if "[target]" in block)
    (tmp_path / "schema.toml").write_text(written)
    schema = Schema.load(tmp_path / "schema.toml")
    kinds = {kind.kind for kind in (Numeric, Integer, Date, Ordinal, Binary, Categorical)}
    assert {column.kind for column in schema.columns} == kinds
    told = call("schema", "check", tmp_path / "schema.toml").output
    assert "admitted <= discharged <= admitted + 365 days" in told
    assert "charges = room + drugs" in told


def test_every_preset_is_in_the_table() -> None:
    """Name and sampler of each preset stand in one row."""
    for name, settings in PRESETS.items():
        row = re.search(rf"^\| `{name}` \|(.*)\|$", README, re.MULTILINE)
        assert row is not None
        assert settings.kernel.lower() in row[1].lower()


def test_the_exit_codes_are_the_program_s() -> None:
    """Each code of the error tree is in the table."""
    from dpfedsyn import errors
    from dpfedsyn.audit import runs

    codes = {getattr(errors, name).exit_code for name in errors.__all__}
    stated = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert stated == codes | {0, runs.VIOLATED, console.STOPPED, console.INTERRUPTED}


TABLES = {
    ("run", "utility on held-out real rows"): ("logistic auc", "logistic accuracy", "mlp auc"),
    ("examples", "digits, epsilon 10 per silo"): IMAGES,
    ("examples", "MNIST, no privacy"): IMAGES,
}


@pytest.mark.parametrize(("file", "table"), TABLES)
def test_the_figures_are_those_of_the_stored_benchmark(file: str, table: str) -> None:
    """Every row is rounded from benchmarks/results; of MNIST's silos alone none is shown."""
    for row in stored(file)["tables"][table]:
        shown = " | ".join(cell(row, key) for key in TABLES[file, table])
        if table != "MNIST, no privacy" or " alone: " not in row["trained on"]:
            assert f"| {row['trained on']} | {shown} |" in README, (row["trained on"], shown)


@pytest.mark.parametrize("file", ["after", "engines", "examples", "run", "scale", "utility"])
def test_every_target_is_shown_met_or_missed(file: str) -> None:
    """With its figure, as the stored benchmark has it; one without a figure was not measured."""
    for name, target in stored(file)["targets"].items():
        row = re.search(rf"^\| .*<!-- {name} --> \|(.*)\|$", README, re.MULTILINE)
        assert row is not None, name
        if target["value"] is None:
            assert "not measured" in row[1], name
            continue
        assert row[1].rstrip().endswith("yes" if target["met"] else "no"), name
        assert figure(name, target["value"]) in row[1], name


# A row of the README holds one figure, or several of one kind.
AUDITS = {
    "learnt_10000": [f"ratio_10000_learnt_epsilon_{epsilon}" for epsilon in (1, 2, 4, 8)],
    "given_10000": [f"ratio_10000_given_epsilon_{epsilon}" for epsilon in (1, 2, 4, 8)],
    "learnt_100000": [f"ratio_100000_learnt_epsilon_{epsilon}" for epsilon in (0.5, 1, 4, 8)],
    "given_100000": [f"ratio_100000_given_epsilon_{epsilon}" for epsilon in (0.5, 1, 4, 8)],
}


def test_every_target_of_the_audits_is_shown_met_or_missed() -> None:
    """With its figures, as the stored benchmark has them; a row is met if all of it is."""
    targets = stored("audit")["targets"]
    grouped = {name for names in AUDITS.values() for name in names}
    shown = AUDITS | {name: [name] for name in targets if name not in grouped}
    for key, names in shown.items():
        row = re.search(rf"^\| .*<!-- {key} --> \|(.*)\|$", README, re.MULTILINE)
        assert row is not None, key
        measured, wanted, met = (part.strip() for part in row[1].split("|"))
        assert measured == audit_figures(names, [targets[name]["value"] for name in names]), key
        limits = audit_figures(names, [targets[name]["target"] for name in names])
        assert wanted == ("≥ " if key in AUDITS or key in AT_LEAST else "≤ ") + limits, key
        assert met == ("yes" if all(targets[name]["met"] for name in names) else "no"), key


AT_LEAST = {"answers_ratio", "bugs_10000_calls", "bugs_30000_calls", "corpus"}


def audit_figures(names: list[str], values: list[float]) -> str:
    """Return figures as the README writes them, thousandths or whole numbers."""
    if names[0].startswith("ratio_") or names[0] == "answers_ratio":
        return " / ".join(f"{value:.3f}" for value in values)
    unit = " s" if names[0].endswith("seconds") else ""
    return f"{values[0]:.3g}{unit}"


def test_the_bounds_beside_those_of_others_are_those_of_the_stored_benchmark() -> None:
    """Every method at 10,000 and 100,000 calls; which bounds are above the truth how often."""
    tables = stored("audit")["tables"]
    for row in tables["epsilon, lower bound over the true one"]:
        cells = [row[f"epsilon {epsilon:g}"] for epsilon in (0.5, 1, 2, 4, 8)]
        shown = " | ".join("-" if cell is None else f"{cell:.2f}" for cell in cells)
        if row["calls"] >= 10_000:
            assert f"| {row['method']} | {row['calls']:,} | {shown} |" in README, row["method"]
    above: dict[str, list[str]] = {}
    for row in tables["1000 calls, nominal 5 %"]:
        above.setdefault(row["method"], []).append(f"{100 * row['bounds above the truth']:.1f} %")
    for method, found in above.items():
        assert f"| {method} | {' | '.join(found)} |" in README, method


def test_the_cost_of_a_record_is_that_of_the_stored_benchmark() -> None:
    """Every size with its processor seconds and memory; what the largest spends on what."""
    tables = stored("scale")["tables"]
    for row in tables["whole runs"]:
        shown = (
            f"{row['rows']:,} | {row['processor seconds']:.0f} s | "
            f"{row['microseconds per row']:.0f} µs | {row['peak GB']:.2f} GB | "
            f"{row['bytes per row']:,.0f}"
        )
        assert f"| {shown} |" in README, shown
    spent = tables["stages, microseconds of a processor per row"][-1]
    told = (
        f"reading takes {spent['read and encode']:.0f}, the private base "
        f"{spent['private base']:.0f}, DP-SGD {spent['DP-SGD']:.0f} and the rounds "
        f"{spent['rounds']:.0f}."
    )
    assert told in README


def stored(file: str) -> dict[str, Any]:
    """Read the record of a full run of a benchmark."""
    path = ROOT / "benchmarks" / "results" / f"{file}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert found["smoke"] is False
    return found


def cell(row: dict[str, Any], key: str) -> str:
    """Return a mean, with its standard error where there is one, as the README writes it."""
    error = row.get(f"+- {key}")
    return f"{row[key]:.3f}" + ("" if error is None else f" ± {error:.3f}")


def figure(name: str, value: float) -> str:
    """Return a target's value as the README writes it."""
    trailing = ("digits_default", "digits_best", "silos_lost", "rounds_25_behind")
    if name.startswith(trailing) or name.endswith("_behind"):
        return f"{100 * value:.1f} points"
    match name:
        case "process_seconds" | "digits_seconds":
            return f"{value:.0f} s"
        case "distilled_per_minute":
            return f"{value / 1e6:.1f} million"
        case "mnist_run_minutes":
            return f"{value:.1f} min"
        case "scale_peak_gb":
            return f"{value:.2f} GB"
        case "scale_time_growth" | "scale_memory_growth":
            return f"{value:.2f}"
        case "overhead_share":
            return f"{100 * value:.0f} %"
    return f"{value:.3f}"


def test_the_plan_s_figure_is_the_program_s() -> None:
    """The epsilon of the answers alone that the README quotes is what `plan` prints."""
    quoted = re.search(r"epsilon \((\d\.\de\+\d\d)\)", README)
    assert quoted is not None
    assert quoted[1] in call("plan", "hospitals").output


def test_the_first_screen_holds_what_a_reader_needs() -> None:
    """Within fifty lines: the picture, the two commands, what comes out, what is guaranteed."""
    screen = "\n".join(README.splitlines()[:50])
    for word in ("pip install . && dpfedsyn run", "pip install '.[test]' && pytest", "ledger"):
        assert word in screen
    for word in ("synthetic.csv", "What is guaranteed, and what is not", "DP-SGD"):
        assert word in screen
