"""What commands write: whole, or not at all."""

import csv
import os
import secrets
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

__all__ = [
    "check_folder",
    "check_table",
    "open_table",
    "replaced_folder",
    "sidecar_of",
    "write_text",
]

_TABLES = (".tsv", ".parquet")


def check_table(path):
    """Refuse a place for a table that could not be written, before any work is done.

    Parameters
    ----------
    path : str or Path
        Where the table shall be. Its folder is made when it is not there.

    Returns
    -------
    path : Path
        The same.

    Raises
    ------
    ImportError
        If it shall be Parquet, and there is nothing that writes it.
    OSError
        If its folder cannot be written to.
    ValueError
        If its name says of no known kind what it is.
    """
    path = Path(path)
    if path.suffix not in _TABLES:
        raise ValueError(f"{path} must end in one of {', '.join(_TABLES)}, which say what it is.")
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise ImportError(f"{path} needs pyarrow: pip install pyarrow, or write a .tsv.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file.")
    _make_writable(path.parent)
    return path


def check_folder(path, *, overwrite=False):
    """Refuse a place for a folder of results that could not be written.

    Parameters
    ----------
    path : str or Path
        Where the folder shall be.
    overwrite : bool, default=False
        Whether one that is there may be replaced.

    Returns
    -------
    path : Path
        The same.

    Raises
    ------
    OSError
        If something is there that may not be replaced, or the place cannot be written to.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file; name a folder.")
    if path.is_dir() and any(path.iterdir()):
        if not overwrite:
            raise FileExistsError(f"{path} is there already. Pass --overwrite, or another name.")
        if not (path / "config.json").is_file():
            raise FileExistsError(f"{path} does not hold weights: it is not overwritten.")
    _make_writable(path.parent)
    return path


@contextmanager
def open_table(path):
    """Write a table part by part, in a place where it appears once it is whole.

    Parameters
    ----------
    path : Path
        A file ending in .tsv or .parquet.

    Yields
    ------
    write : callable
        Takes a DataFrame, the next rows; all parts have the same columns.
    """
    from sklearn_brainlm.files.durable import replaced

    with replaced(path) as file:
        if path.suffix == ".tsv":
            yield lambda frame: _write_tsv(file, frame)
            return
        import pyarrow
        from pyarrow.parquet import ParquetWriter

        writers = []

        def write(frame):
            table = pyarrow.Table.from_pandas(frame, preserve_index=False)
            if not writers:
                writers.append(ParquetWriter(file, table.schema, write_page_checksum=True))
            writers[0].write_table(table)

        try:
            yield write
        finally:
            for writer in writers:
                writer.close()


@contextmanager
def replaced_folder(path):
    """Fill a folder beside its place, and move it there once it is whole.

    Parameters
    ----------
    path : Path
        Where it shall be. A folder that is there is replaced.

    Yields
    ------
    folder : Path
        The folder to fill.
    """
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    before = beside.with_suffix(".before")
    try:
        beside.mkdir()
        yield beside
        if path.is_dir() and any(path.iterdir()):
            os.rename(path, before)
        try:
            os.rename(beside, path)
        except BaseException:
            if before.exists():
                os.rename(before, path)
            raise
    finally:
        for leftover in (beside, before):
            shutil.rmtree(leftover, ignore_errors=True)


def sidecar_of(path):
    """Name the JSON file that says how a table was made.

    Parameters
    ----------
    path : Path
        The table.

    Returns
    -------
    path : Path
        The same name with another ending.
    """
    return path.with_suffix(".json")


def write_text(path, text):
    """Write a file, which appears complete or not at all.

    Parameters
    ----------
    path : Path
        The file.
    text : str
        What it shall hold.
    """
    from sklearn_brainlm.files.durable import write_bytes_atomically

    write_bytes_atomically(path, text.encode())


def _write_tsv(file, frame):
    """Append rows, below the names of the columns if they are the first."""
    text = frame.to_csv(
        sep="\t",
        index=False,
        header=file.tell() == 0,
        na_rep="n/a",
        lineterminator="\n",
        quoting=csv.QUOTE_MINIMAL,
    )
    file.write(text.encode())


def _make_writable(folder):
    """Make a folder, and find out whether it can be written to."""
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder} cannot be written to. Name another place.")
