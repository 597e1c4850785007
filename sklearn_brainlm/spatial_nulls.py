"""Maps over parcels compared with maps that are as smooth: the coordinates are rotated."""

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import rankdata
from sklearn.utils import Bunch, column_or_1d

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm._parcels import check_parcel_coords

__all__ = ["network_enrichment", "spatial_correlation", "spin_parcels"]


def spin_parcels(coords, *, n_rotations=1000, random_state=None):
    """Rotate parcels on a sphere, and say which parcel comes to lie where.

    Rotated maps are a null for maps over parcels (Alexander-Bloch et al., 2018): about as smooth as
    the map, but elsewhere.

    Parameters
    ----------
    coords : array of shape (n_parcels, 3)
        MNI coordinates in mm.
    n_rotations : int, default=1000
        Rotations.
    random_state : int, RandomState or None, default=None
        Seed of the rotations.

    Returns
    -------
    int array of shape (n_rotations, n_parcels)
        ``values[spins[i]]`` is a rotated map.

    Raises
    ------
    ValueError
        If a hemisphere has fewer than four parcels.

    See Also
    --------
    spatial_correlation : Compares two maps by this null.
    network_enrichment : Compares a map with networks.

    Notes
    -----
    The parcels of a hemisphere (x < 0, and x >= 0) are projected to a sphere around their mean,
    rotated, by mirrored rotations left and right, and each parcel takes the value of the rotated
    parcel that is nearest.

    Its limits. Coordinates of a volume are no spherical registration of the cortex: parcels in the
    depth, those of the cerebellum and of subcortical structures are put on the sphere like the
    others, and what was far apart along a fold may come to lie together. Several parcels may take
    the value of one, and others' are lost, so that rotated maps do not have the variance of the
    map, most where parcels are few or unevenly spread. It is a null for cortical parcellations;
    elsewhere take its p-values as rough.

    Examples
    --------
    >>> coords = np.random.default_rng(0).uniform(-60, 60, (20, 3))
    >>> spin_parcels(coords, n_rotations=5, random_state=0).shape
    (5, 20)
    """
    coords = check_parcel_coords(coords, len(coords))
    left = coords[:, 0] < 0
    hemispheres = [np.flatnonzero(side) for side in (left, ~left)]
    sizes = [len(side) for side in hemispheres]
    if min(sizes) < 4:
        raise ValueError(
            f"{sizes[0]} parcels lie left (x < 0) and {sizes[1]} right: rotations need at least 4 "
            "of each."
        )
    rng = np.random.default_rng(draw_seed(random_state))
    # Four independent normal numbers are a quaternion whose rotation is uniform.
    rotations = Rotation.from_quat(rng.standard_normal((n_rotations, 4))).as_matrix()
    mirror = np.diag([-1.0, 1.0, 1.0])
    spins = np.empty((n_rotations, len(coords)), dtype=np.int64)
    for side, turns in zip(hemispheres, (rotations, mirror @ rotations @ mirror), strict=True):
        sphere = coords[side] - coords[side].mean(axis=0)
        sphere = sphere / np.maximum(np.linalg.norm(sphere, axis=1, keepdims=True), 1e-9)
        # On a sphere, the nearest is the one with the largest product.
        spins[:, side] = side[(sphere @ turns @ sphere.T).argmax(axis=1)]
    return spins


