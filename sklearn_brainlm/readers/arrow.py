"""The Arrow datasets that the authors of BrainLM train on, without the library that wrote them."""

import re
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from sklearn_brainlm.exceptions import AtlasMismatchError, CheckpointError, InvalidRecordingError
from sklearn_brainlm.files.checked import read_json, shown
from sklearn_brainlm.readers.files import as_read_recording, check_file

__all__ = ["name_recordings", "read_arrow"]

_UNSAFE = re.compile(r"[^A-Za-z0-9_.\-]+")
_SHARD_NAME = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*\.arrow")


def read_arrow(path, *, column="Raw_Recording", n_parcels=424, parcels="auto"):
    """Find the recordings of an Arrow dataset, as BrainLM's toolkit and `datasets` write them.

    The released code trains on such datasets. Recordings are found by this call, and read when a
    store is built.

    Parameters
    ----------
    path : path
        Folder of a dataset that was saved by ``Dataset.save_to_disk``, or one of its ``.arrow``
        files.
    column : str, default="Raw_Recording"
        Column of recordings. The others of the toolkit are scaled by numbers that belong to
        somebody else's recordings.
    n_parcels : int, default=424
        Number of parcels.
    parcels : {"auto", "columns", "rows"}, default="auto"
        Where the parcels are. The authors wrote them in columns for UK Biobank and in rows in the
        toolkit; "auto" takes the side that is `n_parcels` long.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        What :func:`sklearn_brainlm.build_store` takes: ``build_store(store, **found)``.

        - ``recordings`` : list of callables without arguments; each reads one recording of shape
          (n_timepoints, n_parcels)
        - ``participants`` : :class:`pandas.DataFrame`, one row a recording: ``participant_id``,
          ``recording`` and the columns of the dataset that hold one value a row

    Raises
    ------
    ImportError
        pyarrow is not installed.
    InvalidRecordingError
        The folder holds no dataset, a file of it is missing or damaged, or there is no such
        column.
    AtlasMismatchError
        A recording, when it is read, has another number of parcels.

    See Also
    --------
    build_store : Reads and stores what is found.
    export_arrow : Writes such a dataset.
    read_dat : Recordings of the toolkit in text files.

    Notes
    -----
    ``participant_id`` is the column "Patient ID", or where that says nothing (the toolkit leaves
    it empty) the name of the file the recording was made from.

    Examples
    --------
    >>> from sklearn_brainlm import build_store  # doctest: +SKIP
    >>> from sklearn_brainlm.readers import read_arrow
    >>> found = read_arrow("train_ukbiobank1000")  # doctest: +SKIP
    >>> store = build_store("ukb_store", **found)  # doctest: +SKIP
    """
    import pandas as pd

    if parcels not in ("auto", "columns", "rows"):
        raise InvalidRecordingError(
            f"parcels must be 'auto', 'columns' or 'rows', got {parcels!r}."
        )
    recordings, tables = [], []
    for shard in _list_shards(Path(path)):
        table = _open_shard(shard)
        if column not in table.column_names:
            raise InvalidRecordingError(
                f"{shard} has no column {column!r}; it has {shown(table.column_names)}. Pass "
                "column=."
            )
        recordings += [
            partial(_read_row, shard, row, column, n_parcels, parcels)
            for row in range(table.num_rows)
        ]
        tables.append(pd.DataFrame(_read_columns(shard, table), index=range(table.num_rows)))
    if not recordings:
        raise InvalidRecordingError(f"{path} holds no recording. Give the folder of one split.")
    return Bunch(recordings=recordings, participants=_name_people(pd.concat(tables)))


def name_recordings(names):
    """Make names that are safe in paths and tables, each used once.

    Parameters
    ----------
    names : list of str
        Names of files, perhaps hostile ones.

    Returns
    -------
    names : list of str
        Letters, digits, ``_``, ``-`` and ``.`` only; a number is added to a name that was used.
    """
    used, counts = [], {}
    taken = set()
    for name in names:
        safe = _UNSAFE.sub("_", name).lstrip(".") or "recording"
        unique = safe
        while unique in taken:
            counts[safe] = counts.get(safe, 1) + 1
            unique = f"{safe}-{counts[safe]}"
        taken.add(unique)
        used.append(unique)
    return used


def _list_shards(path):
    """Files of a dataset, in its order."""
    if path.suffix == ".arrow":
        return [check_file(path)[0]]
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder. Give that of an Arrow dataset.")
    try:
        state = read_json(path / "state.json")
        names = [entry["filename"] for entry in state["_data_files"]]
    except (CheckpointError, KeyError, TypeError):  # older versions of `datasets` wrote none
        names = sorted(file.name for file in path.glob("*.arrow"))
    if not names:
        splits = sorted(file.parent.name for file in path.glob("*/*.arrow"))
        hint = f" It has the splits {shown(splits)}: give one of them." if splits else ""
        raise InvalidRecordingError(f"{path} holds no Arrow dataset.{hint}")
    wrong = [str(n) for n in names if not isinstance(n, str) or not _SHARD_NAME.fullmatch(n)]
    if wrong:
        raise InvalidRecordingError(
            f"{path / 'state.json'} names {shown(wrong)}, which are no files of this folder. Copy "
            "the dataset again."
        )
    return [check_file(path / name)[0] for name in names]


