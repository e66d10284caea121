"""Replay on a neighbour: every leak is named, correct programs of every style pass."""

import math
import random
import re
import secrets
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from opacus.optimizers import DPOptimizer

from dpfedsyn.lattice import coarse_lattice
from dpfedsyn.noise import Keystream
from dpfedsyn.privatise import AnswerMechanism
from dpfedsyn.testing import replay
from dpfedsyn.testing import strategies as dps

WITHOUT = np.ones((3, 4))
WITH = np.vstack([WITHOUT, 3.0 * np.ones((1, 4))])
BOTH_WAYS = [(WITHOUT, WITH), (WITH, WITHOUT)]


def clipped_sum(data):
    """L2 sensitivity 1."""
    return (data / np.maximum(1.0, np.linalg.norm(data, axis=1, keepdims=True))).sum(axis=0)


def tensor_sum(data):
    """The same as a tensor."""
    return torch.tensor(clipped_sum(data))


def in_place(data, rng):
    total = clipped_sum(data)
    total += rng.normal(0.0, 2.0, 4)
    return total


def by_coordinate(data, rng):
    return [x + rng.normal(0.0, 2.0) for x in clipped_sum(data)]


def one_draw_in_parts(data, rng):
    noise, total = rng.normal(0.0, 2.0, 4), clipped_sum(data)
    return total[:2] + noise[:2], total[2:] - noise.reshape(2, 2)[1]


def two_noises(data, rng):
    return clipped_sum(data) + (rng.normal(0.0, 1.2, 4) + rng.normal(0.0, 1.6, 4))


def tensor_in_place(data, rng):
    total = tensor_sum(data)
    total += torch.randn_like(total) * 2.0
    return total


def tensor_left_in_place(data, rng):
    total = tensor_sum(data)
    total.add_(torch.normal(0.0, 2.0, (4,)))
    return total


def tensor_scaled_late(data, rng):
    noise = torch.randn(4, dtype=torch.float64).mul(4.0).view(2, 2).reshape(4)
    return tensor_sum(data).add(noise, alpha=0.5)


def tensor_normal_in_place(data, rng):
    return tensor_sum(data) - torch.empty(4, dtype=torch.float64).normal_(0.0, 2.0)


CORRECT = {
    "numpy": lambda d, rng: clipped_sum(d) + 2.0 * rng.standard_normal(4),
    "around the value": lambda d, rng: rng.normal(clipped_sum(d), 2.0),
    "subtracted": lambda d, rng: clipped_sum(d) - rng.normal(0.0, 2.0, 4),
    "from noise": lambda d, rng: -(rng.normal(0.0, 2.0, 4) - clipped_sum(d)),
    "divided": lambda d, rng: clipped_sum(d) + rng.standard_normal(4) / 0.5,
    "in place": in_place,
    "by coordinate": by_coordinate,
    "one draw in parts": one_draw_in_parts,
    "two noises": two_noises,
    "global numpy": lambda d, rng: clipped_sum(d) + 2.0 * np.random.randn(4),
    "own generator": lambda d, rng: clipped_sum(d) + np.random.default_rng().normal(0.0, 2.0, 4),
    "spawned generator": lambda d, rng: clipped_sum(d) + rng.spawn(1)[0].normal(0.0, 2.0, 4),
    "module random": lambda d, rng: [x + random.gauss(0.0, 2.0) for x in clipped_sum(d)],
    "torch": lambda d, rng: tensor_sum(d) + torch.normal(0.0, 2.0, (4,)),
    "torch around the value": lambda d, rng: torch.normal(tensor_sum(d), 2.0),
    "torch distribution": lambda d, rng: (
        tensor_sum(d) + torch.distributions.Normal(0.0, 2.0).sample((4,))
    ),
    "torch in place": tensor_in_place,
    "torch left in place": tensor_left_in_place,
    "torch scaled late": tensor_scaled_late,
    "torch normal_": tensor_normal_in_place,
    "torch reversed": lambda d, rng: 0.0 - (torch.normal(0.0, 2.0, (4,)) - tensor_sum(d)),
    "post-processing": lambda d, rng: {
        "m": max(0.0, float((clipped_sum(d) + rng.normal(0, 2, 4))[0]))
    },
}


