"""Every promise in the code has a test that quotes it; the accountants' promises are kept here.

A public docstring with a "Guarantee:" section is a promise on which privacy depends. Some test must
name it as `Guarantee of package.module.name`, with the promise's first words.
"""

import ast
import math
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

import accountants
import dpfedsyn
from accountants import (
    Adjacency,
    BudgetExhausted,
    Cascade,
    Composed,
    DPError,
    Gaussian,
    PoissonSampled,
    Repeated,
    calibrate,
    epsilon,
    gaussian,
    knots,
    odometer,
    rdp,
    search,
    storage,
    verify,
)
from accountants.errors import LedgerCorrupt, LedgerError
from accountants.filter import GaussianFilter
from accountants.ledger import Header, Ledger, Planned
from accountants.parts import parts_of
from accountants.profile import cascade
from accountants.rows import Charge
from accountants.steps import ADD, REMOVE
from accountants.totals import FilterState, add
from dpfedsyn import config as configuration
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.schema import Schema

SIDE = Adjacency.ADD_OR_REMOVE
KEY = b"g" * 32


def documented(tree: ast.Module, name: str) -> Iterator[tuple[str, str]]:
    """(dotted name, docstring) of a module and everything defined in it."""

    def walk(node: Any, dotted: str) -> Iterator[tuple[str, str]]:
        yield dotted, ast.get_docstring(node) or ""
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from walk(inner, f"{dotted}.{inner.name}")

    return walk(tree, name)


