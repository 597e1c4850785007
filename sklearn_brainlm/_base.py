"""What every estimator of recordings does the same way: check X, scale, lay windows out.

Think twice before adding a line here: it is inherited by everything.
"""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._parcels import is_frame
from sklearn_brainlm._reporting import ReportMixin
from sklearn_brainlm._validation import (
    T_R_ROUNDING,
    check_parcel_names,
    check_recordings,
    check_t_r,
    describe,
)
from sklearn_brainlm.diagnosis.scales import warn_of_scale
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.grids import TokenGrid
from sklearn_brainlm.preprocessing import RecordingScaler
from sklearn_brainlm.recordings import check_lengths
from sklearn_brainlm.windows import WindowReader, nothing, place_windows

__all__ = ["BaseRecordingEstimator", "draw_seed"]


class BaseRecordingEstimator(ReportMixin, BaseEstimator):
    """Estimator that speaks recordings and sees windows of them.

    A subclass has the parameters ``n_parcels``, ``scaler``, ``clip``, ``short``,
    ``window_length`` and ``patch_length``.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer, GaussianReconstructor
    >>> isinstance(BrainLMTransformer(), BaseRecordingEstimator)
    True
    >>> isinstance(GaussianReconstructor(), BaseRecordingEstimator)
    True
    """

    def __sklearn_tags__(self):
        """Say what X may be; rows of a 2-D array are timepoints of one recording."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.two_d_array = True
        tags.input_tags.allow_nan = False
        return tags

    def _check_X(self, X, *, reset, ensure_all_finite=True, warn_constant=True):
        """Check X and return its recordings; `reset` learns the parcels instead of checking."""
        recordings = check_recordings(
            X,
            estimator_name=type(self).__name__,
            n_parcels=self._setting("n_parcels") if reset else self.n_features_in_,
            ensure_all_finite=ensure_all_finite,
            warn_constant=warn_constant,
        )
        self._check_t_r(X)
        recordings = self._at_weights_t_r(recordings)
        lengths = [len(recording) for recording in recordings]
        window_length, patch_length = self._setting("window_length"), self._setting("patch_length")
        check_lengths(lengths, window_length, patch_length, self.short)
        expected = None if reset else getattr(self, "feature_names_in_", None)
        names = check_parcel_names(X, expected)
        if reset:
            self.n_features_in_ = recordings[0].shape[1]
            vars(self).pop("feature_names_in_", None)
            if names is not None:
                self.feature_names_in_ = names
        return recordings

    def _setting(self, name):
        """Return a parameter that shapes the model; weights may have settled it."""
        return getattr(self, name)

    def _check_t_r(self, X):
        """Raise if X says that its repetition time is not the one that is expected."""
        expected = check_t_r(self._expected_t_r())
        said = None if is_frame(X) else getattr(X, "t_r", None)  # of a RecordingStore
        if expected is None or said is None:
            return
        said = np.asarray(said, dtype=float)
        wrong = np.flatnonzero(np.abs(said / expected - 1) > T_R_ROUNDING)  # not where unknown
        if len(wrong):
            t_r = said[wrong[0]]
            raise InvalidRecordingError(
                f"{describe(wrong[0])} has a t_r of {t_r:g} s in its store, as {len(wrong)} of "
                f"{len(said)} recordings have another than {expected:g} s; {type(self).__name__} "
                f"expects {expected:g} s, within 1%. Bring them to it with resample_recordings, or "
                f"set t_r={t_r:g} if all have it."
            )

    def _expected_t_r(self):
        """Return the repetition time that recordings should have, None where any will do."""
        return getattr(self, "t_r", None)

    def _at_weights_t_r(self, recordings):
        """Bring recordings to the repetition time that weights expect."""
        return recordings

    def _refuse_resampling(self, what):
        """Raise if what is given back would have another repetition time than what was given."""

    def _learn_input(self, recordings):
        """Learn the input contract: number of parcels and scaling."""
        self.n_parcels_ = self.n_features_in_
        method = "robust" if self.scaler == "auto" else self.scaler
        self.scaler_ = RecordingScaler(method, clip=self.clip).fit(recordings)

    @property
    def _grid(self):
        """Layout of the tokens."""
        return TokenGrid(self.n_parcels_, self._setting("patch_length"))

    def _reader(self, recordings, extras=nothing):
        """Return a reader of scaled windows of recordings."""
        window_length = self._setting("window_length")
        return WindowReader(
            recordings, self.scaler_.scale_window, self._grid, window_length, extras
        )

    def _place_windows(self, recordings, *, stride=None, cover=True, same_length=False):
        """Place windows over recordings, in batches of one number of patches, or of timepoints."""
        return place_windows(
            [len(recording) for recording in recordings],
            self._setting("window_length"),
            1 if same_length else self._setting("patch_length"),
            self._resolve_micro_batch_size(),
            stride=stride,
            cover=cover,
        )

    def _resolve_micro_batch_size(self):
        """Return the number of windows to work on at a time."""
        return 1

    def _check_fitted_X(self, X):
        """Check X against the input contract learned in fit."""
        check_is_fitted(self)
        recordings = self._check_X(X, reset=False)
        if getattr(self, "scaler_", None) is not None:
            warn_of_scale(recordings, self.scaler_.scale_)
        return recordings


def draw_seed(random_state):
    """Draw the seed that everything random in a fit follows from.

    Parameters
    ----------
    random_state : int, RandomState or None
        None takes fresh entropy; the global random state is neither read nor moved.

    Returns
    -------
    seed : int
        From 0 to 2**31 - 1.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    return int(check_random_state(random_state).randint(2**31 - 1))
