"""BrainLM, a foundation model for brain activity recordings, as scikit-learn estimators.

A recording is an array (n_timepoints, n_parcels): what a nilearn masker returns for one run.
The estimators take a list of them, so that a masker, an embedding and a predictor are one model::

    Pipeline([("parcels", masker), ("embed", BrainLMTransformer()), ("predict", SVR())])

- ``BrainLMTransformer`` learns from recordings, or starts from weights, and embeds recordings.
- ``load_weights`` and ``list_weights``: the released weights, and those that were saved here.
- ``BrainLMRegressor`` and ``BrainLMClassifier`` fine-tune it to predict labels of recordings,
  ``BrainLMForecaster`` to forecast them.
- ``compare`` and ``compare_forecasters`` put them beside the simple methods of
  ``sklearn_brainlm.baselines``, with the statistics.
- ``GaussianReconstructor`` fills in masked recordings in closed form: the yardstick.
- ``doctor`` says what is wrong with recordings, and how to mend it.
- ``RecordingScaler``, ``standardize_recordings`` and ``resample_recordings`` bring recordings to
  the scale and repetition time a model expects; ``TargetScaler`` what is to be predicted.

Importing the package is cheap: what needs torch or scikit-learn is loaded when first asked for.
"""

from importlib import import_module

from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    BrainLMError,
    CheckpointError,
    DataQualityWarning,
    InvalidRecordingError,
    InvalidRecordingTypeError,
    OutOfMemoryError,
    StoreCorruptionError,
    TrainingDivergedError,
    UntrustedFileError,
)

__version__ = "0.1.0.dev0"

# Public name -> module that defines it, imported on first use (PEP 562).
_LAZY_NAMES = {
    "PRESETS": "transformer",
    "BrainLMClassifier": "classifier",
    "BrainLMForecaster": "forecaster",
    "BrainLMRegressor": "regressor",
    "BrainLMTransformer": "transformer",
    "GaussianReconstructor": "gaussian",
    "InputContract": "contract",
    "RecordingScaler": "preprocessing",
    "TargetScaler": "targets",
    "compare": "evaluation",
    "compare_forecasters": "evaluation",
    "doctor": "doctor",
    "format_comparison": "evaluation",
    "list_weights": "catalogue",
    "load_weights": "weights",
    "make_scaled_mse_scorer": "targets",
    "resample_recordings": "resampling",
    "scaled_mean_squared_error": "targets",
    "standardize_recordings": "preprocessing",
}

__all__ = [
    "PRESETS",
    "AtlasMismatchError",
    "BrainLMClassifier",
    "BrainLMError",
    "BrainLMForecaster",
    "BrainLMRegressor",
    "BrainLMTransformer",
    "CheckpointError",
    "DataQualityWarning",
    "GaussianReconstructor",
    "InputContract",
    "InvalidRecordingError",
    "InvalidRecordingTypeError",
    "OutOfMemoryError",
    "RecordingScaler",
    "StoreCorruptionError",
    "TargetScaler",
    "TrainingDivergedError",
    "UntrustedFileError",
    "__version__",
    "compare",
    "compare_forecasters",
    "doctor",
    "format_comparison",
    "list_weights",
    "load_weights",
    "make_scaled_mse_scorer",
    "resample_recordings",
    "scaled_mean_squared_error",
    "standardize_recordings",
]


def __getattr__(name):
    """Import a public name when it is first used."""
    if name not in _LAZY_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
    globals()[name] = value  # found directly from now on
    return value


def __dir__():
    """List the lazy names too."""
    return sorted({*globals(), *_LAZY_NAMES})
