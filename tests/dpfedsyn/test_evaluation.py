"""What the internal evaluation says in words."""

from typing import Any

from dpfedsyn.evaluation import winners


def row(name: str, kind: str, *scores: float | None) -> dict[str, Any]:
    auc, accuracy, mlp_auc, mlp_accuracy = scores
    return {
        "name": name,
        "kind": kind,
        "logistic": {"auc": auc, "accuracy": accuracy},
        "mlp": {"auc": mlp_auc, "accuracy": mlp_accuracy},
    }


def test_a_baseline_that_wins_in_any_measure_is_named_against_every_pass() -> None:
    """Losing one measure of four to one of two passes is said, with both numbers."""
    ours = [row("default", "ours", 0.9, 0.8, 0.9, 0.763), row("best", "ours", 0.9, 0.8, 0.9, 0.9)]
    said = winners([*ours, row("union", "baseline", 0.8, 0.7, 0.8, 0.767)])
    assert said == ["union wins over default in accuracy of the MLP (0.7670 against 0.7630)."]


def test_a_tie_or_an_undefined_score_wins_nothing() -> None:
    """Equal is not better, and a test part with one label has no AUC to win by."""
    same = (None, 0.8, 0.9, 0.8)
    assert winners([row("default", "ours", *same), row("union", "baseline", *same)]) == []


def test_all_four_measures_are_compared() -> None:
    """A baseline that is better everywhere is said to be, everywhere."""
    (said,) = winners(
        [row("default", "ours", 0.5, 0.5, 0.5, 0.5), row("real", "baseline", 0.6, 0.6, 0.6, 0.6)]
    )
    assert said.count("logistic regression") == said.count("MLP") == 2
