"""The tables of a store: where recordings lie, whose they are, what could not be stored."""

import io
from dataclasses import dataclass, fields
from numbers import Real

import numpy as np

from sklearn_brainlm.storage.files import read_table_bytes

__all__ = ["Offsets", "parse_table", "read_offsets", "write_table"]

_OFFSET_COLUMNS = ("recording", "shard", "first_row", "n_timepoints", "crc32", "constant_parcels")


@dataclass(frozen=True)
class Offsets:
    r"""Where recordings lie, one entry a recording.

    Attributes
    ----------
    recording : list of str
        Their ids.
    shard, first_row, n_timepoints : int64 array of shape (n_recordings,)
        Number of the shard, first row in it and number of rows.
    crc32 : int64 array of shape (n_recordings,)
        Checksum of what is stored.
    constant_parcels : int64 array of shape (n_recordings,)
        Number of parcels that do not vary.

    Examples
    --------
    >>> offsets = Offsets(["a", "b"], *np.array([[0, 0], [0, 90], [90, 60], [1, 2], [0, 0]]))
    >>> offsets.to_tsv().decode().splitlines()[2].split("\t")
    ['b', '0', '90', '60', '00000002', '0']
    >>> Offsets.from_tsv(offsets.to_tsv()).n_timepoints.tolist()
    [90, 60]
    """

    recording: list
    shard: np.ndarray
    first_row: np.ndarray
    n_timepoints: np.ndarray
    crc32: np.ndarray
    constant_parcels: np.ndarray

    def to_tsv(self):
        """Write the table.

        Returns
        -------
        content : bytes
            Tab-separated, with a header.
        """
        columns = [getattr(self, field.name) for field in fields(self)]
        rows = [
            f"{name}\t{shard}\t{row}\t{n}\t{crc:08x}\t{constant}"
            for name, shard, row, n, crc, constant in zip(*columns, strict=True)
        ]
        return "".join(f"{line}\n" for line in ["\t".join(_OFFSET_COLUMNS), *rows]).encode("ascii")

    @classmethod
    def from_tsv(cls, content):
        """Read the table.

        Parameters
        ----------
        content : bytes
            What `to_tsv` wrote.

        Returns
        -------
        offsets : Offsets
            The same.
        """
        lines = content.decode("ascii").splitlines()
        names, shard, first_row, n_timepoints, crc32, constant = zip(
            *(line.split("\t") for line in lines[1:]), strict=True
        )
        numbers = [np.array(each, dtype=np.int64) for each in (shard, first_row, n_timepoints)]
        crc32 = np.array([int(each, 16) for each in crc32], dtype=np.int64)
        return cls(list(names), *numbers, crc32, np.array(constant, dtype=np.int64))


def read_offsets(folder, manifest):
    """Read where recordings lie.

    Parameters
    ----------
    folder : Path
        The store.
    manifest : dict
        Its manifest.

    Returns
    -------
    offsets : Offsets
        The table.
    """
    return Offsets.from_tsv(read_table_bytes(folder, manifest, "recordings.tsv"))


def write_table(table):
    """Write a table of text as a store keeps it.

    Parameters
    ----------
    table : DataFrame
        Columns of text, numbers or truth values; what is missing becomes "n/a".

    Returns
    -------
    content : bytes
        Tab-separated UTF-8.
    dtypes : dict of str to str
        What to read each column as: "text", "int64", "float64" or "bool".
    """
    import pandas as pd  # here, because the package is to be imported quickly

    columns, dtypes = {}, {}
    for name in table.columns:
        column = table[name]
        missing = column.isna().to_numpy()
        kind = getattr(column.dtype, "kind", "O")
        if kind == "O" and all(_is_number(x) for x in column[~missing]) and not missing.all():
            kind = "f"  # numbers in a column of objects, because some are missing
        if kind in "iu" and missing.any():
            kind = "f"
        if kind == "b" and missing.any():
            kind = "O"
        dtypes[name] = {"i": "int64", "u": "int64", "f": "float64", "b": "bool"}.get(kind, "text")
        if dtypes[name] == "text":  # a tab or a new line in it would be the end of a cell
            columns[name] = [
                None if gone else " ".join(str(x).split())
                for x, gone in zip(column, missing, strict=True)
            ]
        else:
            more = {"na_value": np.nan} if dtypes[name] == "float64" else {}
            columns[name] = column.to_numpy(dtype=dtypes[name], **more)
    text = io.StringIO()
    pd.DataFrame(columns).to_csv(text, sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    return text.getvalue().encode(), dtypes


def parse_table(content, dtypes):
    """Read a table of text.

    Parameters
    ----------
    content : bytes
        What `write_table` wrote.
    dtypes : dict of str to str
        What it said of the columns.

    Returns
    -------
    table : DataFrame
        The table; missing values are NaN.
    """
    import pandas as pd

    table = pd.read_csv(
        io.BytesIO(content), sep="\t", keep_default_na=False, na_values=["n/a", ""], dtype=object
    )
    convert = {  # by Python, whose numbers are to the last bit those that were written
        "text": lambda text: text,
        "int64": int,
        "float64": float,
        "bool": "True".__eq__,
    }
    kept_as = {name: object if dtype == "text" else dtype for name, dtype in dtypes.items()}
    columns = {
        name: np.array([convert[dtypes[name]](cell) for cell in table[name]], dtype=kept_as[name])
        for name in table.columns
    }
    return pd.DataFrame({name: pd.Series(columns[name], dtype=kept_as[name]) for name in columns})


def _is_number(x):
    """Say whether something is a number, and no truth value."""
    return isinstance(x, Real) and not isinstance(x, (bool, np.bool_))
