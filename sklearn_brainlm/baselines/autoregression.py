"""ARForecaster and VARForecaster: the future as a ridge regression on the past."""

import numpy as np

from sklearn_brainlm._parameters import COUNT, POSITIVE
from sklearn_brainlm.baselines.forecasting import BaseForecaster
from sklearn_brainlm.baselines.moments import (
    lagged_covariance,
    principal_modes,
    solve_ridge,
    window_moments,
)

__all__ = ["ARForecaster", "VARForecaster"]


class ARForecaster(BaseForecaster):
    r"""Forecast each parcel from its own past, all parcels by the same weights.

    Every step ahead has its own weights: the ridge regression of `horizon` timepoints on the
    `order` before them, over all parcels and over windows that start at every timepoint. It is
    learned in seconds, and networks that forecast (section 4.3 of the article) have to beat it.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a context: timepoints before their beginning count
        as the centre of the parcel, or they are refused.
    context_length : int, default=180
        Timepoints that are forecast from, at most.
    horizon : int, default=20
        Timepoints that are forecast.
    order : int, default=40
        Timepoints that are used: the last of the context. At most `context_length`.
    ridge : float, default=0.01
        Added to the diagonal of the normal equations, in parts of its mean.

    Attributes
    ----------
    weights_ : float32 array of shape (order, horizon)
        ``future = past.T @ weights`` of a parcel, the last row for the last timepoint.
    scaler_ : RecordingScaler
        Scaling learned in ``fit``.
    n_parcels_, n_features_in_ : int
        Number of parcels, twice.
    feature_names_in_ : ndarray of str
        Names of the parcels, when X had them.

    See Also
    --------
    VARForecaster : Components forecast each other, too.
    WienerForecaster : Each bin of eigenmodes has weights of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import ARForecaster
    >>> phases = np.random.default_rng(0).uniform(0, 6, (3, 1, 5))
    >>> waves = np.sin(np.arange(300)[:, None] / 4 + phases)
    >>> model = ARForecaster(order=10, horizon=5).fit(waves[:2])
    >>> model.score(waves[2:]) > 0.9
    True
    """

    _parameter_constraints = {
        **BaseForecaster._parameter_constraints,
        "order": [COUNT],
        "ridge": [POSITIVE],
    }

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        context_length=180,
        horizon=20,
        order=40,
        ridge=0.01,
    ):
        self.n_parcels = n_parcels
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.context_length = context_length
        self.horizon = horizon
        self.order = order
        self.ridge = ridge

    def _learn(self, recordings):
        """Solve the ridge regression of the future on the past."""
        self._check_order()
        length = self.order + self.horizon
        moments = sum(window_moments(_fill_up(x, length), length) for x in recordings)
        past, future = slice(self.order), slice(self.order, None)
        weights = solve_ridge(moments[past, past], moments[past, future], self.ridge)
        self.weights_ = weights.astype(np.float32)

    def _forecast(self, contexts):
        """Forecast contexts (B, T, P); what precedes a short one is at the centre."""
        past = contexts[:, -self.order :]
        return self.weights_[-past.shape[1] :].T @ past


