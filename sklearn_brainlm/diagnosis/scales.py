"""Units of recordings against those of an input contract, or against each other."""

import warnings

import numpy as np

from sklearn_brainlm.diagnosis.findings import Finding
from sklearn_brainlm.exceptions import DataQualityWarning

__all__ = ["find_scale", "warn_of_scale"]

_FACTOR = 30.0  # recordings of one cohort, several scanners included, differ by up to 5
_LOOKED_AT = 200  # timepoints, where a glance will do
_OFFSET = 10.0  # spreads of the contract
_BASELINE = 5.0  # standard deviations between a level and zero that make the level a baseline
_POOLED_BASELINE = 2.0  # the same of a contract; that of demeaned recordings is 0.1 at most
_BASELINE_FACTOR = 10.0  # gains of scanners differ by less
_UNIFORM = 0.1  # coefficient of variation over parcels of spreads that were made equal
_Z_SCORED_WORDS = ("z-score", "zscore", "standardi", "unit variance", "standard deviation")
_Z_SCORED = "parcels have mean 0 and spread 1 within a recording"
_RAW_FIX = "give them before standardisation (standardize=None in the masker)"


def find_scale(cases, contract=None):
    """Compare scale and offset of parcels with a contract, or of recordings with each other.

    Parameters
    ----------
    cases : list of Case
        Recordings.
    contract : InputContract, optional
        What is expected. Without statistics in it, recordings are compared with each other.

    Returns
    -------
    findings : list of Finding
        Recordings in other units, or with another baseline.
    """
    cases = [case for case in cases if case.vitals.spread]
    if contract is None or contract.center is None or contract.scaler not in ("robust", "standard"):
        findings, rest = _find_z_scored(cases, contract)
        return findings + _find_odd(rest)
    found = {}
    for case in cases:
        symptom = _compare(case.vitals, contract)
        if symptom is not None:
            kind, text, fix, factor = symptom
            found.setdefault((kind, text, fix), []).append((case.index, factor))
    findings = []
    for (kind, text, fix), affected in found.items():
        factor = np.exp(np.median([np.log(factor) for _, factor in affected]))
        values = {"factor": f"{factor:.3g}", "inverse": f"{1 / factor:.3g}"}
        indices = tuple(index for index, _ in affected)
        findings.append(Finding(kind, indices, True, text.format(**values), fix.format(**values)))
    return findings


