"""The name of a method's settings, by which a resumed run knows what it has measured."""

import hashlib
from types import FunctionType

import numpy as np

# What differs between seeds, folders, folds and machines is no setting.
_NO_SETTING = {
    "random_state",
    "parcel_coords",
    "device",
    "precision",
    "verbose",
    "weights",
    "n_jobs",
    "checkpoint_dir",
    "resume",
}


def name_budget(*settings):
    """Return a digest of estimators and other settings, defaults included."""
    return hashlib.sha256(repr(_spell(settings)).encode()).hexdigest()[:8]


def _spell(setting):
    """Write a setting so that equal ones read the same: no address, nothing cut short."""
    if hasattr(setting, "get_params"):
        parameters = setting.get_params(deep=False)
        kept = [
            (name, _spell(parameters[name])) for name in sorted(parameters.keys() - _NO_SETTING)
        ]
        return type(setting).__name__, kept
    if isinstance(setting, dict):
        return [(name, _spell(value)) for name, value in sorted(setting.items())]
    if isinstance(setting, (list, tuple)):
        return [_spell(part) for part in setting]
    if isinstance(setting, FunctionType):
        return setting.__qualname__
    return repr(setting.tolist() if isinstance(setting, np.ndarray) else setting)


class Counting:
    """Run a fitted method as another function does, and remember how many parameters it has."""

    def __init__(self, run):
        self.run = run
        self.n_parameters = float("nan")

    def __call__(self, fitted, X, **given):
        """Run the method."""
        network = getattr(fitted, "regressor_", fitted)  # behind a transformed target
        self.n_parameters = getattr(network, "n_parameters_", float("nan"))
        return self.run(fitted, X, **given)