@pytest.mark.parametrize("pair", BOTH_WAYS, ids=["added", "removed"])
@pytest.mark.parametrize("name", list(CORRECT))
def test_a_correct_program_of_every_style_passes(name, pair):
    """Nothing found; the measured cost is sensitivity / std, to rounding."""
    found = replay(CORRECT[name], pair, sensitivity=1.0, mu=0.5)
    assert found.findings == ()
    assert found.mu == pytest.approx(0.5, rel=1e-6)


def test_a_value_of_zero_is_noised_like_any_other():
    """Around 0 a draw looks like noise that waits: an empty data set is no false alarm."""
    pair = np.zeros((0, 4)), 3.0 * np.ones((1, 4))
    for name in ("around the value", "torch around the value", "numpy", "torch"):
        for both in (pair, pair[::-1]):
            assert replay(CORRECT[name], both, sensitivity=1.0, mu=0.5).findings == (), name
    for both in (pair, pair[::-1]):
        found = replay(lambda d, rng: rng.normal(len(d), 1.0), both, sensitivity=1.0, mu=1.0)
        assert found.findings == ()
        assert found.mu == 1.0


def leaves_a_coordinate(data, rng):
    total = clipped_sum(data)
    total[1:] += rng.normal(0.0, 2.0, 3)
    return total


def fails_on_many(data, rng):
    if len(data) > 3:
        raise ValueError("too many")
    return rng.normal()


def reuses(data, rng):
    noise = rng.normal(0.0, 2.0, 4)
    return clipped_sum(data) + noise, np.ones(4) + noise


def skips_small_ones(data, rng):
    noise = rng.normal(0.0, 1.0, 2)
    return [len(data) + noise[0]] + ([1.0 + noise[1]] if len(data) > 3 else [0.0])


def lost_as_a_float(data, rng):
    return clipped_sum(data)[0] + float(rng.normal(0.0, 2.0))


@dataclass
class Answer:
    """An output of one's own."""

    total: float
    meta: str


LEAKS = {
    "half noise": (
        lambda d, rng: clipped_sum(d) + rng.normal(0.0, 1.0, 4),
        "budget",
        "lie 1 standard",
    ),
    "no noise": (
        lambda d, rng: clipped_sum(d) + 0.0 * rng.normal(0.0, 1.0, 4),
        "budget",
        "lie inf",
    ),
    "laplace for gaussian": (
        lambda d, rng: clipped_sum(d) + rng.laplace(0.0, 2.0, 4),
        "budget",
        "laplace noise is used",
    ),
    "no clipping": (
        lambda d, rng: d.sum(axis=0) + rng.normal(0.0, 9.0, 4),
        "sensitivity",
        "moves by 6 in L2, and 1",
    ),
    "NaN": (
        lambda d, rng: np.where(len(d) > 3, np.nan, clipped_sum(d)) + rng.normal(0.0, 2.0, 4),
        "sensitivity",
        "moves by inf",
    ),
    "mean by own count": (
        lambda d, rng: CORRECT["numpy"](d, rng) / len(d),
        "unnoised output",
        r"output\[0\]",
    ),
    "a coordinate": (leaves_a_coordinate, "unnoised output", r"output\[0\] is"),
    "count": (lambda d, rng: (rng.normal(), len(d)), "unnoised output", r"output\[1\] is"),
    "metadata": (
        lambda d, rng: Answer(0.0, f"n={len(d)}"),
        "unnoised output",
        r"output\.meta is 'n=",
    ),
    "keys": (lambda d, rng: {str(x): 0.0 for x in d[:, 0]}, "unnoised output", "output has keys"),
    "type": (lambda d, rng: 1 if len(d) > 3 else 1.0, "unnoised output", "on one side and a"),
    "number of items": (lambda d, rng: [0.0] * len(d), "unnoised output", "items on one side"),
    "output's shape": (lambda d, rng: np.zeros(len(d)), "unnoised output", "float64"),
    "signed zero": (
        lambda d, rng: np.array([0.0 if len(d) > 3 else -0.0]),
        "unnoised output",
        r"output\[0\]",
    ),
    "module": (
        lambda d, rng: constant_module(float(len(d))),
        "unnoised output",
        r"output\['weight'\]",
    ),
    "float": (lost_as_a_float, "unnoised output", "never seen to be added"),
    "scale": (lambda d, rng: 1.0 + rng.normal(0.0, d.std() + 1.0), "noise scale", "has scale"),
    "noise by row": (
        lambda d, rng: clipped_sum(d)[0] + rng.normal(0.0, 9.0, len(d)),
        "control flow",
        r"\(3,\)",
    ),
    "draws": (lambda d, rng: [1.0 + rng.normal() for _ in d], "control flow", "3 times|4 times"),
    "law": (
        lambda d, rng: 1.0 + (rng.normal(0, 1, 1) if len(d) > 3 else rng.laplace(0, 1, 1)),
        "control flow",
        "laplace of shape",
    ),
    "which are noised": (skips_small_ones, "control flow", "noise is added to"),
    "broadcast": (
        lambda d, rng: clipped_sum(d) + rng.normal(0.0, 2.0),
        "broadcast noise",
        r"shape \(\)",
    ),
    "reuse": (reuses, "reused noise", "added to another value before"),
    "error": (fails_on_many, "error on one side", "too many"),
    "outside noise": (
        lambda d, rng: clipped_sum(d) + secrets.randbelow(10**9),
        "unfrozen randomness",
        "two runs",
    ),
}


