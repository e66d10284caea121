"""Exact bounds from counts: how often the auditor guessed the coin.

Guesses may be learnt: each rule is fixed before its call, so that each guess is right with a
probability of at most the claim's accuracy whatever came before, and the number of right guesses
is stochastically at most binomial.
"""

from scipy.special import betaincinv, ndtri

from dpfedsyn.errors import AuditError


def lower_rate(successes: int, trials: int, error: float) -> float:
    """Clopper-Pearson lower end of a probability, at confidence 1 - error."""
    _counted(successes, trials, error)
    if successes == 0:
        return 0.0
    return float(betaincinv(successes, trials - successes + 1, error))


def upper_rate(successes: int, trials: int, error: float) -> float:
    """Clopper-Pearson upper end of a probability, at confidence 1 - error."""
    return 1.0 - lower_rate(trials - successes, trials, error)


def mu_of_accuracy(accuracy: float) -> float:
    """The least mu whose mu-GDP lets a coin be guessed this often: 2 Phi^-1(accuracy)."""
    return 2.0 * max(float(ndtri(accuracy)), 0.0)


def mu_lower(successes: int, trials: int, error: float) -> float:
    """Lower bound on mu from right guesses of a fair coin.

    Guarantee:
        The mechanism is mu-GDP for no mu below the result, wrongly so with a probability of at
        most `error`: mu-GDP bounds the accuracy of every guess by Phi(mu / 2).
    """
    return mu_of_accuracy(lower_rate(successes, trials, error))


def _counted(successes: int, trials: int, error: float) -> None:
    if not (0 <= successes <= trials and trials > 0 and 0.0 < error < 1.0):
        raise AuditError(
            f"{successes} of {trials} at error {error}: no rate follows. Pass counts with "
            "0 <= successes <= trials, trials >= 1, and an error in (0, 1)."
        )
