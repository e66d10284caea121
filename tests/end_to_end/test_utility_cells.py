"""The cells of the benchmark `utility`: kept, resumed, and made of the records they should be."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpfedsyn.errors import DataError
from tests.end_to_end.cells import FEW, hospitals, result


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
    assert set(whole[1].columns) == columns - {"network"}
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
    assert found.reason(setting, "base") == utility.cells.LATE
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
    setting = replace(setting, seeds=1)
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
    setting = utility.settings.pairs(100, 20.0, rows=60, columns=("gaussians", "real"))
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
            made = utility.columns.COLUMNS["gaussians"].make(ground)
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
