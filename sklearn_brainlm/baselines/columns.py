"""Targets and labels as columns of numbers, and the folds that penalties are chosen on."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.model_selection import GroupKFold, check_cv
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import assert_all_finite, check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

__all__ = ["LabelColumnsMixin", "as_targets", "inner_folds"]

_NO_TARGETS = "{} requires y to be passed, but the target y is None"


class LabelColumnsMixin(ClassifierMixin):
    """Mixin of classifiers that regress on labels: a column of -1 and 1 for each class.

    A subclass has a method ``decision_function``. Two classes need one column.

    Examples
    --------
    >>> from sklearn_brainlm.baselines.kernel_ridge import KernelRidgeClassifierCV
    >>> issubclass(KernelRidgeClassifierCV, LabelColumnsMixin)
    True
    """

    def _encode(self, y):
        """Learn the classes; return labels as columns, and as they were written."""
        if y is None:
            raise ValueError(_NO_TARGETS.format(type(self).__name__))
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        columns = LabelBinarizer(neg_label=-1).fit(y)
        if len(columns.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least 2 classes, y has 1 class: "
                f"{columns.classes_[0]!r}."
            )
        self.classes_ = columns.classes_
        return columns.transform(y).astype(np.float64), y

    def predict(self, X):
        """Predict the class.

        Parameters
        ----------
        X : array-like
            What `fit` takes.

        Returns
        -------
        labels : ndarray of shape (n_recordings,)
            The class of the largest score, as it was written in `y`.
        """
        scores = self.decision_function(X)
        chosen = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[chosen]


def as_targets(y, name="This estimator"):
    """Return targets as columns.

    Parameters
    ----------
    y : array-like of shape (n_recordings,) or (n_recordings, n_targets)
        Targets, all of them known.
    name : str, default="This estimator"
        Name used in messages.

    Returns
    -------
    targets : ndarray of float64 of shape (n_recordings, n_targets)
        The same numbers.
    is_flat : bool
        Whether `y` was one-dimensional.

    Raises
    ------
    ValueError
        A target is missing or not finite, or there is none.

    Examples
    --------
    >>> as_targets([20, 30])
    (array([[20.],
           [30.]]), True)
    """
    if y is None:
        raise ValueError(_NO_TARGETS.format(name))
    targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    return (targets[:, None], True) if targets.ndim == 1 else (targets, False)


def inner_folds(cv, columns, groups=None, *, classifier=False):
    """List the folds within the training recordings.

    Parameters
    ----------
    cv : int, splitter or iterable of (train, test)
        Number of folds, or the folds themselves.
    columns : array of shape (n_recordings, n_columns)
        Targets, or labels as -1 and 1.
    groups : array-like of shape (n_recordings,), optional
        What stays together.
    classifier : bool, default=False
        Whether folds without groups keep the parts of the classes.

    Returns
    -------
    folds : list of pairs of int arrays
        Training and test rows of each fold.

    Raises
    ------
    ValueError
        All recordings are of one group, or their numbers differ.

    Examples
    --------
    >>> folds = inner_folds(5, np.zeros((4, 1)), groups=["A", "B", "A", "B"])
    >>> [test.tolist() for _, test in folds]
    [[1, 3], [0, 2]]
    """
    if groups is None:
        y = columns[:, 0] if columns.shape[1] == 1 else columns.argmax(axis=1)
        return list(check_cv(cv, y, classifier=classifier).split(columns, y))
    groups = np.asarray(groups)
    check_consistent_length(columns, groups)
    if isinstance(cv, (int, np.integer)):
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(
                "groups names one group, which cannot be divided into folds. Leave groups out if "
                "every recording is of its own."
            )
        cv = GroupKFold(min(cv, n_groups))  # as many folds as there are groups, where few
    return list(check_cv(cv).split(columns, None, groups))
