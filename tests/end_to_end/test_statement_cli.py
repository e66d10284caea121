"""`dpfedsyn statement`: from a run to a signed export that a board can check."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from dpfedsyn import config
from dpfedsyn import run as runner
from dpfedsyn.marking import find
from tests.dpfedsyn.test_statement_registry import SCHEMA
from tests.end_to_end.small import SMALL, call, read, small


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that was not evaluated."""
    folder = tmp_path_factory.mktemp("statement") / "run"
    runner.run(config.load("hospitals", [*SMALL, "evaluate.enabled=false"]), folder)
    return folder


@pytest.fixture(scope="module")
def public(run: Path) -> str:
    """The key of an owner who has signed it, told to the board."""
    made = call("statement", "key", run.parent / "owner.key")
    assert made.exit_code == 0, made.output
    signed = call(
        "statement", "sign", run, "--key", run.parent / "owner.key", "--as", "the board's"
    )
    assert signed.exit_code == 0, signed.output
    assert signed.output.strip() == made.output.strip()
    return str(made.output.strip())


def test_the_run_folder_holds_a_record_that_validates(run: Path) -> None:
    """registry.yaml, of an example that says nothing of its curator."""
    record = yaml.safe_load(find(run, "registry.yaml").read_text(encoding="utf-8"))
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    validator = jsonschema.Draft7Validator(SCHEMA, format_checker=checker)
    assert [error.message for error in validator.iter_errors(record)] == []


def test_the_statement_names_every_file_of_rows(run: Path) -> None:
    """Both passes, with rounds taken."""
    files = read(find(run, "statement.json"))["release"]["files"]
    assert [(file["name"], file["steps"], file["rows"]) for file in files] == [
        ("synthetic.csv", 6, 90), ("synthetic-best.csv", 25, 90),
    ]  # fmt: skip


def test_a_board_verifies_an_export(run: Path, public: str, tmp_path: Path) -> None:
    """The claim and the signer are printed; a changed cell is told by its file's name."""
    assert call("export", run, tmp_path / "out").exit_code == 0
    done = call("statement", "verify", tmp_path / "out", "--key", public)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("cleveland: epsilon <= 8.00 (delta 1e-05, unit record, add-or-")
    assert "Signed by the board's" in done.output
    rows = (tmp_path / "out" / "synthetic-best.csv").read_bytes()
    (tmp_path / "out" / "synthetic-best.csv").write_bytes(rows.replace(b"1", b"2", 1))
    spoilt = call("statement", "verify", tmp_path / "out", "--key", public)
    assert spoilt.exit_code == 4
    assert "synthetic-best.csv: differs from the rows" in spoilt.output.replace("\n", " ")


def test_a_silo_signs_with_the_key_of_its_ledger(run: Path, public: str) -> None:
    """Under its own name; the same public key signs its heads."""
    signed = call("statement", "sign", run, "--key", run / "silos" / "va" / "key")
    assert signed.exit_code == 0, signed.output
    heads = call("ledger", "sign", run / "silos" / "va" / "ledger.sqlite")
    assert signed.output.strip() in heads.output
    done = call("statement", "verify", run, "--key", signed.output.strip())
    assert done.exit_code == 0, done.output
    assert "Signed by va" in done.output


def test_a_name_of_its_own_lets_no_silo_sign_another_run(run: Path, tmp_path: Path) -> None:
    """--as says who signs, not that the ledger need not be looked at."""
    copied = tmp_path / "copy"
    copied.mkdir()
    told = read(run / "statement.json")
    for silo in told["silos"]:
        silo["ledger_head"] = "f" * 64
    (copied / "statement.json").write_text(json.dumps(told), encoding="utf-8")
    key = run / "silos" / "va" / "key"
    done = call("statement", "sign", copied, "--key", key, "--as", "va")
    assert done.exit_code == 4
    assert "va did not sign" in done.output.replace("\n", " ")
    assert not (copied / "statement.sig.json").exists()


def test_a_signed_run_that_changed_is_not_exported(run: Path, public: str, tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.export.bundle.write: ... A signature goes along only where it still is
    of these bytes."""
    path = run / "statement.json"
    before = path.read_bytes()
    try:
        path.write_bytes(before.replace(b'"complete"', b'"partial"', 1))
        done = call("export", run, tmp_path / "out")
    finally:
        path.write_bytes(before)
    assert done.exit_code == 4
    assert "statement.json: differs from what was signed" in done.output.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_a_void_run_is_signed_as_void(tmp_path: Path) -> None:
    """In the run folder and in its marked export."""
    runner.run(small(), tmp_path / "run")
    call("statement", "key", tmp_path / "k")
    assert call("statement", "sign", tmp_path / "run", "--key", tmp_path / "k").exit_code == 0
    assert not find(tmp_path / "run", "registry.yaml").exists()
    assert call("export", tmp_path / "run", tmp_path / "out").exit_code == 0
    assert all(path.name.startswith("NON-PRIVATE-") for path in (tmp_path / "out").iterdir())
    for folder in (tmp_path / "run", tmp_path / "out"):
        done = call("statement", "verify", folder)
        assert done.exit_code == 0, done.output
        assert done.output.startswith("VOID: ")


def test_words_may_be_found_after_the_rows(tmp_path: Path) -> None:
    """A finished run is resumed with other words: no charge, the same rows, another statement."""
    source = config.load("hospitals", [*SMALL, "evaluate.enabled=false", "answers.best_share=0"])
    runner.run(source, tmp_path / "run")
    before = read(find(tmp_path / "run", "statement.json"))
    done = call(
        "run", "--out", tmp_path / "run", "--resume", "--set", 'statement.curator="St. Ann"'
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    after = read(find(tmp_path / "run", "statement.json"))
    assert after["publication"]["curator"] == "St. Ann"
    assert after["silos"] == before["silos"]
    assert after["release"] == before["release"]


def test_mistakes_are_said(run: Path, tmp_path: Path) -> None:
    """A key that is there already, one that others may read, a folder without a statement."""
    (tmp_path / "k").write_bytes(b"x" * 32)
    assert "no key was made" in call("statement", "key", tmp_path / "k").output
    (tmp_path / "k").chmod(0o644)
    assert call("statement", "sign", run, "--key", tmp_path / "k").exit_code == 4
    assert call("statement", "verify", tmp_path).exit_code == 2
    assert call("statement", "verify", run, "--key", "abc").exit_code == 4
