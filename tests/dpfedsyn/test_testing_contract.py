"""The accountant contract passes ours and Opacus', and names what a broken one breaks."""

import math
import warnings

import pytest
from opacus.accountants import RDPAccountant

from accountants import Composed, Gaussian, PoissonSampled, Repeated, calibrate, epsilon
from dpfedsyn.testing import CLAUSES, accountant_contract, of_history


def event(history, factor=1.0):
    """Steps as an event."""
    parts = [
        Repeated(Gaussian(s * factor) if q == 1 else PoissonSampled(Gaussian(s * factor), q), n)
        for s, q, n in history
    ]
    return Composed(tuple(parts))


def ours(history, delta):
    """Our accountant's claim."""
    return epsilon(event(history), delta=delta).upper


def zcdp(history, delta):
    """Quick and valid: rho = sum n / (2 sigma^2), no amplification (Bun & Steinke 2016)."""
    rho = math.fsum(n / (2 * sigma**2) for sigma, _, n in history)
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))


def zcdp_replaced(history, delta):
    """The same for a clipped sum that moves by 2 C."""
    return zcdp([(sigma / 2, rate, n) for sigma, rate, n in history], delta)


def zcdp_noise(target, delta, rate, steps):
    """Its inverse in closed form, rounded up."""
    log = math.log(1 / delta)
    root = math.sqrt(log + target) - math.sqrt(log)
    return math.sqrt(steps / 2) / root * (1 + 1e-9)


def noise_for(target, delta, rate, steps):
    """Our calibration."""
    return calibrate(
        lambda sigma: event([(sigma, rate, steps)]),
        epsilon=target, delta=delta, bracket=(0.3, 300.0), tolerance=1e-4,
    )  # fmt: skip


def replaced(history, delta):
    """A clipped sum moves by 2 C where a record is replaced."""
    return epsilon(event(history, 0.5), delta=delta).upper


def rdp():
    """Opacus' accountant, with its remark about orders silenced."""
    accountant = RDPAccountant()
    asked = accountant.get_epsilon

    def quiet(delta):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return asked(delta)

    accountant.get_epsilon = quiet
    return accountant


def test_our_accountant_keeps_the_contract():
    """All clauses, with calibration and replace."""
    accountant_contract(
        of_history(ours), replace=of_history(replaced), calibrate=noise_for, max_examples=1
    )


def test_our_lower_end_is_a_lower_bound():
    """The same contract the other way round."""
    lower = of_history(lambda h, d: epsilon(event(h), delta=d).lower)
    accountant_contract(lower, bounds="lower", max_examples=1)
    with pytest.raises(AssertionError, match="lower bound"):
        accountant_contract(of_history(zcdp), bounds="lower", clauses=CLAUSES[-3:-2])


def test_opacus_renyi_accountant_keeps_the_contract():
    """An example of a stranger's accountant, with a history of its own."""
    accountant_contract(rdp, max_examples=3)


def sampling_squared(history, delta):
    """Amplifies by the square of the sampling rate, as if rho were q^2 rho at any noise."""
    return zcdp([(sigma / rate**2, rate, n) for sigma, rate, n in history], delta)


class Queried:
    """Notes another step when it is asked."""

    def __init__(self):
        self.history = []

    def step(self, *, noise_multiplier, sample_rate):
        self.history.append((noise_multiplier, sample_rate, 1))

    def get_epsilon(self, delta):
        self.history.append((1.0, 0.01, 1))
        return zcdp(self.history, delta)


class Counted(Queried):
    """Grows at each question, without a word of it in its history."""

    asked = 0

    def get_epsilon(self, delta):
        self.asked += 1
        return 10.0 + self.asked / 100 + zcdp(self.history, delta)


def never_finite(history, delta):
    """Not a number."""
    return math.nan


BROKEN = {
    "falls as noise grows": of_history(lambda h, d: 100 + sum(s for s, _, _ in h)),
    "grows with the sampling rate": of_history(lambda h, d: 100 - sum(q for _, q, _ in h)),
    "grows with the steps": of_history(lambda h, d: 1e4 - sum(n for _, _, n in h)),
    "grows as delta falls": of_history(lambda h, d: 1e3 * (1 + d)),
    "the order of steps": of_history(lambda h, d: zcdp(h, d) + 10 * h[0][0] / len(h)),
    "at once or apart": of_history(lambda h, d: zcdp(h, d) + len(h)),
    "asking for epsilon turned the history": Queried,
    "asked twice": Counted,
    "no claim contradicts": of_history(sampling_squared),
    "is NaN": of_history(never_finite),
}


@pytest.mark.parametrize("sentence", list(BROKEN))
def test_a_broken_accountant_is_named(sentence):
    """Each clause fails for an accountant that breaks it."""
    with pytest.raises(AssertionError, match=sentence):
        accountant_contract(BROKEN[sentence], max_examples=6)


@pytest.mark.parametrize("clause", CLAUSES[:-2], ids=lambda clause: clause.sentence)
def test_each_clause_is_needed(clause):
    """Every clause by itself fails on some broken accountant, for what it is about."""

    def breaks(make):
        try:
            accountant_contract(make, clauses=[clause], max_examples=6)
        except AssertionError:
            return True
        return False

    assert any(breaks(make) for sentence, make in BROKEN.items() if sentence != "is NaN")


def test_replace_at_the_price_of_remove_is_caught():
    """Forgetting the factor 2."""
    with pytest.raises(AssertionError, match="moves by 2 C"):
        accountant_contract(of_history(zcdp), replace=of_history(zcdp), clauses=CLAUSES[-2:-1])
    with pytest.raises(AssertionError, match="certified to be"):
        accountant_contract(of_history(ours), adjacency="replace", clauses=CLAUSES[-3:-2])
    accountant_contract(of_history(zcdp_replaced), adjacency="replace", clauses=CLAUSES[-3:-2])


@pytest.mark.parametrize(("factor", "said"), [(0.9, "spends"), (1.5, "wastes")])
def test_a_bad_calibration_is_caught(factor, said):
    """Too little noise breaks the budget, far too much wastes it."""
    wrong = lambda *question: factor * zcdp_noise(*question)  # noqa: E731
    with pytest.raises(AssertionError, match=said):
        accountant_contract(of_history(zcdp), calibrate=wrong, clauses=CLAUSES[-1:], max_examples=2)


def test_steps_are_noted_one_by_one_where_there_is_no_history():
    """An accountant that only has `step`."""

    class Bare:
        def __init__(self):
            self.noted = 0

        def step(self, *, noise_multiplier, sample_rate):
            self.noted += 1

        def get_epsilon(self, delta):
            return 1e4 - self.noted

    with pytest.raises(AssertionError, match="grows with the steps"):
        accountant_contract(Bare, clauses=CLAUSES[2:3])
