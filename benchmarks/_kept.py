"""What has been measured so far, in a CSV from which a run that was cut short goes on."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

_OF_ONE_BUDGET = ("seed", "fold", "mask_ratio")


def name_protocol(**said):
    """Name what is measured, and on whom, in eight letters."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:8]


class Kept:
    """A table of measurements under one protocol, written whole after each one.

    Parameters
    ----------
    path : path
        Its file.
    protocol : str
        Digest of what is measured and of whom. A file of another one is refused, so that numbers
        that cannot be compared never meet, and a long run is never overwritten.
    key : dict of str to type
        Columns that name a measurement, of which "budget" names the settings of the method.
    values : dict of str to type
        The other columns.
    """

    def __init__(self, path, protocol, key, values):
        self.path = Path(path)
        self.protocol = protocol
        self.key = list(key)
        columns = {"protocol": str, **key, **values}
        self.table = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
        if self.path.exists():
            missing = {name: [""] for name, kind in columns.items() if kind is float}
            self.table = pd.read_csv(
                self.path, dtype=columns, keep_default_na=False, na_values=missing
            )
        others = set(self.table["protocol"]) - {protocol}
        if others:
            raise ValueError(
                f"{self.path} was measured under another protocol or on other people "
                f"({', '.join(sorted(others))}, now {protocol}). Write to another --output or with "
                "another --suffix, or move the file away."
            )

    def has(self, **key):
        """Say whether this has been measured."""
        return bool(self._which(key).any())

    def of(self, **key):
        """Return the rows of some columns of the key."""
        return self.table[self._which(key)]

    def add(self, rows, **key):
        """Keep the rows of a measurement, in place of earlier ones, on disk."""
        # A seed or fold of an older budget is not averaged with those of this one, nor put beside
        # it at another mask ratio.
        others = {name: value for name, value in key.items() if name not in _OF_ONE_BUDGET}
        stale = self._which(others | {"budget": None}) & (self.table["budget"] != key["budget"])
        rest = self.table[~(self._which(key) | stale)]
        new = pd.DataFrame({"protocol": self.protocol, **key, **rows}, columns=self.table.columns)
        new = new.astype(self.table.dtypes.to_dict())
        self.table = new if rest.empty else pd.concat([rest, new], ignore_index=True)
        part = self.path.with_name(self.path.name + ".part")
        self.table.to_csv(part, index=False)
        os.replace(part, self.path)

    def _which(self, key):
        """Mark the rows of which some columns have these values; None is any."""
        unknown = set(key) - set(self.key)
        if unknown:
            raise KeyError(f"No column of the key is called {', '.join(sorted(unknown))}.")
        marks = pd.Series(True, index=self.table.index)
        for name, value in key.items():
            if isinstance(value, float):  # read back from text
                marks &= np.isclose(self.table[name], value)
            elif value is not None:
                marks &= self.table[name] == value
        return marks
