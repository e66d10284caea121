"""What is said of an audit that could not have failed; light, since warning filters import it."""


class InconclusiveAudit(UserWarning):  # noqa: N818 (a warning, named by what happened)
    """The audit had too few calls to see a broken mechanism: the assertion has tested little.

    Under `filterwarnings = error` it fails the test. That is meant: a test that cannot fail is
    none. Give more calls, claim a larger budget in the test, or say `inconclusive="ignore"`.
    """
