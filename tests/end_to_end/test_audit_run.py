"""`dpfedsyn audit RUN`: sound runs are consistent, and every seeded fault is found.

Faults are made where they would really be made: in the code that runs (patched for the time of the
run), or by a silo's owner, who has the key and can write a chain anew. Noise is drawn from a fixed
seed; a sound run fails with probability 1e-6.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accountants import Gaussian, PoissonSampled, Repeated
from accountants.anchor import Anchored, FileAnchor
from accountants.event_json import to_json
from accountants.filter import GaussianFilter
from accountants.ledger import Ledger
from accountants.rows import Charge, Header, canonical_json, first_mac, next_mac
from accountants.storage import snapshot
from accountants.verification import read_chain
from dpfedsyn import budget as budgets
from dpfedsyn import config as configuration
from dpfedsyn import folder as folders
from dpfedsyn import keys, lattice, preparation, sums
from dpfedsyn import plan as planning
from dpfedsyn import run as runner
from dpfedsyn.audit import runs
from dpfedsyn.keys import SiloKey
from dpfedsyn.marking import find
from dpfedsyn.noise import Keystream
from dpfedsyn.privatise import AnswerMechanism
from tests.end_to_end.small import SILOS, SMALL, call, ledger, read, small
from tests.end_to_end.test_damaged import StopEarly

Patch = pytest.MonkeyPatch
# Few rows at a small mu: the noise is larger than what it hides, as with answers that protect.
NOISY = ("answers.mu=60",)
MORE = ("answers.rows=240",)  # tails need rows to be seen in the smallest silo
ENSEMBLE = ("train.steps=5", "network.hidden=16", "train.draws=2", "evaluate.enabled=false",
            "privacy.unsafe_noise_seed=7")  # fmt: skip


def faulty(folder: Path, fault: Callable[[Patch], None], *more: str) -> Path:
    """Return a small run that was made with a fault in the program."""
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        runner.run(small(*more), folder / "run")
    return folder / "run"


def violated(run: Path, **options: Any) -> dict[str, list[str]]:
    """Return the silos of each check that an audit finds violated."""
    found: dict[str, list[str]] = {}
    for finding in runs.audit(run, **options).findings:
        if finding.verdict == "VIOLATION":
            assert finding.fact
            found.setdefault(finding.check, []).append(finding.silo)
    return found


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small run without a fault."""
    folder = tmp_path_factory.mktemp("sound") / "run"
    assert runner.run(small(), folder).status == "complete"
    return folder


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    """Return a copy of it that may be tampered with."""
    shutil.copytree(sound, tmp_path / "run")
    return tmp_path / "run"


# --- sound runs


def test_a_sound_run_is_consistent(run: Path) -> None:
    """Guarantee of dpfedsyn.audit.runs.audit: On a run that charged as it should, no check fails.

    Exit code 0, no violation; what the audit saw is in its file, statement and report.
    """
    done = call("audit", run)
    assert done.exit_code == 0, done.output
    assert "CONSISTENT" in done.output
    audit, statement = read(find(run, "audit.json")), read(find(run, "statement.json"))
    assert audit["verdict"] == statement["audit"]["verdict"] == "CONSISTENT"
    assert audit["rounds"] == {"default": 6, "best": 25}
    assert audit["heads"] == {s["name"]: s["ledger_head"] for s in statement["silos"]}
    assert "findings" not in statement["audit"]
    page = find(run, "report.html").read_text(encoding="utf-8")
    assert 'id="audit"' in page
    assert "no check found a violation" in page
    looked = {f["check"] for f in audit["findings"] if f["verdict"] == "CONSISTENT"}
    assert {"chain", "charges of rounds", "model behind answers", "answer mechanism"} <= looked


def test_an_audit_kept_twice_leaves_the_same_bytes(run: Path) -> None:
    """No clock and no fresh randomness enters what is written."""
    kept = ("audit.json", "statement.json", "report.html")
    assert call("audit", run).exit_code == 0
    first = [find(run, name).read_bytes() for name in kept]
    assert call("audit", "run", run).exit_code == 0
    assert [find(run, name).read_bytes() for name in kept] == first


