"""What a run tells while it runs: events, metrics, how it stands, how long it will take."""

import json
import logging
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from dpfedsyn import config, latency, plan, resolved
from dpfedsyn.errors import DataError, RunError
from dpfedsyn.event_log import FILE, EventLog
from dpfedsyn.nvflare.logged import Logged
from dpfedsyn.progress import Several, Silent, round_line
from dpfedsyn.prometheus import HOST, Metrics, beside
from dpfedsyn.report import standing, wording

TERMS = wording.Terms(1e-5, "record", "add-or-remove")


def record(number: int, **more: Any) -> dict[str, Any]:
    """A round as rounds.jsonl has it; silo b was asked and did not answer."""
    upper = {"upper": 2.5, "lower": 2.0}
    return {
        "pass": "best", "sampler": "ancestral", "round": number, "of": 4, "seconds": 1.5,
        "left": 90.0, "asked": {"a": 3, "b": 3}, "answered": ["a"],
        "silos": {"a": {"record": upper}, "b": {"record": upper}}, **more,
    }  # fmt: skip


def test_events_are_lines_of_json_that_are_added_to(tmp_path: Path) -> None:
    """Time, event, what it says; a run that goes on adds to what is there."""
    times = iter(range(100))
    for _ in range(2):
        log = EventLog(tmp_path, now=lambda: float(next(times)))
        log.stage("train a", 2)
        log.advance()
        log.round(record(1))
        log.note("mind this")
        log.finish()
    lines = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [line["event"] for line in lines] == ["stage", "round", "note", "end"] * 2
    assert [line["time"] for line in lines] == [float(k) for k in range(8)]
    assert lines[1]["missing"] == ["b"]
    assert (lines[1]["round"], lines[1]["of"], lines[1]["left"]) == (1, 4, 90.0)


def test_a_round_says_why_a_silo_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """On the screen, in the events and in the log of a job of NVFlare, with the time that is left;
    a record of before, without reasons, is no error."""
    one = record(1, missing={"b": "it took longer than 5 s"})
    assert "; without b (it took longer than 5 s); 90 s left" in round_line(one, TERMS)
    assert "; without b; 90 s left" in round_line(record(1), TERMS)
    EventLog(tmp_path).round(one)
    told = json.loads((tmp_path / FILE).read_text())
    assert (told["missing"], told["why"]) == (["b"], {"b": "it took longer than 5 s"})
    with caplog.at_level(logging.INFO):
        Logged().round(one)
    words = "best: round 1 of 4; without b (it took longer than 5 s); 90 s left"
    assert caplog.messages == [words]


def served(port: int) -> str:
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as page:
        return str(page.read().decode())


def test_metrics_are_served_on_a_loopback_port_until_the_end(free_port: int) -> None:
    """Rounds, seconds, missed rounds and the upper end of epsilon, by name."""
    metrics = Metrics(free_port)
    metrics.round(record(1))
    metrics.round(record(2, left=None))
    text = served(free_port)
    assert 'dpfedsyn_rounds_total{pass="best"} 2.0' in text
    assert 'dpfedsyn_missing_total{silo="b"} 2.0' in text
    assert 'silo="a"} 0' not in text
    assert "dpfedsyn_left_seconds 0.0" in text
    assert 'dpfedsyn_epsilon_upper{silo="a"} 2.5' in text
    metrics.finish()
    metrics.finish()
    with pytest.raises(OSError, match="refused"):
        served(free_port)


def test_engines_serve_metrics_beside_their_own_progress_where_a_port_is_given(
    free_port: int,
) -> None:
    """Port 0 stands for none: the progress is the one there was."""
    silent = Silent()
    assert beside(silent, 0) is silent
    told = beside(silent, free_port)
    told.round(record(1))
    assert 'dpfedsyn_rounds_total{pass="best"} 1.0' in served(free_port)
    told.finish()


