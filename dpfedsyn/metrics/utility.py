"""Train on synthetic rows, test on real ones (TSTR; Esteban, Hyland & Rätsch 2017, section 4).

Two classifiers of public settings: logistic regression, and a small neural network.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dpfedsyn.errors import DataError

_Floats = NDArray[np.float64]
_Labels = NDArray[np.int64]

_ENOUGH_ROWS = 1000
_ENOUGH_PER_LABEL = 20
"""Below these, a tenth of the rows is too small a validation part: stopping by it ends the training
of a single hospital's network much too early (AUC .80 instead of .87 with 200 rows)."""


@dataclass(frozen=True)
class Score:
    """Quality of one classifier on the real test part.

    Args:
        accuracy: share of correct labels.
        auc: area under the ROC curve; with more than two labels the mean of one-against-rest over
            the labels that the test part both has and lacks; None where there is no such label.
    """

    accuracy: float
    auc: float | None


@dataclass(frozen=True)
class Utility:
    """Scores of both classifiers."""

    logistic: Score
    mlp: Score


def train_on_synthetic(
    x: ArrayLike, y: ArrayLike, x_test: ArrayLike, y_test: ArrayLike, *, seed: int
) -> Utility:
    """Train both classifiers on (x, y) and score them on (x_test, y_test).

    Training data with one label only gives a constant prediction: its accuracy is that label's
    share of the test part, its AUC 0.5. A label that training lacks has probability 0.

    Args:
        x, x_test: (n, d) and (m, d), encoded rows.
        y, y_test: (n,) and (m,) integer labels >= 0.
        seed: of the network's initial weights and batches, and of its validation part.

    Raises:
        DataError: wrong shapes, no rows, or a value that is not finite.
    """
    rows, labels = _checked(x, y, "training")
    test_rows, test_labels = _checked(x_test, y_test, "test")
    if rows.shape[1] != test_rows.shape[1]:
        raise DataError(
            f"training rows have {rows.shape[1]} coordinates, test rows {test_rows.shape[1]}, so "
            "nothing was scored; encode both with the same schema"
        )
    if len(np.unique(labels)) == 1:
        constant = _score(np.ones((len(test_rows), 1)), labels[:1], test_labels)
        return Utility(constant, constant)
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=500))
    network = make_pipeline(StandardScaler(), _network(labels, seed))
    scores = [_fit_and_score(c, rows, labels, test_rows, test_labels) for c in (logistic, network)]
    return Utility(*scores)


def _network(labels: _Labels, seed: int) -> MLPClassifier:
    """One hidden layer; stops early where there are rows enough to tell when."""
    counts = np.bincount(labels)
    stop = len(labels) >= _ENOUGH_ROWS and counts[counts > 0].min() >= _ENOUGH_PER_LABEL
    return MLPClassifier(
        hidden_layer_sizes=(64,),
        alpha=1.0,
        early_stopping=stop,
        n_iter_no_change=20,
        max_iter=60 if stop else 200,
        random_state=seed,
    )


def _fit_and_score(
    classifier: Any, x: _Floats, y: _Labels, x_test: _Floats, y_test: _Labels
) -> Score:
    with warnings.catch_warnings():
        # The caps on iterations are deliberate: they bound the time, not the quality.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(x, y)
    return _score(classifier.predict_proba(x_test), classifier.classes_, y_test)


def _score(probabilities: _Floats, classes: Sequence[int] | _Labels, y_test: _Labels) -> Score:
    """Score (m, k) probabilities of k classes; a class that is not among them has none."""
    classes = np.asarray(classes, dtype=np.int64)
    accuracy = float(np.mean(classes[np.argmax(probabilities, axis=1)] == y_test))
    areas = []
    for label in np.unique(y_test):
        truth = y_test == label
        if truth.all():
            return Score(accuracy, None)
        among = probabilities[:, classes == label]
        areas.append(roc_auc_score(truth, among[:, 0]) if among.size else 0.5)
    return Score(accuracy, float(np.mean(areas)))


def _checked(x: ArrayLike, y: ArrayLike, what: str) -> tuple[_Floats, _Labels]:
    rows, labels = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.int64)
    if rows.ndim != 2 or labels.shape != rows.shape[:1] or not len(rows):
        raise DataError(
            f"{what} rows {rows.shape} and labels {labels.shape} cannot be scored; give (n, d) and "
            "(n,) with n > 0"
        )
    if labels.min() < 0:
        raise DataError(f"{what} labels go down to {labels.min()}, so nothing was scored; use 0, 1")
    if not np.isfinite(rows).all():
        raise DataError(f"{what} rows hold NaN or infinity, so nothing was scored; mend them")
    return rows, labels
