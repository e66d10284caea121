"""The benchmark of the silos' shares: its measure, what it keeps, and passes over exact models."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.messages import ScoreQuery
from dpfedsyn.round_settings import SamplerSettings
from tests.dpfedsyn import toys
from tests.end_to_end.small import ROOT, read

WANTED = (0.4, 0.3, 0.2, 0.1)
LAWS = st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4).map(
    lambda values: [value / math.fsum(values) for value in values]
)


@pytest.fixture
def shares(benchmark: Any) -> Any:
    """Which passes are measured, and what is kept of them."""
    return benchmark("examples.shares")


@pytest.fixture
def variation(benchmark: Any) -> Any:
    """The measure."""
    return benchmark("examples.variation")


@dataclass(frozen=True)
class Exact:
    """One silo of a toy in the place of a denoiser."""

    toy: toys.Gaussians
    silo: int

    def predict_noise(self, x: toys.Array, signal: float, labels: Any) -> toys.Array:
        """The exact noise prediction."""
        return self.toy.noise(x, signal)[self.silo]


def four_silos() -> toys.Gaussians:
    """d = 8; modes far apart, unequal widths."""
    means = 1.5 * np.random.default_rng(5).standard_normal((4, 8))
    return toys.Gaussians(means, np.array([0.2, 0.4, 0.6, 0.8]), np.array(WANTED))


def row(sampler: str, shares: tuple[float, ...], **other: Any) -> dict[str, Any]:
    """A row as it is kept."""
    same = {"kernel": "ula", "rounds": 25, "sigma": 0.0, "rows": 100, "wanted": list(WANTED)}
    return {"sampler": sampler, "shares": list(shares), **same, **other}


# --- the measure ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "value"),
    [(WANTED, 0.0), ((0.25,) * 4, 0.2), ((0.0, 0.0, 0.0, 1.0), 0.9), ((0.5, 0.2, 0.2, 0.1), 0.1)],
)
def test_total_variation_has_its_closed_form(
    variation: Any, found: tuple[float, ...], value: float
) -> None:
    """Half the L1 distance: what would have to move from one silo to another."""
    assert variation.total_variation(found, WANTED) == pytest.approx(value, abs=1e-12)


def test_total_variation_is_a_metric_of_at_most_one(variation: Any) -> None:
    """Symmetric, within [0, 1], and no detour is shorter."""

    @given(LAWS, LAWS, LAWS)
    def holds(a: list[float], b: list[float], c: list[float]) -> None:
        distance = variation.total_variation(a, b)
        assert distance == variation.total_variation(b, a)
        assert 0.0 <= distance <= 1.0
        detour = variation.total_variation(a, c) + variation.total_variation(c, b)
        assert distance <= detour + 1e-12

    holds()


def test_laws_on_different_silos_have_no_distance(variation: Any) -> None:
    """Shares of three silos are not compared with those of four."""
    with pytest.raises(ValueError, match="shorter"):
        variation.total_variation(WANTED, (0.5, 0.3, 0.2))


def test_independent_draws_alone_are_that_far_from_their_law(variation: Any) -> None:
    """2,000 experiments of 4,000 draws: mean within 4 %, 5 standard errors (false alarm 6e-7).

    Half as many draws are sqrt 2 as far, which the same test rejects.
    """
    drawn = np.random.default_rng(1).multinomial(4000, WANTED, size=2000) / 4000
    mean = 0.5 * np.abs(drawn - np.array(WANTED)).sum(axis=1).mean()
    assert variation.drawing(WANTED, 4000) == pytest.approx(mean, rel=0.04)
    assert variation.drawing(WANTED, 2000) != pytest.approx(mean, rel=0.04)


def test_the_worst_mix_row_is_the_target_and_is_named(variation: Any) -> None:
    """What the union's pass beside it misses as well does not count; contrasts do not either."""
    found = [
        row("union", (0.38, 0.32, 0.2, 0.1)),
        row("mix", (0.42, 0.28, 0.2, 0.1)),
        row("l2", (0.0, 0.0, 0.0, 1.0)),
        row("union", (0.35, 0.35, 0.2, 0.1), sigma=1.0),
        row("mix", (0.32, 0.38, 0.2, 0.1), sigma=1.0),
        row("blend", (1.0, 0.0, 0.0, 0.0), sigma=1.0),
    ]
    target = variation.target(found)
    assert target.value == pytest.approx(0.08 - 0.05)
    assert target.met is True
    assert "worst of 2: ula, 25 rounds, sigma 1: 0.080 against the union's 0.050" in target.reason
    assert "between mix and union at most 0.040" in target.reason
    drifted = [*found[:-2], row("mix", (0.5, 0.2, 0.2, 0.1), sigma=1.0)]
    assert variation.target(drifted).met is False


