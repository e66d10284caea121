"""Distilled rows: made of a run's released rows alone, like them, as many as are asked for."""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpfedsyn import config as configuration
from dpfedsyn import domain, resolved
from dpfedsyn.distill import distil, released_run
from dpfedsyn.distill.smoothed import SmoothedRows, bandwidth
from dpfedsyn.domain import Encoder
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import ConfigError, RunError, StatementCorrupt
from dpfedsyn.marking import MARK
from tests.dpfedsyn import statements
from tests.end_to_end.small import call

ROWS = 120
NOT_PRIVATE = "train.method='not-private'"


@cache
def released_rows(example: str, seed: int = 0) -> dict[str, bytes]:
    """Rows as a run writes them, by suffix: two clouds, one for each of two labels."""
    encoder = encoder_of(example)
    rng = np.random.Generator(np.random.Philox(seed))
    y = np.arange(ROWS, dtype=np.int64) % 2
    x = 0.5 * rng.standard_normal((ROWS, encoder.dimension)) + 0.4 * (2 * y[:, None] - 1)
    return dict(encoder.decode(x.astype(np.float32), y).files)


@cache
def encoder_of(example: str) -> Encoder:
    return domain.encoder_of(configuration.load(example))


def entry(name: str, content: bytes, made_by: str = "default") -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"name": name, "sha256": digest, "bytes": len(content), "rows": ROWS,
            "made_by": made_by, "sampler": "ula", "steps": 3}  # fmt: skip


