"""The embedded example from the command line: one small run, many questions to its folder."""

import math
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accountants import epsilon
from dpfedsyn import config, keys, plan
from dpfedsyn.comparison import spending
from dpfedsyn.device import pick_device
from dpfedsyn.encoding import TableEncoder
from dpfedsyn.federation import Member, federation
from dpfedsyn.folder import RunFolder
from dpfedsyn.marking import find
from dpfedsyn.messages import PrivateAnswer, ScoreQuery
from dpfedsyn.network import base_alone
from dpfedsyn.progress import Silent
from dpfedsyn.records import read_records
from dpfedsyn.schema import Schema
from dpfedsyn.silo import Silo
from tests.end_to_end.small import (
    BLOCKS,
    ROUNDS,
    SILOS,
    SMALL,
    STEPS,
    call,
    ledger,
    lines,
    python,
    read,
    rows,
    sets,
)

LEVELS = ("--set", "sampler.seed=3")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder and the output of a small run, in a process of its own."""
    folder = tmp_path_factory.mktemp("hospitals") / "r1"
    ran = python("-m", "dpfedsyn", "run", "--out", str(folder), *sets(SMALL), *LEVELS)
    assert ran.returncode == 0, ran.stderr
    return folder, ran.stdout


@pytest.fixture
def run(finished: tuple[Path, str]) -> Path:
    """Return the folder of the small run; no test may change it."""
    return finished[0]


def test_the_run_folder_is_complete(run: Path) -> None:
    """Every file that the documentation names is there, and no draft is left over."""
    here = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    anchors = {path.rpartition("-")[0] for path in here if path.startswith("anchors/")}
    assert anchors == {f"anchors/{s}" for s in SILOS}
    here = {path for path in here if not path.startswith("anchors/")}
    silos = {f"silos/{s}/{f}" for s in SILOS for f in ("ledger.sqlite", "key", "model.safetensors")}
    assert here == silos | {
        "config.toml",
        "plan.json",
        "statement.json",
        "registry.yaml",
        "results.json",
        "federation.json",
        "events.jsonl",
        "rounds.jsonl",
        "synthetic.csv",
        "synthetic-best.csv",
        "report.html",
        "checkpoint/default.safetensors",
        "checkpoint/best.safetensors",
        "state.json",
    }
    assert read(run / "state.json") == {"status": "complete", "reason": None}


def test_what_must_stay_in_a_silo_is_readable_by_its_owner_only(run: Path) -> None:
    """Nobody else on the machine can open keys, models or ledgers."""
    for path in (run / "silos").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_end_of_the_output_says_what_was_promised_and_where_it_lies(
    finished: tuple[Path, str],
) -> None:
    """Per hospital epsilon with delta, unit and adjacency; utility beside the baselines."""
    folder, output = finished
    flat = " ".join(output.split())
    for silo in SILOS:
        assert re.search(rf"{silo} 8\.00 \d\S* 1e-05 record add-or-remove", flat)
    for name in ("union of local generators", "pooled real records", "Run folder"):
        assert name in flat
    assert str(folder) in output


def test_epsilon_is_shown_after_every_round_in_all_three_readings(
    finished: tuple[Path, str],
) -> None:
    """A line per round: record level, answers alone, silo level."""
    for name, count in ROUNDS.items():
        for number in range(1, count + 1):
            shown = re.search(rf"{name} \(\w+\) {number}/{count}: (.*)", finished[1])
            assert shown is not None
            assert re.search(r"record epsilon <= .*; answers alone .*; silo level", shown[1])


def test_synthetic_rows_obey_the_public_schema(run: Path) -> None:
    """As many rows as asked for, every column, only valid values, both labels."""
    schema = Schema.load(config.load("hospitals").path("schema.toml"))
    for name in ("synthetic.csv", "synthetic-best.csv"):
        frame = pd.read_csv(run / name)
        assert len(frame) == 90
        assert list(frame.columns) == list(schema.names)
        _, labels = TableEncoder(schema).encode(frame)
        assert set(labels.tolist()) == {0, 1}


def test_every_ledger_holds_exactly_what_was_planned(run: Path) -> None:
    """Counts and moments once, every step of DP-SGD in a block, one answer per round."""
    for silo, charged in rows(run).items():
        kinds = [kind for kind, _, _ in charged]
        # An anchored sample asks its own silo only, so a silo may have no row in `best`.
        assert kinds.count("answer") in (sum(ROUNDS.values()), ROUNDS["default"]), silo
        others = [kind for kind in kinds if kind != "answer"]
        assert others == ["counts", "moments", *["dp-sgd"] * BLOCKS]
        assert sum(uses for kind, uses, _ in charged if kind == "dp-sgd") == STEPS
        assert len({digest for _, _, digest in charged}) == len(charged)


def test_ledgers_are_verified(run: Path) -> None:
    """`ledger verify` and `ledger show` accept all four files and leave them as they are."""
    files = [ledger(run, silo) for silo in SILOS]
    before = [file.read_bytes() for file in files]
    verified = call("ledger", "verify", *files)
    assert verified.exit_code == 0, verified.output
    assert call("ledger", "show", *files).exit_code == 0
    assert [file.read_bytes() for file in files] == before


def test_the_statement_claims_no_more_than_was_configured(run: Path) -> None:
    """Each claim lies within epsilon = 8 and comes with delta, unit, adjacency and ledger head."""
    statement = read(find(run, "statement.json"))
    assert statement["private"] is True
    assert [silo["name"] for silo in statement["silos"]] == list(SILOS)
    for silo in statement["silos"]:
        assert 0.0 < silo["epsilon"]["lower"] <= silo["epsilon"]["upper"] <= 8.0
        assert (silo["delta"], silo["unit"]) == (1e-5, "record")
        assert silo["adjacency"] == "add-or-remove"
        assert silo["shares_mu2"]["dp-sgd"] >= 0.3
        head = silo["ledger_head"]
        file = ledger(run, silo["name"])
        assert call("ledger", "verify", file, "--expected-head", head).exit_code == 0
    assert any("unpaid" in text for text in statement["unprotected"])


def test_readings_grow_with_every_round_and_never_pass_the_claim(run: Path) -> None:
    """The answers' own reading grows; the record reading stays within the budget."""
    log = lines(run / "rounds.jsonl")
    assert [(r["pass"], r["round"]) for r in log] == [
        (name, number) for name, count in ROUNDS.items() for number in range(1, count + 1)
    ]
    for silo in SILOS:
        record = [entry["silos"][silo]["record"]["upper"] for entry in log]
        alone = [entry["silos"][silo]["answers_mu"] for entry in log]
        assert max(record) <= 8.0
        assert record == sorted(record)
        assert alone == sorted(alone)
        assert alone[0] < alone[-1]


