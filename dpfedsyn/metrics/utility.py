"""Train on synthetic rows, test on real ones (TSTR; Esteban, Hyland & Rätsch 2017, section 4).

Two classifiers of public settings: logistic regression, and a small neural network. Images have a
third, convolutional one. Settings for pixels were chosen on real images (scikit-learn's digits and
MNIST), never on synthetic ones.
"""

import warnings
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
from dpfedsyn.metrics import convolutional

_Floats = NDArray[np.float64]
_Labels = NDArray[np.int64]

_ENOUGH_ROWS = 1000
_ENOUGH_PER_LABEL = 20
"""Below these, a tenth of the rows is too small a validation part: stopping by it ends the training
of a single hospital's network much too early (AUC .80 instead of .87 with 200 rows)."""

_PIXEL_EPOCHS = (10, 60)
_PIXEL_ROWS = 180_000
"""The network of pixels sees this many rows in all, but each at least 10 and at most 60 times."""


@dataclass(frozen=True)
class ClassifierScore:
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
    """Scores of the classifiers; `cnn` is None for tables."""

    logistic: ClassifierScore
    mlp: ClassifierScore
    cnn: ClassifierScore | None = None


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the classifiers say of m test rows.

    Args:
        classes: (k,) labels in rising order, among them all that training had.
        logistic, mlp, cnn: (m, k) probabilities; `cnn` is None for tables.
    """

    classes: _Labels
    logistic: _Floats
    mlp: _Floats
    cnn: _Floats | None = None

    def correct(self, y_test: ArrayLike) -> NDArray[np.bool_]:
        """Return (m,): whether logistic regression's most probable label is the right one."""
        right: NDArray[np.bool_] = _most_probable(self.logistic, self.classes) == y_test
        return right

    def utility(self, y_test: ArrayLike) -> Utility:
        """Score all classifiers on the labels (m,) of the test rows."""
        truth = np.asarray(y_test, dtype=np.int64)
        logistic, mlp = (_score(p, self.classes, truth) for p in (self.logistic, self.mlp))
        cnn = None if self.cnn is None else _score(self.cnn, self.classes, truth)
        return Utility(logistic, mlp, cnn)


def train_on_synthetic(
    x: ArrayLike,
    y: ArrayLike,
    x_test: ArrayLike,
    y_test: ArrayLike,
    *,
    seed: int,
    shape: tuple[int, int] | None = None,
) -> Utility:
    """Train the classifiers on (x, y) and score them on (x_test, y_test).

    Training data with one label only gives a constant prediction: its accuracy is that label's
    share of the test part, its AUC 0.5. A label that training lacks has probability 0.

    Args:
        x, x_test: (n, d) and (m, d), encoded rows, or pixels in [0, 1].
        y, y_test: (n,) and (m,) integer labels >= 0.
        seed: of the networks' initial weights and batches, and of a validation part.
        shape: (h, w) of images; None: the rows are a table's.

    Raises:
        DataError: wrong shapes, no rows, or a value that is not finite.
    """
    test_rows, test_labels = checked(x_test, y_test, "test")
    return predictions(x, y, test_rows, seed=seed, shape=shape).utility(test_labels)


def predictions(
    x: ArrayLike,
    y: ArrayLike,
    x_test: ArrayLike,
    *,
    seed: int,
    shape: tuple[int, int] | None = None,
) -> Predictions:
    """Train the classifiers on (x, y) and return what they say of x_test.

    Arguments and errors are those of `train_on_synthetic`.
    """
    rows, labels = checked(x, y, "training")
    test_rows, _ = checked(x_test, np.zeros(len(np.asarray(x_test))), "test")
    if rows.shape[1] != test_rows.shape[1]:
        raise DataError(
            f"training rows have {rows.shape[1]} coordinates, test rows {test_rows.shape[1]}, so "
            "nothing was scored; encode both with the same schema"
        )
    classes, places = np.unique(labels, return_inverse=True)
    if len(classes) == 1:
        constant = np.ones((len(test_rows), 1))
        return Predictions(classes, constant, constant, None if shape is None else constant)
    logistic, mlp = (
        fitted(classifier, rows, labels).predict_proba(test_rows)
        for classifier in (logistic_regression(shape), network(labels, seed, shape))
    )
    if shape is None:
        return Predictions(classes, logistic, mlp)
    cnn = convolutional.fit(rows, places, shape, len(classes), seed)
    return Predictions(classes, logistic, mlp, cnn.scores(test_rows))


def logistic_regression(shape: tuple[int, int] | None) -> Any:
    """Return the linear classifier, not yet trained.

    Pixels share one public range and are not standardised: that would blow up the few values of
    pixels at the rim (accuracy .88 instead of .89 with 3,000 rows of MNIST).
    """
    if shape is None:
        return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=500))
    return LogisticRegression(C=1.0, max_iter=500)


def network(labels: NDArray[np.int64], seed: int, shape: tuple[int, int] | None) -> Any:
    """Return a network of one hidden layer, not yet trained.

    For tables it stops early where there are rows enough to tell when. For pixels the number of
    epochs is a function of the number of rows.
    """
    if shape is not None:
        least, most = _PIXEL_EPOCHS
        return MLPClassifier(
            hidden_layer_sizes=(128,),
            alpha=0.1,
            batch_size=min(64, len(labels)),
            max_iter=min(most, max(least, _PIXEL_ROWS // len(labels))),
            random_state=seed,
        )
    counts = np.bincount(labels)
    stop = len(labels) >= _ENOUGH_ROWS and counts[counts > 0].min() >= _ENOUGH_PER_LABEL
    encoded = MLPClassifier(
        hidden_layer_sizes=(64,),
        alpha=1.0,
        early_stopping=stop,
        n_iter_no_change=20,
        max_iter=60 if stop else 200,
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), encoded)


def fitted(classifier: Any, x: NDArray[np.float64], y: NDArray[np.int64]) -> Any:
    """Return the classifier, trained on (x, y)."""
    with warnings.catch_warnings():
        # The caps on iterations are deliberate: they bound the time, not the quality.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(x, y)


def _most_probable(probabilities: _Floats, classes: _Labels) -> _Labels:
    labels: _Labels = classes[np.argmax(probabilities, axis=1)]
    return labels


def _score(probabilities: _Floats, classes: _Labels, y_test: _Labels) -> ClassifierScore:
    """Score (m, k) probabilities of k classes; a class that is not among them has none."""
    accuracy = float(np.mean(_most_probable(probabilities, classes) == y_test))
    areas = []
    for label in np.unique(y_test):
        truth = y_test == label
        if truth.all():
            return ClassifierScore(accuracy, None)
        among = probabilities[:, classes == label]
        areas.append(roc_auc_score(truth, among[:, 0]) if among.size else 0.5)
    return ClassifierScore(accuracy, float(np.mean(areas)))


def checked(x: ArrayLike, y: ArrayLike, what: str) -> tuple[_Floats, _Labels]:
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
