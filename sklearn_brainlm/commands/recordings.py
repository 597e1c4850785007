"""Recordings that a command was told of, with their tables."""

import difflib
import hashlib
from dataclasses import dataclass, replace

from sklearn_brainlm.commands.progress import say
from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = ["Recordings"]


@dataclass(frozen=True)
class Recordings:
    r"""Recordings on disk, with the tables that belong to them.

    Attributes
    ----------
    path : str
        Where they are, as it was given.
    kind : {"folder", "store"}
        What was found there.
    X : list of arrays of shape (n_timepoints, n_parcels) or RecordingStore
        The recordings, not yet read.
    participants : DataFrame of n_recordings rows
        Columns ``participant_id`` and ``recording`` at least.
    t_r : float array of shape (n_recordings,)
        Seconds, NaN where unknown.
    parcels : DataFrame or None
        Table of the parcels, with a column ``label``.
    parcel_coords : float array of shape (n_parcels, 3) or None
        MNI coordinates in mm.
    sha256 : dict of str to str
        Of the tables, or the manifest of a store, which vouches for every value.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sklearn_brainlm.commands.inputs import open_recordings
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "one.npy"), np.zeros((5, 2)))
    ...     tables = {"participants": "participant_id\trecording\nsub-1\tone.npy\n",
    ...               "parcels": "index\tlabel\n0\tleft\n1\tright\n"}
    ...     _ = [Path(folder, f"{name}.tsv").write_text(text) for name, text in tables.items()]
    ...     opened = open_recordings(folder)
    >>> opened.kind, len(opened), opened.parcel_names
    ('folder', 1, ['left', 'right'])
    """

    path: str
    kind: str
    X: object
    participants: object
    t_r: object
    parcels: object
    parcel_coords: object
    sha256: dict

    def __len__(self):
        return len(self.X)

    @property
    def parcel_names(self):
        """Name the parcels.

        Returns
        -------
        names : list of str or None
            In order; None when nobody knows.
        """
        return None if self.parcels is None else self.parcels["label"].astype(str).tolist()

    @property
    def ids(self):
        """Name the recordings.

        Returns
        -------
        names : list of str
            In order.
        """
        return self.participants["recording"].astype(str).tolist()

    def take(self, positions):
        """Return some of the recordings.

        Parameters
        ----------
        positions : int array of shape (n,)
            Which.

        Returns
        -------
        taken : Recordings
            These, with their rows of the tables.
        """
        X = self.X
        X = [X[i] for i in positions] if isinstance(X, list) else X[positions]
        rows = self.participants.iloc[positions].reset_index(drop=True)
        return replace(self, X=X, participants=rows, t_r=self.t_r[positions])

    def column(self, name):
        """Return a column of the table of participants.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        column : Series of n_recordings values
            The values.

        Raises
        ------
        InvalidRecordingError
            If there is none of this name.
        """
        if name not in self.participants:
            known = [str(column) for column in self.participants]
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
            raise InvalidRecordingError(
                f"The participants of {self.path} have no column {name!r}. {hint}They have "
                f"{', '.join(known)}."
            )
        return self.participants[name]

    def at_one_t_r(self, given=None, wanted=None):
        """Bring recordings to one repetition time, if they have several.

        Parameters
        ----------
        given : float, optional
            Repetition time of all of them, in place of what the tables say.
        wanted : float, optional
            What recordings of several repetition times are brought to; their median when None.

        Returns
        -------
        X : list of arrays or RecordingStore
            The recordings, in memory if they had to be resampled.
        t_r : float or None
            Seconds; None when nothing is known.

        Raises
        ------
        InvalidRecordingError
            If the repetition time of some recordings is known and that of others is not.
        """
        import numpy as np

        if given is not None:
            return self.X, given
        unknown = np.flatnonzero(~np.isfinite(self.t_r))
        if len(unknown) == len(self):
            say("The repetition time is not known: pass --t-r, in seconds, if you know it.")
            return self.X, None
        if len(unknown):
            raise InvalidRecordingError(
                f"{self.ids[unknown[0]]} and {len(unknown) - 1} more of {len(self)} recordings of "
                f"{self.path} have no repetition time, the others have. Fill in the column tr_s, "
                "or pass --t-r if it is the same for all."
            )
        rates = np.unique(self.t_r)
        if len(rates) == 1:
            return self.X, float(rates[0])
        from sklearn_brainlm.resampling import resample_recordings

        t_r = float(np.median(self.t_r)) if wanted is None else float(wanted)
        shown = ", ".join(f"{rate:g}" for rate in rates[:6])
        say(f"Recordings have repetition times of {shown} s: resampled to {t_r:g} s, in memory.")
        return resample_recordings(self.X, self.t_r, t_r), t_r

    def describe(self):
        """Say what the recordings were, for the provenance of what is made of them.

        Returns
        -------
        described : dict
            What JSON can hold.
        """
        lengths = getattr(self.X, "lengths", None)
        lengths = map(len, self.X) if lengths is None else map(int, lengths)
        listed = "".join(f"{name}\t{n}\n" for name, n in zip(self.ids, lengths, strict=True))
        return {
            "path": self.path,
            "kind": self.kind,
            "n_recordings": len(self),
            "n_participants": int(self.participants["participant_id"].nunique()),
            "ids_and_lengths_sha256": hashlib.sha256(listed.encode()).hexdigest(),
            "sha256": self.sha256,
        }