def test_repeating_the_training_of_a_sound_run_finds_the_same_model(run: Path) -> None:
    """Sums to the last unit, weights to the last bits, from records and keys."""
    audited = runs.audit(run, retrain=True)
    assert audited.verdict == "CONSISTENT"
    repeated = [f for f in audited.findings if f.check == "training repeated"]
    assert [f.verdict for f in repeated] == ["CONSISTENT"] * len(SILOS)
    assert all(f.numbers["distance"] < 1e-3 for f in repeated)


def test_answers_alone_are_consistent_and_say_what_was_not_looked_at(tmp_path: Path) -> None:
    """A partial run of an ensemble: its models are not kept, so nothing is said of them."""
    settings = configuration.load("answers-only", list(ENSEMBLE))
    assert runner.run(settings, tmp_path / "run").status == "partial"
    done = call("audit", tmp_path / "run")
    assert done.exit_code == 0, done.output
    audit = read(find(tmp_path / "run", "audit.json"))
    missing = [f["check"] for f in audit["findings"] if f["verdict"] == "INCONCLUSIVE"]
    assert missing == ["model behind answers"] * len(SILOS)
    assert "trained again from records" in " ".join(done.output.split())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was interrupted after two rounds."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(KeyboardInterrupt):
        runner.run(small(), folder, progress=StopEarly())
    return folder


def test_a_run_that_goes_on_after_an_audit_leaves_no_stale_section(
    stopped: Path, tmp_path: Path
) -> None:
    """Interrupted, audited, resumed: the new statement has no audit, the page says it is old."""
    run = tmp_path / "run"
    shutil.copytree(stopped, run)
    assert call("audit", run).exit_code == 0
    audit = read(find(run, "audit.json"))
    # The checkpoint comes after what a round tells, so the second round is not saved.
    assert audit["rounds"] == {"default": 1}
    statement = [f for f in audit["findings"] if f["check"] == "statement"]
    assert [f["verdict"] for f in statement] == ["INCONCLUSIVE"]
    assert call("run", "--out", run, "--resume").exit_code == 0
    assert read(find(run, "statement.json"))["audit"] is None
    page = find(run, "report.html").read_text(encoding="utf-8")
    assert "it says nothing about what came later" in page
    assert call("audit", run).exit_code == 0
    page = find(run, "report.html").read_text(encoding="utf-8")
    assert "it says nothing about what came later" not in page


def test_a_folder_without_a_run_is_bad_input(tmp_path: Path) -> None:
    """Nothing is written there."""
    refused = call("audit", tmp_path)
    assert refused.exit_code == 2
    assert "there is no run here" in " ".join(refused.output.split())
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_going_on_is_not_audited(run: Path) -> None:
    """Its ledger is held: a copy of a moving file proves nothing."""
    key = keys.load(run / "silos" / "va" / "key")
    anchor = FileAnchor(run / "anchors" / f"va-{key.ledger_id}", key=key.chain)
    with Ledger.open(ledger(run, "va"), key=key.chain, anchor=anchor):
        assert call("audit", run).exit_code == 4
    assert not find(run, "audit.json").exists()


# --- charges


def rewritten(
    run: Path,
    silo: str,
    edit: Callable[[Charge], Charge | None],
    head: Callable[[Header], Header] = lambda header: header,
) -> None:
    """Write a silo's ledger anew as its owner can: rows edited or left out, chained and anchored.

    A row that is left out takes its reply along.
    """
    path = ledger(run, silo)
    key = keys.load(path.parent / "key")
    with snapshot(path) as connection:
        chain = read_chain(connection, key.chain, path)
    edited = [edit(charge) for charge in chain.charges]
    header, charges = head(chain.header), [charge for charge in edited if charge is not None]
    mac = first = first_mac(key.chain, header)
    rows = []
    for seq, charge in enumerate(charges, start=1):
        own = replace(charge, seq=seq)
        mac = next_mac(key.chain, mac, own)
        rows.append((own, mac))
    with sqlite3.connect(path) as connection:
        old = dict(connection.execute("SELECT seq, bytes FROM replies"))
        marks = dict(connection.execute("SELECT seq, prune_round FROM replies"))
        connection.execute("DELETE FROM replies")
        connection.execute("DELETE FROM charges")
        connection.execute("UPDATE header SET text = ?, mac = ?", (header.canonical(), first))
        for (own, link), charge in zip(rows, charges, strict=True):
            connection.execute(
                f"INSERT INTO charges VALUES ({','.join('?' * len(columns(connection)))})",
                values(own, link, columns(connection)),
            )
            if charge.seq in old:
                row = (own.seq, marks[charge.seq], old[charge.seq])
                connection.execute("INSERT INTO replies VALUES (?, ?, ?)", row)
    connection.close()
    kept = folders.anchor_of(path, key.ledger_id)
    assert kept is not None
    kept.unlink()
    anchor = FileAnchor(kept, key=key.chain)
    anchor.begin(first)
    anchor.advance(Anchored(len(rows), mac))
    assert call("ledger", "verify", path).exit_code == 0


