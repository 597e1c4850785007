"""Recordings from the files others write: NumPy, text, AFNI, CIFTI, GIFTI, BrainLM's Arrow.

A file is looked at before anything of it is used, and nothing in it is ever run.
"""

import re
from functools import partial
from pathlib import Path

from sklearn.utils import Bunch

from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.readers.arrays import read_npy
from sklearn_brainlm.readers.arrow import name_recordings, read_arrow
from sklearn_brainlm.readers.cifti import read_cifti
from sklearn_brainlm.readers.files import ReadRecording
from sklearn_brainlm.readers.gifti import read_gifti
from sklearn_brainlm.readers.text import SEPARATORS, read_text

__all__ = [
    "ReadRecording",
    "list_recordings",
    "read_arrow",
    "read_cifti",
    "read_dat",
    "read_gifti",
    "read_npy",
    "read_recording",
    "read_text",
]

_READERS = {
    ".npy": read_npy,
    ".npz": read_npy,
    ".ptseries.nii": read_cifti,
    ".dtseries.nii": read_cifti,
    **dict.fromkeys(SEPARATORS, read_text),
    **dict.fromkeys((f"{suffix}.gz" for suffix in SEPARATORS), read_text),
}
_COORDINATES = "A424_Coordinates.dat"  # lies among the recordings of the authors, and is none
_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)")


def read_recording(path, **how):
    r"""Read a recording of any kind of file.

    The end of its name says of which kind a file is. Nothing in it is run. The readers of one kind
    in ``sklearn_brainlm.readers`` (``read_npy``, ``read_text``, ``read_cifti``) also say t_r and
    the names of the parcels.

    Parameters
    ----------
    path : path
        ``.npy``, ``.npz``, ``.tsv``, ``.csv``, ``.1D``, ``.dat``, ``.txt`` (these five also with
        ``.gz``), ``.ptseries.nii`` or ``.dtseries.nii``.
    **how : dict
        What the reader of this kind takes: `n_parcels` (all), `parcels` ("columns" or "rows";
        text and NumPy), `key` (``.npz``), `labels_img` (``.dtseries.nii``).

    Returns
    -------
    ndarray of shape (n_timepoints, n_parcels)
        The recording alone.

    Raises
    ------
    InvalidRecordingError
        The file is of no kind that is read here, or not what its name says.
    AtlasMismatchError
        It has other parcels than it must have.
    UntrustedFileError
        Reading it would run code, or fill the memory.

    See Also
    --------
    list_recordings : The files of a folder, for a store.
    build_store : Writes recordings into a store.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sklearn_brainlm.readers import read_recording
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "rois.1D"
    ...     _ = path.write_text("# made by 3dROIstats\n0.5 1.25\n-2 0\n3 4\n")
    ...     read_recording(path, n_parcels=2)
    array([[ 0.5 ,  1.25],
           [-2.  ,  0.  ],
           [ 3.  ,  4.  ]])
    """
    name = Path(path).name
    for suffix, reader in _READERS.items():
        if name.endswith(suffix):
            return reader(path, **how).recording
    remedy = "Save the recording with numpy.save."
    if name.endswith((".nii", ".nii.gz")):
        remedy = "An image needs a masker, as NiftiLabelsMasker, or `sklearn-brainlm prepare`."
    elif name.endswith(".gii"):
        remedy = "Give both hemispheres and an atlas to read_gifti, or `sklearn-brainlm prepare`."
    raise InvalidRecordingError(
        f"{path} is of no kind that is read here: {', '.join(_READERS)}. {remedy}"
    )


