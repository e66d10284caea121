"""Top-ups: what they cost, and that no sequence of them passes the caps that the run began with."""

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import Gaussian, gaussian
from accountants.ledger import Header
from accountants.rows import Charge
from accountants.totals import FilterState, add
from dpfedsyn import budget, topups
from dpfedsyn import config as configuration
from dpfedsyn import plan as planning
from dpfedsyn.errors import BudgetExhausted, ConfigError, RunError
from dpfedsyn.folder import COMPLETE, RunFolder
from dpfedsyn.plan import Plan
from dpfedsyn.topups import Left, TopUp

TINY = ("answers.rows=60", "sampler.levels=2", "sampler.steps_per_level=1", "best.levels=4")
ENDED = {"status": COMPLETE}


@cache
def plan_of(example: str, *more: str) -> Plan:
    """The plan of a small run; of the ensemble one whose answers leave something of epsilon."""
    small = TINY if example == "hospitals" else ("answers.rows=8", "sampler.levels=2")
    return planning.make(configuration.load(example, [*small, *more]))


def plans() -> tuple[Plan, ...]:
    return plan_of("hospitals"), plan_of("answers-only", "answers.mu=0.8")


def least(plan: Plan) -> str:
    """The silo whose cap is the smallest."""
    return min(plan.budgets, key=lambda name: plan.budgets[name].answers_mu)


class FakeLedger:
    """A silo's filter without a silo: the totals that the real ledger judges every row by."""

    def __init__(self, plan: Plan, name: str) -> None:
        own = plan.budgets[name]
        record = None if own.record_mu is None else own.record_mu**2
        self.plan, self.own, self.spent = plan, own, FilterState()
        self.header = Header(
            ledger_id="0" * 32, silo=name, run="run", unit="record", adjacency="add-or-remove",
            delta=1e-5, planned=(), answers_cap=own.answers_mu**2, record_cap=record,
            keep_replies=3, version="1", draws_cap=plan.draws(name).total,
        )  # fmt: skip
        for cost in plan.round_costs:
            self.answer(cost, 1)

    def answer(self, mu2: float, draws: int) -> None:
        record = None if self.own.record_mu is None else self.own.at_record_level(mu2)
        seq = self.spent.rows + 1
        event = Gaussian(1.0 / math.sqrt(mu2))
        charge = Charge(
            seq, "answer", "B", seq.to_bytes(8, "big"), event, mu2, record, 1, seq, None, draws
        )
        self.spent = add(self.header, self.spent, charge)

    def left(self) -> Left:
        totals, record = self.spent.totals(self.header), None
        if self.header.record_cap is not None:
            record = self.header.record_cap - (totals.record_mu2 or 0.0)
        draws = (self.header.draws_cap or 0) - totals.draws
        return Left(self.header.answers_cap - totals.answers_mu2, record, draws)


wanted = st.tuples(
    st.integers(1, 60), st.sampled_from(["default", "best", "paper"]), st.floats(0.5, 8.0)
)


