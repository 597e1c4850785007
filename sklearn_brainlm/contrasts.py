"""Maps of groups or conditions compared, with a null that respects who the recordings are of."""

from dataclasses import dataclass
from math import comb

import numpy as np
from scipy import stats
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm.spatial_nulls import network_enrichment

__all__ = ["AttentionContrast", "attention_contrast"]

_MAX_VALUES = 2**22  # of one batch of permuted maps: 32 MB


@dataclass(frozen=True, eq=False)
class AttentionContrast:
    """What :func:`attention_contrast` found.

    Attributes
    ----------
    names : ndarray of shape (n_units,)
        Numbers of the parcels, or the labels they were averaged over.
    effect : float64 ndarray of shape (n_units,)
        Mean of `a` minus mean of `b` over subjects, in the unit of the maps.
    t : float64 ndarray of shape (n_units,)
        Paired t, or Welch's.
    p_corrected : float64 ndarray of shape (n_units,)
        Two-sided, corrected for all units by the permutation distribution of the largest ``|t|``.
    p_spatial : float64 ndarray of shape (n_units,) or None
        With labels and coordinates: whether a label's parcels have a larger mean effect than
        parcels that lie together in the same way elsewhere, corrected for all labels.
    n_subjects : tuple of int
        Subjects of `a` and of `b`.
    paired : bool
        Whether they are the same subjects.
    n_permutations : int
        Permutations made.
    exact : bool
        Whether these were all there are.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.standard_normal((2, 20, 3))
    >>> a[:, 1] += 3
    >>> contrast = attention_contrast(a, b, random_state=0)
    >>> contrast.significant()
    array([False,  True, False])
    """

    names: np.ndarray
    effect: np.ndarray
    t: np.ndarray
    p_corrected: np.ndarray
    p_spatial: np.ndarray | None
    n_subjects: tuple
    paired: bool
    n_permutations: int
    exact: bool

    def significant(self, alpha=0.05):
        """Mark the units whose corrected p-value is below a level.

        Parameters
        ----------
        alpha : float, default=0.05
            Chance to mark anything at all where there is nothing.

        Returns
        -------
        significant : bool array of shape (n_units,)
            True where there is an effect.
        """
        return self.p_corrected < alpha

    def __str__(self):
        """Write the units with the smallest p-values as a table."""
        who = "the same {} subjects" if self.paired else "{} and {} subjects"
        how = "all" if self.exact else "random"
        found = int(self.significant().sum())
        lines = [
            f"Contrast of {who.format(*self.n_subjects)}: {found} of {len(self.names)} with "
            f"corrected p < .05 (max-T, {self.n_permutations} permutations, {how}).",
            f"{'unit':>20} {'effect':>11} {'t':>7} {'p':>7}",
        ]
        first = np.lexsort((-np.abs(self.t), self.p_corrected))[:10]
        lines += [
            f"{self.names[i]!s:>20} {self.effect[i]:>+11.3g} {self.t[i]:>+7.2f} "
            f"{self.p_corrected[i]:>7.4f}"
            for i in first
        ]
        return "\n".join(lines)


def attention_contrast(
    a,
    b,
    *,
    subjects_a=None,
    subjects_b=None,
    paired=None,
    labels=None,
    coords=None,
    n_permutations=5000,
    random_state=None,
):
    """Compare maps of two groups or conditions, parcel by parcel, corrected for their number.

    Section 4.4 of the article contrasts attention in task and rest, and by degree of depression;
    here differences have a p-value. Attention weights sum to one over tokens, so that more in one
    place is less in all others.

    Parameters
    ----------
    a, b : arrays of shape (n_recordings, n_parcels)
        Maps, such as those of :func:`parcel_attention`.
    subjects_a, subjects_b : array of shape (n_recordings,), optional
        Who each recording is of. Recordings of a subject are averaged first. Without them, each
        recording counts as somebody; give both or none.
    paired : bool, optional
        Whether `a` and `b` are of the same subjects; None looks. True with subjects who are in one
        of them only leaves these out; True without subjects takes the rows as pairs.
    labels : array of shape (n_parcels,), optional
        Average the parcels of a label, such as a network, before anything is tested: fewer
        comparisons, less noise, and only labels can be named.
    coords : array of shape (n_parcels, 3), optional
        MNI coordinates in mm. With labels, gives the `p_spatial` of the result by
        :func:`network_enrichment`.
    n_permutations : int, default=5000
        Permutations; all there are when these are not more.
    random_state : int, RandomState or None, default=None
        Seed of the permutations.

    Returns
    -------
    AttentionContrast
        Effect, t and corrected p.

    Raises
    ------
    ValueError
        If shapes do not fit, there are too few subjects, or some subjects are in both groups
        and others are not and `paired` does not say what to do.

    See Also
    --------
    parcel_attention : Makes the maps.
    network_enrichment : Tests one map for networks.
    sklearn_brainlm.plotting.plot_parcels_on_glass_brain : Draws the effect.

    Notes
    -----
    Subjects are the units, as recordings of one are no independent evidence. Under the null, the
    two maps of a subject can be swapped, or subjects between groups. The largest ``|t|`` over
    parcels of each permutation corrects for all parcels at once, however they depend on one another
    (Westfall and Young, 1993; Nichols and Holmes, 2002). With few subjects there are few
    permutations: p cannot be smaller than one over their number, 2 ** -(n - 1) for n pairs.

    :func:`nilearn.mass_univariate.permuted_ols` has covariates, which this has not; this goes
    through all permutations where they are few, and averages over subjects.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> task, rest = rng.standard_normal((2, 12, 5))
    >>> task[:, 2] += 4
    >>> subjects = [f"sub-{i:02}" for i in range(6)] * 2
    >>> contrast = attention_contrast(task, rest, subjects_a=subjects, subjects_b=subjects)
    >>> contrast.paired, contrast.exact, contrast.significant().tolist()
    (True, True, [False, False, True, False, False])
    """
    a, b = (
        check_array(maps, dtype=np.float64, input_name=name) for name, maps in (("a", a), ("b", b))
    )
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"a has {a.shape[1]} parcels and b has {b.shape[1]}.")
    if paired and subjects_a is None and len(a) != len(b):
        raise ValueError(
            f"a has {len(a)} maps and b {len(b)}: give subjects_a and subjects_b to pair them."
        )
    a, b, paired = _average_subjects(a, b, subjects_a, subjects_b, paired)
    map_of_parcels = a.mean(axis=0) - b.mean(axis=0)
    names = np.arange(a.shape[1])
    if labels is not None:
        labels = column_or_1d(labels)
        check_consistent_length(labels, a.T)
        names = np.unique(labels)
        a, b = (
            np.stack([maps[:, labels == name].mean(axis=1) for name in names], axis=1)
            for maps in (a, b)
        )
    elif coords is not None:
        raise ValueError("coords without labels have no use here; see spatial_correlation.")
    seed = draw_seed(random_state)
    t, p_corrected, n_made, exact = _permute(a, b, paired, n_permutations, seed)
    p_spatial = None
    if coords is not None:
        p_spatial = network_enrichment(
            map_of_parcels, labels, coords, random_state=seed
        ).p_corrected
    return AttentionContrast(
        names=names,
        effect=a.mean(axis=0) - b.mean(axis=0),
        t=t,
        p_corrected=p_corrected,
        p_spatial=p_spatial,
        n_subjects=(len(a), len(b)),
        paired=paired,
        n_permutations=n_made,
        exact=exact,
    )


