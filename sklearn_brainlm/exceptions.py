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
    """Base class of the errors raised by this package.

    It catches whatever is wrong with recordings, weights or files, and no fault of the code around
    them. Each error is also the built-in one that fits, such as a ValueError.

    See Also
    --------
    InvalidRecordingError : Recordings have values that cannot be used.
    CheckpointError : Weights or files are missing or damaged.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMError, standardize_recordings
    >>> try:
    ...     standardize_recordings([np.full((50, 3), np.nan)])
    ... except BrainLMError as error:
    ...     print(type(error).__name__, isinstance(error, ValueError))
    InvalidRecordingError True
    """


class InvalidRecordingError(BrainLMError, ValueError):
    """A recording, or a description of recordings, has values that cannot be used.

    The message names the recording, what was found in it, what was expected, and one remedy.

    See Also
    --------
    DataQualityWarning : Recordings can be used, but should be looked at.
    doctor : Looks for all that is wrong before anything is refused.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import InvalidRecordingError, standardize_recordings
    >>> recording = np.random.default_rng(0).standard_normal((50, 3))
    >>> recording[7, 2] = np.nan
    >>> try:
    ...     standardize_recordings([recording])
    ... except InvalidRecordingError as error:
    ...     print(error)
    Input X contains NaN. recording 0: 1 values are NaN and 0 infinite or too large, the first at
    timepoint 7, parcel 2. Interpolate or remove them; values missing in known places are a case
    for impute.
    """


class InvalidRecordingTypeError(BrainLMError, TypeError):
    """What was given as recordings is not an array or a sequence of arrays.

    Most often images or their paths were given: a masker of nilearn makes recordings of them.

    See Also
    --------
    InvalidRecordingError : Recordings are arrays, but cannot be used.
    read_recording : Reads a recording from a file.

    Examples
    --------
    >>> from sklearn_brainlm import InvalidRecordingTypeError, standardize_recordings
    >>> try:
    ...     standardize_recordings(["sub-01_bold.nii.gz"])
    ... except InvalidRecordingTypeError as error:
    ...     print(str(error).split(";")[0])
    recording 0 is the path 'sub-01_bold.nii.gz'
    """


class AtlasMismatchError(BrainLMError, ValueError):
    """Recordings and weights, or two sets of recordings, do not share their parcels.

    Arrays of as many parcels can still be of another atlas, or in another order: names of parcels
    are compared where both sides know them.

    See Also
    --------
    InputContract : The parcels that weights expect.
    doctor : Judges the order of parcels by their connectivity.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sklearn_brainlm import AtlasMismatchError, read_recording
    >>> with TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "sub-01.npy", np.ones((9, 100)))
    ...     try:
    ...         read_recording(Path(folder) / "sub-01.npy", n_parcels=424)
    ...     except AtlasMismatchError as error:
    ...         print(str(error).split("sub-01.npy ")[1])
    has 100 parcels in columns; expected 424. Take the file of the other atlas, or give its number
    of parcels.
    """


class CheckpointError(BrainLMError, OSError):
    """Weights, a checkpoint or a file of an atlas are missing, incomplete or damaged.

    The message says which file, and what to do. Nothing of it was loaded, not even what is whole.

    See Also
    --------
    UntrustedFileError : A file was refused, not because it is damaged.
    StoreCorruptionError : The same of a store of recordings.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_brainlm import CheckpointError, load_weights
    >>> with TemporaryDirectory() as folder:
    ...     try:
    ...         load_weights(folder)
    ...     except CheckpointError as error:
    ...         print(str(error).split("does not ")[1].split(" and ")[0])
    hold config.json
    """


class StoreCorruptionError(BrainLMError, OSError):
    """A store of recordings is incomplete, damaged or not what its manifest says.

    Sizes are compared when a store is opened, checksums when a recording is first read.

    See Also
    --------
    verify_store : Lists all that is wrong with a store.
    build_store : Builds it anew.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sklearn_brainlm import RecordingStore, StoreCorruptionError, build_store
    >>> with TemporaryDirectory() as folder:
    ...     store = build_store(folder, [np.random.default_rng(0).normal(size=(60, 3))])
    ...     _ = (store.path / "shards" / "00000.npy").write_bytes(b"")
    ...     try:
    ...         RecordingStore(folder)
    ...     except StoreCorruptionError as error:
    ...         print(str(error).split("00000.npy ")[1])
    has 0 bytes; 848 were written. Restore it, or build the store anew.
    """


class OutOfMemoryError(BrainLMError, MemoryError):
    """One window at a time is more than the memory of the device holds.

    Before it is raised, batches have been worked on in ever smaller parts, which changes nothing of
    what is learned. What is left is a smaller network, or another device.

    See Also
    --------
    BrainLMTransformer : Its `micro_batch_size` is how many windows are worked on at a time.
    TrainingDivergedError : The other way in which a training ends early.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMTransformer, OutOfMemoryError
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(window_length=20, patch_length=5, max_epochs=1).fit(recordings)
    >>> def allocate_too_much(module, inputs):
    ...     raise MemoryError("none is left")
    >>> hook = model.net_.module_.register_forward_pre_hook(allocate_too_much)
    >>> try:
    ...     model.reconstruct(recordings)
    ... except OutOfMemoryError as error:
    ...     print(str(error).split(".")[0])
    One window at a time is more than the memory of 'cpu' holds (none is left)
    """


class UntrustedFileError(BrainLMError, ValueError):
    """A file would have to be trusted to be read: it could run code, or is not what it claims.

    It is refused whoever sent it. Ask for numbers instead of a pickle: an array without objects, or
    weights as safetensors.

    See Also
    --------
    CheckpointError : A file is missing or damaged.
    load_weights : Reads weights without running anything.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sklearn_brainlm import UntrustedFileError, read_recording
    >>> with TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "sub-01.npy", np.array([["anything"]], dtype=object))
    ...     try:
    ...         read_recording(Path(folder) / "sub-01.npy")
    ...     except UntrustedFileError as error:
    ...         print(str(error).split("sub-01.npy ")[1])
    holds Python objects: reading it would run what it says. Save the array as numbers.
    """


class TrainingDivergedError(BrainLMError, RuntimeError):
    """Training was stopped because the loss is not finite; the weights were not touched.

    Up to three steps in a row are skipped with a warning; the fourth raises this, as does the end
    of a training that took no step. Most often the learning rate is too large, or a recording has
    extreme values.

    See Also
    --------
    OutOfMemoryError : The other way in which a training ends early.
    RecordingScaler : Its `clip` limits extreme values.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMTransformer, TrainingDivergedError
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(window_length=20, patch_length=5, lr=1e30, batch_size=1)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # of the steps that are skipped before
    ...     try:
    ...         model.fit(recordings)
    ...     except TrainingDivergedError as error:
    ...         print(str(error).split(" at ")[0])
    The loss became nan
    """


class DataQualityWarning(UserWarning):
    """Recordings are usable, and something about them should be looked at.

    Such as parcels that are constant or equal, or recordings that were left out. Nothing is
    repaired in silence; filter it when you know why.

    See Also
    --------
    InvalidRecordingError : Recordings cannot be used.
    doctor : Says more, and what to do.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from sklearn_brainlm import DataQualityWarning, standardize_recordings
    >>> recording = np.random.default_rng(0).standard_normal((50, 3))
    >>> recording[:, 1] = 0  # a parcel without voxels
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", DataQualityWarning)
    ...     standardized = standardize_recordings([recording])
    >>> print(str(caught[0].message).split(".")[0])
    Parcels that are constant, found in 1 of 1 recordings (recording 0: 1)
    """