@given(which=st.sampled_from([0, 1]), asked=st.lists(wanted, min_size=1, max_size=8))
def test_no_sequence_of_top_ups_exceeds_a_cap(
    which: int, asked: list[tuple[int, str, float]]
) -> None:
    """Guarantee of dpfedsyn.topups.require_room: What it returns from fits into what every ledger
    has left if each round is answered once: the ledger's own filter takes every round of it, and
    after whatever sequence the sums are within the caps that the run began with."""
    plan = plans()[which]
    ledger, found = FakeLedger(plan, least(plan)), ()
    for rows, preset, noise in asked:
        if preset == "paper":
            preset, rows = "best", max(1, rows // 10)
        one = topups.new(found, plan.config, rows, preset, noise)
        part = topups.passes(plan.config, (*found, one))[-1]
        left = {ledger.header.silo: ledger.left()}
        try:
            topups.require_room(plan, one, part, left)
        except BudgetExhausted:
            continue
        drawn = one.rows * (plan.dimension + (part.settings.energy == "released"))
        for cost in plan.costs(part):
            ledger.answer(cost, drawn)  # raises beyond a cap
        found = (*found, replace(one, **ENDED))
    totals = ledger.spent.totals(ledger.header)
    assert totals.answers_mu2 <= ledger.header.answers_cap
    assert totals.draws <= (ledger.header.draws_cap or 0)
    if ledger.header.record_cap is not None:
        assert (totals.record_mu2 or 0.0) <= ledger.header.record_cap


@pytest.mark.parametrize("which", [0, 1])
def test_a_refusal_names_rows_and_noise_that_do_fit(which: int) -> None:
    """As many rows as it says fit, and one more does not; with the noise that it names all do."""
    plan = plans()[which]
    ledger = FakeLedger(plan, least(plan))
    left = {ledger.header.silo: ledger.left()}

    def tried(rows: int, noise: float = 1.0) -> str | None:
        one = topups.new((), plan.config, rows, None, noise)
        try:
            topups.require_room(plan, one, topups.passes(plan.config, [one])[0], left)
        except BudgetExhausted as refusal:
            return str(refusal)
        return None

    refused = tried(100 * plan.config.answers.rows)
    assert refused is not None
    assert "Nothing was asked, charged or released" in refused
    few = tried(int(plan.config.answers.rows))
    assert few is not None
    fitting = int(few.split(" rows fit, or ")[0].rsplit(" ", 1)[1])
    noise = float(few.split("--noise ")[1].split(".  ")[0].split(" ")[0].rstrip("."))
    assert tried(fitting) is None
    assert tried(fitting + 1) is not None
    assert tried(int(plan.config.answers.rows), noise) is None
    assert tried(int(plan.config.answers.rows), 0.99 * noise) is not None


def test_too_little_for_a_single_row_is_said() -> None:
    """And the silo that has least is the one that is named."""
    plan = plan_of("hospitals")
    one = topups.new((), plan.config, 5, None, 1.0)
    (part,) = topups.passes(plan.config, [one])
    left = {"cleveland": Left(1e9), "va": Left(0.0)}
    with pytest.raises(BudgetExhausted, match=r"^va: 5 rows .* No row fits: the run's budget"):
        topups.require_room(plan, one, part, left)
    left = {"cleveland": Left(1e9, draws=10**9), "va": Left(1e9, draws=7)}
    with pytest.raises(BudgetExhausted, match=r"^va: .* 7 draws are left .* No row fits"):
        topups.require_room(plan, one, part, left)


def test_rows_cost_what_rows_of_the_run_cost() -> None:
    """N of the run's rows have its noise and N / rows of its mu^2; noise f costs f^2 times less."""
    plan = plan_of("hospitals")
    for part in plan.passes:
        for rows in (1, 30, 60, 600):
            (more,) = topups.passes(plan.config, [TopUp(1, rows, part.name)])
            stds = [[n.score_std for n in plan.noise(one, one.rows)] for one in (more, part)]
            assert stds[0] == pytest.approx(stds[1])
            assert math.fsum(plan.costs(more)) == pytest.approx(
                math.fsum(plan.costs(part)) * rows / part.rows
            )
    (loud,) = topups.passes(plan.config, [TopUp(1, 60, "default", noise=3.0)])
    assert 9.0 * math.fsum(plan.costs(loud)) == pytest.approx(math.fsum(plan.costs(plan.passes[0])))


def test_rounds_count_on_and_every_top_up_draws_anew() -> None:
    """No round of one has the number of another's: the server's randomness follows from it."""
    plan = plan_of("hospitals")
    found = [TopUp(1, 10, "default", **ENDED), TopUp(2, 10, "best", **ENDED), TopUp(3, 5, "best")]
    made = topups.passes(plan.config, found)
    assert [part.name for part in made] == ["more-1", "more-2", "more-3"]
    ends = [plan.rounds, plan.rounds + 2, plan.rounds + 6]
    assert [part.first_round for part in made] == ends
    assert len(topups.round_costs(plan, found)) == plan.rounds + 2 + 4 + 4


def test_the_reserve_costs_nothing_at_record_level_behind_dp_sgd() -> None:
    """Same multiplier, same epsilon to all digits that are printed; the cap holds mu^2 (1 + r)."""
    with_it, without = plan_of("hospitals"), plan_of("hospitals", "answers.reserve=0")
    for name, own in with_it.budgets.items():
        other = without.budgets[name]
        assert own.noise_multiplier == pytest.approx(other.noise_multiplier, rel=1e-9)
        uppers = [p.epsilon(b.record_claim()).upper for p, b in ((with_it, own), (without, other))]
        assert f"{uppers[0]:.6f}" == f"{uppers[1]:.6f}"
        assert own.answers_mu**2 == pytest.approx(1.2 * other.answers_mu**2)
    assert with_it.round_costs == without.round_costs


def test_a_reserve_that_matters_at_record_level_is_paid_for() -> None:
    """Where the answers' noise takes something off, more noise in training makes up for it."""
    few = ("answers.rows=1", "answers.mu=1.5")
    with_it = plan_of("hospitals", *few, "answers.reserve=8")
    without = plan_of("hospitals", *few, "answers.reserve=0")
    for name, own in with_it.budgets.items():
        assert own.noise_multiplier > without.budgets[name].noise_multiplier * (1.0 + 1e-3)
        assert with_it.epsilon(own.record_claim()).upper <= with_it.config.privacy.epsilon


def test_an_ensemble_has_no_reserve_beside_its_epsilon() -> None:
    """Its caps are those of epsilon, whatever the setting; what planned rounds leave is its own."""
    plans = [plan_of("answers-only", f"answers.reserve={share}") for share in (0, 0.2, 9)]
    for name in plans[0].budgets:
        (mu,) = {plan.budgets[name].record_mu for plan in plans}
        silo = next(silo for silo in plans[0].config.silos if silo.name == name)
        epsilon, delta = plans[0].config.epsilon(silo), plans[0].config.privacy.delta
        assert mu == gaussian.mu(epsilon, delta) * budget.ROUND_DOWN
        assert len({plan.draws(name).total for plan in plans}) == 1


@pytest.mark.parametrize(
    ("rows", "preset", "noise", "word"),
    [
        (0, None, 1.0, "--rows 0"),
        (5, "bset", 1.0, "--preset bset"),
        (5, None, 0.0, "--noise 0"),
        (5, None, math.nan, "--noise nan"),
        (5, None, math.inf, "--noise inf"),
    ],
)
def test_bad_input_is_refused(rows: int, preset: str | None, noise: float, word: str) -> None:
    """Each names the option, and that nothing was asked."""
    config = plan_of("hospitals").config
    with pytest.raises(ConfigError, match=f"^{word}: .*othing was asked"):
        topups.new((), config, rows, preset, noise)


def test_no_other_is_begun_before_one_has_ended() -> None:
    """An interrupted one is charged in part."""
    config = plan_of("hospitals").config
    with pytest.raises(RunError, match=r"Top-up 1 of this run has not ended.*--resume"):
        topups.new([TopUp(1, 5, "default")], config, 5, None, 1.0)


def test_they_are_kept_as_they_are(tmp_path: Path) -> None:
    """Also in a run that promises nothing, whose files are marked."""
    found = (TopUp(1, 5, "best", 2.0, COMPLETE, None, 4, ({"name": "x"},)), TopUp(2, 7, "default"))
    assert topups.read(tmp_path) == ()
    for void in (None, "a test"):
        topups.keep(RunFolder(tmp_path, void), found, {})
        assert topups.read(tmp_path) == found
    assert (tmp_path / "NON-PRIVATE-top-ups.json").is_file()


@pytest.mark.parametrize("text", ["{", "[]", '{"top_ups": [{"number": 2}]}', '{"top_ups": [{}]}'])
def test_a_damaged_file_is_one_clear_error(text: str, tmp_path: Path) -> None:
    """Which rows were asked is unknown then, and with it the number of the next round."""
    (tmp_path / topups.FILE).write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match=r"top-ups\.json: is damaged"):
        topups.read(tmp_path)


def test_a_gap_in_the_numbers_is_damage(tmp_path: Path) -> None:
    """A top-up that was taken out would free its rounds' numbers for other content."""
    topups.keep(RunFolder(tmp_path), [TopUp(1, 5, "default"), TopUp(2, 5, "default")], {})
    content = json.loads((tmp_path / topups.FILE).read_text(encoding="utf-8"))
    content["top_ups"].pop(0)
    (tmp_path / topups.FILE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunError, match="not numbered from 1"):
        topups.read(tmp_path)
