"""What every estimator that holds a network does the same way."""

import numpy as np

from sklearn_brainlm._base import BaseRecordingEstimator
from sklearn_brainlm._net_state import NetStateMixin
from sklearn_brainlm._spectra import power_by_band
from sklearn_brainlm._validation import check_parcel_coords, check_t_r
from sklearn_brainlm.contract import InputContract
from sklearn_brainlm.devices import windows_at_a_time
from sklearn_brainlm.grids import TokenGrid, order_along_y
from sklearn_brainlm.modules import InformedAutoencoder, MaskedAutoencoder
from sklearn_brainlm.nets import ReconstructionNet
from sklearn_brainlm.training import loop_parameters
from sklearn_brainlm.windows import WindowReader

__all__ = ["NetworkEstimator"]

# Parameters of the estimator that the network takes under the same name: those that shape it, and
# those that are about training.
_SHAPING = (
    "patch_length",
    "parcels_per_patch",
    "embed_dim",
    "depth",
    "n_heads",
    "mlp_dim",
    "attention",
    "decoder",
    "decoder_embed_dim",
    "decoder_depth",
    "decoder_n_heads",
    "decoder_mlp_dim",
    "norm",
    "token_conv",
    "position",
    "xyz_scale",
    "head",
)
_TRAINING = ("dropout", "gradient_checkpointing")


