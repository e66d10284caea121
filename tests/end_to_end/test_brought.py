"""Runs whose silos bring their models: what is charged, what is said, what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file
from safetensors.torch import save_file

from dpfedsyn import brought as reading
from dpfedsyn import checkpoint, keys, signed_claim
from dpfedsyn import config as configuration
from dpfedsyn.device import pick_device
from dpfedsyn.domain import encoder_of
from dpfedsyn.signed_claim import Claim
from tests.dpfedsyn import brought
from tests.end_to_end.small import call, ledger, read

SIGNER = keys.SiloKey(b"s" * 32)
EXAMPLE = configuration.load("two-hospitals")
ENCODER = encoder_of(EXAMPLE)
ALONE = "this model was not trained here; only the noise on its answers protects"
FEW = (
    "answers.rows=40", "answers.mu=1.2", "sampler.levels=4", "train.steps=4", "train.draws=2",
    "network.hidden=16",
)  # fmt: skip


def written(folder: Path, silos: str, *, public: bool = False, more: str = "") -> Path:
    """Write a configuration of the hospitals' records with these [[silos]] and their model."""
    brought.declared(folder, [ENCODER.dimension])
    source = "public" if public else "counts"
    # Several silos here bring the one model: its records count in each.
    overlap = max(1, silos.count('"model.json"'))
    (folder / "config.toml").write_text(
        f'name = "brought"\n{more}\n[data]\nschema = "{EXAMPLE.path(EXAMPLE.data.schema)}"\n'
        f"[privacy]\noverlap = {overlap}\n"
        f'[weights]\nsource = "{source}"\n[answers]\nbest_share = 0.0\n{silos}'
    )
    return folder / "config.toml"


def silo(name: str, **keys_: Any) -> str:
    values = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys_.items())
    return f'[[silos]]\nname = "{name}"\n{values}'


def records(name: str) -> str:
    own = next(s for s in EXAMPLE.silos if s.name == name)
    return str(EXAMPLE.records_path(own.path))


def claimed(folder: Path, config: Path, **changes: Any) -> Path:
    """Sign a claim for the model in a folder."""
    loaded = configuration.load(str(config))
    model = reading.read(folder / "model.json", ENCODER, pick_device(loaded))
    terms = {"epsilon": 2.0, "delta": 1e-6, "unit": "record", "adjacency": "add-or-remove"}
    claim = Claim(
        **(terms | changes), data="letters", signer="Unit",
        model=signed_claim.committed(b"o" * 32, model.digest),
    )  # fmt: skip
    signed_claim.write(signed_claim.signed(claim, SIGNER), folder / "claim.json", b"o" * 32)
    return folder / "claim.json"


def found(out: Path, check: str) -> dict[str, Any]:
    """What the kept audit found by a check, silo by silo."""
    return {
        one["silo"]: one for one in read(out / "audit.json")["findings"] if one["check"] == check
    }


def run(config: Path, out: Path, *more: str) -> Any:
    chosen = [part for setting in (*FEW, *more) for part in ("--set", setting)]
    return call("run", config, "--out", out, *chosen)


def resumed(config: Path, out: Path) -> Any:
    return call("run", config, "--out", out, "--resume", *(
        part for setting in FEW for part in ("--set", setting)))  # fmt: skip


def test_one_silo_brings_a_model_and_one_trains(tmp_path: Path) -> None:
    """Its counts are charged, its answers at record level; plan, statement, report say the rest."""
    silos = silo("cleveland", path=records("cleveland")) + silo(
        "hungarian", path=records("hungarian"), model="model.json"
    )
    out = tmp_path / "run"
    result = run(written(tmp_path, silos), out)
    assert result.exit_code == 0, result.output
    statement = read(out / "statement.json")
    own = {entry["name"]: entry for entry in statement["silos"]}
    assert "brought" not in own["cleveland"]
    hungarian = own["hungarian"]
    assert ALONE in hungarian["brought"]["words"]
    assert hungarian["brought"]["training"] == "not private"
    assert hungarian["charged"]["R"] == ["counts"]
    assert hungarian["charged"]["A"] == []
    assert hungarian["epsilon"]["upper"] <= 8.0
    # The spent readings of records and answers differ by the counts only.
    spent = hungarian["readings"]
    assert spent["record"]["upper"] > spent["answers"]["upper"] > 0.0
    assert any(ALONE in text for text in statement["caveats"])
    assert any(ALONE in hazard["answer"] for hazard in statement["hazards"])
    assert any(ALONE in text for text in read(out / "plan.json")["notes"])
    assert ALONE in " ".join((out / "report.html").read_text(encoding="utf-8").split())
    assert (out / "silos" / "hungarian" / "model.sha256").stat().st_mode & 0o077 == 0
    assert call("ledger", "verify", ledger(out, "hungarian")).exit_code == 0
    audit = call("audit", "run", out)
    assert audit.exit_code == 0, audit.output
    # Its answers are predicted again from the model that it brought, if that is still there.
    behind = found(out, "model behind answers")
    assert behind["hungarian"]["verdict"] == "CONSISTENT"
    assert behind["hungarian"]["numbers"]["rounds"] > 0
    again = resumed(tmp_path / "config.toml", out)
    assert again.exit_code == 0, again.output
    results = read(out / "results.json")
    assert {row["silo"] for row in results["denoising"]} == {"cleveland"}


