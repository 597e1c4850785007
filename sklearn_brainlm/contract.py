"""What recordings must look like for weights to mean something: it travels with them."""

import dataclasses
import hashlib

import numpy as np

__all__ = ["InputContract"]

_ARRAYS = ("parcel_coords", "center", "scale", "spectrum")


# `numpydoc lint` reads the source, and does not see the __init__ that dataclass makes.
@dataclasses.dataclass(frozen=True, eq=False)
class InputContract:  # numpydoc ignore=PR02
    """What weights expect of recordings.

    It travels with weights: recordings of other parcels, units or repetition times have the right
    shape, too, and embeddings of them mean nothing.

    Parameters
    ----------
    n_parcels : int
        Parcels P of a recording.
    window_length, patch_length : int
        Timepoints of a window and of a patch.
    parcels_per_patch : int, default=1
        Parcels of a patch.
    t_r : float, optional
        Repetition time in seconds; None where it was not noted.
    atlas : str, optional
        Name of the atlas.
    parcel_names : tuple of str, optional
        Names of the parcels, in order.
    parcel_coords : float64 array of shape (P, 3), optional
        MNI coordinates of the parcels in millimetres, in order.
    atlas_bound : tuple of str, default=()
        The parts of the network that belong to these very parcels, in words. Without any, another
        atlas may be given by its coordinates.
    scaler : {"robust", "standard", "legacy"} or None, default="robust"
        How a parcel is scaled, see :class:`~sklearn_brainlm.RecordingScaler`.
    divisor : float, default=1.0
        What scaled values are divided by.
    clip : float, optional
        Largest absolute value after scaling.
    center, scale : float64 array of shape (P,), optional
        Statistics of the recordings trained on, in `units`; None where they were not published.
    units : str, default="as given"
        Units of recordings before scaling.
    spectrum : float64 array of shape (n_bands,), optional
        Part of the power of the recordings trained on in equal bands from zero to the Nyquist
        frequency.
    licence : str, optional
        Terms under which the weights, and what is made of them, may be used.

    See Also
    --------
    doctor : Compares recordings with it.
    load_weights : Weights, and what they expect.

    Examples
    --------
    >>> contract = InputContract(n_parcels=3, window_length=200, patch_length=20, t_r=0.72)
    >>> InputContract.from_dict(contract.to_dict()) == contract
    True
    """

    n_parcels: int
    window_length: int
    patch_length: int
    parcels_per_patch: int = 1
    t_r: float | None = None
    atlas: str | None = None
    parcel_names: tuple | None = None
    parcel_coords: np.ndarray | None = None
    atlas_bound: tuple = ()
    scaler: str | None = "robust"
    divisor: float = 1.0
    clip: float | None = None
    center: np.ndarray | None = None
    scale: np.ndarray | None = None
    units: str = "as given"
    spectrum: np.ndarray | None = None
    licence: str | None = None

    @property
    def parcel_hash(self):
        """SHA-256 of the parcels in order, by coordinates or else by name; None for neither."""
        # Rounded to the millimetre first, so that the hash survives float32.
        if self.parcel_coords is not None:
            known = np.rint(self.parcel_coords).astype("<i4").tobytes()
        elif self.parcel_names is not None:
            known = "\n".join(self.parcel_names).encode()
        else:
            return None
        return hashlib.sha256(known).hexdigest()

    def to_dict(self):
        """Say everything in what JSON can hold.

        Returns
        -------
        contract : dict
            The fields, arrays as lists, and `parcel_hash`.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in _ARRAYS:
            if fields[name] is not None:
                fields[name] = np.asarray(fields[name], dtype=np.float64).tolist()
        for name in ("parcel_names", "atlas_bound"):
            if fields[name] is not None:
                fields[name] = list(fields[name])
        return {**fields, "parcel_hash": self.parcel_hash}

    @classmethod
    def from_dict(cls, fields):
        """Read what :meth:`to_dict` said.

        Parameters
        ----------
        fields : dict
            The fields.

        Returns
        -------
        contract : InputContract
            The contract.

        Raises
        ------
        ValueError
            If a field is unknown, or the parcels are not those of `parcel_hash`.
        """
        fields = dict(fields)
        parcel_hash = fields.pop("parcel_hash", None)
        unknown = set(fields) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"An input contract has no {', '.join(sorted(unknown))}.")
        for name in _ARRAYS:
            if fields.get(name) is not None:
                fields[name] = np.asarray(fields[name], dtype=np.float64)
        for name in ("parcel_names", "atlas_bound"):
            if fields.get(name) is not None:
                fields[name] = tuple(fields[name])
        contract = cls(**fields)
        if parcel_hash is not None and contract.parcel_hash != parcel_hash:
            raise ValueError(
                "The parcels of an input contract are not those that its parcel_hash vouches for: "
                "they were changed or put in another order since it was written."
            )
        return contract

    def replace(self, **changes):
        """Return a contract with some fields changed.

        Parameters
        ----------
        **changes : dict
            New values by name.

        Returns
        -------
        contract : InputContract
            A new contract.
        """
        return dataclasses.replace(self, **changes)

    def __eq__(self, other):
        return isinstance(other, InputContract) and self.to_dict() == other.to_dict()

    __hash__ = None
