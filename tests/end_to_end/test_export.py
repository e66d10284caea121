"""`dpfedsyn export`: rows, claim, card and metadata; nothing that was measured on real records."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from dpfedsyn import config
from dpfedsyn import run as runner
from dpfedsyn.errors import RunError, StatementCorrupt
from dpfedsyn.export import write
from dpfedsyn.marking import find
from dpfedsyn.report.success import percent
from tests.end_to_end.small import SMALL, call, read, small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that was evaluated."""
    folder = tmp_path_factory.mktemp("export") / "run"
    runner.run(config.load("hospitals", [*SMALL, "evaluate.baselines=[]"]), folder)
    return folder


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    """Its folder for others."""
    folder = run.parent / "out"
    write(run, folder, title='Four "hospitals"', licence="cc-by-4.0")
    return folder


def test_rows_and_claim_are_the_run_s(run: Path, exported: Path) -> None:
    """To the byte."""
    for name in ("synthetic.csv", "synthetic-best.csv", "statement.json"):
        assert (exported / name).read_bytes() == (run / name).read_bytes()


def test_nothing_internal_goes_along(run: Path, exported: Path) -> None:
    """Guarantee of dpfedsyn.export.bundle.write: Rows, claim and public settings are all that is in
    it: nothing that was measured on real records, no ledger, no key."""
    assert {path.name for path in exported.iterdir()} == {
        "synthetic.csv", "synthetic-best.csv", "statement.json", "registry.yaml", "README.md",
        "croissant.json",
    }  # fmt: skip
    internal = read(find(run, "results.json"))
    told = (exported / "README.md").read_text() + (exported / "croissant.json").read_text()
    scores = [row["logistic"]["auc"] for row in internal["utility"] if row["logistic"]["auc"]]
    assert scores
    assert not any(f"{score:.3f}" in told for score in scores)


def test_the_card_states_the_claim_as_everywhere(exported: Path) -> None:
    """Upper bound first, with delta, unit and adjacency; for every silo."""
    card = (exported / "README.md").read_text()
    assert card.count("epsilon <= 8.00 (delta 1e-05, unit record, add-or-remove") == 4 + 1
    assert 'pretty_name: "Four \\"hospitals\\""' in card
    assert "license: cc-by-4.0" in card


def test_the_card_says_of_an_attacker_what_the_statement_says(exported: Path) -> None:
    """How sure somebody may become is the statement's posterior, which holds but for delta; that
    of epsilon itself is smaller and does not."""
    card, told = (exported / "README.md").read_text(), read(exported / "statement.json")
    for silo in told["silos"]:
        assert f"is {percent(silo['risk']['posterior_from_even_odds'])} sure about one" in card


def test_the_metadata_name_every_column_and_digest(exported: Path) -> None:
    """A reader finds each field in the file, whose content is what the digest says."""
    metadata = json.loads((exported / "croissant.json").read_text())
    for file, records in zip(metadata["distribution"], metadata["recordSet"], strict=True):
        content = (exported / file["contentUrl"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        header = next(csv.reader(content.decode().splitlines()))
        assert [field["source"]["extract"]["column"] for field in records["field"]] == header
    kinds = {f["name"]: f["dataType"] for f in metadata["recordSet"][0]["field"]}
    assert (kinds["age"], kinds["oldpeak"], kinds["sex"]) == ("sc:Integer", "sc:Float", "sc:Text")


def test_others_readers_take_the_metadata(exported: Path) -> None:
    """MLCommons' own package finds no error, and reads the rows."""
    mlcroissant = pytest.importorskip("mlcroissant")
    found = mlcroissant.Dataset(exported / "croissant.json")
    assert len(list(found.records("synthetic"))) > 0


def test_a_run_without_privacy_is_marked_in_every_name(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.export.bundle.write: The names of files of a run without privacy begin
    with `NON-PRIVATE-`."""
    runner.run(small("train.method='not-private'"), tmp_path / "run")
    write(tmp_path / "run", tmp_path / "out")
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert names
    assert all(name.startswith("NON-PRIVATE-") for name in names)
    card = (tmp_path / "out" / "NON-PRIVATE-README.md").read_text()
    assert "**NON-PRIVATE.**" in card
    assert "not-private" in card


def test_what_cannot_be_exported_is_said(run: Path, tmp_path: Path) -> None:
    """A folder in use, and a run without rows; nothing is written."""
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes").touch()
    with pytest.raises(RunError, match="not empty, so nothing was exported"):
        write(run, tmp_path / "used")
    assert call("export", tmp_path, tmp_path / "new").exit_code == 2
    assert not (tmp_path / "new").exists()
    done = call("export", run, tmp_path / "new")
    assert done.exit_code == 0, done.output
    assert "croissant.json" in done.output


def test_rows_that_the_statement_does_not_name_stay_behind(run: Path, tmp_path: Path) -> None:
    """Whatever lies beside them under a name like theirs: of these nothing is claimed. A folder
    that holds such a file is not what was signed."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    assert call("statement", "key", tmp_path / "key").exit_code == 0
    sign = ("statement", "sign", copy, "--key", tmp_path / "key", "--as", "owner")
    assert call(*sign).exit_code == 0
    write(copy, tmp_path / "first")
    (tmp_path / "first" / "synthetic-raw.csv").write_text("age\n63\n", encoding="utf-8")
    result = call("statement", "verify", tmp_path / "first")
    assert result.exit_code == 4
    assert "no file that the statement names" in " ".join(result.output.split())
    (copy / "synthetic-raw.csv").write_text("age\n63\n", encoding="utf-8")
    with pytest.raises(StatementCorrupt, match="no file that the statement names"):
        write(copy, tmp_path / "second")
    find(copy, "statement.sig.json").unlink()
    names = {path.name for path in write(copy, tmp_path / "third")}
    assert "synthetic-raw.csv" not in names
    assert {"synthetic.csv", "synthetic-best.csv"} <= names
    (copy / "synthetic.csv").write_text("age\n63\n", encoding="utf-8")
    with pytest.raises(StatementCorrupt, match="differs from the rows"):
        write(copy, tmp_path / "fourth")


def test_the_card_says_of_every_file_how_it_was_made(exported: Path) -> None:
    """Rows and preset of each."""
    card = (exported / "README.md").read_text()
    assert "- `synthetic.csv`: 90 rows by preset default, SHA-256" in card
    assert "- `synthetic-best.csv`: 90 rows by preset best, SHA-256" in card
    assert "size_categories:\n- n<1K" in card
