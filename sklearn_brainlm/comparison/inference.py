"""Whether a difference between methods is more than chance: resamples, tests, corrections."""

import numpy as np
from scipy import stats

__all__ = [
    "corrected_t_test",
    "correct_p_values",
    "interval",
    "paired_test",
    "resample_weights",
    "significance_stars",
]

COVERAGE = 0.95
_MAX_VALUES = 4_000_000  # of one block of weights: 32 MB


def resample_weights(subjects, n_bootstrap, rng, strata=None):
    """Draw subjects with replacement, and yield how often each recording then counts.

    Parameters
    ----------
    subjects : int array of shape (n_recordings,)
        Position of the subject of each recording, from 0 on and without a gap. All recordings of
        a subject are drawn together.
    n_bootstrap : int
        Number of resamples.
    rng : numpy.random.Generator
        Source of the draws. The same state gives the same resamples, so that methods are paired.
    strata : array of shape (n_subjects,), optional
        Each stratum is resampled within itself and keeps its size; one stratum when None.

    Yields
    ------
    weights : float64 array of shape (n_resamples, n_recordings)
        Blocks of resamples, `n_bootstrap` in all.
    """
    n_subjects = int(subjects.max()) + 1
    strata = np.zeros(n_subjects) if strata is None else np.asarray(strata)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    block = max(1, _MAX_VALUES // len(subjects))
    for start in range(0, n_bootstrap, block):
        n_resamples = min(block, n_bootstrap - start)
        counts = np.zeros((n_resamples, n_subjects))
        for positions in members:
            n = len(positions)
            counts[:, positions] = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples)
        yield counts[:, subjects]


def interval(resampled):
    """Return the central 95% of resampled values.

    Parameters
    ----------
    resampled : array of shape (n_resamples,)
        A statistic of each resample; NaN where it is undefined, which is left out.

    Returns
    -------
    low, high : float
        Quantiles; NaN when no resample, or every one of a single value, says nothing.
    """
    resampled = resampled[~np.isnan(resampled)]
    if not len(resampled):
        return np.nan, np.nan
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def corrected_t_test(differences, n_train, n_test):
    """Test paired differences of scores over folds, whose training recordings overlap.

    Parameters
    ----------
    differences : array of shape (n_folds,)
        Score of one method minus that of another, fold by fold; NaN folds are left out.
    n_train, n_test : array of shape (n_folds,)
        Recordings trained on and tested on in each fold.

    Returns
    -------
    p_value : float
        Two-sided. NaN with fewer than two folds.

    Notes
    -----
    The variance of the mean over J folds is ``(1 / J + n_test / n_train) * var(differences)``, of
    Nadeau and Bengio (2003), Machine Learning 52, 239-281, with J - 1 degrees of freedom. The
    uncorrected ``1 / J`` treats folds as independent, and finds too much.

    Examples
    --------
    >>> round(corrected_t_test([0.1, 0.2, 0.15, 0.05, 0.1], [80] * 5, [20] * 5), 4)
    0.0349
    """
    differences = np.asarray(differences, dtype=np.float64)
    known = ~np.isnan(differences)
    differences = differences[known]
    if len(differences) < 2:
        return float("nan")
    overlap = np.mean(np.asarray(n_test)[known] / np.asarray(n_train)[known])
    mean, variance = differences.mean(), differences.var(ddof=1)
    error = np.sqrt((1 / len(differences) + overlap) * variance)
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean / error), len(differences) - 1))


def paired_test(differences):
    """Test whether paired differences over subjects are centred on zero.

    Parameters
    ----------
    differences : array of shape (n_subjects,)
        Error of one method minus that of another, subject by subject.

    Returns
    -------
    p_value : float
        Two-sided p of the Wilcoxon signed-rank test: a few subjects with large errors, those who
        moved, would decide a t-test. NaN with fewer than two subjects.

    Examples
    --------
    >>> paired_test([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    0.03125
    """
    differences = np.asarray(differences, dtype=np.float64)
    if len(differences) < 2:
        return float("nan")
    if not differences.any():
        return 1.0
    return float(stats.wilcoxon(differences).pvalue)


def correct_p_values(p_values):
    """Correct p-values of one family for the number of comparisons.

    Parameters
    ----------
    p_values : array of shape (n_comparisons,)
        NaN where there is no test: it is no comparison.

    Returns
    -------
    p_corrected : float64 array of shape (n_comparisons,)
        By Benjamini and Hochberg: the false discovery rate at which each would be called one.

    Examples
    --------
    >>> correct_p_values([0.01, 0.04, float("nan")]).tolist()
    [0.02, 0.04, nan]
    """
    corrected = np.array(p_values, dtype=np.float64)
    known = ~np.isnan(corrected)
    if known.any():
        corrected[known] = stats.false_discovery_control(corrected[known])
    return corrected


def significance_stars(p_value):
    """Return the paper's stars of a p-value.

    Parameters
    ----------
    p_value : float
        A p-value, corrected if it is one of several.

    Returns
    -------
    stars : str
        "*" below .05, "**" below .01, "***" below .001, otherwise empty; also for NaN.

    Examples
    --------
    >>> [significance_stars(p) for p in (0.2, 0.04, 0.004, 0.0004)]
    ['', '*', '**', '***']
    """
    return "*" * sum(p_value < level for level in (0.05, 0.01, 0.001))
