"""A plan over budget: exit code 3, what would work, and nothing released or written."""

from pathlib import Path

import pytest

from tests.end_to_end.small import SILOS, call


@pytest.mark.parametrize("named", [True, False])
def test_tiny_epsilon_is_refused_before_anything_is_written(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """epsilon = 0.001 cannot be met: no folder, neither the named one nor the usual one."""
    monkeypatch.chdir(tmp_path)
    out = ["--out", tmp_path / "r3"] if named else []
    result = call("run", "--set", "privacy.epsilon=0.001", *out)
    assert result.exit_code == 3
    assert "nothing was released" in result.output
    assert list(tmp_path.iterdir()) == []


def test_a_silo_that_is_too_small_is_told_what_would_work() -> None:
    """Every silo is named, with an epsilon and a size with which the plan fits."""
    result = call("plan", "--set", "privacy.epsilon=0.05")
    assert result.exit_code == 3
    flat = " ".join(result.output.split())
    for silo in SILOS:
        assert f"{silo}: epsilon = 0.05 is too small" in flat
    assert "What would work: epsilon >= " in flat
    assert "records" in flat


def test_the_epsilon_that_a_refusal_names_does_work() -> None:
    """The mend is no guess: with the largest epsilon that was named, the plan fits."""
    refused = " ".join(call("plan", "--set", "privacy.epsilon=0.05").output.split())
    named = [part.split()[0].rstrip(",") for part in refused.split("What would work: epsilon >= ")]
    enough = max(float(value) for value in named[1:])
    assert call("plan", "--set", f"privacy.epsilon={enough}").exit_code == 0
    assert call("plan", "--set", f"privacy.epsilon={enough / 1.2}").exit_code == 3


def test_the_plan_of_the_default_example_fits() -> None:
    """`dpfedsyn plan hospitals` prints its readings and shares and ends well."""
    result = call("plan", "hospitals")
    assert result.exit_code == 0
    for word in (*SILOS, "counts", "moments", "dp-sgd", "answers"):
        assert word in result.output