def test_the_weights_may_not_change_under_a_ledger(tmp_path: Path) -> None:
    """Resumed with another model, the run is refused; with the old one it goes on."""
    silos = silo("a", model="model.json") + silo("b", model="model.json")
    config, out = written(tmp_path, silos, public=True), tmp_path / "run"
    assert run(config, out).exit_code == 0
    state = brought.Linear().state_dict()
    save_file({name: value + 1 for name, value in state.items()}, tmp_path / "weights.safetensors")
    again = resumed(config, out)
    assert again.exit_code == 4
    assert "holds other weights than when the run was started" in " ".join(again.output.split())
    assert call("audit", "run", out).exit_code == 0
    assert {one["verdict"] for one in found(out, "model behind answers").values()} == {
        "INCONCLUSIVE"
    }
    save_file(state, tmp_path / "weights.safetensors")
    again = resumed(config, out)
    assert again.exit_code == 0, again.output


def test_silos_without_records_need_public_weights(tmp_path: Path) -> None:
    """All bring models: no counts, no records, and the whole budget is the answers'."""
    silos = silo("a", model="model.json", weight=2.0) + silo("b", model="model.json")
    config, out = written(tmp_path, silos, public=True), tmp_path / "run"
    result = run(config, out)
    assert result.exit_code == 0, result.output
    statement = read(out / "statement.json")
    for entry in statement["silos"]:
        assert entry["charged"]["R"] == entry["charged"]["A"] == []
        record, level = entry["readings"]["record"], entry["readings"]["silo"]
        assert record["upper"] == entry["readings"]["answers"]["upper"] == level["upper"]
    assert statement["implementation"]["training"] == "none: every silo brings its model"
    assert call("audit", "run", out).exit_code == 0
    (tmp_path / "counts").mkdir()
    refused = run(written(tmp_path / "counts", silos), tmp_path / "none")
    assert refused.exit_code == 2
    assert "brings a model and no records to count" in " ".join(refused.output.split())


def test_a_signed_claim_is_the_signer_s_and_composes(tmp_path: Path) -> None:
    """Answers of mu in the thousands, as for a model that is trained here; the claim is told."""
    key = SIGNER.public.hex()
    names = {"model": "model.json", "training": "claimed", "claim": "claim.json", "claim_key": key}
    plain = silo("a", model="model.json") + silo("b", model="model.json")
    config = written(tmp_path, plain, public=True)
    claimed(tmp_path, config)
    shutil.copyfile(tmp_path / "model.json", tmp_path / "other.json")
    other = names | {"model": "other.json"}
    config = written(tmp_path, silo("a", **names) + silo("b", **other), public=True)
    out = tmp_path / "run"
    result = run(config, out, "answers.mu=3000.0")
    assert result.exit_code == 0, result.output
    statement = read(out / "statement.json")
    entry = statement["silos"][0]
    assert 1.99 <= entry["epsilon"]["upper"] <= 2.2
    assert entry["readings"]["answers"]["upper"] > 1e4
    assert entry["charged"]["A"] == ["claimed"]
    assert entry["brought"]["claim"]["signer"] == "Unit"
    assert entry["brought"]["claim"]["public_key"] == key
    assert "the record-level claim rests on it. Nobody here has checked it" in str(statement)
    audit = call("audit", "run", out)
    assert audit.exit_code == 0, audit.output


