"""Fitted estimators as folders of weights: the input contract travels with the parameters.

What a pickle of the estimator holds is written as JSON and safetensors, so that reading it back
runs no code of the file's choosing.
"""

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._replaced_weights import current
from sklearn_brainlm._versions import package_versions
from sklearn_brainlm.cards import write_card
from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.exceptions import BrainLMError, CheckpointError
from sklearn_brainlm.files.checked import check_digest, file_sha256
from sklearn_brainlm.preprocessing import RecordingScaler
from sklearn_brainlm.weight_folders import DOES_NOT_FIT, FORMAT, read_weights, save_weights
from sklearn_brainlm.weights import load_weights, locate_weights

__all__ = ["PersistenceMixin", "from_folder", "read_once", "to_folder"]

# Classes that a file may name: a name never becomes an import.
_PARTS = {"RecordingScaler": RecordingScaler}


class PersistenceMixin:
    """Save fitted estimators as folders of weights, and read them back.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(window_length=20, patch_length=5, max_epochs=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = model.fit(recordings).save_pretrained(folder)
    ...     again = BrainLMTransformer.from_pretrained(path)
    >>> np.array_equal(again.transform(recordings), model.transform(recordings))
    True
    """

    def save_pretrained(self, path):
        """Write the weights and everything needed to use them into a folder.

        Parameters
        ----------
        path : str or Path
            The folder: config.json, model.safetensors and README.md, a model card. Those that are
            there are replaced, all of them or, when the process is killed before, none.

        Returns
        -------
        path : Path
            The folder.

        Raises
        ------
        StoreLockedError
            If another process is writing there, and goes on for a minute.
        """
        check_is_fitted(self)
        return to_folder(self, path)

    @classmethod
    def from_pretrained(
        cls,
        source,
        *,
        subfolder=None,
        revision=None,
        sha256=None,
        parcel_coords=None,
        t_r=None,
        device="auto",
    ):
        """Read weights, those that :meth:`save_pretrained` wrote or the released ones.

        Parameters
        ----------
        source : str or Path
            A folder or a file, a name of :func:`list_weights`, or ``"owner/repository"`` on the
            Hugging Face hub.
        subfolder, revision, sha256 : str, optional
            Folder within `source`; commit, tag or branch on the hub; and what the SHA-256 of the
            file of weights must be.
        parcel_coords : array of shape (n_parcels, 3), optional
            MNI coordinates of the parcels in millimetres, for released weights, whose files lack
            them. Those of A424 are downloaded from the authors' repository when None.
        t_r : float, optional
            Repetition time of the recordings to come, when it is not that of the weights.
        device : str, default="auto"
            Device to run on, as in the constructor.

        Returns
        -------
        model : BrainLMTransformer
            Fitted. What was saved here embeds as it did when it was saved.

        Raises
        ------
        CheckpointError
            If files are missing or damaged, or hold something else.
        UntrustedFileError
            If a file is not what its format allows, or is a pickle.

        Notes
        -----
        Released weights come without the medians and interquartile ranges of the recordings they
        were trained on: ``transform`` then scales by those of the recordings it is given, and says
        so once. Use ``weights=`` and ``fit`` to learn them from a training set.
        """
        path, config = locate_weights(source, subfolder, revision, sha256)
        if config.get("format") != FORMAT:
            coords = cls._released_coords(config, parcel_coords)
            weights = load_weights(path, sha256=sha256, parcel_coords=coords)
            return cls._of_released(weights, str(source), t_r, device)
        check_digest(path, sha256, config.get("sha256"))
        changes = {name: value for name, value in [("t_r", t_r)] if value is not None}
        return from_folder(cls, path.parent, device=device, **changes)


def to_folder(estimator, path):
    """Write a fitted estimator into a folder of weights.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted estimator whose state is numbers, text, arrays and estimators.
    path : str or Path
        The folder.

    Returns
    -------
    path : Path
        The folder.

    Raises
    ------
    TypeError
        If a parameter is an object that JSON cannot hold, such as a callback.
    """
    arrays = {}
    config = {**_encode(estimator, "", arrays), "versions": package_versions()}
    if hasattr(estimator, "net_"):
        network, parameters = estimator._build_module()
        parameters = _encode(parameters, "network", arrays)
        config["network"] = {"class": network.__name__, "parameters": parameters}
    return save_weights(path, config, arrays, card=write_card(config))


