"""Whether recordings and an input contract speak of the same parcels."""

import numpy as np

from sklearn_brainlm._parcels import check_parcel_names
from sklearn_brainlm._values import enumerate_first
from sklearn_brainlm.diagnosis.findings import Finding
from sklearn_brainlm.exceptions import AtlasMismatchError

__all__ = ["find_parcel_names", "move_contract"]

_SAME_PLACE = 30.0  # mm between centres of one parcel, taken from images or surfaces


def find_parcel_names(X, parcel_names, contract):
    """Compare names of parcels between recordings, and with a contract.

    Parameters
    ----------
    X : list of arrays or DataFrames
        Recordings.
    parcel_names : sequence of str of shape (n_parcels,) or None
        Names of the parcels; None takes those of the columns of DataFrames.
    contract : InputContract or None
        What is expected.

    Returns
    -------
    findings : list of Finding
        One where names or their order differ.
    """
    fix = "reorder the columns by name, or extract recordings with the atlas of the weights"
    try:
        names = check_parcel_names(X) if parcel_names is None else parcel_names
    except AtlasMismatchError as error:
        return [Finding("parcel names", (), True, str(error), fix)]
    expected = None if contract is None else contract.parcel_names
    if names is None or expected is None or tuple(names) == expected:
        return []
    unknown = [name for name in names if name not in expected]
    if unknown:
        text = (
            f"{len(unknown)} of {len(names)} parcels have names that the weights do not know, "
            f"such as {', '.join(map(repr, unknown[:3]))}"
        )
    elif len(names) < len(expected):
        text = f"{len(expected) - len(names)} parcels of the weights are missing"
    else:
        moved = [i for i, pair in enumerate(zip(names, expected, strict=False)) if len({*pair}) > 1]
        text = f"parcels {enumerate_first(moved)} have the names of others in the weights"
    return [Finding("parcel names", (), True, text, fix)]


def move_contract(contract, coords):
    """Return the contract for the parcels at some coordinates, or what keeps it from them.

    Parameters
    ----------
    contract : InputContract or None
        What is expected.
    coords : array of shape (n_parcels, 3) or None
        MNI coordinates in mm of the parcels of recordings.

    Returns
    -------
    contract : InputContract or None
        The same, or one for those parcels.
    findings : list of Finding
        One where the weights belong to other parcels.
    """
    if contract is None or coords is None:
        return contract, []
    known = contract.parcel_coords
    has_count = len(coords) == contract.n_parcels
    if not contract.atlas_bound:
        given = contract.replace(n_parcels=len(coords), parcel_coords=coords)
        if has_count and (known is None or given.parcel_hash == contract.parcel_hash):
            return given, []
        # Names and statistics of other parcels say nothing about these.
        return given.replace(atlas=None, parcel_names=None, center=None, scale=None), []
    distances = np.linalg.norm(coords - known, axis=1) if has_count and known is not None else None
    if has_count and (distances is None or np.quantile(distances, 0.95) < _SAME_PLACE):
        return contract, []
    text = f"the weights are bound to {contract.n_parcels} parcels by "
    text += ", ".join(contract.atlas_bound)
    text += (
        f"; the coordinates given lie {np.median(distances):.0f} mm from theirs"
        if has_count
        else f", {len(coords)} coordinates were given"
    )
    fix = f"extract recordings with the atlas {contract.atlas or 'of the weights'}, in its order"
    return contract, [Finding("parcel order" if has_count else "shape", (), True, text, fix)]
