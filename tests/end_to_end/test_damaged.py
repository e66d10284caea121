"""A damaged or foreign ledger: exit code 4, and nothing is charged, released or overwritten."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from accountants.ledger import Ledger
from accountants.verification import verify
from dpfedsyn import config, keys
from dpfedsyn import run as runner
from dpfedsyn.marking import find
from dpfedsyn.progress import Silent
from tests.end_to_end.small import SILOS, SMALL, call, ledger, small


class StopEarly(Silent):
    """Presses Ctrl-C after the second round."""

    def round(self, record: dict[str, object]) -> None:
        """Count rounds by their numbers."""
        if record["round"] == 2:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was interrupted after two rounds."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(KeyboardInterrupt):
        runner.run(small(), folder, progress=StopEarly())
    return folder


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """Return a copy that may be damaged."""
    shutil.copytree(stopped, tmp_path / "run")
    return tmp_path / "run"


def _execute(statement: str) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        with sqlite3.connect(file) as connection:
            assert connection.execute(statement).rowcount == 1
        connection.close()

    return damage


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _other_key(file: Path) -> None:
    shutil.copyfile(file.parents[1] / "hungarian" / "key", file.with_name("key"))


DAMAGE = {
    "cheaper": (_execute("UPDATE charges SET mu2 = mu2 / 2 WHERE seq = 6"), "row 6"),
    "fewer steps": (_execute("UPDATE charges SET uses = 1 WHERE seq = 3"), "row 3"),
    "row gone": (_execute("DELETE FROM charges WHERE seq = 4"), "row 4"),
    "higher cap": (
        _execute("""UPDATE header SET text = replace(text, '"answers_cap":', '"answers_cap":9')"""),
        "header",
    ),
    "other reply": (_execute("UPDATE replies SET bytes = x'00' WHERE seq = 7"), "row 7"),
    "cut file": (_cut, "ledger"),
    "another silo's key": (_other_key, "key"),
    "no key": (lambda file: file.with_name("key").unlink(), "key"),
    "no text of SQLite": (lambda file: file.write_bytes(b"not a ledger"), "ledger"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_ledger_is_found_and_the_run_does_not_go_on(damage: str, run: Path) -> None:
    """`ledger verify` and `run --resume` both leave with 4 and say where; the rest stays whole."""
    change, named = DAMAGE[damage]
    file = ledger(run, "va")
    change(file)
    others = {silo: ledger(run, silo).read_bytes() for silo in SILOS if silo != "va"}
    verified = call("ledger", "verify", *(ledger(run, silo) for silo in SILOS))
    assert verified.exit_code == 4, verified.output
    assert named in verified.output
    assert str(file.parent) in verified.output
    if damage != "no key":  # a silo without a key is asked for it below
        resumed = call("run", "--out", run, "--resume")
        assert resumed.exit_code == 4, resumed.output
        assert named in resumed.output
    assert not find(run, "synthetic.csv").exists()
    assert {silo: ledger(run, silo).read_bytes() for silo in others} == others


def test_a_lost_key_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    """Without its key a ledger cannot be continued: exit code 4, and no other key is made."""
    folder = tmp_path / "run"
    secret = config.load("hospitals", [*SMALL, "evaluate.enabled=false"])
    with pytest.raises(KeyboardInterrupt):
        runner.run(secret, folder, progress=StopEarly())
    key = ledger(folder, "va").with_name("key")
    key.unlink()
    resumed = call("run", "--out", folder, "--resume")
    assert resumed.exit_code == 4, resumed.output
    assert not key.exists()


def test_a_lost_ledger_is_not_begun_again(run: Path) -> None:
    """A key without its ledger means that what was spent is forgotten: the run must not go on."""
    ledger(run, "va").unlink()
    resumed = call("run", "--out", run, "--resume")
    assert resumed.exit_code == 4, resumed.output
    assert not ledger(run, "va").exists()


def test_two_processes_cannot_use_one_ledger(run: Path) -> None:
    """A ledger that is held answers with 4, not with a second charge."""
    file = ledger(run, "cleveland")
    with Ledger.open(file, key=keys.load(file.parent / "key").chain):
        resumed = call("run", "--out", run, "--resume")
    assert resumed.exit_code == 4
    assert "another process" in resumed.output
    assert call("run", "--out", run, "--resume").exit_code == 0


def test_an_older_copy_of_a_ledger_is_not_taken_for_the_present_one(run: Path) -> None:
    """Its anchor knows a newer row; away from its run, a head that was exported earlier does."""
    file = ledger(run, "va")
    whole = file.read_bytes()
    head = verify(file, key=keys.load(file.parent / "key").chain).head
    assert call("ledger", "verify", file, "--expected-head", head).exit_code == 0
    for statement in ("DELETE FROM replies WHERE seq = 7", "DELETE FROM charges WHERE seq = 7"):
        _execute(statement)(file)
    for arguments in (("ledger", "verify", file), ("run", "--out", run, "--resume")):
        refused = call(*arguments)
        assert refused.exit_code == 4, refused.output
        assert "an older copy was put back" in " ".join(refused.output.split())
    away = run.parent / "away"
    shutil.copytree(file.parent, away)
    unseen = call("ledger", "verify", away / "ledger.sqlite")
    assert unseen.exit_code == 0
    assert "rows cut off the end cannot be seen" in " ".join(unseen.output.split())
    known = call("ledger", "verify", away / "ledger.sqlite", "--expected-head", head)
    assert known.exit_code == 4
    file.write_bytes(whole)
    assert call("ledger", "verify", file).exit_code == 0


@pytest.mark.parametrize("lost", ["va", None])
def test_a_lost_anchor_is_not_made_anew(lost: str | None, run: Path) -> None:
    """One silo's anchor, or all: what was spent cannot be told, so the run does not go on."""
    kept = [path for path in (run / "anchors").iterdir() if path.name.startswith(lost or "")]
    assert len(kept) == (1 if lost else len(SILOS))
    for path in kept:
        path.unlink()
    for arguments in (("ledger", "verify", ledger(run, "va")), ("run", "--out", run, "--resume")):
        refused = call(*arguments)
        assert refused.exit_code == 4, refused.output
        assert "anchor cannot be read" in " ".join(refused.output.split())
    assert not (run / "anchors" / kept[0].name).exists()


def test_anchors_on_another_disk_see_a_whole_run_put_back(tmp_path: Path) -> None:
    """The folder of the run is restored from a copy, the anchors elsewhere are not: refused."""
    run, elsewhere = tmp_path / "run", tmp_path / "disk" / "anchors"
    settings = small(f"privacy.anchors={elsewhere}")
    with pytest.raises(KeyboardInterrupt):
        runner.run(settings, run, progress=StopEarly())
    shutil.copytree(run, tmp_path / "copy")
    assert len(list(elsewhere.iterdir())) == len(SILOS)
    assert not (run / "anchors").exists()
    assert call("run", "--out", run, "--resume").exit_code == 0
    shutil.rmtree(run)
    shutil.copytree(tmp_path / "copy", run)
    for arguments in (("ledger", "verify", ledger(run, "va")), ("run", "--out", run, "--resume")):
        refused = call(*arguments)
        assert refused.exit_code == 4, refused.output
        assert "an older copy was put back" in " ".join(refused.output.split())
