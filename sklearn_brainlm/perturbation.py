"""In-silico perturbation: change parcels in the input, and see what a model predicts elsewhere."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._base import draw_seed
from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = ["Perturbation", "perturb"]

_CHANGES = ("add", "scale", "silence")


@dataclass(frozen=True, eq=False)
class Perturbation:
    """What :func:`perturb` found.

    Attributes
    ----------
    response : float64 ndarray of shape (n_recordings, n_parcels)
        Change in predicted activity of each parcel, mean over timepoints, in standard deviations of
        the parcel in the recording. NaN for what was perturbed and what shares a patch with it.
    effect : float64 ndarray of shape (n_parcels,)
        Its mean over recordings.
    null : float64 ndarray of shape (n_null, n_parcels)
        The same for parcels drawn at random; NaN where a parcel was one of them.
    p_value, p_corrected : float64 ndarray of shape (n_parcels,)
        Two-sided, of a parcel alone, and for all parcels by the largest standardised effect of
        each draw. NaN without a null, and where the effect is.
    parcels : ndarray of int
        Parcels that were perturbed.

    Examples
    --------
    >>> from sklearn_brainlm import GaussianReconstructor
    >>> recordings = np.random.default_rng(0).standard_normal((3, 60, 5))
    >>> recordings[:, :, 1] = recordings[:, :, 0] + 0.1 * recordings[:, :, 1]
    >>> made = perturb(GaussianReconstructor(temporal=False).fit(recordings), recordings, [0])
    >>> int(np.nanargmax(np.abs(made.effect)))
    1
    """

    response: np.ndarray
    effect: np.ndarray
    null: np.ndarray
    p_value: np.ndarray
    p_corrected: np.ndarray
    parcels: np.ndarray


def perturb(
    estimator,
    X,
    parcels,
    *,
    change="add",
    amount=1.0,
    n_folds=4,
    n_null=0,
    random_state=None,
):
    """Change the activity of parcels and return the change in predicted activity elsewhere.

    It asks a model what it would predict if some parcels were louder, shifted or silent. The answer
    says what the model has learned to go with what, such as that parcels are correlated, and is no
    evidence of what an intervention on a brain would do.

    Parameters
    ----------
    estimator : BrainLMTransformer or GaussianReconstructor
        Fitted; whatever has ``reconstruct_windows``.
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings.
    parcels : int array, or bool array of shape (n_parcels,)
        Parcels to perturb, such as those of a network.
    change : {"add", "scale", "silence"}, default="add"
        Add `amount` standard deviations of the parcel in its recording to every timepoint; multiply
        what differs from the parcel's mean in its recording by `amount`; or set the parcel to that
        mean.
    amount : float, default=1.0
        How much; "silence" has no use for it.
    n_folds : int, default=4
        The parcels that are asked for are hidden in this many parts, one after the other.
    n_null : int, default=0
        Draws of as many parcels at random that are perturbed in the same way.
    random_state : int, RandomState or None, default=None
        Seed of the parts and of the null.

    Returns
    -------
    Perturbation
        Responses, their mean, and how they compare with the null.

    Raises
    ------
    ValueError
        If a parameter is out of range, or nothing is left to be predicted.
    TypeError
        If the estimator does not reconstruct.

    See Also
    --------
    occlusion : What changes in a prediction or an embedding.
    attention_matrix : How much parcels attend to one another.

    Notes
    -----
    A model of masked activity predicts what it cannot see. So each parcel that is asked for is
    hidden for a whole window, together with the others of its part; the perturbed parcels and all
    other parts are visible, as they were recorded but for the change. The response is what is then
    predicted minus what is predicted from the recording as it is. Which part a parcel is in, and so
    what else is hidden, is the same for both.

    The response of "add" is a level. "scale" and "silence" keep the mean of a parcel, so that the
    response is not that of the mean but of how much is predicted to happen: the change in standard
    deviation over time.

    The null asks whether these parcels move others more than any would. It has as many parcels,
    wherever they lie: they do not lie together as those of a network do, and their own activity is
    less alike.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> recordings = np.random.default_rng(0).standard_normal((3, 40, 6))
    >>> model = BrainLMTransformer(
    ...     window_length=20, patch_length=5, prior=None, max_epochs=1, random_state=0
    ... ).fit(recordings)
    >>> made = perturb(model, recordings, [0, 1], n_null=19, random_state=0)
    >>> made.response.shape, made.null.shape, np.isnan(made.effect).tolist()
    ((3, 6), (19, 6), [True, True, False, False, False, False])
    """
    if not hasattr(estimator, "reconstruct_windows"):
        raise TypeError(
            f"{type(estimator).__name__} does not reconstruct: give a fitted BrainLMTransformer or "
            "GaussianReconstructor, or the encoder_ of an estimator that predicts."
        )
    check_is_fitted(estimator)
    _check_numbers(change, amount, n_folds, n_null)
    recordings = estimator._check_fitted_X(X)
    windows = _read_windows(estimator, recordings)
    grid = estimator._grid
    parcels = _check_parcels(parcels, grid.n_parcels)
    rng = np.random.default_rng(draw_seed(random_state))
    part_of_row = rng.permutation(grid.n_rows) % n_folds
    response = _respond(estimator, windows, parcels, change, amount, part_of_row)
    effect = _mean(response)
    if np.isnan(effect).all():
        raise ValueError(
            f"All {grid.n_parcels} parcels are perturbed or share a patch with those that are: "
            "nothing is left to be predicted."
        )
    null = np.full((n_null, grid.n_parcels), np.nan)
    for draw in null:
        drawn = np.sort(rng.choice(grid.n_parcels, size=len(parcels), replace=False))
        draw[:] = _mean(_respond(estimator, windows, drawn, change, amount, part_of_row))
    return Perturbation(response, effect, null, *_compare(effect, null), parcels)


def _check_numbers(change, amount, n_folds, n_null):
    """Refuse parameters that mean nothing."""
    if change not in _CHANGES:
        raise ValueError(f"change must be one of {', '.join(_CHANGES)}; got {change!r}.")
    if not isinstance(amount, Real) or not np.isfinite(amount):
        raise ValueError(f"amount must be a finite number, got {amount!r}.")
    for name, value, least in (("n_folds", n_folds, 1), ("n_null", n_null, 0)):
        if not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}.")


def _check_parcels(parcels, n_parcels):
    """Return the numbers of parcels, sorted."""
    parcels = np.atleast_1d(parcels)
    if parcels.dtype == bool:
        if parcels.shape != (n_parcels,):
            raise ValueError(f"parcels marks {parcels.shape}, and there are {n_parcels}.")
        parcels = np.flatnonzero(parcels)
    if parcels.ndim != 1 or not len(parcels) or parcels.dtype.kind not in "iu":
        raise ValueError("parcels must hold at least one number of a parcel, or mark them.")
    if parcels.min() < 0 or parcels.max() >= n_parcels:
        raise ValueError(
            f"parcels has {parcels.min()} to {parcels.max()}; there are 0 to {n_parcels - 1}."
        )
    return np.unique(parcels)


def _read_windows(estimator, recordings):
    """Return batches: windows (B, T, P), recording of each, and its mean and sd (B, P)."""
    reader = estimator._reader(recordings)
    batches = []
    for places in estimator._place_windows(recordings, same_length=True):
        signals, observed = reader.read(places)
        n_timepoints = int(observed[0].sum())
        batches.append((signals[:, :, :n_timepoints].transpose(0, 2, 1), places[:, 0]))
    mean, sd = np.empty((2, len(recordings), estimator.n_features_in_))
    for i, recording in enumerate(recordings):
        values = np.asarray(reader.scale(recording), dtype=np.float64)
        mean[i], sd[i] = values.mean(axis=0), values.std(axis=0)
    flat = sd <= 1e-6 * np.maximum(1, np.abs(mean))
    if flat.all():
        raise InvalidRecordingError("All parcels are constant: there is nothing to perturb.")
    return [
        (windows, recording, mean[recording][:, None], np.where(flat, np.nan, sd)[recording])
        for windows, recording in batches
    ]


def _respond(estimator, batches, parcels, change, amount, part_of_row):
    """Return the response (n_recordings, P) to a change of parcels."""
    grid = estimator._grid
    row = grid._row_of_parcel()
    held = np.isin(row, row[parcels])  # what shares a patch with the perturbed ones stays visible
    n_recordings = 1 + max(recording.max() for _, recording, *_ in batches)
    total = np.zeros((n_recordings, grid.n_parcels))
    n_windows = np.zeros((n_recordings, 1))
    for windows, recording, mean, sd in batches:
        changed = windows.astype(np.float64)
        own = changed[:, :, parcels]
        centre = mean[:, :, parcels]
        changed[:, :, parcels] = {
            "add": own + amount * np.nan_to_num(sd[:, None, parcels]),
            "scale": centre + amount * (own - centre),
            "silence": np.broadcast_to(centre, own.shape),
        }[change]
        response = np.full((len(windows), grid.n_parcels), np.nan)
        for part in np.unique(part_of_row):
            asked = (part_of_row[row] == part) & ~held
            if not asked.any():
                continue
            masked = np.zeros(windows.shape, dtype=bool)
            masked[:, :, asked] = True
            made = estimator.reconstruct_windows(
                np.concatenate([windows, changed]), np.concatenate([masked, masked])
            )[:, :, asked].astype(np.float64)
            before, after = np.split(made, 2)
            if change == "add":
                response[:, asked] = (after - before).mean(axis=1)
            else:
                response[:, asked] = after.std(axis=1) - before.std(axis=1)
        np.add.at(total, recording, response / sd)
        np.add.at(n_windows, recording, 1)
    return total / n_windows


def _mean(response):
    """Average over recordings in which a parcel varies; NaN where it does in none."""
    known = ~np.isnan(response)
    count = known.sum(axis=0)
    total = np.where(known, response, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _compare(effect, null):
    """Return p of each parcel, and p corrected by the largest standardised effect of each draw."""
    known = ~np.isnan(null)
    # A draw that perturbed a parcel says nothing of what comes to it from elsewhere.
    count = known.sum(axis=0)
    if not len(null):
        return np.full(len(effect), np.nan), np.full(len(effect), np.nan)
    size = np.abs(np.where(known, null, 0.0))
    spread = np.sqrt((size**2).sum(axis=0) / np.maximum(count, 1))
    spread = np.maximum(spread, np.finfo(np.float64).tiny)
    reached = (known & (size >= np.abs(effect))).sum(axis=0)
    p_value = (reached + 1) / (count + 1)
    asked = ~np.isnan(effect)
    largest = (size / spread)[:, asked].max(axis=1)
    above = (largest[:, None] >= np.abs(effect) / spread).sum(axis=0)
    p_corrected = (above + 1) / (len(null) + 1)
    return np.where(asked, p_value, np.nan), np.where(asked, p_corrected, np.nan)
