"""What every estimator that holds a network does the same way."""

import numpy as np

from sklearn_brainlm._base import BaseRecordingEstimator
from sklearn_brainlm._validation import check_parcel_coords, check_t_r
from sklearn_brainlm.batches import TokenGrid, WindowReader
from sklearn_brainlm.devices import forked_rng, resolve_device, tokens_at_a_time
from sklearn_brainlm.recordings import n_columns

__all__ = ["NetworkEstimator"]


class NetworkEstimator(BaseRecordingEstimator):
    """Estimator that holds a network (``net_``) and its device (``device_``).

    A subclass has ``_build_net()``, which returns an untrained net for what is fitted, and
    ``_batch_extras()``, which returns what its network takes beside signals and masks.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> isinstance(BrainLMTransformer(), NetworkEstimator)
    True
    """

    def __sklearn_is_fitted__(self):
        """Say whether there is a trained network."""
        return hasattr(self, "net_")

    def __getstate__(self):
        """Return plain parameters and NumPy arrays: no tensor, no optimizer, no recording."""
        state = dict(super().__getstate__())
        if "net_" in state:
            state["net_"] = state["net_"].get_weights()
        return state

    def __setstate__(self, state):
        """Rebuild the network around its weights."""
        super().__setstate__(state)
        if "net_" in state:
            self._restore_net(state["net_"])

    def _restore_net(self, weights):
        """Build the network and put weights into it; the device may be another than in fit."""
        self.device_ = resolve_device(self.device)
        with forked_rng(0, self.device_):  # initial weights are drawn, and then replaced
            self.net_ = self._build_net().set_weights(weights)

    def _learn_input(self, recordings):
        """Learn the input contract: parcels, their coordinates, repetition time and scaling."""
        super()._learn_input(recordings)
        self.t_r_ = check_t_r(self.t_r)
        self.parcel_coords_ = None
        if self.parcel_coords is not None:
            self.parcel_coords_ = check_parcel_coords(self.parcel_coords, self.n_parcels_)

    @property
    def _grid(self):
        """Layout of the tokens; parcels that share a patch are neighbours along MNI Y."""
        order = None
        if self.parcels_per_patch > 1 and self.parcel_coords_ is not None:
            order = np.argsort(self.parcel_coords_[:, 1], kind="stable")
        return TokenGrid(self.n_parcels_, self.patch_length, self.parcels_per_patch, order)

    def _resolve_micro_batch_size(self):
        """Return the number of windows on the device at a time."""
        if self.micro_batch_size != "auto":
            return self.micro_batch_size
        n_tokens = self._grid.n_rows * n_columns(self.window_length, self.patch_length)
        return max(1, tokens_at_a_time(self.device_) // n_tokens)

    def _fill(self, windows, masked, tokens=None):
        """Fill in masked values; a patch with a masked value is hidden as a whole."""
        # The windows stand for recordings that are scaled already.
        reader = WindowReader(windows, np.asarray, self._grid, windows.shape[1], self._batch_extras)
        filled = np.where(masked, np.float32(np.nan), windows)
        if tokens is None:
            batches = self._group_masks(masked)
        else:
            batches = [(np.arange(len(windows)), *tokens)]
        for which, ids_keep, ids_mask in batches:
            starts = np.zeros_like(which)
            inputs, _ = reader.batch(np.column_stack([which, starts]), ids_keep, ids_mask)
            made = self.net_.fill(inputs).transpose(0, 2, 1)[:, : windows.shape[1]]  # (B, T, P)
            filled[which] = np.where(masked[which], made, windows[which])
        return filled

    def _group_masks(self, masked):
        """Yield windows that have as many visible tokens, some but not all, and their tokens."""
        touched = np.stack([self._grid.touched(mask) for mask in masked])  # (n, N)
        counts = touched.sum(axis=1)
        size = self._resolve_micro_batch_size()
        for count in np.setdiff1d(counts, [0, touched.shape[1]]):
            group = np.flatnonzero(counts == count)
            for start in range(0, len(group), size):
                which = group[start : start + size]
                ids = [np.nonzero(marks)[1] for marks in (~touched[which], touched[which])]
                yield which, *(tokens.reshape(len(which), -1) for tokens in ids)
