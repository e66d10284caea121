"""The benchmark of audits: its bounds cover the truth, invalid ones are called so."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtr

from dpfedsyn.audit import binomial
from tests.end_to_end.small import ROOT, python

RUNS = 200
NOT_IN_A_MINUTE = ("ratio_", "bugs_", "answers_ratio", "opacus_", "own_mistakes", "corpus")
TARGETS = {
    "ratio_10000_learnt_epsilon_1", "ratio_10000_learnt_epsilon_2",
    "ratio_10000_learnt_epsilon_4", "ratio_10000_learnt_epsilon_8",
    "ratio_10000_given_epsilon_1", "ratio_10000_given_epsilon_2",
    "ratio_10000_given_epsilon_4", "ratio_10000_given_epsilon_8",
    "ratio_100000_learnt_epsilon_0.5", "ratio_100000_learnt_epsilon_1",
    "ratio_100000_learnt_epsilon_4", "ratio_100000_learnt_epsilon_8",
    "ratio_100000_given_epsilon_0.5", "ratio_100000_given_epsilon_1",
    "ratio_100000_given_epsilon_4", "ratio_100000_given_epsilon_8",
    "calls_for_half_noise", "bugs_10000_calls", "bugs_30000_calls", "false_alarms",
    "invalid_bounds", "vectorised_seconds", "own_paths_not_consistent", "answers_ratio",
    "opacus_seconds", "own_mistakes_missed", "corpus",
}  # fmt: skip


@pytest.mark.parametrize("mu", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_bounds_exceed_the_truth_no_oftener_than_they_may(mu: float, benchmark: Any) -> None:
    """200 audits at 95 %: an exact binomial test at 1e-6, its false-alarm rate, finds nothing."""
    validity = benchmark("audit.validity")
    assert validity.remark(validity.bounds_above(mu, range(RUNS)), RUNS) == ""


@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_estimates_without_confidence_are_called_invalid(mu: float, benchmark: Any) -> None:
    """The same test rejects the accuracy itself, which is above the truth in half of the runs."""
    validity = benchmark("audit.validity")
    rng = np.random.default_rng(0)
    right = rng.binomial(validity.CALLS, ndtr(mu / 2.0), RUNS)
    above = sum(binomial.mu_of_accuracy(n / validity.CALLS) > mu for n in right)
    assert validity.remark(above, RUNS).startswith("INVALID")


def test_the_bound_of_a_peer_that_takes_absolute_values_is_called_invalid(benchmark: Any) -> None:
    """|isf(FPR) - ppf(FNR)| is far from 0 where both are near 1: the fault of jax_privacy 2.0.0."""
    validity = benchmark("audit.validity")
    rng = np.random.default_rng(1)
    half = validity.CALLS // 2
    above = 0
    for low, high in rng.binomial(half, 0.999, (RUNS, 2)):
        false, missed = (binomial.upper_rate(int(n), half, 0.05 / half) for n in (low, high))
        above += abs(binomial.mu_of_accuracy(false) + binomial.mu_of_accuracy(missed)) > 0.0
    assert validity.remark(above, RUNS).startswith("INVALID")


@pytest.mark.parametrize(
    ("above", "invalid"), [(0, False), (10, False), (20, False), (50, True), (200, True)]
)
def test_invalid_is_what_chance_explains_less_than_once_in_a_million(
    above: int, invalid: bool, benchmark: Any
) -> None:
    """Of 200 runs at 5 %: 10 are expected."""
    assert benchmark("audit.validity").remark(above, RUNS).startswith("INVALID") is invalid


def test_an_audit_that_cries_wolf_is_counted(benchmark: Any) -> None:
    """The same count over broken mechanisms: every audit is an alarm, the target missed."""
    seeded, validity = benchmark("audit.seeded"), benchmark("audit.validity")
    broken = [one for one in seeded.BUGGY if one.name in ("no clipping", "constant seed")]
    target, rows = validity.false_alarms(4, lambda _: None, broken)
    assert [row["false alarms"] for row in rows] == [4, 4]
    assert target.met is False
    target, rows = validity.false_alarms(4, lambda _: None, seeded.CORRECT[:2])
    assert (target.value, target.met) == (0.0, True)


def test_half_the_noise_is_caught_within_the_target_and_the_whole_is_not(benchmark: Any) -> None:
    """Claimed epsilon 4, alpha 1e-6, warm-up included: the median of nine audits."""
    detection = benchmark("audit.detection")
    calls = [detection.calls_to_catch(4.0, 0.5, seed) for seed in range(9)]
    assert np.median(calls) <= detection.WANTED
    assert detection.calls_to_catch(4.0, 1.0, 0, most=1_000) == float("inf")


def test_bugs_count_as_caught_from_nine_seeds_of_ten(benchmark: Any) -> None:
    """And the total counts bugs, column by column; what failed is no count."""
    bugs = benchmark("audit.bugs")
    assert [bugs.enough(times, 10) for times in (10, 9, 8, 0)] == [True, True, False, False]
    rows = [
        {"bug": "one", "ours": "10/10", "theirs": "8/10", "absent": "not installed"},
        {"bug": "two", "ours": "9/10", "theirs": "9/10", "absent": "not installed"},
    ]
    assert bugs._total(rows) == {"bug": "caught", "ours": "2", "theirs": "1"}


def test_a_bug_is_caught_and_a_correct_mechanism_is_not(benchmark: Any) -> None:
    """At the level of the table, gross bugs at once."""
    bugs, seeded = benchmark("audit.bugs"), benchmark("audit.seeded")
    gross = [one for one in seeded.BUGGY if one.name == "no clipping"]
    targets, rows = bugs.ours(2, bugs.LEVELS[:1], lambda _: None, [*gross, seeded.CORRECT[0]])
    (target,) = targets.values()
    assert (target.value, target.met) == (1, False)
    assert "missed: Gaussian (0/2)" in target.reason
    assert rows[-1][bugs.LEVELS[0].column] == "1"


def test_scores_for_peers_are_higher_where_the_record_is_in(benchmark: Any) -> None:
    """Learnt on calls that are not among them."""
    bugs, seeded = benchmark("audit.bugs"), benchmark("audit.seeded")
    without, with_ = bugs.scored(seeded.BUGGY[0], 1_000, 0)
    assert len(without) == len(with_) == 350
    assert with_.mean() > without.mean() + 0.5 * without.std()


def test_one_run_shows_a_part_of_the_truth(benchmark: Any) -> None:
    """1,000 canaries at epsilon 4: both bounds are below it, knowing that it is Gaussian helps."""
    one_runs = benchmark("audit.one_runs")
    found = one_runs.measure(4.0, 1_000, 5, 1e-5, 0.95)
    (any_kind, _), (gaussian, seconds) = found[one_runs.ANY], found[one_runs.GAUSSIAN]
    assert 0.2 < np.median(any_kind) < np.median(gaussian) < 1.0
    assert len(gaussian) == len(seconds) == 5


SCORES = {"key": (np.zeros((1, 4)), np.ones((1, 4)))}


def test_peers_that_are_absent_are_said_to_be(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No such interpreter, or an interpreter without them: a line in the table, no failure."""
    peers = benchmark("audit.peers")
    jobs = [(peers.GDP, "key")]
    monkeypatch.setenv("BENCHMARK_PEERS", str(tmp_path / "nobody"))
    said = peers.ask(SCORES, jobs, delta=1e-5, significance=0.05).answers[jobs[0]]
    assert said.failed is not None
    assert "No such file" in said.failed
    child = benchmark("audit.child")
    assert child.answer({"peer": "no-such-package-here"}) == {"failed": "not installed"}


