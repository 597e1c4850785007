"""The methods of the forecasting table, by names that stay.

To add one: write a forecaster, as those of ``sklearn_brainlm.baselines``, and give it a line in
METHODS. All are given the same context, horizon and scaling.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from _methods import ADAPTIVE, ONE_WINDOW_A_STEP

from sklearn_brainlm import GaussianReconstructor
from sklearn_brainlm.baselines import (
    ARForecaster,
    LastValueForecaster,
    MeanForecaster,
    VARForecaster,
    WienerForecaster,
)
from sklearn_brainlm.baselines.forecasting import BaseForecaster

WIENER, COUPLED = "Wiener", "Wiener, coupled"
N_COUPLED = 60  # leading modes, as in BrainLM
CONTROL = "Mean with gain"
PRETRAINED, RANDOM = "BrainLM (no prior)", "BrainLM (random init)"
# A row, and the one whose R2 is subtracted from its own: what the table is for.
PAIRS = (("BrainLM", WIENER), ("BrainLM", COUPLED), ("BrainLM", CONTROL), (PRETRAINED, RANDOM))


@dataclass(frozen=True)
class Setting:
    """What a method is told about the recordings and its budget."""

    parcel_coords: np.ndarray | None
    t_r: float | None
    context_length: int
    horizon: int
    patch_length: int
    epochs: int | None = None  # None leaves each learned method its own
    pretraining_epochs: int | None = None
    weights: object = None  # FrozenEstimator, for rows that start from weights

    @property
    def windows(self):
        """What every forecaster is told."""
        return {"context_length": self.context_length, "horizon": self.horizon}


@dataclass(frozen=True)
class Entry:
    """A line of the table: what builds the method, and what it depends on."""

    build: Callable  # of a Setting and a seed
    seeded: bool = False
    takes_weights: bool = False
    is_pretrained: bool = False  # and so pays for the pretraining


class GaussianForecaster(BaseForecaster):
    """Forecast the conditional mean of what follows, by the closed form that fills in windows."""

    _parameter_constraints = {**BaseForecaster._parameter_constraints, "adaptive": ["boolean"]}

    def __init__(
        self,
        *,
        n_parcels=None,
        scaler="robust",
        clip=None,
        short="pad",
        context_length=180,
        horizon=20,
        adaptive=False,
    ):
        self.n_parcels = n_parcels
        self.scaler = scaler
        self.clip = clip
        self.short = short
        self.context_length = context_length
        self.horizon = horizon
        self.adaptive = adaptive

    def _learn(self, recordings):
        """Learn the covariances of scaled recordings."""
        n_timepoints = self.context_length + self.horizon
        self.model_ = GaussianReconstructor(
            scaler=None,
            window_length=n_timepoints,
            adaptive=self.adaptive,
            # The slow part of the memory, which reaches far, is all there is beyond a few steps.
            n_lags=n_timepoints - 1,
        ).fit(recordings)

    def _forecast(self, contexts):
        """Fill in what follows contexts (B, T, P)."""
        windows = np.pad(contexts, [(0, 0), (0, self.horizon), (0, 0)])
        masked = np.zeros(windows.shape, dtype=bool)
        masked[:, -self.horizon :] = True
        return self.model_.reconstruct_windows(windows, masked)[:, -self.horizon :]


def make_transformer(setting):
    """Return what is pretrained for the rows without a prior, on windows of the same length."""
    from sklearn_brainlm import BrainLMTransformer  # loads torch: only where it is asked for

    return BrainLMTransformer(
        prior=None,
        parcel_coords=setting.parcel_coords,
        t_r=setting.t_r,
        window_length=setting.context_length + setting.horizon,
        patch_length=setting.patch_length,
        max_epochs=setting.pretraining_epochs,
        **ONE_WINDOW_A_STEP,
    )


def _closed(forecaster, **parameters):
    """Return the line of a forecaster without chance."""
    return Entry(lambda setting, seed: forecaster(**setting.windows, **parameters))


def _network(name):
    """Return the line of a learned comparator."""

    def build(setting, seed):
        from sklearn_brainlm import baselines

        forecaster = getattr(baselines, name)(**setting.windows, random_state=seed)
        if setting.epochs is not None:
            forecaster.set_params(max_epochs=setting.epochs)
        return forecaster

    return Entry(build, seeded=True)


def _brainlm(*, takes_weights=False, is_pretrained=False, seeded=True, **options):
    """Return the line of a BrainLMForecaster with these options beside its defaults."""

    def build(setting, seed):
        from sklearn_brainlm import BrainLMForecaster

        given = {
            "parcel_coords": setting.parcel_coords,
            "t_r": setting.t_r,
            "patch_length": setting.patch_length,
            "random_state": seed,
            **setting.windows,
        }
        if takes_weights:
            given |= {"weights": setting.weights, "pretrained": is_pretrained}
        if setting.epochs is not None and options.get("max_epochs") != 0:
            given["max_epochs"] = setting.epochs
        return BrainLMForecaster(**{**options, **given})

    return Entry(build, seeded, takes_weights, is_pretrained)


METHODS = {
    "Mean": _closed(MeanForecaster),
    CONTROL: _closed(MeanForecaster, gain="auto"),
    "Last value": _closed(LastValueForecaster),
    "AR": _closed(ARForecaster, order=40),
    "VAR": _closed(VARForecaster),
    WIENER: _closed(WienerForecaster),
    COUPLED: _closed(WienerForecaster, n_coupled=N_COUPLED),
    "Space-time Gaussian": _closed(GaussianForecaster),
    ADAPTIVE: _closed(GaussianForecaster, adaptive=True),
    "LSTM": _network("LSTMForecaster"),
    "Neural ODE": _network("NeuralODEForecaster"),
    "Latent ODE": _network("LatentODEForecaster"),
    # Untrained and with a prior, BrainLM is its closed form.
    "BrainLM (gate held at zero)": _brainlm(max_epochs=0, seeded=False),
    RANDOM: _brainlm(prior=None, takes_weights=True),
    PRETRAINED: _brainlm(prior=None, takes_weights=True, is_pretrained=True),
    "BrainLM": _brainlm(),
}
