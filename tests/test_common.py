"""One contract, every estimator: our recording checks, and scikit-learn's through an adapter.

An estimator joins by adding a line to RECORDING_ESTIMATORS and to ADAPTED_ESTIMATORS. What is
specific to one estimator is tested in the file of that estimator.
"""

import pytest
import sklearn
from recording_checks import ALL, CHECKS, kinds_of, recording_checks
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn_adapter import (
    RowClassifier,
    RowForecaster,
    RowReconstructor,
    RowRegressor,
    RowScaler,
    RowTransformer,
    check_name,
    sklearn_checks,
)

from sklearn_brainlm import (
    BrainLMClassifier,
    BrainLMForecaster,
    BrainLMRegressor,
    BrainLMTransformer,
    GaussianReconstructor,
    RecordingScaler,
)
from sklearn_brainlm.baselines import MaskedGCN, MaskedVAE

WINDOWS = {"window_length": 20, "patch_length": 5}
SMALL = {
    **WINDOWS,
    "embed_dim": 8,
    "depth": 1,
    "n_heads": 2,
    "mlp_dim": 8,
    "decoder_embed_dim": 8,
    "decoder_n_heads": 2,
    "decoder_mlp_dim": 8,
    "max_epochs": 1,
    "random_state": 0,
}

PREDICTING = {
    "patch_length": 5,
    "embed_dim": 8,
    "depth": 1,
    "n_heads": 2,
    "mlp_dim": 8,
    "max_epochs": 1,
    "random_state": 0,
}
FORECASTING = {**PREDICTING, "context_length": 15, "horizon": 5, "windows_per_recording": 1}

RECORDING_ESTIMATORS = [
    RecordingScaler(),
    RecordingScaler("standard", clip=4.0),
    GaussianReconstructor(**WINDOWS),
    BrainLMTransformer(**SMALL),
    BrainLMRegressor(**PREDICTING, window_length=20),
    BrainLMClassifier(**PREDICTING, window_length=20),
    BrainLMForecaster(**FORECASTING),
]

PARCEL_EMBEDDERS = [
    MaskedVAE(**WINDOWS, embed_dim=2, hidden_dim=8, max_epochs=1, random_state=0),
    MaskedGCN(**WINDOWS, hidden_dim=8, depth=2, n_neighbors=3, max_epochs=1, random_state=0),
]

# Adapted estimator -> number of checks scikit-learn 1.9.1 generates for it. The scaler has one less
# than the transformer, check_transformer_preserve_dtypes: it returns lists, which have no dtype.
# The regressor has one more than most: it takes several targets.
ADAPTED_ESTIMATORS = [
    (RowScaler(), 46),
    (RowReconstructor(**WINDOWS), 41),
    (RowTransformer(**SMALL, prior=None), 47),
    (RowRegressor(**PREDICTING, window_length=20), 53),
    (RowClassifier(**PREDICTING, window_length=20), 56),
    (RowForecaster(**FORECASTING), 41),
]


def check_id(value):
    """Return a short test id for an estimator or a check."""
    if isinstance(value, int):
        return str(value)
    return type(value).__name__ if isinstance(value, BaseEstimator) else check_name(value)


@pytest.mark.parametrize(("estimator", "check"), recording_checks(*RECORDING_ESTIMATORS))
def test_recordings(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "check"), recording_checks(*PARCEL_EMBEDDERS))
def test_recordings_of_parcel_embedders(estimator, check):
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [pair for estimator, _ in ADAPTED_ESTIMATORS for pair in sklearn_checks(estimator)],
    ids=check_id,
)
def test_sklearn(estimator, check):
    check(estimator)


@pytest.mark.skipif(
    sklearn.__version__ != "1.9.1", reason="the number of checks is that of scikit-learn 1.9.1"
)
@pytest.mark.parametrize(("estimator", "n_checks"), ADAPTED_ESTIMATORS, ids=check_id)
def test_number_of_sklearn_checks(estimator, n_checks):
    assert len(sklearn_checks(estimator)) == n_checks


def test_there_are_32_recording_checks():
    assert len(CHECKS) == 32


def test_checks_of_predictors_are_generated_for_predictors_only():
    class Predictor(RegressorMixin, BaseEstimator):
        pass

    assert kinds_of(Predictor()) == {"predictor"}
    of_predictor = {parameters.values[1].__name__ for parameters in recording_checks(Predictor())}
    of_scaler = {
        parameters.values[1].__name__ for parameters in recording_checks(RecordingScaler())
    }
    assert of_predictor - of_scaler == {"check_rec_y_length_nan_none", "check_rec_multioutput_y"}
    everywhere = {name for name, (_, kinds, _) in CHECKS.items() if kinds == ALL}
    assert of_scaler == everywhere
