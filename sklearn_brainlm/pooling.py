"""From the tokens of windows to one row of features a recording."""

import numpy as np

__all__ = ["TokenPool", "n_pooled"]


def n_pooled(pooling, n_rows, embed_dim):
    """Count the features of a recording.

    Parameters
    ----------
    pooling : {"cls", "mean", "parcel", "covariance"}
        Kind of pooling, see :class:`TokenPool`.
    n_rows : int
        Token rows R.
    embed_dim : int
        Embedding dimension D.

    Returns
    -------
    n_features : int
        Columns of the embedding.
    """
    return {
        "cls": embed_dim,
        "mean": embed_dim,
        "parcel": n_rows * embed_dim,
        "covariance": n_rows * (n_rows + 1) // 2,
    }[pooling]


class TokenPool:
    """Gather encoded windows, recording by recording, into features.

    Parameters
    ----------
    pooling : {"cls", "mean", "parcel", "covariance"}
        "cls" is the mean of the CLS embeddings of the windows, "mean" that of all tokens,
        "parcel" that of the tokens of each row. "covariance" is the row-by-row covariance of the
        tokens over time: centred over all patch columns of the recording for every row and
        embedding dimension, averaged over columns and dimensions, upper triangle with diagonal.
    n_recordings : int
        Recordings that will be seen.
    n_rows : int
        Token rows R of a window.

    Examples
    --------
    >>> pool = TokenPool("mean", n_recordings=1, n_rows=2)
    >>> pool.add(0, np.ones((1 + 2 * 3, 4), dtype=np.float32))
    >>> pool.features()
    array([[1., 1., 1., 1.]], dtype=float32)
    """

    def __init__(self, pooling, n_recordings, n_rows):
        self.pooling = pooling
        self.n_rows = n_rows
        self.n_seen = np.zeros(n_recordings, dtype=int)  # windows, or columns for "covariance"
        self.sums = [0.0] * n_recordings
        self.products = [0.0] * n_recordings

    def add(self, recording, latent):
        """Add an encoded window.

        Parameters
        ----------
        recording : int
            Index of its recording.
        latent : float32 array of shape (1 + N, D), or (1, D)
            CLS embedding and tokens in raster order; "cls" needs no tokens, "mean" no order.
        """
        if self.pooling in ("covariance", "parcel"):
            tokens = latent[1:].reshape(self.n_rows, -1, latent.shape[1])  # (R, C, D)
        if self.pooling == "covariance":
            # In float64, as the mean is taken off only once all windows are there.
            flat = tokens.astype(np.float64).reshape(self.n_rows, -1)  # (R, C * D)
            self.products[recording] = self.products[recording] + flat @ flat.T
            self.sums[recording] = self.sums[recording] + tokens.sum(axis=1, dtype=np.float64)
            self.n_seen[recording] += tokens.shape[1]
            return
        pooled = {
            "cls": lambda: latent[0],
            "mean": lambda: latent[1:].mean(axis=0, dtype=np.float64),
            "parcel": lambda: tokens.mean(axis=1, dtype=np.float64).ravel(),
        }[self.pooling]()
        self.sums[recording] = self.sums[recording] + pooled.astype(np.float64)
        self.n_seen[recording] += 1

    def features(self):
        """Return the features of all recordings.

        Returns
        -------
        features : float32 array of shape (n_recordings, n_features)
            One row a recording.
        """
        if self.pooling != "covariance":
            return (np.stack(self.sums) / self.n_seen[:, None]).astype(np.float32)
        upper = np.triu_indices(self.n_rows)
        rows = []
        for n_seen, total, products in zip(self.n_seen, self.sums, self.products, strict=True):
            covariance = (products - total @ total.T / n_seen) / (n_seen * total.shape[1])
            rows.append(covariance[upper])
        return np.stack(rows).astype(np.float32)
