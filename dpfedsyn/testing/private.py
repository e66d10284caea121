"""`assert_private`: a claim of privacy as an assertion in a test."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Literal

from accountants import Adjacency, ApproximateDP, Event, Unit
from dpfedsyn.audit import GDP, Audit, Verdict, audit
from dpfedsyn.audit.calling import is_vectorised
from dpfedsyn.audit.claims import Claim
from dpfedsyn.errors import AuditError
from dpfedsyn.testing import defaults
from dpfedsyn.testing.fingerprint import fingerprint
from dpfedsyn.testing.inconclusive import InconclusiveAudit
from dpfedsyn.testing.randomness import TORCH, global_sources, refuse_reseeded, seeded_torch
from dpfedsyn.testing.spending import in_given, site

Inconclusive = Literal["warn", "error", "ignore"]


def assert_private(
    mechanism: Callable[..., Any],
    neighbours: tuple[Any, Any],
    *,
    mu: float | None = None,
    epsilon: float | None = None,
    delta: float | None = None,
    event: Event | None = None,
    alpha: float = 1e-6,
    max_calls: int | None = None,
    seed: int | None = None,
    adjacency: Adjacency | str = Adjacency.ADD_OR_REMOVE,
    unit: Unit | str = Unit.RECORD,
    inconclusive: Inconclusive = "warn",
) -> Audit:
    """Assert that outputs on two neighbours do not contradict a claim; return the audit.

    Args:
        mechanism: `(data, rng) -> output` or vectorised `(data, n, rng) -> n outputs`. Its noise
            comes from `rng`; torch's generator is seeded from it.
        mu: the claim, in one of three forms: mu-GDP, (epsilon, delta) with delta 0 by default, or
            an event of `accountants`.
        epsilon: see `mu`.
        delta: see `mu`.
        event: see `mu`.
        alpha: chance that this assertion fails although the claim is true. Inside `@given` it is
            shared out over all examples of the assertion.
        max_calls: of the mechanism; by default `--dp-audit-calls`, or 20,000.
        seed: of the audit; by default from the example's content, so that the same example gives
            the same audit, and different examples different noise.
        inconclusive: what to do where so many calls could not have found half the noise. "warn": an
            `InconclusiveAudit` warning, which fails the test under `filterwarnings = error`;
            "error": an AssertionError; "ignore": nothing.

    Guarantee:
        If the claim is true for the pairs that are given, the assertion fails with a probability
        of at most alpha, whatever the number of examples, shrinking and replays included.

    Raises:
        AssertionError: the claim is contradicted; the message ends with a program that shows it.
        AuditError: nothing can be tested: no neighbours, no such claim, or inside `@given` noise
            from a generator that Hypothesis seeds alike for all examples.
    """
    claim = claim_of(mu, epsilon, delta, event)
    calls = defaults.calls.get() if max_calls is None else max_calls
    settings = (repr(claim), calls, seed, str(adjacency), str(unit))
    name = fingerprint(mechanism, neighbours, settings)
    here = site(sys._getframe(1), alpha)
    found = here.verdicts.get(name) if in_given() and name is not None else None
    if found is None:
        share = here.next_alpha(alpha) if in_given() else alpha
        if seed is None:
            seed = 0 if name is None else int.from_bytes(name[:4], "big")
        found = _audited(mechanism, neighbours, claim, share, calls, seed, adjacency, unit)
        if in_given() and name is not None:
            here.verdicts[name] = found
    report = defaults.report.get()
    if report is not None:
        report(found)
    if found.verdict is Verdict.VIOLATION:
        assert found.witness is not None
        # The test's own mechanism: what was audited may be a wrapper that seeds torch.
        program = replace(found.witness, mechanism=mechanism).code()
        raise AssertionError(f"{found}\n\nThis program shows it:\n\n{program}\n")
    if found.verdict is Verdict.INCONCLUSIVE:
        _say(str(found), inconclusive)
    return found


def claim_of(
    mu: float | None, epsilon: float | None, delta: float | None, event: Event | None
) -> Claim:
    """Return the one claim that was stated.

    Raises:
        AuditError: none, more than one, or a delta that belongs to none.
    """
    stated = [value for value in (mu, epsilon, event) if value is not None]
    if len(stated) != 1 or (delta is not None and epsilon is None):
        raise AuditError(
            f"mu={mu}, epsilon={epsilon}, delta={delta}, event={event}: this is not one claim, so "
            "there is nothing to test. Pass mu, or epsilon with delta, or an event."
        )
    if mu is not None:
        return GDP(mu)
    return ApproximateDP(epsilon, delta or 0.0) if epsilon is not None else stated[0]  # type: ignore[return-value]


def _audited(
    mechanism: Callable[..., Any], neighbours: tuple[Any, Any], claim: Claim, alpha: float,
    calls: int, seed: int, adjacency: Adjacency | str, unit: Unit | str,
) -> Audit:  # fmt: skip
    sources = global_sources(mechanism, neighbours[0], is_vectorised(mechanism))
    if in_given():
        refuse_reseeded(sources)
    kept: Any = nullcontext()
    if TORCH in sources:
        mechanism, kept = seeded_torch(mechanism), sys.modules["torch"].random.fork_rng(devices=[])
    with kept:
        return audit(
            mechanism, neighbours, claim=claim, alpha=alpha, max_calls=calls, seed=seed,
            adjacency=adjacency, unit=unit,
        )  # fmt: skip


def _say(text: str, inconclusive: Inconclusive) -> None:
    if inconclusive == "error":
        raise AssertionError(text)
    if inconclusive == "warn":
        warnings.warn(text, InconclusiveAudit, stacklevel=3)
