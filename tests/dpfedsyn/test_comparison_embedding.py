"""The summed noisy mean embedding: its sensitivity, its budget, and what its generator learns."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from accountants import epsilon
from dpfedsyn.comparison import FURTHER, embedding, learning, spending
from dpfedsyn.comparison.embedding import Features
from dpfedsyn.comparison.spending import NO_NOISE
from dpfedsyn.sums import sums_lattice
from tests.dpfedsyn.test_comparison import CLASSES, DIMENSION, comparison, config

FEATURES = Features.drawn(DIMENSION, 3.0, bytes(32))
CELLS = st.floats(width=64, allow_nan=True, allow_infinity=True)
RECORDS = arrays(np.float64, st.tuples(st.integers(1, 6), st.just(DIMENSION)), elements=CELLS)


@given(RECORDS, st.sampled_from([0.3, 2.0, 50.0]), st.data())
def test_one_record_moves_the_sums_by_the_noise_s_unit_at_most(
    x: np.ndarray, std: float, data: st.DataObject
) -> None:
    """Guarantee of dpfedsyn.comparison.embedding.Features.points: One record adds a vector whose
    norm, times the spacing, is at most 1. Huge and NaN records are left out like any other."""
    labels = np.array(data.draw(st.lists(st.integers(0, CLASSES - 1), min_size=len(x),
                                         max_size=len(x))))  # fmt: skip
    left_out = data.draw(st.integers(0, len(x) - 1))
    spacing = sums_lattice(std).spacing
    kept = np.arange(len(x)) != left_out
    whole = FEATURES.points(x, labels, CLASSES, spacing)
    without = FEATURES.points(x[kept], labels[kept], CLASSES, spacing)
    moved = [int(v) for v in (whole - without)]
    assert spacing**2 * sum(v * v for v in moved) <= 1.0


def test_a_record_s_features_have_norm_one() -> None:
    """cos^2 + sin^2 over F frequencies, over F; so the sensitivity is used up, not undershot."""
    x = np.random.default_rng(0).standard_normal((5, DIMENSION))
    assert np.linalg.norm(FEATURES(x), axis=1) == pytest.approx(1.0)
    points = FEATURES.points(x[:1], np.zeros(1, np.int64), CLASSES, sums_lattice(1.0).spacing)
    assert np.linalg.norm(points) * sums_lattice(1.0).spacing == pytest.approx(1.0, abs=1e-4)


def test_the_sums_are_those_of_each_label() -> None:
    """Exact sums against records one by one, in pieces of any size."""
    rng = np.random.default_rng(1)
    x, labels = rng.standard_normal((7, DIMENSION)), rng.integers(0, CLASSES, 7)
    expected = np.stack([FEATURES(x[labels == y]).sum(axis=0) for y in range(CLASSES)])
    assert FEATURES.sums(x, labels, CLASSES) == pytest.approx(expected.ravel())
    lattice = sums_lattice(1.0)
    points = FEATURES.points(x, labels, CLASSES, lattice.spacing) * lattice.spacing
    assert points == pytest.approx(expected.ravel(), abs=7 * lattice.spacing)


@pytest.mark.parametrize(
    "sections",
    [{}, {"privacy": {"epsilon": 1.0, "counts_share": 0.1}}, {"base": {"residual_radius": 2.0}}],
)
def test_it_meets_each_silo_s_epsilon_and_uses_it(sections: dict[str, dict[str, float]]) -> None:
    """Recomputed by the accountant from what is charged; a tenth less noise would break it."""
    c = comparison(config(**sections))
    for silo in c.config.silos:
        spent = FURTHER["embedding"].charged(c, silo)
        wanted = c.config.epsilon(silo)
        assert spent.counts == c.budgets[silo.name].counts
        claimed = epsilon(spent.claim(), delta=1e-5, adjacency="add-or-remove").upper
        assert 0.97 * wanted <= claimed <= wanted
        assert spent.embedding is not None
        louder = replace(spent.embedding, noise_multiplier=0.9 * spent.embedding.noise_multiplier)
        broken = replace(spent, embedding=louder)
        assert epsilon(broken.claim(), delta=1e-5, adjacency="add-or-remove").upper > wanted


def test_every_silo_draws_the_charged_noise_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts and embedding of two silos: four keys, and the multipliers that were charged."""
    c, seen = comparison(config()), []
    plain = learning.noisy

    def spy(std: float, key: bytes, summed: object) -> object:
        seen.append((std, key))
        return plain(std, key, summed)  # type: ignore[arg-type]

    monkeypatch.setattr(learning, "noisy", spy)
    monkeypatch.setattr(embedding, "STEPS", 2)
    embedding.mean_embedding(c, lambda: None, np.zeros(3, np.int64), np.random.default_rng(0))
    charged = [spending.embedding(c.config, s, c.budgets[s.name]) for s in c.config.silos]
    wanted = [e.noise_multiplier for s in charged for e in (s.counts, s.embedding) if e is not None]
    assert [std for std, _ in seen] == wanted
    assert len({key for _, key in seen}) == 4


def test_without_noise_the_generator_learns_each_label_s_law(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Means of two labels that lie 2 apart are found within .2, and their spread within .2."""
    monkeypatch.setattr(embedding, "STEPS", 700)
    c = comparison(config(train={"method": "not-private"}, base={"clip_radius": 2.0}))
    assert spending.embedding(c.config, c.config.silos[0], c.budgets["north"]) == NO_NOISE
    records = {}
    for name, one in c.records.items():
        x = one.x - one.x.mean(axis=0) + 2.0 * one.y[:, None] - 1.0
        records[name] = replace(one, x=x.astype(np.float32), plain=x.astype(np.float32))
    labels = np.repeat(np.arange(CLASSES), 300)
    x = embedding.mean_embedding(
        replace(c, records=records), lambda: None, labels, np.random.default_rng(0)
    )
    for y in range(CLASSES):
        assert np.abs(x[labels == y].mean(axis=0) - (2.0 * y - 1.0)).max() < 0.2
        assert x[labels == y].std(axis=0) == pytest.approx(0.3, abs=0.2)
        assert np.abs(x[labels == y].mean(axis=0) + (2.0 * y - 1.0)).max() > 1.0


def test_a_federation_without_records_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedding is noise, or nothing at all, and samples are finite."""
    monkeypatch.setattr(embedding, "STEPS", 3)
    for method in ("dp-sgd", "not-private"):
        c = comparison(config(train={"method": method}))
        c = replace(c, records={k: r.take(np.arange(0)) for k, r in c.records.items()})
        for key in ("embedding", "networks"):
            x = FURTHER[key].sample(c, lambda: None, np.arange(5) % 2, np.random.default_rng(0))
            assert x.shape == (5, DIMENSION)
            assert np.isfinite(x).all()


def test_networks_alone_are_charged_and_trained_like_federated_averaging() -> None:
    """Counts and DP-SGD with the rest; nothing for moments that are not taken."""
    c = comparison(config())
    for silo in c.config.silos:
        spent = FURTHER["networks"].charged(c, silo)
        assert spent == spending.fedavg(c.config, silo, c.budgets[silo.name])
        assert (spent.moments, spent.means, spent.embedding) == (None, None, None)
    labels = np.arange(6) % CLASSES
    first, again = (
        FURTHER["networks"].sample(c, lambda: None, labels, np.random.default_rng(0))
        for _ in range(2)
    )
    assert np.array_equal(first, again)
