"""What the released weights expect of recordings, as far as anybody knows."""

import numpy as np

from sklearn_brainlm.catalogue import RELEASED_LICENCE
from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.exceptions import AtlasMismatchError
from sklearn_brainlm.official.configs import check_config

__all__ = ["DIVISOR", "T_R", "contract_of", "settings_of"]

T_R = 0.735  # seconds, of UK Biobank
DIVISOR = 5.6430855  # of the windows of the image family; nobody has said where it is from
_N_PARCELS = 424  # of A424, the only atlas there is released weights for
_WINDOW_LENGTH = 200


def contract_of(config, parcel_coords=None):
    """Say what released weights expect of recordings.

    Parameters
    ----------
    config : dict
        What config.json holds.
    parcel_coords : array of shape (n_parcels, 3), optional
        MNI coordinates of the parcels in millimetres.

    Returns
    -------
    contract : InputContract
        Without the statistics of the recordings trained on, which were never published.

    Raises
    ------
    AtlasMismatchError
        If there are coordinates of another atlas, and the weights belong to theirs.
    """
    c = check_config(config)
    is_image = c["family"] != "brainlm"
    expected = _N_PARCELS if is_image else c["num_brain_voxels"]
    n_parcels = expected if parcel_coords is None else len(parcel_coords)
    bound = ("rows of the image, which are those of A424 along MNI Y",) if is_image else ()
    if n_parcels != expected and bound:
        raise AtlasMismatchError(
            f"parcel_coords has {n_parcels} parcels and these weights have {expected}, because of: "
            f"{bound[0]}. Bring recordings to the atlas A424 (datasets.fetch_atlas_a424), or use "
            "weights of the 13M family, which know parcels by their coordinates only."
        )
    return InputContract(
        n_parcels=n_parcels,
        window_length=_WINDOW_LENGTH if is_image else c["num_timepoints_per_voxel"],
        patch_length=c["patch_size"] if is_image else c["timepoint_patching_size"],
        parcels_per_patch=c["patch_size"] if is_image else 1,
        t_r=T_R,
        atlas="A424" if n_parcels == _N_PARCELS else None,
        parcel_coords=None if parcel_coords is None else np.asarray(parcel_coords, np.float64),
        atlas_bound=bound,
        scaler="robust",
        divisor=DIVISOR if is_image else 1.0,
        units="mean BOLD signal of a parcel",
        licence=RELEASED_LICENCE,
    )


def settings_of(config):
    """Say which parameters of an estimator a released configuration settles.

    Parameters
    ----------
    config : dict
        What config.json holds.

    Returns
    -------
    settings : dict
        Parameters by name, and for the image family ``image_size``.
    """
    c, contract = check_config(config), contract_of(config)
    settings = {
        "window_length": contract.window_length,
        "patch_length": contract.patch_length,
        "parcels_per_patch": contract.parcels_per_patch,
        "embed_dim": c["hidden_size"],
        "attention": "full",
        "prior": None,
        "parcel_embedding": "xyz",
        "position": "parcel" if c["family"] == "brainlm" else "image",
    }
    return settings if c["family"] == "brainlm" else {**settings, "image_size": c["image_size"]}