def test_the_evaluation_names_every_baseline(run: Path) -> None:
    """Ours by both passes, the union, the bases alone, each silo alone, pooled real rows."""
    results = read(find(run, "results.json"))
    names = [row["name"] for row in results["utility"]]
    assert [row["name"] for row in results["utility"] if row["kind"] == "ours"] == [
        "default",
        "best",
    ]
    for wanted in ("union of local", "union of private bases", "pooled real", *SILOS):
        assert any(wanted in name for name in names)
    for row in results["utility"]:
        for model in ("logistic", "mlp"):
            assert 0.0 <= row[model]["auc"] <= 1.0
    assert {entry["silo"] for entry in results["denoising"]} == set(SILOS)


def test_the_trained_baselines_claim_what_their_mechanisms_compose_to(run: Path) -> None:
    """Every baseline has its line, its kind, its rows, and per silo the epsilon of its charges."""
    results = read(find(run, "results.json"))
    kinds = {row["name"]: row["kind"] for row in results["utility"]}
    loaded = config.load(str(run / "config.toml"))
    planned, privacy = plan.make(loaded), loaded.privacy
    for title, charged in {
        "private class Gaussians": spending.class_gaussians,
        "FedAvg of DP-SGD DDPMs": spending.fedavg,
        "pooled training, same epsilon": lambda *_: spending.pooled(loaded, planned.budgets),
        "the literal paper": lambda config, silo, _: spending.literal_paper(config, silo),
        "union of local generators": lambda *given: spending.own_model(given[2]),
        "union of private bases (no network)": lambda *given: spending.own_base(given[2]),
    }.items():
        assert kinds[title] == "private baseline"
        claim = results["claims"][title]
        assert (claim["delta"], claim["unit"], claim["adjacency"]) == (
            privacy.delta, privacy.unit, privacy.adjacency,
        )  # fmt: skip
        for silo in loaded.silos:
            spent = charged(loaded, silo, planned.budgets[silo.name])
            bound = epsilon(spent.claim(), delta=privacy.delta, adjacency=privacy.adjacency)
            assert claim["epsilon"][silo.name] == bound.upper <= 8.0
    assert set(results["claims"]) == {n for n, kind in kinds.items() if kind == "private baseline"}
    assert {kinds[f"{silo} alone: its real records"] for silo in SILOS} == {
        "baseline without privacy"
    }
    assert results["left_out"] == []
    assert all(row["rows"] == 90 for row in results["utility"] if "real" not in row["name"])


