"""Reconstruction against the number of recordings learned from, and the number of parameters."""

import time
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d

from sklearn_brainlm._validation import check_recordings
from sklearn_brainlm.comparison.inference import interval, resample_weights
from sklearn_brainlm.files.durable import replaced
from sklearn_brainlm.metrics import masked_sums
from sklearn_brainlm.preprocessing import RecordingScaler

__all__ = ["scaling_curve"]

_KEY = ["digest", "method", "n_recordings", "seed"]
_SUMS = ["subject", "sse", "ss", "n_parameters", "cpu_seconds"]


def scaling_curve(
    estimators,
    X,
    X_test,
    *,
    n_recordings=None,
    subjects=None,
    test_subjects=None,
    mask_ratio=0.75,
    seeds=(0,),
    n_bootstrap=2000,
    path=None,
    verbose=0,
):
    """Measure how well masked patches of new people are reconstructed, by size of the training.

    Every estimator learns from the first few of the training recordings, more and more of them, and
    fills in the same masked patches of the test recordings each time. Estimators of several sizes
    make the curve over parameters.

    Parameters
    ----------
    estimators : dict of str to estimator
        What is measured, by name: :class:`BrainLMTransformer` of one or several sizes beside
        :class:`GaussianReconstructor`, or anything with ``fit`` and ``reconstruct``. Clones are
        fitted.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings to learn from.
    X_test : list of arrays of shape (n_timepoints, n_parcels)
        Recordings of other people.
    n_recordings : sequence of int, optional
        Sizes of the training. None takes all of `X` and its halves, down to four.
    subjects, test_subjects : array-like of shape (n_recordings,), optional
        Who each recording is of. None counts each recording as somebody.
    mask_ratio : float, default=0.75
        Part of the patches that is masked.
    seeds : sequence of int, default=(0,)
        One order of the training people each, and the ``random_state`` of the estimators that have
        one. The smaller trainings of a seed are part of its larger ones.
    n_bootstrap : int, default=2000
        Resamples of the test people behind the intervals.
    path : str or Path, optional
        A CSV file that keeps the sums of each measurement as soon as it is made. Called again with
        it, measurements are not repeated. It holds numbers of subjects, not their names.
    verbose : int, default=0
        1 prints each measurement.

    Returns
    -------
    DataFrame
        A row a method and size: ``method``, ``n_recordings``, ``n_parameters`` (of the network,
        NaN without one), ``r2``, ``ci_low``, ``ci_high``, ``n_seeds`` and ``cpu_seconds`` (of
        ``fit``; both means over seeds). R2 is ``1 - sum(SSE) / sum(SS)`` over all masked values,
        SS about the mean of the masked values of each recording, squared errors averaged over
        seeds; the interval is the central 95% of the bootstrap over people.

    Raises
    ------
    ValueError
        If somebody is on both sides, or a size is larger than there are recordings.
    InvalidRecordingError, InvalidRecordingTypeError
        If recordings cannot be used.

    See Also
    --------
    sklearn_brainlm.plotting.plot_scaling_curve : Draws it.

    Notes
    -----
    Figure 4 of the article. Each estimator learns the scale of the parcels from its own training
    recordings; what it fills in is taken back to the units of the recordings and scored in those of
    all training recordings, so that points differ by what was filled in alone. The masks are the
    same where estimators have the same windows and patches.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import GaussianReconstructor, scaling_curve
    >>> rng = np.random.default_rng(0)
    >>> mixing = rng.standard_normal((2, 8))
    >>> recordings = [rng.standard_normal((60, 2)) @ mixing for _ in range(12)]
    >>> closed_form = GaussianReconstructor(window_length=60)
    >>> curve = scaling_curve(
    ...     {"Gaussian": closed_form}, recordings[:8], recordings[8:], n_recordings=[2, 8]
    ... )
    >>> list(curve["n_recordings"]), bool((curve["r2"].diff()[1:] >= 0).all())
    ([2, 8], True)
    """
    check_scalar(n_bootstrap, "n_bootstrap", Integral, min_val=1)
    X, X_test = check_recordings(X), check_recordings(X_test)
    people, test_people = _people(X, subjects), _people(X_test, test_subjects)
    if subjects is not None and test_subjects is not None:
        _refuse_shared(subjects, test_subjects)
    sizes = _sizes(len(X)) if n_recordings is None else sorted(n_recordings)
    for size in sizes:
        check_scalar(size, "a size of n_recordings", Integral, min_val=1, max_val=len(X))
    common = RecordingScaler().fit(X)
    data = joblib.hash((X, X_test, people, test_people, mask_ratio))
    kept = _Kept(path)
    for seed in seeds:
        order = _order(people, seed)
        for name, estimator in estimators.items():
            digest = joblib.hash((data, estimator))
            for size in sizes:
                key = (digest, name, size, seed)
                if kept.has(key):
                    continue
                fitted, seconds = _fit(estimator, [X[i] for i in order[:size]], seed)
                sse, ss = _score(fitted, X_test, test_people, common, mask_ratio)
                n_parameters = getattr(fitted, "n_parameters_", np.nan)
                kept.add(key, (np.arange(len(ss)), sse, ss, n_parameters, seconds))
                if verbose:
                    r2 = 1 - sse.sum() / ss.sum()
                    print(f"{name}, {size} recordings, seed {seed}: R2 {r2:.4f}", flush=True)
    asked = [
        (joblib.hash((data, estimator)), name, size, seed)
        for name, estimator in estimators.items()
        for size in sizes
        for seed in seeds
    ]
    return _tabulate(kept.rows(asked), n_bootstrap)


