"""The pytest plugin: marker `dp_audit`, fixtures `dp_audit` and `dp_replay`, JUnit properties.

Imported by every pytest of the environment, so that it imports nothing but pytest by itself.

    @pytest.mark.dp_audit(epsilon=2, delta=1e-5, budget="20s")
    def test_my_sum(dp_audit):
        dp_audit(my_sum, (without, with_))
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dpfedsyn.testing import defaults

_MARK = (
    "dp_audit(mu=, epsilon=, delta=, event=, budget=, **more): claim that the fixture `dp_audit` "
    "tests; budget in seconds ('20s') or minutes ('2m'); more goes to `assert_private`"
)
_ORDER = ("CONSISTENT", "INCONCLUSIVE", "VIOLATION")
_TRIAL = 16  # calls that are timed for a budget


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--dp-audit-calls`."""
    parser.getgroup("dpfedsyn").addoption(
        "--dp-audit-calls",
        type=int,
        default=defaults.CALLS,
        metavar="N",
        help="calls of a mechanism that one audit may make, where a test does not say",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and set the number of calls."""
    config.addinivalue_line("markers", _MARK)
    calls = config.getoption("--dp-audit-calls", defaults.CALLS)
    if calls < 1:
        raise pytest.UsageError(f"--dp-audit-calls={calls}: pass a whole number from 1")
    defaults.calls.set(calls)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note what was audited; a marked test that audits nothing fails."""
    audits: list[Any] = []
    token = defaults.report.set(audits.append)
    try:
        yield
    finally:
        defaults.report.reset(token)
        if audits:
            item.user_properties += _properties(audits)
    if not audits and item.get_closest_marker("dp_audit") is not None:
        pytest.fail("marked dp_audit, and nothing was audited: call the fixture `dp_audit`")


def _properties(audits: list[Any]) -> list[tuple[str, object]]:
    """Return JUnit properties over all audits of a test: the worst verdict, all calls."""
    return [
        ("dp_audit.verdict", max((str(a.verdict) for a in audits), key=_ORDER.index)),
        ("dp_audit.calls", sum(a.calls for a in audits)),
        ("dp_audit.mu_lower", max(a.mu_lower for a in audits)),
    ]


@pytest.fixture
def dp_audit(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """`assert_private` with the claim of the marker `dp_audit`."""
    marker = request.node.get_closest_marker("dp_audit")
    if marker is None or marker.args:
        pytest.fail("the fixture needs @pytest.mark.dp_audit(mu=...), or epsilon= and delta=")
    claim = dict(marker.kwargs)
    budget = claim.pop("budget", None)

    def check(mechanism: Callable[..., Any], neighbours: tuple[Any, Any], **more: Any) -> Any:
        from dpfedsyn.testing.private import assert_private

        given = {**claim, **more}
        if budget is not None and "max_calls" not in given:
            given["max_calls"] = _affordable(mechanism, neighbours, seconds(budget))
        return assert_private(mechanism, neighbours, **given)

    return check


@pytest.fixture
def dp_replay() -> Callable[..., Any]:
    """`replay`, asserting that nothing is found; returns what was measured."""

    def check(program: Callable[..., Any], neighbours: tuple[Any, Any], **more: Any) -> Any:
        from dpfedsyn.testing.replaying import replay

        found = replay(program, neighbours, **more)
        assert not found.findings, f"\n{found}"
        return found

    return check


def seconds(budget: str | float) -> float:
    """Return a budget in seconds: 20, "20s" or "2m"."""
    text = str(budget)
    unit = {"s": 1.0, "m": 60.0}.get(text[-1:])
    try:
        value = float(text if unit is None else text[:-1]) * (unit or 1.0)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        pytest.fail(f"dp_audit(budget={budget!r}): pass seconds, such as '20s' or '2m'")
    return value


def _affordable(mechanism: Callable[..., Any], neighbours: tuple[Any, Any], limit: float) -> int:
    """Return how many calls fit into the time: at least one block, at most the usual number."""
    from numpy.random import default_rng

    from dpfedsyn.audit.calling import Caller

    began = time.perf_counter()
    Caller(mechanism).draw(neighbours[0], _TRIAL, default_rng(0))
    each = (time.perf_counter() - began) / _TRIAL
    return int(min(defaults.calls.get(), max(_TRIAL, limit / max(each, 1e-9))))
