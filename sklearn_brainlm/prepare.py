"""Runs that fMRIPrep preprocessed, made into a store of recordings."""

import hashlib
import json
import shutil
from functools import partial
from importlib.metadata import version
from pathlib import Path

from sklearn.utils import Bunch

from sklearn_brainlm._callable_modules import make_callable
from sklearn_brainlm._jobs import run_jobs
from sklearn_brainlm._validation import check_t_r
from sklearn_brainlm.exceptions import CheckpointError, InvalidRecordingError
from sklearn_brainlm.files.checked import read_json
from sklearn_brainlm.files.durable import write_bytes_atomically
from sklearn_brainlm.preparation.atlas_images import load_atlas
from sklearn_brainlm.preparation.bids_runs import find_runs
from sklearn_brainlm.preparation.extraction import Extraction
from sklearn_brainlm.preparation.prepared_runs import (
    load_prepared,
    prepare_run,
    read_outcome,
    refuse_prepared,
)
from sklearn_brainlm.preparation.prepared_tables import add_people, list_runs, name_parcels
from sklearn_brainlm.store import RecordingStore
from sklearn_brainlm.store_building import build_store

__all__ = ["prepare"]

STRATEGY = ("motion", "high_pass", "wm_csf", "scrub")


def prepare(
    fmriprep_dir,
    store,
    *,
    labels_img,
    parcels=None,
    participants=None,
    participant_label=None,
    task=None,
    space=None,
    resolution=None,
    strategy=STRATEGY,
    confounds_params=None,
    scrubbed="keep",
    standardize=None,
    low_pass=None,
    high_pass=None,
    t_r=None,
    min_coverage=0.5,
    dtype="float32",
    work_dir=None,
    n_jobs=None,
    verbose=0,
):
    """Make a store of recordings of the runs that fMRIPrep preprocessed.

    Confounds are regressed out of preprocessed images, voxels averaged within the parcels of an
    atlas, and runs that cannot be used are listed with the reason. What is stored is what
    estimators take as X.

    Parameters
    ----------
    fmriprep_dir : path
        Folder of derivatives, with ``sub-*`` in it.
    store : path
        Folder of the store. Logs go beside it, into ``<store>.logs``.
    labels_img : path, 3-D Niimg-like object or tuple of two paths
        The atlas, one number a parcel, in the space of the images. With a path that ends in
        ``.dlabel.nii`` grayordinates are read (``*_bold.dtseries.nii``) instead of voxels; with two
        paths, ``.label.gii`` or FreeSurfer's ``.annot`` of the left and right hemisphere, the
        vertices of both (``*_hemi-L_*_bold.func.gii``), as
        :func:`~sklearn_brainlm.readers.read_gifti` does.
    parcels : DataFrame or None, default=None
        One row a parcel, in the ascending order of the labels: ``label``, its name, and where
        known ``x``, ``y``, ``z`` in MNI mm. None names parcels by their number.
    participants : DataFrame or None, default=None
        Columns that the store shall know of people, by ``participant_id`` (``sub-01``).
    participant_label : list of str or None, default=None
        Subjects, with or without ``sub-``. None takes all.
    task, space, resolution : str or None, default=None
        Entities of the images. None takes all tasks, and the only space and resolution there are;
        where there are several, the message lists them.
    strategy : tuple of str or None
        What :func:`nilearn.interfaces.fmriprep.load_confounds` loads. None removes nothing and
        marks nothing.
    confounds_params : dict or None, default=None
        Its further arguments, as ``{"motion": "basic", "fd_threshold": 0.2}``.
    scrubbed : {"keep", "drop"}, default="keep"
        Whether timepoints that scrubbing marks stay in the recording; see Notes.
    standardize : {"zscore_sample", "psc"} or None, default=None
        As in :class:`nilearn.maskers.NiftiLabelsMasker`. None keeps the units of the image, which
        a :class:`~sklearn_brainlm.RecordingScaler` is fitted to later.
    low_pass, high_pass : float or None, default=None
        Cut-off frequencies in Hz.
    t_r : float or None, default=None
        Seconds between timepoints of every run, where sidecars and headers do not say.
    min_coverage : float, default=0.5
        Share of the voxels or vertices of each label that must have signal, from 0 to 1.
    dtype : {"float32", "float16", "int16"}, default="float32"
        Of the store.
    work_dir : path or None, default=None
        Where recordings lie until the store is built; None takes ``<store>.work``, which is removed
        then. Needs the size of the recordings.
    n_jobs : int or None, default=None
        Processes, as in joblib. None is one, or what :func:`joblib.parallel_config` says: with
        its dask backend, the workers of a cluster.
    verbose : int, default=0
        Whether a terminal shows progress.

    Returns
    -------
    :class:`sklearn.utils.Bunch`
        - ``store`` : the :class:`~sklearn_brainlm.RecordingStore`
        - ``outcomes`` : :class:`pandas.DataFrame`, one row a run: ``recording``,
          ``participant_id``, ``source``, ``n_volumes``, ``n_scrubbed``, ``tr_s``, ``stored`` and
          the ``reason`` why it is not

    Raises
    ------
    FileNotFoundError
        There is no such folder, subject or run.
    InvalidRecordingError
        An argument is wrong, a run has several images, or none can be prepared.
    AtlasMismatchError
        The atlas and the table of its parcels do not fit.
    FileExistsError
        The folder holds another store.

    Warns
    -----
    DataQualityWarning
        Some runs are not in the store; ``quarantine.tsv`` says why.

    See Also
    --------
    build_store : A store of recordings that are arrays already.
    list_recordings : Recordings in files of other kinds.

    Notes
    -----
    A run that is damaged, has no confounds, contradicts its sidecar, or whose field of view loses a
    label goes to quarantine with the reason, and the others go on. Columns of the recordings are
    always all labels of the atlas, ascending: a label that is lost is never a missing column.

    Made again after a kill, a call goes on where it was, and reads again what has changed; made
    again after it was done, it opens the store.

    Scrubbing marks timepoints with motion, and the first ones before the steady state. They are
    kept by default, because models here need timepoints that are evenly spaced. The columns
    ``n_scrubbed`` and ``scrubbed_timepoints`` of ``store.participants`` and ``KeptTimepoints`` in
    ``<store>.logs/<run>.json`` say which they are. With "drop" nilearn leaves them out, of the
    regression of confounds too, and the recording has gaps in time.

    A parcel is the mean of those of its voxels that have signal. The checksum of every compressed
    image is verified.

    Examples
    --------
    >>> from sklearn_brainlm import prepare
    >>> prepared = prepare(
    ...     "derivatives/fmriprep", "my_store", labels_img="A424+2mm.nii.gz", n_jobs=4
    ... )  # doctest: +SKIP
    >>> prepared.store.shape, prepared.outcomes["stored"].sum()  # doctest: +SKIP
    ((61038,), 61038)
    """
    if scrubbed not in ("keep", "drop"):
        raise InvalidRecordingError(f"scrubbed must be 'keep' or 'drop', got {scrubbed!r}.")
    if not 0 <= min_coverage <= 1:
        raise InvalidRecordingError(f"min_coverage must be from 0 to 1, got {min_coverage}.")
    names = None if parcels is None else [str(label) for label in parcels["label"]]
    extraction = Extraction(
        atlas=load_atlas(labels_img, names),
        strategy=tuple(strategy) if strategy else None,
        confounds_params=dict(confounds_params or {}),
        scrubbed=scrubbed,
        standardize=standardize,
        low_pass=low_pass,
        high_pass=high_pass,
        t_r=check_t_r(t_r),
        min_coverage=min_coverage,
    )
    fmriprep_dir, store = Path(fmriprep_dir).absolute(), Path(store).absolute()
    runs = find_runs(
        fmriprep_dir,
        extraction.atlas.kind,
        participant_label=participant_label,
        task=task,
        space=space,
        resolution=resolution,
    )
    log_dir = store.with_name(store.name + ".logs")
    own_work_dir = store.with_name(store.name + ".work")
    work_dir = own_work_dir if work_dir is None else Path(work_dir).absolute()
    request = _describe_request(extraction, runs, dtype, parcels, participants)
    if _is_finished(log_dir, request):
        outcomes = [read_outcome(run.name, log_dir) or {} for run in runs]
        opened = RecordingStore(store)
    else:
        for folder in (log_dir, work_dir):
            folder.mkdir(parents=True, exist_ok=True)
        outcomes = _prepare_all(runs, extraction, work_dir, log_dir, n_jobs, verbose)
        table = list_runs(runs, outcomes, fmriprep_dir)
        opened = build_store(
            store,
            [_source(work_dir, run, outcome) for run, outcome in zip(runs, outcomes, strict=True)],
            participants=add_people(table, participants),
            parcels=name_parcels(extraction.atlas, parcels),
            t_r=table["tr_s"].to_numpy(dtype="float64"),
            dtype=dtype,
        )
        content = request | {"fmriprep_dir": str(fmriprep_dir), "how": extraction.describe()}
        content["versions"] = {name: version(name) for name in ("nibabel", "nilearn", "numpy")}
        write_bytes_atomically(log_dir / "prepare.json", json.dumps(content, indent=1).encode())
        if work_dir == own_work_dir:
            shutil.rmtree(work_dir)
    table = list_runs(runs, outcomes, fmriprep_dir)
    table["stored"] = table["recording"].isin(opened.ids)
    table["reason"] = [outcome.get("Reason") for outcome in outcomes]
    return Bunch(store=opened, outcomes=table)


