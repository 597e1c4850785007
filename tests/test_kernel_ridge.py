"""Kernel ridge on features: against scikit-learn's ridge, its folds and its estimator checks."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.estimator_checks import estimator_checks_generator

from sklearn_brainlm.baselines.columns import inner_folds
from sklearn_brainlm.baselines.kernel_ridge import KernelRidgeClassifierCV, KernelRidgeCV


@pytest.mark.parametrize("model", [KernelRidgeCV(cv=3), KernelRidgeClassifierCV(cv=3)])
def test_sklearn(model):
    checks = list(estimator_checks_generator(model))
    assert len(checks) > 40
    for estimator, check in checks:
        check(estimator)


def test_kernel_ridge_is_the_ridge_of_scikit_learn():
    rng = np.random.default_rng(0)
    X, groups = rng.normal(3, 2, (40, 90)), np.arange(40) % 8
    Y = X[:, :2] + rng.normal(size=(40, 2))
    model = KernelRidgeCV(cv=4).fit(X, Y, groups)
    folds = list(GroupKFold(4).split(X, groups=groups))
    for i in range(2):
        # The penalty is in parts of the variance of the training rows, which differs by fold.
        errors, at_chosen = [], None
        for alpha in model.alphas:
            predicted = np.empty(40)
            for train, test in folds:
                ridge = Ridge(alpha * X[train].var(axis=0).sum() * len(train))
                predicted[test] = ridge.fit(X[train], Y[train, i]).predict(X[test])
            errors.append(np.mean((predicted - Y[:, i]) ** 2))
            at_chosen = predicted if alpha == model.alpha_[i] else at_chosen
        assert model.alpha_[i] == model.alphas[np.argmin(errors)]
        np.testing.assert_allclose(model.cv_predictions_[:, i], at_chosen, atol=1e-8)
        ridge = Ridge(model.alpha_[i] * X.var(axis=0).sum() * 40).fit(X, Y[:, i])
        np.testing.assert_allclose(model.predict(X)[:, i], ridge.predict(X), atol=1e-8)


def test_folds_keep_groups_or_classes():
    groups, columns = np.arange(30) % 3, np.repeat([-1.0, 1.0], [24, 6])[:, None]
    for train, test in inner_folds(5, columns, groups):  # three groups: three folds
        assert not set(groups[train]) & set(groups[test]) and len(test) == 10
    parts = [np.sum(columns[test] > 0) for _, test in inner_folds(3, columns, classifier=True)]
    assert parts == [2, 2, 2]
    given = [(train, test) for train, test in KFold(3).split(columns)]
    for found, expected in zip(inner_folds(given, columns, groups), given, strict=True):
        np.testing.assert_array_equal(found[1], expected[1])


def test_constant_features_predict_the_mean():
    model = KernelRidgeCV(cv=2).fit(np.ones((6, 3)), np.arange(6.0))
    np.testing.assert_allclose(model.predict(np.ones((2, 3))), 2.5)


def test_refusals():
    with pytest.raises(ValueError, match="positive"):
        KernelRidgeCV([0.0]).fit(np.eye(6), range(6))
    with pytest.raises(ValueError, match="one test fold"):
        KernelRidgeCV(cv=[([0, 1, 2], [3, 4])]).fit(np.eye(6), range(6))