def columns(connection: sqlite3.Connection) -> list[str]:
    """Return the columns of a ledger's rows, in order."""
    return [row[1] for row in connection.execute("PRAGMA table_info(charges)")]


def values(charge: Charge, mac: bytes, names: list[str]) -> list[Any]:
    """Return a charge as the columns hold it."""
    special = {"grp": charge.group, "mac": mac, "event": canonical_json(to_json(charge.event))}
    return [special[n] if n in special else getattr(charge, n) for n in names]


def test_the_owner_s_tools_alone_change_nothing(run: Path) -> None:
    """Written anew without an edit, a ledger is what it was: what the next tests find is theirs."""
    rewritten(run, "va", lambda charge: charge)
    assert violated(run) == {}


def cheaper(charge: Charge, factor: float) -> Charge:
    """Return an answer's charge at a fraction of its cost."""
    mu2 = charge.mu2 * factor
    return replace(charge, mu2=mu2, event=Gaussian(mu2**-0.5))


@pytest.mark.parametrize(("round_number", "kept"), [(2, False), (31, True)])
def test_a_charge_that_was_lowered_is_found(run: Path, round_number: int, kept: bool) -> None:
    """Guarantee of dpfedsyn.audit.ledgers.findings: A charge that is below its cost is found.

    By a thousandth, with a valid chain: from the reply's own bytes, and from the settings.
    """

    def lowered(charge: Charge) -> Charge:
        wanted = (charge.kind, charge.round) == ("answer", round_number)
        return cheaper(charge, 0.999) if wanted else charge

    rewritten(run, "va", lowered)
    found = violated(run)
    assert found["charges of rounds"] == ["va"]
    assert ("charges of kept replies" in found) == kept
    assert found["statement's head"] == ["va"]
    refused = call("audit", run)
    assert refused.exit_code == 5
    assert "VIOLATION va: charges of rounds" in refused.output
    assert read(find(run, "statement.json"))["audit"]["verdict"] == "VIOLATION"
    assert "this run does not keep what it claims" in find(run, "report.html").read_text("utf-8")


def test_a_charge_that_was_dropped_is_found(run: Path) -> None:
    """An answered round, and a block of training, that no row pays for."""
    rewritten(run, "va", lambda c: None if (c.kind, c.round) == ("answer", 4) else c)
    assert violated(run)["charge before release"] == ["va"]
    blocks: list[int] = []

    def without_a_block(charge: Charge) -> Charge | None:
        if charge.kind == "dp-sgd":
            blocks.append(charge.seq)
        return None if blocks[:1] == [charge.seq] else charge

    rewritten(run, "hungarian", without_a_block)
    found = violated(run)
    assert found["charge before release"] == ["hungarian", "va"]
    assert found["order"] == ["hungarian"]


def test_draws_that_were_not_counted_are_found(run: Path) -> None:
    """Of answers, sums and steps: each row says how many draws it takes."""
    for kind, silo in (("answer", "va"), ("moments", "hungarian"), ("dp-sgd", "cleveland")):
        rewritten(
            run, silo, lambda c, kind=kind: replace(c, draws=c.draws - 1) if c.kind == kind else c
        )
    assert violated(run)["draws"] == ["cleveland", "hungarian", "va"]


