"""What the audit's guarantee hangs on: coins, order, prices, errors of whole blocks, bounds."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import binom

from accountants import (
    Adjacency,
    ApproximateDP,
    Gaussian,
    Laplace,
    PoissonSampled,
    Repeated,
    Unbounded,
    delta,
    epsilon,
)
from dpfedsyn.audit import GDP, Verdict, audit, audit_scores, auditing, binomial, claims, process
from dpfedsyn.audit.bets import (
    POWER_PRIOR,
    POWERS,
    TailBet,
    likelihood_payoffs,
    likelihood_prices,
)
from dpfedsyn.audit.bounds import Observed
from dpfedsyn.audit.calling import Caller, Outputs
from dpfedsyn.audit.claims import LOSSES, POSTERIORS, curve_of, gaussian_curve, largest_accuracy
from dpfedsyn.audit.process import Rules, log_wealth, rule_prior, start, step
from dpfedsyn.audit.scores import Fitted, Linear
from dpfedsyn.audit.witness import streams, toss
from dpfedsyn.errors import AuditError

BASE = np.zeros((2, 1))
PAIR = (BASE, np.vstack([BASE, [[1.0]]]))


def gaussian(std):
    """A sum with noise of this standard deviation."""
    return lambda data, n, rng: data.sum(axis=0) + std * rng.standard_normal((n, data.shape[1]))


def flaky(data, n, rng):
    """Private for certain, and every second block raises."""
    if rng.random() < 0.5:
        raise RuntimeError("no luck")
    return rng.standard_normal((n, 1))


def padded(data, n, rng):
    """Private for certain, and as wide as chance has it."""
    return rng.standard_normal((n, int(rng.integers(1, 4))))


@pytest.mark.parametrize("mechanism", [flaky, padded])
def test_what_befalls_a_whole_block_is_no_evidence(mechanism):
    """An error or a shape of all n calls together is one outcome, not n: no alarm follows.

    More than 3 alarms in 60 audits at 1 % have a chance of 4e-3. Bets that are settled call by call
    raise 6 to 8 a 60 of this kind, and nearly all audits where blocks get large.
    """
    alarms = 0
    for seed in range(60):
        try:
            found = audit(mechanism, PAIR, claim=GDP(0.5), alpha=0.01, max_calls=400, seed=seed)
        except AuditError:  # a block failed later on, see below
            continue
        alarms += found.verdict is Verdict.VIOLATION
    assert alarms <= 3
    assert binom.sf(3, 60, 0.01) < 4e-3


def test_a_vectorised_mechanism_that_raises_is_called_one_by_one():
    """Its error depends on the data, and is found as such."""

    def refuses(data, n, rng):
        if len(data) > 2:
            raise ValueError("too many")
        return rng.standard_normal((n, 1))

    found = audit(refuses, PAIR, claim=GDP(1.0), seed=1)
    assert found.verdict is Verdict.VIOLATION
    assert found.outcomes == ("ValueError: too many",)
    assert found.witness.replay().reproduced


@pytest.mark.parametrize("late", ["raises", "widens"])
def test_a_block_that_fails_after_bets_were_placed_is_refused(late):
    """Whether it did depends on all its calls: leaving it out would choose among outputs."""

    def later(data, n, rng):
        if n > 30 and late == "raises":
            raise MemoryError("too many")
        return rng.standard_normal((n, 1 + (n > 30)))

    with pytest.raises(AuditError, match=r"one outcome of all.*plain"):
        audit(later, PAIR, claim=GDP(1.0), max_calls=2000)


def test_plain_calls_come_in_the_order_of_the_coins():
    """A mechanism that counts its calls tells nothing of the coins."""
    seen = []

    def counts(data, rng):
        seen.append(len(data))
        return float(len(seen))

    outputs, labels = toss(Caller(counts), PAIR, 50, *streams(0, 0))
    assert [size - 2 for size in seen] == list(labels)
    assert list(outputs.values[:, 0]) == list(range(1, 51))


def test_coins_are_not_the_noise():
    """Coins are tossed by a generator that no mechanism sees, nor makes from the same seed."""
    coins, noise = (stream.integers(0, 2, 400) for stream in streams(0, 0))
    own = np.random.default_rng(0).integers(0, 2, 400)
    for one, other in ((coins, noise), (coins, own), (noise, own)):
        assert binom.sf(int(np.sum(one == other)) - 1, 400, 0.5) > 1e-6
        assert binom.cdf(int(np.sum(one == other)), 400, 0.5) > 1e-6

    def greedy(data, n, rng):
        return np.tile(rng.bit_generator.random_raw(1).astype(float) * 0, (n, 1))

    _, labels = toss(Caller(greedy), PAIR, 40, *streams(5, 0))
    _, others = toss(Caller(gaussian(1.0)), PAIR, 40, *streams(5, 0))
    assert np.array_equal(labels, others)
    assert not np.array_equal(labels, toss(Caller(greedy), PAIR, 40, *streams(5, 1))[1])


@pytest.mark.parametrize(("zeros", "ones"), [(1, 1), (3, 50), (50, 3), (20, 20)])
def test_scores_are_used_until_one_side_is_used_up(zeros, ones):
    """And no further: coins after that would be of one kind.

    The last coin is the one that uses a side up; earlier ones never do.
    """
    for seed in range(200):
        labels = auditing._until_used_up(zeros, ones, np.random.default_rng(seed))
        used = (len(labels) - labels.sum(), labels.sum())
        assert (used[0] == zeros) != (used[1] == ones)
        before = labels[:-1]
        assert before.sum() < ones
        assert len(before) - before.sum() < zeros


def known(weights):
    """Rules that are fixed: log-odds linear in the first value."""
    score = Linear(lambda outputs: outputs.values, np.array([weights, 0.0]), 50.0)
    return Fitted(score, np.zeros(0))


def test_a_block_is_bet_on_with_the_rules_from_before():
    """The wealth after a block follows from rules that had not seen it, whatever it holds."""
    test, state = start(gaussian_curve(0.5), 1e-6)
    fitted = tuple(known(w) for w in (1.0, -0.5, 0.0))
    tails = tuple((k, TailBet(t, 0.2, 0.6, 0.5)) for k in range(3) for t in (0, 1))
    state = replace(state, rules=Rules(fitted, tails, 0), calls=40)
    values = np.linspace(-2, 2, 30)[:, None]
    labels = (values[:, 0] > 0).astype(float)
    after = step(state, Outputs(values, np.zeros(30, np.int64)), labels, test)
    expected = [float(likelihood_payoffs(w * values[:, 0], labels).sum()) for w in (1, -0.5, 0)]
    assert after.likelihood == pytest.approx(expected)
    for k, bet in tails:
        odds = (1.0, -0.5, 0.0)[k] * values[:, 0]
        paid = bet.log_payoffs(odds, labels).sum() - 30 * math.log(bet.price(test.curve))
        assert after.tails[k, bet.toward] == pytest.approx(paid)
    assert (after.bets, after.right, after.calls) == (30, 30, 70)
    assert after.rules is not state.rules
    shares = 0.75 * np.outer(rule_prior(3), POWER_PRIOR)
    main = np.outer(expected, POWERS) - 30 * np.log(test.prices) + np.log(shares)
    side = after.tails + np.log(0.25 / 2 * rule_prior(3))[:, None]
    whole = logsumexp(np.concatenate([main.ravel(), side.ravel()]))
    assert float(log_wealth(after.likelihood, after.tails, 30, test)) == pytest.approx(whole)
    assert after.peak >= whole


def test_the_wealth_starts_at_one():
    """All shares add up to 1, with learnt rules and with a given one."""
    for score in (None, lambda x: x[:, 0]):
        test, state = start(gaussian_curve(1.0), 0.05, score)
        assert float(log_wealth(state.likelihood, state.tails, 0, test)) == pytest.approx(0.0)


def test_prices_are_paid_for_every_call():
    """An output that says nothing loses against a claim: the wealth falls with each call."""
    test, state = start(gaussian_curve(1.0), 1e-6)
    grown = [float(log_wealth(-n * math.log(2) * np.ones(3), state.tails, n, test)) for n in (1, 9)]
    assert np.all(np.log(test.prices) > -POWERS * math.log(2))
    assert grown[1] < grown[0] < 0.0


def test_a_label_that_is_told_at_once_is_no_help_to_rules_that_look_back():
    """A claim that holds, and outputs that repeat: learning on the block itself would win.

    Each block's outputs are distinct words, each of which comes once: a rule that has seen the
    block knows every label, one from before knows none.
    """
    words = iter(range(10**9))
    found = audit(
        lambda data, rng: str(next(words)), PAIR, claim=GDP(0.05), alpha=0.01, max_calls=1500
    )
    assert found.verdict is not Verdict.VIOLATION
    assert found.log_wealth < 2.0


def evidence(**changes):
    """1900 right guesses of 2000, whole error."""
    plain = Observed(np.full(3, -400.0), rule_prior(3), 2000, 1900, False, 0.05)
    return replace(plain, **changes)


def test_which_bound_is_used_and_what_error_it_may_spend():
    """Guesses at the end of all calls, bets at an early stop; the shares add up to the error.

    Guesses counted at an early stop would be a bound chosen by the outputs.
    """
    test, state = start(gaussian_curve(0.5), 1e-6)
    whole = auditing._evidence(replace(state, calls=100), test, 0.05, 0)
    ended = auditing._evidence(replace(state, calls=100), test, 0.05, 100)
    stopped = auditing._evidence(replace(state, calls=60), test, 0.05, 100)
    assert (whole.sequential, ended.sequential, stopped.sequential) == (False, False, True)
    assert whole.error == 0.05
    assert ended.error + stopped.error == pytest.approx(0.05)
    assert evidence(sequential=True).mu_lower() != evidence().mu_lower()
    assert evidence(bets=0, right=0).mu_lower() == 0.0
    assert evidence(bets=0, right=0).epsilon_lower(Gaussian(1.0), "add-or-remove", 1e-5) == 0.0


def test_early_bounds_cover_and_counted_guesses_would_not():
    """Stopping at a lucky streak is allowed for: 95 % bounds of 100 audits that stop early.

    The mechanism is claimed to be perfectly private and alpha is 0.3, so that most stops are
    lucky. More than 14 bounds above the truth have a chance of 2e-4 at 5 %.
    """
    above = stopped = lucky = 0
    for seed in range(100):
        found = audit(
            gaussian(1 / 0.3), PAIR, claim=GDP(0.05), alpha=0.3, max_calls=4000, seed=seed
        )
        kept = found._evidence
        stopped += kept.sequential
        above += found.mu_lower > 0.3
        lucky += kept.sequential and replace(kept, sequential=False, error=0.05).mu_lower() > 0.3
    assert stopped > 20
    assert above <= 14
    assert lucky > above


def test_an_epsilon_is_rounded_down():
    """The lower bound is the accountant's lower end, at each family."""
    for claim in (GDP(1.0), Gaussian(1.0)):
        real = Gaussian(1 / evidence().mu_lower())
        found = evidence().epsilon_lower(claim, "add-or-remove", 1e-5)
        assert found == epsilon(real, delta=1e-5).lower < epsilon(real, delta=1e-5).upper


