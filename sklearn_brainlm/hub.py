"""Files from elsewhere, taken for what they should be only when their SHA-256 says so.

The client of the Hugging Face hub looks at the size of what it gets, not at the bytes.
"""

import hashlib
import os
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from sklearn_brainlm.exceptions import CheckpointError
from sklearn_brainlm.files.checked import file_sha256
from sklearn_brainlm.files.durable import replaced

__all__ = ["DownloadError", "download", "fetch"]

_WAIT_S = 1.0  # before the second attempt; twice as long before each one after it
_STEP = 1 << 20  # bytes
_MAX_BYTES = 1 << 30  # where the server does not say how much will come
_NETWORK = (urllib.error.URLError, ConnectionError, TimeoutError, HTTPException, ssl.SSLError)
_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*/[A-Za-z0-9_][A-Za-z0-9_.\-]*")
_TRUE = {"1", "ON", "TRUE", "YES"}  # what the hub client takes for yes


class DownloadError(CheckpointError, ConnectionError):
    """A file is not in the cache, and the network does not give it: the file is not to blame."""


def fetch(
    repo_id, filenames, *, subfolder=None, revision=None, sha256=None, endpoint=None, licence=None
):
    """Get files of a repository on the Hugging Face hub, from the cache where they are there.

    Parameters
    ----------
    repo_id : str
        Repository, as ``owner/name``.
    filenames : list of str
        Files to get, relative to `subfolder`. Begin with a small one: the licence is printed when
        the first one has come.
    subfolder : str, optional
        Folder of the repository.
    revision : str, optional
        Commit, tag or branch; the main branch by default. Only a commit always means the same
        files. All files are taken from one commit.
    sha256 : dict of str to str, or str, optional
        SHA-256 by file name, in hexadecimal; one text when there is one file. A large file
        without one is compared with the SHA-256 that the hub states.
    endpoint : str, optional
        Address of another hub.
    licence : str, optional
        What is printed to standard error when files of this repository are downloaded for the
        first time.

    Returns
    -------
    folder : Path
        Folder of the cache that holds the files. Nothing may be written to it.

    Raises
    ------
    CheckpointError
        If a file cannot be had, or is not the one that its SHA-256 says after a second download.
    DownloadError
        If it is not in the cache, and the network is off or fails; also a ConnectionError.
    PermissionError
        If the cache cannot be written to.
    ValueError
        If a name is none that the hub has, or leads out of the repository.

    Notes
    -----
    With ``HF_HUB_OFFLINE=1`` in the environment only the cache is looked at. The cache is that of
    the hub's client (``HF_HOME``, ``HF_HUB_CACHE``), or in ``BRAINLM_HOME`` where that is set.
    """
    filenames = [filenames] if isinstance(filenames, str) else list(filenames)
    if isinstance(sha256, str):
        sha256 = dict.fromkeys(filenames, sha256)
    _check_names(repo_id, subfolder, filenames)
    for expected in (sha256 or {}).values():
        _check_is_sha256(expected)
    cache = _cache() / f"models--{repo_id.replace('/', '--')}"
    first = not (cache / "snapshots").exists()
    where = {"repo_id": repo_id, "subfolder": subfolder, "revision": revision, "endpoint": endpoint}
    for name in filenames:
        path = _fetch_one(cache, {**where, "filename": name}, (sha256 or {}).get(name))
        folder = path.parents[name.count("/")]
        commit = folder if subfolder is None else folder.parents[subfolder.count("/")]
        where["revision"] = commit.name  # the branch may move on before the next file
        if first and licence is not None:
            print(f"{repo_id} on the Hugging Face hub: {licence}", file=sys.stderr)
            first = False
    return folder


def download(url, path, *, sha256, timeout=30, retries=3):
    """Download a file whose SHA-256 is known, or leave things as they are.

    Parameters
    ----------
    url : str
        Address, http or https.
    path : str or Path
        Where the file shall be. One that is there and has this SHA-256 is not downloaded again.
        Its folder is made when it is not there.
    sha256 : str
        SHA-256 of the file, in hexadecimal.
    timeout : float, default=30
        Seconds to wait for the server before an attempt has failed.
    retries : int, default=3
        How often to try again when the connection fails or the file arrives damaged.

    Returns
    -------
    path : Path
        The file.

    Raises
    ------
    CheckpointError
        If what arrives is complete and has another SHA-256.
    ConnectionError
        If the file cannot be had.
    ValueError
        If `url` is not of http or https, or `sha256` is none.
    """
    path = Path(path)
    _check_is_sha256(sha256)
    if not re.match("https?://", url):
        raise ValueError(f"{url!r} is not an address of http or https.")
    if path.is_file() and file_sha256(path) == sha256.lower():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    found = None
    for attempt in range(retries + 1):
        if attempt:
            time.sleep(_WAIT_S * 2 ** (attempt - 1))
        before = found
        try:
            with replaced(path) as file:
                found = _receive(url, file, timeout)
                if found != sha256.lower():  # what was received never gets the name of the file
                    raise CheckpointError(
                        f"{url} gave a file of SHA-256 {found}, expected {sha256}. It was damaged "
                        f"on the way, or is another file now; {path} was not written."
                    )
            return path
        except CheckpointError as error:
            failure = error
            if found == before:  # the same twice is no damage
                break
        except _NETWORK as error:
            failure = error
            if isinstance(error, urllib.error.HTTPError):
                error.close()
                if error.code < 500 and error.code not in (408, 429):  # it will not come back
                    break
    if isinstance(failure, CheckpointError):
        raise failure
    raise ConnectionError(
        f"{url} could not be downloaded to {path}: {failure}. Check the connection and try again, "
        f"or get the file elsewhere and put it there; its SHA-256 must be {sha256}."
    ) from failure


