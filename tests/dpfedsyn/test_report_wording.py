"""Words and numbers of a claim: rounding never flatters, and no epsilon stands alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpfedsyn.report import plan_tables, tables, wording
from tests.dpfedsyn import run_folders

TERMS = wording.Terms(1e-5, "record", "add-or-remove")
EPSILONS = st.floats(min_value=1e-9, max_value=1e15)


@given(EPSILONS)
def test_printed_upper_bound_is_never_below_the_bound(epsilon: float) -> None:
    """Beyond float rounding it is rounded up, by less than its last digit or 10 %."""
    printed = float(wording.number(epsilon))
    assert epsilon * (1 - 2e-9) <= printed <= max(epsilon + 0.01, epsilon * 1.1)


@given(EPSILONS)
def test_printed_lower_bound_is_never_above_the_bound(epsilon: float) -> None:
    """A certified lower bound is rounded down."""
    assert float(wording.number(epsilon, upward=False)) <= epsilon * (1 + 2e-9)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (7.99, "7.99"),
        (7.991, "8.00"),
        (8.000000000000014, "8.00"),
        (8.0001, "8.01"),
        (0.001, "0.00100"),
        (0.0, "0"),
        (1e4, "10000.00"),
        (2.2e7, "2.2e+07"),
        (2.11e7, "2.2e+07"),
        (math.inf, "infinite"),
        (math.nan, "none"),
        (None, "none"),
    ],
)
def test_epsilon_is_printed_as_documented(value: float | None, printed: str) -> None:
    """Two decimals, three digits below 0.1, an exponent above 1e4, words for the rest."""
    assert wording.number(value) == printed


@given(EPSILONS, st.sampled_from(["record", "person", "silo"]))
def test_claim_names_delta_unit_and_adjacency_after_the_upper_bound(
    upper: float, unit: str
) -> None:
    """The upper bound comes first, and no claim lacks its terms."""
    said = wording.claim(run_folders.bound(upper, upper / 2), wording.Terms(1e-5, unit, "replace"))
    assert said.startswith(f"epsilon <= {wording.number(upper)}")
    assert f"(delta 1e-05, unit {unit}, replace, certified at least " in said
    assert ("no protection of its own" in said) == (upper > 1e4)


def test_reading_without_a_bound_says_none_and_why() -> None:
    """None is a word with a reason, never an empty cell or a zero."""
    assert wording.claim(None, TERMS, "counts are released") == "none (counts are released)"
    table = tables.readings(run_folders.statement()["silos"])
    cells = {row[0]: row[1:] for row in table.rows}
    assert cells["hungary: silo"] == ("none", "none", "1e-05", "silo", "replace")
    assert "silo: none, because noisy label counts" in table.note
    assert wording.claim({"upper": None, "lower": None}, TERMS) == "none (no finite bound)"


def test_readings_of_a_run_are_called_spent_and_those_of_a_plan_are_not() -> None:
    """Only caps fixed in advance make a guarantee; a plan is at its caps."""
    assert "not a guarantee" in tables.readings(run_folders.statement()["silos"]).note
    assert "not a guarantee" not in tables.readings(run_folders.plan()["silos"], TERMS).note


def test_silo_reading_has_its_own_unit_and_adjacency() -> None:
    """The two-point bound hides a whole silo under replace, whatever the claim's unit is."""
    assert str(wording.terms_of_reading("silo", TERMS)) == "delta 1e-05, unit silo, replace"
    assert wording.terms_of_reading("record", TERMS) == TERMS


def test_worst_silo_decides_and_a_silo_without_bound_voids_the_number() -> None:
    """The reading of a round is the largest over its silos; one without a bound leaves none."""
    record = run_folders.rounds("default", "ula", 1)[0]
    assert tables.worst(record, "record") == 7.99
    record["silos"]["hungary"]["record"] = None
    assert tables.worst(record, "record") is None


def test_every_table_of_a_plan_with_an_epsilon_states_its_terms() -> None:
    """Either a column each for delta, unit and adjacency, or a note with all three."""
    for table in plan_tables.of(run_folders.plan()):
        if any("epsilon" in name for name in table.head):
            columns = {"delta", "unit", "adjacency"} <= set(table.head)
            assert columns or str(TERMS) in table.note
    assert str(TERMS) in plan_tables.summary(run_folders.plan())


def test_rows_of_every_table_match_their_head() -> None:
    """No row is longer or shorter than the header over it."""
    results, statement = run_folders.results(), run_folders.statement()
    passes = {"default": run_folders.rounds("default", "ula", 3)}
    made = [
        tables.guarantee(statement),
        tables.readings(statement["silos"]),
        tables.shares(statement),
        tables.charged(statement),
        tables.rounds(passes, statement["silos"]),
        tables.utility(results),
        tables.similarity(results),
        tables.closeness(results),
        tables.denoising(results),
        *plan_tables.of(run_folders.plan()),
    ]
    for table in made:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.head)}


def test_control_characters_cannot_reach_a_terminal() -> None:
    """An escape sequence in a silo's name is dropped."""
    assert wording.plain("a\x1b[31mb\x07\r\nc") == "a[31mb\nc"


def test_a_flat_line_is_explained_by_the_model_only_where_the_model_is_private() -> None:
    """delta_B = 1 is said of DP models whose answers promise nothing; never of an ensemble."""
    hopeless = {"record": 8.0, "answers": 1e7, "silo": None}
    strong = {"record": 4.4, "answers": 4.4, "silo": 4.4}
    said = wording.why_line_is_flat(hopeless, hopeless, unit="record", private_model=True)
    assert "delta_B = 1" in said
    for told in (
        wording.why_line_is_flat(hopeless, hopeless, unit="record", private_model=False),
        wording.why_line_is_flat(strong, strong, unit="record", private_model=True),
        wording.why_line_is_flat(strong, strong, unit="record", private_model=False),
    ):
        assert "delta_B" not in told
        assert "does not move" in told
    assert "grows" in wording.why_line_is_flat(strong, hopeless, unit="record", private_model=True)
