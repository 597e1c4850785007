"""Estimators that start from weights: what is taken over, what is learned, what is refused.

Not here: files of weights (test_weights.py), released weights (test_official.py).
"""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_brainlm import BrainLMTransformer, resample_recordings
from sklearn_brainlm.coordinates import CoordinateStatistics
from sklearn_brainlm.exceptions import (
    AtlasMismatchError,
    CheckpointError,
    DataQualityWarning,
    InvalidRecordingError,
)

SMALL = {
    "window_length": 20,
    "patch_length": 5,
    "embed_dim": 8,
    "n_heads": 2,
    "mlp_dim": 16,
    "decoder_embed_dim": 8,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 16,
    "max_epochs": 2,
    "random_state": 0,
}
COORDS = np.array([[-40, 20, 5], [40, 20, 5], [-30, -60, 40], [30, -60, 40], [0, -50, 30.0]])
BY_COORDS = {"prior": None, "parcel_embedding": "xyz", "parcel_coords": COORDS, "t_r": 0.8}


def draw_recordings(seed, n_parcels=5, n_timepoints=60):
    """Recordings with slow, shared signals."""
    rng = np.random.default_rng(seed)
    return [
        (rng.standard_normal((n_timepoints, n_parcels)).cumsum(axis=0) + 50).astype(np.float32)
        for _ in range(5)
    ]


@pytest.fixture(scope="module")
def bound():
    """Weights that belong to their parcels, by prior and table."""
    return BrainLMTransformer(**SMALL, t_r=0.8).fit(draw_recordings(0))


@pytest.fixture(scope="module")
def free():
    """Weights that know parcels by their coordinates only."""
    return BrainLMTransformer(**SMALL, **BY_COORDS).fit(draw_recordings(0))


@pytest.fixture(scope="module")
def folder(bound, tmp_path_factory):
    return bound.save_pretrained(tmp_path_factory.mktemp("weights"))


# --- weights as they are -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "path", "frozen"])
def test_weights_as_they_are_embed_as_their_owner_does(bound, folder, kind):
    weights = {"folder": str(folder), "path": folder, "frozen": FrozenEstimator(bound)}[kind]
    recordings = draw_recordings(1)
    model = BrainLMTransformer(weights=weights, max_epochs=0).fit(recordings)
    np.testing.assert_array_equal(model.transform(recordings), bound.transform(recordings))
    assert model.window_length == 200  # parameters stay as given; what is in use is settled
    assert model.settings_["window_length"] == 20
    assert model.contract_ == bound.contract_
    assert model.trained_on_ == bound.trained_on_
    assert model.get_feature_names_out().shape == (8,)


def test_weights_are_read_once_in_a_process(folder):
    models = [BrainLMTransformer(weights=folder, max_epochs=0) for _ in range(2)]
    nets = [model.fit(draw_recordings(seed)).net_ for seed, model in enumerate(models)]
    assert nets[0] is nets[1]


def test_weights_survive_clone_and_grid_search(bound, folder, tmp_path):
    recordings, y = draw_recordings(2) * 2, np.arange(10.0)
    model = BrainLMTransformer(weights=FrozenEstimator(bound), max_epochs=0)
    assert clone(model).weights.estimator is bound
    pipeline = make_pipeline(
        BrainLMTransformer(weights=str(folder), max_epochs=0), Ridge(), memory=str(tmp_path)
    )
    search = GridSearchCV(pipeline, {"ridge__alpha": [0.1, 1.0]}, cv=2).fit(recordings, y)
    embeddings = search.best_estimator_[0].transform(recordings)
    np.testing.assert_array_equal(embeddings, bound.transform(recordings))


def test_frozen_features_are_cached_across_folds(folder, tmp_path, monkeypatch):
    calls = []
    transform = BrainLMTransformer.transform
    monkeypatch.setattr(
        BrainLMTransformer, "transform", lambda self, X: calls.append(1) or transform(self, X)
    )
    recordings, y = draw_recordings(3), np.arange(5.0)
    for alpha in (0.1, 1.0, 10.0):
        make_pipeline(
            BrainLMTransformer(weights=str(folder), max_epochs=0),
            Ridge(alpha=alpha),
            memory=str(tmp_path),
        ).fit(recordings, y)
    assert len(calls) == 1


def test_a_pickle_of_weights_as_they_are_says_where_they_are(bound, folder):
    recordings = draw_recordings(1)
    model = BrainLMTransformer(weights=str(folder), max_epochs=0).fit(recordings)
    text = pickle.dumps(model)
    weights = next(iter(bound.net_.get_weights().values()))
    assert model.__getstate__()["net_"].keys() == {"weights", "sha256"}
    assert weights.tobytes() not in text
    again = pickle.loads(text)
    np.testing.assert_array_equal(again.transform(recordings), bound.transform(recordings))
    carried = pickle.dumps(model.carry_weights())
    assert len(carried) > len(text)
    np.testing.assert_array_equal(
        pickle.loads(carried).transform(recordings), bound.transform(recordings)
    )