def _receive(url, file, timeout):
    """Write what a server sends to a file, and check that it is all; return its SHA-256."""
    sha, received = hashlib.sha256(), 0
    # It is http or https: download has looked.
    with urllib.request.urlopen(url, timeout=timeout) as response:  # noqa: S310
        announced = response.headers.get("Content-Length")
        while content := response.read(_STEP):
            sha.update(content)
            received += len(content)
            if received > _MAX_BYTES:
                raise ConnectionError(f"more than {_MAX_BYTES} bytes came")
            file.write(content)
    # A connection that ends early looks like the end of the file.
    if announced is not None and announced != str(received):
        raise ConnectionError(f"{received} of {announced} bytes came")
    return sha.hexdigest()


def _check_names(repo_id, subfolder, filenames):
    """Refuse names that are none, or lead out of the repository."""
    if not isinstance(repo_id, str) or not _REPOSITORY.fullmatch(repo_id):
        raise ValueError(f"{repo_id!r} is no repository of the hub; these are named owner/name.")
    if not filenames:
        raise ValueError(f"No file of {repo_id} was named.")
    for name in filenames if subfolder is None else [subfolder, *filenames]:
        if any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in name.split("/")):
            raise ValueError(f"{name!r} is not the name of a file or folder in {repo_id}.")


def _check_is_sha256(text):
    """Refuse what cannot be a SHA-256: no file would ever have it."""
    if not isinstance(text, str) or not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise ValueError(f"{text!r} is no SHA-256, which has 64 hexadecimal digits.")


def _fetch_one(cache, wanted, expected):
    """Get one file whose SHA-256 is right, downloading it a second time if it must be."""
    known = set(os.listdir(cache / "blobs")) if (cache / "blobs").exists() else set()
    for force in (False, True):
        path = _get(wanted, force)
        blob = path.resolve()
        # The cache keeps a large file under its SHA-256, as the hub states it. That is compared
        # once, when the file is new: it says nothing of what the owner of the hub put there.
        right = expected
        if right is None and re.fullmatch("[0-9a-f]{64}", blob.name) and blob.name not in known:
            right = blob.name
        if right is None or (found := file_sha256(path)) == right.lower():
            return path
        if _is_offline():
            raise CheckpointError(
                f"{path} is not the file it should be: its SHA-256 is {found}, expected {right}. "
                "Allow the network (HF_HUB_OFFLINE is set) to download it again."
            )
    for copy in (path, blob):  # not left for somebody who does not know what it should be
        with suppress(OSError):
            copy.unlink(missing_ok=True)
    raise CheckpointError(
        f"{path} is not the file it should be, also after a second download: its SHA-256 is "
        f"{found}, expected {right}. It was removed. The hub holds another file, or the "
        "connection damages it."
    )


def _get(wanted, force):
    """Let the client of the hub find or download a file; say what to do when it cannot."""
    from huggingface_hub import errors, hf_hub_download

    offline = _is_offline()
    name = "/".join(part for part in (wanted["subfolder"], wanted["filename"]) if part)
    what = f"{name} of {wanted['repo_id']} on the Hugging Face hub"
    if wanted["revision"] is not None:
        what += f" (revision {wanted['revision']})"
    how = {"force_download": force, "local_files_only": offline, "cache_dir": _cache()}
    try:
        return Path(hf_hub_download(**wanted, **how))
    except errors.LocalEntryNotFoundError as error:
        folder = f" --subfolder {wanted['subfolder']}" if wanted["subfolder"] else ""
        where = f"`sklearn-brainlm weights download {wanted['repo_id']}{folder}`"
        raise DownloadError(
            f"{what} is not in the cache, and HF_HUB_OFFLINE is set. Unset it once and run {where} "
            "where there is a network, or pass a folder that holds the file."
            if offline
            else f"{what} is not in the cache, and the hub cannot be reached. Check the "
            f"connection, run {where} where there is one and HF_HUB_OFFLINE=1 here, or pass a "
            "folder that holds the file."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{what} cannot be seen: there is no such repository, or it asks who you are. Check "
            "the name, accept its terms on the web page, and log in with `hf auth login`."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{what} does not exist: there is no such revision.") from error
    except errors.EntryNotFoundError as error:
        raise CheckpointError(f"{what} does not exist: there is no such file.") from error
    except errors.HFValidationError as error:
        raise ValueError(f"{what} is no valid name: {error}") from error
    except PermissionError as error:
        with suppress(errors.LocalEntryNotFoundError):  # a cache that others fill
            return Path(hf_hub_download(**wanted, local_files_only=True, cache_dir=_cache()))
        raise PermissionError(
            f"{what} cannot be kept in {_cache()}: {error.strerror}. Set BRAINLM_HOME to a folder "
            "that can be written to, as homes on clusters often cannot."
        ) from error
    except Exception as error:  # whatever the client and its transport raise
        raise DownloadError(
            f"{what} could not be downloaded: {error}. Try again; where there is no network, pass "
            "a folder that holds the file, or fill the cache elsewhere and set HF_HUB_OFFLINE=1."
        ) from error


def _cache():
    """Return the folder of the cache: in BRAINLM_HOME, or where the client of the hub has it."""
    from huggingface_hub import constants  # late: half a second, and only for downloads

    home = os.environ.get("BRAINLM_HOME")
    return Path(home).expanduser() / "hub" if home else Path(constants.HF_HUB_CACHE)


def _is_offline():
    """Say whether the network may not be used, also when that was said after the import."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE
