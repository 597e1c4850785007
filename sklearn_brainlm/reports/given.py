"""What a report is asked for: an estimator, and the recordings it is looked at with."""

import dataclasses
import hashlib
from functools import cached_property

import numpy as np

from sklearn_brainlm._parcels import is_frame
from sklearn_brainlm._validation import check_parcel_coords, check_recordings
from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.exceptions import InvalidRecordingError, InvalidRecordingTypeError

__all__ = ["Given", "contract_of", "find_inner"]


@dataclasses.dataclass(frozen=True, eq=False)
class Given:
    """An estimator and what it is looked at with; what was not given is None.

    Attributes
    ----------
    estimator : BaseEstimator
        It is not changed.
    X, X_train : list of arrays of shape (n_timepoints, n_parcels)
        Recordings to look at, and others to fit simple methods on.
    y, y_train : array-like
        Their labels.
    recording_ids, parcel_names : sequence of str
        Names of the recordings of X and of the parcels.
    parcel_coords : array of shape (n_parcels, 3)
        MNI coordinates in mm.
    t_r : float or sequence of float
        Seconds between timepoints.
    n_shown : int
        Recordings to draw.

    Examples
    --------
    >>> from sklearn_brainlm import RecordingScaler
    >>> given = Given(RecordingScaler(), X=[np.zeros((5, 2))] * 3)
    >>> given.name, given.ids
    ('RecordingScaler', ['recording 0', 'recording 1', 'recording 2'])
    """

    estimator: object
    X: object = None
    X_train: object = None
    y: object = None
    y_train: object = None
    recording_ids: object = None
    parcel_names: object = None
    parcel_coords: object = None
    t_r: object = None
    n_shown: int = 2

    @property
    def name(self):
        """Name the class of the estimator.

        Returns
        -------
        name : str
            Without its module.
        """
        return type(self.estimator).__name__

    @property
    def label(self):
        """Name the estimator in tables and figures.

        Returns
        -------
        label : str
            Tells it from others of its class.
        """
        return f"{self.name} (this one)"

    @cached_property
    def recordings(self):
        """Read the recordings of X as they are, broken ones too.

        Returns
        -------
        recordings : list of arrays of shape (n_timepoints, n_parcels) or None
            None if X is no list of recordings.
        """
        return _read(self.X)

    @cached_property
    def ids(self):
        """Name the recordings of X.

        Returns
        -------
        ids : list of str
            One a recording.
        """
        ids = self.of_store("ids") if self.recording_ids is None else self.recording_ids
        is_one = is_frame(self.X) or getattr(self.X, "ndim", 3) == 2
        n_recordings = 1 if is_one else len(self.X)
        if ids is None:
            return [f"recording {index}" for index in range(n_recordings)]
        ids = [str(name) for name in ids]
        if len(ids) != n_recordings:
            raise ValueError(
                f"recording_ids has {len(ids)} names for {n_recordings} recordings; give one each."
            )
        return ids

    @cached_property
    def contract(self):
        """Say what the estimator expects of recordings.

        Returns
        -------
        contract : InputContract or None
            None where it does not say.
        """
        return contract_of(self.estimator)

    @cached_property
    def seconds(self):
        """Say what time passes between timepoints of what the estimator sees.

        Returns
        -------
        t_r : float or None
            In seconds; None where it is not known.
        """
        known = getattr(self.contract, "t_r", None)
        if known is None and self.t_r is not None and np.ndim(self.t_r) == 0:
            known = float(self.t_r)
        return known

    @cached_property
    def coords(self):
        """Say where parcels are.

        Returns
        -------
        coords : float64 array of shape (n_parcels, 3) or None
            In MNI mm; None where they are not known.
        """
        if self.parcel_coords is not None:
            n_parcels = getattr(self.contract, "n_parcels", len(self.parcel_coords))
            return check_parcel_coords(self.parcel_coords, n_parcels)
        return getattr(self.contract, "parcel_coords", None)

    def of_store(self, name):
        """Return what a store knows of its recordings; other X know nothing.

        Parameters
        ----------
        name : str
            "ids" or "t_r".

        Returns
        -------
        values : sequence or None
            One a recording.
        """
        return None if is_frame(self.X) else getattr(self.X, name, None)

    def names_of(self, n_parcels):
        """Return names of parcels, numbers where there are none.

        Parameters
        ----------
        n_parcels : int
            How many there are.

        Returns
        -------
        names : list of str
            One a parcel.

        Raises
        ------
        ValueError
            If another number of names was given.
        """
        names = self.parcel_names
        if names is None:
            names = getattr(self.contract, "parcel_names", None)
        if names is None:
            return [str(parcel) for parcel in range(n_parcels)]
        if len(names) != n_parcels:
            raise ValueError(f"parcel_names has {len(names)} names for {n_parcels} parcels.")
        return [str(name) for name in names]

    def check_apart(self):
        """Refuse recordings that simple methods would be fitted on and scored on.

        Raises
        ------
        ValueError
            It names the recording.
        """
        train, tested = _read(self.X_train), self.recordings
        if train is None or tested is None:
            return
        known = {_fingerprint(recording): index for index, recording in enumerate(train)}
        for index, recording in enumerate(tested):
            same = known.get(_fingerprint(recording))
            if same is not None:
                raise ValueError(
                    f"{self.ids[index]} of X is also recording {same} of X_train: what is fitted "
                    "on a recording cannot be scored on it. Leave it out of X_train."
                )


