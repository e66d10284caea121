"""Trained baselines: charged no more than the run, and doing what they are named after."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from accountants import Gaussian, PoissonSampled, Repeated, epsilon
from dpfedsyn import dpsgd, sampler
from dpfedsyn.budget import Budget, solve
from dpfedsyn.comparison import Comparison, comparisons, learning, methods, spending
from dpfedsyn.comparison.spending import NO_NOISE, Spending
from dpfedsyn.data import Records
from dpfedsyn.round_settings import PRESETS
from dpfedsyn.settings import (
    BaseSettings,
    Config,
    NetworkSettings,
    PrivacySettings,
    SiloSettings,
    TrainSettings,
    WeightsSettings,
)

Array = NDArray[np.float64]
DIMENSION, CLASSES = 3, 2
NAMES = (
    "private class Gaussians",
    "pooled training, same epsilon",
    "FedAvg of DP-SGD DDPMs",
    "the literal paper",
)
STEPS = 7
SILOS = (
    SiloSettings("north", "", reference_size=60.0),
    SiloSettings("south", "", reference_size=20.0, epsilon=3.0),
)
PAPER = replace(PRESETS["paper"], levels=6)
NOT_PRIVATE = Budget(None, False, None, None, 1.0, None, unprotected="no noise")


@dataclass(frozen=True)
class PublicFacts:
    """The public facts that baselines ask of an encoder."""

    dimension: int = DIMENSION
    labels: tuple[str, ...] = ("no", "yes")
    geometry = None
    spectrum = None

    @property
    def two_valued(self) -> Array:
        """No coordinate takes two values."""
        return np.full((self.dimension, 2), np.nan)


def records(count: int, seed: int, shift: float = 0.0) -> Records:
    rng = np.random.default_rng(seed)
    x = (0.3 * rng.standard_normal((count, DIMENSION)) + shift).astype(np.float32)
    return Records(x, rng.integers(0, CLASSES, count), tuple(map(str, range(count))), "north")


def config(silos: tuple[SiloSettings, ...] = SILOS, **sections: Any) -> Config:
    train: dict[str, Any] = {"steps": STEPS, "sampling_rate": 0.5, "draws": 2}
    return Config(
        "run", Path(), silos,
        network=NetworkSettings(hidden=4),
        train=TrainSettings(**(train | sections.pop("train", {}))),
        privacy=PrivacySettings(**sections.pop("privacy", {})),
        base=BaseSettings(**({"clip_radius": 3.0} | sections.pop("base", {}))),
        **sections,
    )  # fmt: skip


def comparison(settings: Config, **changes: Any) -> Comparison:
    """Two silos (or one) of little records; the run's own budgets."""
    private = settings.train.method != "not-private"
    count = len(settings.silos)
    one = Comparison(
        settings,
        PublicFacts(),
        {silo.name: records(40 - 20 * k, k, 0.5 * k) for k, silo in enumerate(settings.silos)},
        {s.name: solve(settings, s) if private else NOT_PRIVATE for s in settings.silos},
        np.full((count, CLASSES), 1.0 / count),
        torch.device("cpu"),
        seed=4,
        paper=PAPER,
        fedavg_rounds=3,
    )
    return replace(one, **changes)


def run_all(c: Comparison, rows: int = 11) -> dict[str, Array]:
    labels = np.arange(rows, dtype=np.int64) % CLASSES
    return {
        name: sample(labels, np.random.default_rng(0)) for name, sample in comparisons(c).items()
    }


# --- budgets ------------------------------------------------------------------------------------


def spendings(c: Comparison) -> list[tuple[str, SiloSettings, Spending]]:
    """(baseline, silo whose epsilon it must meet, what it spends)."""
    found = []
    for silo in c.config.silos:
        run = c.budgets[silo.name]
        found.append((NAMES[0], silo, spending.class_gaussians(c.config, silo, run)))
        found.append((NAMES[2], silo, spending.fedavg(c.config, silo, run)))
        found.append((NAMES[3], silo, spending.literal_paper(c.config, silo)))
        found.append((NAMES[1], silo, spending.pooled(c.config, c.budgets)))
    return found


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"privacy": {"epsilon": 1.0, "counts_share": 0.1}},
        {"base": {"residual_radius": 2.0}},
        {"base": {"residual_radius": 2.0, "origin_share": 0.1, "origin_radius": 2.0}},
        {"privacy": {"adjacency": "zero-out"}, "weights": WeightsSettings("public")},
        {"train": {"method": "ensemble", "parts": 4}},
    ],
    ids=[
        "default",
        "tight",
        "two queries",
        "three queries",
        "zero-out, public weights",
        "ensemble",
    ],
)
def test_every_baseline_meets_each_silos_epsilon_and_uses_it(sections: dict[str, Any]) -> None:
    """The composed mechanisms' upper epsilon is at most the silo's; the strictest's is used up."""
    c = comparison(config(**sections))
    privacy = c.config.privacy
    for name, silo, spent in spendings(c):
        claimed = epsilon(spent.claim(), delta=privacy.delta, adjacency=privacy.adjacency).upper
        wanted = c.config.epsilon(silo)
        assert claimed <= wanted, name
        strictest = name != NAMES[1] or wanted == min(map(c.config.epsilon, c.config.silos))
        assert claimed >= 0.97 * wanted or not strictest, name


