"""What measurements of recordings say, held against an input contract: one function a symptom."""

import dataclasses

import numpy as np

from sklearn_brainlm._validation import SAME_T_R
from sklearn_brainlm._values import are_too_many, enumerate_first
from sklearn_brainlm.diagnosis.findings import Finding
from sklearn_brainlm.diagnosis.scales import find_scale
from sklearn_brainlm.diagnosis.vitals import Vitals

__all__ = [
    "Case",
    "find_dead_parcels",
    "find_duplicates",
    "find_length",
    "find_scale",
    "find_spectrum",
    "find_t_r",
    "power_below",
]

_PLAUSIBLE = (0.05, 15.0)  # seconds; what is acquired lies between, sparse sampling included
_SAME = 0.999  # correlation of what are copies; others start alike up to 0.9
_EDGE = 0.99  # part of the power below the frequency where recordings end
_UNSEEN = 0.1  # part of the power that one side has where the other has none
_LOW_PASSED = 0.13  # Hz; the usual filters end at 0.08 to 0.1, and BOLD that was spared them later
_LEAST_NYQUIST = 0.2  # Hz below which such a filter takes little away


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A recording that can be compared with a contract.

    Attributes
    ----------
    index : int
        Its position in X.
    n_timepoints : int
        Its length.
    t_r : float or None
        Its repetition time in seconds, where it is known and plausible.
    vitals : Vitals
        What was measured on it.

    Examples
    --------
    >>> Case(index=0, n_timepoints=100, t_r=2.0, vitals=None).t_r
    2.0
    """

    index: int
    n_timepoints: int
    t_r: float | None
    vitals: Vitals | None


def find_t_r(t_rs, expected):
    """Judge repetition times.

    Parameters
    ----------
    t_rs : list of float or None
        One a recording, in seconds.
    expected : float or None
        That of the contract.

    Returns
    -------
    findings : list of Finding
        One for each repetition time that is not the expected one.
    plausible : list of float or None
        The repetition times to go on with.
    """
    findings = []
    plausible = list(t_rs)
    for t_r in sorted({t_r for t_r in t_rs if t_r is not None}):
        whose = tuple(index for index, value in enumerate(t_rs) if value == t_r)
        if not _PLAUSIBLE[0] <= t_r <= _PLAUSIBLE[1]:
            findings.append(Finding("t_r", whose, True, *_implausible(t_r)))
            for index in whose:
                plausible[index] = None
        elif expected is not None and abs(t_r / expected - 1) > SAME_T_R:
            text = f"t_r is {t_r:g} s, the weights saw {expected:g} s: recordings will be resampled"
            if t_r > expected:
                text += f", with nothing to see above {0.5 / t_r:.2g} Hz"
            fix = f"give t_r={t_r:g} to the transformer, or use resample_recordings first"
            findings.append(Finding("t_r", whose, False, text, fix))
    unknown = tuple(index for index, t_r in enumerate(t_rs) if t_r is None)
    if unknown and expected is not None:
        text = f"t_r is not known and taken to be the {expected:g} s that the weights saw"
        fix = "give t_r=, the seconds between timepoints"
        findings.append(Finding("t_r", unknown, False, text, fix))
    return findings, plausible


def _implausible(t_r):
    """Say what is wrong with a repetition time, and how to mend it."""
    text = f"t_r is {t_r:g} s, which no scanner has"
    for factor, unit in ((1e-3, "milliseconds"), (1e3, "thousandths of a millisecond")):
        if 0.1 <= t_r * factor <= _PLAUSIBLE[1]:
            text = f"t_r={t_r:g} would be {t_r:g} s between timepoints: {unit} were given?"
            return text, f"give seconds, t_r={t_r * factor:g}"
    return text, "look it up in the header of the images, in seconds"


def find_length(cases, contract):
    """Compare lengths with those of a window and of a patch.

    Parameters
    ----------
    cases : list of Case
        Recordings.
    contract : InputContract
        What is expected.

    Returns
    -------
    findings : list of Finding
        Recordings that are refused, and those that are padded.
    """
    too_short, padded = [], []
    for case in cases:
        n_timepoints = case.n_timepoints
        if case.t_r is not None and contract.t_r is not None:
            n_timepoints = round(n_timepoints * case.t_r / contract.t_r)
        if n_timepoints < contract.patch_length:
            too_short.append(case)
        elif n_timepoints < contract.window_length:
            padded.append(case)
    findings = []
    for affected, is_error, whole, n_needed, fix in (
        (too_short, True, "patch", contract.patch_length, "leave them out"),
        (
            padded,
            False,
            "window",
            contract.window_length,
            "nothing if you compare recordings of about one length: what is missing is masked",
        ),
    ):
        if affected:
            lengths = sorted({case.n_timepoints for case in affected})
            span = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
            at = f" at {contract.t_r:g} s" if contract.t_r else ""
            text = f"{span} timepoints are less than a {whole} of {n_needed}{at}"
            findings.append(Finding("length", _indices(affected), is_error, text, fix))
    return findings


def find_dead_parcels(cases):
    """Find parcels that do not vary.

    Parameters
    ----------
    cases : list of Case
        Recordings.

    Returns
    -------
    findings : list of Finding
        Recordings with a few such parcels, and with many.
    """
    dead = {case.index: np.flatnonzero(case.vitals.dead) for case in cases}
    are_many = {i: are_too_many(len(d), len(cases[0].vitals.dead)) for i, d in dead.items()}
    findings = []
    for is_error in (True, False):
        whose = tuple(i for i, d in dead.items() if len(d) and are_many[i] == is_error)
        if whose:
            worst = max(whose, key=lambda i: len(dead[i]))
            parcels = sorted(set().union(*(dead[i].tolist() for i in whose)))
            text = (
                f"parcels {enumerate_first(parcels)} are constant, up to {len(dead[worst])} of "
                f"{len(cases[0].vitals.dead)} in a recording"
            )
            fix = "check that atlas and images are in one space and the atlas covers the images"
            findings.append(Finding("dead parcels", whose, is_error, text, fix))
    return findings


def find_duplicates(cases):
    """Find recordings that start with the same signals, scaled and shifted or not.

    Parameters
    ----------
    cases : list of Case
        Recordings.

    Returns
    -------
    findings : list of Finding
        One for each group of copies.
    """
    cases = [case for case in cases if case.vitals.start.any() and case.n_timepoints >= 10]
    starts = np.array([case.vitals.start for case in cases])
    seen = set()
    findings = []
    for one in range(len(cases)):
        if one in seen:
            continue
        alike = one + np.flatnonzero(starts[one:] @ starts[one] > _SAME)
        seen.update(alike.tolist())
        if len(alike) > 1:
            first, *others = (cases[i] for i in alike)
            text = f"{len(alike)} recordings hold the same signals"
            if not all(_has_same_values(first, other) for other in others):
                text += ", scaled, shifted or cut"
            fix = "keep one, or never let them be in training and test"
            findings.append(Finding("duplicates", _indices([first, *others]), False, text, fix))
    return findings


def _has_same_values(one, other):
    """Tell whether copies are equal in values too, as far as their means and spreads say."""
    return one.n_timepoints == other.n_timepoints and all(
        np.allclose(getattr(one.vitals, name), getattr(other.vitals, name), rtol=1e-4, atol=1e-6)
        for name in ("mean", "sd")
    )


def find_spectrum(cases, contract):
    """Compare where the power of recordings ends with where that of the training set did.

    Parameters
    ----------
    cases : list of Case
        Recordings.
    contract : InputContract
        What is expected.

    Returns
    -------
    findings : list of Finding
        Recordings that were filtered and those that were not, unlike the training set.
    """
    filtered, unfiltered = {}, {}
    for case in cases:
        t_r = case.t_r or contract.t_r
        if not case.vitals.shares.any() or (t_r is None) != (contract.t_r is None):
            continue
        ends = [0.5 / t_r, 0.5 / contract.t_r] if t_r else [0.5, 0.5]
        frequencies = np.linspace(0, min(ends), 257)
        found = power_below(case.vitals.shares, ends[0], frequencies)
        edge = int(np.searchsorted(found, _EDGE * found[-1]))
        if contract.spectrum is None:
            if t_r and frequencies[edge] < _LOW_PASSED and min(ends) >= _LEAST_NYQUIST:
                filtered[case] = frequencies[edge]
            continue
        expected = power_below(contract.spectrum, ends[1], frequencies)
        if 1 - expected[edge] / expected[-1] > _UNSEEN:
            filtered[case] = frequencies[edge]
        edge = int(np.searchsorted(expected, _EDGE * expected[-1]))
        if 1 - found[edge] / found[-1] > _UNSEEN:
            unfiltered[case] = frequencies[edge]
    findings = []
    unit = "Hz" if contract.t_r else "of the sampling frequency"
    if filtered:
        text = f"99% of the power lies below {np.median(list(filtered.values())):.2g} {unit}"
        text += ": low-passed" + ", which the training set was not" * (
            contract.spectrum is not None
        )
        fix = "extract them without low_pass, or expect embeddings of another kind"
        findings.append(Finding("spectrum", _indices(filtered), False, text, fix))
    if unfiltered:
        edge = np.median(list(unfiltered.values()))
        text = f"more than 10% of the power lies above {edge:.2g} {unit}, where the training set "
        fix = f"low-pass them at {edge:.2g} {unit}, as the training set was"
        findings.append(Finding("spectrum", _indices(unfiltered), False, text + "had none", fix))
    return findings


def power_below(shares, nyquist, frequencies):
    """Sum up the power below frequencies.

    Parameters
    ----------
    shares : array of shape (n_bands,)
        Power in equal bands up to the Nyquist frequency.
    nyquist : float
        That frequency.
    frequencies : array of shape (n_frequencies,)
        Where to sum up to.

    Returns
    -------
    power : float64 array of shape (n_frequencies,)
        Linear within bands.
    """
    edges = np.linspace(0, nyquist, len(shares) + 1)
    return np.interp(frequencies, edges, np.concatenate([[0.0], np.cumsum(shares)]))


def _indices(cases):
    """Positions of cases in X."""
    return tuple(case.index for case in cases)
