"""RecordingStore: recordings that stay on disk until a window of them is read."""

from pathlib import Path

import numpy as np

from sklearn_brainlm._stored_values import DTYPES, StoredRecording, check_mapped, checksum
from sklearn_brainlm.exceptions import StoreCorruptionError
from sklearn_brainlm.storage.arrays import HEADER_BYTES, npy_header
from sklearn_brainlm.storage.files import (
    check_size,
    check_sizes,
    read_manifest,
    read_table_bytes,
    scales_name,
    shard_name,
)
from sklearn_brainlm.storage.tables import parse_table
from sklearn_brainlm.store_checks import check_described, verify_store

__all__ = ["RecordingStore"]

_COORDINATES = ["x", "y", "z"]


class RecordingStore:
    """Recordings in a folder that `build_store` wrote, given to estimators as X.

    For more recordings than fit in memory: values stay on disk until they are needed, and
    cross-validation splits the store like a list.

    Parameters
    ----------
    path : str or Path
        The folder. The manifest and the tables are read and checked, and the sizes of the files
        that hold values; values are not read.

    Attributes
    ----------
    path : Path
        The folder, absolute.
    shape : tuple of int, (n_recordings,)
        Number of recordings; ``len`` gives the same.
    n_parcels : int
        Number of parcels of every recording.
    lengths : ndarray of int64 of shape (n_recordings,)
        Number of timepoints of each recording.
    dtype : dtype
        What values are kept as: float32, float16 or int16.
    nbytes : int
        Bytes the values take on disk.
    ids : list of str
        Name of each recording.
    t_r : ndarray of float64 of shape (n_recordings,)
        Repetition time of each recording in seconds, NaN where it is not known.
    participants : DataFrame
        One row a recording: participant_id, recording, and what was given beside.
    parcels : DataFrame or None
        One row a parcel: index, label, and x, y, z in MNI mm where known.
    parcel_coords : ndarray of float64 of shape (n_parcels, 3) or None
        Their coordinates; None unless all are known.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    StoreCorruptionError
        The store is not finished, or a file is missing, truncated or changed.

    See Also
    --------
    build_store : Write one.
    verify_store : Compare every byte with what was written.
    prepare : Write one from the derivatives of fMRIPrep.

    Notes
    -----
    ``store[i]`` is one recording: a read-only view of the memory map, or for int16 an object with
    the shape and indices of one that gives float32. ``store[[0, 2]]``, ``store[10:20]`` and
    ``store[mask]`` are stores of some of the recordings, so cross-validation stays on disk. A
    pickle holds the path and which recordings, never values; any number of processes may read.

    Values were checked when they were written, so estimators do not read all of them again before
    they start. The first time that a process reads of a recording, its checksum is compared, and a
    recording that has changed is a StoreCorruptionError. `verify` reads all of them.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn_brainlm import RecordingStore, build_store
    >>> rng = np.random.default_rng(0)
    >>> recordings = [rng.normal(size=(n_timepoints, 3)) for n_timepoints in (90, 60, 75)]
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = build_store(folder.name, recordings, t_r=0.72)
    >>> store.shape, store.n_parcels, store.lengths.tolist(), store.t_r.tolist()
    ((3,), 3, [90, 60, 75], [0.72, 0.72, 0.72])
    >>> store[1].shape, store[1:].ids
    ((60, 3), ['recording-000001', 'recording-000002'])
    >>> RecordingStore(folder.name).verify()
    []
    >>> folder.cleanup()
    """

    # Read by check_recordings, which then does not look at all values again.
    has_checked_values = True

    def __init__(self, path):
        self.path = Path(path).absolute()  # a pickle may be opened in another working directory
        self._manifest = read_manifest(self.path)
        check_sizes(self.path, self._manifest)
        self._offsets = check_described(self.path, self._manifest)
        self._tables = {
            name: read_table_bytes(self.path, self._manifest, name)
            for name in ("participants.tsv", "parcels.tsv")
            if name in self._manifest["tables"]
        }
        self._frames = {}
        self._maps = {}
        self._compared = set()
        self._selection = np.arange(len(self._offsets.recording))

    @property
    def shape(self):
        """Number of recordings, as a tuple."""
        return (len(self._selection),)

    @property
    def n_parcels(self):
        """Number of parcels."""
        return self._manifest["n_parcels"]

    @property
    def lengths(self):
        """Number of timepoints of each recording."""
        return self._offsets.n_timepoints[self._selection]

    @property
    def dtype(self):
        """What values are kept as."""
        return DTYPES[self._manifest["dtype"]].newbyteorder("=")

    @property
    def nbytes(self):
        """Size of the values on disk in bytes."""
        return int(self.lengths.sum()) * self.n_parcels * self.dtype.itemsize

    @property
    def ids(self):
        """Name of each recording."""
        return [self._offsets.recording[i] for i in self._selection]

    @property
    def participants(self):
        """Table with one row a recording."""
        rows = self._frame("participants.tsv").iloc[self._selection]
        return rows.reset_index(drop=True)

    @property
    def parcels(self):
        """Table with one row a parcel, or None."""
        return self._frame("parcels.tsv").copy() if "parcels.tsv" in self._tables else None

    @property
    def parcel_coords(self):
        """MNI coordinates of the parcels in mm, or None."""
        parcels = self.parcels
        if parcels is None or not set(_COORDINATES) <= set(parcels.columns):
            return None
        coords = parcels[_COORDINATES].to_numpy(dtype=np.float64)
        return coords if np.isfinite(coords).all() else None

    @property
    def t_r(self):
        """Repetition time of each recording in seconds."""
        participants = self._frame("participants.tsv")
        if "tr_s" not in participants:
            return np.full(len(self), np.nan)
        return participants["tr_s"].to_numpy(dtype=np.float64)[self._selection]

    def verify(self):
        """Read every byte of the folder and compare it with what was written.

        Returns
        -------
        findings : list of StoreFinding
            What is wrong, in all of the folder, also where this is a store of some recordings;
            empty when nothing is.
        """
        return verify_store(self.path)

    def __len__(self):
        return len(self._selection)

    def __iter__(self):
        return (self._read(i) for i in self._selection)

    def __getitem__(self, key):
        if isinstance(key, tuple) and len(key) == 2 and key[1] is Ellipsis:
            key = key[0]  # scikit-learn asks for X[indices, ...]
        if isinstance(key, tuple):
            raise IndexError(
                f"A store has one axis, its recordings; got {len(key)} indices. For part of a "
                "recording, write store[i][timepoints]."
            )
        if isinstance(key, (list, range)) and not len(key):
            key = slice(0)
        selected = self._selection[key if isinstance(key, slice) else np.asarray(key)]
        if selected.ndim == 0:
            return self._read(selected)
        if selected.ndim != 1:
            raise IndexError(f"A store has one axis, its recordings; got {selected.ndim} axes.")
        some = object.__new__(type(self))
        vars(some).update(vars(self), _selection=selected)  # maps and tables are shared
        return some

    def __repr__(self):
        return (
            f"RecordingStore({str(self.path)!r}, n_recordings={len(self)}, "
            f"n_parcels={self.n_parcels}, dtype={self.dtype.name})"
        )

    def __getstate__(self):
        manifest = self._manifest["sha256"]
        return {"path": str(self.path), "selection": self._selection, "manifest": manifest}

    def __setstate__(self, state):
        self.__init__(state["path"])
        if self._manifest["sha256"] != state["manifest"]:
            raise StoreCorruptionError(
                f"{self.path} is another store than the one that was pickled: it was built anew. "
                "Open it again."
            )
        self._selection = state["selection"]

    def _read(self, index):
        """Return the recording of an index into the whole store."""
        offsets = self._offsets
        shard = int(offsets.shard[index])
        start = int(offsets.first_row[index])
        values = self._map(shard_name(shard))[start : start + int(offsets.n_timepoints[index])]
        scales = None
        if self._manifest["dtype"] == "int16":
            first = int(np.searchsorted(offsets.shard, shard))  # shards hold recordings in order
            scales = self._map(scales_name(shard))[index - first]
        if int(index) not in self._compared:
            self._compare(index, values, scales)
        return values if scales is None else StoredRecording(values, scales)

    def _compare(self, index, values, scales):
        """Compare the checksum of a recording, before its values are used for the first time."""
        found, expected = checksum(values, scales), int(self._offsets.crc32[index])
        if found != expected:
            shard = shard_name(int(self._offsets.shard[index]))
            raise StoreCorruptionError(
                f"{self._offsets.recording[index]} has changed in {self.path / shard}: its CRC-32 "
                f"is {found:08x}, expected {expected:08x}. `sklearn-brainlm store verify` lists "
                "all such recordings; restore the file, or add --repair and where it came from."
            )
        self._compared.add(int(index))

    def _map(self, name):
        """Return a memory map of one file of values, after a look at its size."""
        if name not in self._maps:
            path = self.path / name
            listed = self._manifest["arrays"][name]
            check_size(path, listed["bytes"])  # a map of a shorter file would kill the process
            dtype, shape = np.dtype(listed["dtype"]), tuple(listed["shape"])
            with open(path, "rb") as file:
                header = file.read(HEADER_BYTES)
            if header != npy_header(dtype, shape):
                raise StoreCorruptionError(
                    f"The header of {path} is not that of an array of {dtype} of shape {shape}. "
                    "Restore the file, or build the store anew."
                )
            mapped = np.memmap(path, dtype=dtype, mode="r", offset=HEADER_BYTES, shape=shape)
            # A plain view is cut four times as fast as a memmap; the memmap stays its base.
            self._maps[name] = mapped.view(np.ndarray)
        values = self._maps[name]
        check_mapped(values)
        return values

    def _frame(self, name):
        """Return a table as a DataFrame, read once."""
        if name not in self._frames:
            dtypes = self._manifest["columns"][name]
            self._frames[name] = parse_table(self._tables[name], dtypes)
        return self._frames[name]
