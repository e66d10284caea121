"""`dpfedsyn model`: what it says of a model, and claims that a run reads."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from dpfedsyn import config as configuration
from dpfedsyn import keys, signed_claim
from dpfedsyn.brought import network_weights
from dpfedsyn.domain import encoder_of
from tests.dpfedsyn import brought
from tests.end_to_end.small import call

HOSPITALS = configuration.load("hospitals")
SCHEMA = HOSPITALS.path(HOSPITALS.data.schema)
DIMENSION = encoder_of(HOSPITALS).dimension


def test_check_tells_what_a_run_would_ask(tmp_path: Path) -> None:
    """Class, size, levels, and the layer that DP-SGD cannot take, which is an error on demand."""
    model = brought.declared(tmp_path, [DIMENSION])
    result = call("model", "check", model, "--schema", SCHEMA)
    words = " ".join(result.output.split())
    assert result.exit_code == 0, result.output
    assert f"Linear of 3 parameters for samples ({DIMENSION},), predicts epsilon at 1000" in words
    assert "DP-SGD could not take: the module (Linear): no gradient of single records" in words
    assert call("model", "check", model, "--schema", SCHEMA, "--dp-sgd").exit_code == 2


def test_a_model_with_batch_norm_is_refused_for_dp_sgd_by_its_name(tmp_path: Path) -> None:
    """It may answer, since rows do not mix in evaluation; it may not be trained."""
    model = brought.declared(tmp_path, [DIMENSION], module="tests.dpfedsyn.brought:normalised")
    save_file(brought.normalised(DIMENSION).state_dict(), tmp_path / "weights.safetensors")
    assert call("model", "check", model, "--schema", SCHEMA).exit_code == 0
    result = call("model", "check", model, "--schema", SCHEMA, "--dp-sgd")
    words = " ".join(result.output.split())
    assert result.exit_code == 2
    assert "norm (BatchNorm1d): batch normalisation mixes the records" in words
    assert "use nn.GroupNorm" in words


def test_a_model_is_tried_on_synthetic_rows(tmp_path: Path) -> None:
    """One that mixes records by code that no class tells is refused; the other is told that it
    passed. Integers among its parameters are no trouble."""
    for kind, status, text in (
        (brought.Plain, 0, "take every layer, and on synthetic rows no record met another"),
        (brought.Met, 2, "before layer (Linear): one record's values depend on the others"),
    ):
        module = f"tests.dpfedsyn.brought:{kind.__name__}"
        model = brought.declared(tmp_path, [DIMENSION], module=module)
        save_file(kind(DIMENSION).state_dict(), tmp_path / "weights.safetensors")
        result = call("model", "check", model, "--schema", SCHEMA, "--dp-sgd")
        assert result.exit_code == status, result.output
        assert text in " ".join(result.output.split())
        assert call("model", "check", model, "--schema", SCHEMA).exit_code == 0


def test_a_signed_claim_is_read_by_a_run(tmp_path: Path) -> None:
    """A key, its public half, a claim and its opening; nothing is overwritten."""
    brought.declared(tmp_path, [DIMENSION])
    secret, out = tmp_path / "signer", tmp_path / "claim.json"
    made = call("model", "key", secret)
    public = made.output.split('"')[1]
    assert keys.load(secret).public.hex() == public
    terms = ("--epsilon", 2, "--delta", 1e-6, "--data", "letters", "--signer", "Unit")
    files = (tmp_path / "weights.safetensors", "--key", secret, "--out", out)
    assert call("model", "claim", *files, *terms).exit_code == 0
    claim = signed_claim.read(out, public)
    assert (claim.epsilon, claim.delta, claim.signer) == (2.0, 1e-6, "Unit")
    _, digest = network_weights.read(tmp_path / "weights.safetensors")
    signed_claim.require_model(claim, out, digest)
    again = call("model", "claim", *files, *terms)
    assert again.exit_code == 2
    assert "is there already" in again.output
    assert call("model", "key", secret).exit_code == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [("--epsilon", -1), ("--delta", 1), ("--unit", "row"), ("--adjacency", "near")],
)
def test_what_claims_nothing_is_not_signed(option: str, value: object, tmp_path: Path) -> None:
    """Exit code 2, and no file."""
    brought.declared(tmp_path, [DIMENSION])
    call("model", "key", tmp_path / "signer")
    out = tmp_path / "claim.json"
    terms = {"--epsilon": 2, "--delta": 1e-6, "--data": "letters", "--signer": "Unit"}
    terms = terms | {option: value, "--key": tmp_path / "signer", "--out": out}
    given = [part for pair in terms.items() for part in pair]
    result = call("model", "claim", tmp_path / "weights.safetensors", *given)
    assert result.exit_code == 2
    assert "is no privacy claim" in " ".join(result.output.split())
    assert not out.exists()


def claim(folder: Path, **changes: object) -> Any:
    """Sign a claim in a folder that holds weights and a signer's secret."""
    given = {"epsilon": 2, "delta": 1e-6, "data": "letters", "signer": "Unit"}
    given |= {"key": folder / "signer", "out": folder / "claim.json"} | changes
    options = [part for name, value in given.items() for part in (f"--{name}", value)]
    return call("model", "claim", folder / "weights.safetensors", *options)


def test_a_claim_is_never_written_over_its_opening(tmp_path: Path) -> None:
    """A claim by the name of its own opening would be that file, and nobody could open it."""
    brought.declared(tmp_path, [DIMENSION])
    call("model", "key", tmp_path / "signer")
    result = claim(tmp_path, out=tmp_path / "foo.opening")
    assert result.exit_code == 2
    assert "nothing was signed. Name another --out, such as claim.json" in " ".join(
        result.output.split()
    )
    assert not (tmp_path / "foo.opening").exists()
    (tmp_path / "claim.opening").write_text("of another claim")
    assert "claim.opening: is there already" in " ".join(claim(tmp_path).output.split())
    assert (tmp_path / "claim.opening").read_text() == "of another claim"
    assert not (tmp_path / "claim.json").exists()


def test_what_cannot_be_written_is_told_of_claims_and_keys(tmp_path: Path) -> None:
    """No folder, or no room: nothing is charged by signing, and nothing can be resumed."""
    brought.declared(tmp_path, [DIMENSION])
    call("model", "key", tmp_path / "signer")
    results = {
        "there is no claim": claim(tmp_path, out=tmp_path / "none" / "claim.json"),
        "there is no key": call("model", "key", tmp_path / "none" / "signer"),
    }
    for words, result in results.items():
        told = " ".join(result.output.split())
        assert result.exit_code == 2
        assert f"cannot be written (No such file or directory), so {words}" in told
        assert "charged" not in told
        assert "--resume" not in told


def test_what_is_wrong_with_a_signer_s_secret_is_told_of_a_signer(tmp_path: Path) -> None:
    """Missing, of another length, open to others: it is no silo's key, and has no ledger."""
    brought.declared(tmp_path, [DIMENSION])
    secret = tmp_path / "signer"
    told = {"there is no such file": claim(tmp_path)}
    secret.write_bytes(b"short")
    told["has 32 bytes, this file 5"] = claim(tmp_path)
    secret.unlink()
    call("model", "key", secret)
    secret.chmod(0o644)
    told["others may, who could then sign"] = claim(tmp_path)
    for words, result in told.items():
        output = " ".join(result.output.split())
        assert result.exit_code == 2
        assert words in output
        assert "nothing was signed" in output
        assert "ledger" not in output
    assert not (tmp_path / "claim.json").exists()
    secret.chmod(0o600)
    assert claim(tmp_path).exit_code == 0
