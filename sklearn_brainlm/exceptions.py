"""The errors and the warning of this package.

Every error is also the built-in error a scikit-learn user would expect, so that existing `except`
clauses keep working. Each carries one message and survives pickling: joblib sends errors from its
workers as pickles, and one that cannot be rebuilt reaches the user as `BrokenProcessPool`.
"""

__all__ = [
    "AtlasMismatchError",
    "BrainLMError",
    "CheckpointError",
    "DataQualityWarning",
    "InvalidRecordingError",
    "InvalidRecordingTypeError",
    "OutOfMemoryError",
    "StoreCorruptionError",
    "TrainingDivergedError",
    "UntrustedFileError",
]


class BrainLMError(Exception):
    """Base class of the errors raised by this package."""


class InvalidRecordingError(BrainLMError, ValueError):
    """A recording, or a description of recordings, has values that cannot be used."""


class InvalidRecordingTypeError(BrainLMError, TypeError):
    """What was given as recordings is not an array or a sequence of arrays."""


class AtlasMismatchError(BrainLMError, ValueError):
    """Recordings and weights, or two sets of recordings, do not share their parcels."""


class CheckpointError(BrainLMError, OSError):
    """Weights, a checkpoint or a file of an atlas are missing, incomplete or damaged."""


class StoreCorruptionError(BrainLMError, OSError):
    """A store of recordings is incomplete, damaged or not what its manifest says."""


class OutOfMemoryError(BrainLMError, MemoryError):
    """One window at a time is more than the memory of the device holds."""


class UntrustedFileError(BrainLMError, ValueError):
    """A file would have to be trusted to be read: it could run code, or is not what it claims."""


class TrainingDivergedError(BrainLMError, RuntimeError):
    """Training was stopped because the loss is not finite; the weights were not touched."""


class DataQualityWarning(UserWarning):
    """Recordings are usable, and something about them should be looked at."""
