"""The journal of a build: what has reached the disk, so that a build goes on after a kill."""

import json
import os
import zlib

__all__ = ["Journal"]


class Journal:
    """A file of entries, each with a checksum; a torn last entry is dropped.

    Parameters
    ----------
    path : Path
        The file; made when it is not there.

    Attributes
    ----------
    entries : list of dict
        What was written before, in order.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "journal"
    ...     with Journal(path) as journal:
    ...         journal.write([{"recording": "a"}, {"recording": "b"}])
    ...     _ = path.write_bytes(path.read_bytes()[:-3])  # killed while writing
    ...     with Journal(path) as journal:
    ...         journal.entries
    [{'recording': 'a'}]
    """

    def __init__(self, path):
        self.entries = []
        self._file = open(path, "a+b")
        self._file.seek(0)
        end = 0
        for line in self._file:
            entry = _read_line(line)
            if entry is None:
                break
            self.entries.append(entry)
            end += len(line)
        self._file.truncate(end)

    def write(self, entries):
        """Add entries, and return once they are on the disk.

        Parameters
        ----------
        entries : list of dict
            What JSON can hold.
        """
        for entry in entries:
            text = json.dumps(entry, allow_nan=False).encode()
            self._file.write(b"%08x %s\n" % (zlib.crc32(text), text))
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()


def _read_line(line):
    """Return the entry of a line, or None when it is not whole."""
    checksum, _, text = line.partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
        return None
    return json.loads(text)
