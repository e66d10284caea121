"""Events, ledger headers and charges."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from accountants import (
    Adjacency,
    ApproximateDP,
    Charge,
    Composed,
    Event,
    Gaussian,
    Header,
    Laplace,
    Planned,
    PoissonSampled,
    Repeated,
    Unit,
)

_MULTIPLIERS = st.floats(0.5, 50.0)
_RATES = st.floats(1e-4, 1.0)
_NAMES = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)


def events(
    *,
    kinds: tuple[Any, ...] = (Gaussian, Laplace, ApproximateDP, PoissonSampled, Repeated, Composed),
) -> st.SearchStrategy[Event]:
    """Events with a finite epsilon, of moderate noise; `Composed` and `Repeated` of the others."""
    gaussian = st.builds(Gaussian, _MULTIPLIERS)
    leaves: dict[Any, st.SearchStrategy[Any]] = {
        Gaussian: gaussian,
        Laplace: st.builds(Laplace, _MULTIPLIERS),
        ApproximateDP: st.builds(ApproximateDP, st.floats(0.0, 5.0), st.floats(0.0, 1e-6)),
        PoissonSampled: st.builds(PoissonSampled, gaussian, _RATES),
    }
    simple = [leaves[kind] for kind in kinds if kind in leaves] or list(leaves.values())
    leaf = st.one_of(*simple)
    found = [leaf] if any(kind in leaves for kind in kinds) else []
    if Repeated in kinds:
        found.append(st.builds(Repeated, leaf, st.integers(1, 100)))
    if Composed in kinds:
        found.append(st.lists(leaf, min_size=1, max_size=4).map(lambda e: Composed(tuple(e))))
    return st.one_of(*found)


@st.composite
def headers(draw: st.DrawFn) -> Header:
    """Headers of ledgers with at most three planned mechanisms."""
    kinds = draw(st.lists(_NAMES.filter(lambda n: n != "answer"), max_size=3, unique=True))
    planned = tuple(
        Planned(kind, draw(st.sampled_from("RA")), draw(events()), draw(st.integers(1, 1000)))
        for kind in kinds
    )
    return Header(
        ledger_id=draw(st.binary(min_size=1, max_size=8)).hex(),
        silo=draw(_NAMES),
        run=draw(_NAMES),
        unit=draw(st.sampled_from(list(Unit))).value,
        adjacency=draw(st.sampled_from(list(Adjacency))).value,
        delta=draw(st.sampled_from([1e-3, 1e-5, 1e-9])),
        planned=planned,
        answers_cap=draw(st.floats(0.0, 100.0)),
        record_cap=draw(st.none() | st.floats(0.0, 100.0)),
        keep_replies=draw(st.integers(1, 5)),
        version="1",
        draws_cap=draw(st.none() | st.integers(0, 10**6)),
    )


@st.composite
def charges(draw: st.DrawFn, *, max_mu2: float = 4.0) -> Charge:
    """Charges of answers, as rows without a reply."""
    mu2 = draw(st.floats(1e-6, max_mu2))
    return Charge(
        seq=draw(st.integers(1, 1000)),
        kind="answer",
        group="B",
        digest=draw(st.binary(min_size=32, max_size=32)),
        event=Gaussian(mu2**-0.5),
        mu2=mu2,
        record_mu2=None,
        uses=1,
        round=draw(st.integers(0, 1000)),
        reply_sha256=None,
    )
