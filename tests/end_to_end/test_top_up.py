"""`dpfedsyn sample`: further rows of a run that has ended, by its silos, under the run's caps."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from accountants.ledger import Ledger
from dpfedsyn import checkpoint, topping_up, topups
from dpfedsyn.distill import released_run
from dpfedsyn.errors import RunError
from dpfedsyn.marking import find
from tests.end_to_end.small import (
    REPEATABLE,
    SILOS,
    SMALL,
    call,
    ledger,
    lines,
    python,
    read,
    rows,
    sets,
)

PLANNED = 6 + 25  # rounds of both passes
TINY = ("answers.rows=24", "train.steps=4", "network.hidden=8", "best.levels=4")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run by its path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def spent(folder: Path) -> dict[str, tuple[float, float]]:
    """What every silo's answers have spent, and their cap, as the statement says."""
    silos = read(find(folder, "statement.json"))["silos"]
    budgets = {silo["name"]: silo["budget"]["answers_mu2"] for silo in silos}
    return {name: (budget["spent"], budget["cap"]) for name, budget in budgets.items()}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that keeps its promises; no test may change it."""
    folder = tmp_path_factory.mktemp("ended") / "run"
    small = (*SMALL, "evaluate.enabled=false")
    assert call("run", "--out", folder, *sets(small)).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def repeatable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose noise anybody can repeat; no test may change it."""
    folder = tmp_path_factory.mktemp("repeatable") / "run"
    assert call("run", "--out", folder, *sets((*REPEATABLE, *TINY))).exit_code == 0
    return folder


@pytest.fixture
def run(ended: Path, tmp_path: Path) -> Path:
    """Return a copy of the run."""
    return Path(shutil.copytree(ended, tmp_path / "run"))


def test_two_top_ups_share_the_reserve_and_every_check_holds(run: Path) -> None:
    """Guarantee of dpfedsyn.topping_up.here: No ledger's cap is exceeded, whatever is asked: the
    epsilon that was claimed stays, ledgers verify, the audit finds nothing, rows are there and
    stated, and what is left shrinks by what was charged."""
    before, models = read(run / "statement.json"), contents(run / "silos")
    first = call("sample", run, "--rows", 12)
    assert first.exit_code == 0, first.output
    second = call("sample", run, "--rows", 20, "--preset", "best", "--noise", 2)
    assert second.exit_code == 0, second.output
    after = read(run / "statement.json")
    assert [silo["epsilon"] for silo in after["silos"]] == [s["epsilon"] for s in before["silos"]]
    assert after["rounds"] == before["rounds"]
    told = [(one["rows"], one["preset"], one["status"]) for one in after["top_ups"]]
    assert told == [(12, "default", "complete"), (20, "best", "complete")]
    files = {file["name"]: file for file in after["release"]["files"]}
    assert list(files) == [
        "synthetic.csv", "synthetic-best.csv", "synthetic-more-1.csv", "synthetic-more-2.csv",
    ]  # fmt: skip
    for name, asked in (("synthetic-more-1.csv", 12), ("synthetic-more-2.csv", 20)):
        assert len((run / name).read_text(encoding="utf-8").splitlines()) == 1 + asked
        assert files[name]["rows"] == asked
    for silo, (charged, cap) in spent(run).items():
        planned = 6000.0**2
        more = planned * (0.8 * 12 / 90 + 0.2 * 20 / 90 / 4)
        assert charged == pytest.approx(planned + more, rel=1e-6)
        assert charged <= cap == pytest.approx(1.2 * planned)
        for file in ("key", "model.safetensors"):
            own = f"{silo}/{file}"
            assert contents(run / "silos")[own] == models[own]
    assert call("ledger", "verify", *(ledger(run, silo) for silo in SILOS)).exit_code == 0
    audited = call("audit", run)
    assert audited.exit_code == 0, audited.output
    assert "CONSISTENT: no check found" in audited.output
    assert "more-1 6, more-2 25" in " ".join(audited.output.split())
    stands = call("status", run).output
    assert f"rounds: {PLANNED} of {PLANNED}" in stands
    assert "rounds of top-ups after it: 31" in stands
    numbers = {record["pass"]: record["of"] for record in lines(run / "rounds.jsonl")}
    assert numbers == {"default": 6, "best": 25, "more-1": 6, "more-2": 25}


