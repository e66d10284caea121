"""The benchmark of accounting: what its tables say of right, wrong and missing answers."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.small import ROOT, python

KNOWN = {"lower": None, "estimate": None, "upper": None, "rounds": None, "curve": ()}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({"lower": 6.0, "upper": 6.2}, ""),
        ({"upper": 6.1}, "INVALID: upper below the exact value"),
        ({"lower": 6.19, "upper": 6.2}, "INVALID: lower above the exact value"),
        ({"estimate": 6.0}, "no bound"),
        ({"upper": "inf"}, "upper is inf"),
    ],
)
def test_a_claim_on_the_wrong_side_of_the_truth_is_called_invalid(
    said: dict[str, Any], wanted: str, benchmark: Any
) -> None:
    """T1 is 6.1877: bounds must lie on their side of it."""
    question = benchmark("accounting.questions").tasks()["T1"]
    assert benchmark("accounting.tables").remark({**KNOWN, **said}, question) == wanted


def test_brackets_that_miss_or_lack_the_truth_are_counted(benchmark: Any) -> None:
    """An answer without two finite ends counts as a miss."""
    question = benchmark("accounting.questions").tasks()["T1"]
    answers = {
        "holds": {**KNOWN, "lower": 6.0, "upper": 6.2},
        "misses": {**KNOWN, "lower": 6.0, "upper": 6.1},
        "failed": {"failed": "no answer in 1 s"},
        "half": {**KNOWN, "upper": 7.0},
    }
    missed = benchmark("accounting.tables").misses(answers, dict.fromkeys(answers, question))
    assert missed == ["misses", "failed", "half"]


@pytest.mark.parametrize(
    ("lower", "upper", "wanted"),
    [
        (0.0, 1.0, None),
        (0.0, math.inf, "infinite"),
        (math.nan, 1.0, "NaN"),
        (-1.0, 1.0, "negative"),
        (2.0, 1.0, "upside down"),
    ],
)
def test_faults_of_corners_are_named(
    lower: float, upper: float, wanted: str | None, benchmark: Any
) -> None:
    """Whatever the truth is, a bracket is finite, in order and not negative."""
    assert benchmark("accounting.extremes").fault(lower, upper) == wanted


def test_questions_survive_their_way_into_another_process(benchmark: Any) -> None:
    """All of them, rounds included, through JSON."""
    questions = benchmark("accounting.questions")
    asked = [*questions.extremes().values(), *questions.calibrations().values()]
    for question in (*asked, questions.odometer()):
        again = questions.Question.from_json(question.to_json())
        assert again.to_json() == question.to_json()
    assert len(questions.odometer().rounds) == 1000


def test_our_answer_comes_from_a_fresh_process(benchmark: Any) -> None:
    """T3, exact in closed form: both ends and processor seconds of three processes."""
    fresh, questions = benchmark("accounting.fresh"), benchmark("accounting.questions")
    question = questions.tasks()["T3"]
    found = fresh.asked(benchmark("accounting.ours").OURS, question, 3)
    assert found["lower"] <= question.exact <= found["upper"]
    assert 0 < found["seconds"] < 1
    assert found["repetitions"] == 3


def test_what_is_missing_late_or_broken_is_said_and_not_raised(benchmark: Any) -> None:
    """Not installed, no answer in time, no such question, an exception: each is one line."""
    fresh, answers = benchmark("accounting.fresh"), benchmark("accounting.answers")
    ours, question = (
        benchmark("accounting.ours").OURS,
        benchmark("accounting.questions").tasks()["T3"],
    )
    absent = answers.Accountant("nobody", "no-such-package-here", ours.prepare)
    assert fresh.asked(absent, question, 1) == {"failed": "not installed"}
    assert fresh.asked(ours, question, 1, limit=0.01) == {"failed": "no answer in 0.01 s"}
    limit = next(p for p in benchmark("accounting.peers").PEERS if p.name == "opacus GDP")
    child = benchmark("accounting.child")
    assert child.answer(limit, question) == {"failed": "composes equal steps only"}

    def broken(_: Any) -> Any:
        raise OverflowError("too large")

    accountant = answers.Accountant("broken", None, broken)
    assert child.answer(accountant, question) == {"failed": "OverflowError: too large"}


def test_the_smoke_run_gives_widths_and_no_times(tmp_path: Path) -> None:
    """Every target is in the file; what a minute cannot measure is null, with its reason."""
    file = tmp_path / "accounting.json"
    ran = python("-m", "benchmarks", "accounting", "--smoke", "--json", str(file), cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    stored = json.loads(file.read_text())
    assert {"machine", "versions", "targets", "tables"} <= set(stored)
    targets = stored["targets"]
    assert targets["brackets_that_miss"]["value"] == 0
    assert targets["T3_width"]["met"] is True
    assert targets["calibrate_to_1_unsafe"]["met"] is True
    for name, target in targets.items():
        assert target["reason"]
        if name.endswith("seconds") or name.startswith(("corners", "import")):
            assert (target["value"], target["met"]) == (None, None)
