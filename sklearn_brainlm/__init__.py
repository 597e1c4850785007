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
- ``generate_report`` shows a model or a comparison on one HTML page.
- ``RecordingStore``, ``build_store`` and ``verify_store`` keep recordings on disk that do not fit
  in memory, ``prepare`` makes a store of fMRIPrep's derivatives, ``read_recording`` reads the files
  of others.
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
    "Checkpoint": "checkpoint",
    "GaussianReconstructor": "gaussian",
    "InputContract": "contract",
    "NetworkProbe": "probing",
    "ParcelHistograms": "quantiles.histograms",
    "RecordingScaler": "preprocessing",
    "RecordingStore": "store",
    "TargetScaler": "targets",
    "attention_contrast": "contrasts",
    "attention_matrix": "attention",
    "attention_rollout": "attention",
    "build_store": "store_building",
    "compare": "evaluation",
    "compare_forecasters": "evaluation",
    "doctor": "doctor",
    "export_arrow": "exports",
    "export_zarr": "exports",
    "format_comparison": "evaluation",
    "generate_report": "reports",
    "gradient_times_input": "attention",
    "list_recordings": "readers",
    "list_weights": "catalogue",
    "load_weights": "weights",
    "make_scaled_mse_scorer": "targets",
    "neighbor_purity": "embedding_space",
    "network_enrichment": "spatial_nulls",
    "network_probe": "probing",
    "occlusion": "attention",
    "parcel_attention": "attention",
    "perturb": "perturbation",
    "prepare": "prepare",
    "project_embeddings": "embedding_space",
    "randomisation_check": "attention",
    "randomise_weights": "attention",
    "read_arrow": "readers",
    "read_dat": "readers",
    "read_recording": "readers",
    "resample_recordings": "resampling",
    "scaled_mean_squared_error": "targets",
    "scaling_curve": "scaling_curves",
    "spatial_correlation": "spatial_nulls",
    "spin_parcels": "spatial_nulls",
    "standardize_recordings": "preprocessing",
    "verify_store": "store_checks",
}

__all__ = [
    "PRESETS",
    "AtlasMismatchError",
    "BrainLMClassifier",
    "BrainLMError",
    "BrainLMForecaster",
    "BrainLMRegressor",
    "BrainLMTransformer",
    "Checkpoint",
    "CheckpointError",
    "DataQualityWarning",
    "GaussianReconstructor",
    "InputContract",
    "InvalidRecordingError",
    "InvalidRecordingTypeError",
    "NetworkProbe",
    "OutOfMemoryError",
    "ParcelHistograms",
    "RecordingScaler",
    "RecordingStore",
    "StoreCorruptionError",
    "TargetScaler",
    "TrainingDivergedError",
    "UntrustedFileError",
    "__version__",
    "attention_contrast",
    "attention_matrix",
    "attention_rollout",
    "build_store",
    "compare",
    "compare_forecasters",
    "doctor",
    "export_arrow",
    "export_zarr",
    "format_comparison",
    "generate_report",
    "gradient_times_input",
    "list_recordings",
    "list_weights",
    "load_weights",
    "make_scaled_mse_scorer",
    "neighbor_purity",
    "network_enrichment",
    "network_probe",
    "occlusion",
    "parcel_attention",
    "perturb",
    "prepare",
    "project_embeddings",
    "randomisation_check",
    "randomise_weights",
    "read_arrow",
    "read_dat",
    "read_recording",
    "resample_recordings",
    "scaled_mean_squared_error",
    "scaling_curve",
    "spatial_correlation",
    "spin_parcels",
    "standardize_recordings",
    "verify_store",
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
