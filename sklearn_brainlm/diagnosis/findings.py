"""What a check of recordings says, and how it is written down."""

import dataclasses

from sklearn_brainlm._values import enumerate_first

__all__ = ["SHOWN_AT_MOST", "Diagnosis", "Finding"]

SHOWN_AT_MOST = 6  # of more recordings than this, all are named as "all"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong with recordings, or worth knowing.

    Attributes
    ----------
    kind : str
        "shape", "transposed", "not finite", "dead parcels", "duplicates", "t_r", "length",
        "scale", "offset", "z-scored", "spectrum", "parcel order" or "parcel names".
    recordings : tuple of int
        Positions in X of the recordings it is about; empty when it is about none in particular.
    is_error : bool
        Whether ``transform`` would fail or return something wrong.
    text : str
        What was found, with the numbers.
    fix : str
        What to do about it.

    Examples
    --------
    >>> finding = Finding("scale", (3,), True, "values are 1000 times too large", "divide by 1000")
    >>> finding.kind, finding.recordings
    ('scale', (3,))
    """

    kind: str
    recordings: tuple
    is_error: bool
    text: str
    fix: str


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What :func:`~sklearn_brainlm.doctor.doctor` found; printed, it is a table.

    Attributes
    ----------
    findings : tuple of Finding
        Errors first.
    n_recordings : int
        Recordings that were looked at.
    summary : str
        What the recordings are like.
    recording_ids : tuple of str, optional
        Names of the recordings.

    Examples
    --------
    >>> finding = Finding("length", (1,), False, "8 timepoints", "leave it out")
    >>> diagnosis = Diagnosis((finding,), 2, "2 recordings of 5 parcels")
    >>> diagnosis.ok
    True
    >>> print(diagnosis)
    2 recordings of 5 parcels
    1 finding, none an error
    note   length  recording 1  8 timepoints. Fix: leave it out.
    """

    findings: tuple
    n_recordings: int
    summary: str
    recording_ids: tuple | None = None

    @property
    def ok(self):
        """Whether ``transform`` would be right: no finding is an error."""
        return not any(finding.is_error for finding in self.findings)

    def to_table(self):
        """Write the findings down, one line each.

        Returns
        -------
        table : str
            What the recordings are like, how many findings there are, and each with its fix.
        """
        n_errors = sum(finding.is_error for finding in self.findings)
        n_found = len(self.findings)
        count = f"{n_found} finding{'s' * (n_found != 1)}" if n_found else "no finding"
        if n_found:
            verdict = {0: "none an error", 1: "1 an error"}.get(n_errors, f"{n_errors} errors")
            count += f", {verdict}"
        rows = [
            (
                "error" if finding.is_error else "note",
                finding.kind,
                self._whom(finding.recordings),
                f"{_sentence(finding.text)} Fix: {_sentence(finding.fix)}",
            )
            for finding in self.findings
        ]
        widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
        widths[0] = 5
        lines = [
            "  ".join([*(f"{c:<{w}}" for c, w in zip(row, widths, strict=False)), row[3]])
            for row in rows
        ]
        return "\n".join([self.summary, count, *lines])

    def __str__(self):
        return self.to_table()

    def _whom(self, recordings):
        """Name the recordings of a finding."""
        if not recordings:
            return "-"
        if len(recordings) == self.n_recordings and len(recordings) > SHOWN_AT_MOST:
            return f"all {len(recordings)} recordings"
        names = self.recording_ids or tuple(map(str, range(self.n_recordings)))
        named = enumerate_first([names[index] for index in recordings])
        if self.recording_ids:
            return named
        return f"recording{'s' * (len(recordings) > 1)} {named}"


def _sentence(text):
    """End a text with a full stop, on one line."""
    text = " ".join(text.split())
    return text if text.endswith((".", "!", "?")) else f"{text}."
