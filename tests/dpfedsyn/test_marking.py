"""The mark NON-PRIVATE: names, captions, content, and who gets it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dpfedsyn import config, marking, resolved
from dpfedsyn.folder import RunFolder, opened, void_of
from dpfedsyn.marking import MARK, caption, every, find, named, plain, void_because
from dpfedsyn.stamp import stamped

VOID = "privacy.unsafe_noise_seed is set: this is a test."


@pytest.mark.parametrize(
    ("overrides", "word"),
    [
        ((), None),
        (("privacy.unsafe_noise_seed=7",), "unsafe_noise_seed"),
        (("train.method=not-private",), "not-private"),
    ],
)
def test_a_run_is_void_by_its_settings_alone(overrides: tuple[str, ...], word: str | None) -> None:
    """A noise seed and a training without noise; the reason names the setting."""
    void = void_because(config.load("hospitals", overrides))
    assert (void is None) == (word is None)
    if word is not None:
        assert word in (void or "")


def test_the_name_carries_the_mark_and_gives_it_back() -> None:
    """State of the program keeps its name; everything else has the mark before it."""
    assert named("report.html", private=True) == "report.html"
    assert named("report.html", private=False) == "NON-PRIVATE-report.html"
    assert plain("NON-PRIVATE-report.html") == plain("report.html") == "report.html"
    assert {named(name, private=False) for name in marking.STATE} == marking.STATE
    assert caption("Utility", private=False) == "NON-PRIVATE: Utility"
    assert caption("Utility", private=True) == "Utility"


def test_a_file_is_found_under_either_name(tmp_path: Path) -> None:
    """The plain path where neither is there; the marked one where both are."""
    assert find(tmp_path, "statement.json") == tmp_path / "statement.json"
    (tmp_path / "statement.json").touch()
    assert find(tmp_path, "statement.json") == tmp_path / "statement.json"
    (tmp_path / "NON-PRIVATE-statement.json").touch()
    assert find(tmp_path, "statement.json") == tmp_path / "NON-PRIVATE-statement.json"


def test_the_main_rows_come_before_those_of_another_pass(tmp_path: Path) -> None:
    """By plain name, whatever the mark; nothing else matches."""
    for name in ("synthetic-best.csv", "synthetic.csv", "synthetic.png", "other.csv"):
        (tmp_path / f"NON-PRIVATE-{name}").touch()
    found = [plain(path.name) for path in every(tmp_path, "synthetic*.csv")]
    assert found == ["synthetic.csv", "synthetic-best.csv"]


def test_what_a_void_run_writes_is_marked_in_name_and_content(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.folder.RunFolder: What is written here and may be handed on is marked
    in such a run: NON-PRIVATE stands before its name, and in its content if that is JSON."""
    folder = RunFolder(tmp_path, VOID)
    folder.write_json("results.json", {"a": 1})
    folder.write_text("registry.yaml", "b: 2\n")
    folder.write_bytes("synthetic.csv", b"c\n3\n")
    folder.state("complete")
    names = {path.name for path in tmp_path.iterdir()}
    marked = {f"{MARK}-{name}" for name in ("results.json", "registry.yaml", "synthetic.csv")}
    assert names == marked | {"state.json"}
    found = json.loads(find(tmp_path, "results.json").read_text())
    assert found == {"marking": f"{MARK}. {VOID}", "a": 1}
    assert json.loads((tmp_path / "state.json").read_text()) == {
        "status": "complete",
        "reason": None,
    }


def test_a_private_run_has_no_mark_anywhere(tmp_path: Path) -> None:
    """Neither in names nor in content."""
    folder = RunFolder(tmp_path)
    folder.write_json("results.json", {"a": 1})
    assert json.loads((tmp_path / "results.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_run_that_was_begun_keeps_its_mark(tmp_path: Path) -> None:
    """Whoever writes into it later learns it from the settings, as does a ledger's reader."""
    void = config.load("hospitals", ["privacy.unsafe_noise_seed=7"])
    (tmp_path / "config.toml").write_text(resolved.dump(resolved.absolute(void)), encoding="utf-8")
    assert "unsafe_noise_seed" in (opened(tmp_path).void or "")
    ledger = tmp_path / "silos" / "cleveland" / "ledger.sqlite"
    assert "unsafe_noise_seed" in (void_of(ledger) or "")
    (tmp_path / "config.toml").write_text(
        resolved.dump(resolved.absolute(config.load("hospitals"))), encoding="utf-8"
    )
    assert opened(tmp_path).void is None
    assert void_of(ledger) is None
    assert void_of(tmp_path / "alone.sqlite") is None


def test_an_archive_keeps_its_arrays_and_gets_one_more() -> None:
    """Without pickle; the same bytes for the same input."""
    file = io.BytesIO()
    np.savez_compressed(file, images=np.arange(8).reshape(2, 2, 2))
    content = stamped(".npz", file.getvalue(), VOID)
    assert content == stamped(".npz", file.getvalue(), VOID)
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        assert str(archive["marking"]) == f"{MARK}. {VOID}"
        assert np.array_equal(archive["images"], np.arange(8).reshape(2, 2, 2))


@pytest.mark.parametrize("size", [(400, 300), (20, 20)])
def test_a_picture_shows_the_mark_above_it(size: tuple[int, int]) -> None:
    """A strip with letters in it, a text chunk, and the picture below untouched, however small."""
    file = io.BytesIO()
    Image.new("L", size, 90).save(file, "PNG")
    found = Image.open(io.BytesIO(stamped(".png", file.getvalue(), VOID)))
    assert found.text["Comment"] == f"{MARK}. {VOID}"  # type: ignore[attr-defined]
    strip = found.height - size[1]
    pixels = np.asarray(found)
    assert strip >= 14
    assert (pixels[strip:, : size[0]] == 90).all()
    assert 0.02 < (pixels[:strip] != 255).any(axis=2).mean() < 0.5


def test_rows_of_a_table_are_left_as_they_are() -> None:
    """A line of words would be read as a row."""
    assert stamped(".csv", b"a\n1\n", VOID) == b"a\n1\n"
