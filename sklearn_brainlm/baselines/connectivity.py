"""Connectivity between parcels, as features of recordings."""

from numbers import Real

import numpy as np
from nilearn.connectome import ConnectivityMeasure
from sklearn.base import ClassNamePrefixFeaturesOutMixin, _fit_context
from sklearn.covariance import LedoitWolf, shrunk_covariance
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_brainlm._validation import as_float32
from sklearn_brainlm.baselines.measures import RecordingMeasure, varying_parcels
from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = ["ConnectivityFeatures"]


class ConnectivityFeatures(ClassNamePrefixFeaturesOutMixin, RecordingMeasure):
    """Connectivity of every pair of parcels, by nilearn, as features of each recording.

    Parameters
    ----------
    kind : {"correlation", "partial correlation", "tangent", "covariance", "precision"}, \
            default="correlation"
        What :class:`nilearn.connectome.ConnectivityMeasure` computes.
    shrinkage : float, default=0.0
        Weight of the identity that the covariance is mixed with, from 0 to 1, beside what the
        estimator of Ledoit and Wolf already does.
    reference : {"geometric", "pooled"}, default="geometric"
        Point of the tangent space: the geometric mean of the covariances of the training
        recordings, or the covariance of all their timepoints together, which takes a fifth of
        the time. Other kinds have none.
    standardize : bool, default=True
        Whether parcels are z-scored within each recording first. Otherwise their variance is a
        part of "tangent", "covariance" and "precision".
    fisher_z : bool, default=False
        Whether correlations are brought to a scale without ends, by the inverse hyperbolic
        tangent.

    Attributes
    ----------
    measure_ : nilearn.connectome.ConnectivityMeasure
        Fitted on the training recordings.
    n_features_in_ : int
        Number of parcels.
    feature_names_in_ : ndarray of object of shape (n_parcels,)
        Names of the parcels, when recordings are DataFrames whose columns have names.

    Notes
    -----
    `ConnectivityMeasure` z-scores for "correlation" only, refuses to give the tangent vector of a
    single recording, and does not see transposed recordings. A parcel that is constant within a
    recording is unrelated to all others there. Covariances are Ledoit and Wolf's.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.connectivity import ConnectivityFeatures
    >>> rng = np.random.default_rng(0)
    >>> recordings = [rng.normal(size=(n_timepoints, 4)) for n_timepoints in (80, 60, 70)]
    >>> ConnectivityFeatures("tangent", shrinkage=0.2).fit_transform(recordings).shape
    (3, 10)
    """

    _parameter_constraints = {
        "kind": [
            StrOptions({"correlation", "partial correlation", "tangent", "covariance", "precision"})
        ],
        "shrinkage": [Interval(Real, 0, 1, closed="both")],
        "reference": [StrOptions({"geometric", "pooled"})],
        "standardize": ["boolean"],
        "fisher_z": ["boolean"],
    }

    def __init__(
        self,
        kind="correlation",
        *,
        shrinkage=0.0,
        reference="geometric",
        standardize=True,
        fisher_z=False,
    ):
        self.kind = kind
        self.shrinkage = shrinkage
        self.reference = reference
        self.standardize = standardize
        self.fisher_z = fisher_z

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None):
        """Learn from the training recordings, and return their features.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Training recordings; a 2-D array is one recording.
        y : None
            Ignored.

        Returns
        -------
        features : ndarray of float32 of shape (n_recordings, n_features)
            What `fit` and `transform` return, without computing each covariance twice.
        """
        centred = _centre(self._check(X, reset=True), self.standardize)
        self._build()
        if self.kind == "tangent" and (self.reference == "pooled" or len(centred) == 1):
            self.measure_.fit(_reference(centred, self.reference))
            return self._features(centred)
        return self._rescale(self.measure_.fit_transform(centred))

    def transform(self, X):
        """Return the connectivity of recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 2-D array is one recording.

        Returns
        -------
        features : ndarray of float32 of shape (n_recordings, n_features)
            Lower triangle of each matrix, row by row; with its diagonal for "tangent",
            "covariance" and "precision".
        """
        return self._features(_centre(self._check(X, reset=False), self.standardize))

    def _learn(self, recordings):
        """Fit the measure of nilearn."""
        self._build()
        self.measure_.fit(_reference(_centre(recordings, self.standardize), self.reference))

    def _build(self):
        """Make the measure of nilearn, and count its features."""
        unit_diagonal = self.kind in ("correlation", "partial correlation")
        self.measure_ = ConnectivityMeasure(
            _ShrunkLedoitWolf(self.shrinkage),
            kind=self.kind,
            vectorize=True,
            discard_diagonal=unit_diagonal,
            standardize="zscore_sample",  # nilearn's default, which older ones named otherwise
        )
        n_parcels = self.n_features_in_
        if n_parcels < 2:
            raise InvalidRecordingError(
                "Connectivity needs at least 2 parcels, X has 1 feature(s)."
            )
        self._n_features_out = n_parcels * (n_parcels + (-1 if unit_diagonal else 1)) // 2

    def _features(self, centred):
        """Return features of centred recordings."""
        if self.kind == "tangent" and len(centred) == 1:  # nilearn refuses one alone
            return self._rescale(self.measure_.transform(centred * 2)[:1])
        return self._rescale(self.measure_.transform(centred))

    def _rescale(self, features):
        """Apply Fisher's transform where it is asked for, and cast."""
        if self.fisher_z and self.kind in ("correlation", "partial correlation"):
            largest = 1 - np.finfo(np.float32).eps  # copies of a parcel correlate by 1
            features = np.arctanh(np.clip(features, -largest, largest))
        return as_float32(features)


class _ShrunkLedoitWolf(LedoitWolf):
    """Covariance of Ledoit and Wolf, mixed with the identity."""

    def __init__(self, shrinkage=0.0):
        super().__init__(store_precision=False, assume_centered=True)
        self.shrinkage = shrinkage

    def fit(self, X, y=None):
        """Estimate the covariance of a centred recording."""
        super().fit(X)
        self.covariance_ = shrunk_covariance(self.covariance_, self.shrinkage)
        return self


def _centre(recordings, standardize):
    """Centre parcels within recordings, in float64, and z-score those that vary if asked."""
    centred = []
    for index, recording in enumerate(recordings):
        mean, sd, varies = varying_parcels(index, recording)
        divisor = np.where(varies, sd, 1) if standardize else 1
        centred.append((recording - mean) * varies / divisor)
    return centred


def _reference(centred, reference):
    """Return what the tangent space is fitted on."""
    return [np.concatenate(centred)] if reference == "pooled" else centred