def test_each_baseline_takes_the_mechanisms_that_it_is_named_after() -> None:
    """Counts cost the same in all; what is not taken pays for what is."""
    c = comparison(config())
    silo, run = c.config.silos[0], c.budgets["north"]
    gaussians = spending.class_gaussians(c.config, silo, run)
    fedavg = spending.fedavg(c.config, silo, run)
    paper = spending.literal_paper(c.config, silo)
    assert gaussians.counts == fedavg.counts == run.counts
    assert gaussians.training is None
    assert (fedavg.moments, paper.moments, paper.counts) == (None, None, None)
    assert run.moments is not None
    assert gaussians.moments is not None
    privacy = c.config.privacy
    ratio = run.moments.noise_multiplier / gaussians.moments.noise_multiplier
    assert ratio**2 == pytest.approx((1.0 - privacy.counts_share) / privacy.moments_share)
    assert paper.noise_multiplier < fedavg.noise_multiplier < run.noise_multiplier
    assert paper.training is not None
    assert paper.training.count == STEPS


def test_pooling_gets_no_relief_from_answers_that_it_does_not_need() -> None:
    """A run with very noisy answers trains with less noise; a model that is used freely must not.

    The run's own multiplier, without its answers' noise, would break the promise.
    """
    base = config(silos=SILOS[:1])
    settings = replace(base, answers=replace(base.answers, mu=0.5))
    c = comparison(settings)
    spent, run = spending.pooled(settings, c.budgets), c.budgets["north"]
    assert spent.noise_multiplier > run.noise_multiplier
    cheap = replace(spent, training=run.training)
    claimed = epsilon(cheap.claim(), delta=1e-5, adjacency="add-or-remove").upper
    assert claimed > settings.privacy.epsilon


def test_nothing_is_offered_where_sampled_training_has_no_bound() -> None:
    """An ensemble under replace has no DP-SGD to be compared with; without noise all are there."""
    settings = config(
        train={"method": "ensemble", "parts": 4}, privacy={"adjacency": "replace"}, silos=SILOS[:1]
    )
    assert comparisons(comparison(settings)) == {}
    settings = config(train={"method": "not-private"}, privacy={"adjacency": "replace"})
    assert tuple(comparisons(comparison(settings))) == NAMES


