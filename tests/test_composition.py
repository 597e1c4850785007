"""What scikit-learn's tools make of the transformer: caching, routed metadata, searches.

Maskers, images and paths in front of every estimator are in recording_checks.py.
"""

import nibabel
import numpy as np
import pytest
from nilearn.maskers import MultiNiftiLabelsMasker
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline
from sklearn.svm import SVR

from sklearn_brainlm import BrainLMTransformer

SMALL = {
    "window_length": 40,
    "patch_length": 10,
    "embed_dim": 8,
    "n_heads": 2,
    "mlp_dim": 8,
    "decoder_embed_dim": 8,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 8,
    "prior": None,
    "max_epochs": 1,
    "random_state": 0,
}
AGE = np.array([31.0, 64.0, 45.0, 58.0, 23.0, 70.0])
PEOPLE = np.array(["a", "a", "b", "b", "c", "c"])


@pytest.fixture
def images(recordings):
    """Return 4-D images of the recordings, and the label image they were painted from."""
    labels = np.arange(1, 13, dtype=np.int32).reshape(3, 4, 1)
    painted = [
        nibabel.Nifti1Image(recording.T.reshape(3, 4, 1, -1), np.eye(4)) for recording in recordings
    ]
    return painted, nibabel.Nifti1Image(labels, np.eye(4))


def count_trainings(monkeypatch):
    """Count how often a network is trained, from here on."""
    trained = []
    train = BrainLMTransformer._train

    def counted(self, *args):
        trained.append(self)
        return train(self, *args)

    monkeypatch.setattr(BrainLMTransformer, "_train", counted)
    return trained


@pytest.mark.filterwarnings("ignore:From release 0.14.0:DeprecationWarning")  # nilearn 0.13's own
def test_a_cached_pipeline_trains_once_and_routes_metadata(images, tmp_path, monkeypatch):
    painted, labels_img = images
    rng = np.random.default_rng(0)
    confounds = [rng.standard_normal((image.shape[3], 2)) for image in painted]
    weights = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 3.0])
    trained = count_trainings(monkeypatch)
    with config_context(enable_metadata_routing=True):
        masker = MultiNiftiLabelsMasker(labels_img, standardize=None)
        steps = [
            ("masker", masker.set_transform_request(confounds=True)),
            ("brainlm", BrainLMTransformer(**SMALL).set_fit_request(groups=True)),
            ("svr", SVR().set_fit_request(sample_weight=True)),
        ]
        metadata = {"confounds": confounds, "groups": PEOPLE, "sample_weight": weights}
        cached = Pipeline(steps, memory=str(tmp_path)).fit(painted, AGE, **metadata)
        again = clone(cached).fit(painted, AGE, **metadata)
        assert len(trained) == 1
        predicted = cached.predict(painted, confounds=confounds)
        np.testing.assert_array_equal(again.predict(painted, confounds=confounds), predicted)
        without = clone(cached).fit(painted, AGE, groups=PEOPLE, sample_weight=weights)
        assert len(trained) == 2

    masker = MultiNiftiLabelsMasker(labels_img, standardize=None)
    cleaned = masker.fit(painted).transform(painted, confounds=confounds)
    brainlm = BrainLMTransformer(**SMALL).fit(cleaned, groups=PEOPLE)
    embeddings = brainlm.transform(cleaned)
    by_hand = SVR().fit(embeddings, AGE, sample_weight=weights).predict(embeddings)
    np.testing.assert_allclose(predicted, by_hand, rtol=1e-6)
    assert not np.allclose(without.predict(painted), predicted)
    held_out = PEOPLE[brainlm.validation_indices_]
    assert not set(held_out) & set(np.delete(PEOPLE, brainlm.validation_indices_))


@pytest.mark.slow
def test_a_search_finds_the_same_in_one_process_and_in_two(recordings):
    model = Pipeline([("brainlm", BrainLMTransformer(**SMALL)), ("svr", SVR())])
    grid = {"brainlm__pooling": ["cls", "covariance"], "svr__C": [0.1, 10.0]}
    searches = [
        GridSearchCV(model, grid, cv=GroupKFold(3), n_jobs=n_jobs, error_score="raise").fit(
            recordings, AGE, groups=PEOPLE
        )
        for n_jobs in (1, 2)
    ]
    one, two = (search.cv_results_["mean_test_score"] for search in searches)
    np.testing.assert_allclose(one, two, rtol=1e-5)
    assert len(np.unique(one)) > 1