def test_the_audit_sees_a_top_up_that_was_charged_too_little(run: Path) -> None:
    """The rows that top-ups.json names are judged like those of the run: were they more than were
    paid for, the audit would say so."""
    assert call("sample", run, "--rows", 12).exit_code == 0
    (one,) = topups.read(run)
    text = (run / topups.FILE).read_text(encoding="utf-8")
    (run / topups.FILE).write_text(text.replace('"rows": 12', '"rows": 48', 1), encoding="utf-8")
    audited = call("audit", run)
    assert audited.exit_code == 5
    assert "charges of rounds" in audited.output
    assert one.rows == 12
    (run / topups.FILE).unlink()
    lost = call("audit", run)
    assert lost.exit_code == 2
    assert "rounds of more-1, which neither" in " ".join(lost.output.split())


def test_beyond_the_reserve_nothing_is_asked_charged_or_written(run: Path) -> None:
    """Exit code 3, what would fit, and the folder as it was, byte by byte; with that it works."""
    before = contents(run)
    result = call("sample", run, "--rows", 500)
    assert result.exit_code == 3, result.output
    flat = " ".join(result.output.split())
    assert "500 rows by preset 'default' would cost" in flat
    assert "Nothing was asked, charged or released" in flat
    assert "22 rows fit, or 500 rows fit with --noise" in flat
    assert contents(run) == before
    assert call("sample", run, "--rows", 23).exit_code == 3
    assert call("sample", run, "--rows", 22).exit_code == 0
    assert call("sample", run, "--rows", 1).exit_code == 3


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 2),
        (("--rows", 0), 2),
        (("--rows", 5, "--resume"), 2),
        (("--rows", 5, "--preset", "bset"), 2),
        (("--rows", 5, "--noise", 0), 2),
        (("--resume",), 2),
        (("--rows", 5, "--silo", "va=/nowhere"), 2),
        (("--rows", 10_000_001), 2),
        (("--rows", "1" + 400 * "0"), 2),
    ],
)
def test_bad_input_changes_nothing(options: tuple[Any, ...], code: int, run: Path) -> None:
    """Options that mean nothing, and silos that are in the folder asked for elsewhere."""
    before = contents(run)
    result = call("sample", run, *options)
    assert result.exit_code == code, result.output
    assert contents(run) == before


def test_only_a_run_that_has_ended_can_be_topped_up(run: Path, tmp_path: Path) -> None:
    """What its own rounds will cost is not in the ledgers before."""
    assert call("sample", tmp_path / "none", "--rows", 5).exit_code == 2
    (run / "state.json").write_text('{"status": "running", "reason": null}', encoding="utf-8")
    result = call("sample", run, "--rows", 5)
    assert result.exit_code == 2
    assert "this run has not ended" in " ".join(result.output.split())


def test_a_resumed_run_keeps_its_top_ups_in_the_statement(run: Path) -> None:
    """`run --resume` writes the statement again, the same but for the moment's audit."""
    assert call("sample", run, "--rows", 5).exit_code == 0
    before = read(run / "statement.json")
    assert call("run", "--out", run, "--resume").exit_code == 0
    assert read(run / "statement.json") == before


@pytest.mark.parametrize("damage", ["gone", "{}", "half"])
def test_without_its_statement_nothing_is_asked(damage: str, run: Path) -> None:
    """It is read before a round is charged, not after."""
    path = run / "statement.json"
    told = read(path)
    if damage == "gone":
        path.unlink()
    else:
        del told["settings"]
        path.write_text(damage if damage == "{}" else json.dumps(told), encoding="utf-8")
    before = contents(run)
    result = call("sample", run, "--rows", 5)
    assert result.exit_code == 2, result.output
    assert "statement is missing or damaged" in " ".join(result.output.split())
    assert contents(run) == before


def test_a_lost_list_of_top_ups_is_not_begun_anew(run: Path) -> None:
    """The second one would take the first one's checkpoint for its own, and ask nothing."""
    assert call("sample", run, "--rows", 3).exit_code == 0
    (run / topups.FILE).unlink()
    before = contents(run)
    result = call("sample", run, "--rows", 7)
    assert result.exit_code == 2, result.output
    assert "does not know more-1, whose rounds were asked" in " ".join(result.output.split())
    assert contents(run) == before