def _describe_request(extraction, runs, dtype, parcels, participants):
    """Return what a call asks for, to compare with that of the call that built a store."""
    tables = ["" if t is None else t.to_csv(sep="\t") for t in (parcels, participants)]
    return {
        "settings": extraction.digest,
        "runs": [run.name for run in runs],
        "dtype": dtype,
        "tables": hashlib.sha256("\n".join(tables).encode()).hexdigest(),
    }


def _is_finished(log_dir, request):
    """Say whether a store was built of this; raise if one was built of something else."""
    if not (log_dir / "prepare.json").is_file():
        return False
    try:
        found = read_json(log_dir / "prepare.json", max_bytes=1 << 28)
    except CheckpointError:
        return False
    differ = [key for key in request if found.get(key) != request[key]]
    if differ:
        raise FileExistsError(
            f"{log_dir} is of a store that was prepared otherwise: {', '.join(differ)} differ. "
            "Give another folder for the store."
        )
    return True


def _prepare_all(runs, extraction, work_dir, log_dir, n_jobs, verbose):
    """Outcome of each run; several at a time, shown in a terminal."""
    from tqdm import tqdm

    calls = [(run, extraction, work_dir, log_dir) for run in runs]
    finished = run_jobs(prepare_run, calls, n_jobs=n_jobs, shared=(1,))  # the atlas is large
    # disable=None hides the bar where the standard error is no terminal.
    return list(tqdm(finished, total=len(runs), unit="run", disable=None if verbose else True))


def _source(work_dir, run, outcome):
    """Return what reads a recording, or raises the reason why there is none."""
    if outcome.get("Reason") is not None:
        return partial(refuse_prepared, outcome.get("Error"), outcome["Reason"])
    return partial(load_prepared, work_dir / f"{run.name}.npy")


make_callable(__name__, prepare)