def from_folder(cls, path, **parameters):
    """Read an estimator that :func:`to_folder` wrote.

    Parameters
    ----------
    cls : type
        Class of the estimator.
    path : str or Path
        The folder.
    **parameters : dict
        Constructor parameters to use in place of the saved ones.

    Returns
    -------
    estimator : BaseEstimator
        The fitted estimator.

    Raises
    ------
    CheckpointError
        If the folder holds another class, or what it holds does not fit together.
    """
    config, arrays = read_weights(path)
    if config.get("class") != cls.__name__:
        raise CheckpointError(
            f"{path} holds weights of {config.get('class')!r}. Use its from_pretrained, not that "
            f"of {cls.__name__}."
        )
    try:
        estimator = _decode_estimator(cls, config, arrays, parameters)
        estimator.weights_sha256_ = config["sha256"]
        return estimator
    except BrainLMError:
        raise
    except DOES_NOT_FIT as error:
        raise CheckpointError(f"{path} does not fit together: {error}") from error


def read_once(cls, source, device, parcel_coords=None):
    """Read weights, or take what this process has read already: weights may be large.

    Parameters
    ----------
    cls : type
        Class of the estimator.
    source : str or Path
        As :meth:`PersistenceMixin.from_pretrained` takes it.
    device : str
        Device to run on.
    parcel_coords : array of shape (n_parcels, 3), optional
        MNI coordinates, for released weights.

    Returns
    -------
    estimator : BaseEstimator
        The fitted estimator, which others use too: not to be changed.
    """
    path = Path(source)
    stamps = ()
    if path.exists():
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        # Folders are written anew: what was read is good while the files are. Clocks jump, so
        # config.json, which vouches for the arrays of our own weights, counts by what it says.
        found = []
        for file in files:
            with suppress(FileNotFoundError):  # of somebody who is writing them anew
                found.append((file.name, file.stat()))
        stamps = tuple((name, s.st_size, s.st_mtime_ns, s.st_ino) for name, s in found)
        beside = current((path if path.is_dir() else path.parent) / "config.json")
        stamps += (file_sha256(beside),) if beside.is_file() else ()
        source = str(path.resolve())
    coords = None
    if parcel_coords is not None:
        coords = tuple(map(tuple, np.asarray(parcel_coords, dtype=np.float64).tolist()))
    return _read_stamped(cls, str(source), device, coords, stamps)


@lru_cache(maxsize=4)
def _read_stamped(cls, source, device, parcel_coords, stamps):
    """Read weights once for each state of their files."""
    return cls.from_pretrained(source, device=device, parcel_coords=parcel_coords)


def _encode(value, name, arrays):
    """Turn a value into what JSON holds; numeric arrays go to `arrays` under their name."""
    if isinstance(value, InputContract):
        return {"contract": value.to_dict()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf":
            # An array that is used twice is written once.
            name = next((known for known, array in arrays.items() if array is value), name)
            arrays[name] = value
            return {"array": name}
        return {"strings": [str(item) for item in value]}
    if isinstance(value, BaseEstimator):
        return _encode_estimator(value, name, arrays)
    if isinstance(value, dict):
        return {key: _encode(item, f"{name}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.random.RandomState):
        return None  # a stream of draws is not part of what was learned
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"{name} holds {value!r}, which cannot be saved. Take it out first: set_params("
        f"{name.split('.')[0]}=None)."
    )


def _encode_estimator(estimator, name, arrays):
    """Encode the parameters and the fitted attributes of an estimator."""
    prefix = f"{name}." if name else ""
    names = estimator.get_params(deep=False)
    state = estimator.__getstate__()
    if "net_" in state:  # a pickle may only say where they are
        state["net_"] = estimator.net_.get_weights()
    fitted = [key for key in state if key.endswith("_") and not key.startswith("_")]
    # What it started from is in it: the copy stands alone, with the parameters in use, and knows
    # of no folder of the machine it was trained on.
    settled = {**state.get("settings_", {}), "weights": None, "checkpoint_dir": None}
    settled["resume"] = False
    parameters = {key: settled.get(key, state[key]) for key in names}
    return {
        "class": type(estimator).__name__,
        "parameters": {
            key: _encode(value, prefix + key, arrays) for key, value in parameters.items()
        },
        "fitted": {key: _encode(state[key], prefix + key, arrays) for key in fitted},
    }


def _decode(value, arrays):
    """Turn what :func:`_encode` made back into values."""
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"array"}:
        return arrays[value["array"]]
    if set(value) == {"contract"}:
        return InputContract.from_dict(value["contract"])
    if set(value) == {"strings"}:
        return np.array(value["strings"], dtype=object)
    if set(value) == {"class", "parameters", "fitted"}:
        return _decode_estimator(_PARTS[value["class"]], value, arrays, {})
    return {key: _decode(item, arrays) for key, item in value.items()}


def _decode_estimator(cls, config, arrays, parameters):
    """Build an estimator and give it the state that was saved."""
    saved = {key: _decode(value, arrays) for key, value in config["parameters"].items()}
    estimator = cls(**{**saved, **parameters})
    fitted = {key: _decode(value, arrays) for key, value in config["fitted"].items()}
    estimator.__setstate__({**vars(estimator), **fitted})
    return estimator
