"""The audit: false alarms, coverage, power, what it reads, and what it refuses."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from accountants import Adjacency, ApproximateDP, Gaussian, Laplace, PoissonSampled, epsilon
from dpfedsyn.audit import GDP, Verdict, audit, audit_scores, binomial
from dpfedsyn.audit.calibration import LEVELS, Alarms, Calibration, calibrate
from dpfedsyn.errors import AuditError

BASE = np.zeros((2, 1))
PAIR = (BASE, np.ones((3, 1)) * [[0.0], [0.0], [1.0]])


def gaussian(std):
    """A sum with noise of this standard deviation."""
    return lambda data, n, rng: data.sum(axis=0) + std * rng.standard_normal((n, data.shape[1]))


def test_half_the_noise_is_found_soon():
    """At claimed mu = 0.92 (epsilon 4 at 1e-5) and alpha 1e-6; the median of 21 is below 350."""
    mu = 0.925
    calls = []
    for seed in range(21):
        found = audit(gaussian(0.5 / mu), PAIR, claim=GDP(mu), seed=seed)
        assert found.verdict is Verdict.VIOLATION
        calls.append(found.calls)
    assert np.median(calls) <= 350


def test_a_true_claim_is_consistent_and_nearly_reached():
    """The lower bound comes near the true mu, and half the noise would have been found."""
    found = audit(gaussian(1.0), PAIR, claim=GDP(1.0), max_calls=20_000, seed=1)
    assert found.verdict is Verdict.CONSISTENT
    assert 0.9 < found.mu_lower <= 1.0
    assert found.power_at(0.5) > 0.99 > found.power_at(0.97)
    assert 0.85 < found.epsilon_lower(1e-5) / epsilon(Gaussian(1.0), delta=1e-5).upper <= 1.0
    assert found.auditable_epsilon(1e-5) > 15
    assert "does not prove" in str(found)


def test_false_alarms_are_as_rare_as_promised():
    """Guarantee of dpfedsyn.audit.process.step: "If the claim is true, the wealth ever reaches".

    And Guarantee of dpfedsyn.audit.auditing.audit: "If the claim is true, the verdict is". 200
    audits at alpha = 0.05: more than 22 alarms have a chance of 1e-4 if the rate were 0.05. The
    same count refuses an auditor that alarms at four times its level.
    """
    alarms = sum(
        audit(gaussian(1.0), PAIR, claim=GDP(1.0), alpha=0.05, max_calls=400, seed=s).verdict
        is Verdict.VIOLATION
        for s in range(200)
    )
    assert binom.sf(22, 200, 0.05) < 2e-4
    assert alarms <= 22
    assert binom.cdf(22, 200, 0.2) < 1e-3


@pytest.mark.parametrize("early", [True, False])
def test_lower_bounds_cover(early):
    """Guarantee of dpfedsyn.audit.binomial.mu_lower: "The mechanism is mu-GDP for no mu below".

    Of 120 bounds at 90 % at most 25 lie above the truth (chance 1e-4 if 10 % did); raw counts
    without confidence, an invalid bound, fail this.
    """
    above = raw = 0
    for seed in range(120):
        found = audit(
            gaussian(1.0), PAIR, claim=GDP(0.7), alpha=0.05, max_calls=300, seed=seed,
            confidence=0.9, early=early,
        )  # fmt: skip
        above += found.mu_lower > 1.0
        evidence = found._evidence
        raw += binomial.mu_of_accuracy(evidence.right / evidence.bets) > 1.0
    assert above <= 25
    if not early:
        assert raw > 25


def test_rejection_is_monotone():
    """Guarantee of dpfedsyn.audit.bounds.Observed.rejects: "A mechanism that keeps the curve is".

    What rejects a curve rejects every smaller one, early or not.
    """
    from dpfedsyn.audit.claims import gaussian_curve

    for early in (True, False):
        found = audit(gaussian(0.5), PAIR, claim=GDP(1.0), max_calls=2000, seed=2, early=early)
        answers = [found._evidence.rejects(gaussian_curve(mu)) for mu in np.linspace(0.1, 4, 60)]
        assert answers == sorted(answers, reverse=True)
        assert answers[0]
        assert not answers[-1]


def test_binomial_bounds_are_clopper_pearson():
    """Closed forms at the ends, and the defining tail in between."""
    assert binomial.lower_rate(0, 10, 0.05) == 0.0
    assert binomial.upper_rate(10, 10, 0.05) == 1.0
    assert binomial.lower_rate(10, 10, 0.05) == pytest.approx(0.05**0.1)
    low = binomial.lower_rate(37, 50, 0.025)
    assert binom.sf(36, 50, low) == pytest.approx(0.025)
    with pytest.raises(AuditError, match="no rate follows"):
        binomial.lower_rate(3, 2, 0.05)


def nan_passes(data, n, rng):
    """NaN in the data comes out as NaN."""
    return data.sum(axis=0) + rng.standard_normal((n, 1))


def raises(data, rng):
    """An error that depends on the data."""
    if len(data) > 2:
        raise ValueError("too many")
    return rng.standard_normal()


def shape(data, rng):
    """As many numbers as records."""
    return rng.standard_normal(len(data))


def scale(data, n, rng):
    """The noise depends on the data and the mean does not."""
    return (1 + data.sum()) * rng.standard_normal((n, 1))


def half_unnoised(data, rng):
    """A dict with a value that no noise covers."""
    return {"mean": data.sum() + rng.standard_normal(), "count": len(data)}


def truncated(data, n, rng):
    """Noise without tails."""
    return data.sum(axis=0) + 2 * np.clip(rng.standard_normal((n, 1)), -2, 2)


NAN = (BASE, np.vstack([BASE, [[np.nan]]]))


@pytest.mark.parametrize(
    ("mechanism", "pair", "mu"),
    [
        (nan_passes, NAN, 1.0),
        (raises, PAIR, 1.0),
        (shape, PAIR, 1.0),
        (scale, PAIR, 1.0),
        (half_unnoised, PAIR, 1.0),
        (truncated, PAIR, 0.5),
    ],
)
def test_scores_see_more_than_places(mechanism, pair, mu):
    """Scale, NaN, tails, errors, shapes and unnoised parts are all found, and found again."""
    found = audit(mechanism, pair, claim=GDP(mu), max_calls=6_000, seed=3)
    assert found.verdict is Verdict.VIOLATION
    assert found.witness.replay().reproduced
    assert not audit(gaussian(1 / mu), PAIR, claim=GDP(mu), max_calls=500, seed=3).witness


def test_a_replay_of_a_sound_mechanism_shows_nothing():
    """Guarantee of dpfedsyn.audit.witness.Witness.replay: "If the claim is true,".

    The bet that caught the broken mechanism gains nothing on the mended one.
    """
    from dataclasses import replace

    found = audit(gaussian(0.4), PAIR, claim=GDP(1.0), seed=4)
    assert found.witness.replay(seed=77).reproduced
    mended = replace(found.witness, mechanism=gaussian(1.0))
    assert not mended.replay(seed=77, calls=4000).reproduced


def test_low_bits_are_looked_at_on_request():
    """Noise in floating point gives the sum away in its last bits, and only then."""
    plain = audit(gaussian(2.0), PAIR, claim=GDP(0.5), max_calls=4000, seed=5)
    assert plain.verdict is not Verdict.VIOLATION
    looked = audit(gaussian(2.0), PAIR, claim=GDP(0.5), max_calls=4000, seed=5, low_bits=True)
    assert looked.verdict is Verdict.VIOLATION


@pytest.mark.parametrize(
    ("claim", "broken", "sound"),
    [
        (PoissonSampled(Gaussian(1.0), 0.2), 0.2, 1.0),
        (ApproximateDP(1.0, 1e-5), 0.5, 6.0),
        (Gaussian(1.0), 0.4, 1.0),
    ],
)
def test_claims_may_be_any_event(claim, broken, sound):
    """Sampled, (epsilon, delta) and Gaussian claims: a violation is found, a sound one is not.

    A mechanism without sampling breaks the sampled claim; it keeps the others with enough noise.
    """

    def sampled(std):
        def mechanism(data, n, rng):
            joined = rng.random((n, len(data))) < 0.2
            return joined @ data + std * rng.standard_normal((n, 1))

        return mechanism

    make = sampled if isinstance(claim, PoissonSampled) else gaussian
    assert audit(make(broken), PAIR, claim=claim, max_calls=20_000).verdict is Verdict.VIOLATION
    right = audit(make(sound), PAIR, claim=claim, max_calls=4_000)
    assert right.verdict is not Verdict.VIOLATION
    assert right.epsilon_lower(1e-5) >= 0.0


def test_epsilon_of_an_approximate_claim_assumes_no_curve():
    """Randomised response with epsilon = 2: the bound at delta = 0-like lies just below 2."""
    keep = 1 / (1 + math.exp(-2.0))

    def response(data, n, rng):
        truth = data.sum() > 0
        return np.where(rng.random((n, 1)) < keep, truth, not truth)

    bit = (np.zeros((1, 1)), np.array([[0.0], [1.0]]))
    found = audit(response, bit, claim=ApproximateDP(2.0, 0.0), seed=1, early=False)
    assert found.verdict is Verdict.CONSISTENT
    assert 1.85 < found.epsilon_lower(1e-9) <= 2.0
    stopped = audit(response, bit, claim=ApproximateDP(0.5, 0.0), seed=1)
    assert stopped.verdict is Verdict.VIOLATION
    assert 0.5 < stopped.epsilon_lower(1e-9) <= 2.0


def test_epsilon_along_a_sampled_claim():
    """The bound for an event goes along its own family: less noise, the same rate."""

    def mechanism(data, n, rng):
        joined = rng.random((n, len(data))) < 0.5
        return joined @ data + 0.5 * rng.standard_normal((n, 1))

    claim = PoissonSampled(Gaussian(0.5), 0.5)
    found = audit(mechanism, PAIR, claim=claim, seed=1, early=False)
    assert 0.7 < found.epsilon_lower(1e-3) / epsilon(claim, delta=1e-3).upper <= 1.0


def test_too_few_calls_are_inconclusive_and_say_how_many_would_do():
    """And with that many the audit is conclusive."""
    short = audit(gaussian(4.0), PAIR, claim=GDP(0.25), max_calls=400)
    assert short.verdict is Verdict.INCONCLUSIVE
    assert f"Raise max_calls to {short.needed_calls}" in str(short)
    enough = audit(gaussian(4.0), PAIR, claim=GDP(0.25), max_calls=short.needed_calls)
    assert enough.verdict is Verdict.CONSISTENT
    huge = audit(gaussian(1.0), PAIR, claim=GDP(60.0), max_calls=400)
    assert huge.verdict is Verdict.INCONCLUSIVE
    assert huge.needed_calls is None


@pytest.mark.parametrize(("seeds", "ratio"), [(range(30), 0.5)], ids=["half"])
def test_power_is_near_what_is_reached(seeds, ratio):
    """With the calls for 80 % power and the score given, 15 to 29 of 30 audits find it (6e-4)."""
    from dpfedsyn.audit.claims import curve_of
    from dpfedsyn.audit.power import calls_for
    from dpfedsyn.audit.process import start

    test, _ = start(curve_of(GDP(1.0)), 1e-6, None, low_bits=False)
    calls = calls_for(test, curve_of(GDP(1.0 / ratio)), 0.8)
    caught = sum(
        audit(
            gaussian(ratio), PAIR, claim=GDP(1.0), max_calls=calls, seed=s,
            score=lambda x: x[:, 0],
        ).verdict is Verdict.VIOLATION
        for s in seeds
    )  # fmt: skip
    assert caught >= 15


def test_the_same_seed_is_the_same_audit():
    """Calls, wealth and bounds repeat."""
    one, two = (audit(gaussian(0.8), PAIR, claim=GDP(1.0), seed=9) for _ in range(2))
    assert (one.calls, one.log_wealth, one.mu_lower) == (two.calls, two.log_wealth, two.mu_lower)


def test_scores_drawn_elsewhere_give_the_same_answer():
    """Equal piles of scores: the violation and the bound are found without a mechanism."""
    rng = np.random.default_rng(6)
    zero, one = rng.standard_normal(5000), 1.0 + rng.standard_normal(5000)
    found = audit_scores(zero, one, claim=GDP(0.5))
    assert found.verdict is Verdict.VIOLATION
    true = audit_scores(zero, one, claim=GDP(1.0))
    assert true.verdict is Verdict.CONSISTENT
    assert 0.85 < true.mu_lower <= 1.0
    with pytest.raises(AuditError, match="same width"):
        audit_scores(np.zeros((3, 2)), np.zeros((3, 1)), claim=GDP(1.0))


def test_a_violation_is_printed_as_a_program(tmp_path):
    """The witness's program makes the audit again, without anything but the mechanism."""
    path = tmp_path / "mine.py"
    path.write_text(
        "import numpy as np\n\ndef halved(data, n, rng):\n"
        "    return data.sum(axis=0) + 0.5 * rng.standard_normal((n, data.shape[1]))\n"
    )
    script = tmp_path / "again.py"
    sys.path.insert(0, str(tmp_path))
    try:
        import mine

        found = audit(mine.halved, PAIR, claim=GDP(1.0))
    finally:
        sys.path.remove(str(tmp_path))
    script.write_text(found.witness.code())
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "VIOLATION" in done.stdout


