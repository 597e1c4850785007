"""Recordings that lie on the device, in 16 bits, and windows that are cut from them there."""

import numpy as np
import torch

from sklearn_brainlm._validation import describe
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.recordings import n_columns
from sklearn_brainlm.windows import WindowReader

__all__ = ["ResidentReader", "fits"]

_SHARE = 0.5  # of the free memory of a device; the rest is for the network and its gradients


def fits(recordings, device):
    """Say whether recordings can lie on a device while a network is trained there.

    Parameters
    ----------
    recordings : list of arrays of shape (n_timepoints, P)
        Recordings.
    device : str
        Device of torch.

    Returns
    -------
    fits : bool
        Whether they take at most half of what is free there, at two bytes a value. Never true of
        the CPU, where they lie already.
    """
    if torch.device(device).type != "cuda":
        return False
    n_bytes = 2 * sum(len(recording) * recording.shape[1] for recording in recordings)
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes <= _SHARE * free


class ResidentReader(WindowReader):
    """Read windows of recordings from the memory of the device.

    All recordings are scaled once, rounded to float16 and put on the device; a batch is then one
    gather, without a copy from the host. The corpus of the article, 64 GB in float32, is 32 GB so.

    Parameters
    ----------
    reader : WindowReader
        Where recordings are read from, once.
    device : str
        Device of torch.

    Attributes
    ----------
    corpus : float16 tensor of shape (n_timepoints of all recordings, P)
        Scaled recordings, one behind the other.

    Notes
    -----
    A scaled value has 11 significant bits here, an error of at most 1 in 2,048 of itself: less
    than what bf16, in which the network computes on such a device, takes away.

    Examples
    --------
    >>> from sklearn_brainlm.grids import TokenGrid
    >>> grid = TokenGrid(n_parcels=2, patch_length=4)
    >>> reader = WindowReader([np.ones((10, 2))], np.float32, grid, 6, lambda *_: {})
    >>> signals, observed = ResidentReader(reader, "cpu").read(np.array([[0, 3]]))
    >>> signals.shape, observed[0].astype(int)
    (torch.Size([1, 2, 8]), array([1, 1, 1, 1, 1, 1, 0, 0]))
    """

    def __init__(self, reader, device):
        super().__init__(
            reader.recordings, reader.scale, reader.grid, reader.window_length, reader.extras
        )
        lengths = [len(recording) for recording in self.recordings]
        self._lengths = np.array(lengths)
        self._offsets = np.cumsum([0, *lengths[:-1]])
        width = self.recordings[0].shape[1]
        self.corpus = torch.empty(sum(lengths), width, dtype=torch.float16, device=device)
        for index, (recording, offset) in enumerate(
            zip(self.recordings, self._offsets, strict=True)
        ):
            with np.errstate(over="ignore"):  # said below, with the name of the recording
                values = self.scale(recording).astype(np.float16)
            if not np.isfinite(values).all():
                raise InvalidRecordingError(
                    f"{describe(index, recording)} has values too large for 16 bits once scaled. "
                    "Look for a spike in it, or set clip."
                )
            self.corpus[offset : offset + len(values)] = torch.from_numpy(values)

    def read(self, windows):
        """Cut and pad windows.

        Parameters
        ----------
        windows : int64 array of shape (B, 2)
            Recording and start of each window; all have the same number of patch columns.

        Returns
        -------
        signals : float32 tensor of shape (B, P, C * L)
            Scaled windows on the device, parcel-major, filled up with zeros.
        observed : bool array of shape (B, C * L)
            False where they were filled up.
        """
        which, starts = windows.T
        lengths = np.minimum(self.window_length, self._lengths[which] - starts)  # (B,)
        patch_length = self.grid.patch_length
        times = np.arange(n_columns(lengths[0], patch_length) * patch_length)
        observed = times < lengths[:, None]
        rows = (self._offsets[which] + starts)[:, None] + np.where(observed, times, 0)  # (B, T)
        device = self.corpus.device
        signals = self.corpus[torch.from_numpy(rows).to(device)].float()  # (B, T, P)
        signals *= torch.from_numpy(observed).to(device)[:, :, None]
        return signals.transpose(1, 2).contiguous(), observed
