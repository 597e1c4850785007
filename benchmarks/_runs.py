"""What has been measured so far: sums of squares by subject, in a CSV to resume a run from.

One row a method, seed, mask ratio and test subject. Subjects are numbered, not named.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd

COLUMNS = {
    "protocol": str,
    "method": str,
    "seed": str,  # empty for methods without chance
    "budget": str,  # settings of the method; another budget is another measurement
    "mask_ratio": float,
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


class Runs:
    """Measurements under one protocol, kept in a file.

    A file that was measured under another protocol, or on other people, is refused, so that
    numbers that cannot be compared never meet in a table, and a long run is never overwritten.
    """

    def __init__(self, path, protocol):
        self.path = Path(path)
        self.protocol = protocol
        self.table = _empty()
        if self.path.exists():
            missing = {name: [""] for name, kind in COLUMNS.items() if kind is float}
            self.table = pd.read_csv(
                self.path, dtype=COLUMNS, keep_default_na=False, na_values=missing
            )
        others = set(self.table["protocol"]) - {protocol}
        if others:
            raise ValueError(
                f"{self.path} was measured under another protocol or on other people "
                f"({', '.join(sorted(others))}, now {protocol}). Write to another --output or with "
                "another --suffix, or move the file away."
            )

    def has(self, method, seed, budget, mask_ratio):
        """Say whether this has been measured."""
        same_budget = self.table["budget"] == budget
        return bool((self._which(method, seed, mask_ratio) & same_budget).any())

    def add(self, method, seed, budget, mask_ratio, sums, cost):
        """Keep the sums of a method and seed at a mask ratio, in place of earlier ones, on disk."""
        row = {
            "protocol": self.protocol,
            "method": method,
            "seed": seed,
            "budget": budget,
            "mask_ratio": mask_ratio,
            "subject": np.arange(len(sums.ss)),
            "n_windows": sums.n_windows,
            "sse": sums.sse,
            "ss": sums.ss,
            "window_cpu_seconds": sums.cpu_seconds / sums.n_windows.sum(),
            **cost,
        }
        # A seed of an older budget is not averaged with those of this one.
        stale = (self.table["method"] == method) & (self.table["budget"] != budget)
        keep = self.table[~(self._which(method, seed, mask_ratio) | stale)]
        new = pd.DataFrame(row, columns=list(COLUMNS)).astype(COLUMNS)
        self.table = new if keep.empty else pd.concat([keep, new], ignore_index=True)
        self._save()

    def _which(self, method, seed, mask_ratio):
        """Mark the rows of one measurement."""
        at_ratio = np.isclose(self.table["mask_ratio"], mask_ratio)  # read back from text
        return (self.table["method"] == method) & (self.table["seed"] == seed) & at_ratio

    def _save(self):
        """Write the file whole, so that a run cut short leaves the last complete one."""
        part = self.path.with_name(self.path.name + ".part")
        self.table.to_csv(part, index=False)
        os.replace(part, self.path)


def _empty():
    """Return a table without rows, with its columns."""
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
