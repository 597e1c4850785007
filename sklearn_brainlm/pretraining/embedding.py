"""How an estimator with a network embeds recordings."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm.pooling import TokenPool, n_pooled

__all__ = ["EmbeddingMixin"]


class EmbeddingMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Embed recordings by the encoder of ``net_``, window by window.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> isinstance(BrainLMTransformer(), EmbeddingMixin)
    True
    """

    def transform(self, X):
        """Embed recordings.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels)
            Recordings; a 3-D array is many, a 2-D array or DataFrame is one.

        Returns
        -------
        embeddings : float32 array of shape (n_recordings, n_features)
            One row a recording.

        Raises
        ------
        InvalidRecordingError, InvalidRecordingTypeError
            If X cannot be used; the message names the recording.
        OutOfMemoryError
            If memory is too short for one window at a time.
        """
        if len(getattr(X, "shape", ())) == 2:
            # As a list, so that set_output does not look for one row a timepoint in a DataFrame.
            return self.transform([X])
        recordings = self._check_fitted_X(X)
        reader = self._reader(recordings)
        n_rows = self._grid.n_rows
        if self.embed_mask_ratio and self.pooling not in ("cls", "mean"):
            raise ValueError(
                f"pooling={self.pooling!r} needs all tokens: set embed_mask_ratio=0, not "
                f"{self.embed_mask_ratio}, or pooling='cls' or 'mean'."
            )
        pool = TokenPool(self.pooling, len(recordings), n_rows)
        for windows in self._place_windows(recordings, stride=self.window_stride):
            signals, observed = reader.read(windows)
            visible = self._visible_tokens(recordings, windows, observed.shape[1])
            latent = self.net_.encode(signals, visible, cls_only=self.pooling == "cls")
            for recording, window in zip(windows[:, 0], latent, strict=True):
                pool.add(recording, window)
        return pool.features()

    def _visible_tokens(self, recordings, windows, n_timepoints):
        """Return the tokens to embed each window from, (B, K): all in raster order, or a draw."""
        n_tokens = self._grid.n_tokens(n_timepoints)
        if not self.embed_mask_ratio:
            return np.tile(np.arange(n_tokens), (len(windows), 1))
        seed = draw_seed(self.random_state)
        n_visible = max(1, int(n_tokens * (1 - self.embed_mask_ratio)))
        draws = [np.random.default_rng((seed, *window)).permutation(n_tokens) for window in windows]
        return np.stack(draws)[:, :n_visible]

    @property
    def _n_features_out(self):
        """Number of features of an embedding."""
        return n_pooled(self.pooling, self._grid.n_rows, self._setting("embed_dim"))
