"""Claims of others for models trained elsewhere: signed, pinned, and bound to one model."""

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import Adjacency, Cascade, Composed, Gaussian, epsilon, gaussian
from accountants.rows import encode
from dpfedsyn import budget, keys, shares, signed_claim
from dpfedsyn import config as configuration
from dpfedsyn.errors import ModelError
from dpfedsyn.settings import CLAIMED, Config, SiloSettings
from dpfedsyn.signed_claim import Claim

SIGNER, OTHER = keys.SiloKey(b"s" * 32), keys.SiloKey(b"o" * 32)
OPENING, WEIGHTS = b"o" * 32, "ab" * 32
CLAIM = Claim(
    2.0, 1e-6, "record", "add-or-remove", "letters of 2019", "Statistics unit",
    signed_claim.committed(OPENING, WEIGHTS),
)  # fmt: skip
SIGNED = signed_claim.signed(CLAIM, SIGNER)


@given(
    name=st.sampled_from([field.name for field in dataclasses.fields(Claim)]),
    change=st.sampled_from([1.0000000000000002, "x", ""]),
)
def test_a_signature_covers_every_field(name: str, change: Any) -> None:
    """Guarantee of dpfedsyn.signed_claim.is_genuine: True only for what that holder signed, every
    field of it; not for another's key, and not for a claim without a signature."""
    assert signed_claim.is_genuine(SIGNED, SIGNER.public)
    assert not signed_claim.is_genuine(SIGNED, OTHER.public)
    assert not signed_claim.is_genuine(CLAIM, SIGNER.public)
    value = getattr(SIGNED, name)
    changed = value * change if isinstance(value, float) and isinstance(change, float) else change
    if isinstance(changed, type(value)) and changed != value:
        assert not signed_claim.is_genuine(replace(SIGNED, **{name: changed}), SIGNER.public)


def test_only_the_model_that_was_committed_to_opens_the_claim(tmp_path: Path) -> None:
    """Guarantee of dpfedsyn.signed_claim.require_model: Passes only for weights with the digest
    that was committed to; another model, another opening and a lost one are refused."""
    path = tmp_path / "claim.json"
    signed_claim.write(SIGNED, path, OPENING)
    assert signed_claim.read(path, SIGNER.public.hex()) == SIGNED
    place = signed_claim.opening_of(path)
    assert place.stat().st_mode & 0o077 == 0
    signed_claim.require_model(SIGNED, path, WEIGHTS)
    with pytest.raises(ModelError, match="of another model than these weights"):
        signed_claim.require_model(SIGNED, path, "cd" * 32)
    for content, words in (("00" * 32, "of another model"), ("zz", "cannot be read")):
        place.write_text(content)
        with pytest.raises(ModelError, match=words):
            signed_claim.require_model(SIGNED, path, WEIGHTS)
    place.unlink()
    with pytest.raises(ModelError, match="opening cannot be read"):
        signed_claim.require_model(SIGNED, path, WEIGHTS)
    assert WEIGHTS not in path.read_text()


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        ({"signature": ""}, SIGNER, "not signed.*'Statistics unit'"),
        ({"signature": None}, SIGNER, "not signed"),
        ({"epsilon": 1.0}, SIGNER, "not one of this claim.*edited"),
        ({"signature": "zz"}, SIGNER, "not one of this claim"),
        ({}, OTHER, "not one of this claim by the key that claim_key pins"),
        ({"version": 2}, SIGNER, "no version 1"),
        ({"note": "?"}, SIGNER, "note differ"),
        ({"data": None}, SIGNER, "data differ"),
        ({"epsilon": -1.0}, SIGNER, "epsilon = -1"),
        ({"epsilon": "2"}, SIGNER, "epsilon = '2'"),
        (
            {"data": "x\n- a: epsilon <= 0.10"},
            SIGNER,
            r"data of a claim: character 2 .*in one line",
        ),
        ({"signer": "\x1b[2J"}, SIGNER, r"signer of a claim: character 1 of it is '\\x1b'"),
        ({"data": " "}, SIGNER, "data of a claim: it is empty"),
        ({"signer": "x" * 201}, SIGNER, "it has 201 characters, and 200 are allowed"),
        ({"epsilon": 10**400}, SIGNER, "holds no privacy claim .int too large"),
        ({"epsilon": float("inf")}, SIGNER, "epsilon = inf"),
        ({"epsilon": float("nan")}, SIGNER, "epsilon = nan"),
    ],
)
def test_a_claim_that_nobody_answers_for_is_refused(
    change: dict[str, Any], key: keys.SiloKey, words: str, tmp_path: Path
) -> None:
    """Unsigned, edited, signed by another, or no claim at all: the mend is in the message."""
    content = {k: v for k, v in (SIGNED.to_dict() | change).items() if v is not None}
    path = tmp_path / "claim.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=f"(?s){words}") as refused:
        signed_claim.read(path, key.public.hex())
    assert 'training = "not private"' in str(refused.value)


def test_a_claim_nested_without_end_is_none(tmp_path: Path) -> None:
    """As any other file that is no claim."""
    path = tmp_path / "claim.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ModelError, match=r"holds no privacy claim .maximum recursion depth"):
        signed_claim.read(path, SIGNER.public.hex())


def test_numbers_without_end_are_not_signed() -> None:
    """An infinite epsilon claims nothing."""
    assert replace(CLAIM, epsilon=0.0, delta=0.0).checked().epsilon == 0.0
    for changes in ({"epsilon": math.inf}, {"epsilon": -1e-9}, {"delta": 1.0}, {"delta": -1e-9}):
        with pytest.raises(ModelError, match="is no privacy claim"):
            replace(CLAIM, **changes).checked()