def _average_subjects(a, b, subjects_a, subjects_b, paired):
    """Return one map a subject, in the same order where they are paired, and whether they are."""
    if (subjects_a is None) != (subjects_b is None):
        raise ValueError("Give both subjects_a and subjects_b, or none of them.")
    if subjects_a is None:
        paired = bool(paired)
    else:
        subjects_a, subjects_b = column_or_1d(subjects_a), column_or_1d(subjects_b)
        check_consistent_length(a, subjects_a)
        check_consistent_length(b, subjects_b)
        both = np.intersect1d(subjects_a, subjects_b)
        n_all = len(np.union1d(subjects_a, subjects_b))
        if paired is None and 0 < len(both) < n_all:
            raise ValueError(
                f"{len(both)} of {n_all} subjects are in both a and b: paired=True takes these and "
                "leaves the others out; or give groups that share nobody."
            )
        if paired is False and len(both):
            raise ValueError(
                f"{len(both)} subjects are in both a and b, which are then not independent: use "
                "paired=True."
            )
        paired = bool(len(both)) if paired is None else paired
        a, b = (
            np.stack(
                [maps[who == name].mean(axis=0) for name in (both if paired else np.unique(who))]
            )
            if len(both) or not paired
            else maps[:0]
            for maps, who in ((a, subjects_a), (b, subjects_b))
        )
    if min(len(a), len(b)) < 2:
        raise ValueError(
            f"{len(a)} subjects in a and {len(b)} in b{' who are in both' * paired}: at least 2 "
            "of each are needed."
        )
    return a, b, paired


def _permute(a, b, paired, n_permutations, seed):
    """Return t, p corrected by the largest of each permutation, how many there were, and if all."""
    result = stats.permutation_test(
        (a, b),
        _paired_t if paired else _welch_t,
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=n_permutations,
        batch=max(1, _MAX_VALUES // (a.size + b.size)),
        axis=0,
        rng=np.random.default_rng(seed),
    )
    t, largest = np.abs(result.statistic), np.abs(result.null_distribution).max(axis=1)
    n_made, n_there = len(largest), _count_permutations(len(a), len(b), paired)
    exact = n_made == n_there <= n_permutations
    # The same arrangement may be added up in another order: values that close are equal.
    reached = (largest[:, None] >= t - 1e-9 * np.maximum(1, t)).sum(axis=0)
    # The arrangement that was observed is one of them (Phipson and Smyth, 2010).
    p_corrected = reached / n_made if exact else (reached + 1) / (n_made + 1)
    return result.statistic, p_corrected, n_made, exact


def _count_permutations(n_a, n_b, paired):
    """Count all permutations there are."""
    return 2**n_a if paired else comb(n_a + n_b, n_a)


def _paired_t(a, b, axis):
    """Return the t of paired maps."""
    difference = a - b
    error = np.sqrt(difference.var(axis=axis, ddof=1) / difference.shape[axis])
    return _ratio(difference.mean(axis=axis), error)


def _welch_t(a, b, axis):
    """Return Welch's t of maps of two groups."""
    error = np.sqrt(
        a.var(axis=axis, ddof=1) / a.shape[axis] + b.var(axis=axis, ddof=1) / b.shape[axis]
    )
    return _ratio(a.mean(axis=axis) - b.mean(axis=axis), error)


def _ratio(mean, error):
    """Divide; nothing over nothing is no effect, something over nothing a very large one."""
    floor = np.finfo(np.float64).eps * np.abs(mean)
    return np.where(
        mean == 0, 0.0, mean / np.where(error > floor, error, np.maximum(floor, 1e-300))
    )
