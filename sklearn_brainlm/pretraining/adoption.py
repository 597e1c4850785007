"""How an estimator starts from weights, and what of its input they settle."""

import copy
import warnings
from os import PathLike

from sklearn_brainlm._validation import SAME_T_R, check_parcel_coords, check_t_r
from sklearn_brainlm.coordinates import CoordinateStatistics
from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    CheckpointError,
    DataQualityWarning,
    InvalidRecordingError,
)
from sklearn_brainlm.preprocessing import RecordingScaler
from sklearn_brainlm.pretraining.network import NetworkEstimator
from sklearn_brainlm.resampling import resample_recordings

__all__ = ["AdoptingEstimator", "say_once"]

_SAID = set()  # what is said once in a process


class AdoptingEstimator(NetworkEstimator):
    """Network estimator that may start from weights: those of another, fitted estimator.

    What weights settle is in ``settings_`` (parameters that shape the model, in place of those
    given) and in ``contract_`` (what they expect of recordings). A subclass has ``_donor()``, which
    returns the fitted estimator that ``weights`` stand for, or None.

    Examples
    --------
    >>> from sklearn_brainlm import BrainLMTransformer
    >>> isinstance(BrainLMTransformer(weights=None), AdoptingEstimator)
    True
    """

    def _setting(self, name):
        """Return a parameter that shapes the model, as weights have settled it or as given."""
        settings = vars(self).get("settings_", {})
        return settings[name] if name in settings else getattr(self, name)

    def _adopt(self):
        """Take over what weights settle; return the fitted estimator they are of, or None."""
        donor = self._donor()
        if donor is None:
            return None
        self.contract_ = self._with_parcels_given(donor.contract_)
        self.settings_ = {
            **donor._settled(),
            **vars(donor).get("settings_", {}),
            "n_parcels": self.contract_.n_parcels,
        }
        for name in ("official_", "prior_", "coordinate_prior_"):
            if hasattr(donor, name):
                setattr(self, name, getattr(donor, name))
        has_moved = self.contract_.parcel_hash != donor.contract_.parcel_hash
        if has_moved and hasattr(self, "coordinate_prior_"):
            known = CoordinateStatistics(**self.coordinate_prior_)
            self.prior_ = vars(known.at(self.contract_.parcel_coords, t_r=self.t_r))
        return donor

    def _with_parcels_given(self, contract):
        """Return the contract of the weights, for the parcels that were given if any were."""
        n_parcels, coords = self.n_parcels or contract.n_parcels, self.parcel_coords
        if coords is not None:
            n_parcels = self.n_parcels or len(coords)
            coords = check_parcel_coords(coords, n_parcels)
        given = contract.replace(n_parcels=n_parcels)
        if coords is not None:
            given = given.replace(parcel_coords=coords)
        if _same_parcels(given, contract):
            # Of the same parcels, the weights' own coordinates are what they were trained with.
            return given if contract.parcel_coords is None else contract
        return self._move_to_atlas(given, contract)

    def carry_weights(self, carry=True):
        """Choose what a pickle holds when weights are used as they are.

        Parameters
        ----------
        carry : bool, default=True
            Whether pickles hold a copy of the weights, to be read where those are not. Else they
            say where the weights are and their SHA-256, as they do without this call.

        Returns
        -------
        self : BrainLMTransformer
            The fitted transformer.
        """
        self.carries_weights_ = carry
        return self

    def _net_state(self):
        """Return the weights, or where they are if they are those of a file, untouched."""
        used_as_they_are = self.max_epochs == 0 and isinstance(self.weights, (str, PathLike))
        if used_as_they_are and not vars(self).get("carries_weights_"):
            return {"weights": str(self.weights), "sha256": self._donor().weights_sha256_}
        return super()._net_state()

    def _restore_net(self, weights):
        """Build the network; its weights may be in a file, which must be the same as it was."""
        if "sha256" not in weights:
            super()._restore_net(weights)
            return
        donor = self._donor()
        if donor.weights_sha256_ != weights["sha256"]:
            raise CheckpointError(
                f"The weights {weights['weights']} are not those that were used when this was "
                "pickled: their SHA-256 differs. Fit again, or put the former weights back."
            )
        self.net_ = self._untrained_net(donor)

    def _forget(self):
        """Leave nothing fitted behind by a training that is cut short."""
        for name in (
            "net_",
            "prior_",
            "coordinate_prior_",
            "contract_",
            "settings_",
            "official_",
        ):
            vars(self).pop(name, None)

    def _move_to_atlas(self, given, contract):
        """Return the contract for the parcels given, if the weights work on other parcels."""
        if contract.atlas_bound:
            raise AtlasMismatchError(
                f"These weights belong to {contract.n_parcels} parcels"
                f"{f' of {contract.atlas}' if contract.atlas else ''} and cannot be used on others "
                f"({given.n_parcels} were given), because of: {', '.join(contract.atlas_bound)}. "
                "Leave parcel_coords out for recordings of their atlas, bring recordings to it, or "
                "pretrain with parcel_embedding='xyz' and "
                "prior='coordinates', which only needs coordinates."
            )
        if self.parcel_coords is None:
            raise AtlasMismatchError(
                f"n_parcels={given.n_parcels} differs from the {contract.n_parcels} parcels of the "
                "weights. Give parcel_coords, the MNI coordinates of the parcels."
            )
        # Statistics of other parcels say nothing about these.
        return given.replace(atlas=None, parcel_names=None, center=None, scale=None)

    def _expected_t_r(self):
        """Return the repetition time given, or else that of the weights."""
        return getattr(vars(self).get("contract_"), "t_r", None) if self.t_r is None else self.t_r

    def _at_weights_t_r(self, recordings):
        """Bring recordings to the repetition time that the weights expect."""
        if not self._resamples():
            return recordings
        return resample_recordings(recordings, self.t_r, self.contract_.t_r)

    def _resamples(self):
        """Say whether recordings have another repetition time than the weights expect."""
        expected = getattr(vars(self).get("contract_"), "t_r", None)
        if expected is None or self.t_r is None:
            return False
        return abs(check_t_r(self.t_r) / expected - 1) > SAME_T_R

    def _refuse_resampling(self, what):
        """Raise if what is given back would not be at the repetition time of what was given."""
        if self._resamples():
            raise InvalidRecordingError(
                f"{what} works at the {self.contract_.t_r:g} s of the weights and recordings have "
                f"a t_r of {self.t_r:g} s. Resample them first, with resample_recordings, and set "
                f"t_r={self.contract_.t_r:g}."
            )

    def _learn_input(self, recordings, donor=None):
        """Learn the input contract, or what that of the weights leaves open."""
        if donor is None:
            super()._learn_input(recordings)
            return
        contract = self.contract_
        self.n_parcels_ = self.n_features_in_
        self.t_r_ = check_t_r(self.t_r) or contract.t_r
        self.parcel_coords_ = contract.parcel_coords
        names = getattr(self, "feature_names_in_", None)
        if names is not None and contract.parcel_names not in (None, tuple(names)):
            raise AtlasMismatchError(
                "The names of the parcels, or their order, are not those of the weights: "
                f"{', '.join(map(str, names[:3]))}, ... instead of "
                f"{', '.join(contract.parcel_names[:3])}, ..."
            )
        self.scaler_ = self._open_scaler(recordings, donor)
        self.contract_ = contract.replace(
            scaler=self.scaler_.method, center=self.scaler_.center_, scale=self.scaler_.scale_
        )

    def _open_scaler(self, recordings, donor):
        """Return the scaler of the weights, its statistics learned where there are none."""
        contract = self.contract_
        method = contract.scaler if self.scaler == "auto" else self.scaler
        clip = contract.clip if self.clip is None else self.clip
        if method == contract.scaler and contract.center is not None:
            return copy.copy(donor.scaler_).set_params(clip=clip)
        if contract.center is None and method is not None:
            say_once(
                f"These weights come without statistics of these parcels: the {method!r} scaling "
                f"of each parcel is learned from the {len(recordings)} recordings given. "
                "Embeddings can be compared if they share it: fit on the training set."
            )
        return RecordingScaler(method, clip=clip, divisor=contract.divisor).fit(recordings)

    def _untrained_net(self, donor):
        """Return the net of the weights as it is."""
        if donor is None:
            return self.net_
        if (
            donor.device_ == self.device_
            and self.contract_.parcel_hash == donor.contract_.parcel_hash
        ):
            return donor.net_  # nobody changes it: one copy serves all
        return self._build_net().set_weights(donor.net_.get_weights())

    def _own_net(self):
        """Return a net to train further, which nobody else uses."""
        if self.net_ is getattr(self._donor(), "net_", None):
            return self._build_net().set_weights(self.net_.get_weights())
        return self.net_


def _same_parcels(given, contract):
    """Say whether two contracts are about the same parcels, as far as they know them."""
    if given.n_parcels != contract.n_parcels:
        return False
    if given.parcel_coords is None or contract.parcel_coords is None:
        return True
    return given.parcel_hash == contract.parcel_hash


def say_once(text):
    """Warn of something that holds for every fit of a process, once.

    Parameters
    ----------
    text : str
        The warning.
    """
    if text not in _SAID:
        _SAID.add(text)
        warnings.warn(text, DataQualityWarning, stacklevel=5)