def test_an_answer_that_was_released_without_a_charge_is_found(tmp_path: Path) -> None:
    """A silo whose commit is skipped once."""

    def fault(patch: Patch) -> None:
        commit = Ledger.commit

        def skipped(self: Ledger, ticket: Any, reply: bytes | None) -> Charge:
            if (self.header.silo, ticket.charge.kind, ticket.charge.round) == ("va", "answer", 3):
                return replace(ticket.charge, reply=reply)
            return commit(self, ticket, reply)

        patch.setattr(Ledger, "commit", skipped)

    run = faulty(tmp_path, fault)
    assert violated(run)["charge before release"] == ["va"]
    assert call("audit", run).exit_code == 5


def test_rows_that_are_charged_as_one_are_found(tmp_path: Path) -> None:
    """N rows are N questions."""

    def fault(patch: Patch) -> None:
        whole = AnswerMechanism.silo_mu2
        patch.setattr(
            AnswerMechanism, "silo_mu2", lambda self, rows, *noise: whole(self, 1, *noise)
        )

    found = violated(faulty(tmp_path, fault))
    assert found["charges of kept replies"] == list(SILOS)
    assert found["charges of rounds"] == list(SILOS)


def test_a_record_s_share_that_is_charged_too_small_is_found(tmp_path: Path) -> None:
    """Of an ensemble: one record moves one of twelve parts, not half of one."""
    whole = AnswerMechanism.record_mu2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            AnswerMechanism, "record_mu2", lambda self, *noise, **moved: whole(self, *noise) / 4
        )
        runner.run(configuration.load("answers-only", list(ENSEMBLE)), tmp_path / "run")
    assert violated(tmp_path / "run") == {"charges of rounds": list(SILOS)}


def test_a_key_that_silos_share_is_found(tmp_path: Path) -> None:
    """One secret for all of them, hence one ledger id and digests in common."""

    def fault(patch: Patch) -> None:
        repeatable = keys.repeatable
        patch.setattr(keys, "repeatable", lambda seed, silo: repeatable(seed, "all"))

    run = faulty(tmp_path, fault)
    assert violated(run)["distinct"] == [""]
    (finding,) = [f for f in runs.audit(run).findings if f.check == "distinct"]
    assert "cleveland and hungarian have the same key" in finding.fact
    assert "share" in finding.fact


def test_a_round_that_is_missing_in_the_log_is_found(run: Path) -> None:
    """The server's checkpoint is further than what the log accounts for."""
    log = run / "rounds.jsonl"
    text = log.read_text(encoding="utf-8").splitlines(keepends=True)
    log.write_text("".join([*text[:3], *text[4:]]), encoding="utf-8")
    assert violated(run)["charge before release"] == list(SILOS)
    log.write_text("{}\n", encoding="utf-8")
    refused = call("audit", run)
    assert refused.exit_code == 2
    assert "a line is damaged" in " ".join(refused.output.split())