def constant_module(value):
    """A layer with one weight."""
    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(value)
    return layer


@pytest.mark.parametrize("pair", BOTH_WAYS, ids=["added", "removed"])
@pytest.mark.parametrize("name", list(LEAKS))
def test_a_leak_is_named(name, pair):
    """Each kind of leak is found on either direction, under its own name, with its numbers."""
    program, kind, said = LEAKS[name]
    found = replay(program, pair, sensitivity=1.0, mu=0.5)
    assert kind in {str(f.kind) for f in found.findings}, found
    assert any(f.kind == kind and re.search(said, f.fact + f.mend) for f in found.findings), found


def test_a_finding_says_fact_consequence_and_mend():
    """Three sentences with the place in the program."""
    (finding,) = replay(LEAKS["no clipping"][0], BOTH_WAYS[0], sensitivity=1.0).findings
    assert "test_testing_replay.py:" in finding.fact
    assert finding.consequence == "The noise is too small for this value."
    assert str(finding).endswith(finding.mend)


def test_a_replay_of_one_pair_is_a_fact_every_time():
    """Guarantee of dpfedsyn.testing.replaying.replay: Deterministic, and a finding is a fact:
    twice the same, with any seed the same findings, and the data is left as it was."""
    kept = WITH.copy()
    for name in ("half noise", "mean by own count"):
        kinds = {
            tuple(f.kind for f in replay(LEAKS[name][0], BOTH_WAYS[0], mu=0.5, seed=s).findings)
            for s in (0, 0, 1, 2)
        }
        assert len(kinds) == 1

    def spoils(data, rng):
        data[:] = 0.0
        return rng.normal()

    replay(spoils, (WITH, WITHOUT))
    np.testing.assert_array_equal(WITH, kept)


@pytest.mark.parametrize(("norm", "measured"), [(1, 2.0), (2, 1.0), (math.inf, 0.5)])
def test_sensitivity_is_compared_in_the_norm_that_is_declared(norm, measured):
    """L1, L2 and L-infinity of the same difference; just below each is a finding."""
    program = CORRECT["numpy"]
    assert replay(program, BOTH_WAYS[0], sensitivity=measured, norm=norm).findings == ()
    low = replay(program, BOTH_WAYS[0], sensitivity=0.99 * measured, norm=norm)
    assert [f.kind for f in low.findings] == ["sensitivity"]


def test_sensitivities_may_be_declared_one_by_one():
    """In the order of the additions; a wrong number of them is said."""

    def both(data, rng):
        return rng.normal(clipped_sum(data), 2.0), len(data) * 3.0 + rng.normal(0.0, 9.0)

    assert replay(both, BOTH_WAYS[0], sensitivity=[1.0, 3.0]).findings == ()
    assert len(replay(both, BOTH_WAYS[0], sensitivity=[1.0, 2.9]).findings) == 1
    with pytest.raises(AssertionError, match="2 values and 1"):
        replay(both, BOTH_WAYS[0], sensitivity=[1.0])


def test_costs_of_several_releases_add_up_along_the_transcript():
    """Adaptive: the second value depends on the first release, which is the same on both sides."""

    def two(data, rng):
        first = clipped_sum(data) + rng.normal(0.0, 2.0, 4)
        second = clipped_sum(data) * np.sign(first[0]) + rng.normal(0.0, 2.0, 4)
        return first, second

    found = replay(two, BOTH_WAYS[0], mu=math.sqrt(0.5))
    assert (found.findings, len(found.releases)) == ((), 2)
    assert found.mu == pytest.approx(math.sqrt(0.5))
    assert [f.kind for f in replay(two, BOTH_WAYS[0], mu=0.7).findings] == ["budget"]


