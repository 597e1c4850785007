"""The one writer of a store: rows into shards, progress into the journal, then the tables."""

import hashlib
import time

import numpy as np

from sklearn_brainlm._stored_values import DTYPES
from sklearn_brainlm._versions import OF_STORES, package_versions
from sklearn_brainlm.exceptions import StoreCorruptionError
from sklearn_brainlm.files.durable import fsync_folder, write_bytes_atomically
from sklearn_brainlm.storage.arrays import HEADER_BYTES, GrowingArray
from sklearn_brainlm.storage.files import JOURNAL, MANIFEST, pack_manifest, scales_name, shard_name
from sklearn_brainlm.storage.journal import Journal
from sklearn_brainlm.storage.tables import Offsets, write_table

__all__ = ["StoreWriter"]

_COMMIT_BYTES = 1 << 26  # what a kill may cost; each commit waits for the disk
_COMMIT_SECONDS = 5.0


class StoreWriter:
    """Write recordings one after another, so that a build that is killed can go on.

    Parameters
    ----------
    folder : Path
        The store, whose lock is held.
    plan : dict
        What is being built; a folder with the beginning of something else is refused.
    dtype : {"float32", "float16", "int16"}
        What values are kept as.
    shard_bytes : int
        A shard is closed before it grows beyond this; a recording is never split.

    Attributes
    ----------
    entries : list of dict
        What became of each recording so far, in order.
    n_parcels : int or None
        Number of parcels; None before the first recording.

    Raises
    ------
    StoreCorruptionError
        The folder holds less than its journal says, or the beginning of another store.

    Notes
    -----
    Rows reach the disk before the journal says so. After a kill, rows the journal does not know
    are cut off and written again: where a recording lies depends on those before it alone.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with StoreWriter(Path(folder), {}, "float32", 2**20) as writer:
    ...         writer.refuse("recording-000000", "It is all zero.")
    ...     with StoreWriter(Path(folder), {}, "float32", 2**20) as writer:
    ...         writer.entries[0]["reason"]
    'It is all zero.'
    """

    def __init__(self, folder, plan, dtype, shard_bytes):
        self.folder = folder
        self.dtype = dtype
        self.shard_bytes = shard_bytes
        self._plan = plan
        self._arrays = {}
        self._pending, self._pending_bytes, self._committed = [], 0, time.monotonic()
        self._journal = Journal(folder / JOURNAL)
        try:
            self._go_on()
        except BaseException:
            self._journal.__exit__()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        try:
            # Where the disk is full, or another process has the folder, it stays as it is.
            if kind is None or not issubclass(kind, OSError):
                self.commit()
        finally:
            for array in self._arrays.values():
                array.abandon()
            self._journal.__exit__()

    def add(self, recording, values, scales, crc, constant_parcels):
        """Write a recording.

        Parameters
        ----------
        recording : str
            Its id.
        values : array of shape (n_timepoints, n_parcels)
            What is written.
        scales : array of shape (2, n_parcels) or None
            What is written beside it.
        crc : int
            Checksum of both.
        constant_parcels : int
            Number of parcels that do not vary.
        """
        self.n_parcels = values.shape[1]
        row_bytes = values.itemsize * self.n_parcels
        if self._n_rows and (self._n_rows + len(values)) * row_bytes > self.shard_bytes:
            self._close_shard()
        if not self._arrays:
            self._open_shard(0, 0)
        self._arrays["shards"].append(values)
        if scales is not None:
            self._arrays["scales"].append(scales[None])
        entry = {
            "recording": recording,
            "shard": self._shard,
            "first_row": self._n_rows,
            "n_timepoints": len(values),
            "n_parcels": self.n_parcels,
            "crc32": crc,
            "constant_parcels": constant_parcels,
        }
        self._n_rows += len(values)
        self._note(entry, values.nbytes)

    def refuse(self, recording, reason):
        """Note that a recording was not written.

        Parameters
        ----------
        recording : str
            Its id.
        reason : str
            Why.
        """
        self._note({"recording": recording, "reason": reason}, 0)

    def commit(self):
        """Bring rows to the disk, then say so in the journal."""
        for array in self._arrays.values():
            array.sync()
        if self._pending:
            self._journal.write(self._pending)
        self._pending, self._pending_bytes, self._committed = [], 0, time.monotonic()

    def finish(self, participants, parcels):
        """Write the tables, then the manifest, and remove the journal.

        Parameters
        ----------
        participants : DataFrame
            One row a recording, of the refused ones too.
        parcels : DataFrame or None
            One row a parcel.
        """
        self._close_shard()
        stored = np.array(["reason" not in entry for entry in self.entries])
        kept = [entry for entry in self.entries if "reason" not in entry]
        offsets = _offsets(kept)
        tables = {"recordings.tsv": (offsets.to_tsv(), {})}
        tables["participants.tsv"] = write_table(participants[stored])
        if parcels is not None:
            tables["parcels.tsv"] = write_table(parcels)
        refused = participants.loc[~stored, ["participant_id", "recording"]]
        reasons = [entry["reason"] for entry in self.entries if "reason" in entry]
        refused = refused.assign(position=np.flatnonzero(~stored), reason=reasons)
        tables["quarantine.tsv"] = write_table(refused)
        manifest = {
            "dtype": self.dtype,
            "n_recordings": len(kept),
            "n_timepoints": int(offsets.n_timepoints.sum()),
            "n_parcels": self.n_parcels,
            "n_quarantined": len(reasons),
            "plan": self._plan,
            "tables": {
                name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                for name, (content, _) in tables.items()
            },
            "columns": {name: dtypes for name, (_, dtypes) in tables.items() if dtypes},
            "arrays": self._describe_arrays(offsets),
            "versions": package_versions(OF_STORES),
        }
        for name, (content, _) in tables.items():
            write_bytes_atomically(self.folder / name, content)
        fsync_folder(self.folder)
        write_bytes_atomically(self.folder / MANIFEST, pack_manifest(manifest))
        fsync_folder(self.folder)
        (self.folder / JOURNAL).unlink()

    def _note(self, entry, n_bytes):
        """Remember what became of a recording, and bring it to the disk now and then."""
        self.entries.append(entry)
        self._pending.append(entry)
        self._pending_bytes += n_bytes
        waited = time.monotonic() - self._committed
        if self._pending_bytes >= _COMMIT_BYTES or waited >= _COMMIT_SECONDS:
            self.commit()

    def _go_on(self):
        """Take up what the journal says was done, and remove what it does not know."""
        plan, *self.entries = self._journal.entries or [None]
        if plan is None:
            self._journal.write([self._plan])
            fsync_folder(self.folder)
        elif plan != self._plan:
            differ = sorted(key for key in self._plan if plan.get(key) != self._plan[key])
            raise StoreCorruptionError(
                f"{self.folder} holds the beginning of another store: {', '.join(differ)} differ. "
                "Give what it was begun with, or another folder."
            )
        kept = [entry for entry in self.entries if "reason" not in entry]
        last = kept[-1] if kept else {"shard": 0, "first_row": 0, "n_timepoints": 0}
        self._shard = last["shard"]
        self._n_rows = last["first_row"] + last["n_timepoints"]
        self.n_parcels = last.get("n_parcels")
        self._remove_unknown()
        if kept:
            n_here = sum(entry["shard"] == self._shard for entry in kept)
            self._open_shard(self._n_rows, n_here)

    def _remove_unknown(self):
        """Remove what was written after the last entry of the journal."""
        for kind in ("shards", "scales"):
            for path in (self.folder / kind).glob("*.npy"):
                if not self._n_rows or int(path.stem) > self._shard:
                    path.unlink()
        for path in self.folder.glob("*.part"):  # a table, when the kill came while it was written
            path.unlink()

    def _open_shard(self, n_rows, n_recordings):
        """Open the files of the current shard, cut to what the journal knows."""
        dtype = DTYPES[self.dtype]
        layouts = {"shards": (shard_name, dtype, (self.n_parcels,), n_rows)}
        if self.dtype == "int16":
            shape = (2, self.n_parcels)
            layouts["scales"] = (scales_name, DTYPES["float32"], shape, n_recordings)
        for kind, (name, kept_as, row_shape, n_kept) in layouts.items():
            (self.folder / kind).mkdir(exist_ok=True)
            path = self.folder / name(self._shard)
            try:
                self._arrays[kind] = GrowingArray(path, kept_as, row_shape, n_kept)
            except (FileNotFoundError, ValueError) as error:
                raise StoreCorruptionError(
                    f"{path} is shorter than the journal says ({error}). Remove {self.folder}, and "
                    "build the store anew."
                ) from error
            fsync_folder(self.folder / kind)

    def _close_shard(self):
        """Finish the current shard."""
        for array in self._arrays.values():
            array.close()
        self._arrays = {}
        self.commit()
        self._shard, self._n_rows = self._shard + 1, 0

    def _describe_arrays(self, offsets):
        """Say what each file of values has to be."""
        described = {}
        for shard in np.unique(offsets.shard):
            here = offsets.shard == shard
            n_rows = int(offsets.n_timepoints[here].sum())
            shapes = {shard_name(shard): (DTYPES[self.dtype], [n_rows, self.n_parcels])}
            if self.dtype == "int16":
                shape = [int(here.sum()), 2, self.n_parcels]
                shapes[scales_name(shard)] = (DTYPES["float32"], shape)
            for name, (dtype, shape) in shapes.items():
                n_bytes = HEADER_BYTES + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
                described[name] = {"bytes": n_bytes, "dtype": dtype.str, "shape": shape}
        return described


def _offsets(entries):
    """Put entries of the journal into the table of offsets."""
    names = ("shard", "first_row", "n_timepoints", "crc32", "constant_parcels")
    columns = [np.array([entry[name] for entry in entries], dtype=np.int64) for name in names]
    return Offsets([entry["recording"] for entry in entries], *columns)
