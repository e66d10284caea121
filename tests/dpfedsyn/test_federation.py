"""Setting up silos: a ledger serves one plan, one configuration and one schema, or none at all."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dpfedsyn import config as configuration
from dpfedsyn import plan as planning
from dpfedsyn.device import pick_device
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.errors import LedgerMismatch
from dpfedsyn.federation import federation
from dpfedsyn.folder import RunFolder
from dpfedsyn.progress import Silent
from dpfedsyn.records import read_records
from dpfedsyn.schema import Schema

QUICK = ("train.parts=2", "train.steps=1", "network.hidden=4", "answers.mu=1")


def set_up(folder: Path, source: str, *overrides: str) -> None:
    """Open (or create) every silo's ledger under this configuration, and close it again."""
    config = configuration.load(source, [*QUICK, *overrides])
    encoder = TableEncoder(Schema.load(config.path(config.data.schema)))
    plan, records = planning.make(config), read_records(config, encoder).silos
    with federation(plan, encoder, records, RunFolder(folder), pick_device(config), Silent()):
        pass


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("privacy.unsafe_noise_seed=7", "answers.mu=1"),
        ("data.test_fraction=0.33", "data.test_fraction=0.8"),
        ("privacy.overlap=2", "privacy.overlap=1"),
        ("privacy.delta=1e-5", "privacy.delta=1e-4"),
        ("answers.clip=5.0", "answers.clip=4.0"),
    ],
)
def test_a_ledger_opened_for_another_configuration_is_refused(
    before: str, after: str, tmp_path: Path
) -> None:
    """Guarantee of dpfedsyn.silo_ledger.open_ledger: A ledger serves one plan, one configuration
    and one schema: what a claim depends on cannot be edited between a run and its resumption."""
    set_up(tmp_path, "answers-only", before)
    set_up(tmp_path, "answers-only", before)
    with pytest.raises(LedgerMismatch, match="opened for another plan"):
        set_up(tmp_path, "answers-only", after)


def test_a_ledger_opened_for_another_schema_is_refused(tmp_path: Path) -> None:
    """Other bounds encode the same record differently: the file's path alone says nothing."""
    shutil.copytree(Path(configuration.__file__).parent / "examples", tmp_path / "examples")
    source = tmp_path / "examples" / "answers-only" / "config.toml"
    schema = tmp_path / "examples" / "hospitals" / "schema.toml"
    set_up(tmp_path / "run", str(source))
    text = schema.read_text(encoding="utf-8")
    schema.write_text(text.replace("bounds = [20, 90]", "bounds = [20, 95]"), encoding="utf-8")
    with pytest.raises(LedgerMismatch, match="opened for another plan"):
        set_up(tmp_path / "run", str(source))


def _no_ledger(silo: Path) -> None:
    (silo / "ledger.sqlite").unlink()
    (silo.parent.parent / "checkpoint").mkdir()


def _no_key(silo: Path) -> None:
    (silo / "key").unlink()


@pytest.mark.parametrize(
    ("lose", "words"), [(_no_ledger, "counts as exhausted"), (_no_key, "Put the key back")]
)
def test_what_a_begun_run_has_lost_is_not_made_anew(
    lose: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    """A new ledger would have a whole budget again, a new key would not fit the old ledger."""
    set_up(tmp_path, "answers-only")
    lose(tmp_path / "silos" / "va")
    with pytest.raises(LedgerMismatch, match=words):
        set_up(tmp_path, "answers-only")


def test_a_secret_that_a_kill_left_half_stored_is_removed(tmp_path: Path) -> None:
    """The key beside the ledger is whole; nothing else of it stays on the disk."""
    set_up(tmp_path, "answers-only")
    left = tmp_path / "silos" / "va" / "key.part"
    left.write_bytes(b"half")
    set_up(tmp_path, "answers-only")
    assert not left.exists()
