"""Recordings in, recordings out: scaling by parcel and resampling in time."""

import warnings
from fractions import Fraction
from numbers import Real

import numpy as np
from scipy.signal import resample_poly
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._statistics import mean_and_sd, median_and_iqr, zero_and_one
from sklearn_brainlm._validation import (
    as_float32,
    check_parcel_names,
    check_recordings,
    check_t_r,
    describe,
    enumerate_first,
    row_blocks,
)
from sklearn_brainlm.exceptions import DataQualityWarning, InvalidRecordingError

__all__ = ["RecordingScaler", "resample_recordings", "standardize_recordings"]

_STATISTICS = {"robust": median_and_iqr, "standard": mean_and_sd, None: zero_and_one}
_RESOLUTION = 10 * np.finfo(np.float32).eps  # a spread below this part of the level is rounding
_CLIPPED_FRACTION = 0.01  # a recording with more values than this clipped is not on the scale
_LARGEST_DENOMINATOR = 1000  # puts a ratio of TRs within 1e-6: a thousandth of a TR in 1000


class RecordingScaler(
    OneToOneFeatureMixin, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Scale every parcel of recordings by statistics of the training recordings.

    Parameters
    ----------
    method : {"robust", "standard"} or None, default="robust"
        What is subtracted and divided by: "robust" is the median and the interquartile range of a
        parcel, "standard" its mean and standard deviation, both over all timepoints of all
        training recordings. None leaves values as they are.
    clip : float or None, default=None
        Largest absolute value after scaling; values beyond are set to it.

    Attributes
    ----------
    center_ : ndarray of float64 of shape (n_parcels,)
        What is subtracted, in the units of the recordings.
    scale_ : ndarray of float64 of shape (n_parcels,)
        What is divided by, in the units of the recordings; 1 for dead parcels.
    dead_parcels_ : ndarray of bool of shape (n_parcels,)
        Parcels without spread in the training recordings. They are scaled to 0.
    n_features_in_ : int
        Number of parcels.
    feature_names_in_ : ndarray of object of shape (n_parcels,)
        Names of the parcels, when recordings are DataFrames whose columns have names.

    Notes
    -----
    Differences in level and in variance between recordings, which carry information about people,
    are kept. Compare `standardize_recordings`, which removes them. The paper (section 3.1) scales
    by "robust".

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
        "method": [StrOptions({"robust", "standard"}), None],
        "clip": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(self, method="robust", *, clip=None):
        self.method = method
        self.clip = clip

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
        center, scale, level = _STATISTICS[self.method](recordings)
        dead = scale <= _RESOLUTION * level
        if dead.any():
            warnings.warn(
                f"{dead.sum()} parcels have no spread in the training recordings "
                f"({enumerate_first(np.flatnonzero(dead))}) and are scaled to 0. A masker returns "
                "zeros for a parcel without voxels; check that the atlas covers the images.",
                DataQualityWarning,
                stacklevel=2,
            )
        self.center_, self.scale_, self.dead_parcels_ = center, np.where(dead, 1.0, scale), dead
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
            _warn_clipped(recordings, scaled, self.clip)
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def standardize_recordings(X):
    """Standardise every parcel within each recording to mean 0 and standard deviation 1.

    Parameters
    ----------
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings; a 2-D array is one recording.

    Returns
    -------
    standardized : list of ndarray of float32 of shape (n_timepoints, n_parcels)
        New arrays. Parcels that are constant within a recording are 0 in it, with a warning.

    See Also
    --------
    RecordingScaler : Keep differences between recordings.

    Notes
    -----
    The standard deviation divides by n_timepoints, as scikit-learn's does and nilearn's
    "zscore" does. Nothing is learned across recordings, so it may be done before cross-validation.
    """
    standardized = []
    for recording in check_recordings(X, estimator_name="standardize_recordings"):
        center, scale, level = mean_and_sd([recording])
        factor = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > _RESOLUTION * level)
        standardized.append(as_float32((recording - center) * factor))
    return standardized


def resample_recordings(X, t_r, new_t_r):
    """Resample recordings in time to another TR.

    Parameters
    ----------
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings; a 2-D array is one recording.
    t_r : float or sequence of float of shape (n_recordings,)
        TR of the recordings in seconds, one for all or one each.
    new_t_r : float
        TR wanted, in seconds.

    Returns
    -------
    resampled : list of ndarray of float32 of shape (n_new_timepoints, n_parcels)
        New arrays of ``round(n_timepoints * t_r / new_t_r)`` timepoints; the first timepoint stays
        where it is. Recordings that have the TR wanted keep their values.

    Notes
    -----
    Polyphase filtering by `scipy.signal.resample_poly`. The filter removes what lies above the new
    Nyquist frequency ``1 / (2 * new_t_r)`` before going down. Beyond its ends a recording goes on
    along the line through its first and last timepoints: padding with the mean makes a jump at
    both ends, and errors there were two to five times larger.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import resample_recordings
    >>> recordings = [np.random.default_rng(0).normal(size=(300, 4))]
    >>> resample_recordings(recordings, t_r=0.72, new_t_r=2.0)[0].shape
    (108, 4)
    """
    recordings = check_recordings(X, estimator_name="resample_recordings", warn_constant=False)
    t_rs = [t_r] * len(recordings) if np.ndim(t_r) == 0 else list(t_r)
    if len(t_rs) != len(recordings):
        raise InvalidRecordingError(
            f"t_r has {len(t_rs)} values for {len(recordings)} recordings; give one for all, or "
            "one each."
        )
    if new_t_r is None or any(value is None for value in t_rs):
        raise InvalidRecordingError("t_r and new_t_r must be given, in seconds; got None.")
    new_t_r = check_t_r(new_t_r)
    return [
        _resample(describe(index, recording), recording, check_t_r(value), new_t_r)
        for index, (recording, value) in enumerate(zip(recordings, t_rs, strict=True))
    ]


def _resample(name, recording, t_r, new_t_r):
    """Resample one recording."""
    if t_r == new_t_r:
        return np.array(recording, dtype=np.float32, order="C")
    n_new = round(len(recording) * t_r / new_t_r)
    ratio = Fraction(t_r / new_t_r).limit_denominator(_LARGEST_DENOMINATOR)
    if len(recording) < 2 or n_new < 1 or not ratio:
        raise InvalidRecordingError(
            f"{name} has {len(recording)} timepoints of {t_r} s: too short to be resampled to "
            f"{new_t_r} s."
        )
    # The filter's gain is off by about 0.1%, which of a raw baseline is more than the signal.
    mean = recording.mean(axis=0, dtype=np.float64)
    up, down = ratio.numerator, ratio.denominator
    resampled = resample_poly(recording - mean, up, down, axis=0, padtype="line")
    return as_float32(resampled[:n_new] + mean)


def _warn_clipped(recordings, scaled, clip):
    """Warn about recordings of which much was clipped."""
    fractions = np.array([np.mean(np.abs(values) >= np.float32(clip)) for values in scaled])
    affected = np.flatnonzero(fractions > _CLIPPED_FRACTION)
    if len(affected):
        worst = int(np.argmax(fractions))
        warnings.warn(
            f"More than {_CLIPPED_FRACTION:.0%} of the values were clipped at {clip} in "
            f"{len(affected)} of {len(scaled)} recordings ({enumerate_first(affected)}; most in "
            f"{describe(worst, recordings[worst])}): is their scale that of the training?",
            DataQualityWarning,
            stacklevel=3,
        )