def _open_shard(shard):
    """Map an .arrow file into memory; nothing but its outline is read."""
    pyarrow = _import_pyarrow()
    try:
        mapped = pyarrow.memory_map(str(shard))
        with mapped:
            begin = mapped.read(6)
            mapped.seek(0)
            # `datasets` writes the streaming format; other tools the one with an index at its end.
            opened = (
                pyarrow.ipc.open_file(mapped)
                if begin == b"ARROW1"
                else pyarrow.ipc.open_stream(mapped)
            )
            table = opened.read_all()
            table.column_names  # noqa: B018  decoded only now: they may be no text
            return table
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InvalidRecordingError(
            f"{shard} is not an Arrow file, or truncated ({error}). Copy it again."
        ) from error


def _read_columns(shard, table):
    """Columns with one value a row, by name."""
    pyarrow = _import_pyarrow()
    single = table.select([field.name for field in table.schema if _is_single(field.type)])
    try:
        single.validate(full=True)
        return single.to_pydict()
    except (pyarrow.ArrowException, ValueError) as error:  # also text that is not UTF-8
        raise InvalidRecordingError(f"{shard} is damaged ({error}). Copy it again.") from error


def _import_pyarrow():
    """Import pyarrow, which is an extra."""
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise ImportError(
            "Arrow datasets are read with pyarrow: pip install 'sklearn-brainlm[bigdata]'."
        ) from error
    return pyarrow


def _is_single(kind):
    """Say whether a column holds one value a row."""
    types = _import_pyarrow().types
    return any(
        is_kind(kind)
        for is_kind in (
            types.is_integer,
            types.is_floating,
            types.is_boolean,
            types.is_string,
            types.is_large_string,
        )
    )


def _name_people(table):
    """Participants of a dataset: whose each recording is, and its name."""
    import pandas as pd

    table = table.reset_index(drop=True)
    numbered = pd.Series([f"row-{i:06d}" for i in range(len(table))])
    files = table["Filename"].fillna(numbered).astype(str) if "Filename" in table else numbered
    stems = files.str.replace(r"\.dat.*$", "", regex=True)
    people = table["Patient ID"].fillna("").astype(str) if "Patient ID" in table else stems
    is_named = ~people.str.strip(" _.").isin(["", "rs", "tf", "nan", "None"])  # as upstream cuts it
    rest = table.drop(columns=["participant_id", "recording"], errors="ignore")
    rest.insert(0, "participant_id", people.where(is_named, stems))
    rest.insert(1, "recording", name_recordings(stems.tolist()))
    return rest


def _read_row(shard, row, column, n_parcels, parcels):
    """One recording of a file, turned so that parcels are its columns."""
    pyarrow = _import_pyarrow()
    where = f"{shard}, row {row}"
    cell = _open_shard(shard).column(column).slice(row, 1)
    try:
        cell.validate(full=True)  # what a hostile file says of its lists may lead outside it
        lines = cell.chunk(0).flatten()
        lengths = np.diff(lines.offsets.to_numpy()) if hasattr(lines, "offsets") else np.empty(0)
        values = lines.flatten().to_numpy(zero_copy_only=False)
    except (pyarrow.ArrowException, AttributeError, ValueError, IndexError) as error:
        raise InvalidRecordingError(
            f"{where}: {column} holds no table ({error}). Pass column=, the one of recordings."
        ) from error
    if not len(lengths) or np.ptp(lengths) or not lengths[0]:
        raise InvalidRecordingError(f"{where}: {column} is not a table with lines of one length.")
    values = values.reshape(len(lengths), -1)
    if parcels == "auto":
        parcels = _find_side(values.shape, n_parcels, where)
    return as_read_recording(values, where, parcels=parcels, n_parcels=n_parcels).recording


def _find_side(shape, n_parcels, where):
    """Say on which side the parcels are."""
    if shape[0] == shape[1] == n_parcels:
        raise InvalidRecordingError(
            f"{where} has shape {shape}: both sides could be parcels. Pass parcels='columns' or "
            "parcels='rows'."
        )
    if n_parcels not in shape:
        raise AtlasMismatchError(
            f"{where} has shape {shape}; neither side has {n_parcels} parcels. Pass n_parcels=."
        )
    return "columns" if shape[1] == n_parcels else "rows"
