"""Types for `st.from_type`: known wherever Hypothesis is, and loaded only where they are used."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

import accountants
from dpfedsyn.testing import registration

ROOT = Path(__file__).parents[2]
NAMES = sorted(name for names in registration.TYPES.values() for name in names)
FROM_TYPES = f"""
import accountants
from hypothesis import find, strategies as st
for name in {NAMES}:
    kind = getattr(accountants, name)
    assert isinstance(find(st.from_type(kind), lambda _: True), kind), name
"""


def fresh(code: str) -> None:
    """Run code in an interpreter of its own, where only entry points have registered anything."""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_the_entry_point_registers_every_type() -> None:
    """Hypothesis first: no module of strategies is imported by the test."""
    fresh("import hypothesis\n" + FROM_TYPES)


def test_types_that_are_loaded_before_hypothesis_are_registered_too() -> None:
    """The ledger's as well, which `accountants` loads late."""
    fresh("import accountants, accountants.ledger\n" + FROM_TYPES)


def test_importing_hypothesis_loads_nothing_that_a_stranger_would_wait_for() -> None:
    """The entry point runs in every test session of the environment."""
    fresh(
        "import sys, hypothesis\n"
        "assert 'dpfedsyn.testing.registration' in sys.modules\n"
        "heavy = {'numpy', 'scipy', 'torch', 'accountants', 'dpfedsyn.testing.strategies'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )


def test_an_awaited_module_is_loaded_as_without_waiting() -> None:
    """Its own loader stays its own, which gives its source to whoever asks."""
    fresh(
        "import hypothesis, inspect, accountants.events as home\n"
        "from importlib.machinery import SourceFileLoader\n"
        "assert type(home.__loader__) is type(home.__spec__.loader) is SourceFileLoader\n"
        "assert 'class Gaussian' in inspect.getsource(home)"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_type_is_drawn_with_valid_fields(name: str) -> None:
    """As `from_type` draws it."""
    kind = getattr(accountants, name)

    @given(st.from_type(kind))
    @settings(max_examples=10, database=None, suppress_health_check=list(HealthCheck))
    def drawn(value: object) -> None:
        assert isinstance(value, kind)

    drawn()


def test_registering_again_changes_nothing() -> None:
    """One finder waits, however often Hypothesis or the strategies are imported."""
    registration.register()
    before = list(sys.meta_path)
    registration.register()
    importlib.import_module("dpfedsyn.testing.strategies")
    assert sys.meta_path == before
    assert find(st.from_type(accountants.Gaussian), lambda _: True).noise_multiplier > 0.0