def test_every_row_is_compared_with_the_union_of_its_own_kind(variation: Any) -> None:
    """Same kernel, rounds and answer noise."""
    found = [
        row("union", WANTED, kernel="ancestral"),
        row("union", WANTED, rounds=50),
        row("union", (0.3, 0.3, 0.3, 0.1)),
        row("mix", (0.3, 0.3, 0.3, 0.1)),
    ]
    assert variation.beyond(found[-1], found) == pytest.approx(0.0, abs=1e-12)


def test_all_samplers_are_measured_at_all_rounds_with_and_without_noise(shares: Any) -> None:
    """Two kernels, four samplers, 25, 50 and 100 rounds, sigma 0 and 1; `mix` means `mix`."""
    assert len({cell.name for cell in shares.CELLS}) == len(shares.CELLS) == 2 * 4 * 3 * 2
    for cell in shares.CELLS:
        settings = replace(SamplerSettings(), **cell.settings(1))
        langevin = settings.steps_per_level if cell.kernel == "ula" else 1
        assert settings.levels * langevin == cell.rounds
        assert (settings.step == "mix") == (cell.sampler == "mix")
        assert (settings.energy == "l2") == (cell.sampler == "l2")
    assert len({cell.settings(1)["seed"] for cell in shares.CELLS}) == len(shares.CELLS)


# --- one pass ------------------------------------------------------------------------------------


def apart(found: toys.Array) -> float:
    """Total variation to the wanted shares."""
    return 0.5 * float(np.abs(found - np.array(WANTED)).sum())


def passed(benchmark: Any, shares: Any, cell: Any) -> tuple[float, Any]:
    """Total variation to the wanted shares of 4,000 samples over exact models, and the samples."""
    toy = four_silos()
    models = {f"silo-{k}": Exact(toy, k) for k in range(4)}
    settings = replace(SamplerSettings(), **cell.settings(1))
    samples = benchmark("examples.chain").sample(
        models, WANTED, settings, rows=4000, dimension=8, sigma=cell.sigma
    )
    return apart(toy.shares(samples.x.astype(np.float64))), samples


@pytest.mark.parametrize("sigma", [0.0, 1.0])
@pytest.mark.parametrize("kernel", ["ancestral", "ula"])
def test_a_pass_over_exact_models_keeps_the_shares_under_mix(
    kernel: str, sigma: float, benchmark: Any, shares: Any
) -> None:
    """25 rounds, 4,000 rows: .03 is 4 sd above the mean of drawing alone (false alarm 1e-4)."""
    variation, samples = passed(benchmark, shares, shares.Cell(kernel, "mix", 25, sigma))
    assert variation < 0.03
    assert apart(np.array(samples.responsibilities)) < 0.03


@pytest.mark.parametrize("cell", [("ula", "l2", 25, 0.0), ("ancestral", "blend", 25, 1.0)])
def test_the_measure_rejects_samplers_that_lose_the_shares(
    cell: tuple[Any, ...], benchmark: Any, shares: Any
) -> None:
    """l2 energies, and blended steps under answer noise: far beyond the target."""
    assert passed(benchmark, shares, shares.Cell(*cell))[0] > 2 * shares.BEYOND


def test_union_samples_follow_their_silo_in_the_wanted_shares(benchmark: Any, shares: Any) -> None:
    """The true assignment is known: 1,600, 1,200, 800 and 400 of 4,000."""
    _, samples = passed(benchmark, shares, shares.Cell("ancestral", "union", 5, 0.0))
    assert np.bincount(samples.silo).tolist() == [1600, 1200, 800, 400]
    assert samples.responsibilities == pytest.approx(WANTED)


def test_answers_carry_the_noise_that_the_query_asks_for(benchmark: Any) -> None:
    """8,000 coordinates: std within 5 % of 1, 6 standard errors; another silo's noise is other."""
    chain, toy = benchmark("examples.chain"), four_silos()
    x = np.zeros((1000, 8), dtype=np.float32)
    query = ScoreQuery("r", 3, 500, x, np.zeros(1000, dtype=np.int64), 1.0, None)
    exact = chain.answerer("a", Exact(toy, 0), 1)(replace(query, score_std=0.0))
    noisy = chain.answerer("a", Exact(toy, 0), 1)(query)
    other = chain.answerer("b", Exact(toy, 0), 1)(query)
    again = chain.answerer("a", Exact(toy, 0), 1)(query)
    assert (noisy.noise - exact.noise).std() == pytest.approx(1.0, rel=0.05)
    assert noisy.score_std == 1.0
    np.testing.assert_array_equal(noisy.noise, again.noise)
    assert abs(np.corrcoef(noisy.noise.ravel(), other.noise.ravel())[0, 1]) < 0.5


