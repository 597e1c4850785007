"""Recordings in, recordings out: scaling by parcel."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._statistics import (
    RESOLUTION,
    mean_and_sd,
    median_and_iqr,
    quotient_and_one,
    zero_and_one,
)
from sklearn_brainlm._validation import (
    as_float32,
    check_parcel_names,
    check_recordings,
    describe,
    enumerate_first,
    row_blocks,
)
from sklearn_brainlm.exceptions import DataQualityWarning, InvalidRecordingError

__all__ = ["RecordingScaler", "standardize_recordings"]

_STATISTICS = {
    "robust": median_and_iqr,
    "standard": mean_and_sd,
    "legacy": quotient_and_one,
    None: zero_and_one,
}
_CLIPPED_FRACTION = 0.01  # a recording with more values than this clipped is not on the scale
_SPIKE = 100  # times the clip; no signal of a brain reaches there


class RecordingScaler(
    OneToOneFeatureMixin, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Scale every parcel of recordings by statistics of the training recordings.

    Section 3.1 of the article scales by "robust". Differences in level and in variance between
    recordings, which carry information about people, are kept.

    Parameters
    ----------
    method : {"robust", "standard", "legacy"} or None, default="robust"
        What is subtracted and divided by: "robust" is the median and the interquartile range of a
        parcel, "standard" its mean and standard deviation, both over all timepoints of all
        training recordings. None leaves values as they are. "legacy" is what the released code
        did: the median divided by the interquartile range is subtracted, nothing is divided by.
    clip : float or None, default=None
        Largest absolute value after scaling; values beyond are set to it.
    divisor : float, default=1.0
        What values are divided by beside; 5.6430855 in the release's models of 111M and 650M
        parameters.
    algorithm : {"exact", "histogram"}, default="exact"
        How quartiles are found. "exact" reads recordings twice and gives those of
        `numpy.percentile`. "histogram" reads them once; medians and interquartile ranges are off by
        4e-4 of the interquartile range at most, and by a tenth of that where values are not
        discrete. Neither holds more than some megabytes of them in memory.
    n_jobs : int or None, default=None
        Processes that look for quartiles; see :class:`joblib.Parallel`. Memory maps and stores
        are handed to them as paths, other arrays as copies.

    Attributes
    ----------
    center_ : ndarray of float64 of shape (n_parcels,)
        What is subtracted, in the units of the recordings.
    scale_ : ndarray of float64 of shape (n_parcels,)
        What is divided by, in the units of the recordings, `divisor` included; 1 for dead
        parcels.
    dead_parcels_ : ndarray of bool of shape (n_parcels,)
        Parcels without spread in the training recordings. They are scaled to 0.
    n_features_in_ : int
        Number of parcels.
    feature_names_in_ : ndarray of object of shape (n_parcels,)
        Names of the parcels, when recordings are DataFrames whose columns have names.

    See Also
    --------
    standardize_recordings : Removes differences between recordings.
    ParcelHistograms : Quartiles by a single pass.

    Notes
    -----
    The released code wrote ``x - median / IQR``, which is "legacy"; see issue 19 of
    vandijklab/BrainLM.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import RecordingScaler
    >>> rng = np.random.default_rng(0)
    >>> recordings = [rng.normal(100, 5, (150, 4)), rng.normal(100, 5, (120, 4))]
    >>> scaled = RecordingScaler().fit_transform(recordings)
    >>> [recording.shape for recording in scaled]
    [(150, 4), (120, 4)]
    >>> np.abs(np.median(np.concatenate(scaled), axis=0)).round(6).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """

    _parameter_constraints = {
        "method": [StrOptions({"robust", "standard", "legacy"}), None],
        "clip": [Interval(Real, 0, None, closed="neither"), None],
        "divisor": [Interval(Real, 0, None, closed="neither")],
        "algorithm": [StrOptions({"exact", "histogram"})],
        "n_jobs": [Integral, None],
    }

    def __init__(self, method="robust", *, clip=None, divisor=1.0, algorithm="exact", n_jobs=None):
        self.method = method
        self.clip = clip
        self.divisor = divisor
        self.algorithm = algorithm
        self.n_jobs = n_jobs

    def fit(self, X, y=None):
        """Learn center and scale of each parcel.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Training recordings; a 2-D array is one recording.
        y : None
            Ignored.

        Returns
        -------
        self : RecordingScaler
            The fitted scaler.
        """
        self._validate_params()
        recordings = self._check(X)
        names = check_parcel_names(X)
        how = {"algorithm": self.algorithm, "n_jobs": self.n_jobs}
        by_quartiles = self.method in ("robust", "legacy")
        center, scale, level = _STATISTICS[self.method](recordings, **(how if by_quartiles else {}))
        dead = scale <= RESOLUTION * level
        if dead.any():
            warnings.warn(
                f"{dead.sum()} parcels have no spread in the training recordings "
                f"({enumerate_first(np.flatnonzero(dead))}) and are scaled to 0. A masker returns "
                "zeros for a parcel without voxels; check that the atlas covers the images.",
                DataQualityWarning,
                stacklevel=2,
            )
        self.center_, self.dead_parcels_ = center, dead
        self.scale_ = np.where(dead, 1.0, scale) * self.divisor
        self.n_features_in_ = len(center)
        vars(self).pop("feature_names_in_", None)  # of an earlier fit
        if names is not None:
            self.feature_names_in_ = names
        return self

    def transform(self, X):
        """Scale recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 2-D array is one recording.

        Returns
        -------
        scaled : list of ndarray of float32 of shape (n_timepoints, n_parcels)
            New arrays, one a recording; a list of one for a 2-D array.
        """
        check_is_fitted(self)
        recordings = self._check(X, n_parcels=self.n_features_in_)
        check_parcel_names(X, getattr(self, "feature_names_in_", None))
        scaled = [self.scale_window(recording) for recording in recordings]
        if self.clip is not None:
            self._warn_clipped(recordings, scaled)
        for index, (recording, values) in enumerate(zip(recordings, scaled, strict=True)):
            if not np.isfinite(values).all():
                raise InvalidRecordingError(
                    f"{describe(index, recording)} has a value too large for dtype('float32') once "
                    "scaled. Look for a spike in it, or set clip."
                )
        return scaled

    def scale_window(self, window):
        """Scale one window, without the checks of `transform`.

        Parameters
        ----------
        window : array of shape (n_timepoints, n_parcels)
            Part of a checked recording.

        Returns
        -------
        scaled : ndarray of float32 of shape (n_timepoints, n_parcels)
            A new array.
        """
        factor = np.where(self.dead_parcels_, 0.0, 1.0 / self.scale_)
        scaled = np.empty(window.shape, dtype=np.float32)
        for rows in row_blocks(window):
            # In float64: a baseline of 10,000 would cost a float32 difference three digits.
            values = (window[rows] - self.center_) * factor
            if self.clip is not None:
                np.clip(values, -self.clip, self.clip, out=values)
            with np.errstate(over="ignore"):  # transform says where
                scaled[rows] = values
        return scaled

    def inverse_transform(self, X):
        """Bring scaled recordings back to the units they had.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Scaled recordings; a 2-D array is one recording.

        Returns
        -------
        recordings : list of ndarray of float32 of shape (n_timepoints, n_parcels)
            New arrays, one a recording. Dead parcels come back as `center_`, clipped values at the
            clip.
        """
        check_is_fitted(self)
        recordings = self._check(X, n_parcels=self.n_features_in_)
        factor = np.where(self.dead_parcels_, 0.0, self.scale_)
        return [as_float32(recording * factor + self.center_) for recording in recordings]

    def set_output(self, *, transform=None):
        """Do nothing: recordings of several lengths have no DataFrame, and stay a list of arrays.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            Ignored; here so that `set_output` of a Pipeline reaches the steps that follow.

        Returns
        -------
        self : RecordingScaler
            The scaler.
        """
        return self

    def _check(self, X, n_parcels=None):
        """Check recordings; dead parcels are reported over all of them instead of in each."""
        name = type(self).__name__
        return check_recordings(X, estimator_name=name, n_parcels=n_parcels, warn_constant=False)

    def _warn_clipped(self, recordings, scaled):
        """Warn about recordings of which much was clipped, or from far beyond the clip."""
        counts = np.array([np.sum(np.abs(x) >= np.float32(self.clip)) for x in scaled])
        sizes = np.array([x.size for x in scaled])
        is_spike = [
            bool(n) and self._largest(recording) > _SPIKE * self.clip
            for n, recording in zip(counts, recordings, strict=True)
        ]
        affected = np.flatnonzero((counts > _CLIPPED_FRACTION * sizes) | is_spike)
        if len(affected):
            worst = affected[np.argmax(counts[affected] / sizes[affected])]
            warnings.warn(
                f"{counts[affected].sum()} values were clipped at {self.clip} in {len(affected)} "
                f"of {len(scaled)} recordings ({enumerate_first(affected)}; most in "
                f"{describe(worst, recordings[worst])}, {counts[worst]} of {sizes[worst]} values). "
                "Is their scale that of the training, and are there spikes in them?",
                DataQualityWarning,
                stacklevel=3,
            )

    def _largest(self, recording):
        """Return the largest absolute value that scaling a recording would give without a clip."""
        factor = np.where(self.dead_parcels_, 0.0, 1.0 / self.scale_)
        return max(
            np.abs((recording[rows] - self.center_) * factor).max()
            for rows in row_blocks(recording)
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def standardize_recordings(X):
    """Standardise every parcel within each recording to mean 0 and standard deviation 1.

    It removes differences in level and in variance between recordings. Nothing is learned across
    recordings, so it may be done before cross-validation.

    Parameters
    ----------
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings; a 2-D array is one recording.

    Returns
    -------
    list of ndarray of float32 of shape (n_timepoints, n_parcels)
        New arrays. Parcels that are constant within a recording are 0 in it, with a warning.

    See Also
    --------
    RecordingScaler : Keep differences between recordings.

    Notes
    -----
    The standard deviation divides by n_timepoints, as scikit-learn's does and nilearn's "zscore"
    does.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import standardize_recordings
    >>> rng = np.random.default_rng(0)
    >>> made = standardize_recordings([5 + 2 * rng.standard_normal((50, 3))])
    >>> made[0].shape, bool(np.allclose(made[0].std(axis=0), 1, atol=1e-5))
    ((50, 3), True)
    """
    standardized = []
    for recording in check_recordings(X, estimator_name="standardize_recordings"):
        center, scale, level = mean_and_sd([recording])
        factor = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > RESOLUTION * level)
        standardized.append(as_float32((recording - center) * factor))
    return standardized
