"""The plugin's own parts: budgets, profiles, entry points, fixtures; `test_testing_third_party`
runs it as strangers do."""

import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import dpfedsyn.testing
from dpfedsyn.testing import defaults, plugin, profiles
from dpfedsyn.testing import strategies as dps

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("budget", "value"), [("20s", 20.0), ("2m", 120.0), (3, 3.0), (".5s", 0.5)]
)
def test_a_budget_is_seconds_or_minutes(budget, value):
    """Numbers with or without a unit."""
    assert plugin.seconds(budget) == value


@pytest.mark.parametrize("budget", ["", "s", "20h", "-1s", "nan", "infs", "0"])
def test_a_budget_that_is_none_fails_the_test(budget):
    """And says what to pass."""
    with pytest.raises(pytest.fail.Exception, match="'20s' or '2m'"):
        plugin.seconds(budget)


def test_a_budget_buys_calls_and_never_more_than_the_option():
    """A slow mechanism gets few calls, a quick one the usual number."""
    pair = np.zeros((1, 2)), np.ones((2, 2))
    few = plugin._affordable(dps.Mechanism(1.0), pair, 1e-9)
    assert few == plugin._TRIAL
    token = defaults.calls.set(5000)
    try:
        assert plugin._affordable(dps.Mechanism(1.0), pair, 1e6) == 5000
    finally:
        defaults.calls.reset(token)


def test_profiles_are_registered():
    """Both are known to Hypothesis, deterministic for CI, few examples for audits."""
    profiles.register()
    assert settings.get_profile("dpfedsyn-ci").derandomize
    audit = settings.get_profile("dpfedsyn-audit")
    assert (audit.max_examples, audit.deadline) == (20, None)


def test_entry_points_classifiers_and_extra_are_declared():
    """What pyproject names exists: pytest and Hypothesis will find it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for group in ("pytest11", "hypothesis"):
        for target in project["entry-points"][group].values():
            module, _, name = target.partition(":")
            found = import_module(module)
            assert not name or callable(getattr(found, name))
    assert {"Framework :: Hypothesis", "Framework :: Pytest"} <= set(project["classifiers"])
    assert {part.split(">")[0] for part in project["optional-dependencies"]["testing"]} == {
        "pytest", "hypothesis",
    }  # fmt: skip


def test_public_names_are_what_is_exported():
    """Each name of `__all__` loads, and a wrong one is an AttributeError."""
    for name in dpfedsyn.testing.__all__:
        assert getattr(dpfedsyn.testing, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = dpfedsyn.testing.nothing
