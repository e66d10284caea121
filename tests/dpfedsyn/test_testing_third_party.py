"""The kit as strangers use it: a project of its own, and the page for the first five minutes."""

import os
import re
import subprocess
import sys
import tempfile
import textwrap
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import dpfedsyn.testing

PROJECT = Path(__file__).parents[1] / "third_party"
PAGE = Path(str(dpfedsyn.testing.__file__)).parent / "FIVE_MINUTES.md"


def run(folder, *arguments):
    """Python in a folder, as its user would start it; it leaves nothing there."""
    settings = {
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(Path(tempfile.gettempdir()) / "dpfedsyn-hypothesis"),
    }
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "HYPOTHESIS_PROFILE"} | settings,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def pytest_in(folder, *arguments):
    """Its pytest, with the plugin loaded whether or not its entry point is installed."""
    options = ("-p", "dpfedsyn.testing.plugin", "-p", "no:cacheprovider", "--tb=short", "-q")
    return run(folder, "-m", "pytest", *options, *arguments)


def programs(output):
    """The programs that failures print."""
    text = re.sub(r"^E {0,3}", "", output, flags=re.MULTILINE)
    pattern = r'^import numpy as np$.*?^assert found\.verdict == "VIOLATION"$'
    return re.findall(pattern, text, re.DOTALL | re.MULTILINE)


def outcome(folder, junit):
    """Name of each test -> (its failure's text or None, its properties)."""
    found = {}
    for case in ET.parse(folder / junit).getroot().iter("testcase"):
        failure = case.find("failure")
        text = None if failure is None else failure.text or ""
        properties = {p.get("name"): p.get("value") for p in case.iter("property")}
        found[f"{case.get('classname')}.{case.get('name')}"] = text, properties
    return {name.split(".", 2)[-1].removesuffix(".runTest"): f for name, f in found.items()}


def test_a_strangers_tests_pass_and_say_what_they_audited(tmp_path):
    """Strict markers and warnings as errors; verdict, calls and mu in JUnit's properties."""
    ran = pytest_in(PROJECT, "--strict-markers", f"--junitxml={tmp_path / 'junit.xml'}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    cases = outcome(tmp_path, "junit.xml")
    _, audited = cases["test_the_sum_is_private_on_the_worst_pair"]
    assert (audited["dp_audit.verdict"], audited["dp_audit.calls"]) == ("CONSISTENT", "4000")
    assert 0.0 < float(audited["dp_audit.mu_lower"]) <= 0.5
    _, many = cases["test_the_sum_is_private"]
    assert int(many["dp_audit.calls"]) > 4000
    assert cases["test_the_sum_moves_by_its_bound"] == (None, {})


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """What the deliberately broken functions give."""
    folder = tmp_path_factory.mktemp("broken")
    ran = pytest_in(PROJECT, "broken", f"--junitxml={folder / 'junit.xml'}")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    return outcome(folder, "junit.xml")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("test_half_noise", "VIOLATION: GDP"),
        ("test_half_noise_shrinks", "VIOLATION: GDP"),
        ("test_global_noise", "The mechanism drew from numpy's global generator"),
        ("test_too_few_calls", "INCONCLUSIVE"),
        ("test_nothing_audited", "nothing was audited"),
        ("test_mean_by_private_count", "unnoised output: output[0] is"),
        ("test_sensitivity", "moves by 2 in L2"),
        ("test_accountant", "no claim contradicts the certified bound"),
        ("TestForgetful", "a crash now would forget it"),
    ],
)
def test_a_strangers_bug_is_named(broken, name, said):
    """Every broken function fails, with the right words."""
    failure = broken[name][0]
    assert failure is not None
    assert said in failure


def test_the_list_of_bugs_is_whole(broken):
    """No deliberately failing test passes unnoticed."""
    assert [name for name, (failure, _) in broken.items() if failure is None] == []
    assert len(broken) == 9


@pytest.mark.parametrize("name", ["test_half_noise", "test_half_noise_shrinks"])
def test_a_printed_counterexample_runs_and_reproduces(broken, tmp_path, name):
    """The program runs without pytest and Hypothesis, and fails on a mechanism that is right."""
    (program,) = programs(broken[name][0])[:1]
    path = tmp_path / "counterexample.py"
    block = "import sys\nsys.modules['hypothesis'] = sys.modules['pytest'] = None\n"
    start = f"import sys\nsys.path.insert(0, {str(PROJECT)!r})\n"
    path.write_text(block + start + program)
    ran = run(tmp_path, path)
    assert ran.returncode == 0, ran.stderr
    assert "VIOLATION" in ran.stdout
    path.write_text(block + start + program.replace("half_noise_sum", "noisy_sum"))
    ran = run(tmp_path, path)
    assert "AssertionError" in ran.stderr


def test_the_shrunk_pair_is_small(broken):
    """No other rows are left, and the record is a short number."""
    program = programs(broken["test_half_noise_shrinks"][0])[0]
    assert "without = np.array([], dtype=np.dtype('<f8')).reshape((0, 1))" in program
    (record,) = re.findall(r"with_ = np\.array\(\[\[([-0-9.]+)\]\]", program)
    assert abs(float(record)) <= 10


def test_the_five_minutes_page_is_true(tmp_path):
    """Its files run as it says: two tests fail, for its reasons, and print its counterexample."""
    text = PAGE.read_text(encoding="utf-8")
    for name, body in re.findall(r"```python\n# file: (\S+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(textwrap.dedent(body))
    ran = pytest_in(tmp_path, "test_totals.py", "--junitxml=junit.xml")
    cases = outcome(tmp_path, "junit.xml")
    failed = {name for name, (failure, _) in cases.items() if failure is not None}
    assert len(cases) == 5, ran.stdout + ran.stderr
    assert {name.split(".")[-1] for name in failed} == {"test_sensitivity", "test_broken"}, (
        ran.stdout
    )
    (printed,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    # Its own failure: under CI pytest's summary repeats every message in full.
    (failure,) = (text for name, (text, _) in cases.items() if name.endswith("test_broken"))
    (program,) = programs(failure)
    assert program.startswith(printed.rstrip())
    (tmp_path / "counterexample.py").write_text(program)
    assert "VIOLATION" in run(tmp_path, "counterexample.py").stdout
    assert "The query moves by inf in L2" in ran.stdout


HEAVY = ("torch", "numpy", "scipy", "hypothesis", "accountants", "dpfedsyn.audit", "pandas")


def test_the_plugin_costs_a_strangers_pytest_nothing():
    """Loading it imports no torch, numpy, Hypothesis or accounting."""
    script = (
        "import sys, pytest; before = set(sys.modules); import dpfedsyn.testing.plugin;"
        "print('\\n'.join(set(sys.modules) - before))"
    )
    ran = run(PROJECT, "-c", script)
    assert ran.returncode == 0, ran.stderr
    new = set(ran.stdout.split())
    assert "dpfedsyn.testing.plugin" in new
    assert {name for name in new if name.split(".")[0] in HEAVY or name in HEAVY} == set()
