"""How an estimator holds released weights, whose networks are not built from its parameters."""

import numpy as np

from sklearn_brainlm import _a424
from sklearn_brainlm._validation import check_parcel_coords, check_t_r
from sklearn_brainlm.devices import resolve_device
from sklearn_brainlm.exceptions import AtlasMismatchError, CheckpointError
from sklearn_brainlm.grids import ImageGrid
from sklearn_brainlm.official.contract import contract_of, settings_of
from sklearn_brainlm.official.networks import make_network
from sklearn_brainlm.preprocessing import RecordingScaler
from sklearn_brainlm.pretraining.adoption import AdoptingEstimator, say_once
from sklearn_brainlm.weights import export_official

__all__ = ["ReleasedEstimator"]


class ReleasedEstimator(AdoptingEstimator):
    """Network estimator whose weights may be released ones.

    Then ``official_`` holds their configuration and the tensors that no computation uses.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> isinstance(BrainLMTransformer(), ReleasedEstimator)
    True
    """

    def export_official(self, path):
        """Write released weights, trained further or not, as the released code reads them.

        Parameters
        ----------
        path : str or Path
            Folder: config.json, model.safetensors and README.md with the licence.

        Returns
        -------
        path : Path
            The folder.

        Raises
        ------
        CheckpointError
            If the weights are not of a released family.
        """
        if not hasattr(self, "official_"):
            raise CheckpointError(
                "These weights are not of a released family: the released code cannot run them. "
                "Use save_pretrained."
            )
        official = self.official_
        return export_official(path, official["config"], self.net_.module_, official["leftovers"])

    @staticmethod
    def _released_coords(config, parcel_coords):
        """Return the coordinates of released weights: those given, or else those of A424."""
        n_parcels = contract_of(config).n_parcels
        if parcel_coords is not None:
            return check_parcel_coords(parcel_coords, len(parcel_coords))
        if n_parcels != _a424.N_PARCELS:
            raise AtlasMismatchError(
                f"These weights are of {n_parcels} parcels. The coordinates of no atlas but A424 "
                f"({_a424.N_PARCELS} parcels) are known: give parcel_coords."
            )
        return _a424.read_coordinates(_a424.find_file(_a424.COORDINATES))

    @classmethod
    def _of_released(cls, weights, source, t_r, device):
        """Return a fitted estimator of released weights."""
        contract = weights.contract
        model = cls(weights=source, max_epochs=0, t_r=t_r, device=device)
        model.contract_ = contract
        model.settings_ = {
            **settings_of(weights.config),
            "n_parcels": contract.n_parcels,
        }
        model.official_ = {"config": weights.config, "leftovers": weights.leftovers}
        model.weights_sha256_ = weights.sha256
        model.n_parcels_ = model.n_features_in_ = contract.n_parcels
        model.parcel_coords_ = contract.parcel_coords
        model.t_r_ = check_t_r(t_r) or contract.t_r
        model.scaler_ = None  # nobody published its statistics
        model.history_ = []
        model.trained_on_ = {"n_recordings": 0, "n_timepoints": 0, "subjects": []}
        model.validation_indices_ = np.empty(0, dtype=np.int64)
        model.n_parameters_ = weights.module.n_parameters
        model.device_ = resolve_device(device)
        model.net_ = model._wrap(weights.module).initialize()
        return model

    def _build_module(self):
        """Return what makes the network, and its parameters; the release has its own."""
        if "official_" not in vars(self):
            return super()._build_module()
        return make_network, {
            "config": self.official_["config"],
            "parcel_coords": self.parcel_coords_,
        }

    def _reader(self, recordings, *extras):
        """Read scaled windows; statistics that nobody published are those of the recordings."""
        if self.scaler_ is not None:
            return super()._reader(recordings, *extras)
        method = self.contract_.scaler if self.scaler == "auto" else self.scaler
        say_once(
            "The statistics that these weights were trained with were never published: recordings "
            f"are scaled ({method!r}) by those of the recordings given. To compare embeddings of "
            "several sets, use weights= and fit on the training set."
        )
        scaler = RecordingScaler(method, clip=self.clip, divisor=self.contract_.divisor)
        self.scaler_ = scaler.fit(recordings)
        try:
            return super()._reader(recordings, *extras)
        finally:
            self.scaler_ = None

    @property
    def _grid(self):
        """Layout of the tokens; the released image models have margins."""
        settings = vars(self).get("settings_", {})
        grid = super()._grid
        if "image_size" not in settings:
            return grid
        side = settings["image_size"]
        return ImageGrid(
            grid.n_parcels,
            grid.patch_length,
            grid.parcels_per_patch,
            grid.parcel_order,
            image_size=(side, side),
            window_length=settings["window_length"],
        )