BROKEN = {
    "claim without signature": (lambda f: brought.edit(f / "claim.json", signature=""),
                                "not signed"),
    "claim signed by another": (lambda f: brought.edit(f / "claim.json", epsilon=1.0),
                                "not one of this claim by the key"),
    "claim of another model": (lambda f: save_file(
        {k: v + 1 for k, v in brought.Linear().state_dict().items()}, f / "weights.safetensors"),
        "of another model than these weights"),
    "claim that is missing": (lambda f: (f / "claim.json").unlink(), "claim.json is missing"),
    "missing keys": (lambda f: save_file({}, f / "weights.safetensors"), "missing: gain, shift"),
    "wrong shapes": (lambda f: brought.edit(f / "model.json", shape=[3]), "takes samples of shape"),
    "wrong schedule": (lambda f: brought.edit(f / "model.json", schedule={"beta_schedule": "?"}),
                       "beta_schedule = '?' is not understood"),
    "a file that holds code": (lambda f: brought.edit(f / "model.json", weights="weights.bin"),
                               "can run code"),
    "no model": (lambda f: (f / "model.json").unlink(), "model.json is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_or_claim_that_does_not_fit_ends_before_anything_is_written(
    name: str, tmp_path: Path
) -> None:
    """Exit code 2, the fault and the mend, no folder."""
    key = SIGNER.public.hex()
    names = {"model": "model.json", "training": "claimed", "claim": "claim.json", "claim_key": key}
    config = written(tmp_path, silo("a", model="model.json"), public=True)
    claimed(tmp_path, config)
    config = written(tmp_path, silo("a", **names), public=True)
    change, words = BROKEN[name]
    change(tmp_path)
    result = run(config, tmp_path / "run")
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "more", "words"),
    [
        ({"claim": "claim.json"}, "", 'training = "not private" with claim'),
        ({"training": "claimed"}, "", '"claimed" needs both'),
        ({"model": "", "training": "claimed"}, "", "`model` is empty"),
        ({"model": "", "path": ""}, "", "nothing to answer with"),
        ({}, "train.method=ensemble", "train.method = 'ensemble': a brings a model"),
        ({}, "base.combine=pool", "base.combine = 'pool': a brings a model"),
        ({}, 'evaluate.baselines="fedavg"', "evaluate.baselines = ['fedavg']"),
        ({"training": "claimed", "claim": "claim.json"}, "", '"claimed" needs both'),
        ({"training": "claimed", "claim_key": "00"}, "", '"claimed" needs both'),
        ({"training": "dp-sgd", "provenance": " ", "parameters": 3}, "", "whose public records"),
        ({"training": "dp-sgd", "provenance": "x", "parameters": 3}, "", "needs records"),
        (
            {"training": "dp-sgd", "provenance": "x\n- y", "parameters": 3},
            "",
            "silos.a.provenance: character 2 of it is '\\n'",
        ),
    ],
)
def test_settings_that_do_not_go_with_a_brought_model(
    changes: dict[str, str], more: str, words: str, tmp_path: Path
) -> None:
    """All before anything is read; each names its key."""
    config = written(tmp_path, silo("a", **({"model": "model.json"} | changes)), public=True)
    (tmp_path / "claim.json").write_text("{}")
    result = run(config, tmp_path / "run", *([more] if more else []))
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    shutil.rmtree(tmp_path / "run", ignore_errors=True)


def test_one_model_of_two_silos_counts_toward_the_overlap(tmp_path: Path) -> None:
    """By its file, whatever path names it; the claim across silos composes both, or is refused."""
    (tmp_path / "linked.json").symlink_to(tmp_path / "model.json")
    config = written(tmp_path, silo("a", model="model.json") + silo("b", model="linked.json"))
    public, one = 'weights.source="public"', "privacy.overlap=1"
    refused = run(config, tmp_path / "run", public, one)
    words = " ".join(refused.output.split())
    assert refused.exit_code == 2
    assert "privacy.overlap = 1: a, b bring one model, so each record behind it is exposed" in words
    assert "set privacy.overlap = 2 or more, or bring a model each" in words
    chosen = ("--set", public, "--set", "privacy.overlap=2", "--set", "answers.mu=1.2", "--json")
    planned = call("plan", config, *chosen)
    assert planned.exit_code == 0, planned.output
    plan = json.loads(planned.output)
    (alone,) = {entry["readings"]["record"]["upper"] for entry in plan["silos"]}
    assert plan["across_silos"]["upper"] > 1.2 * alone
    assert any("counts there too, toward privacy.overlap = 2" in note for note in plan["notes"])
    # A server of silos elsewhere has no models to compare; the caveat says so.
    configuration.load(str(config), [public, one], records=False)