def test_an_epsilon_along_a_family_is_that_of_its_first_member_that_is_left():
    """A member with 1 % less noise than the bound's is not contradicted; one with 1 % more is."""
    family = PoissonSampled(Gaussian(0.25), 0.8)
    found = evidence(right=1600).epsilon_lower(family, "add-or-remove", 1e-5)
    guessed = binomial.lower_rate(1600, 2000, 0.05)
    ratios = np.geomspace(8.0, 0.4, 300)
    reached = [
        largest_accuracy(claims.scaled(family, ratio), Adjacency.ADD_OR_REMOVE) for ratio in ratios
    ]
    first = int(np.argmax(np.array(reached) >= guessed))
    assert 0 < first < 299
    below, above = (
        epsilon(claims.scaled(family, ratios[k]), delta=1e-5) for k in (first - 1, first)
    )
    assert below.lower * (1 - 1e-9) <= found <= above.upper


def test_bets_reject_what_they_have_outgrown():
    """Shares of rules and powers add up to 1, and the limit is one over the error."""
    curve, gained = gaussian_curve(0.5), np.array([-500.0, -520.0, -600.0])
    prices = np.log(likelihood_prices(curve))
    shares = np.log(np.outer([0.4, 0.3, 0.3], [1, 1, 2, 3, 4, 3, 1])) - math.log(15)
    grown = float(logsumexp(np.outer(gained, POWERS) - 1000 * prices + shares))
    kept = evidence(likelihood=gained, bets=1000, sequential=True)
    assert 1.0 < grown < 300.0
    assert replace(kept, error=math.exp(-grown) * 1.001).rejects(curve)
    assert not replace(kept, error=math.exp(-grown) * 0.999).rejects(curve)


@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
def test_a_tail_bet_costs_what_the_best_region_pays(mu):
    """The price at a line is 1 + stake (1 - line) delta / 2: no less, and at the grid no more."""
    for place in (0, 40, 90, 120):
        line, loss = POSTERIORS[claims._MIDDLE + place], LOSSES[place]
        exact = delta(Gaussian(1 / mu), epsilon=loss)
        for stake in (0.1, 1.0 / line):
            paid = 1 + stake * (1 - line) * exact.upper / 2
            price = TailBet(1, 0.0, float(line), stake).price(gaussian_curve(mu))
            assert price == pytest.approx(paid, rel=1e-9)
            assert price >= 1 + stake * (1 - line) * exact.lower / 2


def test_families_end_where_nothing_can_be_tested():
    """A member that allows everything contradicts nothing and stops no search."""
    gaussians = Repeated(Gaussian(10.0), 5)
    assert evidence().epsilon_lower(gaussians, "add-or-remove", 1e-5) > 1.0
    assert evidence(right=2000).epsilon_lower(gaussians, "add-or-remove", 1e-5) > 5.0
    assert evidence(right=1000).epsilon_lower(gaussians, "add-or-remove", 1e-5) == 0.0
    assert evidence(right=1000).epsilon_lower(ApproximateDP(1.0, 0.0), "replace", 1e-5) == 0.0
    assert not evidence()._rejects(lambda _: Unbounded("all"), 1.0, Adjacency.REPLACE)


