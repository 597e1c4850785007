"""A folder of recordings, and which of its people a method may learn from.

People are never on both sides. `split` checks it, by name and by content, for every benchmark.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sklearn_brainlm import AtlasMismatchError, InvalidRecordingError
from sklearn_brainlm.datasets import load_recordings_folder
from sklearn_brainlm.preprocessing import RecordingScaler, standardize_recordings
from sklearn_brainlm.resampling import resample_recordings

TRAIN_PART = 0.7  # of the recordings of a folder
TRAIN_OF_30 = 20  # a folder of 30 is split 20 / 10
HELD_OUT_SITES_PART = 0.25  # of the recordings, where whole sites are held out
SITES_SEED = 0


@dataclass(frozen=True)
class Cohort:
    """Recordings in the order of their file names, with what is known of each."""

    name: str
    recordings: list  # of arrays (n_timepoints, n_parcels)
    files: np.ndarray  # (n_recordings,) names
    subjects: np.ndarray  # (n_recordings,) names
    t_r: np.ndarray  # (n_recordings,) seconds
    parcels: tuple  # (n_parcels,) labels
    sites: np.ndarray | None = None  # (n_recordings,) names
    parcel_coords: np.ndarray | None = None  # (n_parcels, 3) mm

    def __len__(self):
        return len(self.recordings)

    def take(self, chosen):
        """Return the cohort of some of the recordings, given by index or truth value."""
        chosen = np.arange(len(self))[chosen]
        return replace(
            self,
            recordings=[self.recordings[i] for i in chosen],
            files=self.files[chosen],
            subjects=self.subjects[chosen],
            t_r=self.t_r[chosen],
            sites=None if self.sites is None else self.sites[chosen],
        )


def load_cohort(path):
    """Open a folder of recordings, sorted by file name."""
    path = Path(path).resolve()
    folder = load_recordings_folder(path)
    table = folder.participants
    order = np.argsort(table["recording"].to_numpy(dtype=str), kind="stable")
    cohort = Cohort(
        name=path.name,
        recordings=folder.recordings,
        files=table["recording"].to_numpy(dtype=str),
        subjects=table["participant_id"].to_numpy(dtype=str),
        t_r=folder.t_r,
        parcels=tuple(folder.parcels["label"]),
        sites=table["site"].fillna("n/a").to_numpy(dtype=str) if "site" in table else None,
        parcel_coords=folder.parcel_coords,
    )
    return cohort.take(order)


def split(cohort, test_cohort=None, exclude=()):
    """Divide people into those to learn from and those to be tested on.

    With `test_cohort`, a cohort from elsewhere, all of it is the test side. Otherwise whole sites
    are held out where sites are known, and else the last people in the order of file names.
    `exclude` are names of subjects or files that are left out of both sides, after the split, so
    that leaving somebody out moves nobody to the other side.
    """
    if test_cohort is None:
        by_site = cohort.sites is not None and len(np.unique(cohort.sites)) > 1
        held_out = (hold_out_sites if by_site else hold_out_last)(cohort)
        train, test = cohort.take(~held_out), cohort.take(held_out)
    else:
        _check_same_parcels(cohort, test_cohort)
        train, test = cohort, test_cohort
    train, test = _leave_out(exclude, train, test)
    check_sides(train, test)
    return train, test


def hold_out_last(cohort):
    """Mark the recordings of the last people: a third of 30 recordings, else about 30%."""
    n_train = TRAIN_OF_30 if len(cohort) == 30 else round(TRAIN_PART * len(cohort))
    is_train = np.isin(cohort.subjects, cohort.subjects[:n_train])  # with all their recordings
    return ~is_train


def hold_out_sites(cohort):
    """Mark the recordings of whole sites, drawn with a fixed seed up to a quarter of all."""
    sites, counts = np.unique(cohort.sites, return_counts=True)
    drawn, n_held_out = [], 0
    for site in np.random.default_rng(SITES_SEED).permutation(len(sites)):
        if n_held_out + counts[site] <= HELD_OUT_SITES_PART * len(cohort):
            drawn.append(sites[site])
            n_held_out += counts[site]
    # Where every site is larger than a quarter, one of them still has to be held out.
    return np.isin(cohort.sites, drawn or [sites[np.argmin(counts)]])


def check_sides(train, test):
    """Refuse a split in which somebody, or the same recording, is on both sides."""
    for side, cohort in (("train", train), ("test", test)):
        if not len(cohort):
            raise InvalidRecordingError(f"No recording is left on the {side} side.")
    both = sorted(set(train.subjects) & set(test.subjects))
    if both:
        raise InvalidRecordingError(
            f"Subjects on both sides: {', '.join(both)}. Leave them out with --exclude."
        )
    known = dict(zip(map(_digest, train.recordings), train.files, strict=True))
    for values, file in zip(test.recordings, test.files, strict=True):
        twin = known.get(_digest(values))
        if twin is not None:
            raise InvalidRecordingError(
                f"{file} of the test side holds the values of {twin} of the train side. Leave one "
                "out with --exclude."
            )


def bring_to_t_r(cohort, t_r):
    """Return the cohort at another TR, each recording resampled from its own."""
    unknown = cohort.files[~np.isfinite(cohort.t_r)]
    if len(unknown):
        raise InvalidRecordingError(
            f"participants.tsv has no tr_s for {unknown[0]}: it cannot be resampled."
        )
    recordings = resample_recordings(cohort.recordings, cohort.t_r, t_r)
    return replace(cohort, recordings=recordings, t_r=np.full(len(cohort), float(t_r)))


def prepare(train, test, *, t_r=None, standardize="none"):
    """Bring both sides to the units that all methods are compared in.

    Resampled when `t_r` is given, z-scored by recording when `standardize` is "recording", and
    then scaled by the medians and interquartile ranges of the train side.
    """
    if t_r is not None:
        train, test = bring_to_t_r(train, t_r), bring_to_t_r(test, t_r)
    if standardize == "recording":
        train, test = (
            replace(side, recordings=standardize_recordings(side.recordings))
            for side in (train, test)
        )
    scaler = RecordingScaler().fit(train.recordings)
    return tuple(
        replace(side, recordings=scaler.transform(side.recordings)) for side in (train, test)
    )


def describe_sides(train, test, *, t_r=None, standardize="none", exclude=()):
    """Say in words who is on both sides, and in which units."""
    sides = [
        f"{len(side)} recordings of {len(set(side.subjects))} subjects" for side in (train, test)
    ]
    sites = ""
    if test.sites is not None and train.name == test.name:
        sites = f" Whole sites are held out: {', '.join(sorted(set(test.sites)))}."
    left_out = f" Left out: {', '.join(exclude)}." if exclude else ""
    resampled = "as they are" if t_r is None else f"resampled to a TR of {t_r:g} s"
    z_scored = ", z-scored one by one" if standardize == "recording" else ""
    return (
        f"Learned from {sides[0]} ({train.name}), tested on {sides[1]} ({test.name}), nobody on "
        f"both sides.{sites}{left_out} Recordings are taken {resampled}{z_scored}, and then in "
        "units of the medians and interquartile ranges of the train side."
    )


def common_t_r(cohort):
    """Return the TR of a cohort in seconds, None where it is unknown or there are several."""
    t_r = np.unique(cohort.t_r)
    return float(t_r[0]) if len(t_r) == 1 and np.isfinite(t_r[0]) else None


def _leave_out(exclude, *sides):
    """Drop subjects or files by name; a name that nobody has is a mistake."""
    known = {name for side in sides for name in (*side.subjects, *side.files)}
    unknown = sorted(set(exclude) - known)
    if unknown:
        raise InvalidRecordingError(f"No subject and no file is called {', '.join(unknown)}.")
    exclude = list(exclude)
    return [
        side.take(~(np.isin(side.subjects, exclude) | np.isin(side.files, exclude)))
        for side in sides
    ]


def _check_same_parcels(train, test):
    """Refuse cohorts of different atlases."""
    if train.parcels != test.parcels:
        raise AtlasMismatchError(
            f"{train.name} has {len(train.parcels)} parcels and {test.name} {len(test.parcels)}, "
            "or their labels differ. Both folders must have the same parcels in the same order."
        )


def _digest(recording):
    """Return a digest of the values of a recording, whatever they are stored as."""
    return hashlib.sha256(np.ascontiguousarray(recording, dtype=np.float32)).digest()
