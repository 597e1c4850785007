"""Recordings that are scaled when they are read, so that a store larger than memory can be."""

from collections.abc import Sequence

import numpy as np

from sklearn_brainlm._validation import describe
from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = ["ScaledRecordings", "scale_all"]

_IN_MEMORY = 2**28  # values, 1 GB: so many are scaled once and kept


class ScaledRecordings(Sequence):
    """Scale recordings one at a time, each time they are asked for.

    Parameters
    ----------
    recordings : sequence of arrays of shape (n_timepoints, n_parcels)
        Checked recordings.
    scaler : RecordingScaler
        Fitted scaler.
    parcels : int64 array, optional
        Columns to keep; all when None.

    Examples
    --------
    >>> from sklearn_brainlm import RecordingScaler
    >>> recordings = list(np.random.default_rng(0).normal(9, 2, (3, 20, 4)))
    >>> scaled = ScaledRecordings(recordings, RecordingScaler("standard").fit(recordings))
    >>> len(scaled), scaled[0].shape, len(scaled.take([0, 2]))
    (3, (20, 4), 2)
    """

    def __init__(self, recordings, scaler, parcels=None):
        self.recordings = recordings
        self.scaler = scaler
        self.parcels = parcels

    def __len__(self):
        return len(self.recordings)

    def __getitem__(self, index):
        if index >= len(self):  # a Sequence is iterated over until this is raised
            raise IndexError(index)
        recording = self.recordings[index]
        scaled = self.scaler.scale_window(recording[:])
        if not np.isfinite(scaled).all():
            raise InvalidRecordingError(
                f"{describe(index, recording)} has a value too large for dtype('float32') once "
                "scaled. Look for a spike in it, or set clip."
            )
        return scaled if self.parcels is None else scaled[:, self.parcels]

    def take(self, which):
        """Return some of the recordings, not scaled yet.

        Parameters
        ----------
        which : sequence of int
            Their indices.

        Returns
        -------
        some : ScaledRecordings
            These recordings.
        """
        return ScaledRecordings([self.recordings[i] for i in which], self.scaler, self.parcels)

    def keep_parcels(self, parcels):
        """Return the recordings with some of their parcels.

        Parameters
        ----------
        parcels : int64 array
            Columns.

        Returns
        -------
        narrower : ScaledRecordings
            The same recordings.
        """
        return ScaledRecordings(self.recordings, self.scaler, parcels)


def scale_all(recordings, scaler):
    """Scale recordings, at once where they fit in memory well, and else when they are read.

    Parameters
    ----------
    recordings : list of arrays of shape (n_timepoints, n_parcels)
        Checked recordings.
    scaler : RecordingScaler
        Fitted scaler.

    Returns
    -------
    scaled : list of float32 arrays, or ScaledRecordings
        The same values either way.

    Raises
    ------
    InvalidRecordingError
        If a value is too large once scaled; of what is not in memory, when it is read.
    """
    n_values = sum(len(recording) * recording.shape[1] for recording in recordings)
    if n_values <= _IN_MEMORY:
        return scaler.transform(recordings)
    return ScaledRecordings(recordings, scaler)