def test_baselines_stand_in_terminal_and_report_with_kind_and_terms(
    finished: tuple[Path, str],
) -> None:
    """The same lines in both; what is untuned is called so."""
    folder, output = finished
    page = find(folder, "report.html").read_text(encoding="utf-8")
    flat = " ".join(output.split())
    for name in ("private class Gaussians", "FedAvg of DP-SGD DDPMs", "the literal paper"):
        assert re.search(rf"{name} private baseline 90 8\.00 ", flat)
        row = re.search(rf'<th scope="row">{name}</th>(.*?)</tr>', page)
        assert row is not None
        assert re.findall(r"<td[^>]*>(.*?)</td>", row[1])[:3] == ["private baseline", "90", "8.00"]
    for text in (flat, page):
        assert "Untuned: FedAvg of DP-SGD DDPMs and the literal paper use the run" in text
    assert "What the private baselines would promise" in page


def test_the_report_is_one_file_and_can_be_written_again(run: Path, tmp_path: Path) -> None:
    """`dpfedsyn report` makes the page from the folder alone; the page loads nothing."""
    again = tmp_path / "again"
    shutil.copytree(run, again)
    find(again, "report.html").unlink()
    assert call("report", again).exit_code == 0
    page = find(again, "report.html").read_text(encoding="utf-8")
    assert all(silo in page for silo in SILOS)
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page)


def test_a_finished_run_is_not_mixed_with_another(run: Path) -> None:
    """A used folder is refused before anything in it changes."""
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused = call("run", "--out", run)
    assert refused.exit_code == 2
    assert "--resume" in refused.output
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_zeroing_the_network_changes_the_answers(tmp_path: Path) -> None:
    """The same query, charge and noise key: only the network is gone, and the answers move.

    Noise that is equal on both sides cancels, so what is left is the network's own part, in steps
    of a lattice as coarse as the noise is large; with the network in place the answer is the
    same twice.
    """
    answers = []
    with _members(tmp_path / "trained"):
        pass  # trained, and nothing was asked yet: the whole budget is there
    for name, zeroed in (("whole", False), ("again", False), ("without", True)):
        shutil.copytree(tmp_path / "trained", tmp_path / name)
        answers.append(_answer(tmp_path / name, zeroed=zeroed))
    whole, again, without = answers
    assert np.array_equal(whole.noise, again.noise)
    assert np.mean(whole.noise != without.noise) > 0.1


@contextmanager
def _members(folder: Path) -> Iterator[dict[str, Member]]:
    """The silos of a small run in this folder, trained there if they were not."""
    loaded = config.load("hospitals", list(SMALL))
    planned = plan.make(loaded)
    records = read_records(loaded, planned.encoder).silos
    place, device = RunFolder(folder), pick_device(loaded)
    with federation(planned, planned.encoder, records, place, device, Silent()) as members:
        yield members


def _answer(folder: Path, *, zeroed: bool) -> PrivateAnswer:
    """Ask cleveland a question, with or without its trained network."""
    with _members(folder) as members:
        silo, models = members["cleveland"].silo, members["cleveland"].trained.models
        if zeroed:
            key = keys.load(folder / "silos" / "cleveland" / "key")
            models = tuple(base_alone(model) for model in models)
            silo = Silo(silo.public, models, silo.ledger, key)
        return silo.answer(_question(silo))


def _question(silo: Silo) -> ScoreQuery:
    """Return a question that costs a tenth of the cap."""
    count, cap = 40, silo.ledger.header.answers_cap
    std = 2.0 * silo.public.mechanism.clip * math.sqrt(10.0 * count / cap)
    rng = np.random.Generator(np.random.Philox(5))
    return ScoreQuery(
        run=silo.public.run,
        round_number=1,
        t=200,
        x=rng.standard_normal((count, silo.public.dimension)).astype(np.float32),
        labels=(np.arange(count) % 2).astype(np.int64),
        score_std=std,
        energy_std=None,
    )