def test_a_port_in_use_is_refused_before_anything_runs(free_port: int) -> None:
    """The message names the port."""
    metrics = Metrics(free_port)
    try:
        with pytest.raises(RunError, match=f"{free_port}: metrics cannot be served"):
            Metrics(free_port)
    finally:
        metrics.finish()


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def test_several_are_told_the_same() -> None:
    """Each call reaches each of them, in order."""
    heard: list[tuple[str, str]] = []

    class Ear(Silent):
        def __init__(self, name: str) -> None:
            self.name = name

        def stage(self, name: str, total: int | None) -> None:
            heard.append((self.name, name))

        def advance(self, text: str = "") -> None:
            heard.append((self.name, text))

        def round(self, record: dict[str, Any]) -> None:
            heard.append((self.name, "round"))

        def note(self, text: str) -> None:
            heard.append((self.name, text))

        def finish(self) -> None:
            heard.append((self.name, "end"))

    both = Several(Ear("x"), Ear("y"))
    both.stage("s", 1)
    both.advance("a")
    both.round({})
    both.note("n")
    both.finish()
    assert heard == [(who, what) for what in ("s", "a", "round", "n", "end") for who in "xy"]


def test_a_round_says_what_is_left_where_it_is_long() -> None:
    """90 s are told, 3 s are not, and a record without it is no error."""
    whole = record(1, silos={})
    assert "90 s left" in round_line(whole, TERMS)
    assert "left" not in round_line({**whole, "left": 3.0}, TERMS)
    del whole["left"]
    assert "left" not in round_line(whole, TERMS)


@pytest.mark.parametrize(
    ("seconds", "text"), [(5.0, "5 s"), (99.0, "99 s"), (120.0, "2 min"), (7200.0, "2.0 h")]
)
def test_times_are_written_as_people_do(seconds: float, text: str) -> None:
    """Seconds, minutes, hours."""
    assert wording.duration(seconds) == text


def test_how_a_run_stands(tmp_path: Path) -> None:
    """Rounds of how many, the last, the time left, who missed; a line that is half there waits."""
    (tmp_path / "state.json").write_text('{"status": "running", "reason": null}')
    (tmp_path / "plan.json").write_text('{"rounds": 8}')
    text = "".join(json.dumps(record(number)) + "\n" for number in (1, 2))
    (tmp_path / "rounds.jsonl").write_text(text + '{"pass": "be')
    told = "\n".join(standing.lines(tmp_path))
    for part in ("running", "rounds: 2 of 8", "best 2 of 4, 1.5 s", "90 s", "b: missed 2 rounds"):
        assert part in told
    (tmp_path / "state.json").write_text('{"status": "partial", "reason": "at the cap"}')
    told = "\n".join(standing.lines(tmp_path))
    assert "partial: at the cap" in told
    assert "left" not in told
    (tmp_path / "state.json").unlink()
    with pytest.raises(DataError, match="holds no run"):
        standing.lines(tmp_path)


def test_plans_say_what_carrying_takes_and_where_it_is_dear() -> None:
    """125 rounds are 12 minutes over Flower, which the plan says; 25 are not worth a word."""
    planned = plan.make(config.load("hospitals")).to_dict()
    (flower,) = [entry for entry in planned["engines"] if entry["engine"] == "Flower"]
    assert flower["seconds"] == planned["rounds"] * latency.SECONDS["Flower"]
    assert any("over Flower" in note and "'best'" in note for note in planned["notes"])
    few = plan.make(config.load("hospitals", ["preset=best"])).to_dict()
    assert not any("Flower" in note for note in few["notes"])
    assert "'best'" not in str(latency.advice(1000, ["ancestral"]))


def agreed(*overrides: str) -> str:
    return resolved.agreed(config.load("hospitals", list(overrides), records=False), "schema")


def test_sides_agree_on_all_but_what_is_their_own() -> None:
    """Paths, participation, evaluation, device and anchors may differ; nothing else may."""
    own = (
        "data.folder=/elsewhere", "participation.quorum=1", "evaluate.enabled=false", "device=cpu",
        "privacy.anchors=/elsewhere",
    )  # fmt: skip
    assert agreed(*own) == agreed()
    for override in (
        "privacy.epsilon=9", "train.steps=7", "answers.clip=5.0", "sampler.seed=2",
        "data.split_key=x", "network.hidden=8",
    ):  # fmt: skip
        assert agreed(override) != agreed(), override
    loaded = config.load("hospitals", records=False)
    assert resolved.agreed(loaded, "another schema") != resolved.agreed(loaded, "schema")
    moved = resolved.with_places(loaded, "va", Path("/here/va.data"))
    assert {silo.name: silo.path for silo in moved.silos}["va"] == "/here/va.data"
    assert resolved.agreed(moved, "schema") == agreed()
