"""What a store knows of recordings beside their values: ids, participants, parcels."""

import hashlib
from collections import Counter

import numpy as np

from sklearn_brainlm._validation import check_t_r
from sklearn_brainlm.exceptions import InvalidRecordingError
from sklearn_brainlm.storage.files import RECORDING_ID
from sklearn_brainlm.storage.tables import write_table

__all__ = ["StoreRows", "check_parcels", "fingerprint"]


class StoreRows:
    """Ids and participants of recordings, as many as there will be.

    Parameters
    ----------
    participants : DataFrame or dict of columns or None
        As `build_store` takes them.
    t_r : float or array or None
        Repetition time in seconds.
    n : int or None
        Number of recordings; None where an iterator has still to show it.

    Attributes
    ----------
    n : int or None
        The same, or the length of `participants` or `t_r`.

    Raises
    ------
    InvalidRecordingError
        There are no recordings, numbers of rows differ, ids repeat or are no names, or a
        repetition time is none.

    Examples
    --------
    >>> rows = StoreRows({"participant_id": ["sub-01", "sub-02"]}, 0.72, None)
    >>> rows.n, rows.name(1)
    (2, 'recording-000001')
    >>> rows.table(2).columns.tolist()
    ['participant_id', 'recording', 'tr_s']
    """

    def __init__(self, participants, t_r, n):
        import pandas as pd

        given = None if participants is None else pd.DataFrame(participants).reset_index(drop=True)
        t_r = None if t_r is None else np.asarray(t_r, dtype=np.float64)
        for name, found in (("participants", given), ("t_r", t_r)):
            if found is None or np.ndim(found) == 0:
                continue
            n = len(found) if n is None else n
            if len(found) != n:
                raise InvalidRecordingError(
                    f"{name} has {len(found)} entries for {n} recordings. Give one a recording."
                )
        if n == 0:
            raise InvalidRecordingError("There is no recording to store.")
        self.n = n  # None for an iterator that nothing else counts
        self._given, self._t_r = given, t_r
        self._ids = None
        if given is not None and "recording" in given:
            self._ids = _check_ids(given["recording"].tolist())
        if t_r is None and given is not None and "tr_s" in given:
            t_r = given["tr_s"].to_numpy(dtype=np.float64)
        for each in np.unique([] if t_r is None else t_r):
            if not np.isnan(each):
                check_t_r(float(each))

    def name(self, position):
        """Return the id of a recording.

        Parameters
        ----------
        position : int
            Its position among all that were given.

        Returns
        -------
        name : str
            The id.
        """
        if self.n is not None and position >= self.n:
            raise InvalidRecordingError(
                f"There are more than {self.n} recordings, but participants or t_r has {self.n}. "
                "Give one a recording."
            )
        return f"recording-{position:06d}" if self._ids is None else self._ids[position]

    def table(self, n):
        """Return the table of participants.

        Parameters
        ----------
        n : int
            Number of recordings that came.

        Returns
        -------
        table : DataFrame
            One row a recording: participant_id, recording, and what was given.
        """
        import pandas as pd

        if self.n is not None and n != self.n:
            raise InvalidRecordingError(
                f"{n} recordings came, but participants or t_r has {self.n}. Give one a recording."
            )
        ids = [self.name(position) for position in range(n)]
        given = pd.DataFrame(index=range(n)) if self._given is None else self._given
        first = given["participant_id"] if "participant_id" in given else ids
        table = pd.DataFrame({"participant_id": first, "recording": ids})
        table = table.join(given.drop(columns=["participant_id", "recording"], errors="ignore"))
        return table if self._t_r is None else table.assign(tr_s=self._t_r)

    def fingerprint(self):
        """Tell these rows from others.

        Returns
        -------
        fingerprint : str
            The same for the same rows.
        """
        if self.n is not None:
            return fingerprint(self.table(self.n))
        return "counted" if self._t_r is None else f"counted, t_r={float(self._t_r)}"


def _check_ids(ids):
    """Check that ids are names, each another."""
    for position, name in enumerate(ids):
        if not isinstance(name, str) or not RECORDING_ID.fullmatch(name):
            raise InvalidRecordingError(
                f"The id of recording {position} is {name!r}. Use letters, digits, '-', '_' and "
                "'.', no separators and no leading dot."
            )
    twice = [name for name, n in Counter(ids).items() if n > 1]
    if twice:
        raise InvalidRecordingError(
            f"Ids of recordings occur more than once: {', '.join(twice[:5])}"
            f"{f' and {len(twice) - 5} more' if len(twice) > 5 else ''}. Name each differently, "
            "for instance by session and run."
        )
    return ids


def check_parcels(parcels):
    """Check the table of parcels.

    Parameters
    ----------
    parcels : DataFrame or dict of columns or None
        One row a parcel.

    Returns
    -------
    table : DataFrame or None
        The table, with a column "index" that counts the columns of recordings.

    Raises
    ------
    InvalidRecordingError
        It has no rows or no labels, or counts the parcels otherwise.
    """
    import pandas as pd

    if parcels is None:
        return None
    table = pd.DataFrame(parcels).reset_index(drop=True)
    if table.empty or "label" not in table:
        raise InvalidRecordingError(
            f"parcels has {len(table)} rows and the columns {list(table.columns)}; it needs a row "
            "a parcel, and the column 'label'."
        )
    if "index" in table and list(table["index"]) != list(range(len(table))):
        raise InvalidRecordingError(
            "Column 'index' of parcels must count the columns of the recordings, from 0 in order."
        )
    rest = table.drop(columns="index", errors="ignore")
    return pd.DataFrame({"index": range(len(table))}).join(rest)


def fingerprint(table):
    """Compute the SHA-256 of a table as it is written.

    Parameters
    ----------
    table : DataFrame or None
        The table.

    Returns
    -------
    digest : str or None
        In hexadecimal; None without a table.
    """
    return None if table is None else hashlib.sha256(write_table(table)[0]).hexdigest()