class NetworkEstimator(NetStateMixin, BaseRecordingEstimator):
    """Estimator that holds a network (``net_``) and its device (``device_``).

    A subclass has ``_build_net()``, which returns an untrained net for what is fitted, and
    ``_batch_extras()``, which returns what its network takes beside signals and masks.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> isinstance(BrainLMTransformer(), NetworkEstimator)
    True
    """

    def _restore_net(self, weights):
        """Build the network and put weights into it."""
        self.net_ = self._build_net().set_weights(weights)

    def _learn_input(self, recordings):
        """Learn the input contract: parcels, their coordinates, repetition time and scaling."""
        super()._learn_input(recordings)
        self.t_r_ = check_t_r(self.t_r)
        self.parcel_coords_ = None
        if self.parcel_coords is not None:
            self.parcel_coords_ = check_parcel_coords(self.parcel_coords, self.n_parcels_)
        elif self.prior == "coordinates":
            raise ValueError(
                "prior='coordinates' carries what it learns to other parcels by their "
                "coordinates: give parcel_coords, or use prior='gaussian'."
            )
        names = getattr(self, "feature_names_in_", None)
        self.contract_ = InputContract(
            n_parcels=self.n_parcels_,
            window_length=self.window_length,
            patch_length=self.patch_length,
            parcels_per_patch=self.parcels_per_patch,
            t_r=self.t_r_,
            parcel_names=None if names is None else tuple(names),
            parcel_coords=self.parcel_coords_,
            atlas_bound=self._atlas_bound(),
            scaler=self.scaler_.method,
            clip=self.clip,
            center=self.scaler_.center_,
            scale=self.scaler_.scale_,
            spectrum=power_by_band(recordings),
        )

    def _atlas_bound(self):
        """Name the parts of the network that belong to the parcels trained on."""
        bound = []
        if self.parcel_coords_ is None or self.parcel_embedding != "xyz":
            bound.append("learned parcel embeddings")
        if self.prior == "gaussian":
            bound.append("covariance of the prior")
        if self.position == "image":
            bound.append("rows of the image")
        return tuple(bound)

    def _settled(self):
        """Say what has shaped the network of this fitted estimator."""
        names = (*_SHAPING, "window_length", "parcel_embedding", "prior")
        settled = {name: self._setting(name) for name in names}
        if self.parcel_coords_ is None:
            settled["parcel_embedding"] = "learned"
        return settled

    def _build_net(self):
        """Build the net around the network, untrained."""
        module, parameters = self._build_module()
        return self._wrap(
            module, **{f"module__{name}": value for name, value in parameters.items()}
        )

    def _wrap(self, module, **module_parameters):
        """Build the net around a network, or around the class of one and its parameters."""
        parameters = {
            "module": module,
            **module_parameters,
            **loop_parameters(self),
        }
        return ReconstructionNet(**{**parameters, **(self.net_params or {})})

    def _build_module(self):
        """Choose the class of the network and its parameters."""
        parameters = {name: self._setting(name) for name in _SHAPING}
        parameters |= {name: getattr(self, name) for name in _TRAINING}
        parameters["n_parcels"] = self.n_parcels_
        parameters["parcel_order"] = self._grid.parcel_order
        parameters["parcel_coords"] = self.parcel_coords_
        # Without coordinates, parcels can only be told apart by a table that is learned.
        has_coords = self.parcel_coords_ is not None
        parameters["parcel_embedding"] = (
            self._setting("parcel_embedding") if has_coords else "learned"
        )
        if self._setting("prior") is None:
            return MaskedAutoencoder, parameters
        sd = np.sqrt(np.maximum(self.prior_["covariance"].diagonal(), 1e-12))
        parameters["parcel_similarity"] = self.prior_["covariance"] / sd / sd[:, None]
        parameters["statistics"] = self.prior_
        return InformedAutoencoder, parameters

    @property
    def _grid(self):
        """Layout of the tokens; parcels that share a patch are neighbours along MNI Y."""
        patch_length = self._setting("patch_length")
        parcels_per_patch = self._setting("parcels_per_patch")
        order = order_along_y(self.parcel_coords_) if parcels_per_patch > 1 else None
        return TokenGrid(self.n_parcels_, patch_length, parcels_per_patch, order)

    def _resolve_micro_batch_size(self):
        """Return the number of windows on the device at a time."""
        n_tokens = self._grid.n_tokens(self._setting("window_length"))
        return windows_at_a_time(self.micro_batch_size, n_tokens, self.device_)

    def _fill(self, windows, masked, tokens=None):
        """Fill in masked values; the encoder sees whole patches, a closed form all other values."""
        # The windows stand for recordings that are scaled already.
        reader = WindowReader(windows, np.asarray, self._grid, windows.shape[1], self._batch_extras)
        filled = np.where(masked, np.float32(np.nan), windows)
        if tokens is None:
            batches = self._group_masks(masked)
        else:
            batches = [(np.arange(len(windows)), *tokens)]
        for which, ids_keep, ids_mask in batches:
            starts = np.zeros_like(which)
            inputs, _ = reader.batch(np.column_stack([which, starts]), ids_keep, ids_mask)
            if self._setting("prior") is not None:
                seen = [self._grid.pad(values)[0].T for values in ~masked[which]]
                inputs["seen"] = np.stack(seen).astype(bool)  # (B, P, C * L)
            made = self.net_.fill(inputs).transpose(0, 2, 1)[:, : windows.shape[1]]  # (B, T, P)
            filled[which] = np.where(masked[which], made, windows[which])
        return filled

    def _group_masks(self, masked):
        """Yield windows that have as many visible tokens, but not all, and their tokens.

        Without a closed form, a window of which no token is visible has nothing to go by.
        """
        touched = np.stack([self._grid.touched(mask) for mask in masked])  # (n, N)
        counts = touched.sum(axis=1)
        size = self._resolve_micro_batch_size()
        blind = masked.all(axis=(1, 2))
        if self._setting("prior") is None:
            blind = counts == touched.shape[1]
        for count in np.unique(counts[(counts > 0) & ~blind]):
            group = np.flatnonzero((counts == count) & ~blind)
            for start in range(0, len(group), size):
                which = group[start : start + size]
                ids = [np.nonzero(marks)[1] for marks in (~touched[which], touched[which])]
                yield which, *(tokens.reshape(len(which), -1) for tokens in ids)
