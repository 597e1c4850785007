"""Labels of recordings: as numbers for a network, and beside the windows of a batch."""

import warnings

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import assert_all_finite
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array

from sklearn_brainlm._target_columns import as_column
from sklearn_brainlm.batches import DrawnBatches
from sklearn_brainlm.exceptions import DataQualityWarning

__all__ = ["ClassLabels", "LabelledBatches", "TargetLabels"]


class TargetLabels:
    """Targets in units of their standard deviation, NaN where one is missing.

    Parameters
    ----------
    y : array-like of shape (n_recordings,) or (n_recordings, n_targets)
        Targets.
    trained : int64 array
        Recordings that mean and standard deviation are of.

    Attributes
    ----------
    values : float64 array of shape (n_recordings, n_targets)
        Scaled targets.
    center, scale : float64 arrays of shape (n_targets,)
        Mean and standard deviation; the latter is 1 for a constant target.
    is_flat : bool
        Whether y was one-dimensional.
    n_outputs : int
        Outputs that a network needs.
    weight : float64 array of shape (n_recordings,)
        1, or 0 for a recording without any label.

    Raises
    ------
    ValueError
        If there are strings or infinities in y, or a target without a label to learn from.

    Warns
    -----
    DataQualityWarning
        If a target is constant.

    Examples
    --------
    >>> labels = TargetLabels([20.0, 40.0, np.nan], trained=np.array([0, 1]))
    >>> labels.values.ravel()
    array([-1.,  1., nan])
    >>> labels.center, labels.scale
    (array([30.]), array([10.]))
    """

    def __init__(self, y, trained):
        y, _ = as_column(y, "y", allowed=False)
        y = check_array(
            y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y"
        )
        if y.ndim > 2:
            raise ValueError(f"y has shape {y.shape}; expected (n_recordings, n_targets).")
        self.is_flat = y.ndim == 1
        columns = y.reshape(len(y), -1)
        known = np.isfinite(columns)
        if not known[trained].any(axis=0).all():
            empty = np.flatnonzero(~known[trained].any(axis=0)).tolist()
            raise ValueError(
                f"y has no label to learn from in column {empty}, of {len(trained)} recordings. "
                "Leave the target out."
            )
        self.center = np.nanmean(columns[trained], axis=0)
        sd = np.nanstd(columns[trained], axis=0)
        for column in np.flatnonzero((sd == 0) & (known[trained].sum(axis=0) > 1)):
            warnings.warn(
                f"y is constant in column {column} of the {len(trained)} recordings to learn from, "
                f"{self.center[column]:g} in all: there is nothing to learn. Leave the target out.",
                DataQualityWarning,
                stacklevel=5,
            )
        self.scale = np.where(sd > 0, sd, 1.0)
        self.values = (columns - self.center) / self.scale
        self.n_outputs = columns.shape[1]
        self.weight = known.any(axis=1).astype(np.float64)


class ClassLabels:
    """Classes as their indices.

    Parameters
    ----------
    y : array-like of shape (n_recordings,)
        Classes: numbers or strings.
    trained : int64 array
        Recordings that class weights are of.
    class_weight : dict, "balanced" or None, default=None
        What each class counts for, as in scikit-learn.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The classes in ascending order.
    values : float64 array of shape (n_recordings, 1)
        Indices of classes.
    n_outputs : int
        Outputs that a network needs.
    weight : float64 array of shape (n_recordings,)
        What each recording counts for.

    Raises
    ------
    ValueError
        If y does not hold classes, or only one of them.

    Examples
    --------
    >>> labels = ClassLabels(["old", "young", "old"], trained=np.arange(3))
    >>> labels.classes, labels.values.ravel()
    (array(['old', 'young'], dtype='<U5'), array([0., 1., 0.]))
    """

    def __init__(self, y, trained, class_weight=None):
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        if type_of_target(y, input_name="y").startswith("multilabel"):
            raise ValueError("y holds several labels a recording; fit one classifier for each.")
        encoder = LabelEncoder().fit(np.ravel(y))
        self.classes = encoder.classes_
        if len(self.classes) < 2:
            raise ValueError(
                f"y holds 1 class only, {self.classes[0]!r}; a classifier needs two at least."
            )
        index = encoder.transform(np.ravel(y))
        self.values = index[:, None].astype(np.float64)
        self.n_outputs = len(self.classes)
        present = np.unique(index[trained])
        counts = np.ones(self.n_outputs)
        counts[present] = compute_class_weight(
            class_weight, classes=self.classes[present], y=self.classes[index[trained]]
        )
        self.weight = counts[index]


class LabelledBatches(DrawnBatches):
    """Batches of windows with the labels of their recordings.

    Parameters
    ----------
    reader : WindowReader
        Where windows are read.
    draw_windows : callable
        ``draw_windows(epoch)`` returns the windows (B, 2) of each step of an epoch.
    labels : array of shape (n_recordings, n_labels)
        Labels, NaN where one is missing.
    weight : array of shape (n_recordings,)
        What each recording counts for.

    Examples
    --------
    >>> from sklearn_brainlm.windows import WindowReader
    >>> from sklearn_brainlm.grids import TokenGrid
    >>> reader = WindowReader([np.ones((8, 2))], np.float32, TokenGrid(2, 4), 8, lambda *_: {})
    >>> draw = lambda epoch: [np.array([[0, 0]])]
    >>> inputs, targets = LabelledBatches(reader, draw, np.array([[30.0]]), np.ones(1))[0]
    >>> inputs["signals"].shape, targets["labels"]
    ((1, 2, 8), array([[30.]], dtype=float32))
    """

    def __init__(self, reader, draw_windows, labels, weight):
        super().__init__(reader, draw_windows)
        self.labels = np.asarray(labels, dtype=np.float32)
        self.weight = np.asarray(weight, dtype=np.float32)

    def __getitem__(self, step):
        windows = self.steps[step]
        inputs = self.reader.whole(windows)
        recording = windows[:, 0]
        labels = self.labels[recording]
        targets = {
            "labels": labels,
            "weight": self.weight[recording],
            "n_values": self.weight[recording] * np.isfinite(labels).sum(axis=1),
            "recording": recording,
        }
        return inputs, targets