def trees(root: Path, prefix: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(root.rglob("*.py")):
        parts = [prefix, *path.relative_to(root).with_suffix("").parts]
        name = ".".join(part for part in parts if part != "__init__")
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def promises() -> dict[str, str]:
    """First words of every Guarantee section, by dotted name."""
    found = {}
    for package in (dpfedsyn, accountants):
        for name, tree in trees(Path(str(package.__file__)).parent, package.__name__):
            for dotted, text in documented(tree, name):
                if "Guarantee:" in text:
                    found[dotted] = " ".join(text.partition("Guarantee:")[2].split()[:4])
    return found


def quotes() -> str:
    """The docstrings of all tests, with single spaces."""
    texts = [
        text
        for name, tree in trees(Path(__file__).parents[1], "tests")
        for dotted, text in documented(tree, name)
        if dotted.rpartition(".")[2].lower().startswith("test")
    ]
    return " ".join(" ".join(texts).split())


def test_every_guarantee_is_quoted_by_a_test_that_checks_it() -> None:
    """A promise without a test is an opinion: names it, so that a test can be written."""
    made, text = promises(), quotes()
    assert len(made) >= 20
    missing = [name for name in made if f"Guarantee of {name}: " not in text]
    assert missing == []
    assert [name for name, words in made.items() if words not in text] == []


def test_every_quoted_guarantee_is_still_made() -> None:
    """A test must not quote a promise that the code no longer makes."""
    made, text = promises(), quotes()
    quoted = {part.split(": ")[0] for part in text.split("Guarantee of ")[1:]}
    named = {name for name in quoted if name.startswith(("dpfedsyn.", "accountants."))}
    assert named - set(made) == set()


# --- dpfedsyn: encoding


def test_a_rows_vector_depends_on_that_row_and_the_schema_alone() -> None:
    """Guarantee of dpfedsyn.encoding: A row's vector depends on that row and the schema; no mean,
    range or category list is taken from records; its norm is at most `TableEncoder.radius`."""
    config = configuration.load("hospitals")
    encoder = TableEncoder(Schema.load(config.path(config.data.schema)))
    rng = np.random.default_rng(5)
    x = rng.uniform(-3, 3, (12, encoder.dimension)).astype(np.float32)
    frame = encoder.frame(x, rng.integers(0, 2, 12))
    together, labels = encoder.encode(frame)
    for row in range(12):
        alone, label = encoder.encode(frame.iloc[[row]].reset_index(drop=True))
        assert np.array_equal(alone[0], together[row])
        assert label[0] == labels[row]
    twice, _ = encoder.encode(pd.concat([frame, frame], ignore_index=True))
    assert np.array_equal(twice, np.concatenate([together, together]))
    assert (np.linalg.norm(together.astype(np.float64), axis=1) <= encoder.radius + 1e-6).all()


# --- accountants: epsilon


@given(st.floats(0.01, 20.0), st.floats(1e-9, 0.4))
def test_a_gaussians_epsilon_meets_delta_even_with_rounding(mu: float, delta: float) -> None:
    """Guarantee of accountants.gaussian.epsilon_bounds: delta(upper) <= delta even after the error
    of evaluating it is added."""
    low, high = gaussian.epsilon_bounds(mu, delta)
    assert low <= high
    if high > 0.0:
        exact = ndtr(-high / mu + mu / 2) - math.exp(high) * ndtr(-high / mu - mu / 2)
        assert exact <= delta * (1 + 1e-6)
    assert float(gaussian.delta_bounds(mu, high)[1]) <= delta * (1 + 1e-9)


@pytest.mark.parametrize(("rate", "sigma"), [(0.01, 1.0), (0.25, 2.0), (0.5, 0.7)])
@pytest.mark.parametrize("wanted", [0.5, 1.0, 3.0])
def test_renyi_moments_are_never_below_the_exact_ones(
    rate: float, sigma: float, wanted: float
) -> None:
    """Guarantee of accountants.rdp.subsampled: Each entry is at least the exact log moment, here by
    a fine quadrature of the two densities, in both directions; and hardly above it."""
    at = int(np.abs(rdp.ORDERS - wanted).argmin())
    order = 1.0 + float(rdp.ORDERS[at])
    z = np.linspace(-60.0 * sigma, 60.0 * sigma, 400_001)
    plain = -(z**2) / (2 * sigma**2) - math.log(math.sqrt(2 * math.pi) * sigma)
    mixed = plain + np.logaddexp(math.log1p(-rate), math.log(rate) + (2 * z - 1) / (2 * sigma**2))
    curves = rdp.subsampled(rate, sigma)
    for side, (one, two) in ((REMOVE, (mixed, plain)), (ADD, (plain, mixed))):
        with np.errstate(under="ignore"):
            exact = math.log(np.trapezoid(np.exp(order * one + (1.0 - order) * two), z))
        assert exact * (1 - 1e-9) <= curves[side][at] <= exact * 1.01 + 1e-12


def one_step_delta(rate: float, sigma: float, eps: float) -> float:
    """Exact delta of one Poisson-sampled Gaussian step, the worse direction."""
    g = math.exp(eps)
    z = sigma * (math.log((g - 1 + rate) / rate) + 1 / (2 * sigma**2))  # there P = g Q
    remove = (1 - rate) * ndtr(-z) + rate * ndtr(1 / sigma - z) - g * ndtr(-z)
    gap = 1 / g - 1 + rate
    if gap <= 0:
        return float(remove)
    z = sigma * (math.log(gap / rate) + 1 / (2 * sigma**2))
    add = ndtr(z) - g * ((1 - rate) * ndtr(z) + rate * ndtr(z - 1 / sigma))
    return float(max(remove, add))


@pytest.mark.parametrize(("rate", "sigma"), [(0.01, 1.0), (0.25, 2.0), (0.5, 0.7)])
def test_the_upper_epsilon_holds_and_is_exact_for_gaussians(rate: float, sigma: float) -> None:
    """Guarantee of accountants.accountant.epsilon: The mechanism is (upper, delta)-DP under this
    adjacency, and, cascades apart, it is not (epsilon, delta)-DP for any epsilon below lower."""
    step = PoissonSampled(Gaussian(sigma), rate)
    found = epsilon(step, delta=1e-3, adjacency=SIDE)
    assert one_step_delta(rate, sigma, found.upper) <= 1e-3 * (1 + 1e-13)
    assert one_step_delta(rate, sigma, found.lower - 1e-6) > 1e-3
    bound = epsilon(Repeated(Gaussian(sigma), 9), delta=1e-5, adjacency=SIDE)
    exact = gaussian.epsilon(3.0 / sigma, 1e-5)
    assert bound.lower <= exact <= bound.upper <= exact * (1 + 1e-9)


def test_the_odometer_is_the_claim_of_a_run_that_was_to_stop_there() -> None:
    """Guarantee of accountants.accountant.odometer: Each entry bounds the run that stops there *by
    a schedule fixed in advance*: the releases, composed with training and the rounds until then."""
    training = Repeated(PoissonSampled(Gaussian(1.5), 0.2), 30)
    rounds, counts = [Gaussian(3.0), Gaussian(2.0), Gaussian(5.0)], Gaussian(4.0)
    for inside in (False, True):
        entries = odometer(training, rounds, delta=1e-5, releases=counts, cascade=inside)
        for k, entry in enumerate(entries, start=1):
            answers = Composed(tuple(rounds[:k]))
            both = Cascade(training, answers) if inside else Composed((training, answers))
            claim = epsilon(Composed((counts, both)), delta=1e-5, adjacency=SIDE).upper
            assert entry.upper == pytest.approx(claim, rel=1e-8)
        uppers = [entry.upper for entry in entries]
        assert uppers == sorted(uppers)


def answered_delta(model: float, answers: float, eps: float) -> float:
    """Exact delta of clip(x + N(0, 1 / model^2), 0, 1) + N(0, 1 / answers^2), x = 0 or 1."""
    theta = np.linspace(0.0, 1.0, 2001)
    inner, width = 0.5 * (theta[1:] + theta[:-1]), 1.0 / 2000
    z = np.linspace(-12.0 / answers, 1 + 12.0 / answers, 1501)

    def density(x: float) -> Any:
        weights = model * np.exp(-((inner - x) ** 2) * model**2 / 2) / math.sqrt(2 * math.pi)
        points = np.concatenate([[0.0], inner, [1.0]])
        mass = np.concatenate([[ndtr(-x * model)], weights * width, [ndtr((x - 1) * model)]])
        noise = answers * np.exp(-((z[:, None] - points) ** 2) * answers**2 / 2)
        return noise @ (mass / mass.sum()) / math.sqrt(2 * math.pi)

    p, q, g = density(0.0), density(1.0), math.exp(eps)
    return float(np.trapezoid(np.maximum(p - g * q, 0.0), z))


@pytest.mark.parametrize("eps", [0.0, 0.25, 0.5, 1.0])
def test_the_cascades_product_bounds_a_model_behind_a_noisy_answer(eps: float) -> None:
    """Guarantee of accountants.profile.cascade: `answers` is a two-point bound, so its profile
    holds for any two models: never below the exact delta of a clipped, noised model; the product of
    both profiles, hence below each of them."""
    model, answers = parts_of(Gaussian(1.0), SIDE), parts_of(Gaussian(1.0), SIDE)
    alone = float(gaussian.delta(1.0, eps))
    for side in (REMOVE, ADD):
        product = float(knots.at(cascade(model, answers, side), np.array([eps]))[0])
        assert answered_delta(1.0, 1.0, eps) <= product
        assert alone**2 <= product * (1 + 1e-9)
        assert product <= alone**2 * 1.02 < alone


@given(st.floats(0.3, 8.0), st.integers(1, 20))
def test_a_calibrated_value_meets_the_budget_itself(budget: float, count: int) -> None:
    """Guarantee of accountants.calibrate.calibrate: The returned value itself was accounted for and
    meets (epsilon, delta)."""
    sigma = calibrate(
        lambda s: Repeated(Gaussian(s), count), epsilon=budget, delta=1e-5, adjacency=SIDE,
        bracket=(0.01, 1000.0),
    )  # fmt: skip
    event = Repeated(Gaussian(sigma), count)
    upper = epsilon(event, delta=1e-5, adjacency=SIDE).upper
    assert 0.999 * budget <= upper <= budget


@given(st.floats(0.1, 5.0), st.floats(1e-9, 0.1))
def test_the_search_ends_at_an_epsilon_that_it_evaluated(mu: float, delta: float) -> None:
    """Guarantee of accountants.search.crossing: Both were evaluated: an upper profile gives an
    upper epsilon, a lower one a lower epsilon."""
    seen: list[float] = []

    def profile(at: Any) -> Any:
        seen.extend(np.asarray(at).tolist())
        return gaussian.delta(mu, at)

    failing, found = search.crossing(profile, delta, 1.0)
    assert float(gaussian.delta(mu, found)) <= delta
    assert found == 0.0 or (found in seen and failing in seen)
    assert found == 0.0 or float(gaussian.delta(mu, failing)) > delta


# --- accountants: filter and ledger


COSTS = st.one_of(st.floats(), st.sampled_from([0.1, 1e-300, 5e-324, 1e17, math.nan, -1.0, 0.0]))


@given(st.lists(COSTS, max_size=12), st.sampled_from([0.0, 0.3, 1.0, 1e17]))
def test_the_filter_adds_exactly_and_admits_no_odd_cost(costs: list[float], cap: float) -> None:
    """Guarantee of accountants.filter.GaussianFilter: Sums are exact rationals, so no rounding can
    let the spent total pass the cap; NaN, infinite, zero and negative costs are never accepted."""
    spent, exact = Fraction(0), Fraction(0)
    for cost in costs:
        fits = math.isfinite(cost) and cost > 0 and exact + Fraction(cost) <= Fraction(cap)
        if fits:
            spent = GaussianFilter(cap).admit(spent, cost)
            exact += Fraction(cost)
        else:
            with pytest.raises(BudgetExhausted):
                GaussianFilter(cap).admit(spent, cost)
    assert spent == exact <= Fraction(cap)


HEADER = Header(
    "aa" * 16, "north", "run", "record", "add-or-remove", 1e-5,
    (Planned("counts", "R", Gaussian(2.0), 1), Planned("dp-sgd", "A", Gaussian(3.0), 5)),
    1.0, 0.5, 3, "1",
)  # fmt: skip


def charge(seq: int, mu2: float, record: float | None) -> Charge:
    digest = seq.to_bytes(4, "big")
    event = Gaussian(1.0 / math.sqrt(mu2)) if 1e-9 < mu2 < 1e9 else Gaussian(1.0)
    return Charge(seq, "answer", "B", digest, event, mu2, record, 1, 0, None)


@given(
    st.lists(st.tuples(st.floats(0, 2), st.floats(0, 1)), max_size=8), st.lists(st.integers(1, 4))
)
def test_accepted_rows_keep_caps_and_planned_uses(
    answers: Sequence[tuple[float, float]], uses: Sequence[int]
) -> None:
    """Guarantee of accountants.totals.add: Every accepted row keeps the sums of mu^2 within the
    header's caps and each planned mechanism within its uses."""
    spent, taken = FilterState(), 0
    for seq, (mu2, record) in enumerate(answers, start=1):
        try:
            spent = add(HEADER, spent, charge(seq, mu2, record))
        except DPError:
            continue
        assert mu2 > 0
        assert record > 0
    for count in uses:
        row = Charge(1, "dp-sgd", "A", b"d", Gaussian(3.0), 0.0, None, count, 0, None)
        try:
            spent = add(HEADER, spent, row)
        except BudgetExhausted:
            assert taken + count > 5
        else:
            taken += count
    assert spent.answers <= 1
    assert spent.record <= Fraction(1, 2)
    assert taken <= 5
    for odd in (replace(row, kind="moments") for row in [charge(1, 0.1, 0.1)]):
        with pytest.raises(DPError):
            add(HEADER, spent, odd)


def filled(path: Path) -> str:
    """A ledger of three answers; its head."""
    with Ledger.create(path, HEADER, key=KEY) as ledger:
        for number in range(3):
            ticket = ledger.admit(
                digest=bytes([number]), kind="answer", group="B", event=Gaussian(10.0), mu2=0.01,
                record_mu2=0.001, round=number,
            )  # fmt: skip
            ledger.commit(ticket, b"reply %d" % number)
        return ledger.head


EDITS = (
    "UPDATE charges SET mu2 = 0.001 WHERE seq = 2",
    "UPDATE charges SET round = 7 WHERE seq = 2",
    "UPDATE charges SET digest = x'77' WHERE seq = 3",
    "DELETE FROM charges WHERE seq = 1",
    "DELETE FROM replies WHERE seq = 3",
    "UPDATE replies SET bytes = x'00' WHERE seq = 3",
    "UPDATE header SET text = replace(text, '1.0', '9.0')",
    "INSERT INTO charges SELECT 4, kind, grp, x'09', event, mu2, record_mu2, uses, round, "
    "reply_sha256, mac, draws FROM charges WHERE seq = 3",
    "DELETE FROM charges WHERE seq = 3; DELETE FROM replies WHERE seq = 3",
)


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_of_a_ledger_is_found(edit: str, tmp_path: Path) -> None:
    """Guarantee of accountants.verification.verify: An edited, deleted, inserted or exchanged row,
    reply or header is found, and so is a cut tail where `expected_head` is given."""
    path = tmp_path / "ledger"
    head = filled(path)
    assert verify(path, key=KEY, expected_head=head).head == head
    connection = sqlite3.connect(path)
    connection.executescript(edit)
    connection.close()
    with pytest.raises(LedgerCorrupt):
        verify(path, key=KEY, expected_head=head)


def test_a_committed_row_survives_a_power_cut(tmp_path: Path) -> None:
    """Guarantee of accountants.ledger.Ledger.commit: On return row and reply survive a power cut:
    they are in the files as they lie on the disk while the ledger is still open, and a refused
    transaction releases nothing."""
    path, cut = tmp_path / "ledger", tmp_path / "cut"
    filled(path)
    with Ledger.open(path, key=KEY) as ledger:
        ticket = ledger.admit(
            digest=b"new", kind="answer", group="B", event=Gaussian(10.0), mu2=0.01,
            record_mu2=0.001, round=3,
        )  # fmt: skip
        ledger.commit(ticket, b"the reply")
        for suffix in ("", "-wal"):
            if (source := Path(f"{path}{suffix}")).exists():
                Path(f"{cut}{suffix}").write_bytes(source.read_bytes())
    with Ledger.open(cut, key=KEY) as ledger:
        found = ledger.find(b"new")
        assert found is not None
        assert found.reply == b"the reply"


def test_a_ledger_file_is_whole_or_absent_and_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guarantee of accountants.storage.create_file: After a crash `path` is either absent or a
    whole ledger. An existing file is never touched."""
    path = tmp_path / "ledger"
    with monkeypatch.context() as broken:

        def crash(*_: object) -> None:
            raise KeyboardInterrupt

        broken.setattr(os, "link", crash)
        with pytest.raises(KeyboardInterrupt):
            Ledger.create(path, HEADER, key=KEY)
    assert list(tmp_path.iterdir()) == []
    filled(path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="not overwritten"):
        storage.create_file(path, "{}", b"mac")
    assert path.read_bytes() == before
    assert path.stat().st_mode & 0o777 == 0o600