def test_a_cap_that_was_passed_is_a_damaged_ledger(tmp_path: Path) -> None:
    """A filter that refuses nothing: the ledger breaks its own header, exit code 4."""
    settings = configuration.load("answers-only", list(ENSEMBLE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GaussianFilter, "admit", lambda self, spent, mu2: spent + Fraction(mu2))
        assert runner.run(settings, tmp_path / "run").status == "complete"
    refused = call("audit", tmp_path / "run")
    assert refused.exit_code == 4
    assert "breaks the header's plan" in " ".join(refused.output.split())
    assert read(find(tmp_path / "run", "audit.json"))["verdict"] == "VIOLATION"


def test_a_cap_above_the_settings_is_found(tmp_path: Path) -> None:
    """A ledger that was opened with a larger cap than the configuration's."""

    def fault(patch: Patch) -> None:
        solve = planning.solve
        patch.setattr(
            planning, "solve",
            lambda *a: replace(own := solve(*a), answers_mu=own.answers_mu * 1.001),
        )  # fmt: skip

    assert violated(faulty(tmp_path, fault))["terms"] == list(SILOS)


def planned_as(kind: str, **changes: Any) -> Callable[[Header], Header]:
    """Return an edit of one planned mechanism of a header."""

    def edit(header: Header) -> Header:
        planned = (replace(p, **changes) if p.kind == kind else p for p in header.planned)
        return replace(header, planned=tuple(planned))

    return edit


HEADERS: dict[str, tuple[str, Callable[[Header], Header]]] = {
    "unit": ("terms", lambda h: replace(h, unit="person")),
    "adjacency": ("terms", lambda h: replace(h, adjacency="zero-out")),
    "delta": ("terms", lambda h: replace(h, delta=1e-4)),
    "cap": ("terms", lambda h: replace(h, answers_cap=h.answers_cap * 1.001)),
    "group": ("terms", planned_as("counts", group="A")),
    "counts": ("terms", planned_as("counts", event=Gaussian(3.6))),
    "moments": ("terms", planned_as("moments", event=Gaussian(0.8))),
    "uses": ("terms", planned_as("dp-sgd", uses=13)),
    "rate": ("training event", planned_as("dp-sgd", event=PoissonSampled(Gaussian(1.14), 0.2))),
    "too little noise": (
        "training event", planned_as("dp-sgd", event=PoissonSampled(Gaussian(1.1), 0.25))
    ),
    "draws": ("draws", lambda h: replace(h, draws_cap=None)),
}  # fmt: skip


@pytest.mark.parametrize("edit", HEADERS)
def test_a_header_of_another_promise_is_found(edit: str, run: Path) -> None:
    """With a valid chain: what the ledger enforces has to be what the settings ask for."""
    check, head = HEADERS[edit]

    def follow(charge: Charge) -> Charge:
        with snapshot(ledger(run, "va")) as connection:
            key = keys.load(run / "silos" / "va" / "key").chain
            header = head(read_chain(connection, key, ledger(run, "va")).header)
        own = {p.kind: p for p in header.planned}.get(charge.kind)
        return charge if own is None else replace(charge, event=own.event, group=own.group)

    rewritten(run, "va", follow, head)
    assert "va" in violated(run)[check]


def test_sums_with_less_noise_than_their_charge_are_found(tmp_path: Path) -> None:
    """Of counts by the ledger alone, of moments by the records."""

    def fault(patch: Patch) -> None:
        patch.setattr(preparation, "sums_lattice", lambda std: sums.sums_lattice(0.5 * std))

    run = faulty(tmp_path, fault)
    assert violated(run)["counts"] == list(SILOS)
    repeated = [f for f in runs.audit(run, retrain=True).findings if f.check == "training repeated"]
    assert all("moments hold other sums" in f.fact for f in repeated)
    assert [f.verdict for f in repeated] == ["VIOLATION"] * len(SILOS)


def test_an_edited_ledger_is_damaged(run: Path) -> None:
    """Without the key a row cannot be edited: exit code 4; the other silos are still audited."""
    with sqlite3.connect(ledger(run, "va")) as connection:
        connection.execute("UPDATE charges SET mu2 = mu2 / 2 WHERE seq = 7")
    connection.close()
    assert call("audit", run).exit_code == 4
    audit = read(find(run, "audit.json"))
    assert sorted(audit["heads"]) == ["cleveland", "hungarian", "switzerland"]
    assert [f["silo"] for f in audit["findings"] if f["verdict"] == "VIOLATION"] == ["va"]


# --- training


@contextmanager
def misreported(charged: float, drawn: float) -> Iterator[Patch]:
    """Charge DP-SGD at one multiple of the calibrated noise, draw another."""
    solve, multiplier = planning.solve, budgets.Budget.noise_multiplier.fget
    assert multiplier is not None

    def more(*arguments: Any) -> budgets.Budget:
        own = solve(*arguments)
        assert own.training is not None
        event = own.training.event
        assert isinstance(event, PoissonSampled)
        noise = PoissonSampled(Gaussian(multiplier(own) * charged), event.sampling_rate)
        return replace(own, training=Repeated(noise, own.training.count))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "solve", more)
        patch.setattr(
            budgets.Budget, "noise_multiplier", property(lambda s: multiplier(s) * drawn / charged)
        )
        yield patch


def test_training_that_is_charged_as_noisier_than_it_is_is_found(tmp_path: Path) -> None:
    """Charged at twice the multiplier that the settings buy and that was drawn."""
    with misreported(charged=2.0, drawn=1.0):
        runner.run(small(), tmp_path / "run")
    found = violated(tmp_path / "run")
    assert found["training event"] == list(SILOS)
    assert call("audit", tmp_path / "run").exit_code == 5


