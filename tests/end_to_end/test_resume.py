"""Interrupted, killed and resumed: the same bytes in the end, no charge lost, none made twice."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn import checkpoint
from dpfedsyn import run as runner
from dpfedsyn.comparison import BASELINES
from dpfedsyn.evaluation import trained
from dpfedsyn.marking import find
from dpfedsyn.progress import Silent
from tests.end_to_end.small import (
    BLOCKS,
    REPEATABLE,
    ROUNDS,
    SILOS,
    SMALL,
    call,
    environment,
    ledger,
    lines,
    python,
    read,
    rows,
    sets,
    small,
    tables,
)

TRAINING_ROWS = 2 + BLOCKS  # counts, moments, blocks: of one silo

MOMENTS = [
    ("before a charge", 1),  # nothing has happened yet
    ("after a charge", 2 + TRAINING_ROWS),  # second silo: moments charged, not used
    ("after a step", 8),  # first silo, in the middle of its second block
    ("before a checkpoint", BLOCKS + 2),  # second silo: a block taken, but not kept
    ("after a charge", 4 * TRAINING_ROWS + 4 + 2),  # second round: some silos have answered
    ("before a charge", 4 * TRAINING_ROWS + 8 + 3),  # third round: a reply that nobody got
    ("before a checkpoint", 4 * BLOCKS + 5),  # fifth round: all charged, no step kept
]


class Interrupt(Silent):
    """Presses Ctrl-C after so many steps of training, or after a certain round."""

    def __init__(self, *, steps: int | None = None, after: tuple[str, int] | None = None) -> None:
        self._steps, self._after, self._training = steps, after, False

    def stage(self, name: str, total: int | None) -> None:
        """Only stages of training count as steps."""
        self._training = name.startswith("train")

    def advance(self, text: str = "") -> None:
        """Count a step of training."""
        if self._training and self._steps is not None:
            self._steps -= 1
            if self._steps == 0:
                raise KeyboardInterrupt

    def round(self, record: dict[str, Any]) -> None:
        """Look whether this is the round."""
        if (record["pass"], record["round"]) == self._after:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert runner.run(small(), folder).status == "complete"
    return folder


def prefixes(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> bool:
    """Whether every ledger of `before` is where the same ledger of `after` began."""
    return all(after[silo][: len(charged)] == charged for silo, charged in before.items())


def assert_same(run: Path, whole: Path) -> None:
    """Two runs released the same, charged the same, logged each round once."""
    assert tables(run) == tables(whole)
    assert rows(run) == rows(whole)
    log = [[(r["pass"], r["round"]) for r in lines(f / "rounds.jsonl")] for f in (run, whole)]
    assert log[0] == log[1]
    assert read(run / "state.json")["status"] == "complete"
    checked = call("ledger", "verify", *(ledger(run, silo) for silo in SILOS))
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize(
    "interrupt",
    [
        {"steps": 1},
        {"steps": 17},
        {"after": ("default", 1)},
        {"after": ("default", ROUNDS["default"])},
        {"after": ("best", 2)},
    ],
    ids=["first step", "second silo's training", "first round", "end of a pass", "second pass"],
)
def test_a_run_resumed_after_ctrl_c_gives_the_same_bytes(
    interrupt: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    """Wherever Ctrl-C falls, the resumed run's synthetic rows equal an uninterrupted one's."""
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        runner.run(small(), folder, progress=Interrupt(**interrupt))
    assert read(folder / "state.json")["status"] == "running"
    assert not find(folder, "synthetic.csv").exists()
    charged = rows(folder)
    assert prefixes(charged, rows(whole))
    runner.run(small(), folder, resume=True)
    assert_same(folder, whole)


@pytest.mark.parametrize(("moment", "count"), MOMENTS)
def test_kill_9_loses_no_charge_and_the_resumed_run_gives_the_same_bytes(
    moment: str, count: int, whole: Path, tmp_path: Path
) -> None:
    """SIGKILL in training and in sampling: what was charged stays, and nothing is charged twice."""
    folder = tmp_path / "run"
    script = str(Path(__file__).with_name("killed.py"))
    killed = python(script, str(folder), moment, str(count), *REPEATABLE)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not find(folder, "synthetic.csv").exists()
    files = [ledger(folder, silo) for silo in SILOS if ledger(folder, silo).exists()]
    checked = call("ledger", "verify", *files)
    assert checked.exit_code == 0, checked.output
    charged = rows(folder)
    assert prefixes(charged, rows(whole))
    total = sum(map(len, charged.values()))
    if moment == "after a charge":
        assert total >= count  # the one that had returned, and all before it
    if moment == "before a charge" and count < 4 * TRAINING_ROWS:
        assert total == count - 1  # training charges one at a time
    runner.run(small(), folder, resume=True)
    assert prefixes(charged, rows(folder))
    assert_same(folder, whole)


def test_the_last_round_is_asked_again_at_no_cost(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All silos had answered and were charged, the server lost the round: no row is added."""
    folder, save = tmp_path / "run", checkpoint.save

    def lost(path: Path, arrays: Any, **options: Any) -> None:
        if path.name == "default.safetensors" and int(arrays["round_number"]) == 3:
            raise KeyboardInterrupt
        save(path, arrays, **options)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lost)
        with pytest.raises(KeyboardInterrupt):
            runner.run(small(), folder)
    charged = rows(folder)
    assert {silo: len(found) - TRAINING_ROWS for silo, found in charged.items()} == dict.fromkeys(
        SILOS, 3
    )
    with pytest.raises(KeyboardInterrupt):
        runner.run(small(), folder, resume=True, progress=Interrupt(after=("default", 3)))
    assert rows(folder) == charged
    runner.run(small(), folder, resume=True)
    assert_same(folder, whole)


