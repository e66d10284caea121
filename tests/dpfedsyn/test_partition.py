"""Simulated partitions: every record once, reproducible, and skewed as asked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn import partition
from dpfedsyn.errors import DataError
from dpfedsyn.settings import PartitionSettings

KINDS = ("dirichlet", "shards", "power-law")
TEN = np.repeat(np.arange(10), 200)


def settings(kind: str, **changes: object) -> PartitionSettings:
    return replace(PartitionSettings(kind=kind, alpha=5.0), **changes)  # type: ignore[arg-type]


@given(
    st.sampled_from(KINDS),
    st.integers(60, 400),
    st.integers(1, 10),
    st.integers(1, 6),
    st.integers(0, 1000),
)
def test_every_record_belongs_to_exactly_one_silo(
    kind: str, records: int, classes: int, silos: int, seed: int
) -> None:
    """A partition partitions: one owner among the silos for each record, whatever the labels."""
    labels = np.random.default_rng(seed).integers(0, classes, records)
    owner = partition.divide(labels, settings(kind, silos=silos, seed=seed, alpha=50.0))
    assert owner.shape == (records,)
    assert set(owner.tolist()) <= set(range(silos))


@given(st.sampled_from(KINDS), st.integers(1, 5), st.integers(5, 60), st.integers(0, 99))
def test_with_a_size_so_many_records_are_used_and_the_others_by_nobody(
    kind: str, silos: int, size: int, seed: int
) -> None:
    """`size` is the mean over the silos; a record that is not used has no owner."""
    labels = np.random.default_rng(seed).integers(0, 3, 400)
    chosen = settings(kind, silos=silos, size=size, seed=seed, alpha=200.0, shards=1)
    owner = partition.divide(labels, chosen)
    assert (owner >= 0).sum() == silos * size
    assert set(owner[owner < 0].tolist()) <= {partition.UNUSED}


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_alone_decides(kind: str) -> None:
    """Equal seeds give equal partitions, others give others."""
    first, again, other = (partition.divide(TEN, settings(kind, seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def skew(owner: np.ndarray, silos: int) -> float:
    """Mean total variation between a silo's labels and all labels."""
    whole = np.bincount(TEN, minlength=10) / len(TEN)
    tables = [np.bincount(TEN[owner == k], minlength=10) for k in range(silos)]
    return float(np.mean([np.abs(t / t.sum() - whole).sum() / 2 for t in tables]))


def test_a_small_alpha_is_skewed_and_a_large_one_is_not() -> None:
    """Dirichlet(.1), (1), (1000): total variation from the whole falls; the last is nearly 0."""
    found = [
        np.mean(
            [
                skew(partition.divide(TEN, settings("dirichlet", alpha=alpha, seed=s)), 4)
                for s in range(5)
            ]
        )
        for alpha in (0.1, 1.0, 1000.0)
    ]
    assert found[0] > 0.4 > found[1] > 0.1 > found[2]


def test_shares_of_a_label_follow_the_dirichlet_law() -> None:
    """Variance of a silo's share of a label is (1/K)(1 - 1/K)/(K alpha + 1); 2,000 shares.

    The sample variance of 2,000 nearly independent shares errs by some 4 %: a deviation of 20 % is
    five of its standard errors (false alarm below 1e-5); alpha = 1.5 instead of 1 would be 29 %.
    """
    rng, silos, alpha = np.random.Generator(np.random.Philox(1)), 4, 1.0
    labels = np.repeat(np.arange(10), 1000)
    shares = []
    for _ in range(50):
        owner = partition.dirichlet(labels, silos, alpha, rng)
        shares += [np.bincount(owner[labels == y], minlength=silos) / 1000 for y in range(10)]
    expected = (1 / silos) * (1 - 1 / silos) / (silos * alpha + 1)
    assert np.mean(shares) == pytest.approx(1 / silos)
    assert np.var(shares) == pytest.approx(expected, rel=0.2)
    wrong = (1 / silos) * (1 - 1 / silos) / (silos * 1.5 + 1)
    assert np.var(shares) != pytest.approx(wrong, rel=0.2)


def test_a_silo_of_shards_sees_few_labels() -> None:
    """Two shards of 250 records touch at most two labels each (200 of a label); sizes are equal."""
    owner = partition.divide(TEN, settings("shards", silos=4, shards=2))
    assert np.bincount(owner).tolist() == [500] * 4
    assert max(len(np.unique(TEN[owner == k])) for k in range(4)) <= 6
    assert skew(owner, 4) > 0.4


@given(st.integers(3, 8), st.integers(3, 40), st.integers(0, 99), st.booleans())
def test_silos_of_pairs_hold_two_labels_and_half_of_each(
    silos: int, each: int, seed: int, odd: bool
) -> None:
    """Silo i owns half of label i and half of label i + 1; nothing else, and nothing is left."""
    labels = np.repeat(np.arange(silos) * 2 + 1, each + odd)  # labels need not be 0, 1, ...
    labels = np.random.default_rng(seed).permutation(labels)
    owner = partition.divide(labels, settings("pairs", silos=silos, seed=seed))
    halves = {-(-(each + odd) // 2), (each + odd) // 2}
    for silo in range(silos):
        held, counts = np.unique(labels[owner == silo] // 2, return_counts=True)
        assert set(held.tolist()) == {silo, (silo + 1) % silos}
        assert set(counts.tolist()) <= halves
    assert (owner >= 0).all()


def test_pairs_are_a_random_half() -> None:
    """Other seeds give other halves; the order of the records decides nothing."""
    first, other = (partition.divide(TEN, settings("pairs", silos=10, seed=s)) for s in (1, 2))
    assert not np.array_equal(first, other)
    # 100 of the label's 200 are drawn: of its first 100 about 50 +- 3.5; seven of these apart.
    assert 25 <= (first[:100] == 0).sum() <= 75
    assert np.array_equal(np.bincount(first), np.full(10, 200))


def test_sizes_follow_the_power_law() -> None:
    """Sizes in proportion to 1, 1/2, 1/3, 1/4; with exponent 0 all alike."""
    assert partition.power_law(2500, 4, 1.0).tolist() == [1200, 600, 400, 300]
    assert partition.power_law(8, 4, 0.0).tolist() == [2, 2, 2, 2]
    owner = partition.divide(TEN, settings("power-law", exponent=1.0))
    assert np.bincount(owner).tolist() == partition.power_law(2000, 4, 1.0).tolist()


def test_a_column_decides_who_owns_a_record() -> None:
    """Named values own a silo each, in order; a record with another value belongs to nobody."""
    chosen = settings("column", names=("south", "north"), column="region")
    owner = partition.divide(np.zeros(4, np.int64), chosen, ["north", " south ", "east", "north"])
    assert owner.tolist() == [1, 0, partition.UNUSED, 1]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (settings("dirichlet", size=600, silos=4), "2400, the file has 2000"),
        (settings("column", names=("west",), column="c"), "no record has the value 'west'"),
        (settings("dirichlet", alpha=1e-3, silos=40), "raise alpha or lower silos"),
        (settings("pairs", silos=4), "there are 4 silos and 10 labels"),
    ],
)
def test_what_cannot_be_divided_is_said(chosen: PartitionSettings, words: str) -> None:
    """Too few records, a value of nobody, a skew that leaves silos empty, labels without a pair."""
    with pytest.raises(DataError, match=words):
        partition.divide(TEN, chosen, ["x"] * len(TEN))
