"""The linear model that a head starts from, solved before anything is trained."""

import numpy as np
from sklearn.linear_model import LogisticRegressionCV, RidgeCV

__all__ = ["solve_classes", "solve_targets"]

_ALPHAS = np.logspace(-3, 3, 13)  # in units of the mean squared length of a recording's features
_CS = np.logspace(-4, 2, 7)  # the inverse of them
_N_FOLDS = 5


def solve_targets(features, labels, weight):
    """Solve ridge regressions, the penalty of each chosen by leaving one recording out.

    Parameters
    ----------
    features : array of shape (n_recordings, n_features)
        Standardised features.
    labels : array of shape (n_recordings, n_targets)
        Targets, NaN where one is missing.
    weight : array of shape (n_recordings,)
        What each recording counts for.

    Returns
    -------
    coefficients : float64 array of shape (n_targets, n_features)
        Weights of the features.
    intercepts : float64 array of shape (n_targets,)
        Intercepts.

    Examples
    --------
    >>> features = np.random.default_rng(0).standard_normal((20, 2))
    >>> coefficients, _ = solve_targets(features, features[:, :1], np.ones(20))
    >>> coefficients.round(2) + 0.0
    array([[1., 0.]])
    """
    coefficients, intercepts = [], []
    for column in labels.T:
        known = np.isfinite(column) & (weight > 0)
        scores, axes = _rotate(features[known])
        if len(scores) < 3:  # too few to leave one out
            coefficients.append(np.zeros(features.shape[1]))
            intercepts.append(np.average(column[known], weights=weight[known]))
            continue
        model = RidgeCV(_ALPHAS).fit(scores, column[known], sample_weight=weight[known])
        coefficients.append(axes @ model.coef_)
        intercepts.append(model.intercept_)
    return np.array(coefficients), np.array(intercepts)


def solve_classes(features, index, n_classes, weight):
    """Solve a logistic regression, its penalty chosen by cross-validation.

    Parameters
    ----------
    features : array of shape (n_recordings, n_features)
        Standardised features.
    index : int array of shape (n_recordings,)
        Index of the class of each recording.
    n_classes : int
        Classes.
    weight : array of shape (n_recordings,)
        What each recording counts for.

    Returns
    -------
    coefficients : float64 array of shape (n_classes, n_features)
        Weights of the features in the logit of each class.
    intercepts : float64 array of shape (n_classes,)
        Intercepts.

    Examples
    --------
    >>> features = np.repeat([[-1.0], [1.0]], 10, axis=0)
    >>> coefficients, _ = solve_classes(features, np.repeat([0, 1], 10), 2, np.ones(20))
    >>> np.sign(coefficients).ravel()
    array([-1.,  1.])
    """
    counts = np.bincount(index, minlength=n_classes)
    if counts.min() < 2:  # no folds of so few
        odds = np.log((counts + 0.5) / (counts + 0.5).sum())
        return np.zeros((n_classes, features.shape[1])), odds
    scores, axes = _rotate(features)
    model = LogisticRegressionCV(
        Cs=_CS,
        cv=int(min(_N_FOLDS, counts.min())),
        scoring="neg_log_loss",
        max_iter=1000,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
    model.fit(scores, index, sample_weight=weight)
    coefficients, intercepts = model.coef_ @ axes.T, model.intercept_
    if n_classes == 2:  # one logit, split in two
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    return coefficients, intercepts


def _rotate(features):
    """Express features by as many scores as there are recordings, of mean squared length 1.

    Returns
    -------
    scores : array of shape (n_recordings, n_scores)
        What a penalised linear model of the features depends on.
    axes : array of shape (n_features, n_scores)
        Turn coefficients of scores into those of features.
    """
    features = np.asarray(features, dtype=np.float64)
    if features.shape[1] <= len(features):
        size = max(np.sqrt(np.mean(np.sum(features**2, axis=1))), 1e-12)
        return features / size, np.eye(features.shape[1]) / size
    values, vectors = np.linalg.eigh(features @ features.T)
    kept = values > 1e-9 * max(values[-1], 1e-12)
    root = np.sqrt(values[kept])
    size = max(np.sqrt(np.sum(root**2) / len(features)), 1e-12)
    return vectors[:, kept] * root / size, features.T @ (vectors[:, kept] / root) / size