def test_an_answer_crosses_from_another_interpreter(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it prints as JSON; a method fails by itself, and what is no number is NaN."""
    peers = benchmark("audit.peers")
    said = {"version": "2.0.0", "jobs": [{"bounds": [1.5, None], "seconds": [0.1, 0.1]},
                                         {"failed": "ValueError: too few"}]}  # fmt: skip
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\nprint({json.dumps(said)!r})\n")
    fake.chmod(0o755)
    monkeypatch.setenv("BENCHMARK_PEERS", str(fake))
    jobs = [(peers.GDP, "key"), (f"{peers.JAX} one run", "key")]
    asked = peers.ask(SCORES, jobs, delta=1e-5, significance=0.05)
    assert asked.versions == {"jax_privacy": "2.0.0"}
    first, second = (asked.answers[job] for job in jobs)
    assert (first.bounds[0], np.isnan(first.bounds[1])) == (1.5, True)
    assert second.failed == "ValueError: too few"


def test_a_peer_that_raises_is_said_to(benchmark: Any) -> None:
    """Another project's auditor may raise anything: one line, and the others are asked."""
    child = benchmark("audit.child")

    def broken(*_: Any) -> float:
        raise OverflowError("too large")

    pairs = [(np.zeros(2), np.ones(2))]
    assert child._bounds(broken, pairs, 1e-5, 0.05) == {"failed": "OverflowError: too large"}
    assert child._bounds(lambda *_: float("inf"), pairs, 1e-5, 0.05)["bounds"] == [None]


def test_peers_need_nothing_of_this_project(tmp_path: Path) -> None:
    """Their interpreter has numpy and the peer only."""
    code = (
        "import sys, benchmarks.audit.child\n"
        "assert not {m.split('.')[0] for m in sys.modules} & {'dpfedsyn', 'accountants', 'scipy'}"
    )
    ran = python("-c", code, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr


def test_the_mended_twin_must_pass_for_a_row_of_the_corpus_to_count(benchmark: Any) -> None:
    """A check that finds something everywhere catches nothing."""
    corpus = benchmark("audit.corpus")

    class Check:
        layer = "property"

        def finding(self, subject: str) -> str | None:
            return None if subject == "right" else "wrong"

    class Trial:
        def __init__(self, broken: str, fixed: str) -> None:
            self.check, self.broken, self.fixed = Check(), broken, fixed

    assert corpus._caught(Trial("bug", "right")) == "property"
    assert corpus._caught(Trial("bug", "bug")) == ""
    assert corpus._caught(Trial("right", "right")) == ""


@pytest.mark.slow  # `.ci/run` takes the same smoke run from the command line
def test_smoke_measures_what_it_can_and_says_what_it_cannot(tmp_path: Path) -> None:
    """Every target is in the file; what a minute cannot measure is null, with its reason."""
    file = tmp_path / "audit.json"
    ran = python("-m", "benchmarks", "audit", "--smoke", "--json", str(file), cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    stored = json.loads(file.read_text())
    assert (stored["benchmark"], stored["smoke"]) == ("audit", True)
    assert {"machine", "versions", "tables"} <= set(stored)
    assert {"jax_privacy", "privacy-estimates"} <= set(stored["versions"])
    assert set(stored["targets"]) == TARGETS
    for name, target in stored["targets"].items():
        assert target["reason"]
        if name.startswith(NOT_IN_A_MINUTE):
            assert (target["value"], target["met"]) == (None, None), name
    for name in ("calls_for_half_noise", "false_alarms", "invalid_bounds"):
        assert stored["targets"][name]["met"] is True, name


def test_the_stored_record_of_the_audits_is_a_full_one() -> None:
    """Every target has a value and a reason; a missed one stays in the file as missed."""
    stored = json.loads((ROOT / "benchmarks" / "results" / "audit.json").read_text())
    assert (stored["benchmark"], stored["smoke"]) == ("audit", False)
    assert set(stored["targets"]) == TARGETS
    for name, target in stored["targets"].items():
        assert target["value"] is not None, name
        assert target["reason"], name