def test_what_is_trained_is_what_was_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every DP-SGD block runs under the charged multiplier and noise of its own, and the steps add
    up to the charged."""
    calls: dict[float, int] = {}
    used = []
    plain = dpsgd.train_block

    def spy(state: Any, steps: int, **given: Any) -> Any:
        noise = given["noise_multiplier"]
        calls[noise] = calls.get(noise, 0) + steps
        used.append(given["key"])
        return plain(state, steps, **given)

    monkeypatch.setattr(dpsgd, "train_block", spy)
    c = comparison(config())
    run_all(c, rows=2)
    planned = {s.noise_multiplier: STEPS for _, _, s in spendings(c) if s.training is not None}
    assert calls == planned
    assert len(planned) == 5  # two silos of two baselines, and the pooled one
    assert len(set(used)) == len(used) == 2 * 3 + 2 + 1  # FedAvg in three blocks


def test_noise_is_as_wide_as_its_event_says() -> None:
    """4,000 noisy counts of one silo have the event's std to 5 % (4.4 standard errors); a zero
    event adds nothing. False alarms: 1e-5 for a fresh seed, none for these."""
    c, event = comparison(config(silos=SILOS[:1])), Gaussian(2.0)
    many = [
        learning.noisy_counts(c, c.records["north"], Spending(counts=event), str(k))[0]
        for k in range(2000)
    ]
    exact, std = learning.noisy_counts(c, c.records["north"], NO_NOISE)
    assert std == 0.0
    assert exact.tolist() == np.bincount(c.records["north"].y, minlength=CLASSES).tolist()
    spread = (np.stack(many) - exact).std()
    assert spread == pytest.approx(2.0, rel=0.05)
    assert spread != pytest.approx(2.0 * 2**0.5, rel=0.05)


# --- FedAvg -------------------------------------------------------------------------------------


def parameters(seed: int) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    shapes = {"hidden.weight": (4, 5), "output.bias": (3,)}
    return {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}


@given(st.integers(0, 2**32 - 1), st.lists(st.floats(0.01, 10.0), min_size=1, max_size=4))
def test_the_average_is_linear_in_the_shares(seed: int, raw: list[float]) -> None:
    """One silo's average is itself bit for bit, equal silos' too, and two differ by their share."""
    shares = np.array(raw) / sum(raw)
    one, other = parameters(seed), parameters(seed + 1)
    alone = learning.averaged([one], np.ones(1))
    assert all(np.array_equal(alone[name], one[name]) for name in one)
    mixed = learning.averaged([one] * (len(raw) - 1) + [other], shares)
    for name in one:
        expected = one[name] + shares[-1] * (other[name].astype(np.float64) - one[name])
        assert mixed[name] == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.floats(-50.0, 500.0), min_size=2, max_size=6))
def test_parameters_are_averaged_by_the_noisy_counts_shares(totals: list[float]) -> None:
    """Shares are max(noisy total, 0) over their sum; 1/K where no count is left."""
    counts = np.array([[total - 1.0, 1.0] for total in totals])
    shares = methods.silo_shares(counts)
    kept = np.maximum(counts.sum(axis=1), 0.0)
    assert shares.sum() == pytest.approx(1.0)
    if kept.any():
        assert shares == pytest.approx(kept / kept.sum())
    else:
        assert shares == pytest.approx(1.0 / len(totals))


@pytest.mark.parametrize("method", ["dp-sgd", "not-private"])
def test_averaging_one_silo_is_training_it_alone(method: str) -> None:
    """With K = 1 federated averaging takes the silo's own blocks, in order, and changes nothing."""
    c = comparison(config(silos=SILOS[:1], train={"method": method}))
    silo, data = c.config.silos[0], c.records["north"]
    spent = spending.fedavg(c.config, silo, c.budgets["north"])
    base, state = learning.data_free_base(c), learning.start(c, "fedavg")
    for steps in (2, 2, 3):
        state = learning.block(c, silo, state, steps, data, base, spent, "fedavg", "north")
    x, labels = np.linspace(-1, 1, 6 * DIMENSION).reshape(6, DIMENSION), np.arange(6) % 2
    alone = learning.denoiser(c, base, state.average).predict_noise(x, 0.5, labels)
    assert np.array_equal(methods.federated_average(c).predict_noise(x, 0.5, labels), alone)
    untrained = learning.denoiser(c, base, learning.start(c, "fedavg").average)
    assert not np.array_equal(untrained.predict_noise(x, 0.5, labels), alone)


@given(st.integers(1, 400), st.integers(1, 30))
def test_blocks_are_equal_and_make_up_all_steps(steps: int, rounds: int) -> None:
    """No step is lost or charged twice, and no block is empty."""
    blocks = list(methods._blocks(steps, rounds))
    assert sum(blocks) == steps
    assert len(blocks) == min(steps, rounds)
    assert 1 <= min(blocks) <= max(blocks) <= min(blocks) + 1


def test_the_data_free_base_leaves_a_plain_ddpm() -> None:
    """Its denoiser is the preconditioning's skip: x0 | x_t for N(0, data_std^2), any label."""
    c = comparison(config())
    base, x = learning.data_free_base(c), np.random.default_rng(0).standard_normal((5, DIMENSION))
    std2, signal = c.config.network.data_std**2, 0.3
    expected = np.sqrt(signal) * std2 / (signal * std2 + 1.0 - signal) * x
    for label in range(CLASSES):
        assert base.denoise(x, signal, np.full(5, label)) == pytest.approx(expected)


# --- class Gaussians ----------------------------------------------------------------------------