def warn_of_scale(recordings, scale):
    """Warn of recordings that vary much more than those that their scale was learned from.

    Parameters
    ----------
    recordings : list of arrays of shape (n_timepoints, n_parcels)
        Recordings, in their own units.
    scale : ndarray of shape (n_parcels,)
        What each parcel is divided by.

    Warns
    -----
    DataQualityWarning
        If recordings are larger by more than any scanner accounts for. A few hundred timepoints of
        each are looked at; ``doctor`` looks at all, and for more.
    """
    factors = {}
    for index, recording in enumerate(recordings):
        some = np.asarray(recording[:: max(1, len(recording) // _LOOKED_AT)])
        low, high = np.quantile(some, [0.25, 0.75], axis=0)  # a spike is another fault
        spread = high - low
        alive = (scale > 0) & (spread > 0)
        factor = np.median(spread[alive] / scale[alive]) if alive.any() else 0.0
        if factor > _FACTOR:
            factors[index] = factor
    if factors:
        first, factor = next(iter(factors.items()))
        warnings.warn(
            f"{len(factors)} of {len(recordings)} recordings are out of scale: recording {first} "
            f"varies about {factor:.3g} times as much as those that the scale was learned from. "
            "What is made of them means little. Bring them to the units of the training; doctor "
            "says which.",
            DataQualityWarning,
            stacklevel=2,
        )


def _compare(vitals, contract):
    """Return the symptom of one recording, its fix and its factor, or None."""
    scale = contract.scale / contract.divisor
    spread, location = (
        (vitals.iqr, vitals.median) if contract.scaler == "robust" else (vitals.sd, vitals.mean)
    )
    alive = ~vitals.dead & (spread > 0) & (scale > 0)
    if not alive.any():
        return None
    scale, spread, location = scale[alive], spread[alive], location[alive]
    center = contract.center[alive]
    expects_z_scores = _is_uniform(scale, _unit(contract)) and np.median(
        np.abs(center)
    ) < _UNIFORM * np.median(scale)
    if _is_z_scored(vitals) != expects_z_scores:
        if not expects_z_scores:
            return (
                "z-scored",
                f"{_Z_SCORED}, in the training recordings they had not",
                _RAW_FIX,
                1.0,
            )
        if not _is_nearly_z_scored(vitals):
            text = "parcels differ in spread, the training recordings were z-scored"
            return "scale", text, "use standardize_recordings first", 1.0
    # The scale of raw recordings holds the differences in level between people.
    has_baseline = np.median(np.abs(center) / scale) > _POOLED_BASELINE
    if has_baseline and vitals.baseline <= _BASELINE:
        text = "parcels have lost the baseline that the training recordings had"
        fix = "give raw signals: no standardisation, no percent signal change, no removed mean"
        return "offset", text, fix, 1.0
    if has_baseline:
        level = np.median(np.abs(location)) / np.median(np.abs(center))
        if not 1 / _BASELINE_FACTOR < level < _BASELINE_FACTOR:
            return _factor(level)
    else:
        ratio = np.exp(np.median(np.log(spread / scale)))
        if not 1 / _FACTOR < ratio < _FACTOR:
            return _factor(ratio)
    offset = np.median(np.abs(location - center) / scale)
    if offset <= _OFFSET:
        return None
    if has_baseline:
        text, fix = "parcels lie far from the level of the training recordings", "check the units"
    else:
        text = "parcels have a baseline, the training recordings lay around zero"
        fix = "remove the mean of each parcel, as in the training recordings"
    return "offset", text, fix, 1.0


def _factor(ratio):
    """Return the symptom of values in other units."""
    text = "values are {factor} times those of the training recordings"
    return "scale", text, "multiply by {inverse}, or find out the units", ratio


def _find_odd(cases):
    """Find recordings that differ from the others by a large factor, or in having a baseline."""
    findings = []
    if len(cases) < 2:
        return findings
    logs = np.log([case.vitals.spread for case in cases])
    middle = np.array([np.median(np.delete(logs, i)) for i in range(len(cases))])
    odd = np.flatnonzero(np.abs(logs - middle) > np.log(_FACTOR))
    if len(odd):
        factor = np.exp(logs[odd] - middle[odd])
        largest = factor[np.argmax(np.abs(np.log(factor)))]
        text = f"values are {largest:.3g} times those of the other recordings"
        fix = "bring all recordings to the same units"
        findings.append(Finding("scale", tuple(cases[i].index for i in odd), True, text, fix))
    raw = [case.index for case in cases if case.vitals.baseline > _BASELINE]
    centred = [case.index for case in cases if case.vitals.baseline <= _BASELINE]
    if raw and centred:
        fewer, text = min(
            (centred, "parcels have no baseline, unlike the other recordings"),
            (raw, "parcels have a baseline, unlike the other recordings"),
            key=lambda group: len(group[0]),
        )
        fix = "extract all recordings in one way, with or without their mean"
        findings.append(Finding("offset", tuple(fewer), True, text, fix))
    return findings


def _find_z_scored(cases, contract):
    """Find z-scored recordings where units say otherwise, or only some are; return the rest too."""
    z_scored = [case for case in cases if _is_z_scored(case.vitals)]
    rest = [case for case in cases if case not in z_scored]
    units = "as given" if contract is None else contract.units.lower()
    if units != "as given" and not any(word in units for word in _Z_SCORED_WORDS):
        text, fix = f"{_Z_SCORED}, the weights expect {contract.units}", _RAW_FIX
        wrong = z_scored
    elif not z_scored or not rest:
        return [], cases
    elif len(z_scored) <= len(rest):
        text, fix, wrong = f"{_Z_SCORED}, in the other recordings they have not", _RAW_FIX, z_scored
    else:
        text = "parcels were not brought to mean 0 and spread 1, in the other recordings they were"
        fix, wrong = "use standardize_recordings on all recordings, or on none", rest
    if not wrong:
        return [], cases
    rest = rest if wrong is z_scored else z_scored
    return [Finding("z-scored", tuple(case.index for case in wrong), True, text, fix)], rest


def _is_z_scored(vitals):
    """Tell whether each parcel was brought to one location and spread within the recording."""
    alive = ~vitals.dead
    pairs = ((vitals.mean, vitals.sd), (vitals.median, vitals.iqr))
    return any(
        np.abs(location[alive]).max() < _UNIFORM and _is_uniform(spread[alive], 1.0)
        for location, spread in pairs
    )


def _is_nearly_z_scored(vitals):
    """Tell whether a recording may be part of one that was z-scored, or resampled after it."""
    alive = ~vitals.dead
    sd = vitals.sd[alive]
    return 0.5 < np.median(sd) < 2 and sd.std() < 0.5 * sd.mean()


def _is_uniform(spread, unit):
    """Tell whether spreads are all about one unit."""
    return np.std(spread) < _UNIFORM * np.mean(spread) and (
        abs(np.median(spread) / unit - 1) < _UNIFORM
    )


def _unit(contract):
    """Return the spread of z-scores in the measure of the contract's scaler."""
    return 1.349 if contract.scaler == "robust" else 1.0  # interquartile range of a normal
