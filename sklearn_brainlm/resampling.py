"""Recordings in, recordings out: resampling in time."""

from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from sklearn_brainlm._validation import as_float32, check_recordings, check_t_r, describe
from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = ["resample_recordings"]

_LARGEST_DENOMINATOR = 1000  # puts a ratio of TRs within 1e-6: a thousandth of a TR in 1000


def resample_recordings(X, t_r, new_t_r):
    """Resample recordings in time to another TR.

    A network counts timepoints, not seconds: 200 of them last 144 s at the TR of HCP (0.72 s) and
    400 s at one of 2 s. Weights need the TR that they were trained at.

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
    list of ndarray of float32 of shape (n_new_timepoints, n_parcels)
        New arrays of ``round(n_timepoints * t_r / new_t_r)`` timepoints; the first timepoint stays
        where it is. Recordings that have the TR wanted keep their values.

    See Also
    --------
    doctor : Notices a TR that does not fit.
    RecordingScaler : Brings recordings to the scale of a model.

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
