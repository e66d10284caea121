"""`assert_private`: claims, the sharing of alpha, verdicts by example, and what it says."""

import math
import random
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from accountants import ApproximateDP, Laplace
from dpfedsyn.audit import GDP, audit, program
from dpfedsyn.errors import AuditError
from dpfedsyn.testing import InconclusiveAudit, assert_private, private
from dpfedsyn.testing import strategies as dps
from dpfedsyn.testing.fingerprint import fingerprint
from dpfedsyn.testing.private import claim_of
from dpfedsyn.testing.spending import Assertion

FEW = settings(max_examples=4, database=None, derandomize=True, deadline=None)
PAIR = dps.worst_case(dps.Mechanism(1.0))


@pytest.fixture
def audits(monkeypatch):
    """Every audit that is really made: (alpha, seed)."""
    made = []

    def noted(*arguments, **settings):
        made.append((settings["alpha"], settings["seed"]))
        return audit(*arguments, **settings)

    monkeypatch.setattr(private, "audit", noted)
    return made


def test_a_false_claim_fails_and_a_true_one_returns_its_audit():
    """Guarantee of dpfedsyn.testing.private.assert_private: If the claim is true the assertion
    fails with a probability of at most alpha (1e-6 here); half the noise fails."""
    assert assert_private(dps.Mechanism(1.0), PAIR, mu=1.0, max_calls=4000).mu_lower <= 1.0
    with pytest.raises(AssertionError, match="VIOLATION"):
        assert_private(dps.Mechanism(1.0, "half noise"), PAIR, mu=1.0)


@pytest.mark.parametrize(
    ("stated", "claim"),
    [
        ({"mu": 0.5}, GDP(0.5)),
        ({"epsilon": 2.0, "delta": 1e-5}, ApproximateDP(2.0, 1e-5)),
        ({"epsilon": 2.0}, ApproximateDP(2.0, 0.0)),
        ({"event": Laplace(1.0)}, Laplace(1.0)),
    ],
)
def test_one_claim_in_one_of_three_forms(stated, claim):
    """mu, or epsilon with delta, or an event."""
    every = dict.fromkeys(("mu", "epsilon", "delta", "event"))
    assert claim_of(**(every | stated)) == claim


@pytest.mark.parametrize("stated", [{}, {"mu": 1.0, "epsilon": 1.0}, {"mu": 1.0, "delta": 1e-5}])
def test_no_claim_or_two_are_refused(stated):
    """Nothing is tested by accident."""
    with pytest.raises(AuditError, match="not one claim"):
        assert_private(dps.Mechanism(1.0), PAIR, **stated)


def test_shares_of_alpha_add_up_to_alpha():
    """Guarantee of dpfedsyn.testing.spending.Assertion.next_alpha: The shares of one assertion,
    over all its examples, add up to at most alpha."""
    site = Assertion()
    shares = [site.next_alpha(1e-3) for _ in range(20_000)]
    assert 0.9999e-3 < math.fsum(shares) < 1e-3
    assert shares[0] == pytest.approx(6e-3 / math.pi**2)
    assert shares[2] == pytest.approx(shares[0] / 9)


def test_examples_share_alpha_and_are_audited_once(audits):
    """In @given: the i-th new example gets its share, one seen before its verdict, and each pair
    has a seed of its own."""
    met = []

    @given(st.sampled_from([1.0, 0.5, 0.25]))
    @FEW
    def test(size):
        for _ in range(3):
            met.append(assert_private(dps.Mechanism(1.0), scaled(size), mu=1.0, max_calls=3000,
                                      inconclusive="ignore"))  # fmt: skip

    test()
    assert len(audits) == len({id(found) for found in met}) < len(met)
    first = 1e-6 * 6 / math.pi**2
    assert [alpha for alpha, _ in audits] == pytest.approx(
        [first / k**2 for k in range(1, len(audits) + 1)]
    )
    assert len({seed for _, seed in audits}) == len(audits) > 1


def scaled(size):
    """Neighbours that are so far apart."""
    return PAIR[0], np.vstack([PAIR[0], size * PAIR[1][-1:]])


def test_outside_of_given_every_assertion_has_its_own_alpha(audits):
    """A plain test asserts once; it is neither shared out nor remembered."""
    for _ in range(2):
        assert_private(dps.Mechanism(1.0), PAIR, mu=1.0, max_calls=3000)
    assert [alpha for alpha, _ in audits] == [1e-6, 1e-6]
    assert audits[0][1] == audits[1][1]
    assert_private(dps.Mechanism(1.0), PAIR, mu=1.0, max_calls=3000, seed=7)
    assert audits[2][1] == 7


def test_a_violation_shrinks_without_flakiness():
    """Hypothesis replays its smallest example: another verdict there would be `Flaky`."""

    @given(dps.neighbours(dps.records((1,)), max_size=1))
    @settings(FEW, max_examples=20, phases=[Phase.generate, Phase.shrink],
              report_multiple_bugs=False)  # fmt: skip
    def test(pair):
        broken = dps.Mechanism(0.5, "half noise")
        assert_private(broken, pair, mu=0.5, max_calls=2000, inconclusive="ignore")

    with pytest.raises(AssertionError, match="VIOLATION") as caught:
        test()
    assert "reshape((0, 1))" in str(caught.value)


def vectorised_global(data, n, rng):
    """Noise from numpy's global generator."""
    return data.sum() + np.random.standard_normal((n, 1))


def python_global(data, rng):
    """Noise from the module `random`."""
    return data.sum() + random.gauss(0, 1)


