"""The table of the benchmark `utility`: winners, targets, RESULTS.md, and columns of others."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from accountants import Gaussian, epsilon
from tests.end_to_end.cells import hospitals, measured, result


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
    gain = {**result(frechet=1.0), "denoising": levels}
    few, many = s.ROUNDS
    found = t.of_cells(
        measured(
            utility,
            {
                (s.GAIN, "ours"): [result(cnn=0.985)], (s.GAIN, "network"): [gain],
                (s.GAIN, "base"): [result(frechet=2.0)],
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
    for part in (
        "python -m benchmarks utility --json",
        "`abc`",
        "cores",
        "torch",
        "mbi 2.0.0",
        "**0.95**",
    ):
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
    monkeypatch.setenv("BENCHMARK_PEERS", "/bin/false")
    with pytest.raises(utility.marginals.NotMeasured, match="mbi: killed"):
        utility.marginals.mst(ground)
    digits = utility.ground.Ground(utility.settings.DIGITS[0], 1, records)
    with pytest.raises(utility.marginals.NotMeasured, match="tables only"):
        utility.marginals.mst(digits)
