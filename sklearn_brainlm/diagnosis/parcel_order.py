"""Whether the columns of recordings lie where the coordinates of the parcels say.

Near parcels are connected, and so are parcels at the same place of the two hemispheres. A
connectivity whose rows were shuffled, or belong to another atlas, does not follow the coordinates.
"""

import numpy as np

from sklearn_brainlm.diagnosis.findings import Finding

__all__ = ["OrderScore", "closeness", "connectivity", "find_parcel_order", "score_order"]

_MIN_PARCELS = 10  # fewer follow any order by chance
_REACH = 25.0  # mm over which connectivity falls to a third
_HOMOTOPIC = 0.7  # of the mirrored place, compared with the place itself
_N_SHUFFLES = 50
_MAX_SHUFFLED = 256  # parcels that are shuffled; of more the spread is smaller still
_LEAST = 0.12  # 6 public cohorts in their order gave 0.2 and more, shuffled 0.08 and less
_LEAST_SPREADS = 5.0
_MIN_TIMEPOINTS = 60  # shorter recordings are judged together
_MARGIN = 0.05  # by which another order has to be better to be believed


class OrderScore:
    """How well connectivity follows the coordinates of the parcels.

    Parameters
    ----------
    given : float
        Correlation over pairs of parcels between connectivity and closeness, in the order given.
    spread : float
        Standard deviation of that correlation when parcels are shuffled.
    better : str or None
        The simple reordering that fits clearly better than the order given.

    Examples
    --------
    >>> OrderScore(given=0.4, spread=0.02, better=None).is_right
    True
    >>> OrderScore(given=0.02, spread=0.02, better=None).is_right
    False
    """

    def __init__(self, given, spread, better):
        self.given = given
        self.spread = spread
        self.better = better

    @property
    def is_right(self):
        """Whether the order given is far from chance, and no simple reordering is better."""
        return self.better is None and self.given > max(_LEAST, _LEAST_SPREADS * self.spread)


def find_parcel_order(recordings, coords):
    """Find recordings whose connectivity does not follow the coordinates of the parcels.

    Parameters
    ----------
    recordings : dict of int to array of shape (n_timepoints, n_parcels)
        Checked recordings by their position in X.
    coords : array of shape (n_parcels, 3)
        MNI coordinates in mm.

    Returns
    -------
    findings : list of Finding
        Recordings whose columns are in another order, or of another atlas.
    """
    if len(coords) < _MIN_PARCELS or not recordings:
        return []
    expected = closeness(coords)
    scores, together = {}, np.zeros_like(expected)
    short = [index for index, x in recordings.items() if len(x) < _MIN_TIMEPOINTS]
    for index, recording in recordings.items():
        observed = connectivity(recording)
        if index in short:
            together += observed
        else:
            scores[(index,)] = score_order(observed, expected)
    if sum(len(recordings[index]) for index in short) >= _MIN_TIMEPOINTS:
        scores[tuple(short)] = score_order(_over_pairs(together), expected)
    wrong = {}
    for indices, score in scores.items():
        if not score.is_right:
            wrong.setdefault(score.better, []).append((indices, score))
    findings = []
    for better, affected in wrong.items():
        indices = tuple(index for indices, _ in affected for index in indices)
        given = np.median([score.given for _, score in affected])
        spread = np.median([score.spread for _, score in affected])
        text = (
            f"connectivity does not follow the coordinates of the parcels (r = {given:.2f}, "
            f"{_LEAST} and more in the right order, 0 +- {spread:.2f} in shuffled ones)"
        )
        if better is not None:
            text = f"{better} (connectivity then follows the coordinates of the parcels better)"
        fix = "bring columns into the order of the coordinates, or find the coordinates they have"
        findings.append(Finding("parcel order", tuple(sorted(indices)), True, text, fix))
    return findings


