"""BrainLMRegressor and BrainLMClassifier: labels, heads, what is trained, early stopping.

What X may be is recording_checks.py, and what scikit-learn asks for is sklearn_adapter.py, both run
from test_common.py.
"""

import pickle

import numpy as np
import pytest
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score

from sklearn_brainlm import (
    AtlasMismatchError,
    BrainLMClassifier,
    BrainLMRegressor,
    BrainLMTransformer,
    DataQualityWarning,
    TargetScaler,
)
from sklearn_brainlm.baselines import LSTMRegressor
from sklearn_brainlm.finetuning.linear_start import solve_classes, solve_targets
from sklearn_brainlm.labels import ClassLabels, TargetLabels
from sklearn_brainlm.modules import MaskedAutoencoder, PredictionNetwork, label_loss

SMALL = {"patch_length": 5, "embed_dim": 8, "n_heads": 2, "mlp_dim": 8, "random_state": 0}
CODER = {
    "embed_dim": 8,
    "depth": 2,
    "n_heads": 2,
    "mlp_dim": 8,
    "decoder_embed_dim": 8,
    "decoder_depth": 1,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 8,
}


@pytest.fixture(scope="module")
def people():
    """Recordings whose first two parcels go together as strongly as `y` says, and y."""
    rng = np.random.default_rng(0)
    y = rng.uniform(-1, 1, 50)
    made = []
    for strength in y:
        x = rng.standard_normal((80, 6)).astype(np.float32)
        x[:, 1] = strength * x[:, 0] + np.sqrt(1 - strength**2) * x[:, 1]
        made.append(x)
    return made, y


@pytest.fixture(scope="module")
def pretrained(people):
    """A transformer of two blocks."""
    model = BrainLMTransformer(**SMALL, window_length=40, depth=2, max_epochs=1, prior=None)
    return model.fit(people[0][:20])


def predictor(cls=BrainLMRegressor, **options):
    return cls(**{**SMALL, "window_length": 40, "max_epochs": 2, **options})


# --- what it learns ------------------------------------------------------------------------------


def test_a_linear_head_starts_from_the_closed_form_and_finds_the_connection(people):
    X, y = people
    model = predictor(max_epochs=0).fit(X[:36], y[:36])
    assert model.best_epoch_ == 0 and model.history_ == []
    assert r2_score(y[36:], model.predict(X[36:])) > 0.4
    assert (
        r2_score(
            y[36:], predictor(pooling="mean", max_epochs=0).fit(X[:36], y[:36]).predict(X[36:])
        )
        < 0.3
    )


def test_training_is_never_worse_on_held_out_people_than_its_start(people):
    X, y = people
    model = predictor(lr=0.3, max_epochs=3).fit(X, y)  # a rate that ruins everything
    start = predictor(max_epochs=0).fit(X, y)
    assert model.best_epoch_ == 0
    np.testing.assert_allclose(model.predict(X), start.predict(X), rtol=1e-5, atol=1e-6)


def test_recordings_in_other_units_are_said_to_be(people):
    X, y = people
    for model in (predictor(max_epochs=0), LSTMRegressor(window_length=40, max_epochs=0)):
        model.fit(X[:20], y[:20])
        with pytest.warns(DataQualityWarning, match="2 of 2 recordings are out of scale"):
            model.predict([1000 * x for x in X[20:22]])


def test_the_head_of_the_article_learns(people):
    y = people[1]
    X = [np.exp(loud) * x for x, loud in zip(people[0], y, strict=True)]
    model = predictor(pooling="cls", head="mlp", max_epochs=30, lr=3e-3, patience=None)
    loss = [row["train_loss"] for row in model.fit(X, y).history_]
    assert loss[-1] < 0.9 * loss[0]
    assert [type(layer).__name__ for layer in model.net_.module_.head].count("Linear") == 3


@pytest.mark.parametrize("pooling", ["cls", "mean", "attentive", "covariance"])
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_every_pooling_has_every_head(people, pooling, head):
    X, y = people
    model = predictor(pooling=pooling, head=head, max_epochs=1).fit(X[:10], y[:10])
    assert np.isfinite(model.predict(X[:3])).all()


def test_classes_are_strings_or_numbers_and_probabilities_sum_to_one(people):
    X, y = people
    names = np.array(["low", "middle", "high"], dtype=object)[np.digitize(y, [-0.4, 0.4])]
    model = predictor(BrainLMClassifier, max_epochs=1).fit(X[:40], names[:40])
    assert model.classes_.tolist() == ["high", "low", "middle"]
    probabilities = model.predict_proba(X[40:])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(
        model.predict(X[40:]), model.classes_[probabilities.argmax(axis=1)]
    )
    assert (
        predictor(BrainLMClassifier, max_epochs=0).fit(X[:40], y[:40] > 0).score(X[40:], y[40:] > 0)
        > 0.7
    )