def test_class_gaussians_recover_moments_where_privacy_costs_nothing() -> None:
    """With a huge epsilon and many records, each label's mean and covariance come back: entries of
    20,000 samples to 0.03 (> 6 standard errors), and a mean that is 0.1 off is told apart."""
    rng, n = np.random.default_rng(3), 40_000
    means = np.array([[0.5, -0.3, 0.0], [-0.4, 0.2, 0.6]])
    factor = np.array([[0.5, 0.0, 0.0], [0.2, 0.4, 0.0], [-0.1, 0.1, 0.3]])
    y = rng.integers(0, CLASSES, n)
    x = (means[y] + rng.standard_normal((n, DIMENSION)) @ factor.T).astype(np.float32)
    silo = SiloSettings("north", "", reference_size=float(n))
    settings = config(silos=(silo,), privacy={"epsilon": 1e4}, base={"clip_radius": 5.0})
    event = Gaussian(1e-3)
    budget = Budget(event, True, event, Repeated(PoissonSampled(event, 0.5), 1), 1.0, None)
    c = replace(
        comparison(config(silos=(SILOS[0],))),
        config=settings,
        records={"north": Records(x, y, tuple(map(str, range(n))))},
        budgets={"north": budget},
    )
    labels = np.repeat(np.arange(CLASSES), 20_000)
    drawn = methods.class_gaussians(c, lambda: None, labels, np.random.default_rng(1))
    for label in range(CLASSES):
        own = drawn[labels == label]
        assert own.mean(axis=0) == pytest.approx(means[label], abs=0.03)
        assert own.mean(axis=0) != pytest.approx(means[label] + 0.1, abs=0.03)
        assert np.cov(own.T) == pytest.approx(factor @ factor.T, abs=0.03)


def test_the_union_follows_the_noisy_counts() -> None:
    """A silo draws its share of a label; a label of which nothing is left is shared evenly."""
    counts = np.array([[30.0, 0.5, 8.0], [10.0, 0.2, 0.1]])
    mixing = methods.mixing_weights(counts, np.ones(2))
    assert mixing == pytest.approx(np.array([[0.75, 0.5, 1.0], [0.25, 0.5, 0.0]]))
    assert methods.mixing_weights(counts, np.full(2, 1e3)) == pytest.approx(0.5)


# --- the literal paper --------------------------------------------------------------------------


def test_the_literal_paper_is_what_the_paper_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights 1/K, energies 1/2 |eps|^2 without answer noise, ULA, one step per round, through
    the product's own step; the preset has 1000 rounds and score scale 2."""
    seen, plain = [], sampler.step

    def spy(state: Any, answers: Any, kernel: Any, prior: Any, settings: Any, rng: Any) -> Any:
        seen.append((answers, prior, settings))
        energies = 0.5 * np.square(answers.noise).sum(axis=2)
        logits = np.log(0.5) - settings.temperature * energies
        expected = np.exp(logits) / np.exp(logits).sum(axis=0)
        found = sampler.responsibilities(state, answers, prior, settings)
        assert found == pytest.approx(expected)
        return plain(state, answers, kernel, prior, settings, rng)

    monkeypatch.setattr(sampler, "step", spy)
    c = comparison(config())
    labels = np.zeros(5, dtype=np.int64)
    methods.literal_paper(c, lambda: None, labels, np.random.default_rng(0))
    assert len(seen) == PAPER.levels
    for answers, prior, settings in seen:
        assert (prior == 0.5).all()
        assert prior.shape == (2, 5)
        assert not answers.score_std.any()
        assert answers.energies is None
        assert (settings.energy, settings.step, settings.kernel) == ("l2", "blend", "ula")
    assert Comparison.__dataclass_fields__["paper"].default == PRESETS["paper"]
    assert (PRESETS["paper"].levels, PRESETS["paper"].score_scale) == (1000, 2.0)


# --- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"base": {"residual_radius": 2.0, "label_share": 0.3}},
        {"train": {"method": "not-private"}},
        {"train": {"method": "ensemble", "parts": 4}},
    ],
    ids=["dp-sgd", "two queries", "not-private", "ensemble"],
)
def test_samples_have_their_shape_and_repeat_under_a_seed(sections: dict[str, Any]) -> None:
    """Finite samples (N, d) for N labels; the same seed gives the same bits, another does not."""
    c = comparison(config(**sections))
    first, again, other = run_all(c), run_all(c), run_all(replace(c, seed=5))
    assert tuple(first) == NAMES
    for name, x in first.items():
        assert x.shape == (11, DIMENSION)
        assert np.isfinite(x).all()
        assert np.array_equal(x, again[name])
        exact = name == NAMES[0] and not c.private
        assert np.array_equal(x, other[name]) == exact


@pytest.mark.parametrize("method", ["dp-sgd", "not-private"])
def test_a_silo_without_records_is_no_obstacle(method: str) -> None:
    """An empty silo trains on noise, or not at all."""
    c = comparison(config(train={"method": method}))
    c = replace(c, records={**c.records, "south": records(0, 1)})
    assert all(np.isfinite(x).all() for x in run_all(c).values())


def test_progress_is_told_every_model_and_block() -> None:
    """Two silos' bases, one pooled model, three averages, two silos' networks."""
    told: list[str] = []
    labels = np.zeros(2, dtype=np.int64)
    for sample in comparisons(comparison(config()), told.append).values():
        sample(labels, np.random.default_rng(0))
    assert [told.count(name) for name in NAMES] == [2, 1, 3, 2]