@pytest.mark.parametrize(
    ("pair", "adjacency", "words"),
    [
        (5, "add-or-remove", "not two data sets"),
        ((BASE, BASE), "add-or-remove", "same rows"),
        ((BASE, np.ones((4, 1))), "add-or-remove", "no neighbours"),
        ((BASE, np.array([[0.0], [1.0]])), "add-or-remove", "no neighbours"),
        (PAIR, "replace", "no neighbours"),
        ((BASE + 2, np.array([[2.0], [1.0]])), "zero-out", "no neighbours"),
        ((pd.DataFrame(BASE), pd.DataFrame(np.ones((5, 1)))), "add-or-remove", "no neighbours"),
    ],
)
def test_neighbours_that_are_none_are_refused(pair, adjacency, words):
    """Before anything is called."""
    with pytest.raises(AuditError, match=words):
        audit(gaussian(1.0), pair, claim=GDP(1.0), adjacency=adjacency)


@pytest.mark.parametrize(
    ("pair", "adjacency", "unit"),
    [
        ((BASE, np.array([[0.0], [1.0]])), Adjacency.REPLACE, "record"),
        ((BASE + 2, np.array([[2.0], [0.0]])), Adjacency.ZERO_OUT, "record"),
        ((BASE, np.ones((4, 1))), Adjacency.ADD_OR_REMOVE, "person"),
        (("a model", "another"), Adjacency.ADD_OR_REMOVE, "record"),
    ],
)
def test_other_neighbours_are_accepted(pair, adjacency, unit):
    """Exchanged and zeroed records, whole persons, and things without rows."""
    noise = lambda data, n, rng: rng.standard_normal((n, 1))  # noqa: E731
    found = audit(noise, pair, claim=GDP(1.0), adjacency=adjacency, unit=unit, max_calls=100)
    assert found.verdict is not Verdict.VIOLATION


