"""How the power of recordings is spread over frequencies."""

import numpy as np

__all__ = ["power_by_band"]

_MOST_RECORDINGS = 200  # more do not change the shares


def power_by_band(recordings, n_bands=32):
    """Share the power of recordings out over equal bands of frequency.

    Parameters
    ----------
    recordings : list of arrays of shape (n_timepoints, n_parcels)
        Checked recordings of one repetition time; of many, some spread evenly are looked at.
    n_bands : int, default=32
        Bands from zero to the Nyquist frequency.

    Returns
    -------
    shares : float64 array of shape (n_bands,)
        They add up to 1; zeros when nothing varies. Every parcel counts the same.

    Examples
    --------
    >>> slow = np.sin(np.arange(100) / 100 * 2 * np.pi * 2)[:, None]
    >>> power_by_band([slow], n_bands=4).round(3).tolist()
    [1.0, 0.0, 0.0, 0.0]
    """
    total = np.zeros(n_bands)
    step = -(-len(recordings) // _MOST_RECORDINGS)
    for recording in recordings[::step]:
        centred = np.asarray(recording, dtype=np.float64)
        centred = centred - centred.mean(axis=0)
        power = np.abs(np.fft.rfft(centred, axis=0)) ** 2  # (n_frequencies, n_parcels)
        spread = power.sum(axis=0)
        power = np.divide(power, spread, out=np.zeros_like(power), where=spread > 0).sum(axis=1)
        place = np.linspace(0, n_bands, len(power), endpoint=False).astype(int)
        total += np.bincount(place, power, minlength=n_bands)
    return total / total.sum() if total.any() else total