def test_a_complete_run_can_be_resumed_and_charges_nothing(whole: Path, tmp_path: Path) -> None:
    """Resuming what is complete writes the same files again."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    find(folder, "synthetic.csv").unlink()
    runner.run(small(), folder, resume=True)
    assert_same(folder, whole)


class InterruptedEvaluation(Silent):
    """Presses Ctrl-C when the first trained baseline is made."""

    def note(self, text: str) -> None:
        """Look whether this is the moment."""
        if text.endswith(": made"):
            raise KeyboardInterrupt


def test_an_interrupted_evaluation_keeps_the_baselines_that_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resumed run makes the others only, and its results are those of a whole run."""
    settings, sample = small("evaluate.enabled=true"), trained.comparisons
    runner.run(settings, tmp_path / "whole")
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        runner.run(settings, folder, progress=InterruptedEvaluation())
    kept = {path.stem for path in (folder / "baselines").iterdir()}
    assert kept
    assert not find(folder, "results.json").exists()
    assert read(folder / "state.json")["status"] == "running"
    made = []

    def noted(*given: Any) -> Any:
        def noting(title: str) -> Any:
            return lambda *inner: (made.append(title), sample(*given)[title](*inner))[1]

        return {title: noting(title) for title in sample(*given)}

    monkeypatch.setattr(trained, "comparisons", noted)
    runner.run(settings, folder, resume=True)
    assert {BASELINES[key].title for key in BASELINES.keys() - kept} == set(made)
    assert read(find(folder, "results.json")) == read(find(tmp_path / "whole", "results.json"))
    assert not (folder / "baselines").exists()


def test_other_noise_gives_other_bytes(whole: Path, tmp_path: Path) -> None:
    """The comparison can fail: another noise seed leads to other rows and other digests."""
    runner.run(small("privacy.unsafe_noise_seed=8"), tmp_path / "run")
    assert tables(tmp_path / "run") != tables(whole)
    assert rows(tmp_path / "run") != rows(whole)


def test_repeatable_noise_voids_the_statement(whole: Path) -> None:
    """A run with a noise seed says that it is not private, in the statement and in the report."""
    statement = read(find(whole, "statement.json"))
    assert statement["private"] is False
    assert "NOT private" in statement["void"]
    assert call("report", whole).exit_code == 0
    assert "NOT private" in find(whole, "report.html").read_text(encoding="utf-8")


def test_ctrl_c_at_the_terminal_leaves_a_resumable_run(tmp_path: Path) -> None:
    """Exit code 130, the command that continues, and ledgers that verify."""
    folder = tmp_path / "run"
    arguments = [*sets(SMALL), "--set", "sampler.levels=1000", "--out", str(folder)]
    # Where tests run in the background, interrupts are ignored, and a child inherits it.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from dpfedsyn.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "run", *arguments]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (folder / "rounds.jsonl").exists() and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130, said
    assert f"dpfedsyn run --out {folder} --resume" in said
    assert call("ledger", "verify", *(ledger(folder, silo) for silo in SILOS)).exit_code == 0
