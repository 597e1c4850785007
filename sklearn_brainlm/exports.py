"""A store in the formats of others: an Arrow dataset, a zarr group."""

import json
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sklearn_brainlm.files.durable import fsync_folder

__all__ = ["export_arrow", "export_zarr"]

_CHUNK_BYTES = 1 << 22  # of a zarr array: what is read for one window is not much more


def export_arrow(store, path, *, column="Raw_Recording"):
    """Write a store as an Arrow dataset, as `datasets.load_from_disk` reads it.

    For the training code of BrainLM's authors, and whatever else reads datasets of Hugging Face.
    Recordings keep their units; nothing is scaled.

    Parameters
    ----------
    store : RecordingStore
        The recordings, all or some of a store.
    path : str or Path
        Folder to be made.
    column : str, default="Raw_Recording"
        Column of the recordings; this is where BrainLM's own code looks for them.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ImportError
        pyarrow is not installed.
    FileExistsError
        There is something at `path`.

    See Also
    --------
    read_arrow : Reads it again.
    export_zarr : Writes a zarr group instead.
    RecordingStore : What is written.

    Notes
    -----
    A recording is a list of timepoints, each a list of parcels; recordings of 16-bit codes become
    float32. The other columns are those of `store.participants`, of which BrainLM calls "recording"
    "Filename" and "participant_id" "Patient ID": both are there under both names. One recording at
    a time is in memory.

    Examples
    --------
    >>> from sklearn_brainlm import RecordingStore
    >>> from sklearn_brainlm.exports import export_arrow
    >>> export_arrow(RecordingStore("my_store"), "my_dataset")  # doctest: +SKIP
    """
    pyarrow = _import_extra("pyarrow.ipc")
    participants = store.participants
    participants["Filename"] = participants["recording"]
    participants["Patient ID"] = participants["participant_id"]
    participants = pyarrow.Table.from_pandas(participants, preserve_index=False)
    kind = pyarrow.from_numpy_dtype(_read_dtype(store))
    recordings = pyarrow.field(column, pyarrow.list_(pyarrow.list_(kind)))
    schema = pyarrow.schema([*participants.schema.remove_metadata(), recordings])
    with _made_whole(path) as folder:
        name = "data-00000-of-00001.arrow"
        with pyarrow.ipc.new_stream(str(folder / name), schema) as writer:
            for row, recording in enumerate(store):
                values = np.ascontiguousarray(recording)
                timepoints = pyarrow.ListArray.from_arrays(
                    np.arange(0, values.size + 1, values.shape[1], dtype=np.int32),
                    pyarrow.array(values.reshape(-1)),
                )
                cell = pyarrow.ListArray.from_arrays(
                    np.array([0, len(values)], dtype=np.int32), timepoints
                )
                beside = participants.slice(row, 1).combine_chunks()
                columns = [beside.column(i).combine_chunks() for i in range(beside.num_columns)]
                columns = [each.chunk(0) if hasattr(each, "chunk") else each for each in columns]
                writer.write_batch(pyarrow.record_batch([*columns, cell], schema=schema))
        state = {"_data_files": [{"filename": name}], "_fingerprint": secrets.token_hex(8)}
        state |= {"_format_columns": None, "_format_kwargs": {}, "_format_type": None}
        state |= {"_output_all_columns": False, "_split": None}
        (folder / "state.json").write_text(json.dumps(state, indent=2))
        (folder / "dataset_info.json").write_text(json.dumps({"description": "", "citation": ""}))
    return Path(path)


def export_zarr(store, path):
    """Write a store as a zarr group, with checksums.

    For software that reads zarr, in whatever language. Recordings keep their units; this package
    does not read the group again.

    Parameters
    ----------
    store : RecordingStore
        The recordings, all or some of a store.
    path : str or Path
        Folder to be made.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ImportError
        zarr is not installed.
    FileExistsError
        There is something at `path`.

    See Also
    --------
    export_arrow : Writes an Arrow dataset instead.
    RecordingStore : What is written.

    Notes
    -----
    The group holds the array "values" (timepoints of all recordings, n_parcels), the array
    "offsets" (n_recordings + 1,) and the attributes "recordings", "participants" and "parcels":
    recording i is ``values[offsets[i]:offsets[i + 1]]``. Chunks carry a CRC-32C, which zarr leaves
    out by itself, so a changed byte is an error; a chunk that is missing is read as zeros by zarr
    all the same. Recordings of 16-bit codes become float32.

    Examples
    --------
    >>> from sklearn_brainlm import RecordingStore
    >>> from sklearn_brainlm.exports import export_zarr
    >>> export_zarr(RecordingStore("my_store"), "my_store.zarr")  # doctest: +SKIP
    """
    zarr = _import_extra("zarr")
    from zarr.codecs import Crc32cCodec

    offsets = np.concatenate([[0], np.cumsum(store.lengths)])
    dtype = _read_dtype(store)
    n_rows = max(1, _CHUNK_BYTES // (store.n_parcels * dtype.itemsize))
    with _made_whole(path) as folder:
        group = zarr.create_group(str(folder))
        values = group.create_array(
            "values",
            shape=(int(offsets[-1]), store.n_parcels),
            chunks=(min(n_rows, int(offsets[-1])), store.n_parcels),
            dtype=dtype,
            compressors=[Crc32cCodec()],
        )
        # A chunk is written once, when all of its rows are there.
        waiting, start = [], 0
        for recording in store:
            waiting.append(np.asarray(recording))
            if sum(map(len, waiting)) >= n_rows:
                rows = np.concatenate(waiting)
                n_whole = len(rows) - len(rows) % n_rows
                values[start : start + n_whole] = rows[:n_whole]
                waiting, start = [rows[n_whole:]], start + n_whole
        if waiting and len(rest := np.concatenate(waiting)):
            values[start:] = rest
        group.create_array("offsets", data=offsets, compressors=[Crc32cCodec()])
        group.attrs["recordings"] = store.ids
        group.attrs["participants"] = _to_columns(store.participants)
        if store.parcels is not None:
            group.attrs["parcels"] = _to_columns(store.parcels)
    return Path(path)


def _import_extra(name):
    """Import a module of a package of the extra "bigdata", and return the package."""
    try:
        return __import__(name)
    except ImportError as error:
        raise ImportError(
            f"{name.partition('.')[0]} is needed to export a store: "
            "pip install 'sklearn-brainlm[bigdata]'."
        ) from error


def _read_dtype(store):
    """Return the dtype in which recordings of a store are read."""
    return np.dtype(np.float32) if store.dtype == np.int16 else store.dtype


def _to_columns(table):
    """Return a table as what JSON can hold; missing values are None."""
    return {
        name: [None if missing else value for value, missing in zip(column, gone, strict=True)]
        for (name, column), gone in zip(
            table.to_dict("list").items(), table.isna().to_numpy().T, strict=True
        )
    }


@contextmanager
def _made_whole(path):
    """Make a folder under another name, and give it its own once all is in it."""
    path = Path(path).absolute()
    if path.exists():
        raise FileExistsError(f"{path} is there already. Give a new folder.")
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    beside.mkdir(parents=True)
    try:
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                with open(file, "rb") as opened:
                    os.fsync(opened.fileno())
        os.replace(beside, path)
        fsync_folder(path.parent)
    except BaseException:
        shutil.rmtree(beside)
        raise
