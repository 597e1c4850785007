"""What is kept of each run while a store is prepared: its recording, its sidecar and its log."""

import datetime
import json
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    BrainLMError,
    CheckpointError,
    InvalidRecordingError,
    UntrustedFileError,
)
from sklearn_brainlm.files.checked import read_json
from sklearn_brainlm.files.durable import replaced, write_bytes_atomically
from sklearn_brainlm.readers.files import check_file

__all__ = ["load_prepared", "prepare_run", "read_outcome", "refuse_prepared"]

_ERRORS = {error.__name__: error for error in (AtlasMismatchError, UntrustedFileError)}


def prepare_run(run, extraction, work_dir, log_dir):
    """Make the recording of a run, unless an earlier call did.

    Parameters
    ----------
    run : Run
        The run.
    extraction : Extraction
        How.
    work_dir, log_dir : Path
        Where ``<run>.npy`` goes, and ``<run>.json`` and ``<run>.log``.

    Returns
    -------
    outcome : dict
        What the sidecar says; its "Reason" is why there is no recording, or None.

    Notes
    -----
    Whatever is wrong with the files of a run is its outcome, not an error: the others go on. What
    is wrong with the disk that is written to is an error.
    """
    state = _describe_files(run)
    outcome = read_outcome(run.name, log_dir)
    file = work_dir / f"{run.name}.npy"
    if (
        outcome is not None
        and outcome.get("Settings") == extraction.digest
        and outcome.get("Files") == state
        and (file.is_file() or outcome.get("Reason") is not None)
    ):
        return outcome
    begin = time.monotonic()
    lines = [f"image: {run.image}", f"started: {datetime.datetime.now(datetime.UTC).isoformat()}"]
    outcome = {"Settings": extraction.digest, "Files": state, "Reason": None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            extracted = extraction.average(run)
        except MemoryError:  # another machine, or fewer processes, may well read it
            raise
        except Exception as error:  # noqa: BLE001 - one bad run does not stop the others
            outcome["Reason"] = " ".join(str(error).split()) or type(error).__name__
            outcome["Error"] = type(error).__name__
            lines += getattr(error, "__notes__", [])
            if not isinstance(error, (BrainLMError, OSError)):
                lines.append(traceback.format_exc())
            extracted = None
    lines += [f"warning: {' '.join(str(w.message).split())}" for w in caught]
    if extracted is not None:
        outcome |= _describe(extracted)
        with replaced(file) as opened:
            np.save(opened, extracted.recording)
        lines += [f"{key}: {value}" for key, value in outcome.items() if key != "Files"]
    else:
        lines.append(f"not prepared: {outcome['Reason']}")
    lines.append(f"took: {time.monotonic() - begin:.1f} s")
    write_bytes_atomically(log_dir / f"{run.name}.log", ("\n".join(lines) + "\n").encode())
    # The sidecar last: it says that the recording is complete.
    content = json.dumps(outcome, indent=1).encode()
    write_bytes_atomically(log_dir / f"{run.name}.json", content)
    return outcome


def read_outcome(name, log_dir):
    """Read the sidecar of a run.

    Parameters
    ----------
    name : str
        Name of the run.
    log_dir : Path
        Where it is.

    Returns
    -------
    outcome : dict or None
        None where there is none, or half of one.
    """
    try:
        return read_json(log_dir / f"{name}.json", max_bytes=1 << 24)
    except CheckpointError:
        return None


def load_prepared(file):
    """Open the recording that was made of a run.

    Parameters
    ----------
    file : Path
        Its ``.npy``.

    Returns
    -------
    recording : memory map of shape (n_timepoints, n_parcels)
        The recording.
    """
    path, _ = check_file(file)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def refuse_prepared(error, reason):
    """Raise the reason why there is no recording, in the place of reading it.

    Parameters
    ----------
    error : str
        Name of the error that was met.
    reason : str
        Its text.

    Raises
    ------
    InvalidRecordingError
        That error, or this one where it is not of this package.
    """
    raise _ERRORS.get(error, InvalidRecordingError)(reason)


def _describe(extracted):
    """Say what a sidecar says of a recording."""
    scrubbed = np.setdiff1d(np.arange(extracted.n_volumes), extracted.kept)
    return {
        "RepetitionTime": extracted.t_r,
        "NumberOfVolumes": extracted.n_volumes,
        "NumberOfTimepoints": len(extracted.recording),
        "KeptTimepoints": extracted.kept.tolist(),
        "ScrubbedTimepoints": scrubbed.tolist(),
        "Confounds": extracted.confounds,
        "SmallestCoverage": extracted.min_coverage,
        "NotFiniteVoxels": extracted.n_not_finite,
    }


def _describe_files(run):
    """Name, size and time of every file of a run: what changes when one of them does."""
    folder = Path(run.image).parent
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(f"{run.name}_") and path.is_file():
            stat = path.stat()
            found.append([path.name, stat.st_size, stat.st_mtime_ns])
    return found