def test_mechanisms_that_cannot_be_audited_are_refused():
    """With what they returned, or what they take."""
    bad = {
        "cannot be called": 3,
        "takes 1 positional": lambda data: 0.0,
        "first axis must be the calls": lambda data, n, rng: np.zeros(3),
        "no numbers": lambda data, rng: object(),
        "raised on every one": lambda data, rng: 1 / 0,
    }
    for words, mechanism in bad.items():
        with pytest.raises(AuditError, match=words):
            audit(mechanism, PAIR, claim=GDP(1.0), max_calls=100)
    for numbers in ({"alpha": 0.0}, {"confidence": 1.0}, {"max_calls": 0}):
        with pytest.raises(AuditError):
            audit(gaussian(1.0), PAIR, claim=GDP(1.0), **numbers)
    found = audit(gaussian(1.0), PAIR, claim=GDP(1.0), max_calls=100)
    with pytest.raises(AuditError, match="delta"):
        found.epsilon_lower(0.0)


def test_results_are_plain_values():
    """`to_dict` can be written as JSON and says what was claimed."""
    import json

    found = audit(gaussian(1.0), PAIR, claim=Laplace(1.0), max_calls=100)
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["claim"] == {"kind": "laplace", "noise_multiplier": 1.0}
    assert plain["verdict"] == "INCONCLUSIVE"


def test_calibration_counts_and_can_refuse():
    """A small calibration is trustworthy; an auditor that alarms at every second audit is not."""
    small = calibrate(repetitions=3, power_repetitions=1, calls=120)
    assert small.trustworthy
    assert all(len(one.alarms) == len(LEVELS) for one in small.alarms)
    assert any(one.caught for one in small.found)
    bad = Calibration((Alarms("mine", 100, 100, (50, 50, 50), None),), ())
    assert not bad.trustworthy


def test_the_core_needs_no_torch():
    """`import dpfedsyn.audit` loads neither torch nor opacus."""
    code = "import sys, dpfedsyn.audit; assert not {'torch', 'opacus'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
