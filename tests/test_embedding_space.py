"""Embeddings in a plane, and whether neighbours are alike. UMAP is an extra: see the last tests."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from sklearn_brainlm.embedding_space import neighbor_purity, project_embeddings


def draw_embeddings(n=40, n_features=6, seed=0):
    """Return embeddings of nobody in particular."""
    return np.random.default_rng(seed).standard_normal((n, n_features))


# --- the plane ---


def test_principal_components_are_the_eigenvectors_of_the_correlations():
    embeddings = draw_embeddings() * [1, 10, 100, 1, 1, 1]
    points = project_embeddings(embeddings)
    values, vectors = np.linalg.eigh(np.corrcoef(embeddings.T))
    scores = StandardScaler().fit_transform(embeddings) @ vectors[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(points), np.abs(scores), atol=1e-8)
    np.testing.assert_allclose(points.var(axis=0), values[::-1][:2])


def test_tsne_keeps_groups_apart_and_its_seed():
    groups = np.repeat([0, 1], 20)
    embeddings = draw_embeddings() + 20 * groups[:, None]
    points = project_embeddings(embeddings, "tsne", random_state=0)
    told = KNeighborsClassifier(3).fit(points, groups)
    assert points.shape == (40, 2)
    assert told.score(points, groups) == 1.0
    np.testing.assert_array_equal(points, project_embeddings(embeddings, "tsne", random_state=0))


def test_constant_features_and_a_single_one_do_no_harm():
    points = project_embeddings(np.column_stack([np.arange(6.0), np.ones(6)]))
    assert np.isfinite(points).all()
    assert project_embeddings(np.arange(6.0)[:, None]).shape == (6, 2)


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="method='lda' is not one of pca, tsne, umap"):
        project_embeddings(draw_embeddings(), "lda")


def test_embeddings_have_to_be_finite():
    with pytest.raises(ValueError, match="NaN"):
        project_embeddings(np.full((8, 2), np.nan))


# --- purity ---


def test_purity_of_classes_is_counted_by_hand():
    embeddings = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.5]])
    found = neighbor_purity(embeddings, list("aabbba"), n_neighbors=2, n_permutations=20)
    np.testing.assert_allclose(found.by_recording, [0.5, 0.5, 0, 0.5, 0.5, 0])
    assert found.purity == pytest.approx(2 / 6)
    assert found.kind == "classes"


def test_purity_of_numbers_is_a_correlation_of_ranks():
    rng = np.random.default_rng(1)
    age = rng.permutation(40).astype(float) ** 3
    embeddings = np.column_stack([age ** (1 / 3), 5 * rng.standard_normal(40)])
    found = neighbor_purity(embeddings, age, n_neighbors=5)
    scaled = StandardScaler().fit_transform(embeddings)
    distances = np.linalg.norm(scaled[:, None] - scaled, axis=2)
    nearest = distances.argsort(axis=1)[:, 1:6]
    ranks = age.argsort().argsort()
    trusted = np.corrcoef(ranks, ranks[nearest].mean(axis=1))[0, 1]
    assert found.purity == pytest.approx(trusted)
    assert found.by_recording.mean() == pytest.approx(trusted)
    assert found.p_value == pytest.approx(1 / 1001)


def test_p_values_of_nothing_are_uniform():
    p_values = [
        neighbor_purity(
            draw_embeddings(seed=seed),
            np.random.default_rng(100 + seed).permutation(np.repeat(["f", "m"], 20)),
            n_permutations=99,
        ).p_value
        for seed in range(40)
    ]
    assert 0 <= np.mean(np.array(p_values) <= 0.2) <= 0.4
    assert 0.35 < np.mean(p_values) < 0.65


def test_the_null_has_the_mean_of_chance():
    found = neighbor_purity(draw_embeddings(), np.repeat(["f", "m"], [30, 10]))
    chance = (30 * 29 + 10 * 9) / (40 * 39)
    assert found.null.mean() == pytest.approx(chance, abs=0.01)


def test_recordings_of_one_subject_are_no_evidence_for_a_trait():
    """Four recordings of each person lie together; sex is drawn at random."""
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(16), 4)
    embeddings = np.repeat(10 * rng.standard_normal((16, 5)), 4, axis=0)
    embeddings = embeddings + 0.1 * rng.standard_normal((64, 5))
    sex = np.repeat(rng.permutation(np.repeat(["f", "m"], 8)), 4)
    naive = neighbor_purity(embeddings, sex, n_neighbors=3)
    told = neighbor_purity(embeddings, sex, subjects=subjects, n_neighbors=3)
    assert naive.p_value < 0.01
    assert told.p_value > 0.05


def test_conditions_change_places_within_subjects():
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(12), 2)
    task = np.tile([0.0, 1.0], 12)
    embeddings = 0.5 * rng.standard_normal((12, 3))[subjects] + 2 * task[:, None]
    found = neighbor_purity(
        embeddings, np.where(task == 1, "task", "rest"), subjects=subjects, n_neighbors=5
    )
    assert found.purity > 0.9
    assert found.p_value < 0.01


def test_recordings_without_a_covariate_are_left_out():
    embeddings = draw_embeddings()
    age = np.arange(40.0)
    age[[3, 7]] = np.nan
    found = neighbor_purity(embeddings, age, n_permutations=50)
    others = np.delete(np.arange(40), [3, 7])
    alone = neighbor_purity(embeddings[others], age[others], n_permutations=50)
    assert np.flatnonzero(np.isnan(found.by_recording)).tolist() == [3, 7]
    np.testing.assert_array_equal(found.null, alone.null)
    sex = np.array([None, float("nan"), *["f", "m"] * 19], dtype=object)
    assert np.isnan(neighbor_purity(embeddings, sex, n_permutations=5).by_recording[:2]).all()


@pytest.mark.parametrize(
    ("covariate", "options", "message"),
    [
        (np.ones(40), {}, "a single value"),
        (np.arange(40.0), {"n_neighbors": 40}, "39 are left to be neighbours"),
        (np.arange(39.0), {}, "inconsistent numbers of samples"),
        (np.repeat([0.0, 1.0], 20), {"subjects": np.repeat([0, 1], 20), "n_neighbors": 21},
         "20 are left to be neighbours"),
    ],
)  # fmt: skip
def test_errors_say_what_was_found(covariate, options, message):
    with pytest.raises(ValueError, match=message):
        neighbor_purity(draw_embeddings(), covariate, **options)


# --- UMAP ---


def test_without_umap_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"sklearn-brainlm\[umap\]"):
        project_embeddings(draw_embeddings(), "umap")


def test_umap_is_given_standardised_features_and_a_seed(monkeypatch):
    seen = {}

    class UMAP:
        def __init__(self, **options):
            seen.update(options)

        def fit_transform(self, features):
            seen["features"] = features
            return features[:, :2].astype(np.float32)

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=UMAP))
    embeddings = 7 + 3 * draw_embeddings(12)
    points = project_embeddings(embeddings, "umap", random_state=0)
    np.testing.assert_allclose(seen["features"], StandardScaler().fit_transform(embeddings))
    assert seen["n_neighbors"] == 11
    assert points.dtype == np.float64


def test_umap_itself():
    pytest.importorskip("umap", reason="umap-learn, the extra umap, is not installed")
    groups = np.repeat([0, 1], 20)
    points = project_embeddings(draw_embeddings() + 20 * groups[:, None], "umap")
    assert KNeighborsClassifier(3).fit(points, groups).score(points, groups) == 1.0
