"""The table of the benchmark `utility`: cells that are kept, winners, targets, test parts."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from accountants import Gaussian, epsilon
from dpfedsyn.errors import DataError

SCORES = {"logistic": 0.8, "mlp": 0.85, "cnn": 0.9}
FEW = (
    "answers.rows=60",
    "train.steps=2",
    "train.draws=1",
    "train.sampling_rate=0.5",
    "network.hidden=8",
    "best.levels=2",
    "sampler.levels=2",
)


@pytest.fixture
def utility(benchmark: Any) -> Any:
    """Modules of the benchmark, by name."""
    names = ("cells", "columns", "settings", "source", "tables", "targets", "markdown", "marginals",
             "ground", "provided", "score", "benchmark")  # fmt: skip
    return SimpleNamespace(**{name: benchmark(f"utility.{name}") for name in names})


@pytest.fixture
def records(utility: Any, tmp_path: Path) -> Iterator[Any]:
    """Splits of the embedded examples to develop on; there is no MNIST."""
    with utility.source.source(tmp_path / "nowhere", tmp_path, development=True) as found:
        yield found


def hospitals(utility: Any, *overrides: str, **changes: Any) -> Any:
    small = utility.settings.SMOKE[0]
    return replace(small, overrides=(*FEW, *overrides), **changes)


def result(seed: int = 1, frechet: float | None = 2.0, **scores: float) -> dict[str, Any]:
    """What a cell is kept as, without having been made."""
    known = SCORES | scores
    return {
        "seed": seed, "commit": "abc", "accuracy": known, "auc": known, "frechet": frechet,
        "bytes": 10.0, "seconds": {"make": 1.0, "score": 2.0}, "epsilon": 1.0, "rows": 5,
    }  # fmt: skip


def measured(utility: Any, results: dict[tuple[Any, str], list[dict[str, Any]]]) -> Any:
    cells = {
        utility.cells.Cell(setting, column, k + 1): {**found, "seed": k + 1}
        for (setting, column), several in results.items()
        for k, found in enumerate(several)
    }
    return utility.cells.Measured(cells, {})


# --- cells --------------------------------------------------------------------------------------


def test_every_setting_is_measured_once_before_any_is_repeated(utility: Any) -> None:
    """Each cell once; all of seed 1 first, what comes of one run together."""
    settings = utility.settings.SETTINGS
    order = list(utility.cells.ordered(settings))
    assert len(set(order)) == len(order) == sum(s.seeds_of(c) for s in settings for c in s.columns)
    seeds = [cell.seed for cell in order]
    assert seeds == sorted(seeds)
    first = [cell for cell in order if cell.seed == 1]
    runs = [cell.column in utility.settings.OF_A_RUN for cell in first]
    assert runs == sorted(runs, reverse=True)
    places = [settings.index(cell.setting) for cell, run in zip(first, runs, strict=True) if run]
    assert places == sorted(places)


def test_the_cost_plan_is_the_table_s(utility: Any) -> None:
    """All columns at two settings, elsewhere ours, base and union; 3 seeds of ours on MNIST."""
    s, columns = utility.settings, set(utility.columns.COLUMNS)
    whole = [setting for setting in s.SETTINGS if len(setting.columns) > len(s.COMMON) + 1]
    assert [setting.name for setting in whole] == ["mnist-6000-epsilon-1", "hospitals-epsilon-3"]
    assert set(whole[1].columns) == columns
    assert set(whole[0].columns) == columns - {"mst"}
    for setting in s.SETTINGS:
        assert set(setting.columns) >= set(s.COMMON)
        assert setting.seeds == 10 or not setting.name.startswith(("digits", "hospitals"))
    names = [setting.name for setting in (*s.SETTINGS, *s.ROUNDS)]
    assert len(set(names)) == len(names)


def test_cells_are_read_back_and_made_again_when_settings_change(
    utility: Any, records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same settings are not measured twice; other ones, and another test part, are."""
    cells, made = utility.cells, []

    def counted(cell: Any, ground: Any, folder: Path) -> dict[str, Any]:
        made.append(cell.name)
        return result(cell.seed)

    monkeypatch.setattr(cells, "made", counted)
    setting = hospitals(utility, columns=("ours", "base"), seeds=2)
    said: list[str] = []

    def go(setting: Any, source: Any = records, **more: Any) -> Any:
        return cells.measure([setting], source, tmp_path, said.append, **({"hours": 1.0} | more))

    first = go(setting)
    assert made == ["smoke/ours-1", "smoke/base-1", "smoke/ours-2"]
    assert len(said) == 3
    assert go(setting).results == first.results
    assert len(made) == 3
    (tmp_path / "smoke" / "ours-2.json").unlink()  # an interruption: the rest goes on
    assert go(setting).results == first.results
    assert made[3:] == ["smoke/ours-2"]
    go(hospitals(utility, "answers.rows=61", columns=("ours", "base"), seeds=2))
    assert made[4:] == ["smoke/ours-1", "smoke/base-1", "smoke/ours-2"]
    go(setting, replace(records, development=False))
    assert len(made) == 10


