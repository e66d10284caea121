"""The mutations fit the tree, and the machinery tells noticed ones from survivors."""

from dataclasses import replace

import pytest

from tests.accountants.mutate import ROOT, Mutation, StaleError, main, mutated, survives
from tests.accountants.mutations import MUTATIONS

WRONG = Mutation(
    "bound: crossed ends are accepted", "bound.py", "self.lower > self.upper", "False",
    ("test_bound.py",),
)  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_mutation_fits_the_tree(mutation):
    """Its text occurs once, the tests that it names exist, and it changes something."""
    text = (ROOT / "accountants" / mutation.file).read_text()
    assert mutated(text, mutation) != text
    assert all(
        (ROOT / "tests" / "accountants" / name.split("::")[0]).is_file() for name in mutation.tests
    )


def test_a_mutation_that_does_not_fit_is_refused():
    """A text that went away, or is there twice, is no mutation that was killed."""
    with pytest.raises(StaleError, match="0 times"):
        mutated("a = 1", WRONG)
    with pytest.raises(StaleError, match="2 times"):
        mutated(WRONG.old * 2, WRONG)


def test_wrong_code_is_killed_and_equal_code_survives():
    """The two verdicts, each in a copy of the tree; the tree itself stays as it is."""
    before = (ROOT / "accountants" / WRONG.file).read_text()
    assert not survives(WRONG)
    assert survives(replace(WRONG, new="self.upper < self.lower"))
    assert (ROOT / "accountants" / WRONG.file).read_text() == before


def test_tests_that_cannot_run_are_no_verdict():
    """A file of tests that is missing stops the run instead of counting as killed."""
    with pytest.raises(StaleError, match="did not run"):
        survives(replace(WRONG, tests=("no_such_file.py",)))


@pytest.mark.slow
def test_no_mutation_survives():
    """Every place where `accountants` rounds to the safe side is noticed when it is gone."""
    assert main([]) == 0
