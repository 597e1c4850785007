"""A folder of recordings with its tables, as a Bunch."""

import re
from pathlib import Path
from tokenize import TokenError

import numpy as np
from sklearn.utils import Bunch

from sklearn_brainlm.exceptions import InvalidRecordingError

# No separators and no leading dot: a table must not reach outside its folder.
_NAME = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_.\-]*")
_COORDINATES = ["x", "y", "z"]
# Read as text whatever they look like: "007" is a name.
_TEXT_COLUMNS = ["participant_id", "recording", "label", "sex", "group", "site", "atlas"]


def load_recordings_folder(path, *, atlas=None):
    r"""Open a folder of recordings: one ``.npy`` file each, and two tables.

    The simplest form for recordings of one's own; the commands and the benchmarks read it.
    Recordings stay on disk until they are used, in the dtype they were saved in.

    Parameters
    ----------
    path : path
        Folder with ``participants.tsv`` (one row a recording, columns ``participant_id`` and
        ``recording``, and where known ``tr_s``, ``n_timepoints``, ``age``, ``sex``, ``group``,
        ``site``), ``parcels.tsv`` (one row a column of the recordings, columns ``index`` and
        ``label``, and where known ``x``, ``y``, ``z`` in MNI mm) and the recordings, arrays of
        shape (n_timepoints, n_parcels). ``n/a`` is a missing value.
    atlas : str or None, default=None
        For a folder that holds several atlases: keep the recordings whose ``atlas`` column says
        this, with the parcels of ``parcels_<atlas>.tsv``.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        - ``recordings`` : list of memory maps of shape (n_timepoints, n_parcels), read-only
        - ``participants`` : :class:`pandas.DataFrame`, one row a recording, in the same order
        - ``parcels`` : :class:`pandas.DataFrame`, one row a parcel
        - ``parcel_coords`` : array of shape (n_parcels, 3), MNI mm, or None where any is missing
        - ``t_r`` : array of shape (n_recordings,), seconds, NaN where missing
        - ``n_parcels`` : int

    Raises
    ------
    FileNotFoundError
        If the folder, a table or a recording is missing.
    InvalidRecordingError
        If a table or a recording does not say what it should. The message names the file.

    See Also
    --------
    read_folder_tables : The tables alone.
    sklearn_brainlm.build_store : Writes recordings into a store, with checksums.

    Notes
    -----
    Arrays of objects are refused, because reading them would run code.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from sklearn_brainlm.datasets import load_recordings_folder
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "sub-1.npy", np.ones((100, 2), dtype=np.float32))
    >>> lines = ["participant_id\trecording\ttr_s", "sub-1\tsub-1.npy\t2.0"]
    >>> written = (folder / "participants.tsv").write_text("\n".join(lines))
    >>> written = (folder / "parcels.tsv").write_text("index\tlabel\n0\tleft\n1\tright")
    >>> opened = load_recordings_folder(folder)
    >>> opened.recordings[0].shape, list(opened.parcels["label"])
    ((100, 2), ['left', 'right'])
    """
    path = Path(path)
    participants, parcels = read_folder_tables(path, atlas=atlas)
    parcels_file = _parcels_file(path, atlas)
    recordings = [
        _open_recording(path, row, parcels_file, len(parcels))
        for row in participants.to_dict("records")
    ]
    return Bunch(
        recordings=recordings,
        participants=participants,
        parcels=parcels,
        parcel_coords=_read_coords(parcels, parcels_file),
        t_r=_read_t_r(participants, path / "participants.tsv"),
        n_parcels=len(parcels),
    )


