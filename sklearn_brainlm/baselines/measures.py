"""Transformers of recordings that need no network: global signal, variance, raw values."""

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    OneToOneFeatureMixin,
    TransformerMixin,
    _fit_context,
)

from sklearn_brainlm._parameters import COUNT
from sklearn_brainlm._statistics import RESOLUTION, mean_and_sd
from sklearn_brainlm._validation import as_float32, describe
from sklearn_brainlm.baselines.recording_input import RecordingInputMixin
from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = [
    "FirstTimepoints",
    "GlobalSignalRegression",
    "ParcelDeviation",
    "RecordingMeasure",
    "varying_parcels",
]


class RecordingMeasure(RecordingInputMixin, TransformerMixin, BaseEstimator):
    """Transformer of recordings that learns which parcels they have.

    A subclass has a method ``transform``, and may learn more in ``_learn(recordings)``.

    Examples
    --------
    >>> from sklearn_brainlm.baselines.measures import ParcelDeviation
    >>> isinstance(ParcelDeviation(), RecordingMeasure)
    True
    """

    _parameter_constraints = {}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn from the training recordings what `transform` needs.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Training recordings; a 2-D array is one recording.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        """
        self._learn(self._check(X, reset=True))
        return self

    def _learn(self, recordings):
        """Learn more than the parcels."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags


class GlobalSignalRegression(OneToOneFeatureMixin, RecordingMeasure, auto_wrap_output_keys=None):
    """Regress the global signal, the mean over parcels, out of each recording.

    Attributes
    ----------
    n_features_in_ : int
        Number of parcels.
    feature_names_in_ : ndarray of object of shape (n_parcels,)
        Names of the parcels, when recordings are DataFrames whose columns have names.

    Notes
    -----
    Nothing is learned across recordings. The mean of each parcel over time is kept.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.measures import GlobalSignalRegression
    >>> recording = np.random.default_rng(0).normal(size=(100, 5)) + np.arange(5)
    >>> (cleaned,) = GlobalSignalRegression().fit_transform([recording])
    >>> bool(np.ptp(cleaned.mean(axis=1)) < 1e-5)
    True
    """

    def transform(self, X):
        """Take the global signal out.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 2-D array is one recording.

        Returns
        -------
        cleaned : list of ndarray of float32 of shape (n_timepoints, n_parcels)
            New arrays, in the units of the recordings.
        """
        return [_without_global_signal(recording) for recording in self._check(X, reset=False)]

    def set_output(self, *, transform=None):
        """Do nothing: recordings of several lengths have no DataFrame, and stay a list of arrays.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Ignored; here so that `set_output` of a Pipeline reaches the steps that follow.

        Returns
        -------
        self : GlobalSignalRegression
            The transformer.
        """
        return self


class ParcelDeviation(ClassNamePrefixFeaturesOutMixin, RecordingMeasure):
    """Logarithm of the standard deviation of each parcel: how strongly a recording fluctuates.

    Attributes
    ----------
    n_features_in_ : int
        Number of parcels.
    feature_names_in_ : ndarray of object of shape (n_parcels,)
        Names of the parcels, when recordings are DataFrames whose columns have names.

    Notes
    -----
    A parcel that is constant within a recording takes the mean of the others of that recording.
    Of z-scored recordings all features are 0: give them before they are standardised.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.measures import ParcelDeviation
    >>> recording = np.array([[0.0, 0.0], [2.0, 20.0]])
    >>> np.exp(ParcelDeviation().fit_transform([recording])).round(4).tolist()
    [[1.0, 10.0]]
    """

    def transform(self, X):
        """Return the log standard deviation of the parcels of recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 2-D array is one recording.

        Returns
        -------
        features : ndarray of float32 of shape (n_recordings, n_parcels)
            Natural logarithms, of the units of the recordings.
        """
        rows = []
        for index, recording in enumerate(self._check(X, reset=False)):
            _, sd, varies = varying_parcels(index, recording)
            logarithms = np.log(sd, where=varies, out=np.zeros_like(sd))
            rows.append(np.where(varies, logarithms, logarithms[varies].mean()))
        return as_float32(np.stack(rows))

    @property
    def _n_features_out(self):
        return self.n_features_in_


class FirstTimepoints(ClassNamePrefixFeaturesOutMixin, RecordingMeasure):
    """First timepoints of each recording side by side: the raw values as features.

    Parameters
    ----------
    n_timepoints : int or None, default=None
        Timepoints taken from the start; None is the length of the shortest training recording.
        Shorter recordings are filled up with zeros.

    Attributes
    ----------
    n_timepoints_ : int
        Timepoints taken.
    n_features_in_ : int
        Number of parcels.
    feature_names_in_ : ndarray of object of shape (n_parcels,)
        Names of the parcels, when recordings are DataFrames whose columns have names.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.measures import FirstTimepoints
    >>> recordings = [np.ones((8, 3)), np.ones((6, 3))]
    >>> recordings[0][0] = recordings[1][0] = 2
    >>> FirstTimepoints().fit_transform(recordings).shape
    (2, 18)
    """

    _parameter_constraints = {"n_timepoints": [COUNT, None]}

    def __init__(self, n_timepoints=None):
        self.n_timepoints = n_timepoints

    def transform(self, X):
        """Return the first timepoints of recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 2-D array is one recording.

        Returns
        -------
        features : ndarray of float32 of shape (n_recordings, n_timepoints_ * n_parcels)
            Timepoint after timepoint.
        """
        recordings = self._check(X, reset=False)
        features = np.zeros(
            (len(recordings), self.n_timepoints_, self.n_features_in_), dtype=np.float32
        )
        for row, recording in zip(features, recordings, strict=True):
            row[: len(recording)] = recording[: self.n_timepoints_]
        return features.reshape(len(recordings), -1)

    def _learn(self, recordings):
        """Learn how many timepoints all recordings have."""
        shortest = min(len(recording) for recording in recordings)
        self.n_timepoints_ = shortest if self.n_timepoints is None else self.n_timepoints

    @property
    def _n_features_out(self):
        return self.n_timepoints_ * self.n_features_in_


def varying_parcels(index, recording):
    """Tell which parcels of a recording vary.

    Parameters
    ----------
    index : int
        Index of the recording, for the message.
    recording : array of shape (n_timepoints, n_parcels)
        A checked recording.

    Returns
    -------
    mean : ndarray of float64 of shape (n_parcels,)
        Mean over time.
    sd : ndarray of float64 of shape (n_parcels,)
        Standard deviation over time, dividing by the number of timepoints.
    varies : ndarray of bool of shape (n_parcels,)
        Where the standard deviation is more than rounding.

    Raises
    ------
    InvalidRecordingError
        No parcel varies.
    """
    mean, sd, level = mean_and_sd([recording])
    varies = sd > RESOLUTION * level
    if not varies.any():
        raise InvalidRecordingError(
            f"{describe(index, recording)} is constant in every parcel: there is no variance to "
            "measure. Leave it out."
        )
    return mean, sd, varies


def _without_global_signal(recording):
    """Regress the mean over parcels out of one recording."""
    values = recording.astype(np.float64)
    centred = values - values.mean(axis=0)
    signal = centred.mean(axis=1)  # (n_timepoints,)
    power = signal @ signal
    # Without a global signal, as after an earlier regression, there is nothing to take out.
    if power <= RESOLUTION**2 * np.sum(centred**2) / centred.shape[1]:
        return as_float32(values)
    return as_float32(values - np.outer(signal, signal @ centred / power))
