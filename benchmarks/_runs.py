"""What has been measured so far: sums of squares by subject, in a CSV to resume a run from.

One row a method, seed, mask ratio and test subject. Subjects are numbered, not named.
"""

import numpy as np
from _kept import Kept

KEY = {
    "method": str,
    "seed": str,  # empty for methods without chance
    "budget": str,  # settings of the method; another budget is another measurement
    "mask_ratio": float,
}
VALUES = {
    "subject": int,
    "n_windows": int,
    "sse": float,
    "ss": float,
    # What it cost, the same in all rows of a method and seed.
    "n_train": int,  # recordings
    "n_test": int,  # recordings
    "n_windows_drawn": float,  # in training; empty for methods that read recordings whole
    "n_parameters": float,
    "fit_cpu_seconds": float,
    "window_cpu_seconds": float,
    "device": str,
}


class Runs(Kept):
    """Sums of methods under one protocol, kept in a file."""

    def __init__(self, path, protocol):
        super().__init__(path, protocol, KEY, VALUES)

    def has(self, method, seed, budget, mask_ratio):
        """Say whether this has been measured."""
        return super().has(method=method, seed=seed, budget=budget, mask_ratio=mask_ratio)

    def add(self, method, seed, budget, mask_ratio, sums, cost):
        """Keep the sums of a method and seed at a mask ratio, in place of earlier ones, on disk."""
        rows = {
            "subject": np.arange(len(sums.ss)),
            "n_windows": sums.n_windows,
            "sse": sums.sse,
            "ss": sums.ss,
            "window_cpu_seconds": sums.cpu_seconds / sums.n_windows.sum(),
            **cost,
        }
        super().add(rows, method=method, seed=seed, budget=budget, mask_ratio=mask_ratio)
