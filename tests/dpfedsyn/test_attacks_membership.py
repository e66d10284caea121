"""Membership attacks: copies are found, independent rows are not, and the claim stands beside."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from accountants import Adjacency, Gaussian
from dpfedsyn.attacks.allowed import LargestSuccess
from dpfedsyn.attacks.membership import ATTACKS, closest_record, density_ratio, success

Array = NDArray[np.float64]

STRICT = LargestSuccess((Gaussian(4.0),), Adjacency.ADD_OR_REMOVE, 0.0, None)
VOID = LargestSuccess((), Adjacency.ADD_OR_REMOVE, 0.0, "not private")


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def draw(random: np.random.Generator, n: int) -> Array:
    """Records of one law with two clusters, (n, 4)."""
    return random.standard_normal((n, 4)) + 3.0 * random.integers(0, 2, (n, 1))


def attacked(
    name: str,
    seed: int,
    copied: float,
    claim: LargestSuccess = STRICT,
    sizes: tuple[int, int] = (120, 60),
) -> dict[str, Any]:
    """Attack rows of which a share are copies of used records, slightly blurred."""
    random = rng(seed)
    used, control, reference = (draw(random, n) for n in (*sizes, sizes[1]))
    synthetic = draw(random, 200)
    copies = int(copied * len(used))
    synthetic[:copies] = used[:copies] + 0.01 * random.standard_normal((copies, 4))
    scores = [ATTACKS[name](part, synthetic, reference) for part in (used, control)]
    return success(*scores, claim, random)  # type: ignore[misc]


@pytest.mark.parametrize("name", ATTACKS)
def test_copies_are_found_and_exceed_a_strict_claim(name: str) -> None:
    """All records copied: told apart nearly always, far above what mu = 1/4 allows."""
    found = attacked(name, 1, 1.0)
    assert found["auc"]["low"] > 0.9
    assert found["pairs"]["low"] > 0.85
    assert found["above_claim"]
    assert not attacked(name, 1, 1.0, VOID)["above_claim"]


@pytest.mark.parametrize("name", ATTACKS)
def test_independent_rows_give_no_membership(name: str) -> None:
    """150 independent sets: at most as many of the 95 % intervals of AUC miss 0.5 as happens once
    in 10,000 series, none is above the claim, and with one record in four copied more do miss."""
    most = int(binom.ppf(1 - 1e-4, 150, 0.05))
    found = [attacked(name, seed, 0.0) for seed in range(150)]
    assert sum(not f["auc"]["low"] <= 0.5 <= f["auc"]["high"] for f in found) <= most
    assert not any(f["above_claim"] for f in found)
    quarter = [attacked(name, seed, 0.25) for seed in range(150)]
    assert sum(not f["auc"]["low"] <= 0.5 <= f["auc"]["high"] for f in quarter) > most


@pytest.mark.parametrize("name", ATTACKS)
def test_the_share_found_is_covered_and_rates_need_records(name: str) -> None:
    """Without copies as many are found as falsely; 0.1 % needs 999 held-out records and says so."""
    few = attacked(name, 3, 0.0)
    assert [rate.get("needed") for rate in few["rates"]] == [None, 99, 999]
    many = attacked(name, 4, 0.0, sizes=(1500, 1200))["rates"]
    for rate in many:
        low, high = rate["false_positives"]["low"], rate["false_positives"]["high"]
        assert low < rate["fpr"] < high
        assert rate["found"]["low"] <= high
        assert rate["found"]["high"] >= low


def test_a_score_that_only_ties_with_the_threshold_finds_nobody() -> None:
    """Equal scores say nothing: no record is found, at no rate."""
    found = success(np.ones(200), np.ones(1000), STRICT, rng(0))
    assert [rate["found"]["value"] for rate in found["rates"]] == [0.0, 0.0, 0.0]
    assert found["auc"]["value"] == 0.5


def test_the_density_ratio_discounts_what_the_population_explains() -> None:
    """A record in a dense place is near to synthetic rows anyway: the reference takes that off."""
    random = rng(0)
    dense, rare = np.zeros((1, 2)), np.full((1, 2), 6.0)
    reference = 0.3 * random.standard_normal((200, 2))
    synthetic = np.vstack([0.3 * random.standard_normal((200, 2)), rare + 0.2])
    both = np.vstack([dense, rare])
    near = closest_record(both, synthetic, reference)
    ratio = density_ratio(both, synthetic, reference)
    assert near[0] > near[1]
    assert ratio[0] < ratio[1]


@pytest.mark.parametrize("name", ATTACKS)
def test_scores_do_not_depend_on_the_pieces_they_are_computed_in(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Distances are taken in pieces that fit into memory."""
    random = rng(5)
    records, synthetic, reference = (draw(random, n) for n in (50, 40, 30))
    whole = ATTACKS[name](records, synthetic, reference)
    monkeypatch.setattr("dpfedsyn.attacks.membership._CELLS_AT_ONCE", 100)
    assert np.allclose(ATTACKS[name](records, synthetic, reference), whole, rtol=1e-12)


def test_exact_copies_have_a_finite_score() -> None:
    """A distance of zero is the largest score there is; to a reference record too, it is none."""
    record, far = np.zeros((1, 2)), np.ones((1, 2))
    assert np.isfinite(density_ratio(record, record, far)).all()
    assert density_ratio(record, record, far) > density_ratio(record, far * 1e-3, far)
    assert density_ratio(record, record, record) == 0.0