def test_class_weights_move_the_threshold(people):
    X, y = people
    rare = y > 0.7
    counts = [
        predictor(BrainLMClassifier, class_weight=weight).fit(X, rare).predict_proba(X)[:, 1].sum()
        for weight in (None, "balanced", {True: 50.0})
    ]
    assert counts[0] < counts[1] < counts[2]


# --- labels --------------------------------------------------------------------------------------


def test_missing_labels_do_not_count(people):
    X, y = people
    both = np.column_stack([y, 10 - 3 * y])
    both[:10, 0] = both[10:18, 1] = np.nan
    model = predictor(max_epochs=0, validation_fraction=0.0, patience=None).fit(X, both)
    predicted = model.predict(X)
    assert predicted.shape == (50, 2)
    alone = predictor(max_epochs=0, validation_fraction=0.0, patience=None).fit(X, both[:, 1])
    assert alone.predict(X).shape == (50,)
    # Features are standardised over the recordings with a label, which differ a little.
    np.testing.assert_allclose(predicted[:, 1], alone.predict(X), atol=0.3)
    assert np.corrcoef(predicted[:, 0], y)[0, 1] > 0.6


def test_a_column_stays_a_column_and_a_vector_a_vector(people):
    X, y = people
    flat = predictor(max_epochs=1).fit(X[:12], y[:12]).predict(X[:4])
    column = predictor(max_epochs=1).fit(X[:12], y[:12, None]).predict(X[:4])
    assert flat.shape == (4,) and column.shape == (4, 1)
    np.testing.assert_allclose(flat, column[:, 0], rtol=1e-6)


def test_units_of_the_target_do_not_matter(people):
    X, y = people
    plain = predictor(max_epochs=2).fit(X[:20], y[:20]).predict(X[:5])
    large = predictor(max_epochs=2).fit(X[:20], 40 + 1000 * y[:20]).predict(X[:5])
    np.testing.assert_allclose(large, 40 + 1000 * plain, rtol=1e-4)


def test_weight_zero_is_as_good_as_absent(people):
    X, y = people
    wrong = np.concatenate([y[:20], [1e6, -1e6]])
    weight = np.r_[np.ones(20), 0, 0]
    model = predictor(validation_fraction=0.0, patience=None, max_epochs=0)
    # Scaling of parcels and of features is learned from all recordings: only labels are left out.
    predicted = model.fit(X[:22], wrong, sample_weight=weight).predict(X[:20])
    assert abs(predicted).max() < 1e5
    with pytest.raises(ValueError, match="at least one non-zero"):
        model.fit(X[:22], wrong, sample_weight=np.zeros(22))


def test_target_scaler_around_the_regressor(people):
    X, y = people
    model = TransformedTargetRegressor(predictor(max_epochs=0), transformer=TargetScaler("minmax"))
    assert model.fit(X[:30], y[:30]).predict(X[30:]).shape == (20,)


@pytest.mark.parametrize(
    ("labels", "words"),
    [([1.0, np.nan], "no label to learn from"), ([[1.0, 2.0], [1.0, 3.0]], None)],
)
def test_target_labels(labels, words):
    trained = np.array([1])
    if words:
        with pytest.raises(ValueError, match=words):
            TargetLabels(labels, trained)
        return
    with pytest.warns(DataQualityWarning, match="y is constant in column 0 of the 2 recordings"):
        made = TargetLabels(labels, np.array([0, 1]))
    np.testing.assert_allclose(made.values * made.scale + made.center, labels)
    assert made.scale.tolist() == [1.0, 0.5]  # a constant target keeps its unit


def test_class_labels_refuse_one_class_and_several_columns():
    with pytest.raises(ValueError, match="1 class only"):
        ClassLabels(["a", "a"], np.arange(2))
    with pytest.raises(ValueError, match="several labels a recording"):
        ClassLabels(np.array([[0, 1], [1, 1]]), np.arange(2))


def test_balanced_weights_are_those_of_the_trained(people):
    labels = ClassLabels([0, 0, 0, 1, 1], np.array([0, 1, 2, 3]), class_weight="balanced")
    np.testing.assert_allclose(labels.weight, [4 / 6] * 3 + [2.0, 2.0])


def test_loss_ignores_missing_labels_and_their_gradient():
    outputs = torch.zeros(3, 2, requires_grad=True)
    labels = torch.tensor([[1.0, float("nan")], [2.0, 3.0], [float("nan")] * 2])
    loss = label_loss(outputs, labels, torch.tensor([1.0, 2.0, 5.0]))
    loss.backward()
    assert loss.item() == pytest.approx((1 + 2 * (4 + 9)) / 5)
    assert torch.isfinite(outputs.grad).all() and (outputs.grad[2] == 0).all()


# --- the closed form it starts from --------------------------------------------------------------


