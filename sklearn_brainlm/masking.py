"""Masks as index arrays: which tokens of a window the model sees and which it must fill in.

A window of ``n_rows`` token rows (parcels, or groups of parcels) and ``n_columns`` patch columns
has ``n_rows * n_columns`` tokens, numbered parcel-major: ``token = row * n_columns + column``.
Every mask is a pair ``(ids_keep, ids_mask)`` of int64 arrays, one line a window, that together
hold each token once. Randomness is a ``numpy.random.Generator`` or noise that is handed in.
"""

import numpy as np

from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = [
    "block_mask",
    "draw_mask",
    "future_mask",
    "mask_ratios",
    "mask_to_bool",
    "n_masked_tokens",
    "parcel_mask",
    "random_mask",
    "raster_order",
]


def n_masked_tokens(n_tokens, mask_ratio):
    """Count the tokens to mask.

    Parameters
    ----------
    n_tokens : int
        Tokens in a window.
    mask_ratio : float
        Part of the tokens to mask, from 0 to 1.

    Returns
    -------
    n_masked : int
        At least one token is masked and at least one stays visible. The visible ones are counted
        in Python floats and rounded down, as released: mask_ratio=0.9 keeps 423 of 4240.

    Raises
    ------
    InvalidRecordingError
        If the window has fewer than two tokens.
    ValueError
        If `mask_ratio` is not between 0 and 1.
    """
    _check_mask_ratio(mask_ratio)
    _check_two(n_tokens, "token", "a longer window or a shorter patch_length")
    n_masked = n_tokens - int(n_tokens * (1 - mask_ratio))
    return min(max(n_masked, 1), n_tokens - 1)


def random_mask(n_rows, n_columns, mask_ratio, *, n_windows, rng=None, noise=None):
    """Mask tokens at random, each window on its own.

    Parameters
    ----------
    n_rows, n_columns : int
        Token grid of a window.
    mask_ratio : float
        Part of the tokens to mask, from 0 to 1.
    n_windows : int
        Windows to draw a mask for.
    rng : numpy.random.Generator, optional
        Source of the noise when none is given.
    noise : array of shape (n_windows, n_rows * n_columns), optional
        The tokens with the smallest noise stay visible.

    Returns
    -------
    ids_keep : int64 array of shape (n_windows, n_visible)
        Visible tokens in ascending order of their noise, which is the order the released models
        read them in.
    ids_mask : int64 array of shape (n_windows, n_masked)
        Masked tokens, the order of noise continued.

    Notes
    -----
    Section 3.2 of the article: random masking.
    """
    n_tokens = n_rows * n_columns
    n_visible = n_tokens - n_masked_tokens(n_tokens, mask_ratio)
    noise = _check_noise(noise, (n_windows, n_tokens), rng)
    ids = np.argsort(noise, axis=1, kind="stable")
    return ids[:, :n_visible], ids[:, n_visible:]


def future_mask(n_rows, n_columns, n_last_columns, *, n_windows):
    """Mask the last patch columns of every row.

    Parameters
    ----------
    n_rows, n_columns : int
        Token grid of a window.
    n_last_columns : int
        Patch columns to mask, from 1 to ``n_columns - 1``.
    n_windows : int
        Windows to make the mask for.

    Returns
    -------
    ids_keep, ids_mask : int64 arrays of shape (n_windows, n_visible), (n_windows, n_masked)
        Visible and masked tokens, both in ascending order.

    Raises
    ------
    ValueError
        If the future would be empty or the whole window.

    Notes
    -----
    Section 3.2 of the article: future timepoints masking.

    Examples
    --------
    >>> future_mask(2, 3, 1, n_windows=1)
    (array([[0, 1, 3, 4]]), array([[2, 5]]))
    """
    if not 1 <= n_last_columns <= n_columns - 1:
        raise ValueError(
            f"n_last_columns={n_last_columns} is out of range: a window of {n_columns} patch "
            f"columns can have 1 to {n_columns - 1} of them masked."
        )
    masked = np.zeros((n_windows, n_rows, n_columns), dtype=bool)
    masked[:, :, n_columns - n_last_columns :] = True
    return _split(masked)


def block_mask(n_rows, n_columns, mask_ratio, *, n_windows, rng=None, noise=None):
    """Mask one stretch of consecutive patch columns in every row.

    Parameters
    ----------
    n_rows, n_columns : int
        Token grid of a window.
    mask_ratio : float
        Part of the patch columns to mask, rounded to whole columns.
    n_windows : int
        Windows to draw a mask for.
    rng : numpy.random.Generator, optional
        Source of the noise when none is given.
    noise : array of shape (n_windows, n_columns), optional
        The stretch starts at the column with the smallest noise among those where it fits.

    Returns
    -------
    ids_keep, ids_mask : int64 arrays of shape (n_windows, n_visible), (n_windows, n_masked)
        Visible and masked tokens, both in ascending order.
    """
    n_masked = _n_masked_lines(n_columns, mask_ratio, "patch column")
    noise = _check_noise(noise, (n_windows, n_columns), rng)
    start = noise[:, : n_columns - n_masked + 1].argmin(axis=1)[:, None]
    column = np.arange(n_columns)
    in_block = (start <= column) & (column < start + n_masked)  # (n_windows, n_columns)
    return _split(np.repeat(in_block[:, None, :], n_rows, axis=1))