def a_run(folder: Path, example: str = "hospitals", *overrides: str) -> Path:
    """A run folder that holds configuration, statement and rows, and nothing else at all."""
    folder.mkdir(parents=True)
    config = configuration.load(example, overrides)
    text = resolved.dump(resolved.absolute(config))
    (folder / "config.toml").write_text(text, encoding="utf-8")
    told = statements.of("complete" if NOT_PRIVATE not in overrides else "void without noise")
    told["settings"]["schema"] = domain.encoder_of(config).digest
    mark = "" if told["void"] is None else f"{MARK}-"
    told["release"]["files"] = []
    for suffix, content in released_rows(example).items():
        (folder / f"{mark}synthetic{suffix}").write_bytes(content)
        if suffix != ".png":
            told["release"]["files"].append(entry(f"{mark}synthetic{suffix}", content))
    (folder / f"{mark}statement.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


# --- the sampler ---------------------------------------------------------------------------------


def held(rows: int = 400, labels: int = 3, seed: int = 3) -> SmoothedRows:
    """A sampler of correlated rows, whose labels differ in mean and width."""
    rng = np.random.Generator(np.random.Philox(seed))
    y = rng.integers(0, labels, rows)
    mixing = rng.standard_normal((4, 4))
    x = rng.standard_normal((rows, 4)) @ mixing * (1.0 + y[:, None]) + y[:, None]
    return SmoothedRows(x.astype(np.float32), y.astype(np.int64))


def drawn(
    sampler: SmoothedRows, rows: int, seed: int = 5
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.Generator(np.random.Philox(seed))
    (places,) = sampler.places(rows, rng, rows)
    return sampler.draw(places, rng)


def test_means_and_covariances_of_labels_stay() -> None:
    """Guarantee of dpfedsyn.distill.smoothed.SmoothedRows.draw: A function of the rows that the
    sampler holds and of fresh draws. Shrinking towards the mean makes room for the noise: without
    it covariances would be 1 + h^2 times as large (here 1.4 times; the tolerance is 4 standard
    errors of 100,000 draws, seed fixed)."""
    sampler = held()
    x, y = drawn(sampler, 100_000)
    for label in range(3):
        own, new = sampler.x[sampler.y == label], x[y == label]
        scale = np.sqrt(np.diag(np.cov(own.T)))
        error = 4.0 / np.sqrt(len(new))
        assert np.abs((new.mean(axis=0) - own.mean(axis=0)) / scale).max() < error
        wanted = np.cov(own.T, bias=True) / np.outer(scale, scale)
        found = np.cov(new.T, bias=True) / np.outer(scale, scale)
        assert np.abs(found - wanted).max() < 2.0 * error
        assert bandwidth(*own.shape) ** 2 > 0.1


@given(
    rows=st.integers(1, 500), n=st.integers(1, 60), at_once=st.integers(1, 90), seed=st.integers(0)
)
def test_every_row_is_drawn_near_as_often_as_any_other(
    rows: int, n: int, at_once: int, seed: int
) -> None:
    """But for one; so labels keep their shares, in however many pieces."""
    sampler = held(n, 2)
    pieces = list(sampler.places(rows, np.random.Generator(np.random.Philox(seed)), at_once))
    assert [len(piece) for piece in pieces[:-1]] == [at_once] * (len(pieces) - 1)
    places = np.concatenate(pieces)
    times = np.bincount(places, minlength=n)
    assert len(places) == rows
    assert times.max() - times.min() <= 1


def test_new_rows_are_no_copies() -> None:
    """But of a label that has one row: nothing says how wide it is."""
    sampler = held()
    x, _ = drawn(sampler, 1000)
    nearest = np.abs(x[:, None, :] - sampler.x[None, :, :]).max(axis=2).min(axis=1)
    assert nearest.min() > 0.0
    alone = SmoothedRows(np.ones((1, 4), np.float32), np.zeros(1, np.int64))
    assert np.array_equal(drawn(alone, 5)[0], np.ones((5, 4)))


# --- files ---------------------------------------------------------------------------------------


def test_rows_of_a_table_pass_the_schema_and_are_stated(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.distill.writing.distil: Post-processing: of the run nothing is read but
    its released rows, its statement, its configuration and its schema: a folder that holds nothing
    else is enough. The claim is the run's, digests are those of the files."""
    run = a_run(tmp_path / "run")
    done = distil(run, 250, None, seed=4)
    assert [path.name for path in (*done.files, done.statement)] == [
        "distilled-1.csv", "distilled-1.json",
    ]  # fmt: skip
    encoder = encoder_of("hospitals")
    assert isinstance(encoder, TableEncoder)
    records = TableEncoder(encoder.schema.of_synthetic).read(done.files[0])
    assert len(records) == 250
    assert np.abs(np.bincount(records.y) - 125).max() <= 5  # 2 of each row, and 10 of them more
    told = json.loads(done.statement.read_text(encoding="utf-8"))
    statement = json.loads((run / "statement.json").read_text(encoding="utf-8"))
    assert told["silos"][0]["epsilon"] == statement["silos"][0]["epsilon"]
    assert told["silos"][0]["adjacency"] == "add-or-remove"
    for key in ("across_silos", "overlap", "void"):
        assert told[key] == statement[key]
    assert all("delta_with_noise" in silo for silo in told["silos"])
    assert told["made_from"] == statement["release"]["files"]
    content = done.files[0].read_bytes()
    assert told["file"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert (told["seed"], told["private"]) == (4, True)
    assert "post-processing" in told["what"]
    assert told["adds"].startswith("No information")


def test_images_are_an_archive_and_a_picture(tmp_path: Path) -> None:
    """Of the run's own size and labels."""
    run = a_run(tmp_path / "run", "digits")
    done = distil(run, 30, None, seed=4)
    assert [path.suffix for path in done.files] == [".npz", ".png"]
    records = encoder_of("digits").read(done.files[0])
    assert len(records) == 30
    assert set(records.y.tolist()) == {0, 1}


def test_equal_seeds_give_equal_files_and_others_do_not(tmp_path: Path) -> None:
    """Also where rows are written in several pieces, and from a sampler that was kept."""
    run = a_run(tmp_path / "run")
    contents = []
    for number, seed in enumerate((7, 7, 8)):
        (file,) = distil(run, 200, tmp_path / f"{number}.csv", seed=seed).files
        contents.append(file.read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_pieces_are_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One header, all rows, whatever fits into memory at once."""
    run = a_run(tmp_path / "run")
    monkeypatch.setattr("dpfedsyn.distill.writing.AT_ONCE", 7)
    (file,) = distil(run, 30, None, seed=7).files
    text = file.read_text(encoding="utf-8").splitlines()
    assert len(text) == 31
    assert text.count(text[0]) == 1


def topped_up(run: Path, content: bytes, **more: Any) -> None:
    """Let the run's statement name a top-up's rows."""
    (run / "synthetic-more-1.csv").write_bytes(content)
    told = json.loads((run / "statement.json").read_text(encoding="utf-8"))
    told["release"]["files"].append(entry("synthetic-more-1.csv", content, "more-1"))
    one = {"number": 1, "preset": "default", "noise": 1.0, "status": "complete"}
    told["top_ups"] = [{**one, **more}]
    (run / "statement.json").write_text(json.dumps(told), encoding="utf-8")


def test_rows_of_top_ups_are_learnt_from_as_well(tmp_path: Path) -> None:
    """Those of the run's own preset and noise."""
    run = a_run(tmp_path / "run")
    topped_up(run, released_rows("hospitals", 1)[".csv"])
    found = released_run.read(run)
    assert list(found.sources) == ["synthetic.csv", "synthetic-more-1.csv"]
    assert len(found.rows().y) == 2 * ROWS


@pytest.mark.parametrize("more", [{"preset": "best"}, {"noise": 2.0}, {"status": "partial"}])
def test_rows_of_another_quality_are_not_learnt_from(more: dict[str, Any], tmp_path: Path) -> None:
    """Another preset, more noise, or a pass that did not come to its end."""
    run = a_run(tmp_path / "run")
    topped_up(run, b"", **more)
    assert list(released_run.read(run).sources) == ["synthetic.csv"]


def test_the_schema_must_be_the_run_s(tmp_path: Path) -> None:
    """Other bounds would make other rows of the same numbers."""
    run = a_run(tmp_path / "run")
    config = configuration.load("hospitals")
    text = config.path(config.data.schema).read_text(encoding="utf-8")
    assert "bounds = [20, 90]" in text
    (tmp_path / "schema.toml").write_text(text.replace("[20, 90]", "[50, 60]"), encoding="utf-8")
    own = (run / "config.toml").read_text(encoding="utf-8")
    moved = own.replace(str(config.path(config.data.schema)), str(tmp_path / "schema.toml"))
    (run / "config.toml").write_text(moved, encoding="utf-8")
    with pytest.raises(RunError, match="is no longer the schema of this run"):
        distil(run, 10, None, seed=1)


def test_two_at_once_never_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second to a name writes nothing there, and leaves nothing behind."""
    run, out = a_run(tmp_path / "run"), tmp_path / "a.csv"
    draw = SmoothedRows.draw

    def meanwhile(self: SmoothedRows, *given: Any) -> Any:
        monkeypatch.setattr(SmoothedRows, "draw", draw)
        distil(run, 20, out, seed=2)
        return draw(self, *given)

    monkeypatch.setattr(SmoothedRows, "draw", meanwhile)
    with pytest.raises(RunError, match="is there already"):
        distil(run, 10, out, seed=1)
    assert len(out.read_text(encoding="utf-8").splitlines()) == 21
    told = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["file"]["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert {path.name for path in tmp_path.iterdir()} == {"run", "a.csv", "a.json"}


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_fails_half_way_leaves_nothing(
    failure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No piece of a file, and the cause in words."""
    run = a_run(tmp_path / "run")
    before, draw, seen = set(run.iterdir()), SmoothedRows.draw, []

    def fails(self: SmoothedRows, *given: Any) -> Any:
        seen.append(1)
        if len(seen) == 3:
            raise failure
        return draw(self, *given)

    monkeypatch.setattr(SmoothedRows, "draw", fails)
    monkeypatch.setattr("dpfedsyn.distill.writing.AT_ONCE", 7)
    with pytest.raises((KeyboardInterrupt, RunError)) as found:
        distil(run, 30, None, seed=1)
    assert isinstance(found.value, KeyboardInterrupt) or "No space left" in str(found.value)
    assert set(run.iterdir()) == before


def test_a_picture_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    """Every file that would be written is looked for first."""
    run = a_run(tmp_path / "run", "digits")
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(RunError, match=r"a\.png: is there already"):
        distil(run, 10, tmp_path / "a.npz", seed=1)
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize(
    ("example", "rows"), [("hospitals", 10**9 + 1), ("digits", 250_001), ("hospitals", 10**400)]
)
def test_too_many_rows_are_refused_at_once(example: str, rows: int, tmp_path: Path) -> None:
    """With the most that one file may have."""
    with pytest.raises(
        ConfigError, match=r"nothing was drawn. Give at least 1, and at most \d+ at"
    ):
        distil(a_run(tmp_path / "run", example), rows, None, seed=1)


def test_rows_that_were_not_released_are_not_learnt_from(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.distill.released_run.ReleasedRun.rows: Only files whose content is the
    statement's, to the byte: records of a silo under the same name would be no post-processing."""
    run = a_run(tmp_path / "run")
    (run / "synthetic.csv").write_bytes(released_rows("hospitals", 2)[".csv"])
    with pytest.raises(StatementCorrupt, match="differs from the rows"):
        distil(run, 10, None, seed=1)
    (run / "synthetic.csv").unlink()
    with pytest.raises(StatementCorrupt, match="is missing"):
        distil(run, 10, None, seed=1)
    assert list(run.glob("distil*")) == []


@pytest.mark.parametrize("key", ["void", "silos", "across_silos", "settings", "top_ups"])
def test_half_a_statement_is_damage(key: str, tmp_path: Path) -> None:
    """What the rows' own statement would repeat has to be there."""
    run = a_run(tmp_path / "run")
    told = json.loads((run / "statement.json").read_text(encoding="utf-8"))
    del told[key]
    (run / "statement.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(RunError, match="statement is damaged"):
        distil(run, 10, None, seed=1)


@pytest.mark.parametrize("example", ["hospitals", "digits"])
def test_a_run_without_privacy_has_marked_files(example: str, tmp_path: Path) -> None:
    """All that is written of it, wherever it goes, and the statement from within."""
    run = a_run(tmp_path / "run", example, NOT_PRIVATE)
    before = set(run.iterdir())
    own = distil(run, 10, None, seed=1)
    elsewhere = distil(run, 10, tmp_path / f"more{own.files[0].suffix}", seed=1)
    new = (set(run.iterdir()) - before) | set(elsewhere.files) | {elsewhere.statement}
    assert len(new) >= 4
    assert all(path.name.startswith(f"{MARK}-") for path in new)
    told = json.loads(own.statement.read_text(encoding="utf-8"))
    assert told["marking"].startswith(MARK)
    assert [silo["epsilon"] for silo in told["silos"]] == [None] * len(told["silos"])
    if example == "digits":
        with np.load(own.files[0], allow_pickle=False) as archive:
            assert str(archive["marking"]).startswith(MARK)


def test_nothing_is_overwritten_and_no_other_ending_taken(tmp_path: Path) -> None:
    """One line each, and nothing drawn."""
    run, out = a_run(tmp_path / "run"), tmp_path / "a.csv"
    distil(run, 10, out, seed=1)
    with pytest.raises(RunError, match="is there already"):
        distil(run, 10, out, seed=1)
    with pytest.raises(ConfigError, match=r"ends in \.csv"):
        distil(run, 10, tmp_path / "a.npz", seed=1)
    with pytest.raises(RunError, match="is no folder"):
        distil(run, 10, tmp_path / "no" / "a.csv", seed=1)
    with pytest.raises(ConfigError, match="--rows 0"):
        distil(run, 0, None, seed=1)
    assert [path.name for path in distil(run, 10, None, seed=1).files] == ["distilled-1.csv"]
    assert [path.name for path in distil(run, 10, None, seed=1).files] == ["distilled-2.csv"]


def test_without_a_statement_there_is_nothing_to_distil(tmp_path: Path) -> None:
    """No run, a damaged statement, and a run whose pass has no rows."""
    with pytest.raises(RunError, match="holds no statement"):
        released_run.read(tmp_path)
    run = a_run(tmp_path / "run")
    told = json.loads((run / "statement.json").read_text(encoding="utf-8"))
    told["release"]["files"][0]["made_by"] = "best"
    (run / "statement.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(RunError, match="has no rows by preset 'default'"):
        released_run.read(run)
    (run / "statement.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RunError, match="statement is damaged"):
        released_run.read(run)


def test_the_command_prints_the_seed_and_the_claim(tmp_path: Path) -> None:
    """A fresh seed each time; the claim with its terms, upper bound first."""
    run, seeds = a_run(tmp_path / "run"), set()
    for number in (1, 2):
        result = call("distill", run, "--rows", 5)
        assert result.exit_code == 0, result.output
        flat = " ".join(result.output.split())
        assert f"distilled-{number}.csv" in flat.replace(" ", "")
        assert "epsilon <= 8.00 (delta 1e-05, unit record, add-or-remove" in flat
        seeds.add(flat.split("seed ")[1].split(":")[0])
    assert len(seeds) == 2
    assert call("distill", tmp_path, "--rows", 5).exit_code == 2
    assert call("distill", run, "--rows", 0).exit_code == 2
