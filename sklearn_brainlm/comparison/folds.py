"""Who is tested and who is trained on, and the guards that keep the two apart."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import GroupKFold

from sklearn_brainlm.exceptions import DataQualityWarning

__all__ = [
    "EACH_IS_A_SUBJECT",
    "check_people",
    "find_pretrained_subjects",
    "make_folds",
    "overlapping",
    "walk_estimators",
    "warn_of_pretraining",
]

EACH_IS_A_SUBJECT = "each recording is a subject"
N_NAMED = 5  # of many names, in a message
_MISSING = frozenset({"nan", "NaT", "<NA>", ""})
_N_COMPARED = 8  # timepoints; where they are equal, whole recordings are compared


def check_people(groups, subjects, n_recordings, X=None):
    """Check what says which recordings belong together, and who each is of.

    Parameters
    ----------
    groups : array-like of shape (n_recordings,) or "each recording is a subject"
        Subject, family or site of each recording.
    subjects : array-like of shape (n_recordings,), "each recording is a subject" or None
        Subject of each recording; its group when None.
    n_recordings : int
        Number of recordings.
    X : list of recordings, RecordingStore or None, default=None
        The recordings, which may tell otherwise.

    Returns
    -------
    groups : array of shape (n_recordings,)
        Group of each recording.
    codes : int array of shape (n_recordings,)
        Position of the subject of each recording. Copies of one recording are of one subject.
    names : array of str of shape (n_recordings,) or None
        Its name; None when it has none.

    Raises
    ------
    ValueError
        If groups are missing, wholly or for some recording, or either has another length.

    Warns
    -----
    DataQualityWarning
        Recordings of different subjects are copies of each other, or the table of a store lists
        subjects more than once where each recording was said to be one.
    """
    groups, is_said = _check_labels(groups, n_recordings, "groups")
    labels = groups
    if subjects is not None:
        labels, is_said = _check_labels(subjects, n_recordings, "subjects")
    codes = np.unique(labels, return_inverse=True)[1]
    if is_said:
        _warn_of_repeats(getattr(X, "participants", None))
    found = _find_copies(X) if X is not None and len(X) == n_recordings else ()
    copies = [pair for pair in found if codes[pair[0]] != codes[pair[1]]]
    if copies:
        first, second = copies[0]
        warnings.warn(
            f"X[{first}] and X[{second}] hold the same values, and are said to be of two subjects, "
            f"as are {len(copies) - 1} more; such subjects count as one. Leave one of each out.",
            DataQualityWarning,
            stacklevel=3,
        )
    for first, second in copies:
        codes[codes == codes[second]] = codes[first]
    return groups, codes, None if is_said else labels.astype(str)


def make_folds(cv, y, groups, subjects, kept=None):
    """Split recordings, and check that nobody is on both sides.

    Parameters
    ----------
    cv : int, splitter, iterable or None
        Number of folds of GroupKFold, 5 when None; a scikit-learn splitter; or pairs (train, test)
        of positions.
    y : array of shape (n_recordings,)
        What a splitter may stratify by.
    groups : array of shape (n_recordings,)
        Groups that a fold must not divide.
    subjects : int array of shape (n_recordings,)
        Subjects that a fold must not divide either.
    kept : bool array of shape (n_recordings,), optional
        Which recordings to split, all when None. The others are left out of pairs in `cv`.

    Returns
    -------
    folds : list of tuple (train, test) of int arrays
        Positions of recordings.

    Raises
    ------
    ValueError
        If a group or a subject is in training and test of one fold, or a side is empty.
    """
    kept = np.ones(len(y), dtype=bool) if kept is None else kept
    if cv is None or isinstance(cv, Integral):
        cv = GroupKFold(5 if cv is None else int(cv))
    if hasattr(cv, "split"):
        given = np.flatnonzero(kept)
        with warnings.catch_warnings():
            # A splitter that knows no groups says so; whether it divides one is found out below.
            warnings.filterwarnings("ignore", "The groups parameter is ignored", UserWarning)
            pairs = list(cv.split(np.zeros(len(given)), y[given], groups[given]))
        folds = [(given[train], given[test]) for train, test in pairs]
    else:
        folds = [(_positions(train, kept), _positions(test, kept)) for train, test in cv]
    if not folds:
        raise ValueError("cv gives no fold; at least one pair (train, test) is needed.")
    positions = np.arange(len(y))
    for fold, (train, test) in enumerate(folds):
        if not len(train) or not len(test):
            raise ValueError(
                f"Fold {fold} has {len(train)} recordings to train on and {len(test)} to test on."
            )
        for what, labels in (("recording", positions), ("subject", subjects), ("group", groups)):
            both = np.intersect1d(labels[train], labels[test])
            if len(both):
                first = [part[labels[part] == both[0]][0] for part in (train, test)]
                raise ValueError(
                    f"The same {what} is in training and test of fold {fold}: {len(both)} of "
                    f"them, for example X[{first[0]}] and X[{first[1]}]. Split by groups, as "
                    "GroupKFold does."
                )
    return folds


def walk_estimators(estimator):
    """Go through an estimator and all that its attributes hold: steps, weights, fitted parts.

    Parameters
    ----------
    estimator : estimator
        Where to start.

    Yields
    ------
    part : estimator
        Each one once, the first one first.
    """
    seen, waiting = set(), [estimator]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, dict):
            waiting.extend(thing.values())
        elif isinstance(thing, (list, tuple)):
            waiting.extend(part for part in thing if isinstance(part, (BaseEstimator, list, tuple)))
        elif isinstance(thing, BaseEstimator):
            yield thing
            waiting.extend(vars(thing).values())


def find_pretrained_subjects(estimator):
    """Return the subjects that weights anywhere in an estimator were pretrained on.

    Parameters
    ----------
    estimator : estimator
        Its steps and weights are searched for ``trained_on_["subjects"]``.

    Returns
    -------
    subjects : set of str
        Names; empty when nothing is known.
    """
    found = set()
    for part in walk_estimators(estimator):
        trained_on = getattr(part, "trained_on_", None) or {}
        found.update(str(subject) for subject in trained_on.get("subjects") or ())
    return found


def overlapping(pretrained, tested):
    """Return the tested subjects that weights were pretrained on.

    Parameters
    ----------
    pretrained, tested : iterable of str
        Names, with or without the "sub-" that some tables put in front.

    Returns
    -------
    subjects : list of str
        Sorted names, as they were tested.
    """
    known = {str(name).removeprefix("sub-") for name in pretrained}
    return sorted({str(name) for name in tested if str(name).removeprefix("sub-") in known})


def warn_of_pretraining(results):
    """Warn of rows whose weights have seen the subjects they are tested on.

    Parameters
    ----------
    results : dict of str to list of Bunch
        With ``pretrained_on``, names of such subjects, by row and fold.

    Warns
    -----
    UserWarning
        It names the row and the first subjects.
    """
    for method, own in results.items():
        seen = sorted(set().union(*(result.pretrained_on for result in own)))
        if seen:
            more = f" and {len(seen) - N_NAMED} more" if len(seen) > N_NAMED else ""
            warnings.warn(
                f"{method!r} is tested on {len(seen)} subjects that its weights were pretrained "
                f"on: {', '.join(seen[:N_NAMED])}{more}. Its scores are not those of new people. "
                "Leave these subjects out, or take other weights.",
                UserWarning,
                stacklevel=3,
            )


def _check_labels(labels, n_recordings, name):
    """Return one label a recording, and whether each recording was said to be a subject.

    Said so, the labels are mere positions.
    """
    if labels is None:
        raise ValueError(
            f"The '{name}' parameter should not be None: two recordings of a subject in training "
            f"and test let a model recognise people. Give who each recording is of, or say "
            f"{name}={EACH_IS_A_SUBJECT!r}."
        )
    if isinstance(labels, str):
        if labels != EACH_IS_A_SUBJECT:
            raise ValueError(
                f"{name}={labels!r} is not understood. Give an array with one label a recording, "
                f"or say {name}={EACH_IS_A_SUBJECT!r}."
            )
        return np.arange(n_recordings), True
    labels = np.asarray(labels)
    if labels.shape != (n_recordings,):
        raise ValueError(
            f"{name} has shape {labels.shape}; expected one label for each of {n_recordings} "
            "recordings."
        )
    # A missing label is unequal to itself (NaN, NaT), or None. NA of pandas is neither.
    missing = [i for i, label in enumerate(labels) if label is None or str(label) in _MISSING]
    if missing:
        raise ValueError(
            f"{name} is missing for {len(missing)} recordings, the first of them X[{missing[0]}]. "
            "Leave out those recordings, or find out."
        )
    return labels.astype(str) if labels.dtype.kind == "O" else labels, False


def _warn_of_repeats(participants):
    """Warn where the table of a store lists subjects more than once."""
    ids = None if participants is None else participants.get("participant_id")
    if ids is not None and ids.duplicated().any():
        first = ids[ids.duplicated()].iloc[0]
        warnings.warn(
            f"Each recording was said to be a subject, but the store lists {first} more than once, "
            f"and {ids.nunique()} subjects in all. Give them as groups: "
            "store.participants['participant_id'].",
            DataQualityWarning,
            stacklevel=4,
        )


def _find_copies(X):
    """Yield positions of recordings that are equal, the first of them and each other."""
    if hasattr(X, "columns") or getattr(X, "ndim", 3) == 2:  # one recording
        return
    X, seen = list(X) if hasattr(X, "iloc") else X, {}
    for position in range(len(X)):
        recording = X[position]
        if len(getattr(recording, "shape", ())) != 2 or hasattr(recording, "columns"):
            return  # images and the like
        begin = np.asarray(recording[:_N_COMPARED])
        first = seen.setdefault((recording.shape, begin.tobytes()), position)
        if first != position and np.array_equal(X[first], recording):
            yield first, position


def _positions(part, kept):
    """Return the kept recordings on one side of a fold."""
    part = np.asarray(part)
    if part.dtype == bool and part.shape == kept.shape:
        part = np.flatnonzero(part)
    if part.ndim != 1 or (part.size and part.dtype.kind not in "iu"):
        raise ValueError("cv gives pairs (train, test) of positions of recordings.")
    outside = part[(part < 0) | (part >= len(kept))]
    if len(outside):
        raise ValueError(f"cv gives position {outside[0]}; there are {len(kept)} recordings.")
    part = part.astype(np.intp)
    return part[kept[part]]