def read_folder_tables(path, *, atlas=None):
    r"""Read the tables of a folder of recordings, and none of the recordings.

    For recordings in files of other kinds, such as text or CIFTI: the tables say whose they are,
    and which parcels they have.

    Parameters
    ----------
    path : path
        Folder, see :func:`load_recordings_folder`; the recordings may be files of any kind.
    atlas : str or None, default=None
        For a folder that holds several atlases, the one to take.

    Returns
    -------
    participants : :class:`pandas.DataFrame`
        One row a recording, whose ``recording`` names a file in this folder and nowhere else.
    parcels : :class:`pandas.DataFrame`
        One row a parcel.

    Raises
    ------
    FileNotFoundError
        If the folder or a table is missing.
    InvalidRecordingError
        If a table does not say what it should. The message names the file.

    See Also
    --------
    load_recordings_folder : Opens the recordings, too.
    sklearn_brainlm.read_recording : Reads a file of another kind.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from sklearn_brainlm.datasets import read_folder_tables
    >>> folder = Path(tempfile.mkdtemp())
    >>> np.save(folder / "sub-1.npy", np.ones((100, 2), dtype=np.float32))
    >>> lines = ["participant_id\trecording\ttr_s", "sub-1\tsub-1.npy\t2.0"]
    >>> written = (folder / "participants.tsv").write_text("\n".join(lines))
    >>> written = (folder / "parcels.tsv").write_text("index\tlabel\n0\tleft\n1\tright")
    >>> participants, parcels = read_folder_tables(folder)
    >>> len(participants), len(parcels)
    (1, 2)
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder. Pass the folder of participants.tsv.")
    participants = _read_participants(path / "participants.tsv", atlas)
    for row in participants.to_dict("records"):
        _check_file_name(path, row)
    parcels_file = _parcels_file(path, atlas)
    parcels = _read_table(parcels_file, ["index", "label"])
    if list(parcels["index"]) != list(range(len(parcels))):
        raise InvalidRecordingError(
            f"{parcels_file}: column 'index' must count the columns of the recordings, 0 to "
            f"{len(parcels) - 1} in order. Sort the rows and number them so."
        )
    return participants, parcels


def _parcels_file(path, atlas):
    """Path of the table of parcels."""
    return path / ("parcels.tsv" if atlas is None else f"parcels_{atlas}.tsv")


def _check_file_name(folder, row):
    """Refuse a name that could reach outside the folder."""
    name = row["recording"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRecordingError(
            f"{folder / 'participants.tsv'}: recording {name!r} of {row['participant_id']} is not "
            "the name of a file in this folder. Use letters, digits, '-', '_' and '.', no "
            "separators and no leading dot."
        )


def _read_table(file, required):
    """Read a tab-separated table that must have the required columns and a row."""
    import pandas as pd  # with nilearn; not needed to import this module

    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist. A folder of recordings needs one.")
    try:
        table = pd.read_csv(
            file,
            sep="\t",
            # "None" or "NA" may be a group or a site; only these two are missing values.
            keep_default_na=False,
            na_values=["n/a", ""],
            dtype=dict.fromkeys(_TEXT_COLUMNS, object),
        )
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise InvalidRecordingError(
            f"{file} cannot be read as a tab-separated table ({error}). Save it as UTF-8 text "
            "with tabs between columns."
        ) from error
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise InvalidRecordingError(
            f"{file} has no column {missing}; it has {list(table.columns)}. "
            "Columns are separated by tabs."
        )
    if table.empty:
        raise InvalidRecordingError(f"{file} has no rows. Write one row each.")
    return table


def _read_participants(file, atlas):
    """Rows of participants.tsv, those of one atlas when asked for."""
    participants = _read_table(file, ["participant_id", "recording"])
    if atlas is None:
        if "atlas" in participants and participants["atlas"].nunique() > 1:
            names = sorted(participants["atlas"].dropna().unique())
            raise InvalidRecordingError(
                f"{file} lists several atlases. Pass atlas=, one of {names}."
            )
        return participants
    if not _NAME.fullmatch(atlas):
        raise InvalidRecordingError(
            f"atlas={atlas!r} is not a name of letters, digits, '-', '_' and '.'."
        )
    if "atlas" not in participants:
        raise InvalidRecordingError(f"{file} has no column 'atlas'. Leave out atlas={atlas!r}.")
    kept = participants[participants["atlas"] == atlas].reset_index(drop=True)
    if kept.empty:
        names = sorted(participants["atlas"].dropna().unique())
        raise InvalidRecordingError(f"{file} has no recording of atlas {atlas!r}, only {names}.")
    return kept


def _open_recording(folder, row, parcels_file, n_parcels):
    """Memory map of the recording of one row, its shape checked against both tables."""
    name = row["recording"]
    if not name.endswith(".npy"):
        raise InvalidRecordingError(
            f"{folder / 'participants.tsv'}: recording {name!r} of {row['participant_id']} is not "
            "the name of an .npy file. Read other files with sklearn_brainlm.readers, or make a "
            "store of them."
        )
    file = folder / name
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} does not exist, but participants.tsv lists it. Copy the file there or remove "
            "the row."
        )
    try:
        recording = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError, SyntaxError, TokenError) as error:
        raise InvalidRecordingError(
            f"{file} cannot be opened as an array ({error}). Save it again with numpy.save, as "
            "numbers."
        ) from error
    if recording.ndim != 2 or recording.shape[1] != n_parcels:
        transposed = recording.ndim == 2 and recording.shape[0] == n_parcels
        remedy = (
            "It looks transposed: save its transpose."
            if transposed
            else ("Save (n_timepoints, n_parcels) arrays, or the parcels.tsv they were made with.")
        )
        raise InvalidRecordingError(
            f"{file} has shape {recording.shape}; {parcels_file.name} lists {n_parcels} parcels, "
            f"so (n_timepoints, {n_parcels}) was expected. {remedy}"
        )
    listed = row.get("n_timepoints")
    if listed is not None and listed == listed and listed != len(recording):
        raise InvalidRecordingError(
            f"{file} has {len(recording)} timepoints, but participants.tsv says {listed}. Correct "
            "n_timepoints, or copy the file again."
        )
    return recording


def _read_coords(parcels, parcels_file):
    """Coordinates (P, 3) in mm, or None when a column or a value is missing."""
    if not set(_COORDINATES) <= set(parcels.columns):
        return None
    try:
        coords = parcels[_COORDINATES].to_numpy(dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidRecordingError(
            f"{parcels_file}: columns x, y, z must be numbers in mm or n/a ({error})."
        ) from error
    return coords if np.isfinite(coords).all() else None


def _read_t_r(participants, file):
    """Repetition times (n_recordings,) in seconds, NaN where missing."""
    if "tr_s" not in participants:
        return np.full(len(participants), np.nan)
    try:
        t_r = participants["tr_s"].to_numpy(dtype=float)
    except (TypeError, ValueError) as error:
        raise InvalidRecordingError(
            f"{file}: column tr_s must be numbers in seconds or n/a ({error})."
        ) from error
    wrong = np.flatnonzero(~np.isnan(t_r) & ~((t_r > 0) & (t_r <= 60)))
    if len(wrong):
        raise InvalidRecordingError(
            f"{file}: tr_s of {participants['participant_id'][wrong[0]]} is {t_r[wrong[0]]:g}; it "
            "must be in seconds, above 0 and at most 60. Divide milliseconds by 1000."
        )
    return t_r