def _people(X, subjects):
    """Give every recording the number of its subject."""
    if subjects is None:
        return np.arange(len(X))
    subjects = column_or_1d(subjects)
    check_consistent_length(X, subjects)
    return np.unique(subjects, return_inverse=True)[1]


def _refuse_shared(subjects, test_subjects):
    """Raise if somebody is on both sides."""
    shared = sorted(set(map(str, subjects)) & set(map(str, test_subjects)))
    if shared:
        raise ValueError(
            f"{len(shared)} subjects are on both sides ({', '.join(shared[:5])}): R2 would not be "
            "that of new people. Leave them out of one side."
        )


def _sizes(n_recordings):
    """Return all recordings and their halves, down to four."""
    sizes = [n_recordings]
    while sizes[0] // 2 >= 4:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def _order(people, seed):
    """Put recordings into an order of people, those of one person together."""
    rank = np.random.default_rng(seed).permutation(people.max() + 1)
    return np.argsort(rank[people], kind="stable")


def _fit(estimator, recordings, seed):
    """Fit a clone; return it and the CPU-seconds that took."""
    model = clone(estimator)
    if "random_state" in model.get_params(deep=False):
        model.set_params(random_state=seed)
    began = time.process_time()
    model.fit(recordings)
    return model, time.process_time() - began


def _score(model, X_test, people, common, mask_ratio):
    """Sum squares by test person, in units that are the same for every model."""
    sse, ss = np.zeros((2, people.max() + 1))
    for place, (recording, person) in enumerate(zip(X_test, people, strict=True)):
        (made,) = model.reconstruct([recording], mask_ratio=mask_ratio, random_state=place)
        true, predicted = (
            common.transform(model.scaler_.inverse_transform([made[side]]))[0]
            for side in ("true", "predicted")
        )
        recording_sse, recording_ss = masked_sums([true], [predicted], [made.masked])
        sse[person] += recording_sse.sum()
        ss[person] += recording_ss.sum()
    return sse, ss


class _Kept:
    """Sums of the measurements so far, in memory and, where there is a path, in a file."""

    def __init__(self, path):
        self.path = None if path is None else Path(path)
        self.table = pd.DataFrame(columns=[*_KEY, *_SUMS])
        if self.path is not None and self.path.exists():
            self.table = pd.read_csv(self.path)
            missing = set(_KEY + _SUMS) - set(self.table)
            if missing:
                raise ValueError(
                    f"{self.path} holds no measurements of a scaling curve: there is no column "
                    f"{', '.join(sorted(missing))}. Give another path."
                )

    def has(self, key):
        """Say whether this has been measured."""
        return bool(self._which(key).any())

    def add(self, key, sums):
        """Keep a measurement."""
        new = pd.DataFrame(
            dict(zip(_KEY, key, strict=True)) | dict(zip(_SUMS, sums, strict=True)),
            columns=[*_KEY, *_SUMS],
        )
        # Not by concat, which makes something else of columns without a number in pandas 2.
        rows = [*self.table.to_dict("records"), *new.to_dict("records")]
        self.table = pd.DataFrame(rows, columns=[*_KEY, *_SUMS])
        if self.path is not None:
            with replaced(self.path) as file:
                self.table.to_csv(file, index=False)

    def rows(self, keys):
        """Return what belongs to these measurements."""
        return pd.concat([self.table[self._which(key)] for key in keys], ignore_index=True)

    def _which(self, key):
        """Mark the rows of a measurement."""
        return np.logical_and.reduce([self.table[n] == v for n, v in zip(_KEY, key, strict=True)])


def _tabulate(rows, n_bootstrap):
    """Pool sums to R2 with intervals over people, the same resamples for all points."""
    points = []
    for (method, size), own in rows.groupby(["method", "n_recordings"], sort=False):
        mean = own.groupby("subject")[["sse", "ss"]].mean()  # over seeds
        sse, ss = mean["sse"].to_numpy(), mean["ss"].to_numpy()
        rng = np.random.default_rng(0)
        resampled = [
            1 - (counts @ sse) / (counts @ ss)
            for counts in resample_weights(np.arange(len(ss)), n_bootstrap, rng)
        ]
        low, high = interval(np.concatenate(resampled)) if len(ss) > 1 else (np.nan, np.nan)
        by_seed = own.drop_duplicates("seed")
        points.append(
            {
                "method": method,
                "n_recordings": int(size),
                "n_parameters": by_seed["n_parameters"].mean(),
                "r2": 1 - sse.sum() / ss.sum(),
                "ci_low": low,
                "ci_high": high,
                "n_seeds": len(by_seed),
                "cpu_seconds": by_seed["cpu_seconds"].mean(),
            }
        )
    return pd.DataFrame(points)
