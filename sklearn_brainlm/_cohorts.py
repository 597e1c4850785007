"""Cohorts ready for cross-validation: simulated images, or a folder of recordings."""

import numpy as np
from sklearn.utils import Bunch

from sklearn_brainlm.exceptions import InvalidRecordingError

MIN_RECORDINGS = 10

# Small enough for a minute or two on two cores. How strong the effects are is not set here.
SIMULATED = {"n_timepoints": 150, "t_r": 2.0, "atlas": 40}


def simulate_cohort(target, folder, n_subjects, random_state):
    """Simulate a cohort and write it as images.

    Parameters
    ----------
    target : str
        What is to be predicted; there is age only.
    folder : path
        Folder of the images.
    n_subjects : int
        Number of subjects.
    random_state : int
        Seed.

    Returns
    -------
    cohort : :class:`sklearn.utils.Bunch`
        - ``X`` : list of paths of 4-D images
        - ``labels_img`` : path of their label image
        - ``y`` : array of shape (n_recordings,), the target
        - ``subjects``, ``groups`` : arrays of shape (n_recordings,), who each recording is of, and
          what is held out together
        - ``held_out`` : str, what the groups are
        - ``truth`` : array of shape (n_recordings, n_connections), what carries the target
        - ``parcel_coords``, ``labels``, ``t_r`` : of the parcels and the timepoints
        - ``notes`` : list of pairs of str, what a reader should know

    Raises
    ------
    InvalidRecordingError
        If the target is another, or subjects are too few.
    """
    from sklearn_brainlm.datasets import make_cohort

    if target != "age":
        raise InvalidRecordingError(
            f"A simulated cohort has no {target!r}, only age. Pass --recordings, or --target age."
        )
    _check_counts("The cohort", n_subjects, n_subjects, "subject")
    made = make_cohort(n_subjects, random_state=random_state, output_dir=folder, **SIMULATED)
    return Bunch(
        X=made.images,
        labels_img=made.labels_img,
        y=made.age,
        subjects=made.subjects,
        groups=made.subjects,
        held_out="subjects",
        truth=made.connection_strengths,
        parcel_coords=made.parcel_coords,
        labels=[f"{network} {index}" for index, network in enumerate(made.labels)],
        t_r=made.t_r,
        notes=[
            ("Recordings", made.description),
            ("Images", f"{len(made.images)} 4-D images and their label image in {folder}"),
        ],
    )


def load_cohort(folder, target, max_recordings, random_state):
    """Open a folder: z-scored recordings with a target, at one repetition time.

    Parameters
    ----------
    folder : path
        Folder of :func:`sklearn_brainlm.datasets.load_recordings_folder`.
    target : str
        Numeric column of participants.tsv.
    max_recordings : int
        Recordings to use, drawn with the seed.
    random_state : int
        Seed.

    Returns
    -------
    cohort : :class:`sklearn.utils.Bunch`
        As of :func:`simulate_cohort`, but ``X`` is a list of arrays (n_timepoints, n_parcels),
        and ``labels_img`` and ``truth`` are None.

    Raises
    ------
    InvalidRecordingError
        If the folder has no such target, or too few recordings or groups.
    """
    from sklearn_brainlm.datasets import load_recordings_folder
    from sklearn_brainlm.preprocessing import standardize_recordings
    from sklearn_brainlm.resampling import resample_recordings

    loaded = load_recordings_folder(folder)
    y = _read_target(loaded.participants, target)
    known = np.flatnonzero(np.isfinite(y))
    n_drawn = min(max_recordings, len(known))
    rng = np.random.default_rng(random_state)
    drawn = np.sort(rng.choice(known, size=n_drawn, replace=False))
    participants = loaded.participants.iloc[drawn]
    # Nobody is of two sites: holding sites out holds people out.
    group = "site" if "site" in participants else "participant_id"
    groups = participants[group].astype(str).to_numpy()
    n_groups = len(np.unique(groups))
    _check_counts(f"{folder}, where {target!r} is known,", n_drawn, n_groups, group)
    X = [np.asarray(loaded.recordings[index], dtype=np.float32) for index in drawn]
    t_r = loaded.t_r[drawn]
    rates = ", ".join(f"{rate:g}" for rate in np.unique(t_r[np.isfinite(t_r)]))
    notes = [
        (
            "Recordings",
            f"{n_drawn} of {len(loaded.recordings)} in {folder} (seed {random_state}), "
            f"{min(map(len, X))} to {max(map(len, X))} timepoints, t_r {rates or 'unknown'} s, "
            f"{loaded.n_parcels} parcels, {n_groups} {group}s",
        )
    ]
    one_t_r = None
    if np.isfinite(t_r).all():
        one_t_r = float(np.median(t_r))
        if len(np.unique(t_r)) > 1:
            X = resample_recordings(X, t_r, one_t_r)
            notes.append(("Resampled", f"to t_r {one_t_r:g} s, the median"))
    notes.append(("Scaled", "every recording to mean 0 and sd 1 a parcel"))
    return Bunch(
        X=standardize_recordings(X),
        labels_img=None,
        y=y[drawn],
        subjects=participants["participant_id"].astype(str).to_numpy(),
        groups=groups,
        held_out="whole sites" if group == "site" else "subjects",
        truth=None,
        parcel_coords=loaded.parcel_coords,
        labels=[str(label) for label in loaded.parcels["label"]],
        t_r=one_t_r,
        notes=notes,
    )


def _check_counts(source, n_recordings, n_groups, group):
    """Refuse a cohort too small to be cross-validated."""
    if n_recordings < MIN_RECORDINGS or n_groups < 2:
        raise InvalidRecordingError(
            f"{source} has {n_recordings} recordings of {n_groups} {group}s; cross-validation "
            f"needs at least {MIN_RECORDINGS} of at least 2. Take more."
        )


def _read_target(participants, target):
    """Target of every recording as numbers, NaN where missing."""
    import pandas as pd

    numeric = [name for name in participants if pd.api.types.is_numeric_dtype(participants[name])]
    if target not in participants:
        raise InvalidRecordingError(
            f"participants.tsv has no column {target!r}. Pass --target, one of {numeric}."
        )
    if target not in numeric:
        raise InvalidRecordingError(
            f"Column {target!r} of participants.tsv is not numeric. Pass --target, one of "
            f"{numeric}."
        )
    return participants[target].to_numpy(dtype=float)