def test_secret_samples_are_shared_and_are_no_finding():
    """Poisson sampling draws a number for each row: its shape may follow the rows."""

    def sampled(data, rng):
        return clipped_sum(data[rng.random(len(data)) < 0.9]) + rng.normal(0.0, 2.0, 4)

    for seed in range(10):
        assert replay(sampled, BOTH_WAYS[0], sensitivity=1.0, mu=0.5, seed=seed).findings == ()


def test_the_same_error_on_both_sides_is_raised():
    """A program that does not work is not called private."""
    with pytest.raises(ZeroDivisionError):
        replay(lambda d, rng: 1 / 0, BOTH_WAYS[0])


def test_nothing_is_left_patched():
    """numpy, random, torch and the lattice draw as before, also after an error."""
    before = np.random.default_rng, random.gauss, torch.get_rng_state().numpy().tobytes()
    replay(fails_on_many, BOTH_WAYS[0])
    after = np.random.default_rng, random.gauss, torch.get_rng_state().numpy().tobytes()
    assert before == after
    assert type(np.random.default_rng(0).normal(size=2)) is np.ndarray


class Opacus:
    """DP-SGD steps by Opacus' optimizer on given per-sample gradients, clip 1, std `noise`."""

    def __init__(self, noise=2.0, steps=3, clip=1.0):
        self.noise, self.steps, self.clip = noise, steps, clip

    def __call__(self, data, rng):
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 1)
        optimizer = DPOptimizer(
            torch.optim.SGD(layer.parameters(), lr=0.1),
            noise_multiplier=self.noise, max_grad_norm=self.clip, expected_batch_size=3,
        )  # fmt: skip
        x = torch.tensor(data, dtype=torch.float32)
        for _ in range(self.steps):
            error = x @ layer.weight.T + layer.bias - 10.0
            layer.weight.grad_sample = (error * x).unsqueeze(1)
            layer.bias.grad_sample = error
            optimizer.step()
            optimizer.zero_grad()
        return layer


def test_opacus_steps_replay():
    """Three steps cost sqrt(3) / 2 jointly over both parameters, and nothing else leaks."""
    found = replay(Opacus(), BOTH_WAYS[0], mu=math.sqrt(3) / 2, tolerance=1e-4)
    assert found.findings == ()
    assert len(found.releases) == 6
    assert found.mu == pytest.approx(math.sqrt(3) / 2, rel=1e-3)
    assert replay(Opacus(noise=1.0), BOTH_WAYS[0], mu=math.sqrt(3) / 2).findings != ()


def test_our_answers_replay():
    """`AnswerMechanism.release` between two models: integers move by 2 C at most, and mu is what
    it charges."""
    mechanism = AnswerMechanism(clip=2.0, energy_bound=4.0)
    lattice = mechanism.lattice(10.0, 30.0)

    def released(model, rng):
        noise = model.predict_noise(np.ones((3, 2)), 0.5, np.zeros(3, np.int64))
        energies = 0.5 * (noise**2).sum(axis=1)
        return mechanism.release(noise[None], energies[None], lattice=lattice, key=b"k" * 32)

    mu = math.sqrt(mechanism.silo_mu2(3, 10.0, 30.0))

    @given(dps.model_pairs())
    @settings(max_examples=15)
    def within(pair):
        assert replay(released, pair, mu=mu).findings == ()

    within()
    far = dps.Affine(0.0, 9.0), dps.Affine(0.0, -9.0)
    scores, energies = replay(released, far).releases
    exact = 2 * 2.0 * math.sqrt(3) / 10.0
    assert scores.mu == pytest.approx(exact, rel=1e-2)
    assert energies.mu == 0.0
    assert replay(released, far, mu=0.9 * exact).findings != ()


def test_our_lattice_is_followed_whatever_its_key():
    """The keystream is not asked: a key from the operating system is held still too."""
    lattice = coarse_lattice(2.0, 4.0)

    def released(data, rng):
        return np.array([len(data)]) + lattice.noise(Keystream(secrets.token_bytes(32)), 1)

    found = replay(released, BOTH_WAYS[0], sensitivity=1.0)
    assert found.findings == ()
    assert found.mu == pytest.approx(lattice.spacing / 2.0, rel=1e-9)
