"""Scores of predictions, for many weightings of the recordings at once: a bootstrap needs those.

Every score takes predictions of n recordings and weights (n_weightings, n), and returns one value
a weighting. Weights of one give what scikit-learn's function of the same name gives. The exceptions
are "r" and "roc_auc" of several folds, which compare recordings of one fold only.
"""

from dataclasses import dataclass, fields

import numpy as np

__all__ = ["ERRORS", "SCORES", "Predictions", "score_all"]

ERRORS = frozenset({"mse", "mean_absolute_error", "scaled_mse"})  # where less is better
_NEGLIGIBLE = 1e-12  # of a sum of squares: what rounding leaves of a constant


@dataclass(frozen=True, eq=False)
class Predictions:
    """Out-of-fold predictions of one method, a row for every time a recording was tested.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.arange(3)
    >>> made = Predictions(rows, rows, np.array([0, 0, 1]), np.ones(3), np.ones(3))
    >>> made.part(made.fold == 0).recording.tolist()
    [0, 1]
    """

    recording: np.ndarray
    subject: np.ndarray
    fold: np.ndarray
    true: np.ndarray  # class positions in classification
    predicted: np.ndarray
    scores: np.ndarray | None = None  # (n, n_classes), larger for a likelier class
    scaled_error: np.ndarray | None = None

    def part(self, chosen):
        """Return the chosen rows.

        Parameters
        ----------
        chosen : bool or int array
            Rows.

        Returns
        -------
        part : Predictions
            Those rows of everything.
        """
        values = (getattr(self, field.name) for field in fields(self))
        return Predictions(*(None if value is None else value[chosen] for value in values))


def score_all(made, metric, weights=None):
    """Return one value a weighting.

    Parameters
    ----------
    made : Predictions
        Predictions to score.
    metric : str
        A name of ``SCORES``.
    weights : float array of shape (n_weightings, n), optional
        How often each row counts; once when None.

    Returns
    -------
    values : float64 array of shape (n_weightings,)
        NaN where the score is undefined.
    """
    weights = np.ones((1, len(made.true))) if weights is None else weights
    with np.errstate(divide="ignore", invalid="ignore"):
        return SCORES[metric](made, weights)


def _r2(made, weights):
    """1 - SSE / SS, SS about the mean of the weighted recordings."""
    true = _centred(made.true)
    ss = _sum_of_products(true, true, weights)
    return 1 - weights @ (made.true - made.predicted) ** 2 / np.where(ss > 0, ss, np.nan)


def _mse(made, weights):
    """Mean squared error."""
    return weights @ (made.true - made.predicted) ** 2 / weights.sum(axis=1)


def _mean_absolute_error(made, weights):
    """Mean absolute error."""
    return weights @ np.abs(made.true - made.predicted) / weights.sum(axis=1)


def _scaled_mse(made, weights):
    """Mean squared error on the scale of the targets of the training fold."""
    if made.scaled_error is None:
        return np.full(len(weights), np.nan)
    return weights @ made.scaled_error / weights.sum(axis=1)


def _r(made, weights):
    """Pearson correlation, the products taken about the means of each fold and pooled.

    Between folds even a constant prediction correlates: the training mean of a fold is low where
    its test recordings are high. So one fold gives SciPy's value.
    """
    product = true_power = predicted_power = 0.0
    for fold in np.unique(made.fold):
        rows = made.fold == fold
        true, predicted = _centred(made.true[rows]), _centred(made.predicted[rows])
        part = weights[:, rows]
        product += _sum_of_products(true, predicted, part)
        true_power += _sum_of_products(true, true, part)
        predicted_power += _sum_of_products(predicted, predicted, part)
    power = true_power * predicted_power
    return product / np.sqrt(np.where(power > 0, power, np.nan))


def _roc_auc(made, weights):
    """Share of pairs of one class and another that are in the right order.

    Pairs are of one fold: the scores of two folds come from two models, and the order of two
    models' scores is nobody's prediction. So one fold gives scikit-learn's value, and several the
    mean of theirs weighted by the number of pairs. With more than two classes, the mean over each
    against the rest.
    """
    if made.scores is None:
        return np.full(len(weights), np.nan)
    n_classes = made.scores.shape[1]
    columns = [1] if n_classes == 2 else range(n_classes)
    areas = []
    for column in columns:
        ordered = n_pairs = 0.0
        for fold in np.unique(made.fold):
            rows = made.fold == fold
            of_class = made.true[rows] == column
            more = _ordered_pairs(made.scores[rows, column], of_class, weights[:, rows])
            ordered, n_pairs = ordered + more[0], n_pairs + more[1]
        areas.append(ordered / n_pairs)
    return np.mean(areas, axis=0)


def _ordered_pairs(scores, of_class, weights):
    """Return the weight of pairs in the right order, a tie counting half, and of all pairs."""
    order = np.argsort(scores, kind="stable")
    scores, of_class, weights = scores[order], of_class[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])  # ties stand together
    inside = np.add.reduceat(weights * of_class, starts, axis=1)
    outside = np.add.reduceat(weights * ~of_class, starts, axis=1)
    below = np.cumsum(outside, axis=1) - outside / 2
    return np.sum(inside * below, axis=1), inside.sum(axis=1) * outside.sum(axis=1)


def _balanced_accuracy(made, weights):
    """Mean recall of the classes that occur."""
    confusion = _confusion(made, weights)
    recall = np.einsum("bkk->bk", confusion) / confusion.sum(axis=2)
    return _mean_of_defined(recall)


def _f1_macro(made, weights):
    """Mean F1 of the classes that occur or are predicted."""
    confusion = _confusion(made, weights)
    hits = np.einsum("bkk->bk", confusion)
    return _mean_of_defined(2 * hits / (confusion.sum(axis=1) + confusion.sum(axis=2)))


def _accuracy(made, weights):
    """Share of recordings whose class is predicted."""
    return weights @ (made.true == made.predicted) / weights.sum(axis=1)


def _confusion(made, weights):
    """Return weights by true and predicted class (n_weightings, n_classes, n_classes)."""
    n_classes = int(max(made.true.max(), made.predicted.max())) + 1
    cells = np.eye(n_classes**2)[made.true * n_classes + made.predicted]
    return (weights @ cells).reshape(-1, n_classes, n_classes)


def _mean_of_defined(values):
    """Return the mean over classes, without those that are undefined."""
    defined = ~np.isnan(values)
    return np.sum(values, axis=1, where=defined) / defined.sum(axis=1)


def _centred(values):
    """Subtract the mean; constant values give exact zeros."""
    from_first = values - values[0]
    return from_first - from_first.mean()


def _sum_of_products(one, other, weights):
    """Return weighted sums of products about weighted means, 0 where only rounding is left."""
    power = weights @ (one * other)
    n = weights.sum(axis=1)
    products = power - (weights @ one) * (weights @ other) / np.where(n > 0, n, 1.0)
    return np.where(np.abs(products) > _NEGLIGIBLE * np.abs(power), products, 0.0)


SCORES = {
    "r2": _r2,
    "mse": _mse,
    "mean_absolute_error": _mean_absolute_error,
    "r": _r,
    "scaled_mse": _scaled_mse,
    "roc_auc": _roc_auc,
    "balanced_accuracy": _balanced_accuracy,
    "f1_macro": _f1_macro,
    "accuracy": _accuracy,
}
