"""The way to anonymeter's process and back, with a stand-in for it: files in, one answer out."""

import json
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import config, plan
from dpfedsyn.attacks import risks
from dpfedsyn.attacks.target import Target
from dpfedsyn.data import Records
from dpfedsyn.errors import AttackError

ENTRY = {
    "attack": "linkability",
    "of": "every other column",
    "attacks": 40,
    "hits": 3,
    "hits_held_out": 2,
    "hits_guessing": 1.5,
    "risk": 0.03,
    "range": [0.0, 0.1],
}
ANSWER = {"version": "1.1.0", "risks": [ENTRY], "remarks": ["few queries"]}

# Stands for an interpreter: says its version, or takes the job like the worker.
STAND_IN = """#!{python}
import json, os, pathlib, sys
if "-c" in sys.argv:
    print("1.1.0")
else:
    job = json.loads(pathlib.Path(sys.argv[-1]).read_text())
    {body}
"""
LOOK = """
    seen = dict(job, argv=sys.argv, modes=[oct(os.stat(job[name]).st_mode & 0o777) for name in (
        "used", "held_out", "synthetic")], folder=oct(os.stat(
        pathlib.Path(job["used"]).parent).st_mode & 0o777), rows={{name: pathlib.Path(
        job[name]).read_text().splitlines() for name in ("used", "held_out", "synthetic")}})
    pathlib.Path({seen!r}).write_text(json.dumps(seen))
    pathlib.Path(job["answer"]).write_text({answer!r})
"""


def stand_in(tmp_path: Path, body: str) -> Path:
    """An interpreter that does what `body` says with its `job`."""
    path = tmp_path / "python"
    path.write_text(STAND_IN.format(python=sys.executable, body=body.strip()))
    path.chmod(0o700)
    return path


@pytest.fixture(scope="module")
def target() -> Target:
    """Made-up records of the hospitals' schema: 30 used, each twice, and 40 held out."""
    planned = plan.make(config.load("hospitals", ["evaluate.enabled=false"]))
    random = np.random.Generator(np.random.Philox(2))

    def records(n: int) -> Records:
        x = random.uniform(-2, 2, (n, planned.dimension)).astype(np.float32)
        made = planned.encoder.decode(x, random.integers(0, 2, n))
        return Records(made.x, made.y, tuple(map(str, range(n))))

    used = records(30)
    twice = used.take(np.array([*range(30), *range(30)]))
    synthetic = {"default": records(70), "best": records(30)}
    return Target(("va",), planned, twice, records(20), records(20), synthetic)


def test_files_are_private_complete_and_gone(target: Target, tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.attacks.risks.risks: Records lie only in files that their owner alone
    can read, and all of them are gone when this returns."""
    seen = tmp_path / "seen.json"
    python = stand_in(tmp_path, LOOK.format(seen=str(seen), answer=json.dumps(ANSWER)))
    run = tmp_path / "run"
    run.mkdir(mode=0o755)
    found = risks.risks(target, run, python, timeout=60)
    assert list(run.iterdir()) == []
    told = json.loads(seen.read_text())
    assert told["folder"] == "0o700"
    assert "-I" in told["argv"]  # else PYTHONPATH would bring this environment's numpy along
    assert Path(told["used"]).is_relative_to(run)
    # As many used as held-out rows, each distinct one once, all columns with public bounds.
    assert [len(told["rows"][name]) - 1 for name in ("used", "held_out", "synthetic")] == [
        30, 30, 30,
    ]  # fmt: skip
    assert len(set(told["rows"]["used"])) == 31
    assert told["columns"]["age"] == [20, 90]
    assert told["columns"]["sex"] is None
    assert told["columns"]["num"] is None
    assert found.version == "1.1.0"
    assert [entry["pass"] for entry in found.entries] == ["default", "best"]
    assert found.entries[0]["hits"] == 3
    assert found.remarks == ("default: few queries", "best: few queries")


@pytest.mark.parametrize(
    ("body", "timeout", "said"),
    [
        ("sys.exit('numpy is too old')", 60.0, "numpy is too old"),
        ("import time; time.sleep(60)", 1.0, "killed after 1 s"),
        ("pass", 60.0, "no valid answer"),
        ("pathlib.Path(job['answer']).write_text('{}')", 60.0, "no valid answer"),
    ],
)
def test_a_failed_process_leaves_no_records_behind(
    target: Target, tmp_path: Path, body: str, timeout: float, said: str
) -> None:
    """Failure, timeout, no answer, a wrong one: an error in words, and an empty folder."""
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(AttackError, match=said):
        risks.risks(target, run, stand_in(tmp_path, body), timeout=timeout)
    assert list(run.iterdir()) == []


def test_ctrl_c_leaves_no_records_behind(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interrupt goes on, the files do not stay."""
    lay = []

    def interrupted(*_: object, **__: object) -> None:
        lay.extend(tmp_path.rglob("*.csv"))
        raise KeyboardInterrupt

    monkeypatch.setattr("dpfedsyn.attacks.environment.find", lambda _: Path("python"))
    monkeypatch.setattr("dpfedsyn.attacks.environment.call", interrupted)
    with pytest.raises(KeyboardInterrupt):
        risks.risks(target, tmp_path, timeout=1.0)
    assert len(lay) == 3
    assert list(tmp_path.iterdir()) == []


def test_images_are_refused_in_words(target: Target, tmp_path: Path) -> None:
    """They have no columns; membership needs no other interpreter."""
    images = replace(target, plan=plan.make(config.load("digits")))
    with pytest.raises(AttackError, match="no columns"):
        risks.risks(images, tmp_path, timeout=1.0)


def test_a_sound_answer_is_taken_as_it_is() -> None:
    """Nothing is rounded or renamed on the way."""
    assert risks.parse(json.dumps(ANSWER)) == ANSWER


@pytest.mark.parametrize(
    "change",
    [
        {"hits": 41}, {"hits": -1}, {"hits": 2.5}, {"hits_held_out": None}, {"hits_guessing": 41},
        {"risk": 0.2}, {"range": [0.0]}, {"range": [0.0, 1.1]}, {"risk": float("nan")},
        {"attacks": "40"}, {"of": 3},
    ],
)  # fmt: skip
def test_an_answer_with_impossible_numbers_is_refused(change: dict[str, Any]) -> None:
    """Counts beyond the attacks, a risk outside of its interval, another type."""
    with pytest.raises(AttackError, match="no valid answer"):
        risks.parse(json.dumps({**ANSWER, "risks": [{**ENTRY, **change}]}))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([*ANSWER, *ENTRY]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.text(max_size=20) | json_values.map(json.dumps))
def test_any_other_text_is_refused_in_words(text: str) -> None:
    """Whatever a process writes: an AttackError, unless it is an answer without risks."""
    try:
        answer = risks.parse(text)
    except AttackError:
        return
    assert answer["version"]


def test_at_most_so_many_rows_are_taken() -> None:
    """Numbered from 0, without repeats; the rest is left out."""
    table = pd.DataFrame({"a": range(100)}, index=range(100, 200))
    some = risks._some(table, 30, np.random.Generator(np.random.Philox(0)))
    assert list(some.index) == list(range(30))
    assert some["a"].is_unique


def test_the_worker_is_shipped_and_readable() -> None:
    """It lies beside the module, and knows nothing of dpfedsyn."""
    assert stat.S_ISREG(risks.WORKER.stat().st_mode)
    text = risks.WORKER.read_text(encoding="utf-8")
    assert "import dpfedsyn" not in text
    assert "from dpfedsyn" not in text
