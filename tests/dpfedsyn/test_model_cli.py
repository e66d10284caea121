"""`dpfedsyn model`: what it says of a model, and claims that a run reads."""

from pathlib import Path

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