def test_two_processes_never_top_up_one_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second, `run --resume` too, is refused before anything is read or asked."""
    take, seen = topping_up.take, []

    def meanwhile(*given: Any, **named: Any) -> Any:
        before = contents(run)
        for command in (("sample", run, "--rows", 7), ("run", "--out", run, "--resume")):
            seen.append(call(*command))
        assert contents(run) == before
        return take(*given, **named)

    monkeypatch.setattr(topping_up, "take", meanwhile)
    assert call("sample", run, "--rows", 3).exit_code == 0
    assert [result.exit_code for result in seen] == [2, 2]
    assert all("another process is at this run" in " ".join(r.output.split()) for r in seen)
    assert [one.rows for one in topups.read(run)] == [3]
    assert call("audit", run).exit_code == 0


def test_a_top_up_that_a_silo_s_cap_ends_early_is_partial(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 6, said in statement, report and list: the ledger refuses whoever asks for more
    than was looked for, and no row of it is learnt from."""
    monkeypatch.setattr(topups, "require_room", lambda *_: None)
    result = call("sample", run, "--rows", 60)
    assert result.exit_code == 6, result.output
    (one,) = topups.read(run)
    assert (one.status, one.taken < 6) == ("partial", True)
    assert one.reason
    (told,) = read(run / "statement.json")["top_ups"]
    assert (told["status"], told["reason"]) == ("partial", one.reason)
    page = " ".join((run / "report.html").read_text(encoding="utf-8").split())
    assert "Rows that were asked for after the run" in page
    for silo, (charged, cap) in spent(run).items():
        assert charged <= cap, silo
    assert call("audit", run).exit_code == 0
    assert list(released_run.read(run).sources) == ["synthetic.csv"]


def test_a_signed_run_says_that_it_has_to_be_signed_again(run: Path, tmp_path: Path) -> None:
    """What was signed does not name the new rows; and a statement that somebody edited is not
    repeated beside distilled rows."""
    assert call("statement", "key", tmp_path / "key").exit_code == 0
    sign = ("statement", "sign", run, "--key", tmp_path / "key", "--as", "owner")
    assert call(*sign).exit_code == 0
    result = call("sample", run, "--rows", 3)
    assert result.exit_code == 0, result.output
    assert "have it signed again" in " ".join(result.output.split())
    assert call("statement", "verify", run).exit_code == 4
    assert call("distill", run, "--rows", 5).exit_code == 4
    assert call(*sign).exit_code == 0
    assert call("distill", run, "--rows", 5).exit_code == 0
    told = read(run / "statement.json")
    told["silos"][0]["epsilon"]["upper"] = 0.5
    (run / "statement.json").write_text(json.dumps(told), encoding="utf-8")
    assert call("distill", run, "--rows", 5).exit_code == 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rows", "3"), ("rows", -3), ("rows", True), ("preset", "bset"), ("noise", 0),
        ("status", "done"), ("taken", -1), ("number", 2), ("files", ["a.csv"]),
    ],
)  # fmt: skip
def test_a_damaged_list_of_top_ups_is_refused(field: str, value: Any, tmp_path: Path) -> None:
    """Whatever stands in it that no top-up wrote."""
    one = {"number": 1, "rows": 3, "preset": "best", "noise": 1.0, "status": "complete",
           "reason": None, "taken": 4, "files": []}  # fmt: skip
    path = tmp_path / topups.FILE
    path.write_text(json.dumps({"top_ups": [one]}), encoding="utf-8")
    assert topups.read(tmp_path)[0].rows == 3
    path.write_text(json.dumps({"top_ups": [{**one, field: value}]}), encoding="utf-8")
    with pytest.raises(RunError, match="is damaged"):
        topups.read(tmp_path)