def list_recordings(folder, pattern, **how):
    """List the recordings of a folder, one a file, for :func:`sklearn_brainlm.build_store`.

    Files are read only when the store is built, so that a folder may hold more than fits in memory.

    Parameters
    ----------
    folder : path
        The folder.
    pattern : str
        Which files: ``"*.1D"``, or ``"**/*.ptseries.nii"`` with folders below.
    **how : dict
        How each is read: see :func:`read_recording`.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        What :func:`sklearn_brainlm.build_store` takes: ``build_store(store, **found)``.

        - ``recordings`` : list of callables without arguments; each reads one recording
        - ``participants`` : :class:`pandas.DataFrame` with a row a file, in the order of their
          paths: ``participant_id`` (``sub-...`` where the path says so, otherwise the name of the
          file), ``recording`` (a name made of the path) and ``source`` (the path in the folder)

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    InvalidRecordingError
        No file of it has such a name.

    See Also
    --------
    build_store : Reads and stores what is listed.
    read_recording : Reads one file.
    prepare : Makes a store of what fMRIPrep wrote.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sklearn_brainlm.readers import list_recordings
    >>> with TemporaryDirectory() as folder:
    ...     for subject in ("01", "02"):
    ...         np.save(Path(folder) / f"sub-{subject}_task-rest.npy", np.ones((9, 3)))
    ...     found = list_recordings(folder, "*.npy", n_parcels=3)
    ...     shape = found.recordings[1]().shape
    >>> found.participants["participant_id"].tolist(), shape
    (['sub-01', 'sub-02'], (9, 3))
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder. Give the one of the recordings.")
    paths = sorted(path for path in folder.glob(pattern) if not path.is_dir())
    return _list_files(folder, paths, pattern, how)


def read_dat(path, n_parcels=424):
    r"""List recordings in the text files that BrainLM's toolkit writes, one ``.dat`` each.

    The toolkit writes recordings in the 424 parcels of the atlas A424, which the released weights
    were trained with. Files are read when the store is built.

    Parameters
    ----------
    path : path
        Folder of the files, or one file. ``A424_Coordinates.dat`` is left out.
    n_parcels : int, default=424
        Number of parcels, which are columns.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        What :func:`sklearn_brainlm.build_store` takes, as in :func:`list_recordings`.

    Raises
    ------
    FileNotFoundError
        There is no such folder or file.
    InvalidRecordingError
        It holds no recording.

    See Also
    --------
    build_store : Reads and stores what is listed.
    read_arrow : Recordings of the toolkit's datasets.
    list_recordings : Files of other kinds.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from sklearn_brainlm.readers import read_dat
    >>> with TemporaryDirectory() as folder:
    ...     np.savetxt(Path(folder) / "1000017_20227.dat", np.ones((9, 424)), delimiter="\t")
    ...     found = read_dat(folder)
    ...     shape = found.recordings[0]().shape
    >>> found.participants["recording"].tolist(), shape
    (['1000017_20227'], (9, 424))
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Give a folder of .dat files.")
    folder = path if path.is_dir() else path.parent
    paths = sorted(folder.glob("*.dat")) if path.is_dir() else [path]
    kept = [path for path in paths if path.name != _COORDINATES]
    return _list_files(folder, kept, "*.dat", {"n_parcels": n_parcels})


def _list_files(folder, paths, pattern, how):
    """List recordings and participants of some files of a folder."""
    import pandas as pd

    if not paths:
        raise InvalidRecordingError(f"{folder} holds no file {pattern}. Check folder and pattern.")
    sources = [path.relative_to(folder).as_posix() for path in paths]
    names = name_recordings([_drop_suffix(source) for source in sources])
    subjects = [_SUBJECT.search(source) for source in sources]
    people = [found[1] if found else name for found, name in zip(subjects, names, strict=True)]
    return Bunch(
        recordings=[partial(read_recording, path, **how) for path in paths],
        participants=pd.DataFrame(
            {"participant_id": people, "recording": names, "source": sources}
        ),
    )


def _drop_suffix(source):
    """Return the path of a file without the suffix of its kind."""
    for suffix in _READERS:
        if source.endswith(suffix):
            return source[: -len(suffix)]
    return source