def closeness(coords):
    """Say how near each parcel is to each other one, or to its mirror image.

    Parameters
    ----------
    coords : array of shape (n_parcels, 3)
        MNI coordinates in mm.

    Returns
    -------
    pattern : float32 array of shape (n_parcels, n_parcels)
        Centred over pairs and of norm 1, the diagonal 0.
    """
    mirrored = coords * [-1.0, 1.0, 1.0]
    near, across = (
        np.exp(-np.sqrt(((coords[:, None] - other[None]) ** 2).sum(axis=2)) / _REACH)
        for other in (coords, mirrored)
    )
    return _over_pairs(near + _HOMOTOPIC * across)


def connectivity(recording):
    """Correlate parcels, what is common to all of them taken out.

    Parameters
    ----------
    recording : array of shape (n_timepoints, n_parcels)
        A checked recording.

    Returns
    -------
    pattern : float32 array of shape (n_parcels, n_parcels)
        Centred over pairs and of norm 1, the diagonal 0; zeros for dead parcels.

    Notes
    -----
    Without the mean over parcels, distance shows much more: in two of six public cohorts
    connectivity followed it at 0.1 with the mean and at 0.35 without.
    """
    signals = _unit(np.asarray(recording, dtype=np.float64))
    shared = _unit(signals.mean(axis=1, keepdims=True))
    signals = _unit(signals - shared * (shared * signals).sum(axis=0)).astype(np.float32)
    return _over_pairs(signals.T @ signals)


def score_order(observed, expected):
    """Compare connectivity with closeness, in the order given, in others, and by chance.

    Parameters
    ----------
    observed, expected : float32 array of shape (n_parcels, n_parcels)
        What `connectivity` and `closeness` return.

    Returns
    -------
    score : OrderScore
        The comparison.
    """
    n_parcels = len(observed)
    given = float(np.vdot(observed, expected))
    others = {
        name: float(np.vdot(observed[np.ix_(order, order)], expected))
        for name, order in _simple_orders(n_parcels).items()
    }
    best = max(others, key=others.get)
    is_better = others[best] > max(_LEAST, given + _MARGIN)
    return OrderScore(given, _spread(observed, expected), best if is_better else None)


def _simple_orders(n_parcels):
    """Return the reorderings that happen in practice: which column is parcel 0, 1, ..."""
    parcels = np.arange(n_parcels)
    alternating = np.r_[0:n_parcels:2, 1:n_parcels:2]
    return {
        "columns come one too late: one was put in front, such as the background": np.roll(
            parcels, -1
        ),
        "columns come one too early: the first was lost": np.roll(parcels, 1),
        "columns are in reverse": parcels[::-1],
        "columns alternate between hemispheres, coordinates do not": alternating,
        "coordinates alternate between hemispheres, columns do not": np.argsort(alternating),
    }


def _spread(observed, expected):
    """Return the standard deviation of the correlation under shuffled parcels."""
    rng = np.random.default_rng(0)
    n_parcels = len(observed)
    if n_parcels > _MAX_SHUFFLED:
        kept = np.sort(rng.choice(n_parcels, _MAX_SHUFFLED, replace=False))
        observed, expected = (_over_pairs(x[np.ix_(kept, kept)]) for x in (observed, expected))
    shuffles = [rng.permutation(len(observed)) for _ in range(_N_SHUFFLES)]
    return float(np.std([np.vdot(observed[np.ix_(s, s)], expected) for s in shuffles]))


def _over_pairs(square):
    """Centre a symmetric matrix over its pairs and scale it to norm 1, without the diagonal."""
    pairs = ~np.eye(len(square), dtype=bool)
    centred = np.where(pairs, square - square[pairs].mean(), 0.0)
    norm = np.sqrt((centred**2).sum())
    return (centred / norm if norm > 0 else centred).astype(np.float32)


def _unit(signals):
    """Centre columns and scale them to norm 1; those that do not vary become 0."""
    centred = signals - signals.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    alive = norm > 1e-9 * np.abs(signals).max(axis=0, initial=0)
    return np.divide(centred, norm, out=np.zeros_like(centred), where=alive & (norm > 0))
