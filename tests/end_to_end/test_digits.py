"""Runs on images: private, without privacy, and without labels; what is refused."""

import json
import re
import shutil
import sqlite3
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from dpfedsyn import checkpoint
from dpfedsyn.marking import find
from tests.end_to_end.small import call, read, sets

QUICK = (
    "answers.rows=150",
    "train.steps=4",
    "train.block=2",
    "train.draws=2",
    "network.hidden=16",
    "sampler.levels=3",
    "sampler.steps_per_level=1",
)
BLIND = (*QUICK, "evaluate.enabled=false")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whole run of the digits, small, with everything it leaves."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    result = call("run", "digits", "--out", folder, *sets(QUICK))
    assert result.exit_code == 0, result.output
    return folder


def test_the_images_are_written_as_an_archive_and_shown_as_a_grid(run: Path) -> None:
    """150 images of whole pixel values with labels, per pass; the page embeds both grids."""
    for name in ("synthetic.npz", "synthetic-best.npz"):
        with np.load(run / name, allow_pickle=False) as archive:
            assert archive["images"].shape == (150, 8, 8)
            assert archive["images"].dtype == np.uint8
            assert archive["images"].max() <= 16
            assert np.bincount(archive["labels"], minlength=10).min() > 0
    page = find(run, "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,', page)) == 2
    assert not find(run, "synthetic.csv").exists()


def test_the_partition_is_recorded_and_gives_every_image_to_one_silo(run: Path) -> None:
    """1,797 owners among four silos, the same in the next run."""
    owner = (checkpoint.load(run / "partition.safetensors") or {})["owner"]
    assert owner.shape == (1797,)
    assert set(owner.tolist()) == {0, 1, 2, 3}


def test_every_metric_is_in_the_results_and_on_the_page(run: Path) -> None:
    """Three classifiers, groups, fidelity in a named space, memorisation, traffic, shares."""
    results, page = (
        read(find(run, "results.json")),
        find(run, "report.html").read_text(encoding="utf-8"),
    )
    ours = results["utility"][0]
    assert {"logistic", "mlp", "cnn"} <= set(ours)
    assert ours["kind"] == "ours"
    kinds = {group["kind"].strip() for group in results["groups"]}
    assert kinds == {"label", "silo"}
    small = [group for group in results["groups"] if group["small"]]
    assert all(group["rows"] < 30 for group in small)
    assert "not Inception" in results["features"]["space"]
    real = next(r for r in results["features"]["rows"] if r["name"].startswith("pooled real"))
    assert real["frechet"] < results["features"]["rows"][0]["frechet"]
    assert real["coverage"] > 0.8
    assert 0 <= results["memorisation"]["default"]["share"] <= 1
    federation = read(find(run, "federation.json"))
    assert sum(federation["shares"].values()) == pytest.approx(1.0)
    # 3 rounds of 150 rows, 50 numbers and an energy each, 4 bytes a number.
    assert federation["traffic"]["default"]["silo-0"]["answers"] == 3 * 150 * 51 * 4
    for heading in ("Utility by group", "Fidelity and diversity", "Memorisation", "Who took part"):
        assert heading in page


def test_every_baseline_is_in_the_results_and_on_the_page(run: Path) -> None:
    """What a federation could have done instead, trained or not, in both tables."""
    results, page = (
        read(find(run, "results.json")),
        find(run, "report.html").read_text(encoding="utf-8"),
    )
    names = [row["name"] for row in results["utility"]]
    assert names == [row["name"] for row in results["features"]["rows"]]
    silos = [f"silo-{k} alone: its" for k in range(4)]
    for wanted in (
        *(f"{silo} real records" for silo in silos),
        *(f"{silo} own generator" for silo in silos),
        "union of local generators", "union of private bases (no network)",
        "private class Gaussians", "FedAvg of DP-SGD DDPMs", "pooled training, same epsilon",
        "the literal paper", "pooled real records (no privacy)",
    ):  # fmt: skip
        assert names.count(wanted) == 1
        assert page.count(f'<th scope="row">{wanted}</th>') >= 2
    assert {row["kind"] for row in results["utility"]} == {
        "ours", "private baseline", "baseline without privacy",
    }  # fmt: skip
    assert not (run / "baselines").exists()


def test_the_statement_claims_what_was_asked_for(run: Path) -> None:
    """Epsilon 10 per silo from the ledgers: counts released; means, moments and DP-SGD inside."""
    for silo in read(find(run, "statement.json"))["silos"]:
        assert silo["epsilon"]["upper"] <= 10.0
        assert silo["charged"]["R"] == ["counts"]
        assert silo["charged"]["A"] == ["dp-sgd", "means", "moments"]


def test_a_run_without_privacy_says_so_everywhere(tmp_path: Path) -> None:
    """No epsilon is claimed, the statement is void, terminal and page are marked."""
    settings = (*BLIND, 'train.method="not-private"')
    result = call("run", "digits", "--out", tmp_path / "run", *sets(settings))
    assert result.exit_code == 0, result.output
    statement = read(find(tmp_path / "run", "statement.json"))
    assert statement["private"] is False
    assert "NOT private" in statement["void"]
    assert all(silo["epsilon"] is None for silo in statement["silos"])
    assert statement["across_silos"] is None
    assert "NON-PRIVATE" in result.output
    assert "NON-PRIVATE" in find(tmp_path / "run", "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_without_privacy_is_compared_with_non_private_twins(tmp_path: Path) -> None:
    """No epsilon anywhere in the tables of baselines; what was not asked for is said."""
    settings = (*QUICK, 'train.method="not-private"', "answers.best_share=0.0",
                'evaluate.baselines=["pooled"]')  # fmt: skip
    result = call("run", "digits", "--out", tmp_path / "run", *sets(settings))
    assert result.exit_code == 0, result.output
    results = read(find(tmp_path / "run", "results.json"))
    kinds = {row["name"]: row["kind"] for row in results["utility"]}
    for name in ("private class Gaussians", "pooled training, same epsilon"):
        assert kinds[f"{name}, non-private twin"] == "baseline without privacy"
    assert set(kinds.values()) == {"ours", "baseline without privacy"}
    assert results["claims"] == {}
    page = find(tmp_path / "run", "report.html").read_text(encoding="utf-8")
    for text in (page, " ".join(result.output.split())):
        assert "FedAvg of DP-SGD DDPMs, non-private twin" in text
        assert "it was not asked for: set evaluate.baselines" in text


def test_images_can_be_generated_without_labels(tmp_path: Path) -> None:
    """One count per silo, images without an array of labels; tables refuse and say why."""
    settings = (
        *QUICK, "data.conditional=false", "answers.best_share=0.0", "evaluate.baselines=[]",
    )  # fmt: skip
    result = call("run", "digits", "--out", tmp_path / "run", *sets(settings))
    assert result.exit_code == 0, result.output
    with np.load(find(tmp_path / "run", "synthetic.npz"), allow_pickle=False) as archive:
        assert archive.files == ["images"]
    assert read(find(tmp_path / "run", "results.json"))["utility"] == []
    refused = call("run", "hospitals", "--out", tmp_path / "r", "--set", "data.conditional=false")
    assert refused.exit_code == 2
    assert "generated per label" in " ".join(refused.output.split())


def copied(folder: Path) -> Path:
    """Copy the example, so that its files can be broken."""
    shutil.copytree(str(files("dpfedsyn") / "examples" / "digits"), folder)
    return folder


def rewritten(example: Path, **arrays: np.ndarray) -> None:
    with np.load(example / "digits.npz") as archive:
        whole = {name: archive[name] for name in archive.files}
    np.savez_compressed(example / "digits.npz", **{**whole, **arrays})


def mixed(example: Path) -> None:
    images = np.empty(2, dtype=object)
    images[:] = [np.zeros((8, 8)), np.zeros((9, 9))]
    np.savez(example / "digits.npz", images=images, labels=np.zeros(2), allow_pickle=True)


def too_bright(example: Path) -> None:
    images = np.zeros((3, 8, 8), dtype=np.int64)
    images[1, 2, 3] = 300
    np.savez(example / "digits.npz", images=images, labels=np.zeros(3, dtype=np.int64))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (mixed, ("digits.npz", "mixed sizes", "bring all images to one size")),
        (too_bright, ("digits.npz: image 1", "300", "from 0 to 16", "`largest`")),
        (
            lambda example: np.savez(
                example / "digits.npz", images=np.zeros((2, 9, 9)), labels=np.zeros(2)
            ),
            ("(2, 9, 9)", "8 x 8", "correct height and width"),
        ),
        (lambda example: (example / "digits.npz").unlink(), ("data.path", "is missing")),
        (
            lambda example: (example / "digits.npz").write_bytes(b"no archive"),
            ("not a sound NPZ archive", "numpy.savez_compressed"),
        ),
    ],
)
def test_a_broken_archive_is_named_with_its_mend(broken, words, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Nothing is charged and no folder is made before every image was checked."""
    example = copied(tmp_path / "example")
    broken(example)
    result = call("run", example / "config.toml", "--out", tmp_path / "out", *sets(BLIND))
    assert result.exit_code == 2, result.output
    flat = " ".join(result.output.split())
    for word in words:
        assert word in flat, (word, flat)
    assert not (tmp_path / "out").exists()


def test_a_label_that_a_silo_lacks_is_no_fault(tmp_path: Path) -> None:
    """Shards leave silos without most labels; they abstain there and the run completes."""
    settings = (*BLIND, 'partition.kind="shards"', "partition.shards=2", "answers.best_share=0.0")
    result = call("run", "digits", "--out", tmp_path / "run", *sets(settings))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("partition.kind=rings",), ("partition.kind", "column | dirichlet | shards")),
        (("partition.size=9000",), ("36000, the file has 1797", "lower partition.size")),
        (
            ('partition.kind="column"', 'partition.names=["0","1"]', 'partition.column="colour"'),
            ("partition.column = 'colour'", "it has label"),
        ),
        (("partition.alpha=0",), ("partition.alpha", "allowed is")),
    ],
)
def test_a_partition_that_cannot_be_made_is_refused(
    overrides: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    """Unknown kinds, too few images, a column that is not there."""
    result = call("run", "digits", "--out", tmp_path / "out", *sets((*BLIND, *overrides)))
    assert result.exit_code == 2, result.output
    flat = " ".join(result.output.split())
    for word in words:
        assert word in flat, (word, flat)
    assert not (tmp_path / "out").exists()


def test_silos_by_column_hold_what_their_value_says(tmp_path: Path) -> None:
    """Partition by label: each named label is a silo of its own; other images are nobody's."""
    settings = (
        *BLIND, 'partition.kind="column"', 'partition.names=["3","5"]',
        'partition.column="label"', "answers.best_share=0.0", "data.conditional=false",
    )  # fmt: skip
    result = call("run", "digits", "--out", tmp_path / "run", *sets(settings))
    assert result.exit_code == 0, result.output
    owner = (checkpoint.load(tmp_path / "run" / "partition.safetensors") or {})["owner"]
    with np.load(str(files("dpfedsyn") / "examples" / "digits" / "digits.npz")) as archive:
        labels = archive["labels"]
    assert np.array_equal(owner == 0, labels == 3)
    assert np.array_equal(owner == 1, labels == 5)
    plan = json.loads(find(tmp_path / "run", "plan.json").read_text())
    assert [silo["name"] for silo in plan["silos"]] == ["3", "5"]


def test_a_run_completes_without_silos_that_leave_and_says_who_was_missing(tmp_path: Path) -> None:
    """One silo misses two rounds and returns, one is lost: counted in file, log and page."""
    away = (
        'participation.away=["silo-1 2-3", "silo-2 5-"]', "participation.patience=2",
        "sampler.levels=8", "sampler.step=anchored", "sampler.energy=path",
    )  # fmt: skip
    settings = (*BLIND, *away, "preset=best")
    result = call("run", "digits", "--out", tmp_path / "run", *sets(settings))
    assert result.exit_code == 0, result.output
    assert "without silo-1" in result.output
    found = read(find(tmp_path / "run", "federation.json"))
    counts = found["participation"]["best"]
    assert counts["silo-0"] == {"rounds": 8, "asked": 8, "answered": 8}
    assert counts["silo-1"] == {"rounds": 8, "asked": 8, "answered": 6}
    assert counts["silo-2"] == {"rounds": 8, "asked": 7, "answered": 4}
    assert found["moved"]["best"]["handed_over"] > 0
    sent = found["traffic"]["best"]
    assert sent["silo-2"]["rounds"] == 4
    page = find(tmp_path / "run", "report.html").read_text(encoding="utf-8")
    assert "Rounds of each silo" in page
    assert "rows went to other silos" in " ".join(page.split())


def test_a_quorum_that_is_never_met_stops_cleanly_and_charges_no_round_twice(
    tmp_path: Path,
) -> None:
    """Exit 1 with the mend; resumed, the round costs nothing more; a smaller quorum lets it end."""
    settings = (*BLIND, "participation.quorum=0.9", 'participation.away=["silo-1 2-"]')
    stopped = call("run", "digits", "--out", tmp_path / "run", *sets(settings))
    assert stopped.exit_code == 1, stopped.output
    flat = " ".join(stopped.output.split())
    for word in ("silo-1: no answer in round 2", "3 of 4 silos", "needs 4", "--resume"):
        assert word in flat
    ledgers = sorted((tmp_path / "run" / "silos").glob("*/ledger.sqlite"))
    before = [answers(path) for path in ledgers]
    assert before == [2, 1, 2, 2]
    resumed = call("run", "--out", tmp_path / "run", "--resume")
    assert resumed.exit_code == 1, resumed.output
    assert [answers(path) for path in ledgers] == before
    assert call("ledger", "verify", *ledgers).exit_code == 0
    smaller = ("--set", "participation.quorum=0.7", "--set", "answers.best_share=0.1")
    refused = call("run", "--out", tmp_path / "run", "--resume", *smaller)
    assert refused.exit_code == 2, refused.output
    finished = call("run", "--out", tmp_path / "run", "--resume", *smaller[:2])
    assert finished.exit_code == 0, finished.output
    assert read(tmp_path / "run" / "state.json")["status"] == "complete"


def answers(ledger: Path) -> int:
    """Count the answers that a ledger has charged, read past the program."""
    connection = sqlite3.connect(ledger)
    (count,) = connection.execute("SELECT count(*) FROM charges WHERE kind = 'answer'").fetchone()
    connection.close()
    return int(count)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ('participation.away=["silo-9 1-2"]', ("'silo-9 1-2'", "one of silo-0, silo-1")),
        ("participation.quorum=1.5", ("participation.quorum", "allowed is (0, 1]")),
        ("participation.patience=-1", ("participation.patience", "allowed is")),
    ],
)
def test_participation_that_makes_no_sense_is_refused(
    override: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """Before anything is read or charged."""
    result = call("run", "digits", "--out", tmp_path / "out", *sets((*BLIND, override)))
    assert result.exit_code == 2, result.output
    flat = " ".join(result.output.split())
    for word in words:
        assert word in flat, (word, flat)
    assert not (tmp_path / "out").exists()


def test_a_run_with_the_unet_trains_and_answers(tmp_path: Path) -> None:
    """By configuration alone: DP-SGD moves its last layer, the server gets images."""
    folder = tmp_path / "run"
    unet = ("network.kind=unet", "network.channels=8", "answers.rows=60", "train.draws=1")
    result = call("run", "digits", "--out", folder, *sets((*BLIND, *unet)))
    assert result.exit_code == 0, result.output
    for silo in range(4):
        path = folder / "silos" / f"silo-{silo}" / "model.safetensors"
        saved = checkpoint.load(path) or {}
        assert saved["average/coarse.second.weight"].shape == (16, 16, 3, 3)
        assert saved["average/output.weight"].any()
        numbers = sum(a.size for name, a in saved.items() if name.startswith("average/"))
    with np.load(find(folder, "synthetic.npz"), allow_pickle=False) as archive:
        assert archive["images"].shape == (60, 8, 8)
    traffic = read(find(folder, "federation.json"))["traffic"]["default"]["silo-0"]
    assert traffic["upload"] == 4 * numbers


@pytest.mark.slow
def test_every_silo_may_have_an_archive_of_its_own(tmp_path: Path) -> None:
    """Two archives, no partition: each silo trains on its own images; a public test file beside."""
    example = copied(tmp_path / "example")
    with np.load(example / "digits.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    parts = {"north": slice(0, 700), "south": slice(700, 1500), "test": slice(1500, None)}
    for name, part in parts.items():
        np.savez_compressed(example / f"{name}.npz", images=images[part], labels=labels[part])
    config = (example / "config.toml").read_text(encoding="utf-8")
    before, _, rest = config.partition("[partition]")
    after = rest[rest.index("[privacy]") :]
    silos = "".join(
        f'[[silos]]\nname = "{name}"\npath = "{name}.npz"\nreference_size = 700\n\n'
        for name in ("north", "south")
    )
    before = before.replace('path = "digits.npz"', 'test = "test.npz"')
    (example / "own.toml").write_text(before + silos + after, encoding="utf-8")
    settings = (*QUICK, "evaluate.baselines=[]", "answers.best_share=0.0")
    result = call("run", example / "own.toml", "--out", tmp_path / "run", *sets(settings))
    assert result.exit_code == 0, result.output
    results = read(find(tmp_path / "run", "results.json"))
    assert (results["train_rows"], results["test_rows"]) == (1500, 297)
    assert not (tmp_path / "run" / "partition.safetensors").exists()