def parcel_mask(n_rows, n_columns, mask_ratio, *, n_windows, rng=None, noise=None):
    """Mask whole token rows: every timepoint of some parcels.

    Parameters
    ----------
    n_rows, n_columns : int
        Token grid of a window.
    mask_ratio : float
        Part of the rows to mask, rounded to whole rows.
    n_windows : int
        Windows to draw a mask for.
    rng : numpy.random.Generator, optional
        Source of the noise when none is given.
    noise : array of shape (n_windows, n_rows), optional
        The rows with the smallest noise stay visible.

    Returns
    -------
    ids_keep, ids_mask : int64 arrays of shape (n_windows, n_visible), (n_windows, n_masked)
        Visible and masked tokens, both in ascending order.
    """
    n_masked = _n_masked_lines(n_rows, mask_ratio, "parcel row")
    noise = _check_noise(noise, (n_windows, n_rows), rng)
    rows = np.argsort(noise, axis=1, kind="stable")[:, n_rows - n_masked :]
    return _split(np.repeat(mask_to_bool(rows, n_rows)[:, :, None], n_columns, axis=2))


def draw_mask(masking, n_rows, n_columns, mask_ratio, *, n_windows, rng=None, noise=None):
    """Draw masks of the named kind.

    Parameters
    ----------
    masking : {"random", "future", "block", "parcel"}
        Kind of mask. "future" masks `mask_ratio` of the patch columns, rounded.
    n_rows, n_columns : int
        Token grid of a window.
    mask_ratio : float
        Part of the tokens, columns or rows to mask, from 0 to 1.
    n_windows : int
        Windows to draw a mask for.
    rng : numpy.random.Generator, optional
        Source of the noise when none is given.
    noise : array, optional
        Noise of the shape that the kind of mask asks for; "future" has none.

    Returns
    -------
    ids_keep, ids_mask : int64 arrays of shape (n_windows, n_visible), (n_windows, n_masked)
        Visible and masked tokens.

    Raises
    ------
    ValueError
        If `masking` is none of the four.
    """
    if masking == "future":
        n_last_columns = _n_masked_lines(n_columns, mask_ratio, "patch column")
        return future_mask(n_rows, n_columns, n_last_columns, n_windows=n_windows)
    kinds = {"random": random_mask, "block": block_mask, "parcel": parcel_mask}
    if masking not in kinds:
        raise ValueError(
            f"masking={masking!r} is unknown: use 'random', 'future', 'block' or 'parcel'."
        )
    return kinds[masking](n_rows, n_columns, mask_ratio, n_windows=n_windows, rng=rng, noise=noise)


def raster_order(ids):
    """Sort the tokens of each window: parcel by parcel, forward in time.

    Parameters
    ----------
    ids : int array of shape (n_windows, n_ids)
        Tokens in any order.

    Returns
    -------
    ids : int array of shape (n_windows, n_ids)
        The same tokens in ascending order.
    """
    return np.sort(ids, axis=1)


def mask_to_bool(ids_mask, n_tokens):
    """Spell a mask out as one truth value a token.

    Parameters
    ----------
    ids_mask : int array of shape (n_windows, n_masked)
        Masked tokens.
    n_tokens : int
        Tokens in a window.

    Returns
    -------
    masked : bool array of shape (n_windows, n_tokens)
        True for masked tokens.

    Examples
    --------
    >>> mask_to_bool(np.array([[2, 0]]), 3)
    array([[ True, False,  True]])
    """
    masked = np.zeros((len(ids_mask), n_tokens), dtype=bool)
    np.put_along_axis(masked, ids_mask, True, axis=1)
    return masked


def _split(masked):
    """Turn (B, R, C) truth values, as many True in each window, into (ids_keep, ids_mask)."""
    masked = masked.reshape(len(masked), -1)
    ids = np.argsort(masked, axis=1, kind="stable")  # False first, each half ascending
    n_masked = np.count_nonzero(masked[:1])
    n_visible = masked.shape[1] - n_masked
    return ids[:, :n_visible], ids[:, n_visible:]


def _n_masked_lines(n_lines, mask_ratio, line):
    """Count the columns or rows to mask; one at least is masked and one stays visible."""
    _check_mask_ratio(mask_ratio)
    _check_two(n_lines, line, "masking='random'")
    return min(max(round(mask_ratio * n_lines), 1), n_lines - 1)


def mask_ratios(mask_ratio):
    """Return one or several mask ratios as an array.

    Parameters
    ----------
    mask_ratio : float or sequence of float
        Parts to mask.

    Returns
    -------
    ratios : ndarray of shape (n_ratios,)
        At least one.

    Raises
    ------
    ValueError
        If there is none.
    """
    ratios = np.atleast_1d(mask_ratio)
    if ratios.ndim != 1 or not ratios.size:
        raise ValueError(f"mask_ratio={mask_ratio!r} holds no ratio. Give a number, or several.")
    return ratios


def _check_mask_ratio(mask_ratio):
    """Refuse a mask ratio outside 0 to 1, NaN included."""
    if not 0 <= mask_ratio <= 1:
        raise ValueError(f"mask_ratio={mask_ratio} is out of range: it must be from 0 to 1.")


def _check_two(n_lines, line, remedy):
    """Refuse a window in which nothing can be masked while something stays visible."""
    if n_lines < 2:
        count = {0: "no", 1: "one"}.get(n_lines, n_lines)
        raise InvalidRecordingError(
            f"The window has {count} {line}; masking needs one to hide and one to see. "
            f"Use {remedy}."
        )


def _check_noise(noise, shape, rng):
    """Return the noise as an array of the expected shape, drawn when none is given."""
    if noise is None:
        return np.random.default_rng(rng).random(shape)
    noise = np.asarray(noise)
    if noise.shape != shape:
        raise ValueError(f"noise has shape {noise.shape}, expected {shape}.")
    return noise