def test_a_pickle_refuses_other_weights_in_the_same_place(tmp_path):
    for seed in (0, 1):
        trained = BrainLMTransformer(**{**SMALL, "random_state": seed}).fit(draw_recordings(0))
        trained.save_pretrained(tmp_path)
        if seed == 0:
            model = BrainLMTransformer(weights=str(tmp_path), max_epochs=0).fit(draw_recordings(0))
            text = pickle.dumps(model)
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        pickle.loads(text)


def test_without_weights_there_is_nothing_to_use_untrained():
    with pytest.raises(ValueError, match="max_epochs=0 trains nothing"):
        BrainLMTransformer(**{**SMALL, "max_epochs": 0}).fit(draw_recordings(0))


@pytest.mark.parametrize("weights", ["unfrozen", "ridge"])
def test_weights_are_a_frozen_transformer(bound, weights):
    given = {"unfrozen": bound, "ridge": FrozenEstimator(Ridge())}[weights]
    words = {"unfrozen": "FrozenEstimator", "ridge": "frozen Ridge"}[weights]
    with pytest.raises(TypeError, match=words):
        BrainLMTransformer(weights=given, max_epochs=0).fit(draw_recordings(0))


# --- training from weights -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bound", "free"])
def test_training_goes_on_from_weights_and_leaves_them_alone(kind, request):
    owner = request.getfixturevalue(kind)
    before = owner.net_.get_weights()
    recordings = draw_recordings(4)
    model = BrainLMTransformer(weights=FrozenEstimator(owner), max_epochs=3, random_state=0)
    model.fit(recordings)
    after = owner.net_.get_weights()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    moved = model.net_.get_weights()
    assert any(not np.array_equal(before[name], moved[name]) for name in before)
    assert [row["epoch"] for row in model.history_] == [1, 2, 3, 4, 5]
    assert model.trained_on_["n_recordings"] > owner.trained_on_["n_recordings"]
    assert np.isfinite(model.score(recordings))


def test_partial_fit_after_weights_as_they_are_leaves_them_alone(bound):
    before = bound.net_.get_weights()
    model = BrainLMTransformer(weights=FrozenEstimator(bound), max_epochs=0)
    model.fit(draw_recordings(4)).set_params(max_epochs=1).partial_fit(draw_recordings(4))
    assert model.net_ is not bound.net_
    after = bound.net_.get_weights()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_what_was_trained_from_weights_can_be_saved(bound, tmp_path):
    recordings = draw_recordings(5)
    model = BrainLMTransformer(weights=FrozenEstimator(bound), max_epochs=1, random_state=0)
    again = BrainLMTransformer.from_pretrained(model.fit(recordings).save_pretrained(tmp_path))
    np.testing.assert_array_equal(again.transform(recordings), model.transform(recordings))
    assert again.weights is None and again.window_length == 20


# --- the input contract --------------------------------------------------------------------------


def test_recordings_are_resampled_to_the_repetition_time_of_the_weights(bound):
    recordings = draw_recordings(6)
    model = BrainLMTransformer(weights=FrozenEstimator(bound), max_epochs=0, t_r=2.0)
    found = model.fit(recordings).transform(recordings)
    resampled = resample_recordings(recordings, 2.0, 0.8)
    np.testing.assert_allclose(found, bound.transform(resampled), atol=1e-6)
    assert model.t_r_ == 2.0 and model.contract_.t_r == 0.8
    for method in (model.reconstruct, lambda X: model.impute(X, [np.isnan(x) for x in X])):
        with pytest.raises(InvalidRecordingError, match=r"resample_recordings.*t_r=0.8"):
            method(recordings)
    assert np.isfinite(model.score(recordings))


def test_scaling_is_that_of_the_weights_unless_another_is_asked_for(bound):
    recordings = [recording * 3 + 7 for recording in draw_recordings(7)]
    weights = FrozenEstimator(bound)
    model = BrainLMTransformer(weights=weights, max_epochs=0).fit(recordings)
    np.testing.assert_array_equal(model.scaler_.center_, bound.scaler_.center_)
    other = BrainLMTransformer(weights=weights, max_epochs=0, scaler="standard").fit(recordings)
    np.testing.assert_allclose(
        other.scaler_.center_, np.concatenate(recordings).mean(axis=0), rtol=1e-5
    )
    assert other.contract_.scaler == "standard"


def test_wrong_number_of_parcels_is_named(bound):
    with pytest.raises(InvalidRecordingError, match="4 features.*5"):
        BrainLMTransformer(weights=FrozenEstimator(bound), max_epochs=0).fit(
            draw_recordings(0, n_parcels=4)
        )