@pytest.mark.parametrize("mechanism", [vectorised_global, python_global])
def test_noise_that_hypothesis_reseeds_is_refused_inside_given_only(mechanism):
    """Within @given the message says why; elsewhere the audit is as good as any."""

    @given(st.just(None))
    @FEW
    def test(_):
        with pytest.raises(AuditError, match="Hypothesis seeds that one alike"):
            assert_private(mechanism, (np.zeros((1, 1)), np.zeros((2, 1))), mu=1.0)

    test()
    pair = np.zeros((1, 1)), np.array([[0.0], [1.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconclusiveAudit)
        assert_private(mechanism, pair, mu=1.0, max_calls=300)


def torch_noise(data, rng):
    """Noise from torch's generator, as Opacus draws it."""
    return torch.tensor(data).sum() + torch.randn(())


def test_torch_noise_is_repeatable_and_leaves_the_callers_state(audits):
    """Seeded from the audit's own generator: the same audit twice, and torch as it was."""
    pair = np.zeros((1, 1)), np.array([[0.0], [1.0]])
    before = torch.get_rng_state()
    first, second = (
        assert_private(torch_noise, pair, mu=1.0, max_calls=500, inconclusive="ignore")
        for _ in range(2)
    )
    assert first.log_wealth == second.log_wealth
    # One trial call tells where its noise comes from.
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    for _ in range(2):
        torch.randn(())
    assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("way", ["warn", "error", "ignore"])
def test_an_audit_that_could_not_fail_is_not_silent(way):
    """By default a warning of its own kind, so that `filterwarnings = error` fails the test."""
    asked = partial(assert_private, dps.Mechanism(1.0), PAIR, mu=1.0, max_calls=20)
    if way == "ignore":
        assert asked(inconclusive=way).verdict == "INCONCLUSIVE"
    else:
        kind = InconclusiveAudit if way == "warn" else AssertionError
        with pytest.raises(kind, match="INCONCLUSIVE"):
            asked(inconclusive=way)


def test_persons_are_audited_as_persons():
    """Several rows of one person are neighbours where the unit says so, in the program too."""
    pair = np.zeros((1, 4)), np.vstack([np.zeros((1, 4)), np.ones((2, 4))])
    with pytest.raises(AuditError):
        assert_private(dps.Mechanism(1.0), pair, mu=2.0)
    with pytest.raises(AssertionError, match="unit='person'"):
        assert_private(dps.Mechanism(1.0, "no clipping"), pair, mu=0.5, unit="person")


def local_free(data, rng):
    """Importable, so that a program names it."""
    return float(data.sum())


@dataclass
class Opaque:
    """No importable name by itself; its class has one."""

    factor: float

    def __call__(self, data, rng):
        return self.factor * data.sum()


def test_a_program_finds_the_mechanism_or_quotes_it():
    """A name to import, an instance to make, a function's own text, or a comment."""
    assert program.source(local_free).endswith("import local_free as mechanism")
    assert program.source(Opaque(2.0)).endswith("mechanism = Opaque(factor=2.0)")

    def own(data, rng):
        return data.sum()

    text = program.source(own)
    names = {}
    exec(text, names)
    assert names["mechanism"](np.ones(3), None) == 3.0
    assert text.startswith("def own(data, rng):")
    free = 3.0
    quoted = program.source(lambda data, rng: free * data.sum())
    assert all(line.startswith("#") for line in quoted.splitlines())


@given(dps.neighbours(dps.records((2,), dtype="float32", extreme=True)))
@settings(max_examples=30)
def test_data_is_printed_to_the_bit(pair):
    """NaN, infinity, denormals and empty arrays come back from their literal."""
    names = {"np": np, "nan": np.nan, "inf": np.inf}
    for data in (*pair, {"a": pair[0], "b": (1, [2.0])}["a"]):
        back = eval(program.literal(data), names)
        assert back.dtype == data.dtype
        np.testing.assert_array_equal(back, data)
    tensor = torch.tensor(pair[1])
    back = eval(program.literal(tensor), names | {"torch": torch})
    assert back.dtype == tensor.dtype
    assert eval(program.literal({"a": (1, [2.0])}), names) == {"a": (1, [2.0])}


def closing_over(number):
    """Two of these differ by what they close over."""
    return lambda data, rng: data + number


def test_an_example_is_named_by_its_content():
    """Equal content, equal name; another number, closure or shape, another name."""
    same = [fingerprint(np.zeros(3), closing_over(1.0), {"a": [1]}) for _ in range(2)]
    assert same[0] == same[1] is not None
    others = [
        fingerprint(np.zeros(3), closing_over(2.0), {"a": [1]}),
        fingerprint(np.zeros((3, 1)), closing_over(1.0), {"a": [1]}),
        fingerprint(np.zeros(3), closing_over(1.0), {"a": [1, 1]}),
        fingerprint(np.zeros(3), closing_over(1.0), {"a": (1,)}),
        fingerprint(-np.zeros(3), closing_over(1.0), {"a": [1]}),
    ]
    assert len({same[0], *others}) == 6
    assert fingerprint(object()) is None
    assert fingerprint(partial(local_free, 1)) != fingerprint(partial(local_free, 2))
    loop = []
    loop.append(loop)
    assert fingerprint(loop) is not None
    nets = [torch.nn.Linear(2, 1) for _ in range(2)]
    assert fingerprint(nets[0]) == fingerprint(nets[0]) != fingerprint(nets[1])
