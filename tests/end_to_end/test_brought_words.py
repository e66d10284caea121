"""Every output that tells a claim says who answers for models that were not trained here."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accountants import Bound
from dpfedsyn import budget, keys, resolved, signed_claim
from dpfedsyn import config as configuration
from dpfedsyn.audit import evidence, ledgers
from dpfedsyn.signed_claim import Claim
from tests.end_to_end.small import call, ledger, read
from tests.end_to_end.test_brought import SIGNER, claimed, found, records, run, silo, written

ALONE = "model not trained here: only the noise on its answers protects"
BY = "claimed by Unit for a model trained on letters; not checked here"
BOTH = (ALONE, BY)


def one_line(text: str) -> str:
    return " ".join(text.split())


def two(folder: Path) -> str:
    """One silo that brings a model, and one that brings another with a signed claim."""
    shutil.copyfile(folder / "model.json", folder / "other.json")
    signed = {"training": "claimed", "claim": "claim.json", "claim_key": SIGNER.public.hex()}
    return silo("cleveland", path=records("cleveland"), model="model.json") + silo(
        "hungarian", path=records("hungarian"), model="other.json", **signed
    )


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished run of both, and what it printed."""
    folder = tmp_path_factory.mktemp("brought")
    config = written(folder, silo("cleveland", path=records("cleveland"), model="model.json"))
    claimed(folder, config)
    config = written(folder, two(folder), public=True)
    told = run(config, folder / "run", "answers.reserve=0.9")
    assert told.exit_code == 0, told.output
    return folder / "run", one_line(told.output)


def printed(*arguments: object) -> str:
    told = call(*arguments)
    assert told.exit_code == 0, told.output
    return one_line(told.output)


def test_a_run_and_its_status_say_so(ended: tuple[Path, str]) -> None:
    out, told = ended
    assert "Guarantee per silo" in told
    for words in BOTH:
        assert words in told
        assert words in printed("status", out)
        assert words in one_line((out / "report.html").read_text(encoding="utf-8"))
        assert words in (out / "results.json").read_text()
        assert words in one_line((out / "registry.yaml").read_text(encoding="utf-8"))


def test_a_ledger_that_is_shown_says_so(ended: tuple[Path, str]) -> None:
    """Its own silo's words only; also where the claim is gone since."""
    out, _ = ended
    shown = printed("ledger", "show", ledger(out, "cleveland"))
    assert ALONE in shown
    assert BY not in shown
    assert BY in printed("ledger", "show", ledger(out, "hungarian"))
    claim = out.parent / "claim.json"
    claim.rename(claim.with_suffix(".away"))
    try:
        shown = printed("ledger", "show", ledger(out, "hungarian"))
    finally:
        claim.with_suffix(".away").rename(claim)
    assert "claimed for a model that was not trained here; not checked here" in shown


def test_rows_after_the_run_say_so(ended: tuple[Path, str]) -> None:
    """Top-ups and distilled rows, on the terminal and in their files."""
    out, _ = ended
    sampled = printed("sample", out, "--rows", 10)
    distilled = printed("distill", out, "--rows", 5, "--seed", 1)
    for words in BOTH:
        assert words in sampled
        assert words in (out / "top-ups.json").read_text()
        assert words in distilled
    told = read(out / "distilled-1.json")["silos"]
    assert [entry["brought"]["training"] for entry in told] == ["not private", "claimed"]


def test_an_audit_says_so(ended: tuple[Path, str]) -> None:
    """On the terminal, in audit.json and on the page."""
    out, _ = ended
    audited = printed("audit", "run", out)
    for words in BOTH:
        assert words in audited
    models = read(out / "audit.json")["models"]
    assert ALONE in models["cleveland"]
    assert BY in models["hungarian"]
    assert found(out, "claimed model")["hungarian"]["verdict"] == "CONSISTENT"


def test_what_leaves_says_so(ended: tuple[Path, str], tmp_path: Path) -> None:
    """Card, Croissant and a statement that is verified."""
    out, _ = ended
    key = tmp_path / "key"
    assert call("statement", "key", key).exit_code == 0
    printed("statement", "sign", out, "--key", key, "--as", "somebody")
    (out.parent / "exported").mkdir(exist_ok=True)
    printed("export", out, tmp_path / "exported")
    verified = printed("statement", "verify", tmp_path / "exported")
    (out / "statement.sig.json").unlink()
    metadata = read(tmp_path / "exported" / "croissant.json")
    card = (tmp_path / "exported" / "README.md").read_text(encoding="utf-8")
    for words in BOTH:
        assert words in verified
        assert words in metadata["description"]
        assert words in metadata["rai:personalSensitiveInformation"]
        promised, _, _ = card.partition("## What is not")
        assert words in promised


