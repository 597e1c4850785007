"""What estimators that read whole recordings, without windows, do with X."""

from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._validation import check_parcel_names, check_recordings

__all__ = ["RecordingInputMixin"]


class RecordingInputMixin:
    """Check recordings, and learn in ``fit`` which parcels they have.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm.baselines.measures import ParcelDeviation
    >>> isinstance(ParcelDeviation(), RecordingInputMixin)
    True
    >>> ParcelDeviation().fit([np.random.default_rng(0).normal(size=(20, 3))]).n_features_in_
    3
    """

    def _check(self, X, *, reset):
        """Return checked recordings; `reset` learns the parcels instead of checking them."""
        if not reset:
            check_is_fitted(self)
        recordings = check_recordings(
            X,
            estimator_name=type(self).__name__,
            n_parcels=None if reset else self.n_features_in_,
            min_timepoints=2,  # one timepoint has no variance
        )
        names = check_parcel_names(X, None if reset else getattr(self, "feature_names_in_", None))
        if reset:
            self.n_features_in_ = recordings[0].shape[1]
            vars(self).pop("feature_names_in_", None)  # of an earlier fit
            if names is not None:
                self.feature_names_in_ = names
        return recordings

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        return tags
