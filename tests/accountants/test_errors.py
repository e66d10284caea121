"""One tree, drawn in its module, with the exit codes that programs return."""

import pytest

from accountants import errors


@pytest.mark.parametrize(
    ("name", "parent", "code"),
    [
        ("AccountingError", "DPError", 2),
        ("UnsupportedEvent", "AccountingError", 2),
        ("CalibrationFailed", "AccountingError", 2),
        ("BudgetExhausted", "DPError", 3),
        ("LedgerError", "DPError", 4),
        ("LedgerCorrupt", "LedgerError", 4),
        ("LedgerLocked", "LedgerError", 4),
        ("LedgerMismatch", "LedgerError", 4),
        ("NewerTables", "LedgerError", 4),
        ("ReplyPruned", "LedgerError", 4),
    ],
)
def test_every_error_stands_in_the_tree_with_its_exit_code(name, parent, code):
    """Parents, codes and the drawing agree."""
    kind = getattr(errors, name)
    assert kind.__bases__[0] is getattr(errors, parent)
    assert kind.exit_code == code
    assert name in errors.__doc__
    assert issubclass(errors.AccountingError, ValueError)