def interrupted(
    run: Path, monkeypatch: pytest.MonkeyPatch, moment: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Top up until the moment, at which this process is told to end."""
    with monkeypatch.context() as patch:
        moment(patch)
        result = call("sample", run, "--rows", 4)
    assert result.exit_code == 130, result.output
    assert "sample" in result.output
    assert "--resume" in result.output


def at_checkpoint(number: int) -> Callable[[pytest.MonkeyPatch], None]:
    """After all silos were charged for a round, before the server has kept it."""
    save = checkpoint.save

    def saved(path: Path, arrays: Any) -> None:
        if path.name == "more-1.safetensors" and int(arrays["round_number"]) == number:
            raise KeyboardInterrupt
        save(path, arrays)

    return lambda patch: patch.setattr(checkpoint, "save", saved)


def at_charge(number: int) -> Callable[[pytest.MonkeyPatch], None]:
    """After a silo was charged, before its answer has left it."""
    commit, seen = Ledger.commit, []

    def committed(self: Ledger, *args: Any, **kwargs: Any) -> Any:
        charge = commit(self, *args, **kwargs)
        seen.append(charge)
        if len(seen) == number:
            raise KeyboardInterrupt
        return charge

    return lambda patch: patch.setattr(Ledger, "commit", committed)


@pytest.mark.parametrize(
    "moment", [at_checkpoint(1), at_checkpoint(6), at_charge(1), at_charge(10)]
)
def test_an_interrupted_top_up_goes_on_at_no_further_cost(
    moment: Callable[[pytest.MonkeyPatch], None],
    repeatable: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same rows and the same charges as one that nobody interrupted; no other is begun
    meanwhile."""
    whole = Path(shutil.copytree(repeatable, tmp_path / "whole"))
    assert call("sample", whole, "--rows", 4).exit_code == 0
    run = Path(shutil.copytree(repeatable, tmp_path / "run"))
    interrupted(run, monkeypatch, moment)
    other = call("sample", run, "--rows", 4)
    assert other.exit_code == 2
    assert "has not ended" in " ".join(other.output.split())
    assert call("sample", run, "--resume").exit_code == 0
    assert rows(run) == rows(whole)
    for name in ("synthetic-more-1.csv", "statement.json", "top-ups.json", "federation.json"):
        mine, other_one = (find(folder, name).read_bytes() for folder in (run, whole))
        assert mine == other_one, name
    assert call("sample", run, "--resume").exit_code == 2


KILLED = """
import sys
from pathlib import Path
from dpfedsyn import topping_up
from tests.end_to_end.killed import Countdown, arm

arm("after a charge", Countdown(int(sys.argv[2])))
topping_up.here(Path(sys.argv[1]), topping_up.Wanted(4))
"""


def test_kill_9_between_charge_and_release_loses_no_charge(
    repeatable: Path, tmp_path: Path
) -> None:
    """What was charged is there when it goes on, its rows too, and nothing is charged twice."""
    run = Path(shutil.copytree(repeatable, tmp_path / "run"))
    before = rows(run)
    killed = python("-c", KILLED, str(run), "7", cwd=Path(__file__).parents[2])
    assert killed.returncode == -9, killed.stderr
    after = rows(run)
    charged = sum(len(after[silo]) - len(before[silo]) for silo in SILOS)
    assert 7 <= charged < 7 + len(SILOS)  # silos answer at the same time
    assert all(after[silo][: len(before[silo])] == before[silo] for silo in SILOS)
    assert call("ledger", "verify", *(ledger(run, silo) for silo in SILOS)).exit_code == 0
    assert call("sample", run, "--resume").exit_code == 0
    assert all(len(own) - len(before[silo]) == 6 for silo, own in rows(run).items())
    assert call("audit", run).exit_code == 0


def test_an_ensemble_has_what_its_planned_rounds_left(tmp_path: Path) -> None:
    """Its epsilon is the cap, so fewer planned rounds leave rows; the claim is at the cap."""
    small = sets(("train.steps=5", "network.hidden=8", "answers.mu=0.7", "evaluate.enabled=false"))
    run = tmp_path / "run"
    assert call("run", "answers-only", "--out", run, *small).exit_code == 0
    before = read(run / "statement.json")
    assert call("sample", run, "--rows", 8).exit_code == 3
    result = call("sample", run, "--rows", 2)
    assert result.exit_code == 0, result.output
    after = read(run / "statement.json")
    assert [silo["epsilon"] for silo in after["silos"]] == [s["epsilon"] for s in before["silos"]]
    assert call("audit", run).exit_code == 0
