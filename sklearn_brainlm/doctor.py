"""Recordings against an input contract: what is wrong with them, and how to mend it."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._callable_modules import make_callable
from sklearn_brainlm._parcels import is_frame
from sklearn_brainlm._validation import check_parcel_coords, check_recordings
from sklearn_brainlm._values import count_broken, find_truncation
from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.diagnosis.findings import Diagnosis, Finding
from sklearn_brainlm.diagnosis.parcel_order import find_parcel_order
from sklearn_brainlm.diagnosis.same_parcels import find_parcel_names, move_contract
from sklearn_brainlm.diagnosis.symptoms import (
    Case,
    find_dead_parcels,
    find_duplicates,
    find_length,
    find_scale,
    find_spectrum,
    find_t_r,
    power_below,
)
from sklearn_brainlm.diagnosis.vitals import looks_transposed, take_vitals
from sklearn_brainlm.exceptions import InvalidRecordingError

__all__ = ["Diagnosis", "Finding", "doctor"]

_N_BANDS = 32


def doctor(X, weights=None, *, t_r=None, parcel_coords=None, parcel_names=None, recording_ids=None):
    """Look for what is wrong with recordings before weights are used on them.

    Weights compute with whatever has the right shape; with the wrong unit, repetition time or order
    of parcels, embeddings mean nothing. Each finding says what was found, and one remedy.

    Parameters
    ----------
    X : list of arrays of shape (n_timepoints, n_parcels)
        Recordings, broken ones too; a 2-D array or DataFrame is one recording.
    weights : str, Path, InputContract or fitted estimator, optional
        What the recordings are for: anything :meth:`BrainLMTransformer.from_pretrained` takes, an
        estimator fitted on or started from weights, or what either expects. None looks only for
        what needs no expectation.
    t_r : float or sequence of float of shape (n_recordings,), optional
        Repetition time in seconds, one for all or one each; NaN or None where it is not known.
    parcel_coords : array of shape (n_parcels, 3), optional
        MNI coordinates in mm of the parcels of X; those of the weights when None.
    parcel_names : sequence of str of shape (n_parcels,), optional
        Names of the parcels of X; when None, those of the columns of DataFrames.
    recording_ids : sequence of str of shape (n_recordings,), optional
        Names of the recordings, for the table.

    Returns
    -------
    Diagnosis
        The findings. ``print`` it for a table; ``diagnosis.ok`` says whether ``transform`` would
        be right.

    Raises
    ------
    InvalidRecordingTypeError
        If X holds paths or images instead of arrays.
    InvalidRecordingError
        If X holds nothing that could be a recording, or t_r or parcel_coords do not fit it.

    See Also
    --------
    RecordingScaler : Scale recordings by statistics of the training recordings.
    resample_recordings : Bring recordings to another repetition time.
    InputContract : What weights expect.

    Notes
    -----
    The order of parcels is judged by their connectivity: it follows the distance between parcels,
    and between one and the mirror image of the other. That tells a shuffled or foreign order, a
    lost column, and hemispheres that alternate from those that do not. It cannot tell left from
    right, nor two neighbours from each other; names can.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.contract import InputContract
    >>> from sklearn_brainlm.doctor import doctor
    >>> recordings = list(np.random.default_rng(0).normal(0, [[30, 50]], (3, 100, 2)))
    >>> contract = InputContract(n_parcels=2, window_length=40, patch_length=20, t_r=0.72)
    >>> print(doctor(recordings, contract, t_r=720))
    3 recordings of 100 timepoints and 2 parcels, t_r 720 s
    1 finding, 1 an error
    error  t_r  recordings 0, 1, 2  t_r=720 would be 720 s between timepoints: milliseconds were
    given? Fix: give seconds, t_r=0.72.
    """
    contract, known_t_r = _read_contract(weights)
    recordings, n_recordings, findings = _read_recordings(X)
    t_rs = _read_t_r(known_t_r if t_r is None else t_r, n_recordings)
    coords = None if parcel_coords is None else check_parcel_coords(parcel_coords)
    contract, about_atlas = move_contract(contract, coords)
    findings += about_atlas + find_parcel_names(X, parcel_names, contract)
    summary = _describe(recordings, n_recordings, t_rs)
    expected_t_r = None if contract is None else contract.t_r
    about_t_r, t_rs = find_t_r(t_rs, expected_t_r)
    findings += about_t_r

    recordings, about_shapes = _drop_misshapen(recordings, contract, coords, parcel_names)
    recordings, about_values = _drop_broken(recordings)
    recordings, transposed = _drop_transposed(
        recordings, any(known is not None for known in (contract, coords, parcel_names))
    )
    findings += about_shapes + about_values + transposed
    n_bands = _N_BANDS if contract is None or contract.spectrum is None else len(contract.spectrum)
    cases = [
        Case(index, len(recording), t_rs[index], take_vitals(recording, n_bands))
        for index, recording in recordings.items()
    ]
    summary += _describe_power(cases)
    findings += find_dead_parcels(cases) + find_duplicates(cases) + find_scale(cases, contract)
    if contract is not None:
        findings += find_length(cases, contract) + find_spectrum(cases, contract)
        if coords is None or len(coords) != contract.n_parcels:
            coords = contract.parcel_coords
    if coords is not None:
        findings += find_parcel_order(recordings, coords)
    findings.sort(key=lambda finding: not finding.is_error)
    ids = None if recording_ids is None else tuple(map(str, recording_ids))
    return Diagnosis(tuple(findings), n_recordings, summary, ids)


def _read_contract(weights):
    """Return the contract of weights, and the repetition time their estimator was told."""
    if weights is None or isinstance(weights, InputContract):
        return weights, None
    if not hasattr(weights, "fit"):
        from sklearn_brainlm.transformer import BrainLMTransformer

        return BrainLMTransformer.from_pretrained(weights).contract_, None
    check_is_fitted(weights)
    if not hasattr(weights, "contract_"):
        raise TypeError(
            f"{type(weights).__name__} has no contract_, so it does not say what it expects. Give "
            "a fitted BrainLMTransformer, or an InputContract."
        )
    return weights.contract_, getattr(weights, "t_r_", None)


def _read_recordings(X):
    """Return what can be read of X by position, the number of recordings, and what cannot."""
    options = {"ensure_all_finite": False, "warn_constant": False, "estimator_name": "doctor"}
    try:
        recordings = check_recordings(X, **options)
        return dict(enumerate(recordings)), len(recordings), []
    except InvalidRecordingError:
        n_dims = getattr(X, "ndim", None)
        items = [X] if is_frame(X) or n_dims == 2 else X
        if n_dims == 0 or not len(items) or np.ndim(next(iter(items))) == 0:
            raise
    readable, findings = {}, []
    for index, item in enumerate(items):
        try:
            readable[index] = check_recordings([item], **options)[0]
        except InvalidRecordingError as error:
            text = str(error).replace("recording 0", f"recording {index}")
            fix = "leave it out, or extract it again"
            findings.append(Finding("shape", (index,), True, text, fix))
    return readable, len(items), findings


def _read_t_r(t_r, n_recordings):
    """Return one repetition time a recording, None where it is not known."""
    given = [t_r] * n_recordings if np.ndim(t_r) == 0 else list(t_r)
    if len(given) != n_recordings:
        raise InvalidRecordingError(
            f"t_r has {len(given)} values for {n_recordings} recordings; give one for all, or one "
            "each."
        )
    return [None if value is None or np.isnan(value) else float(value) for value in given]


def _describe(recordings, n_recordings, t_rs):
    """Say how many recordings there are, and of what size."""
    text = f"{n_recordings} recording{'s' * (n_recordings != 1)}"
    if recordings:
        lengths, widths = np.array([recording.shape for recording in recordings.values()]).T
        text += f" of {_span(lengths)} timepoints and {_span(widths)} parcels"
    known = [t_r for t_r in t_rs if t_r is not None]
    return f"{text}, t_r {_span(known)} s" if known else text


def _describe_power(cases):
    """Say below which frequency nearly all power lies."""
    known = [case for case in cases if case.t_r is not None and case.vitals.shares.any()]
    if not known:
        return ""
    edges = []
    for case in known:
        frequencies = np.linspace(0, 0.5 / case.t_r, 257)
        below = power_below(case.vitals.shares, 0.5 / case.t_r, frequencies)
        edges.append(frequencies[np.searchsorted(below, 0.99 * below[-1])])
    return f", 99% of the power below {np.median(edges):.2g} Hz"


def _span(values):
    """Write the smallest and the largest of numbers."""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _drop_misshapen(recordings, contract, coords, parcel_names):
    """Leave out recordings without the right number of parcels, and report them."""
    widths = {index: recording.shape[1] for index, recording in recordings.items()}
    if contract is not None:
        n_parcels = contract.n_parcels
    elif coords is not None or parcel_names is not None:
        n_parcels = len(parcel_names if coords is None else coords)
    else:
        found, counts = np.unique(list(widths.values()), return_counts=True)
        n_parcels = found[np.argmax(counts)] if len(found) else 0
    wrong = [index for index, width in widths.items() if width != n_parcels]
    turned = [index for index in wrong if len(recordings[index]) == n_parcels]
    findings = []
    if turned:
        text = f"rows are the {n_parcels} parcels and columns the timepoints"
        fix = "transpose them, [x.T for x in X]"
        findings.append(Finding("transposed", tuple(turned), True, text, fix))
    others = [index for index in wrong if index not in turned]
    if others:
        text = f"{_span([widths[i] for i in others])} parcels instead of {n_parcels}"
        fix = "extract all with one atlas, with keep_masked_labels=True where there is a mask"
        if contract is not None and not contract.atlas_bound:
            fix += ", or give parcel_coords, the coordinates of their parcels"
        elif contract is not None:
            text += f"; the weights are bound by {', '.join(contract.atlas_bound)}"
        findings.append(Finding("shape", tuple(others), True, text, fix))
    return {index: x for index, x in recordings.items() if index not in set(wrong)}, findings


def _drop_broken(recordings):
    """Leave out recordings that cannot be read to their end or are not finite; report them."""
    sound, findings, broken = {}, [], {}
    for index, recording in recordings.items():
        if find_truncation(recording) is not None:
            fix = "write the file again"
            findings.append(Finding("shape", (index,), True, "the file is truncated", fix))
            continue
        n_nan, n_infinite, first = count_broken(recording)
        if first is None:
            sound[index] = recording
        else:
            broken[index] = (n_nan, n_infinite, first)
    if broken:
        n_nan, n_infinite = (sum(counts[i] for counts in broken.values()) for i in (0, 1))
        index, (_, _, (timepoint, parcel)) = next(iter(broken.items()))
        text = (
            f"{n_nan} values are NaN and {n_infinite} infinite or too large for float32, the first "
            f"at timepoint {timepoint}, parcel {parcel} of recording {index}"
        )
        fix = "interpolate or remove them, or use impute where places are known to be missing"
        findings.append(Finding("not finite", tuple(broken), True, text, fix))
    return sound, findings


def _drop_transposed(recordings, is_width_right):
    """Leave out recordings whose values say that rows are parcels, and report them."""
    turned = tuple(
        index
        for index, x in recordings.items()
        if not (is_width_right and len(x) != x.shape[1]) and looks_transposed(x)
    )
    if not turned:
        return recordings, []
    text = "rows look like parcels and columns like timepoints, by their means and smoothness"
    finding = Finding("transposed", turned, True, text, "transpose them, [x.T for x in X]")
    return {index: x for index, x in recordings.items() if index not in turned}, [finding]


make_callable(__name__, doctor)
