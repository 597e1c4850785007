"""Tests of scaling curves: what is fitted on what, the sums behind the points, going on."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from sklearn_brainlm import (
    BrainLMTransformer,
    GaussianReconstructor,
    RecordingScaler,
    scaling_curve,
)
from sklearn_brainlm.metrics import masked_r2

LENGTH = 40


@pytest.fixture
def sides():
    """Eight training and three test recordings of two mixed signals."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((2, 6))
    made = [
        rng.standard_normal((LENGTH, 2)) @ mixing + 0.5 * rng.standard_normal((LENGTH, 6))
        for _ in range(11)
    ]
    return made[:8], made[8:]


class Watched(GaussianReconstructor):
    """Gaussian that writes down what it was fitted on."""

    fitted_on = []

    def fit(self, X, y=None):
        """Keep the first value of each recording."""
        self.fitted_on.append([float(recording[0, 0]) for recording in X])
        return super().fit(X)


@pytest.fixture
def watched():
    Watched.fitted_on.clear()
    return Watched(window_length=LENGTH)


def test_a_full_training_scores_as_by_hand(sides):
    train, test = sides
    model = GaussianReconstructor(window_length=LENGTH)
    curve = scaling_curve({"Gaussian": model}, train, test, n_recordings=[8])
    model.fit(train)
    made = [model.reconstruct([x], mask_ratio=0.75, random_state=i)[0] for i, x in enumerate(test)]
    by_hand = masked_r2(*([m[side] for m in made] for side in ("true", "predicted", "masked")))
    assert curve["r2"].item() == pytest.approx(by_hand, abs=1e-5)
    assert curve["ci_low"].item() < by_hand < curve["ci_high"].item()


def test_every_point_is_scored_in_the_units_of_all_training_recordings(sides):
    train, test = sides
    train = [100.0 * train[0], *train[1:]]
    models = {"g": GaussianReconstructor(window_length=LENGTH)}
    curve = scaling_curve(models, train, test, n_recordings=[1], seeds=[0, 1, 2])
    units = RecordingScaler().fit(train)
    sums = np.zeros(2)
    for seed in range(3):
        first = train[np.random.default_rng(seed).permutation(8).argmin()]
        model = models["g"].fit([first])
        for place, recording in enumerate(test):
            (made,) = model.reconstruct([recording], mask_ratio=0.75, random_state=place)
            own, hidden = model.scaler_, made.masked
            raw = made.true * own.scale_ + own.center_
            values = ((raw - units.center_) / units.scale_)[hidden]
            errors = ((made.true - made.predicted) * own.scale_ / units.scale_)[hidden]
            sums += (errors**2).sum(), values.var() * values.size
    assert curve["r2"].item() == pytest.approx(1 - sums[0] / sums[1], abs=1e-4)


def test_smaller_trainings_are_part_of_larger_ones(sides, watched):
    train, test = sides
    scaling_curve({"w": watched}, train, test, n_recordings=[2, 4, 8], seeds=[0, 1])
    assert [len(x) for x in watched.fitted_on] == [2, 4, 8] * 2
    for first, second in zip(watched.fitted_on, watched.fitted_on[1:], strict=False):
        if len(first) < len(second):
            assert second[: len(first)] == first
    assert watched.fitted_on[2] != watched.fitted_on[5]  # another order
    assert sorted(watched.fitted_on[2]) == sorted(watched.fitted_on[5])


def test_recordings_of_a_person_come_together(sides, watched):
    train, test = sides
    subjects = np.array(list("abcdabcd"))
    scaling_curve({"w": watched}, train, test, n_recordings=[8], subjects=subjects)
    first = [float(recording[0, 0]) for recording in train]
    owners = [subjects[first.index(value)] for value in watched.fitted_on[0]]
    assert owners[::2] == owners[1::2]


def test_goes_on_from_a_file(sides, watched, tmp_path):
    train, test = sides
    path = tmp_path / "curve.csv"
    given = {"n_recordings": [2, 8], "path": path}
    first = scaling_curve({"w": watched}, train, test, **given)
    assert len(watched.fitted_on) == 2
    again = scaling_curve({"w": watched}, train, test, **given)
    assert len(watched.fitted_on) == 2
    pd.testing.assert_frame_equal(first, again)
    more = scaling_curve({"w": watched}, train, test, **{**given, "n_recordings": [2, 4, 8]})
    assert len(watched.fitted_on) == 3
    assert list(more["n_recordings"]) == [2, 4, 8]
    scaling_curve({"w": watched.set_params(ridge=0.5)}, train, test, **given)
    assert len(watched.fitted_on) == 5  # another estimator by the same name
    scaling_curve({"w": watched}, train, test[:2], **given)
    assert len(watched.fitted_on) == 7  # other people


def test_a_file_of_something_else_is_refused(sides, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no measurements of a scaling curve"):
        scaling_curve({"g": GaussianReconstructor()}, *sides, path=path)
    assert path.read_text() == "a,b\n1,2\n"


def test_parameters_seeds_and_networks(sides):
    train, test = sides
    small = {"window_length": LENGTH, "patch_length": 10, "max_epochs": 1, "prior": None}
    sizes = {
        f"{d} wide": BrainLMTransformer(embed_dim=d, n_heads=2, mlp_dim=16, **small)
        for d in (8, 16)
    }
    curve = scaling_curve(sizes, train, test, n_recordings=[4], seeds=[0, 1], verbose=0)
    assert list(curve["n_seeds"]) == [2, 2]
    assert curve["n_parameters"].is_monotonic_increasing
    assert np.isfinite(curve["r2"]).all()


def test_sizes_are_halves(sides, watched, capsys):
    train, test = sides
    curve = scaling_curve({"w": watched}, train, test, verbose=1)
    assert list(curve["n_recordings"]) == [4, 8]
    assert capsys.readouterr().out.count("R2") == 2


def test_one_test_person_has_no_interval(sides):
    train, test = sides
    curve = scaling_curve({"g": GaussianReconstructor(window_length=LENGTH)}, train, test[:1])
    assert curve[["ci_low", "ci_high"]].isna().all(axis=None)


def test_refusals(sides):
    train, test = sides
    models = {"g": GaussianReconstructor(window_length=LENGTH)}
    with pytest.raises(ValueError, match="both sides"):
        scaling_curve(models, train, test, subjects=list("abcdefgh"), test_subjects=list("xya"))
    with pytest.raises(ValueError, match="n_recordings"):
        scaling_curve(models, train, test, n_recordings=[9])
    with pytest.raises(ValueError, match="inconsistent"):
        scaling_curve(models, train, test, subjects=["a"])


def test_estimators_are_left_as_they_were(sides):
    model = GaussianReconstructor(window_length=LENGTH)
    before = set(vars(model))
    scaling_curve({"g": model}, *sides, n_recordings=[4])
    assert isinstance(model, BaseEstimator) and set(vars(model)) == before
