"""The stationary Gaussian model of recordings: its statistics.

A window is thought of as components with unit variance, each with its own memory over time, mixed
into parcels: ``cov(x(t), x(t + lag)) = mixing @ correlation(lag) @ mixing.T``. What this says of
hidden values is in :mod:`sklearn_brainlm.conditioning`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, linalg

__all__ = ["GaussianStatistics", "fit_statistics"]


@dataclass(frozen=True)
class GaussianStatistics:
    """What the closed form knows of a group of recordings.

    Attributes
    ----------
    covariance : float32 array of shape (P, P)
        Second moments of the scaled recordings over all timepoints.
    whitening : float32 array of shape (P, P)
        Takes parcels to components of unit variance: ``components = x @ whitening``. Components
        are principal components, by descending variance.
    colouring : float32 array of shape (P, P)
        The way back: ``x = components @ colouring.T``.
    autocorrelation : float32 array of shape (n_lags + 1, P)
        Autocorrelation of each component, tapered to zero.
    cross_correlation : float32 array of shape (n_cross_lags + 1, K, K)
        Correlation of component i at ``t + lag`` with component j at t for the first K components,
        tapered; the diagonal is zero, as it stands in `autocorrelation`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> statistics = fit_statistics([rng.standard_normal((400, 5), dtype=np.float32)])
    >>> statistics.covariance.shape, statistics.spectrum(64).shape
    ((5, 5), (5, 33))
    """

    covariance: np.ndarray
    whitening: np.ndarray
    colouring: np.ndarray
    autocorrelation: np.ndarray
    cross_correlation: np.ndarray

    def n_fft(self, n_timepoints):
        """Return the length of a transform on which windows do not wrap around.

        Parameters
        ----------
        n_timepoints : int
            Timepoints of a window.

        Returns
        -------
        n_fft : int
            A fast length, large enough for the longest lag.
        """
        longest = max(len(self.autocorrelation), len(self.cross_correlation)) - 1
        return fft.next_fast_len(max(n_timepoints, longest) + longest + 1, real=True)

    def spectrum(self, n_fft):
        """Return the power spectrum of each component.

        Parameters
        ----------
        n_fft : int
            Length of the transform.

        Returns
        -------
        spectrum : float32 array of shape (P, n_fft // 2 + 1)
            Positive; its mean over all frequencies is one.
        """
        wrapped = _wrap(self.autocorrelation, self.autocorrelation[1:][::-1], n_fft)
        spectrum = fft.rfft(wrapped, axis=0).real.T
        return np.ascontiguousarray(np.maximum(spectrum, 1e-3), dtype=np.float32)

    def cross_spectrum(self, n_fft):
        """Return the cross-spectra of the first components.

        Parameters
        ----------
        n_fft : int
            Length of the transform.

        Returns
        -------
        cross_spectrum : complex64 array of shape (n_fft // 2 + 1, K, K)
            Hermitian at each frequency, with a diagonal of zero.
        """
        backwards = self.cross_correlation[1:][::-1].transpose(0, 2, 1)
        wrapped = _wrap(self.cross_correlation, backwards, n_fft)
        return fft.rfft(wrapped, axis=0).astype(np.complex64)


def fit_statistics(recordings, *, n_lags=30, n_cross_components=60, n_cross_lags=20):
    """Estimate the statistics of a group of recordings.

    Parameters
    ----------
    recordings : list of float32 arrays of shape (n_timepoints, P)
        Scaled recordings.
    n_lags : int, default=30
        Longest lag of the autocorrelations.
    n_cross_components : int, default=60
        Components whose cross-correlations are kept.
    n_cross_lags : int, default=20
        Longest lag of the cross-correlations.

    Returns
    -------
    statistics : GaussianStatistics
        The statistics.

    Notes
    -----
    Lags are weighed by Bartlett's triangle, which keeps spectra positive.
    """
    n_timepoints = sum(len(recording) for recording in recordings)
    moment = sum(np.asarray(x, np.float64).T @ np.asarray(x, np.float64) for x in recordings)
    covariance = moment / n_timepoints
    variance, axes = linalg.eigh(covariance)
    variance, axes = variance[::-1], axes[:, ::-1]
    # Directions without variance, of dead parcels for one, must not be blown up to unit variance.
    sd = np.sqrt(np.maximum(variance, 1e-4 * max(variance.mean(), 1e-12)))
    # In one order of memory: products of the same numbers then round the same when read back.
    whitening = np.ascontiguousarray(axes / sd, dtype=np.float32)
    n_parcels = len(covariance)
    n_cross = min(n_cross_components, n_parcels)
    n_lags = min(n_lags, max(len(x) for x in recordings) - 1)
    n_cross_lags = min(n_cross_lags, n_lags)
    auto = np.zeros((n_lags + 1, n_parcels))
    cross = np.zeros((n_cross_lags + 1, n_cross, n_cross))
    for recording in recordings:
        components = recording @ whitening
        power = np.abs(fft.rfft(components, 2 * len(components), axis=0)) ** 2
        lagged = fft.irfft(power, axis=0)[: n_lags + 1]
        auto[: len(lagged)] += lagged
        leading = np.ascontiguousarray(components[:, :n_cross])
        for lag in range(min(n_cross_lags + 1, len(leading))):
            cross[lag] += leading[lag:].T @ leading[: len(leading) - lag]
    auto /= np.maximum(auto[0], 1e-12)
    cross_sd = np.sqrt(np.maximum(np.diagonal(cross[0]), 1e-12))
    cross /= cross_sd[:, None] * cross_sd
    cross[:, np.arange(n_cross), np.arange(n_cross)] = 0.0
    return GaussianStatistics(
        covariance=covariance.astype(np.float32),
        whitening=whitening,
        colouring=np.ascontiguousarray(axes * sd, dtype=np.float32),
        autocorrelation=(auto * _bartlett(n_lags)[:, None]).astype(np.float32),
        cross_correlation=(cross * _bartlett(n_cross_lags)[:, None, None]).astype(np.float32),
    )


def _bartlett(n_lags):
    """Return the triangular weights of lags 0 to n_lags."""
    return 1 - np.arange(n_lags + 1) / (n_lags + 1)


def _wrap(forwards, backwards, n_fft):
    """Lay lags out on a circle: 0, 1, ..., zeros, ..., -2, -1."""
    gap = np.zeros((n_fft - len(forwards) - len(backwards), *forwards.shape[1:]))
    return np.concatenate([forwards, gap, backwards])
