"""Masked and missing values, filled in by whatever estimator can."""

import warnings

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm._validation import as_float32
from sklearn_brainlm.bursts import BURSTS, draw_bursts
from sklearn_brainlm.exceptions import DataQualityWarning, InvalidRecordingError
from sklearn_brainlm.imputation import check_missing, interpolate
from sklearn_brainlm.masking import draw_mask, mask_ratios
from sklearn_brainlm.metrics import masked_r2

__all__ = ["ReconstructionMixin"]


class ReconstructionMixin:
    """Reconstruct, impute and score with an estimator that can fill in scaled windows.

    The estimator has ``_fill(windows, masked, tokens=None)``, which takes windows of one length
    (n, T, P) and marks of their masked values (n, T, P), and returns the windows with masked
    values filled in, or NaN where there is nothing to go by. ``tokens`` is the pair
    ``(ids_keep, ids_mask)`` when the marks are those of drawn tokens.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(window_length=20, patch_length=5, max_epochs=2)
    >>> made = model.fit(recordings).reconstruct(recordings, mask_ratio=0.5)
    >>> float(made[0].masked.mean())
    0.5
    >>> missing = np.zeros((3, 40, 4), dtype=bool)
    >>> missing[0, 10:15] = True
    >>> recordings[missing] = np.nan
    >>> bool(np.isnan(model.impute(recordings, missing)).any())
    False
    """

    def reconstruct(self, X, *, mask_ratio=None, random_state=0):
        """Mask recordings and fill in what was masked.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings.
        mask_ratio : float, optional
            Part to mask; the (first) ratio of the constructor when None.
        random_state : int, RandomState or None, default=0
            Seed of the masks.

        Returns
        -------
        reconstructions : list of Bunch
            For each recording ``true`` (scaled values), ``predicted`` (the same, with predictions
            where values were masked) and ``masked`` (bool), all (n_timepoints, n_parcels) and in
            scaled units: ``scaler_.inverse_transform`` brings them back.
        """
        self._refuse_resampling("reconstruct")
        recordings = self._check_fitted_X(X)
        if mask_ratio is None:
            mask_ratio = mask_ratios(self.mask_ratio)[0]
        made = [
            Bunch(
                true=np.empty(recording.shape, np.float32),
                predicted=np.empty(recording.shape, np.float32),
                masked=np.zeros(recording.shape, bool),
            )
            for recording in recordings
        ]
        done = [0] * len(recordings)  # a last window that overlaps adds what is new in it
        windows = self._reconstructions(recordings, mask_ratio, draw_seed(random_state), cover=True)
        for recording, start, *arrays in windows:
            end = start + len(arrays[0])
            new = slice(done[recording], end)
            for name, array in zip(("true", "predicted", "masked"), arrays, strict=True):
                made[recording][name][new] = array[done[recording] - start :]
            done[recording] = end
        return made

    def reconstruct_windows(self, windows, masked):
        """Fill in masked values of scaled windows.

        Parameters
        ----------
        windows : array of shape (n_windows, n_timepoints, n_parcels)
            Windows in scaled units. Masked values may be anything, NaN included.
        masked : bool array of shape (n_windows, n_timepoints, n_parcels)
            True where a value is masked.

        Returns
        -------
        filled : float32 array of shape (n_windows, n_timepoints, n_parcels)
            The windows, with predictions in the place of masked values; 0, the centre of a
            parcel, where there is nothing to go by.

        Raises
        ------
        InvalidRecordingError
            If shapes do not fit, or a value that is not masked is not finite.

        Notes
        -----
        A network sees whole patches: one with a masked value is hidden from it as a whole. The
        closed form it starts from (`prior`) goes by every value that is not masked.
        """
        check_is_fitted(self)
        windows, masked = np.asarray(windows), np.asarray(masked)
        if windows.ndim != 3 or windows.shape[2] != self.n_parcels_ or not windows.size:
            raise InvalidRecordingError(
                f"windows has shape {windows.shape}; expected (n_windows, n_timepoints, "
                f"{self.n_parcels_}), at least one of each."
            )
        if masked.shape != windows.shape or masked.dtype != bool:
            raise InvalidRecordingError(
                f"masked has shape {masked.shape} and dtype {masked.dtype}; expected the shape "
                f"{windows.shape} of windows and bool."
            )
        windows = as_float32(np.where(masked, 0, windows))
        if not np.isfinite(windows).all():
            which, timepoint, parcel = np.argwhere(~np.isfinite(windows))[0]
            raise InvalidRecordingError(
                f"window {which} is not finite at timepoint {timepoint}, parcel {parcel}, which "
                "is not masked."
            )
        return np.nan_to_num(self._fill(windows, masked), nan=0.0)

    def impute(self, X, missing):
        """Fill in missing values.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings. Missing values may be anything, NaN included.
        missing : list of bool arrays of shape (n_timepoints, n_parcels) or (n_timepoints,)
            True where a value is missing; a one-dimensional array is for all parcels.

        Returns
        -------
        filled : list of arrays of shape (n_timepoints, n_parcels)
            Copies of the recordings in their own units, observed values untouched.

        Warns
        -----
        DataQualityWarning
            If there is nothing to go by in a window. Missing values are then interpolated in
            time, or set to the centre of the parcel.

        Notes
        -----
        A network sees whole patches: one with a missing value is hidden from it. The closed form
        it starts from (`prior`) goes by every value that is there; without one, a window that has
        no whole patch has nothing to go by.
        """
        check_is_fitted(self)
        self._refuse_resampling("impute")
        recordings = self._check_X(X, reset=False, ensure_all_finite=False)
        missing = check_missing(missing, recordings)
        guess = [
            interpolate(recording, gaps, self.scaler_.center_)
            for recording, gaps in zip(recordings, missing, strict=True)
        ]
        guess = self._check_X(guess, reset=False, warn_constant=False)
        filled = [recording.copy() for recording in guess]
        reader = self._reader(guess)
        blind = []
        for recording, start in np.concatenate(self._place_windows(guess)):
            window = slice(start, start + self._setting("window_length"))
            gaps = missing[recording][window]
            if not gaps.any():
                continue
            signals, _ = reader.read(np.array([[recording, start]]))
            scaled = signals[0, :, : len(gaps)].T  # (T, P)
            made = self._fill(scaled[None], gaps[None])[0]
            if np.isnan(made).any():
                blind.append(f"{start} of recording {recording}")
            else:
                part = filled[recording][window]
                part[gaps] = self.scaler_.inverse_transform(made)[0][gaps]
        if blind:
            warnings.warn(
                f"There is nothing to go by in {len(blind)} windows (from timepoint "
                f"{', '.join(blind[:5])}): their missing values are interpolated, not predicted.",
                DataQualityWarning,
                stacklevel=2,
            )
        return filled

    def score(self, X, y=None):
        """Return R2 on masked patches of the scaled recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings, every non-overlapping window of which is masked once at each
            `mask_ratio`, with fixed seeds.
        y : None
            Ignored.

        Returns
        -------
        r2 : float
            ``1 - sum(SSE) / sum(SS)``, SS about the mean of the masked values of each window;
            the mean over ratios when there are several. At most 1, and never clamped below.
        """
        recordings = self._check_fitted_X(X)
        scores = []
        for mask_ratio in mask_ratios(self.mask_ratio):
            windows = self._reconstructions(recordings, mask_ratio, draw_seed(0), cover=False)
            _, _, true, predicted, masked = zip(*windows, strict=True)
            scores.append(masked_r2(list(true), list(predicted), list(masked)))
        return float(np.mean(scores))

    def _reconstructions(self, recordings, mask_ratio, seed, *, cover):
        """Yield each window's recording, start, values, reconstruction and mask, all (T, P)."""
        reader = self._reader(recordings)
        for windows in self._place_windows(recordings, cover=cover, same_length=True):
            signals, observed = reader.read(windows)
            n_timepoints = observed[0].sum()
            true = signals[:, :, :n_timepoints].transpose(0, 2, 1)  # (B, T, P)
            rngs = [np.random.default_rng((seed, *window)) for window in windows]
            if self.masking == BURSTS:
                censored = [draw_bursts(n_timepoints, mask_ratio, rng) for rng in rngs]
                masked = np.repeat(np.stack(censored)[:, :, np.newaxis], true.shape[2], axis=2)
                tokens = None
            else:
                tokens = self._draw_tokens(n_timepoints, mask_ratio, rngs)
                masked = reader.grid.spread(tokens[1], n_timepoints)
            filled = self._fill(true, masked, tokens)
            yield from zip(*windows.T, true, filled, masked, strict=True)

    def _draw_tokens(self, n_timepoints, mask_ratio, rngs):
        """Draw one mask a window that does not depend on the other windows of the batch."""
        grid = self._grid
        size = grid.n_rows, grid.n_columns(n_timepoints)
        masks = [draw_mask(self.masking, *size, mask_ratio, n_windows=1, rng=rng) for rng in rngs]
        ids_keep, ids_mask = zip(*masks, strict=True)
        return np.concatenate(ids_keep), np.concatenate(ids_mask)