@pytest.mark.parametrize("adjacency", list(Adjacency))
@pytest.mark.parametrize(
    "claim",
    [
        Gaussian(0.7),
        Laplace(0.6),
        ApproximateDP(1.0, 1e-3),
        PoissonSampled(Gaussian(0.8), 0.2),
        Repeated(PoissonSampled(Gaussian(2.0), 0.2), 4),
    ],
    ids=str,
)
def test_every_curve_lies_above_the_accountants(claim, adjacency):
    """At each posterior, on the grid and off it, under every adjacency, and not far above."""
    curve = curve_of(claim, adjacency)
    for loss in (0.0, 0.013, LOSSES[60], 0.9, LOSSES[150], 11.0, 36.0):
        c = 1 / (1 + math.exp(-loss))
        exact = delta(claim, epsilon=loss, adjacency=adjacency)
        upper = float(curve.tail(np.array(c)))
        assert upper >= 0.5 * (1 - c) * exact.lower * (1 - 1e-9) - 1e-16
        assert upper <= 0.5 * (1 - c) * exact.upper + 2e-3
    accuracy = largest_accuracy(claim, Adjacency(adjacency))
    assert accuracy == pytest.approx(curve.accuracy, rel=1e-12)


def test_an_uncertain_delta_counts_at_its_upper_end(monkeypatch):
    """A curve that is asked for holds upper ends, also between the losses that were asked."""
    from accountants import Bound

    monkeypatch.setattr(claims, "delta", lambda *_, epsilon, **__: Bound(0.0, math.exp(-epsilon)))
    asked = claims._asked(Laplace(1.0), Adjacency.REPLACE)
    assert asked.accuracy == pytest.approx(1.0)
    above = POSTERIORS[claims._MIDDLE : -1]
    losses = LOSSES
    assert np.all(asked.tails[claims._MIDDLE : -1] >= 0.5 * (1 - above) * np.exp(-losses) - 1e-16)
    assert largest_accuracy(Repeated(Laplace(1.0), 2), Adjacency.REPLACE) == 1.0


