"""Recordings into a folder, in a way that survives a kill."""

import warnings
from itertools import islice
from pathlib import Path

import numpy as np
from joblib import effective_n_jobs

from sklearn_brainlm._jobs import run_jobs
from sklearn_brainlm._stalls import read_in_time
from sklearn_brainlm._stored_values import DTYPES, checksum, encode
from sklearn_brainlm._validation import as_float32, check_recordings, describe, enumerate_first
from sklearn_brainlm._values import refuse_constant
from sklearn_brainlm.exceptions import DataQualityWarning, InvalidRecordingError
from sklearn_brainlm.storage.files import JOURNAL, MANIFEST, read_manifest
from sklearn_brainlm.storage.lock import LOCK, StoreLock
from sklearn_brainlm.storage.rows import StoreRows, check_parcels, fingerprint
from sklearn_brainlm.storage.writer import StoreWriter
from sklearn_brainlm.store import RecordingStore

__all__ = ["build_store", "encode_source"]

_GROUP = 32  # recordings a worker is given before the writer has to have caught up
_MAX_REASON = 500  # characters


def build_store(
    path,
    recordings,
    *,
    participants=None,
    parcels=None,
    t_r=None,
    dtype="float32",
    shard_bytes=2**28,
    n_jobs=1,
    strict=False,
    verbose=0,
):
    """Write recordings into a folder, to be read as a RecordingStore.

    Recordings are checked once, when they are written, and come with checksums. A call that was
    killed is made again with the same arguments, and goes on where the disk says it was.

    Parameters
    ----------
    path : str or Path
        The folder: a new one, an empty one, or one that an earlier call began.
    recordings : iterable of arrays or of callables
        Arrays of shape (n_timepoints, n_parcels), or functions without arguments that return one,
        such as ``functools.partial(numpy.load, file)``; with `n_jobs` they must be picklable. An
        iterator is read once, so more recordings than fit in memory may come from it.
    participants : DataFrame or dict of columns, optional
        One row a recording, in the same order: "recording" is its id ("recording-000000" and so on
        when there is no such column), "participant_id" the person (the id of the recording when
        there is none), "tr_s" the repetition time; further columns are kept.
    parcels : DataFrame or dict of columns, optional
        One row a parcel: "label", and "x", "y", "z" in MNI mm where known.
    t_r : float or array of shape (n_recordings,), optional
        Repetition time in seconds, NaN where unknown; replaces the column "tr_s".
    dtype : {"float32", "float16", "int16"}, default="float32"
        How values are kept. float16 and int16 take half the space. int16 has one step and offset a
        recording and parcel, and an error of at most (max - min) / 131068 of them; a recording that
        would lose more than 2% of the interquartile range of a parcel is not stored.
    shard_bytes : int, default=2**28
        Largest file of values; a recording is never split.
    n_jobs : int, default=1
        Processes that read recordings, as in joblib. One process writes.
    strict : bool, default=False
        Whether a recording that cannot be stored is an error, instead of a line in
        ``quarantine.tsv``.
    verbose : int, default=0
        Whether to show progress.

    Returns
    -------
    RecordingStore
        The store, opened.

    Raises
    ------
    StoreLockedError
        Another process is writing this folder.
    InvalidRecordingError
        Ids repeat or are no names, tables do not fit, no recording can be stored, or, with
        `strict`, one cannot.
    StoreCorruptionError
        The folder holds another store, or the beginning of one.
    FileExistsError
        The folder holds something else.

    Warns
    -----
    DataQualityWarning
        Recordings were not stored, or parcels are constant in some that were, or two are equal.

    See Also
    --------
    RecordingStore : What it is read as.
    list_recordings : Recordings in files.
    prepare : A store of what fMRIPrep wrote.

    Notes
    -----
    The store of calls that were killed is, byte for byte, that of one that was not. What is in
    quarantine stays there: after mending a recording, build a new store.

    Examples
    --------
    >>> import tempfile
    >>> import warnings
    >>> import numpy as np
    >>> from sklearn_brainlm import build_store
    >>> rng = np.random.default_rng(0)
    >>> recordings = [rng.normal(size=(60, 3)), np.full((60, 3), np.nan)]
    >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     store = build_store(folder, recordings, dtype="float16")
    ...     print(store.ids, (store.path / "quarantine.tsv").read_text().split()[5])
    ['recording-000000'] recording-000001
    """
    if dtype not in DTYPES:
        raise InvalidRecordingError(f"dtype={dtype!r} is none of {', '.join(map(repr, DTYPES))}.")
    if shard_bytes < 1:
        raise InvalidRecordingError(f"shard_bytes={shard_bytes} must be at least 1.")
    folder = Path(path).absolute()
    rows = StoreRows(participants, t_r, len(recordings) if hasattr(recordings, "__len__") else None)
    parcels = check_parcels(parcels)
    plan = {
        "recordings": rows.fingerprint(),
        "parcels": fingerprint(parcels),
        "dtype": dtype,
        "shard_bytes": int(shard_bytes),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _check_ours(folder)
    is_finished = (folder / MANIFEST).is_file()
    if is_finished and not any((folder / left).is_file() for left in (JOURNAL, LOCK)):
        return _open_finished(folder, plan)  # also where nothing may be written
    with StoreLock(folder) as lock:
        if (folder / MANIFEST).is_file():  # killed, or overtaken, after the last file
            store = _open_finished(folder, plan)
            (folder / JOURNAL).unlink(missing_ok=True)
            return store
        with StoreWriter(folder, plan, dtype, shard_bytes) as writer:
            n_parcels = None if parcels is None else len(parcels)
            _write_all(writer, lock, recordings, rows, n_parcels, n_jobs, strict, verbose)
            lock.check()
            writer.commit()
            _check_any(writer)
            writer.finish(rows.table(len(writer.entries)), parcels)
    store = RecordingStore(folder)
    _warn_of(writer.entries, folder)
    _warn_of_copies(store, [entry for entry in writer.entries if "reason" not in entry])
    return store


def _write_all(writer, lock, recordings, rows, n_parcels, n_jobs, strict, verbose):
    """Read what is not written yet, in groups, and write it in order."""
    from tqdm import tqdm  # not needed to open a store

    start = len(writer.entries)
    sources = enumerate(recordings)
    todo = islice(sources, start, None)
    group_size = _GROUP * effective_n_jobs(n_jobs)
    progress = tqdm(total=rows.n, initial=start, unit="recording", disable=not verbose)
    with progress:
        while group := list(islice(todo, group_size)):
            calls = [(source, rows.name(position), writer.dtype) for position, source in group]
            outcomes = run_jobs(encode_source, calls, n_jobs=n_jobs)
            for (_, name, _), outcome in zip(calls, outcomes, strict=True):
                lock.check()  # a process that was stopped may have lost the folder to another
                expected = writer.n_parcels if n_parcels is None else n_parcels
                reason = _find_fault(outcome, expected, "parcels" if n_parcels else "the first")
                if reason is None:
                    writer.add(name, *outcome)
                elif strict:
                    raise InvalidRecordingError(f"{name} cannot be stored: {reason}")
                else:
                    writer.refuse(name, reason)
                progress.update()


def encode_source(source, name, dtype):
    """Read, check and encode a recording.

    Parameters
    ----------
    source : array of shape (n_timepoints, n_parcels) or callable
        The recording, or a function without arguments that returns it.
    name : str
        Its id.
    dtype : {"float32", "float16", "int16"}
        How values are kept.

    Returns
    -------
    written : tuple (values, scales, crc32, n_constant_parcels) or str
        What is written, or the reason why it is not.
    """
    try:
        recording = read_in_time(source, name) if callable(source) else source
        (recording,) = check_recordings(
            [recording], estimator_name="build_store", warn_constant=False
        )
        recording = as_float32(recording)
        constant = recording.min(axis=0) == recording.max(axis=0) if len(recording) > 1 else False
        refuse_constant(0, recording, np.flatnonzero(constant))
        values, scales = encode(recording, dtype)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a reader raises, the others go on
        text = str(error).replace(describe(0), name)
        text = " ".join(f"{type(error).__name__}: {text}".split())
        return text if len(text) <= _MAX_REASON else text[:_MAX_REASON] + "..."
    return values, scales, checksum(values, scales), int(np.sum(constant))


def _find_fault(outcome, n_parcels, whose):
    """Return why something that was read is not stored; None when it is."""
    if isinstance(outcome, str):
        return outcome
    shape = outcome[0].shape
    if n_parcels is None or shape[1] == n_parcels:
        return None
    hint = "It looks transposed." if shape[0] == n_parcels else "Extract all with one atlas."
    whose = "as parcels lists" if whose == "parcels" else "as the first recording has"
    return f"It has shape {shape}; expected (n_timepoints, {n_parcels}), {whose}. {hint}"


def _check_ours(folder):
    """Raise if a folder holds something that no build left there."""
    names = {entry.name for entry in folder.iterdir()}
    if names and not names & {MANIFEST, JOURNAL, LOCK}:
        raise FileExistsError(
            f"{folder} is not empty, and holds no store: {', '.join(sorted(names)[:5])}. Give a "
            "new folder."
        )


def _open_finished(folder, plan):
    """Open a store that is there already, if it is the one that was asked for."""
    found = read_manifest(folder)["plan"]
    if found != plan:
        differ = sorted(key for key in plan if found.get(key) != plan[key])
        raise FileExistsError(
            f"{folder} holds another store already: {', '.join(differ)} differ. Give another "
            "folder, or open it with RecordingStore."
        )
    return RecordingStore(folder)


def _check_any(writer):
    """Raise if nothing was stored; a later call may then start again."""
    refused = [entry for entry in writer.entries if "reason" in entry]
    if len(refused) == len(writer.entries):
        (writer.folder / JOURNAL).unlink()
        first = f" The first: {refused[0]['recording']}: {refused[0]['reason']}" if refused else ""
        raise InvalidRecordingError(f"None of {len(refused)} recordings can be stored.{first}")


def _warn_of(entries, folder):
    """Warn once about what was not stored, and about constant parcels."""
    refused = [entry for entry in entries if "reason" in entry]
    if refused:
        warnings.warn(
            f"{len(refused)} of {len(entries)} recordings were not stored; "
            f"{folder / 'quarantine.tsv'} says why. The first: {refused[0]['recording']}: "
            f"{refused[0]['reason']}",
            DataQualityWarning,
            stacklevel=3,
        )
    constant = [i for i, entry in enumerate(entries) if entry.get("constant_parcels")]
    if constant:
        warnings.warn(
            f"Parcels are constant in {len(constant)} of {len(entries)} recordings (recordings "
            f"{enumerate_first(constant)}; how many is in recordings.tsv). A masker returns zeros "
            "for a parcel without voxels; check that the atlas covers the images.",
            DataQualityWarning,
            stacklevel=3,
        )


def _warn_of_copies(store, entries):
    """Warn once about recordings that were stored twice, under different ids."""
    seen, copies = {}, []
    for position, entry in enumerate(entries):
        first = seen.setdefault((entry["crc32"], entry["n_timepoints"]), position)
        if first != position and np.array_equal(store[first], store[position]):
            copies.append((entries[first]["recording"], entry["recording"]))
    if copies:
        one, other = copies[0]
        warnings.warn(
            f"{len(copies)} of {len(entries)} recordings are copies: {one} and {other} hold the "
            "same values. Keep one of each, or never let them be in training and test.",
            DataQualityWarning,
            stacklevel=3,
        )
