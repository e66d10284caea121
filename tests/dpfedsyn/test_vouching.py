"""What is said of models that silos bring: in full, in short, and what their epsilon comes from."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accountants import epsilon
from dpfedsyn import budget, vouching
from dpfedsyn import config as configuration
from dpfedsyn.report import wording
from dpfedsyn.settings import CLAIMED, TUNED, Config, SiloSettings
from dpfedsyn.signed_claim import Claim
from dpfedsyn.vouching import ANSWERS, CLAIM, TRAINING

SIGNED = Claim(2.0, 1e-6, "record", "add-or-remove", "letters", "Unit", "ab" * 32, "cd" * 64)
HOSPITALS = configuration.load("hospitals")


def bringing(config: Config = HOSPITALS, **changes: Any) -> tuple[Config, SiloSettings]:
    silo = replace(config.silos[0], model="m", **changes)
    return replace(config, silos=(silo, *config.silos[1:])), silo


def test_the_words_say_who_answers_and_what_is_left_without_them() -> None:
    """Each kind of training has its own; a claim that carries nothing is not said to."""
    config, silo = bringing(training=CLAIMED)
    alone = vouching.told(config, silo, None, ANSWERS)
    assert "not trained here; only the noise on its answers protects the records" in alone
    rests = vouching.told(config, silo, SIGNED, CLAIM)
    assert "'Unit' claims epsilon <= 2 for it (delta 1e-06, unit record, add-or-remove" in rests
    assert "data: letters) and has signed that; the record-level claim rests on it" in rests
    assert "has checked it; without it only the noise on the answers protects." in rests
    unused = vouching.told(config, silo, SIGNED, ANSWERS)
    assert "rests on it" not in unused
    assert "no epsilon here comes from it: it is the answers' own, and only the noise" in unused
    for words in (alone, rests, unused):
        assert "also behind another silo's model counts there too, toward privacy.overlap" in words
    single = replace(config, silos=config.silos[:1])
    assert "overlap" not in vouching.told(single, silo, None, ANSWERS)


def test_weights_that_are_said_to_be_public_are_only_said_to_be() -> None:
    """DP-SGD pays for its own records, and for nothing that the first weights have seen."""
    config, silo = bringing(training=TUNED, provenance="a public model", parameters=5)
    words = vouching.told(config, silo, None, TRAINING)
    assert "said to be public (a public model)" in words
    assert words.endswith(
        "if they were trained on records of the silo, nothing here protects those records from "
        "them but the answers' noise."
    )


@given(claimed=st.sampled_from([0.5, 2.0, 7.0, 20.0]), mu=st.sampled_from([0.05, 0.3, 1.0, 6000.0]))
def test_a_claim_carries_what_would_be_more_without_it(claimed: float, mu: float) -> None:
    """By the accountant: the same budget without the claim has a larger epsilon, or it has not."""
    config, silo = bringing(training=CLAIMED)
    config = replace(
        config,
        answers=replace(config.answers, mu=mu),
        weights=replace(config.weights, source="public"),
    )
    claim = replace(SIGNED, epsilon=claimed)
    found = budget.solve(config, silo, claim.event)
    alone = replace(found, claimed=None, record_mu=found.answers_mu)
    whole, without = (
        epsilon(one.record_claim(), delta=1e-5, adjacency="add-or-remove").upper
        for one in (found, alone)
    )
    carried = vouching.carries(config, silo, claim, found)
    assert (carried == CLAIM) == (whole < 0.999 * without)
    if claimed == 20.0:
        assert carried == ANSWERS
    if mu == 6000.0 and claimed < 8.0:
        assert carried == CLAIM


def test_what_was_named_is_said_where_the_plan_does_not_fit() -> None:
    config, silo = bringing(training=CLAIMED)
    assert vouching.carries(config, silo, SIGNED, None) == CLAIM
    assert vouching.carries(config, silo, None, None) == ANSWERS
    config, silo = bringing(training=TUNED)
    assert vouching.carries(config, silo, None, None) == TRAINING


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (None, ""),
        ({"training": "not private", "claim": None}, "only the noise on its answers protects"),
        ({"training": "claimed", "claim": SIGNED.to_dict()},
         "claimed by Unit for a model trained on letters; not checked here"),
        ({"training": "claimed", "claim": SIGNED.to_dict(), "carried_by": "answers"},
         "only the noise on its answers protects"),
        ({"training": "claimed", "claim": {}, "carried_by": "claim"}, "not checked here"),
        ({"training": "dp-sgd", "claim": None}, "said to be public; not checked here"),
    ],
)  # fmt: skip
def test_the_short_words_are_those_of_the_statement(
    model: dict[str, Any] | None, words: str
) -> None:
    """Also of statements that do not say what the epsilon comes from."""
    found = wording.behind(model)
    assert words in found
    assert not found or (found.startswith(" (") and found.endswith(")"))


def test_silos_with_the_same_words_share_them() -> None:
    entries = [{"name": name, "brought": {"training": "not private"}} for name in ("a", "b")]
    said = wording.models([*entries, {"name": "c"}])
    assert said == "a, b: model not trained here: only the noise on its answers protects."
    assert wording.models([{"name": "c"}]) == ""
