"""What is compared on a cohort of another atlas: methods that come there knowing where parcels are.

A method that was learned elsewhere is fitted to the recordings it is pretrained on, and then
carried: ``carry(place, train)`` returns it for the parcels of a place. The others are those of
``_methods.py``, fitted to the training people of the place itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from _cohorts import bring_to_t_r, check_sides, split
from _methods import ADAPTIVE, GAUSSIAN, Setting
from _methods import METHODS as METHODS_OF_ONE_ATLAS
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_brainlm import GaussianReconstructor, InvalidRecordingError
from sklearn_brainlm.coordinates import fit_coordinate_statistics, fit_distance_statistics
from sklearn_brainlm.preprocessing import RecordingScaler

DISTANCE = "Distance Gaussian"
ADAPTIVE_DISTANCE = "Adaptive space-time distance Gaussian"
REFERENCES = (DISTANCE, ADAPTIVE_DISTANCE)  # whose R2 is subtracted from everyone's
BY_COORDINATES = {"prior": "coordinates", "parcel_embedding": "xyz"}  # no part knows an atlas


@dataclass(frozen=True)
class Place:
    """Where a method is carried to."""

    setting: Setting
    measured_t_r: float  # seconds, the median of its recordings before they were resampled


@dataclass(frozen=True)
class Row:
    """A line of the table: what builds the method, and what it learns from."""

    build: Callable  # of a Setting and a seed
    elsewhere: bool  # learned on the cohort of pretraining, and carried
    seeded: bool = False


class StatisticsGaussian(GaussianReconstructor):
    """Closed form with statistics that are given to it."""

    def take(self, statistics):
        """Fill in from these statistics."""
        self.statistics_ = statistics
        self.n_parcels_ = self.n_features_in_ = len(statistics.covariance)
        return self


class CarriedGaussian:
    """Closed form whose statistics are a function of the coordinates of parcels."""

    def __init__(self, learn, setting, **flags):
        self.learn = learn
        self.setting = setting
        self.model = StatisticsGaussian(
            scaler=None,
            window_length=setting.window_length,
            patch_length=setting.patch_length,
            short=setting.short,
            **flags,
        )

    def fit(self, recordings):
        """Learn the statistics."""
        self.statistics_at_ = self.learn(recordings, self.setting)
        return self

    def carry(self, place, train):
        """Return the closed form for the parcels of a place; nothing is learned there."""
        return clone(self.model).take(self.statistics_at_(place))


class CarriedBrainLM:
    """BrainLM pretrained on one atlas and used on others, as it is."""

    def __init__(self, model):
        self.model = model

    def fit(self, recordings):
        """Pretrain."""
        self.model.fit(recordings)
        self.n_parameters_ = self.model.n_parameters_
        return self

    def carry(self, place, train):
        """Return the pretrained model for the parcels of a place; nothing is learned there."""
        return clone(self.model).set_params(
            weights=FrozenEstimator(self.model),
            parcel_coords=place.setting.parcel_coords,
            max_epochs=0,
        ).fit(train.recordings)  # fmt: skip


def sides(cohort, pretraining, exclude):
    """Split a cohort as ever, with nobody on the test side who was pretrained on."""
    has = {*cohort.subjects, *cohort.files}
    train, test = split(cohort, exclude=[name for name in exclude if name in has])
    test = test.take(~np.isin(test.subjects, pretraining.subjects))
    check_sides(train, test)
    check_sides(pretraining, test)
    return train, test


def prepare_pretraining(cohort, t_r):
    """Bring the cohort of pretraining to one TR and the units of its own spread."""
    cohort = bring_to_t_r(cohort, t_r)
    recordings = RecordingScaler().fit_transform(cohort.recordings)
    return replace(cohort, recordings=recordings)


def check_coords(cohort):
    """Refuse a cohort of which nobody knows where its parcels are."""
    if cohort.parcel_coords is None:
        raise InvalidRecordingError(
            f"parcels.tsv of {cohort.name} has no x, y and z: a model that knows parcels by their "
            "coordinates cannot be carried there."
        )


def _by_distance(recordings, setting):
    """Learn a covariance that is a function of distance."""
    statistics = fit_distance_statistics(recordings, setting.parcel_coords)
    return lambda place: statistics.at(place.setting.parcel_coords)


def _by_coordinates(recordings, setting):
    """Learn a covariance that is a function of coordinates."""
    statistics = fit_coordinate_statistics(recordings, setting.parcel_coords, t_r=setting.t_r)
    return lambda place: statistics.at(place.setting.parcel_coords, t_r=place.measured_t_r)


def _carried(learn, *, adaptive):
    """Return the line of a closed form that is carried: plain, or adaptive and over time."""

    def build(setting, seed):
        return CarriedGaussian(learn, setting, adaptive=adaptive, temporal=adaptive)

    return Row(build, elsewhere=True)


def _fitted_there(name):
    """Return the line of a method of the reconstruction table."""
    return Row(METHODS_OF_ONE_ATLAS[name].build, elsewhere=False)


def _brainlm(setting, seed):
    """Build the BrainLM that knows parcels by their coordinates only."""
    model = METHODS_OF_ONE_ATLAS["BrainLM"].build(setting, seed)
    return model.set_params(**BY_COORDINATES)


METHODS = {
    "Mean": _fitted_there("Mean"),
    DISTANCE: _carried(_by_distance, adaptive=False),
    ADAPTIVE_DISTANCE: _carried(_by_distance, adaptive=True),
    "Coordinate Gaussian": _carried(_by_coordinates, adaptive=False),
    "Adaptive space-time coordinate Gaussian": _carried(_by_coordinates, adaptive=True),
    "BrainLM zero-shot": Row(
        lambda setting, seed: CarriedBrainLM(_brainlm(setting, seed)), elsewhere=True, seeded=True
    ),
    "Gaussian fitted there": _fitted_there(GAUSSIAN),
    "Adaptive space-time Gaussian fitted there": _fitted_there(ADAPTIVE),
    "BrainLM pretrained there": Row(_brainlm, elsewhere=False, seeded=True),
}