def test_a_claim_that_was_swapped_is_found(ended: tuple[Path, str]) -> None:
    """Guarantee of dpfedsyn.audit.claimed.findings: A claim whose commitment is not to the weights
    that answered, or that is not the one that was stated, is a VIOLATION, whoever signed it; a lost
    opening leaves it INCONCLUSIVE."""
    out, _ = ended
    place, opening = out.parent / "claim.json", out.parent / "claim.opening"
    kept = place.read_bytes(), opening.read_bytes()
    claim = signed_claim.read(place, SIGNER.public.hex())
    terms = {k: getattr(claim, k) for k in ("epsilon", "delta", "unit", "adjacency")}
    other = Claim(**terms, data="x-rays", signer="Clinic", model=signed_claim.committed(
        b"o" * 32, "ab" * 32))  # fmt: skip
    try:
        swapped(place, other)
        assert call("audit", "run", out).exit_code == 5
        finding = found(out, "claimed model")["hungarian"]
        assert finding["verdict"] == "VIOLATION"
        assert "commits to other weights than those that answered" in finding["fact"]
        assert "data, model, signature, signer differ" in finding["fact"]
        swapped(place, Claim(**terms, data="x-rays", signer="Clinic", model=claim.model))
        assert call("audit", "run", out).exit_code == 5
        fact = found(out, "claimed model")["hungarian"]["fact"]
        assert "other weights" not in fact
        assert "tells another claim" in fact
        # Edited afterwards: what the ledger composes is nobody's claim.
        place.write_bytes(kept[0].replace(b"2.0", b"1.0"))
        assert call("audit", "run", out).exit_code == 5
        assert "was planned, and is none" in found(out, "terms")["hungarian"]["fact"]
        place.write_bytes(kept[0])
        opening.unlink()
        assert call("audit", "run", out).exit_code == 0
        finding = found(out, "claimed model")["hungarian"]
        assert finding["verdict"] == "INCONCLUSIVE"
        assert "opening cannot be read" in finding["fact"]
    finally:
        place.write_bytes(kept[0])
        opening.write_bytes(kept[1])
    assert call("audit", "run", out).exit_code == 0


def test_answers_of_a_brought_model_are_charged_whole_at_record_level(
    ended: tuple[Path, str],
) -> None:
    """One record may be behind all of a model: half a charge for it is a VIOLATION, also where
    `train.parts`, of which such a model knows nothing, is more than 1."""
    read_back = evidence.read(ended[0])
    parts = replace(read_back.config.train, parts=4)
    own = read_back.silos["cleveland"]
    for share, verdict in ((1.0, "CONSISTENT"), (0.5, "VIOLATION")):
        charges = tuple(
            replace(c, record_mu2=None if c.record_mu2 is None else share * c.record_mu2)
            for c in own.charges
        )
        shown = replace(
            read_back,
            config=replace(read_back.config, train=parts),
            silos={"cleveland": replace(own, charges=charges)},
        )
        (rounds,) = [one for one in ledgers.findings(shown) if one.check == "charges of rounds"]
        assert rounds.verdict == verdict, rounds.fact


def swapped(place: Path, claim: Claim, signer: keys.SiloKey = SIGNER) -> None:
    place.write_text(json.dumps(signed_claim.signed(claim, signer).to_dict()))


def claiming(folder: Path, epsilon: float) -> Path:
    """A configuration of one silo without records, whose model is claimed at this epsilon."""
    names: dict[str, Any] = {"model": "model.json", "training": "claimed", "claim": "claim.json"}
    config = written(folder, silo("a", model="model.json"), public=True)
    claimed(folder, config, epsilon=epsilon)
    own = silo("a", **names, claim_key=SIGNER.public.hex())
    return written(folder, own, public=True)


def test_an_audit_holds_a_claim_against_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planner that takes every claim for fitting leaves a ledger that promises epsilon 20."""
    config, out = claiming(tmp_path, 20.0), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(budget, "bound_of", lambda *_, **__: Bound(0.0, 0.0))
        assert run(config, out, "answers.mu=5.0").exit_code == 0
    assert read(out / "statement.json")["silos"][0]["epsilon"]["upper"] > 19.0
    assert call("audit", "run", out).exit_code == 5
    fact = found(out, "terms")["a"]["fact"]
    assert "its whole claim, at the caps, is epsilon = " in fact
    assert "of a budget of 8" in fact


@pytest.mark.parametrize(
    ("epsilon", "mu", "kinds", "short"),
    [
        (7.9, 6000.0, ["claimed"], "claimed by Unit"),  # the answers' cap is lowered
        (20.0, 1.2, ["claimed"], ALONE),  # it is composed, and changes nothing
        (20.0, 5.0, [], ALONE),  # it is left out, and the answers have the whole budget
    ],
)
def test_what_carries_a_claim_is_said_and_audited(
    epsilon: float, mu: float, kinds: list[str], short: str, tmp_path: Path
) -> None:
    """Whatever of a signed claim was used: the audit derives caps for it, the words and the table
    of shares name what the epsilon comes from."""
    config, out = claiming(tmp_path, epsilon), tmp_path / "run"
    whole = run(config, out, f"answers.mu={mu}", "answers.allow_partial=true")
    assert whole.exit_code == 0, whole.output
    assert short in one_line(whole.output)
    (entry,) = read(out / "statement.json")["silos"]
    assert entry["charged"]["A"] == kinds
    used = short != ALONE
    assert entry["shares_mu2"] == ({"claimed": 1.0} if used else {"answers": 1.0})
    assert ("rests on it" in entry["brought"]["words"]) == used
    assert entry["brought"]["carried_by"] == ("claim" if used else "answers")
    audit = call("audit", "run", out)
    assert audit.exit_code == 0, audit.output


def test_all_sides_agree_that_a_model_is_brought_and_on_its_claim(tmp_path: Path) -> None:
    """Another claim under the same name, or none brought, is another agreement; a path is not."""
    config = configuration.load(str(claiming(tmp_path, 2.0)))
    agreed = resolved.agreed(config, "schema")
    (own,) = config.silos
    for path in ("model.json", str(tmp_path / "elsewhere.json")):
        moved = replace(config, silos=(replace(own, model=path),))
        assert resolved.agreed(moved, "schema") == agreed
    none = replace(config, silos=(replace(own, model=""),))
    assert resolved.agreed(none, "schema") != agreed
    claim = signed_claim.read(tmp_path / "claim.json", SIGNER.public.hex())
    swapped(tmp_path / "claim.json", replace(claim, epsilon=1.0))
    assert resolved.agreed(config, "schema") != agreed
