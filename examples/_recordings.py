"""Where the examples take recordings from: simulated ones, or those of a folder of yours.

The folder is named by the environment variable ``BRAINLM_RECORDINGS_FOLDER``; what must be in it
says :func:`sklearn_brainlm.datasets.load_recordings_folder`.
"""

import os

import numpy as np
from sklearn.utils import Bunch

from sklearn_brainlm import resample_recordings, standardize_recordings
from sklearn_brainlm.datasets import load_recordings_folder, make_cohort


def open_recordings(n_subjects, n_timepoints, *, n_parcels=40, images=None, needs=()):
    """Simulate recordings, one a subject, or open those of the folder.

    `n_parcels` and `images`, a folder to write simulated images to, are for the simulation; a
    folder of recordings has the parcels it has. `needs` names what a folder must know, of "age",
    "group", "parcel_coords" and "t_r".
    """
    folder = os.environ.get("BRAINLM_RECORDINGS_FOLDER")
    if not folder:
        return _simulate(n_subjects, n_timepoints, n_parcels, images)
    cohort = _open_folder(folder, n_subjects, n_timepoints)
    missing = [name for name in needs if cohort[name] is None]
    if missing:
        raise SystemExit(f"This example needs {', '.join(missing)}, which {folder} does not know.")
    return cohort


def _simulate(n_subjects, n_timepoints, n_parcels, images):
    """Simulate a cohort whose truth is known."""
    cohort = make_cohort(n_subjects, n_timepoints, atlas=n_parcels, output_dir=images)
    numbers = range(1, cohort.n_parcels + 1)
    return Bunch(
        recordings=cohort.recordings,
        subjects=cohort.subjects,
        age=cohort.age,
        group=np.where(cohort.task, "task", "rest"),
        networks=cohort.labels,
        parcels=[f"{name} {number}" for name, number in zip(cohort.labels, numbers, strict=True)],
        parcel_coords=cohort.parcel_coords,
        t_r=cohort.t_r,
        description=cohort.description,
        truth=cohort,
    )


def _open_folder(folder, n_subjects, n_timepoints):
    """Open some recordings of the folder, at one repetition time, each of mean 0 and sd 1."""
    opened = load_recordings_folder(folder)
    people = opened.participants.drop_duplicates("participant_id")
    has_age = "age" in people and people["age"].notna().any()
    if has_age:
        people = people[people["age"].notna()]
    people = people.sample(min(n_subjects, len(people)), random_state=0).sort_index()
    two = [name for name in ("group", "sex") if name in people and people[name].nunique() == 2]
    recordings = [np.asarray(opened.recordings[row], np.float32) for row in people.index]
    t_r, rates = None, opened.t_r[people.index]
    if np.isfinite(rates).all():
        t_r = float(np.median(rates))
        recordings = resample_recordings(recordings, rates, t_r)
    networks = opened.parcels["yeo7" if "yeo7" in opened.parcels else "label"]
    return Bunch(
        recordings=standardize_recordings([recording[:n_timepoints] for recording in recordings]),
        subjects=people["participant_id"].to_numpy(dtype=str),
        age=people["age"].to_numpy(dtype=float) if has_age else None,
        group=people[two[0]].to_numpy(dtype=str) if two else None,
        networks=networks.to_numpy(dtype=str),
        parcels=opened.parcels["label"].astype(str).tolist(),
        parcel_coords=opened.parcel_coords,
        t_r=t_r,
        description=f"{len(people)} recordings of {folder}, {opened.n_parcels} parcels.",
        truth=None,
    )
