"""Weights by name, path or address on the hub: found, recognised, checked, built."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from sklearn_brainlm._own_networks import build_own
from sklearn_brainlm._replaced_weights import current, read_steadily, replaced_weights
from sklearn_brainlm.catalogue import RELEASED_LICENCE, list_weights
from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.exceptions import CheckpointError, UntrustedFileError
from sklearn_brainlm.files.checked import check_digest, read_json
from sklearn_brainlm.files.durable import write_bytes_atomically
from sklearn_brainlm.hub import DownloadError, fetch
from sklearn_brainlm.official.contract import contract_of
from sklearn_brainlm.official.networks import build_module, check_config, export_arrays, family_of
from sklearn_brainlm.weight_files import (
    read_safetensors,
    read_torch_file,
    write_safetensors,
)
from sklearn_brainlm.weight_folders import FORMAT, read_weights, save_weights

__all__ = [
    "OWN",
    "Weights",
    "list_weights",
    "load_weights",
    "locate_weights",
    "save_weights",
]

OWN = "sklearn_brainlm"
_READERS = {
    "model.safetensors": read_safetensors,
    "pytorch_model.safetensors": read_safetensors,
    "pytorch_model.bin": read_torch_file,
}
_BY_SUFFIX = {".safetensors": read_safetensors, ".bin": read_torch_file}
# Also what may name functions to call, as .skops and Keras' formats do.
_PICKLES = {".ckpt", ".h5", ".hdf5", ".joblib", ".keras", ".npy", ".npz", ".pickle", ".pkl", ".pt"}
_PICKLES |= {".pth", ".skops", ".tar", ".zip"}
_ON_THE_HUB = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass
class Weights:
    """Weights that were read, with the network they are of.

    Attributes
    ----------
    family : {"sklearn_brainlm", "brainlm", "vitmae", "vitmae_finetuned"}
        This package's own; or the released 13M family, image family, or image family with a head.
    config : dict
        What config.json says.
    contract : InputContract
        What the weights expect of recordings.
    module : torch.nn.Module
        The network.
    sha256 : str
        Of the file of weights.
    leftovers : dict of str to array
        Released tensors that no computation uses, kept for :meth:`export_official`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(window_length=20, patch_length=5, max_epochs=1).fit(recordings)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     weights = load_weights(model.save_pretrained(folder))
    >>> weights.family, weights.contract.n_parcels
    ('sklearn_brainlm', 4)
    """

    family: str
    config: dict
    contract: InputContract
    module: object
    sha256: str
    leftovers: dict = field(default_factory=dict)

    def export_official(self, path):
        """Write the weights as the released code reads them.

        Parameters
        ----------
        path : str or Path
            Folder: config.json, model.safetensors and README.md with the licence.

        Returns
        -------
        path : Path
            The folder.

        Raises
        ------
        CheckpointError
            If they are not of a released family.
        """
        if self.family == OWN:
            raise CheckpointError(
                "These weights are of this package's own format, which the released code cannot "
                "run. Use save_pretrained."
            )
        return export_official(path, self.config, self.module, self.leftovers)


def load_weights(source, subfolder=None, revision=None, sha256=None, *, parcel_coords=None):
    """Read weights of any known family, check all of them, and build their network.

    Estimators do so themselves when they are given ``weights=``. This shows what weights are, and
    what they expect of recordings, before anything is computed; no code of a file is run.

    Parameters
    ----------
    source : str or Path
        A folder, a file (``model.safetensors``, ``pytorch_model.safetensors`` or
        ``pytorch_model.bin`` with config.json beside it), a name of :func:`list_weights`, or
        ``"owner/repository"`` on the Hugging Face hub.
    subfolder : str, optional
        Folder within `source`.
    revision : str, optional
        Commit, tag or branch on the hub.
    sha256 : str, optional
        What the SHA-256 of the file of weights must be.
    parcel_coords : array of shape (n_parcels, 3), optional
        MNI coordinates of the parcels in millimetres. Released networks need those of A424, which
        are not in their files, to compute anything.

    Returns
    -------
    Weights
        The network and what is known of it.

    Raises
    ------
    CheckpointError
        If files are missing or damaged, or a tensor is missing, unexpected or of a wrong shape: the
        message lists them.
    UntrustedFileError
        If a file is not what its format allows, or is a pickle.

    See Also
    --------
    list_weights : Names that are known.
    InputContract : What weights expect.
    BrainLMTransformer : Starts from weights.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn_brainlm import BrainLMTransformer, load_weights
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 4))
    >>> model = BrainLMTransformer(window_length=20, patch_length=5, max_epochs=1).fit(recordings)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     weights = load_weights(model.save_pretrained(folder))
    >>> weights.contract.window_length
    20
    """
    path, config = locate_weights(source, subfolder, revision, sha256)
    if config.get("format") == FORMAT:
        config, arrays = read_weights(path.parent)
        check_digest(path, sha256, config["sha256"])
        contract, module = build_own(path.parent, config, arrays)
        return Weights(OWN, config, contract, module, config["sha256"])

    def read():
        return _read_config(path), *_reader_of(path)(current(path), sha256=sha256)

    config, arrays, digest = read_steadily(path.parent, read)
    family = family_of(config)
    module, leftovers = build_module(config, arrays, parcel_coords=parcel_coords)
    contract = contract_of(config, parcel_coords)
    return Weights(family, config, contract, module, digest, leftovers)


def locate_weights(source, subfolder=None, revision=None, sha256=None):
    """Find the files of weights, on the hub if need be.

    Parameters
    ----------
    source : str or Path
        As for :func:`load_weights`.
    subfolder, revision, sha256 : str, optional
        As for :func:`load_weights`.

    Returns
    -------
    path : Path
        The file of weights.
    config : dict
        What the config.json beside it says.

    Raises
    ------
    CheckpointError
        If they are not there.
    UntrustedFileError
        If `source` is a file whose reading would run its code.
    """
    known = {weights.name: weights for weights in list_weights()}.get(str(source))
    path = Path(source)
    if path.suffix in _PICKLES:
        raise UntrustedFileError(
            f"{path} may hold objects, and reading those runs code of their choice. Weights are "
            f"files named {', '.join(_READERS)}, with config.json beside them."
        )
    if known is not None:
        path = _fetch(known.repository, subfolder or known.subfolder, revision, sha256)
    elif path.is_dir():
        folder = path / (subfolder or "")
        path = read_steadily(folder, lambda: _find_in(folder))
    elif not path.exists() and _ON_THE_HUB.fullmatch(str(source)):
        path = _fetch(str(source), subfolder, revision, sha256)
    elif not path.is_file():
        raise CheckpointError(
            f"{source} is neither a folder nor a file, nor a name of weights "
            f"({', '.join(weights.name for weights in list_weights())}), nor 'owner/repository'."
        )
    return path, read_steadily(path.parent, lambda: _read_config(path))


def export_official(path, config, module, leftovers):
    """Write a released network as the released code reads it.

    Parameters
    ----------
    path : str or Path
        The folder.
    config : dict
        Its config.json.
    module : torch.nn.Module
        The network.
    leftovers : dict of str to array
        Released tensors that no computation uses.

    Returns
    -------
    path : Path
        The folder.
    """
    folder = Path(path)
    arrays = export_arrays(config, module, leftovers)
    card = (
        "---\nlicense: cc-by-nc-nd-4.0\n---\n\n# BrainLM weights\n\n"
        f"Exported from released BrainLM weights. {RELEASED_LICENCE}\n\n**Do not redistribute.**\n"
    )
    with replaced_weights(folder) as beside:
        write_bytes_atomically(beside("README.md"), card.encode())
        write_safetensors(beside("model.safetensors"), arrays, {"format": "pt"})
        text = json.dumps(config, indent=2) + "\n"
        write_bytes_atomically(beside("config.json"), text.encode())
    return folder


def _fetch(repository, subfolder, revision, sha256):
    """Get weights from the hub, in the first of the forms that is there."""
    # Of other repositories, only whoever owns them knows the terms.
    terms = {weights.repository: weights.licence for weights in list_weights()}
    where = {"subfolder": subfolder, "revision": revision, "licence": terms.get(repository)}
    failures = []
    for name in _READERS:
        digests = None if sha256 is None else {name: sha256}
        try:
            return fetch(repository, ["config.json", name], sha256=digests, **where) / name
        except CheckpointError as error:
            failures.append((name, error))
    # What the network did not give may be there.
    is_network = any(isinstance(error, DownloadError) for _, error in failures)
    raise (DownloadError if is_network else CheckpointError)(
        f"No weights of {repository} could be had. "
        + " ".join(f"{name}: {error}" for name, error in failures)
    )


def _read_config(path):
    """Read the config.json beside a file of weights, and check it if it is a released one."""
    beside = path.parent / "config.json"
    config = read_json(current(beside))
    if config.get("format") != FORMAT:
        try:
            check_config(config)
        except (CheckpointError, UntrustedFileError) as error:
            raise type(error)(f"{beside}: {error}") from error
    return config


def _find_in(folder):
    """Return the file of weights of a folder."""
    found = [folder / name for name in _READERS if current(folder / name).is_file()]
    if not found or not current(folder / "config.json").is_file():
        here = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        raise CheckpointError(
            f"{folder} does not hold config.json and one of {', '.join(_READERS)}. It holds: "
            f"{', '.join(here) or 'nothing'}."
        )
    return found[0]


def _reader_of(path):
    """Return what reads a file of weights."""
    if path.suffix not in _BY_SUFFIX:
        raise CheckpointError(f"{path} is not a file of weights: they end in .safetensors or .bin.")
    return _BY_SUFFIX[path.suffix]
