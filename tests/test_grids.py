"""Grids of tokens against plain loops over values."""

import numpy as np
import pytest

from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.grids import ImageGrid, TokenGrid

GRIDS = [
    TokenGrid(n_parcels=5, patch_length=4),
    TokenGrid(n_parcels=5, patch_length=4, parcels_per_patch=2),
    TokenGrid(5, 4, 2, np.array([3, 0, 4, 1, 2])),
]


def token_of(grid, timepoint, parcel, n_columns):
    """Number of the token that holds a value."""
    row = list(grid.order).index(parcel) // grid.parcels_per_patch
    return row * n_columns + timepoint // grid.patch_length


@pytest.mark.parametrize("grid", GRIDS)
def test_grid_agrees_with_a_loop_over_values(grid):
    n_timepoints, n_columns = 10, 3
    rng = np.random.default_rng(0)
    ids = rng.permutation(grid.n_rows * n_columns)[None, :4]
    missing = rng.random((n_timepoints, 5)) < 0.05
    held = grid.spread(ids, n_timepoints)[0]
    touched = set()
    for timepoint in range(n_timepoints):
        for parcel in range(5):
            token = token_of(grid, timepoint, parcel, n_columns)
            assert held[timepoint, parcel] == (token in ids)
            if missing[timepoint, parcel]:
                touched.add(token)
    assert set(np.flatnonzero(grid.touched(missing))) == touched
    observed = np.arange(12)[None] < n_timepoints
    assert grid.count_values(ids, observed) == held.sum()


def test_image_grid_agrees_with_a_loop_over_values():
    order = np.random.default_rng(0).permutation(10)
    grid = ImageGrid(10, 4, 4, order, image_size=(12, 20), window_length=10)
    assert (grid.n_rows, grid.n_columns(10), grid.n_tokens(10)) == (3, 5, 15)
    ids = np.array([[2, 6, 7, 13]])
    missing = np.zeros((10, 10), dtype=bool)
    missing[3, 4] = missing[9, order[9]] = True
    held = grid.spread(ids, 10)[0]
    expected = set()
    for timepoint in range(10):
        for parcel in range(10):
            row = (list(order).index(parcel) + 1) // 4  # one row of margin above
            token = row * 5 + (timepoint + 5) // 4  # five columns of margin before
            assert held[timepoint, parcel] == (token in ids)
            if missing[timepoint, parcel]:
                expected.add(token)
    assert set(np.flatnonzero(grid.touched(missing))) == expected
    assert grid.count_values(ids, np.ones((1, 10), bool)) == held.sum() > 0


def test_image_grid_takes_windows_of_one_length():
    grid = ImageGrid(10, 4, 4, image_size=(12, 20), window_length=10)
    window, observed = grid.pad(np.zeros((10, 10)))
    assert window.shape == (10, 10) and observed.all()
    with pytest.raises(InvalidRecordingError, match="9 timepoints .* exactly 10"):
        grid.pad(np.zeros((9, 10)))