def test_no_cell_is_begun_after_the_hours(
    utility: Any, records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out has a reason; the next invocation goes on with it."""
    cells = utility.cells
    monkeypatch.setattr(cells, "made", lambda cell, ground, folder: result(cell.seed))
    setting = hospitals(utility, columns=("ours", "base"), seeds=2)
    clock = iter([0.0, 10.0, 3601.0, 3602.0])

    def go(**more: Any) -> Any:
        return cells.measure([setting], records, tmp_path, lambda text: None, hours=1.0, **more)

    found = go(now=lambda: next(clock))
    assert [cell.name for cell in found.results] == ["smoke/ours-1"]
    assert found.reason(setting, "base") == "not measured: the 1 hours were over; run it again"
    assert found.reason(setting, "fedavg") == "not part of the cost plan"
    only = go(only="ours")
    assert [cell.name for cell in only.results] == ["smoke/ours-1", "smoke/ours-2"]
    assert only.reason(setting, "base") == "not measured: another cell was asked for"
    assert len(go().results) == 3


def test_without_mnist_its_cells_say_so(utility: Any, records: Any, tmp_path: Path) -> None:
    """Nothing is made, nothing is guessed."""
    settings = (utility.settings.NOT_PRIVATE,)
    found = utility.cells.measure(settings, records, tmp_path, print, hours=1.0)
    assert found.results == {}
    assert "no MNIST" in found.reason(settings[0], "ours")


def test_cells_of_a_whole_run_are_scored_alike(utility: Any, records: Any, tmp_path: Path) -> None:
    """Ours, the union and the base of one small run: scores, epsilon, bytes, seconds, rows."""
    setting = hospitals(utility, columns=("ours", "union", "alone", "base", "networks", "real"))
    setting = replace(setting, seeds=1, denoising=True)
    found = utility.cells.measure([setting], records, tmp_path, lambda text: None, hours=1.0)
    assert found.reasons == {}
    for column in setting.columns:
        [one] = found.of(setting, column)
        assert 0.0 <= one["auc"]["logistic"] <= 1.0
        assert one["rows"] == 60
        assert one["seconds"]["make"] >= 0.0
        assert one["epsilon"] is None if column == "real" else 0.0 < one["epsilon"] <= 8.0
        assert (one["bytes"] == 0.0) == (column == "alone")
        assert (one["frechet"] is None) == (column == "alone")
    [ours] = found.of(setting, "ours")
    assert [level["noise_level"] for level in ours["denoising"]] == list(utility.score.LEVELS)
    assert all(0.0 < level[k] < 10.0 for level in ours["denoising"] for k in ("network", "base"))


# --- which records ------------------------------------------------------------------------------


def archive(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(count) % 256, np.arange(count) // 256
    np.savez(path, images=images, labels=(np.arange(count) % 10).astype(np.uint8))


def numbered(path: Path) -> list[int]:
    images = np.load(path)["images"].astype(int)
    return sorted((images[:, 0, 0] + 256 * images[:, 0, 1]).tolist())


def test_a_development_split_is_made_of_training_images_alone(utility: Any, tmp_path: Path) -> None:
    """Every training image lies in one of the two parts; the same ones every time."""
    archive(tmp_path / "train.npz", 500)
    parts = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        utility.source.divide(tmp_path / "train.npz", tmp_path / name, held_out=100)
        parts.append([numbered(tmp_path / name / f"{part}.npz") for part in ("train", "test")])
    train, test = parts[0]
    assert parts[0] == parts[1]
    assert (len(train), len(test)) == (400, 100)
    assert sorted(train + test) == list(range(500))
    assert test != list(range(400, 500))


def test_nothing_reads_the_test_part_in_development(
    utility: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a test file that nobody can read a development cell is made, and any other fails."""
    mnist, scratch = tmp_path / "mnist", tmp_path / "scratch"
    mnist.mkdir()
    archive(mnist / "train.npz", 1200)
    (mnist / "test.npz").write_text("not to be read")
    monkeypatch.setattr(utility.source.divide, "__defaults__", (200,))
    setting = utility.settings.pairs(100, 20.0, rows=60, columns=("base", "real"))
    setting = replace(setting, overrides=(*setting.overrides, *FEW))
    for development in (True, False):
        scratch.mkdir(exist_ok=True)
        with utility.source.source(mnist, scratch, development=development) as records:
            ground = utility.ground.Ground(setting, 1, records)
            if not development:
                with pytest.raises(DataError, match=r"test\.npz"):
                    _ = ground.test
                continue
            assert len(ground.test) == 200
            made = utility.columns.COLUMNS["base"].make(ground)
            assert made.tables[0][0].shape == (60, 784)
            folder = records.folder
        assert not folder.exists()


def test_a_federation_of_pairs_fits_a_development_split(utility: Any, tmp_path: Path) -> None:
    """10 x 6,000 becomes 10 x 5,000 there, 10 x 600 stays; and other splits have other keys."""
    for part in ("train", "test"):
        (tmp_path / f"{part}.npz").touch()  # a configuration asks that they be there
    reported = utility.source.Source(tmp_path, tmp_path)
    developed = replace(reported, development=True)
    for size, fits in ((6000, 5000), (600, 600)):
        setting = utility.settings.pairs(size, 1.0, rows=50)
        for source, wanted in ((reported, size), (developed, fits)):
            loaded = setting.load(1, source)
            assert loaded.partition.size == loaded.partition.reference_size == wanted
            assert {silo.reference_size for silo in loaded.silos} == {wanted}
    assert (developed.split(1), reported.split(1)) == ("dev-0", "report-0")


def test_a_plain_setting_differs_in_its_schema_alone(utility: Any, tmp_path: Path) -> None:
    """No canonicaliser, hence three coordinates less; kept results know it."""
    for part in ("train", "test"):
        (tmp_path / f"{part}.npz").touch()
    source, s = utility.source.Source(tmp_path, tmp_path), utility.settings
    plans = [
        utility.ground.Ground(s.pairs(600, 10.0, rows=50, canonical=canonical), 1, source)
        for canonical in (True, False)
    ]
    dimensions = [ground.plan.dimension for ground in plans]
    assert dimensions[0] == dimensions[1] + 3
    cells = [utility.cells.Cell(ground.setting, "ours", 1) for ground in plans]
    bound = [utility.cells.bound_to(*pair) for pair in zip(cells, plans, strict=True)]
    assert bound[0] != bound[1]
    assert str(tmp_path) not in bound[0] + bound[1]
    developed = utility.ground.Ground(plans[0].setting, 1, replace(source, development=True))
    assert utility.cells.bound_to(cells[0], developed) != bound[0]  # of equal settings


def test_every_setting_has_a_budget_that_fits(utility: Any, tmp_path: Path) -> None:
    """No row of the table is refused by the plan; one that is would be null, with that reason."""
    for part in ("train", "test"):
        (tmp_path / f"{part}.npz").touch()
    source = utility.source.Source(tmp_path, tmp_path)
    for setting in (*utility.settings.SETTINGS, *utility.settings.ROUNDS):
        assert utility.ground.Ground(setting, 1, source).plan.fits
    hopeless = hospitals(utility, "privacy.epsilon=0.01", columns=("ours",), seeds=1)
    found = utility.cells.measure([hopeless], source, tmp_path, print, hours=1.0)
    assert found.results == {}
    assert "too small for a silo" in found.reason(hopeless, "ours")


# --- winners and targets ------------------------------------------------------------------------


@pytest.mark.parametrize("best", ["ours", "base", "pooled"])
def test_the_highest_mean_wins_a_row_whoever_it_is(utility: Any, best: str) -> None:
    """Bold in the terminal and in Markdown; real data is higher still and no candidate."""
    setting = utility.settings.WHOLE_MNIST
    scores = {"ours": 0.91, "base": 0.92, "pooled": 0.93, "real": 0.99} | {best: 0.95}
    found = measured(
        utility, {(setting, column): [result(cnn=value)] for column, value in scores.items()}
    )
    assert utility.tables.winner(found, setting, "cnn") == best
    rows = utility.tables.scores(found, [setting])["accuracy, CNN"]
    title = utility.columns.COLUMNS[best].title
    assert rows[0]["winner"] == title
    text = utility.markdown.table(rows)
    assert "**0.95**" in text
    assert text.count("**") == 2
    assert "winner" not in text
    told = utility.tables.wins(found, [setting])
    assert set(told) == ({best} - {"ours"})


def test_a_winner_is_bold_on_the_terminal(benchmark: Any) -> None:
    """One cell alone, and the key that names it is no column."""
    record = benchmark("record")
    figures = record.Figures({}, {"t": [{"setting": "[a]", "x": 0.5, "y": 0.7, "winner": "y"}]})
    console = Console(file=io.StringIO(), record=True, force_terminal=True, width=80)
    record.show(figures, console)
    styled = console.export_text(styles=True)
    assert "\x1b[1m0.7\x1b[0m" in styled
    assert "0.5" in styled
    assert "\x1b[1m0.5" not in styled
    assert "winner" not in styled
    assert "[a]" in styled


def test_the_mean_over_seeds_decides_and_one_column_wins_nothing(utility: Any) -> None:
    """Ours .9 and .8 lose to one .86; alone in its row it has beaten nobody."""
    setting = utility.settings.GAIN
    ours = [result(cnn=0.9), result(cnn=0.8)]
    found = measured(utility, {(setting, "ours"): ours, (setting, "base"): [result(cnn=0.86)]})
    assert utility.tables.winner(found, setting, "cnn") == "base"
    assert (
        utility.tables.winner(measured(utility, {(setting, "ours"): ours}), setting, "cnn") is None
    )
    mean = utility.tables.mean(found, setting, "ours", "cnn")
    assert (mean.value, mean.standard_error) == (pytest.approx(0.85), pytest.approx(0.05))


def test_the_smallest_distance_wins(utility: Any) -> None:
    """A Frechet distance is best where it is least."""
    setting = utility.settings.GAIN
    found = measured(
        utility,
        {(setting, "ours"): [result(frechet=3.0)], (setting, "base"): [result(frechet=2.0)]},
    )
    [row] = utility.tables.distances(found, [setting])
    assert row["winner"] == utility.columns.COLUMNS["base"].title


def test_targets_are_met_missed_or_without_a_value(utility: Any) -> None:
    """Bounds from below and above; every target that nothing was measured for says why."""
    s, t = utility.settings, utility.targets
    empty = t.of_cells(utility.cells.Measured({}, {}))
    assert all(target.value is None and target.reason for target in empty.values())
    assert {target.met for target in empty.values()} == {None}
    levels = [
        {"noise_level": 0.1, "network": 0.5, "base": 1.0},
        {"noise_level": 0.4, "network": 0.9, "base": 1.0},
        {"noise_level": 0.8, "network": 0.99, "base": 1.0},
    ]
    gain = {**result(frechet=1.0, cnn=0.985), "denoising": levels}
    few, many = s.ROUNDS
    found = t.of_cells(
        measured(
            utility,
            {
                (s.GAIN, "ours"): [gain], (s.GAIN, "base"): [result(frechet=2.0)],
                (few, "ours"): [result(cnn=0.95)], (many, "ours"): [result(cnn=0.97)],
                (s.TABLES[0], "ours"): [result(logistic=0.87)],
                (s.TABLES[0], "real"): [result(logistic=0.875)],
                (s.DIGITS[2], "ours"): [result(cnn=0.79)],
            },
        )
    )  # fmt: skip
    met = {name: target.met for name, target in found.items() if target.met is not None}
    assert met == {
        "mnist_6000_epsilon_10_cnn": True,
        "digits_epsilon_1_logistic": False, "digits_epsilon_1_mlp": True,
        "digits_epsilon_1_cnn": False,
        "hospitals_epsilon_10_logistic_behind": True,
        "frechet_ratio": True,
        "denoising_ratio_low_noise": False, "denoising_ratio_high_noise": True,
        "rounds_25_behind_1000": False,
    }  # fmt: skip
    assert found["denoising_ratio_low_noise"].value == pytest.approx(0.9)
    assert found["frechet_ratio"].value == pytest.approx(0.5)


def test_the_results_file_says_what_was_measured_and_nothing_else(
    utility: Any, benchmark: Any, tmp_path: Path
) -> None:
    """Command, commit, machine, seeds, tables, targets; a paragraph for the baseline that wins."""
    setting = utility.settings.WHOLE_MNIST
    found = measured(
        utility, {(setting, "ours"): [result(cnn=0.9)], (setting, "pooled"): [result(cnn=0.95)]}
    )
    figures = utility.benchmark.of_cells(found, (setting,), smoke=False)
    path, pictures = tmp_path / "RESULTS.md", tmp_path / "cells"
    (pictures / "pictures").mkdir(parents=True)
    (pictures / "pictures" / "a-ours.png").write_bytes(b"")
    utility.markdown.write(path, figures, found, (setting,), pictures)
    text = path.read_text(encoding="utf-8")
    for part in ("python -m benchmarks utility --json", "`abc`", "cores", "torch", "**0.95**"):
        assert part in text, part
    assert "### pooled" in text
    assert f"{setting.title}: 0.950 against 0.900 (accuracy of the CNN, mean of 1 and 1)" in text
    assert "Ours wins 0 of 1 rows" in text
    assert "not part of the cost plan" in text
    assert "(cells/pictures/a-ours.png)" in text
    assert "### FedAvg" not in text


# --- marginals and the step ---------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [1.0, 3.0, 10.0])
def test_rho_promises_the_epsilon_that_it_was_made_for(utility: Any, wanted: float) -> None:
    """One Gaussian of that rho costs no more by our accountant; 1.6 times as much rho would."""
    rho = utility.marginals.rho(wanted, 1e-5)

    def upper(rho: float) -> float:
        return epsilon(Gaussian((2.0 * rho) ** -0.5), delta=1e-5, adjacency="add-or-remove").upper

    assert upper(rho) <= wanted < upper(1.6 * rho)


def test_a_table_s_codes_come_back(utility: Any, records: Any) -> None:
    """Categories and missing values exactly, numbers in their own bin; all codes within sizes."""
    ground = utility.ground.Ground(hospitals(utility), 1, records)
    whole = ground.test
    encoder, marginals = ground.plan.encoder, utility.marginals
    table = encoder.frame(whole.x, whole.y)
    codes, sizes = marginals.codes(table, encoder.schema)
    assert (codes >= 0).all()
    assert (codes.max(axis=0) < sizes).all()
    back = marginals.frame(codes, encoder.schema, np.random.default_rng(0))
    again, _ = marginals.codes(back, encoder.schema)
    # Rounding to the column's decimals may leave a bin by half a unit.
    assert np.abs(again - codes).max() <= 1
    assert (again == codes).mean() > 0.9
    x, y = encoder.encode(back)
    assert x.shape == whole.x.shape
    assert np.array_equal(y, whole.y)


def test_an_absent_package_is_not_installed(
    utility: Any, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No interpreter, no package: each is a reason, never a failure; nor have pixels marginals."""
    ground = utility.ground.Ground(hospitals(utility), 1, records)
    monkeypatch.setenv("BENCHMARK_PEERS", "/nowhere/python")
    with pytest.raises(utility.marginals.NotMeasured, match="/nowhere/python: No such file"):
        utility.marginals.mst(ground)
    monkeypatch.setattr(utility.marginals, "interpreter", lambda: "/bin/false")
    with pytest.raises(utility.marginals.NotMeasured, match="mbi: killed"):
        utility.marginals.mst(ground)
    digits = utility.ground.Ground(utility.settings.DIGITS[0], 1, records)
    with pytest.raises(utility.marginals.NotMeasured, match="tables only"):
        utility.marginals.mst(digits)


def test_the_private_step_is_measured_where_its_module_is(
    utility: Any, benchmark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its target and table are taken as they are; without it there is a reason."""
    provided, target = utility.provided, benchmark("record").Target(1.5, 2.0, False, "measured")
    monkeypatch.setattr(provided, "STEP", "benchmarks.utility.nothing")
    absent, table = provided.step(smoke=True)
    assert (absent.value, absent.met, table) == (None, None, [])
    assert "nothing.py is not there" in absent.reason
    module = SimpleNamespace(target=lambda *, smoke: (target, [{"step": "plain"}]))
    monkeypatch.setitem(__import__("sys").modules, "benchmarks.utility.nothing", module)
    assert provided.step(smoke=True) == (target, [{"step": "plain"}])
