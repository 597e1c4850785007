"""Fitted estimators as folders of weights: the input contract travels with the parameters.

What a pickle of the estimator holds is written as JSON and safetensors, so that reading it back
runs no code of the file's choosing.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.preprocessing import RecordingScaler
from sklearn_brainlm.weights import load_weights, package_versions, save_weights

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
            The folder: config.json, model.safetensors and README.md, a model card.

        Returns
        -------
        path : Path
            The folder.
        """
        check_is_fitted(self)
        return to_folder(self, path)

    @classmethod
    def from_pretrained(cls, path, *, device="auto"):
        """Read weights that :meth:`save_pretrained` wrote.

        Parameters
        ----------
        path : str or Path
            The folder.
        device : str, default="auto"
            Device to run on, as in the constructor.

        Returns
        -------
        model : BrainLMTransformer
            Fitted; ``transform`` gives what it gave when it was saved.

        Raises
        ------
        CheckpointError
            If files are missing or damaged, or hold something else.
        """
        return from_folder(cls, path, device=device)


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
    return save_weights(path, config, arrays, card=_model_card(estimator, config))


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
    config, arrays = load_weights(path)
    if config.get("class") != cls.__name__:
        raise CheckpointError(
            f"{path} holds weights of {config.get('class')!r}. Use its from_pretrained, not that "
            f"of {cls.__name__}."
        )
    try:
        return _decode_estimator(cls, config, arrays, parameters)
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path} does not fit together: {error}") from error


def read_once(cls, source, device):
    """Read weights, or take what this process has read already: weights may be large.

    Parameters
    ----------
    cls : type
        Class of the estimator.
    source : str or Path
        As :meth:`PersistenceMixin.from_pretrained` takes it.
    device : str
        Device to run on.

    Returns
    -------
    estimator : BaseEstimator
        The fitted estimator, which others use too: not to be changed.
    """
    path = Path(source)
    stamps = ()
    if path.exists():
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        # Folders are written anew: what was read is good while the files are.
        stamps = tuple((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files)
        source = str(path.resolve())
    return _read_stamped(cls, str(source), device, stamps)


@lru_cache(maxsize=4)
def _read_stamped(cls, source, device, stamps):
    """Read weights once for each state of their files."""
    return cls.from_pretrained(source, device=device)


def _encode(value, name, arrays):
    """Turn a value into what JSON holds; numeric arrays go to `arrays` under their name."""
    if isinstance(value, InputContract):
        return {"contract": value.to_dict()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf":
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
    fitted = [key for key in state if key.endswith("_") and not key.startswith("_")]
    return {
        "class": type(estimator).__name__,
        "parameters": {key: _encode(state[key], prefix + key, arrays) for key in names},
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


def _model_card(estimator, config):
    """Write what a person should know before using the weights."""
    fitted, parameters = config["fitted"], config["parameters"]
    name = config["class"]
    t_r = "unknown" if fitted["t_r_"] is None else f"{fitted['t_r_']} s"
    coords = "none" if fitted["parcel_coords_"] is None else "MNI millimetres, in the weights"
    last = (fitted["history_"] or [{}])[-1]
    losses = ", ".join(
        f"{key} {last[key]:.4g}" for key in ("train_loss", "valid_loss") if last.get(key)
    )
    versions = ", ".join(f"{key} {value}" for key, value in config["versions"].items())
    return f"""---
license: "unknown: set by whoever publishes"
library_name: sklearn_brainlm
---

# {name} weights

A masked autoencoder of brain activity recordings with {fitted["n_parameters_"]:,} parameters.

## What it expects

| | |
|---|---|
| parcels | {fitted["n_parcels_"]} |
| parcel coordinates | {coords} |
| repetition time | {t_r} |
| scaling | {parameters["scaler"]}, with the statistics of the training recordings |
| window | {parameters["window_length"]} timepoints |
| patch | {parameters["patch_length"]} timepoints x {parameters["parcels_per_patch"]} parcels |

Recordings must be extracted and cleaned in the same way as those it was trained on.

## What it was trained on

{fitted["trained_on_"]["n_recordings"]} recordings with {fitted["trained_on_"]["n_timepoints"]:,} \
timepoints; {len(fitted["history_"])} epochs ({losses}). Who was recorded, and how, is for whoever
publishes these weights to say.

## Intended use

Research on brain activity recordings: embeddings for predictors that are validated on people the
weights have not seen, and reconstruction of masked activity. Not for diagnosis.

## Licence

unknown: set by whoever publishes

## How to load it

```python
from sklearn_brainlm import {name}

model = {name}.from_pretrained("path/to/this/folder")
embeddings = model.transform(recordings)
```

Written with {versions}.
"""