def test_training_with_less_noise_than_its_charge_is_found_by_repeating_it(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.audit.training.findings: A model that was trained otherwise is found.

    Charged in full, drawn at nine tenths: nothing in the folder tells, the records do.
    """
    with misreported(charged=1.0, drawn=0.9):
        runner.run(small(), tmp_path / "run")
    run = tmp_path / "run"
    assert violated(run) == {}
    looked = {f.check: f.verdict for f in runs.audit(run).findings}
    assert looked["training repeated"] == "INCONCLUSIVE"
    assert violated(run, retrain=True) == {"training repeated": list(SILOS)}
    assert call("audit", run, "--retrain").exit_code == 5


def test_records_that_are_gone_are_said_to_be_gone(run: Path) -> None:
    """Training cannot be repeated without them; that is no violation."""
    text = (run / "config.toml").read_text(encoding="utf-8")
    (run / "config.toml").write_text(text.replace("processed.", "gone."), encoding="utf-8")
    findings = [f for f in runs.audit(run, retrain=True).findings if "repeated" in f.check]
    assert [f.verdict for f in findings] == ["INCONCLUSIVE"]
    assert "cannot be read" in findings[0].fact


# --- noise


def changed_noise(change: Callable[[Any], Any]) -> Callable[[Patch], None]:
    """Release clipped predictions with a function of the noise that was charged for them."""

    def fault(patch: Patch) -> None:
        release = AnswerMechanism.release

        def released(self: AnswerMechanism, *arguments: Any, lattice: Any, key: bytes) -> Any:
            points, energies = release(self, *arguments, lattice=lattice, key=key)
            noise = coarse(Keystream(key), points.size).reshape(points.shape)
            return points - noise + change(noise), energies

        patch.setattr(AnswerMechanism, "release", released)

    coarse = lattice.coarse
    return fault


CHANGES: dict[str, Callable[[Any], Any]] = {
    "halved": lambda noise: noise // 2,
    "a tenth less": lambda noise: np.rint(0.9 * noise).astype(np.int64),
    "none": lambda noise: 0 * noise,
    "shared between rows": lambda noise: np.broadcast_to(noise[:1], noise.shape),
    "shared between coordinates": lambda noise: np.broadcast_to(noise[:, :1], noise.shape),
    "cut at two standard deviations": lambda noise: np.clip(noise, -2048, 2048),
}


@pytest.mark.parametrize(
    ("change", "more"),
    [
        *((change, MORE if change.startswith("cut") else ()) for change in CHANGES),
        ("halved", NOISY),
        ("none", NOISY),
    ],
)
def test_noise_that_is_not_what_was_charged_is_found(
    change: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    """Guarantee of dpfedsyn.audit.noises.findings: Of every kept answer, the rest is looked at.

    In the round whose query is known, whatever the noise; and from the keys if it is large.
    """
    run = faulty(tmp_path, changed_noise(CHANGES[change]), *more)
    found = violated(run)
    assert found["model behind answers"] == list(SILOS)
    if change in ("halved", "none", "shared between rows", "shared between coordinates"):
        assert "noise over the model" in found
        assert "noise in replies" in found or not more
    assert call("audit", run).exit_code == 5


def test_noise_that_is_used_in_every_round_is_found(tmp_path: Path) -> None:
    """One key for all answers of a silo, or for all answers of all silos."""

    def of_silo(patch: Patch) -> None:
        patch.setattr(SiloKey, "noise", lambda self, digest, charge: self.derive(b"noise"))

    def of_all(patch: Patch) -> None:
        patch.setattr(SiloKey, "noise", lambda self, digest, charge: bytes(32))

    for name, fault in (("silo", of_silo), ("all", of_all)):
        run = faulty(tmp_path / name, fault, *NOISY, *MORE)
        found = violated(run)
        assert found["model behind answers"] == list(SILOS)
        assert found["noise in replies"] == list(SILOS)
        # A program that still has the fault sees one noise in all answers.
        with pytest.MonkeyPatch.context() as patch:
            fault(patch)
            assert violated(run)["noise between answers"] == [""]


def test_answers_that_are_not_clipped_are_found(tmp_path: Path) -> None:
    """A bound that is not enforced: rows, less their noise, lie outside of it."""

    def fault(patch: Patch) -> None:
        release = AnswerMechanism.release

        def wide(self: AnswerMechanism, noise: Any, energies: Any, **options: Any) -> Any:
            return release(replace(self, clip=2.0 * self.clip), 2.0 * noise, energies, **options)

        patch.setattr(AnswerMechanism, "release", wide)

    found = violated(faulty(tmp_path, fault, "answers.clip=2.0", *MORE))
    assert found["bounds"] == list(SILOS)
    assert found["model behind answers"] == list(SILOS)


def test_a_mechanism_that_is_still_at_fault_is_found_by_itself(run: Path) -> None:
    """Guarantee of dpfedsyn.audit.mechanisms.tested: Answers are asked at
    the least and at the most noise of the run.

    The audited program is tested too, at the run's settings: answers, sums and steps.
    """
    drawn = lattice.Lattice.noise
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            lattice.Lattice,
            "noise",
            lambda self, stream, count: np.rint(0.9 * drawn(self, stream, count)).astype(np.int64),
        )
        found = violated(run)
    for check in ("answer", "counts", "moments"):
        assert f"{check} mechanism" in found
    assert "DP-SGD step" in found


def test_a_lost_model_is_said_to_be_lost(run: Path) -> None:
    """Nothing is skipped in silence."""
    (run / "silos" / "va" / "model.safetensors").unlink()
    (finding,) = [
        f for f in runs.audit(run).findings if (f.check, f.silo) == ("model behind answers", "va")
    ]
    assert finding.verdict == "INCONCLUSIVE"
    assert "its model is missing" in finding.fact


# --- statement


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run whose noise is secret, so that its statement claims something."""
    folder = tmp_path_factory.mktemp("private") / "run"
    settings = configuration.load("hospitals", [*SMALL, "evaluate.enabled=false"])
    assert runner.run(settings, folder).status == "complete"
    return folder


EDITS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "epsilon": lambda s: s["silos"][0]["epsilon"].update(upper=7.9),
    "delta": lambda s: s["silos"][0].update(delta=1e-6),
    "delta with noise": lambda s: s["silos"][0].update(delta_with_noise=1e-5 * (1 - 1e-6)),
    "unit": lambda s: s["silos"][0].update(unit="person"),
    "adjacency": lambda s: s["silos"][0].update(adjacency="zero-out"),
    "answers": lambda s: s["silos"][0]["charged"]["B"].update(mu=1.0),
    "cap": lambda s: s["silos"][0]["charged"]["B"].update(cap_mu=1.0),
    "head": lambda s: s["silos"][0].update(ledger_head="0" * 64),
    "silos": lambda s: s["silos"].pop(0),
    "across silos": lambda s: s["across_silos"].update(upper=7.9),
    "overlap": lambda s: s.update(overlap=2),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_statement_is_found(edit: str, private: Path, tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.audit.statements.findings: An epsilon or delta
    that is too small is found.

    Every number of a claim follows from the ledgers.
    """
    run = tmp_path / "run"
    shutil.copytree(private, run)
    statement = read(find(run, "statement.json"))
    EDITS[edit](statement)
    find(run, "statement.json").write_text(json.dumps(statement), encoding="utf-8")
    assert {check.split("'")[0] for check in violated(run)} == {"statement"}


def test_a_sound_private_run_is_consistent(private: Path) -> None:
    """With noise from the operating system's keys, which no seed repeats."""
    assert violated(private) == {}


def test_a_void_run_must_not_be_called_private(run: Path) -> None:
    """Its noise has a public seed: no epsilon at all may be claimed."""
    statement = read(find(run, "statement.json"))
    assert statement["private"] is False
    statement["silos"][0]["epsilon"] = {"upper": 8.0, "lower": 1.0}
    statement["private"] = True
    find(run, "statement.json").write_text(json.dumps(statement), encoding="utf-8")
    assert violated(run)["statement"] == ["cleveland", ""]