def test_what_is_signed_is_a_claim_and_nothing_else() -> None:
    """Behind a name of its own kind, so that no other signed message of a key can be one."""
    numbers = ((2.0).hex(), (1e-6).hex())
    rest = ("record", "add-or-remove", "letters of 2019", "Statistics unit", CLAIM.model)
    assert CLAIM.message() == encode("dpfedsyn-claim/1", *numbers, *rest)


def test_an_opening_is_never_written_over_and_has_its_length(tmp_path: Path) -> None:
    """The one that lies there stays; a short one opens nothing, whatever it was committed with."""
    path, short = tmp_path / "claim.json", b"o" * 31
    claim = signed_claim.signed(
        replace(CLAIM, model=signed_claim.committed(short, WEIGHTS)), SIGNER
    )
    signed_claim.write(claim, path, short)
    place = signed_claim.opening_of(path)
    with pytest.raises(ModelError, match="31 bytes instead of 32"):
        signed_claim.require_model(claim, path, WEIGHTS)
    with pytest.raises(FileExistsError):
        signed_claim.write(SIGNED, path, OPENING)
    assert place.read_text().strip() == short.hex()
    assert signed_claim.read(path, SIGNER.public.hex()) == claim


def brought(config: Config, **changes: Any) -> tuple[Config, SiloSettings]:
    silo = replace(config.silos[0], model="m", **changes)
    return replace(config, silos=(silo, *config.silos[1:])), silo


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unit": "person"}, "unit 'person', the run has 'record'"),
        ({"adjacency": "replace"}, r"adjacency 'replace'.*privacy\.adjacency"),
        ({"delta": 1e-5}, r"delta = 1e-05, the run's is 1e-05"),
    ],
)
def test_a_claim_in_other_terms_says_nothing_here(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """Units and adjacencies are never mixed; a delta must leave room."""
    claim = signed_claim.signed(replace(CLAIM, **changes), SIGNER)
    signed_claim.write(claim, tmp_path / "claim.json", OPENING)
    config, silo = brought(
        configuration.load("hospitals"),
        training=CLAIMED,
        claim=str(tmp_path / "claim.json"),
        claim_key=SIGNER.public.hex(),
    )
    with pytest.raises(ModelError, match=words):
        signed_claim.of_silo(config, silo)


def test_without_a_claim_the_answers_are_the_whole_record_claim() -> None:
    """mu of counts and of answers between any two models add up to the budget's; nothing else."""
    config, silo = brought(configuration.load("hospitals"))
    found = budget.solve(config, silo)
    mu2 = gaussian.mu(8.0, 1e-5) ** 2
    assert found.counts is not None
    assert found.record_mu == found.answers_mu
    assert found.counts.mu**2 == pytest.approx(0.03 * mu2)
    assert found.answers_mu**2 == pytest.approx(0.97 * mu2)
    claim = epsilon(found.record_claim(), delta=1e-5, adjacency=Adjacency.ADD_OR_REMOVE)
    assert 7.999 <= claim.upper <= 8.0
    public = replace(config, weights=replace(config.weights, source="public"))
    alone = budget.solve(public, silo)
    assert alone.counts is None
    assert alone.answers_mu**2 == pytest.approx(mu2)
    for adjacency in Adjacency:
        assert epsilon(alone.record_claim(), delta=1e-5, adjacency=adjacency).upper <= 8.0


@given(st.text(max_size=300))
def test_words_of_a_claim_begin_no_line_of_their_own(text: str) -> None:
    """What is signed prints as one line of at most 200 characters, or is refused."""
    printable = bool(text.strip()) and len(text) <= 200 and text.isprintable()
    for name in ("data", "signer"):
        claim = replace(CLAIM, **{name: text})
        if printable:
            assert len(claim.checked().data.splitlines()) == 1
        else:
            with pytest.raises(
                ModelError, match=f"(?s){name} of a claim.*nothing was signed or read"
            ):
                claim.checked()


@given(claimed=st.sampled_from([20.0, 1e3]), mu=st.sampled_from([2.5, 6000.0]))
def test_a_claim_that_gives_no_more_answers_is_left_out(claimed: float, mu: float) -> None:
    """Its budget is the one without it, so nothing says that anything rests on it."""
    config, silo = brought(configuration.load("hospitals"), training=CLAIMED)
    config = replace(config, answers=replace(config.answers, mu=mu))
    event = replace(CLAIM, epsilon=claimed).event
    assert budget.solve(config, silo, event) == budget.solve(config, silo)


@pytest.mark.parametrize(("claimed", "whole"), [(2.0, True), (7.9, False), (20.0, False)])
def test_a_claim_composes_as_the_cascade_and_never_beyond_the_budget(
    claimed: float, whole: bool
) -> None:
    """R composed with the cascade of claim and answers; the answers get what is left, and at least
    what they would get without the claim."""
    config, silo = brought(configuration.load("hospitals"), training=CLAIMED)
    claim = replace(CLAIM, epsilon=claimed)
    found, without = budget.solve(config, silo, claim.event), budget.solve(config, silo)
    upper = epsilon(found.record_claim(), delta=1e-5, adjacency=Adjacency.ADD_OR_REMOVE).upper
    assert upper <= 8.0
    assert found.answers_mu >= without.answers_mu
    if whole:
        cap = shares.cap_mu(config)
        assert found.answers_mu == cap
        assert found.counts is not None
        wanted = Cascade(Composed((claim.event,)), Gaussian(1.0 / cap))
        assert found.record_claim() == Composed((found.counts, wanted))
        assert upper >= claimed