def test_a_replay_knows_the_outcomes_of_the_audit():
    """Outcomes keep their numbers: the first error of a replay is not taken for another one."""

    def two_errors(data, rng):
        kind = rng.random() < (0.95 if len(data) > 2 else 0.05)
        if rng.random() < 0.9:
            raise ValueError("one") if kind else KeyError("zero")
        return 0.0

    found = audit(two_errors, PAIR, claim=GDP(0.5), seed=3)
    assert found.verdict is Verdict.VIOLATION
    for seed in range(6):
        assert found.witness.replay(seed=seed).reproduced
    again = found.witness._caller.again(two_errors)
    assert again.others == found.witness._caller.others
    again._outcome("new")
    assert "new" not in found.witness._caller.others


def test_replays_make_fresh_calls():
    """Not the audit's own, also with its seed: those are what the bet was chosen on."""
    drawn = []

    def records(data, n, rng):
        noise = rng.standard_normal((n, 1))
        drawn.extend(noise[:, 0])
        return data.sum() + 0.3 * noise

    found = audit(records, PAIR, claim=GDP(1.0), seed=7)
    for seed in (None, 7):
        audited = len(drawn)
        assert found.witness.replay(seed=seed).reproduced
        assert len(set(drawn)) == len(drawn) > audited


def test_a_mechanism_that_changes_its_data_is_refused():
    """Its later calls see other neighbours than those of the claim."""

    def adds(data, n, rng):
        data += 1.0
        return data.sum() + rng.standard_normal((n, 1))

    with pytest.raises(AuditError, match="changed the data"):
        audit(adds, (BASE.copy(), PAIR[1].copy()), claim=GDP(1.0))

    def shuffles(data, n, rng):
        rng.shuffle(data)
        return data.sum() + rng.standard_normal((n, 1))

    pair = (BASE.copy(), PAIR[1].copy())
    assert audit(shuffles, pair, claim=GDP(1.0), max_calls=200).verdict is not Verdict.VIOLATION


def test_wide_outputs_are_held_in_part(monkeypatch):
    """Blocks come in parts, and no more calls are kept than fit; what is found is the same."""
    monkeypatch.setattr(process, "_MOST_NUMBERS", 64 * 100)
    sizes = []

    def wide(data, n, rng):
        sizes.append(n)
        noise = 0.3 * rng.standard_normal((n, 100))
        noise[:, 0] += data.sum()
        return noise

    found = audit(wide, PAIR, claim=GDP(1.0), max_calls=600, early=False)
    assert found.verdict is Verdict.VIOLATION
    assert sum(sizes) == found.calls == 600
    assert max(sizes) < 64
    assert found.witness.region.calls == 64
    assert audit(gaussian(1.0), PAIR, claim=GDP(1.0), max_calls=300).calls == 300


def test_scores_of_both_sides_may_differ_in_number():
    """All bets are on fair coins: an output that says nothing stays silent, however lopsided."""
    rng = np.random.default_rng(0)
    alarms = sum(
        audit_scores(
            rng.standard_normal(40), rng.standard_normal(400), claim=GDP(0.1), alpha=0.05, seed=s
        ).verdict is Verdict.VIOLATION
        for s in range(40)
    )  # fmt: skip
    assert alarms <= 8