class VARForecaster(BaseForecaster):
    r"""Forecast the leading principal components from the past of all of them.

    A vector autoregression: it learns, as :class:`ARForecaster` cannot, that one component follows
    another. Every step ahead has its own weights, which solve the Yule-Walker equations with a
    ridge.

    Parameters
    ----------
    n_parcels : int, optional
        Number of parcels of recordings. When given, ``fit`` notices transposed ones.
    scaler, clip : optional
        `method` and `clip` of :class:`RecordingScaler`: "robust", "standard" or None, and None.
    short : {"pad", "raise"}, default="pad"
        What to do with recordings shorter than a context: timepoints before their beginning count
        as the centre of the parcel, or they are refused.
    context_length : int, default=180
        Timepoints that are forecast from, at most.
    horizon : int, default=20
        Timepoints that are forecast.
    order : int, default=10
        Timepoints that are used: the last of the context. At most `context_length`.
    n_components : int, default=20
        Principal components that are forecast; the others are at their centre.
    ridge : float, default=0.01
        Added to the diagonal of the normal equations, in parts of its mean.

    Attributes
    ----------
    components_ : float32 array of shape (n_parcels, n_components)
        Principal components of the scaled recordings about their centre, of unit variance:
        ``past = recording @ components``.
    patterns_ : float32 array of shape (n_parcels, n_components)
        The way back: ``recording = past @ patterns.T``.
    weights_ : float32 array of shape (order, n_components, horizon, n_components)
        Weights of the past of each component for the future of each, the last of the first axis
        for the last timepoint.
    scaler_ : RecordingScaler
        Scaling learned in ``fit``.
    n_parcels_, n_features_in_ : int
        Number of parcels, twice.
    feature_names_in_ : ndarray of str
        Names of the parcels, when X had them.

    See Also
    --------
    ARForecaster : Each parcel from its own past only.
    WienerForecaster : All eigenmodes, each from its own past.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines import VARForecaster
    >>> leader = np.random.default_rng(0).standard_normal((4, 203, 1))
    >>> recordings = np.concatenate([leader[:, 3:], leader[:, :-3]], axis=2)  # follows 3 later
    >>> model = VARForecaster(order=5, n_components=2, horizon=3).fit(recordings[:3])
    >>> 0.4 < model.score(recordings[3:]) < 0.6  # of the one that leads, nothing can be known
    True
    """

    _parameter_constraints = {
        **BaseForecaster._parameter_constraints,
        "order": [COUNT],
        "n_components": [COUNT],
        "ridge": [POSITIVE],
    }

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        context_length=180,
        horizon=20,
        order=10,
        n_components=20,
        ridge=0.01,
    ):
        self.n_parcels = n_parcels
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.context_length = context_length
        self.horizon = horizon
        self.order = order
        self.n_components = n_components
        self.ridge = ridge

    def _learn(self, recordings):
        """Solve the Yule-Walker equations of the leading components."""
        self._check_order()
        modes = principal_modes(recordings)[:, : self.n_components].astype(np.float32)
        n_kept, order, horizon = modes.shape[1], self.order, self.horizon
        covariance = lagged_covariance((x @ modes for x in recordings), order + horizon - 1)
        sd = np.sqrt(np.diagonal(covariance[0]))
        inverse = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 1e-6 * sd.max(initial=0))
        covariance = inverse[:, None] * covariance * inverse
        # At [lag, i, j]: component i at t + lag with j at t. Lags below 0 are transposed.
        both_ways = np.concatenate([covariance[:0:-1].transpose(0, 2, 1), covariance])
        past, future = np.arange(order), order + np.arange(horizon)
        zero = len(covariance) - 1
        moments = both_ways[zero + past[:, None] - past].transpose(0, 2, 1, 3)
        targets = both_ways[zero + past[:, None] - future].transpose(0, 2, 1, 3)
        weights = solve_ridge(
            moments.reshape(order * n_kept, -1), targets.reshape(order * n_kept, -1), self.ridge
        )
        self.components_ = modes * inverse.astype(np.float32)
        self.patterns_ = modes * sd.astype(np.float32)
        self.weights_ = weights.reshape(order, n_kept, horizon, n_kept).astype(np.float32)

    def _forecast(self, contexts):
        """Forecast contexts (B, T, P); what precedes a short one is at the centre."""
        past = contexts[:, -self.order :] @ self.components_
        future = np.tensordot(past, self.weights_[-past.shape[1] :], axes=2)
        return future @ self.patterns_.T


def _fill_up(recording, length):
    """Put timepoints at the centre before a recording shorter than a window."""
    return np.pad(recording, ((max(0, length - len(recording)), 0), (0, 0)))