def test_weights_bound_to_their_atlas_refuse_another(bound, free):
    for parameters in ({"n_parcels": 4, "parcel_coords": COORDS[:4]}, {"n_parcels": 4}):
        model = BrainLMTransformer(weights=FrozenEstimator(bound), max_epochs=0, **parameters)
        with pytest.raises(AtlasMismatchError, match="covariance of the prior"):
            model.fit(draw_recordings(0, n_parcels=4))
    with pytest.raises(AtlasMismatchError, match="Give parcel_coords"):
        BrainLMTransformer(weights=FrozenEstimator(free), max_epochs=0, n_parcels=4).fit(
            draw_recordings(0, n_parcels=4)
        )
    fixed = BrainLMTransformer(**{**SMALL, **BY_COORDS, "parcel_embedding": "both"})
    fixed.fit(draw_recordings(0))
    with pytest.raises(AtlasMismatchError, match="learned parcel embeddings"):
        BrainLMTransformer(
            weights=FrozenEstimator(fixed), max_epochs=0, parcel_coords=COORDS[::-1]
        ).fit(draw_recordings(0))


def test_weights_that_know_coordinates_only_take_another_atlas(free):
    coords = COORDS[[3, 0, 4]] + 2.0
    recordings = draw_recordings(8, n_parcels=3)
    model = BrainLMTransformer(weights=FrozenEstimator(free), max_epochs=0, parcel_coords=coords)
    with warnings.catch_warnings():  # said once in a process
        warnings.simplefilter("ignore", DataQualityWarning)
        model.fit(recordings)
    assert model.contract_.n_parcels == 3 and model.contract_.t_r == 0.8
    np.testing.assert_array_equal(model.contract_.parcel_coords, coords)
    np.testing.assert_allclose(model.scaler_.center_, np.median(np.concatenate(recordings), axis=0))
    assert model.transform(recordings).shape == (5, 8)
    # A parcel is known by where it is: in another order, the same reconstruction.
    order = [2, 0, 1]
    moved = BrainLMTransformer(
        weights=FrozenEstimator(free), max_epochs=0, parcel_coords=coords[order]
    ).fit([recording[:, order] for recording in recordings])
    np.testing.assert_allclose(
        moved.transform([recordings[0][:, order]]), model.transform(recordings[:1]), atol=1e-5
    )


def test_names_of_parcels_travel(tmp_path):
    import pandas as pd

    frames = [pd.DataFrame(x, columns=list("abcde")) for x in draw_recordings(9)]
    model = BrainLMTransformer(**SMALL).fit(frames)
    assert model.contract_.parcel_names == tuple("abcde")
    weights = model.save_pretrained(tmp_path)
    with pytest.raises(AtlasMismatchError, match="their order"):
        BrainLMTransformer(weights=weights, max_epochs=0).fit([f[list("abced")] for f in frames])


# --- the released way of embedding ---------------------------------------------------------------


def test_embedding_from_a_part_of_the_tokens_is_seeded_and_another_number(bound):
    recordings = draw_recordings(1)
    weights = {"weights": FrozenEstimator(bound), "max_epochs": 0, "embed_mask_ratio": 0.75}
    first, again, other = (
        BrainLMTransformer(**weights, random_state=seed).fit(recordings).transform(recordings)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4
    assert np.abs(first - bound.transform(recordings)).max() > 1e-4
    with pytest.raises(ValueError, match="needs all tokens"):
        BrainLMTransformer(**weights, pooling="parcel").fit(recordings).transform(recordings)


# --- a prior that is carried to another atlas ----------------------------------------------------

BY_CARRIED = {**BY_COORDS, "prior": "coordinates"}


def test_a_prior_of_coordinates_is_carried_to_other_parcels():
    owner = BrainLMTransformer(**SMALL, **BY_CARRIED).fit(draw_recordings(0))
    assert owner.contract_.atlas_bound == ()
    coords = COORDS[[3, 0, 4]] + 2.0
    model = BrainLMTransformer(
        weights=FrozenEstimator(owner), max_epochs=0, parcel_coords=coords, scaler=None
    ).fit(draw_recordings(1, n_parcels=3))
    carried = CoordinateStatistics(**owner.coordinate_prior_).at(coords)
    np.testing.assert_array_equal(model.prior_["covariance"], carried.covariance)
    assert np.isfinite(model.score(draw_recordings(1, n_parcels=3)))
    same = BrainLMTransformer(weights=FrozenEstimator(owner), max_epochs=0)
    same.fit(draw_recordings(1))
    np.testing.assert_array_equal(same.prior_["covariance"], owner.prior_["covariance"])


def test_a_prior_of_coordinates_survives_a_folder(tmp_path):
    recordings = draw_recordings(0)
    owner = BrainLMTransformer(**SMALL, **BY_CARRIED).fit(recordings)
    weights = owner.save_pretrained(tmp_path)
    coords = COORDS[:3] + 1.0
    models = [
        BrainLMTransformer(weights=w, max_epochs=0, parcel_coords=coords, scaler=None)
        for w in (weights, FrozenEstimator(owner))
    ]
    found = [m.fit(draw_recordings(2, n_parcels=3)).prior_["covariance"] for m in models]
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_a_prior_of_coordinates_needs_them():
    with pytest.raises(ValueError, match="give parcel_coords"):
        BrainLMTransformer(**SMALL, prior="coordinates").fit(draw_recordings(0))