def find_inner(estimator):
    """Return the estimator that knows the weights: its encoder, or itself.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted or not.

    Returns
    -------
    inner : BaseEstimator
        ``encoder_`` where there is one.

    Examples
    --------
    >>> from sklearn_brainlm import GaussianReconstructor
    >>> find_inner(GaussianReconstructor())
    GaussianReconstructor()
    """
    return getattr(estimator, "encoder_", estimator)


def contract_of(estimator):
    """Return what an estimator expects of recordings, as far as it says.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted or not.

    Returns
    -------
    contract : InputContract or None
        That of the weights, or else number of parcels and scaling.

    Examples
    --------
    >>> from sklearn_brainlm import RecordingScaler
    >>> scaler = RecordingScaler().fit([np.arange(20.0).reshape(10, 2)])
    >>> contract_of(scaler).n_parcels, contract_of(RecordingScaler())
    (2, None)
    """
    inner = find_inner(estimator)
    contract = vars(inner).get("contract_")
    if contract is not None:
        return contract
    scaler = vars(inner).get("scaler_", inner)
    center = getattr(scaler, "center_", None)
    if center is None or not hasattr(scaler, "method"):
        return None
    window = getattr(inner, "window_length", None) or getattr(inner, "context_length", None) or 1
    names = getattr(inner, "feature_names_in_", None)
    is_scaled = scaler.method is not None
    return InputContract(
        n_parcels=len(center),
        window_length=window,
        patch_length=getattr(inner, "patch_length", 1),
        t_r=getattr(inner, "t_r", None),
        parcel_names=None if names is None else tuple(names),
        scaler=scaler.method,
        divisor=scaler.divisor,
        clip=scaler.clip,
        center=center if is_scaled else None,
        scale=scaler.scale_ if is_scaled else None,
    )


def _read(X):
    """Return recordings as they are, or None of what is no list of recordings."""
    if X is None:
        return None
    try:
        return check_recordings(X, ensure_all_finite=False, warn_constant=False)
    except (InvalidRecordingError, InvalidRecordingTypeError):
        return None


def _fingerprint(recording):
    """Return what no two recordings share, whatever their dtype."""
    values = np.ascontiguousarray(recording[:], dtype=np.float32)
    return values.shape, hashlib.sha256(values).digest()