def test_start_of_a_regressor_is_ridge_with_its_penalty_chosen_by_leaving_one_out():
    rng = np.random.default_rng(0)
    for n_features in (3, 60):  # fewer and more than recordings
        Z = rng.standard_normal((25, n_features))
        y = Z[:, 0] + rng.standard_normal(25)
        coefficients, intercepts = solve_targets(Z, y[:, None], np.ones(25))
        size = np.mean(np.sum(Z**2, axis=1))
        expected = RidgeCV(size * np.logspace(-3, 3, 13)).fit(Z, y)
        np.testing.assert_allclose(coefficients[0], expected.coef_, rtol=1e-6, atol=1e-9)
        assert intercepts[0] == pytest.approx(expected.intercept_)


def test_start_of_a_classifier_gives_the_probabilities_of_logistic_regression():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((60, 4))
    index = (Z[:, 0] + rng.standard_normal(60) > 0).astype(int)
    coefficients, intercepts = solve_classes(Z, index, 2, np.ones(60))
    odds = Z @ (coefficients[1] - coefficients[0]) + intercepts[1] - intercepts[0]
    size = np.mean(np.sum(Z**2, axis=1))
    expected = [
        LogisticRegression(C=c / size, max_iter=1000).fit(Z, index).decision_function(Z)
        for c in np.logspace(-4, 2, 7)
    ]
    assert min(abs(odds - other).max() for other in expected) < 1e-2


# --- weights and what is trained -----------------------------------------------------------------


@pytest.mark.parametrize(("trainable", "moved"), [("all", {0, 1}), ("head", set()), (1, {1})])
def test_only_what_is_trainable_moves(people, pretrained, trainable, moved):
    X, y = people
    model = predictor(
        weights=FrozenEstimator(pretrained),
        trainable=trainable,
        head="mlp",
        patience=None,
        validation_fraction=0.0,
        lr=1e-2,
    ).fit(X[:12], y[:12])
    before, after = pretrained.net_.get_weights(), model.encoder_.net_.get_weights()
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {int(name.split(".")[1]) for name in changed if name.startswith("encoder.")} == moved
    assert any(name.startswith("patch_embedding") for name in changed) == (trainable == "all")
    assert not any(name.startswith("decoder") for name in changed)


def test_weights_are_used_and_left_as_they_were(people, pretrained):
    X, y = people
    before = pretrained.transform(X[:3])
    options = {"weights": FrozenEstimator(pretrained), "window_length": None, "max_epochs": 0}
    model = predictor(**options).fit(X[:12], y[:12])
    np.testing.assert_array_equal(model.encoder_.transform(X[:3]), before)
    drawn = predictor(**options, pretrained=False).fit(X[:12], y[:12])
    assert drawn.encoder_.settings_ == model.encoder_.settings_
    assert not np.allclose(drawn.encoder_.transform(X[:3]), before)
    predictor(**{**options, "max_epochs": 2}, patience=None).fit(X[:12], y[:12])
    np.testing.assert_array_equal(pretrained.transform(X[:3]), before)


def test_other_parcels_than_those_of_the_weights_are_refused(people, pretrained):
    X, y = people
    with pytest.raises((AtlasMismatchError, ValueError), match="5 .*6|6 .*5"):
        predictor(weights=FrozenEstimator(pretrained)).fit([x[:, :5] for x in X[:9]], y[:9])


def test_layers_far_from_the_output_learn_more_slowly():
    network = PredictionNetwork(
        MaskedAutoencoder(n_parcels=3, patch_length=5, parcel_embedding="learned", **CODER), 1
    )
    distances = network.distances()
    assert distances["head.0.weight"] == 0
    for block, distance in (("encoder.1.", 1), ("encoder.0.", 2), ("positions.", 3)):
        names = [name for name in distances if name.startswith(f"autoencoder.{block}")]
        assert {distances[name] for name in names} == {distance}
    assert distances["autoencoder.patch_embedding.weight"] == 3


def test_learning_rates_of_layers(people, pretrained):
    X, y = people
    model = predictor(
        weights=FrozenEstimator(pretrained), layer_decay=0.5, max_epochs=1, patience=None
    ).fit(X[:12], y[:12])
    rates = [group["initial_lr"] for group in model.net_.optimizer_.param_groups]
    np.testing.assert_allclose(sorted(rates), 1e-4 * 0.5 ** np.array([3, 2, 1, 0]))


def test_people_are_never_on_both_sides_of_early_stopping(people):
    X, y = people
    groups = np.repeat(np.arange(10), 5)
    model = predictor(max_epochs=1, validation_fraction=0.3).fit(X, y, groups=groups)
    held_out = set(groups[model.validation_indices_])
    assert len(model.validation_indices_) == 5 * len(held_out)


def test_a_pickle_holds_the_tuned_encoder(people, pretrained):
    X, y = people
    model = predictor(weights=FrozenEstimator(pretrained), patience=None).fit(X[:12], y[:12])
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X[:5]), model.predict(X[:5]))
    np.testing.assert_array_equal(again.encoder_.transform(X[:5]), model.encoder_.transform(X[:5]))