DIGITS = configuration.load("digits")


def tuned(folder: Path, kind: Any = brought.Pictures, **changes: Any) -> Path:
    """A silo of digits, without labels, that trains a brought denoiser of pictures further."""
    brought.pictures(folder, kind)
    text = DIGITS.path(DIGITS.data.schema).read_text()
    latent = '[latent]\nbasis = "pixels"\ngrey = 0.5\nscale = 2.0\n'
    head, _, rest = text.partition("[latent]")
    after = rest[rest.index("\n[") :]
    (folder / "schema.toml").write_text(head + latent + after)
    values = {
        "path": str(DIGITS.records_path(DIGITS.data.path)), "model": "model.json",
        "training": "dp-sgd", "provenance": "made for this test",
        "parameters": sum(p.numel() for p in kind().parameters()), "reference_size": 1000,
    } | changes  # fmt: skip
    (folder / "config.toml").write_text(
        '[data]\nschema = "schema.toml"\nconditional = false\n[weights]\nsource = "public"\n'
        "[answers]\nbest_share = 0.0\n" + silo("a", **values)
    )
    return folder / "config.toml"


def test_a_brought_model_is_trained_further_with_dp_sgd(tmp_path: Path) -> None:
    """Its steps are charged in blocks and resumed; where its first weights are from is told."""
    config, out = tuned(tmp_path), tmp_path / "run"
    more = ("answers.mu=4000.0", "train.block=2", "evaluate.enabled=false")
    result = run(config, out, *more)
    assert result.exit_code == 0, result.output
    entry = read(out / "statement.json")["silos"][0]
    assert entry["charged"]["A"] == ["dp-sgd"]
    assert entry["epsilon"]["upper"] <= 8.0
    assert "said to be public (made for this test)" in entry["brought"]["words"]
    trained = out / "silos" / "a" / "model.safetensors"
    audit = call("audit", "run", out, "--retrain")
    assert audit.exit_code == 0, audit.output
    (again,) = found(out, "training repeated").values()
    assert again["verdict"] == "CONSISTENT"
    assert again["numbers"]["steps"] == 4
    # A model that other noise made is not the one that the charges make.
    arrays = load_file(trained)
    checkpoint.save(trained, {
        name: value * 1.5 if name.startswith("weights/") else value
        for name, value in arrays.items()
    })  # fmt: skip
    audit = call("audit", "run", out, "--retrain")
    assert audit.exit_code == 5
    assert "DP-SGD at the charged noise leads elsewhere" in " ".join(audit.output.split())
    # Without the model that it began with nothing can be said.
    (tmp_path / "weights.safetensors").unlink()
    assert call("audit", "run", out, "--retrain").exit_code == 0
    (unknown,) = found(out, "training repeated").values()
    assert unknown["verdict"] == "INCONCLUSIVE"


def test_what_dp_sgd_cannot_take_is_refused_by_its_layer(tmp_path: Path) -> None:
    """Batch norm, a mean over the batch, a layer that is not used: exit code 2 before anything is
    written; so is a start of unknown origin."""
    config = tuned(tmp_path, brought.Blurred)
    result = run(config, tmp_path / "run")
    words = " ".join(result.output.split())
    assert result.exit_code == 2
    assert "norm (BatchNorm2d): batch normalisation mixes the records" in words
    assert not (tmp_path / "run").exists()
    for kind, fault in (
        (brought.Centred, "before enter (Conv2d): one record's values depend on the others"),
        (brought.Spare, "spare.weight, spare.bias: no gradient of single records"),
    ):
        result = run(tuned(tmp_path, kind), tmp_path / "run")
        assert result.exit_code == 2
        words = " ".join(result.output.split())
        assert fault in words
        assert "nothing was trained or charged" in words
        assert not (tmp_path / "run").exists()
    result = run(tuned(tmp_path, provenance=""), tmp_path / "run")
    assert result.exit_code == 2
    assert "needs to know whose public records" in " ".join(result.output.split())
