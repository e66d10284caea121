"""Top-ups over a transport: silos that are processes answer them like the rounds before."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn import folder as folders
from dpfedsyn import run as runner
from dpfedsyn import topping_up, topups
from dpfedsyn.daemon.resident import Resident
from dpfedsyn.errors import BudgetExhausted, ConfigError, ProtocolMismatch, RunError
from dpfedsyn.marking import find
from dpfedsyn.topup_start import Wanted
from tests.dpfedsyn.test_remote import (
    NAMES,
    ROUNDS,
    LostError,
    Wire,
    answers,
    assert_same_claims,
    charges,
    leaving,
    never,
    read,
    residents,
    stated,
    take,
    tiny,
    wire,
)

PLANNED = 24  # rows of the run
RESERVE = "answers.reserve=1"


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the homes of two silos and the server's folder of their run."""
    folder = tmp_path_factory.mktemp("ended")
    with residents(tiny(RESERVE), folder / "homes") as silos:
        assert take(wire(silos), folder / "run", tiny(RESERVE)).status == "complete"
    return folder


@pytest.fixture
def silos(ended: Path, tmp_path: Path) -> Iterator[dict[str, Resident]]:
    """Return the silos, started again from copies of their homes; `run` lies beside these."""
    shutil.copytree(ended / "run", tmp_path / "run")
    shutil.copytree(ended / "homes", tmp_path / "homes")
    with residents(tiny(RESERVE), tmp_path / "homes") as found:
        yield found


def more(transport: Wire, run: Path, rows: int | None, **options: Any) -> topups.TopUp:
    return topping_up.over(run, transport, Wanted(rows, **options), sleep=never)


def test_rows_over_a_transport_are_those_of_one_process(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Guarantee of dpfedsyn.topping_up.over: As of `here`: each silo's ledger enforces its own
    caps, whatever this server asks: same rows, same statement, same charges."""
    one = more(wire(silos), tmp_path / "run", 10)
    assert (one.status, one.taken) == ("complete", 2)
    whole = tmp_path / "whole"
    runner.run(tiny(RESERVE), whole)
    assert topping_up.here(whole, Wanted(10)) == one
    for name in ("synthetic-more-1.csv", "federation.json", "top-ups.json"):
        mine, other = (find(folder, name).read_bytes() for folder in (tmp_path / "run", whole))
        assert mine == other, name
    assert_same_claims(tmp_path / "run", whole)
    assert max(answers(silos).values()) == ROUNDS + 2


def test_beyond_the_reserve_no_silo_is_asked_and_nothing_written(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Three quarters fit, the same again does not: what is left is asked of the ledgers."""
    run, before = tmp_path / "run", charges(silos)
    more(wire(silos), run, 20)
    files = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    after, transport = charges(silos), wire(silos)
    with pytest.raises(BudgetExhausted, match="10 rows fit"):
        more(transport, run, 20)
    assert transport.questions() == []
    assert charges(silos) == after != before
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == files
    more(wire(silos), run, 10)


@pytest.mark.parametrize("delivered", [False, True])
@pytest.mark.parametrize("end", [1, 2])
def test_an_interrupted_top_up_goes_on_at_no_further_cost(
    end: int, delivered: bool, silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Also where the silos had answered the round in which the server was lost."""
    run = tmp_path / "run"
    with pytest.raises(LostError):
        more(wire(silos, end=end, delivered=delivered), run, 10)
    with pytest.raises(RunError, match="has not ended"):
        more(wire(silos), run, 10)
    assert more(wire(silos), run, None).status == "complete"
    assert max(answers(silos).values()) == ROUNDS + 2
    assert topups.read(run)[0].taken == 2


def test_another_process_at_the_run_keeps_a_top_up_out(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Its server's folder is one process's at a time."""
    transport = wire(silos)
    with folders.locked(tmp_path / "run"), pytest.raises(RunError, match="another process is at"):
        more(transport, tmp_path / "run", 5)
    assert transport.sent == []
    assert more(transport, tmp_path / "run", 5).status == "complete"


def test_what_a_silo_that_is_away_may_have_spent_counts(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """It left in a top-up of 20 of the 30 rows that fit; whether another 20 fit is asked of what it
    was charged at most, although nobody can ask it."""
    run, away = tmp_path / "run", leaving(silos, 1)
    assert topping_up.over(run, away, Wanted(20), sleep=lambda _: None).status == "complete"
    gone = wire(silos, silent=lambda name, step, count: name == "hungarian")
    files = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(BudgetExhausted, match="hungarian: 20 rows"):
        topping_up.over(run, gone, Wanted(20), sleep=lambda _: None)
    assert gone.questions() == []
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == files


def test_a_silo_that_left_is_counted_as_charged(silos: dict[str, Resident], tmp_path: Path) -> None:
    """Every question of the top-up that it was sent, at what that round costs."""
    run = tmp_path / "run"
    before = stated(run, "hungarian")["charged"]["B"]
    one = topping_up.over(run, leaving(silos, 1), Wanted(12), sleep=lambda _: None)
    assert one.status == "complete"
    told = stated(run, "hungarian")
    assert told["last_heard"]["unheard"] == 2
    assert told["charged"]["B"]["answers"] == before["answers"] + 2
    share = 0.8 * 12 / PLANNED
    grown = told["charged"]["B"]["mu"] ** 2 - before["mu"] ** 2
    assert grown == pytest.approx(share * 6000.0**2, rel=1e-6)


def test_more_rows_than_a_process_reads_at_once_are_refused(
    silos: dict[str, Resident], tmp_path: Path
) -> None:
    """Nothing of it is asked; whoever wants more asks several times."""
    transport = wire(silos)
    with pytest.raises(ConfigError, match=f"at most {PLANNED} rows at once"):
        more(transport, tmp_path / "run", PLANNED + 1, noise=9.0)
    assert transport.sent == []


def test_a_silo_of_another_ledger_is_not_asked(silos: dict[str, Resident], tmp_path: Path) -> None:
    """A home that was made anew would pay for nothing that this run claims."""
    with residents(tiny(RESERVE, "privacy.unsafe_noise_seed=8"), tmp_path / "other") as others:
        transport = wire({**silos, NAMES[0]: others[NAMES[0]]})
        with pytest.raises(ProtocolMismatch):
            more(transport, tmp_path / "run", 5)
    assert transport.questions() == []
    assert topups.read(tmp_path / "run") == ()


def test_a_run_elsewhere_is_not_topped_up_here(silos: dict[str, Resident], tmp_path: Path) -> None:
    """Nor one of this folder over sockets."""
    with pytest.raises(RunError, match=r"its silos are elsewhere.*--silo NAME=SOCKET"):
        topping_up.here(tmp_path / "run", Wanted(5))
    (tmp_path / "run" / "described.json").unlink()
    with pytest.raises(RunError, match=r"in its own folder.*Drop --silo"):
        more(wire(silos), tmp_path / "run", 5)
    assert read(tmp_path / "run" / "state.json")["status"] == "complete"