def spatial_correlation(
    first, second, coords, *, method="spearman", n_rotations=1000, random_state=None
):
    """Correlate two maps over parcels, against a null of rotated maps.

    Parcels near one another are alike in most maps: a test that takes them as independent finds a
    correlation between almost any two. Rotation keeps neighbours together.

    Parameters
    ----------
    first, second : arrays of shape (n_parcels,)
        Maps; the first is rotated.
    coords : array of shape (n_parcels, 3)
        MNI coordinates in mm.
    method : {"spearman", "pearson"}, default="spearman"
        Correlation of ranks or of values.
    n_rotations : int, default=1000
        Rotations of the null.
    random_state : int, RandomState or None, default=None
        Seed of the rotations.

    Returns
    -------
    Bunch
        ``correlation``; ``p_value``, two-sided; ``null`` (n_rotations,).

    Raises
    ------
    ValueError
        If shapes do not fit, or the method is unknown.

    See Also
    --------
    spin_parcels : Makes the null.
    network_enrichment : Compares a map with networks.

    Notes
    -----
    The limits are those of :func:`spin_parcels`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> coords = rng.uniform(-60, 60, (40, 3))
    >>> found = spatial_correlation(coords[:, 1], coords[:, 1] + rng.normal(size=40), coords,
    ...     n_rotations=200, random_state=0)
    >>> bool(found.correlation > 0.9), bool(found.p_value < 0.05)
    (True, True)
    """
    if method not in ("spearman", "pearson"):
        raise ValueError(f"method must be 'spearman' or 'pearson', got {method!r}.")
    first, second = (column_or_1d(values, dtype=np.float64) for values in (first, second))
    if len(first) != len(second):
        raise ValueError(f"The maps have {len(first)} and {len(second)} parcels.")
    spins = _spins(coords, len(first), n_rotations, random_state)
    if method == "spearman":
        second = rankdata(second)

    def correlate(maps):
        # Correlate maps (n, P) with the second one.
        maps = rankdata(maps, axis=1) if method == "spearman" else maps
        maps = maps - maps.mean(axis=1, keepdims=True)
        centred = second - second.mean()
        size = np.linalg.norm(maps, axis=1) * np.linalg.norm(centred)
        return maps @ centred / np.maximum(size, 1e-300)

    correlation, null = correlate(first[None])[0], correlate(first[spins])
    reached = (np.abs(null) >= abs(correlation) - 1e-12).sum()
    p_value = float((reached + 1) / (n_rotations + 1))
    return Bunch(correlation=float(correlation), p_value=p_value, null=null)


def network_enrichment(values, labels, coords, *, n_rotations=1000, random_state=None):
    """Ask whether a map is larger in a network than in parcels that lie together elsewhere.

    Parcels of a network mostly lie together, and what lies together is alike in most maps: a
    network has to stand out from places of its own shape.

    Parameters
    ----------
    values : array of shape (n_parcels,)
        A map.
    labels : array of shape (n_parcels,)
        Network of each parcel.
    coords : array of shape (n_parcels, 3)
        MNI coordinates in mm.
    n_rotations : int, default=1000
        Rotations of the null.
    random_state : int, RandomState or None, default=None
        Seed of the rotations.

    Returns
    -------
    Bunch
        ``names`` of the networks; ``means`` of the map in each, minus its mean over all parcels;
        ``p_corrected``, two-sided, corrected by the largest standardised mean of each rotation. All
        (n_networks,).

    Raises
    ------
    ValueError
        If shapes do not fit.

    See Also
    --------
    spin_parcels : Makes the null.
    attention_contrast : Asks it of a difference between groups.

    Notes
    -----
    The limits are those of :func:`spin_parcels`.

    Examples
    --------
    >>> coords = np.random.default_rng(0).uniform(-60, 60, (40, 3))
    >>> labels = np.where(coords[:, 1] > 0, "front", "back")
    >>> network_enrichment(coords[:, 1], labels, coords, n_rotations=200, random_state=0).names
    array(['back', 'front'], dtype='<U5')
    """
    values = column_or_1d(values, dtype=np.float64)
    names, member = np.unique(column_or_1d(labels), return_inverse=True)
    if len(member) != len(values):
        raise ValueError(f"There are {len(values)} values and {len(member)} labels.")
    spins = _spins(coords, len(values), n_rotations, random_state)
    belongs = np.eye(len(names))[member]
    belongs = belongs / belongs.sum(axis=0)  # (P, n_networks)

    def means(maps):
        # Average maps (n, P) in each network, about their mean over all parcels.
        return (maps - maps.mean(axis=1, keepdims=True)) @ belongs

    observed, null = means(values[None])[0], means(values[spins])
    sd = np.maximum(null.std(axis=0), 1e-300)
    largest = np.abs(null / sd).max(axis=1)
    reached = (largest[:, None] >= np.abs(observed / sd) - 1e-9).sum(axis=0)
    return Bunch(names=names, means=observed, p_corrected=(reached + 1) / (n_rotations + 1))


def _spins(coords, n_parcels, n_rotations, random_state):
    """Check coordinates against a map and rotate them."""
    coords = check_parcel_coords(coords, n_parcels)
    return spin_parcels(coords, n_rotations=n_rotations, random_state=random_state)