# --- training ------------------------------------------------------------------------------------


def test_training_leaves_less_error_than_the_gaussian_alone(benchmark: Any) -> None:
    """Two narrow modes at +-1 in d = 2: a Gaussian's denoiser is off by more than twice as much."""
    disjoint = benchmark("examples.disjoint")
    setting = replace(disjoint.Setting(), hidden=64, steps=400, learning_rate=1e-2)
    rng = np.random.default_rng(2)
    modes = rng.choice([-1.0, 1.0], size=(600, 1)) * np.ones((1, 2))
    x = (modes + 0.05 * rng.standard_normal((600, 2))).astype(np.float32)
    model = disjoint.train(x, setting, bytes(32))
    signal, labels = 0.7, np.zeros(600, dtype=np.int64)
    noisy = math.sqrt(signal) * x + math.sqrt(1.0 - signal) * rng.standard_normal(x.shape)
    trained = ((model.denoise(noisy, signal, labels) - x) ** 2).mean()
    alone = ((model.base.denoise(noisy, signal, labels) - x) ** 2).mean()
    assert trained < 0.5 * alone


# --- what is kept --------------------------------------------------------------------------------


def test_rows_that_were_measured_are_read_back_and_no_model_is_trained_for_them(
    shares: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted measurement goes on where it stopped; other settings are measured again."""
    prepared, taken = [], []

    def prepare(*arguments: Any) -> Any:
        prepared.append(arguments)
        return SimpleNamespace()

    def one(cell: Any, setting: Any, federation: Any) -> dict[str, Any]:
        if len(taken) == 1:
            taken.append("interrupted")
            raise KeyboardInterrupt
        taken.append(cell.name)
        return row(cell.sampler, WANTED)

    monkeypatch.setattr(shares.disjoint, "prepare", prepare)
    monkeypatch.setattr(shares, "one", one)

    def measured(setting: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = shares.rows(
            shares.FEW, setting, tmp_path, tmp_path, lambda text: None
        )
        return found

    with pytest.raises(KeyboardInterrupt):
        measured(shares.SMOKE)
    first = measured(shares.SMOKE)
    assert taken == [shares.FEW[0].name, "interrupted", shares.FEW[1].name]
    assert len(prepared) == 2
    assert measured(shares.SMOKE) == first
    assert (len(taken), len(prepared)) == (3, 2)
    other = measured(replace(shares.SMOKE, rows=61))
    assert (len(taken), len(prepared)) == (5, 3)
    assert [a["settings"] for a in other] != [b["settings"] for b in first]


def test_without_mnist_nothing_is_measured_and_the_reason_is_given(
    shares: Any, tmp_path: Path
) -> None:
    """The folder is named by its last two parts only."""
    target, table = shares.measure(
        tmp_path, tmp_path / "data" / "mnist", lambda text: None, smoke=False
    )
    assert (target.value, target.met, table) == (None, None, [])
    assert target.reason == "no MNIST: there is no folder data/mnist"


def test_smoke_trains_samples_and_judges_but_measures_no_target(
    shares: Any, tmp_path: Path
) -> None:
    """On the embedded digits: the union's true shares are those wanted, and models are poor."""
    target, table = shares.measure(tmp_path / "kept", tmp_path, lambda text: None, smoke=True)
    assert (target.value, target.met) == (None, None)
    assert target.reason.startswith("smoke")
    assert [line["sampler"] for line in table] == ["union", "mix"]
    assert table[0]["posterior"] == ".40 .30 .20 .10"
    assert 0.0 <= table[0]["misplaced"] < 0.5
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_the_kept_rows_are_all_there_and_meet_the_target(shares: Any, variation: Any) -> None:
    """One file per pass; what they say of the l2 energies is the contrast that they are for."""
    folder = ROOT / "benchmarks" / "results" / "examples" / "shares"
    assert {path.stem for path in folder.iterdir()} == {cell.name for cell in shares.CELLS}
    found = [read(folder / f"{cell.name}.json") for cell in shares.CELLS]
    assert variation.target(found).met is True
    literal = [row for row in found if row["sampler"] == "l2"]
    assert all(apart(np.array(row["shares"])) > 0.2 for row in literal)
