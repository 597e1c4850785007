"""The simple methods that a network has to beat, as estimators of recordings.

Forecasters in closed form, from the least to the most that they know:

- ``LastValueForecaster`` and ``MeanForecaster``: one value of the context goes on.
- ``ARForecaster``: each parcel from its own past, all parcels by the same weights.
- ``VARForecaster``: the leading principal components from the past of all of them.
- ``WienerForecaster``: each spatial eigenmode from its own past, by its own memory.
"""

from sklearn_brainlm.baselines.autoregression import ARForecaster, VARForecaster
from sklearn_brainlm.baselines.constant import LastValueForecaster, MeanForecaster
from sklearn_brainlm.baselines.wiener import WienerForecaster

__all__ = [
    "ARForecaster",
    "LastValueForecaster",
    "MeanForecaster",
    "VARForecaster",
    "WienerForecaster",
]
