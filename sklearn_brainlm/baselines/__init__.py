"""The simple methods that a network has to beat, as estimators of recordings.

Forecasters in closed form, from the least to the most that they know:

- ``LastValueForecaster`` and ``MeanForecaster``: one value of the context goes on.
- ``ARForecaster``: each parcel from its own past, all parcels by the same weights.
- ``VARForecaster``: the leading principal components from the past of all of them.
- ``WienerForecaster``: each spatial eigenmode from its own past, by its own memory.

The others are imported when first asked for. Those that train a network:

- ``LSTMRegressor``, ``LSTMClassifier``, ``GCNRegressor``, ``GCNClassifier``: labels of recordings.
- ``LSTMForecaster``, ``NeuralODEForecaster``, ``LatentODEForecaster``: their future.
- ``MaskedVAE``, ``MaskedGCN``: embeddings of parcels, and of recordings, from what was masked.

Pipelines of scikit-learn and nilearn that predict labels of recordings:

- ``make_connectome``, ``make_raw_series``, ``make_pca``: from connectivity, signals, components.
- ``make_connectome_stack``: a stack of four kinds of connectome features, ``connectome_features``.
"""

from importlib import import_module

from sklearn_brainlm.baselines.autoregression import ARForecaster, VARForecaster
from sklearn_brainlm.baselines.constant import LastValueForecaster, MeanForecaster
from sklearn_brainlm.baselines.wiener import WienerForecaster

# Name -> module that defines it, imported on first use (PEP 562).
_LAZY_NAMES = {
    "GCNClassifier": "gcn",
    "GCNRegressor": "gcn",
    "LSTMClassifier": "lstm",
    "LSTMForecaster": "lstm_forecaster",
    "LSTMRegressor": "lstm",
    "LatentODEForecaster": "latent_ode",
    "MaskedGCN": "masked_gcn",
    "MaskedVAE": "vae",
    "NeuralODEForecaster": "neural_ode",
    "connectome_features": "connectome",
    "make_connectome": "connectome",
    "make_connectome_stack": "connectome",
    "make_pca": "connectome",
    "make_raw_series": "connectome",
}

__all__ = [
    "ARForecaster",
    "GCNClassifier",
    "GCNRegressor",
    "LSTMClassifier",
    "LSTMForecaster",
    "LSTMRegressor",
    "LastValueForecaster",
    "LatentODEForecaster",
    "MaskedGCN",
    "MaskedVAE",
    "MeanForecaster",
    "NeuralODEForecaster",
    "VARForecaster",
    "WienerForecaster",
    "connectome_features",
    "make_connectome",
    "make_connectome_stack",
    "make_pca",
    "make_raw_series",
]


def __getattr__(name):
    """Import a comparator when it is first used."""
    if name not in _LAZY_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__():
    """List the lazy names too."""
    return sorted({*globals(), *_LAZY_NAMES})
