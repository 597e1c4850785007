"""The benchmark of traits: who is tested, what is kept, and what the table says.

Scores, tests and intervals are those of `compare` (test_evaluation.py); the features of the rows
are tested in test_connectome_baselines.py.
"""

import numpy as np
import pandas as pd
import pytest
import sklearn
from benchmark_folders import import_script, write_folder
from sklearn.base import BaseEstimator, RegressorMixin, is_classifier, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_brainlm import AtlasMismatchError
from sklearn_brainlm.comparison.fold_runs import _name_groups
from sklearn_brainlm.evaluation import compare
from sklearn_brainlm.targets import TargetScaler

_clinical_rows = import_script("_clinical_rows")
_people = import_script("_people")
_pretrained = import_script("_pretrained")
clinical = import_script("clinical")

N_PEOPLE = 40
SITES = np.array(["a", "b", "c", "d"])[np.arange(N_PEOPLE) // 10]
SMALL = "--folds 2 --window-length 40 --patch-length 10 --epochs 1 --pretraining-epochs 1".split()
RIDGE = "Connectivity + ridge"
pytestmark = [
    pytest.mark.filterwarnings("ignore:These weights come without statistics"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def write_people(path, subjects, sites=None, seed=0, **more):
    """Write a folder of people whose traits are not in their recordings."""
    write_folder(path, subjects, sites=sites, seed=seed, **more)
    table = pd.read_csv(path / "participants.tsv", sep="\t", dtype=str)
    order = np.argsort(table["recording"])
    rng = np.random.default_rng(seed)
    traits = {
        "age": rng.uniform(8, 60, len(table)).round(2),
        "fiq": [*["n/a"] * 2, *rng.integers(80, 130, len(table) - 2)],
        "sex": ["F", "M"] * (len(table) // 2),
        "mean_fd": rng.uniform(0, 1, len(table)).round(3),
    }
    for name, values in traits.items():
        table.loc[order, name] = np.array(values, dtype=str)
    table.to_csv(path / "participants.tsv", sep="\t", index=False)
    return path


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(import_script("_clinical_tables"), "N_BOOTSTRAP", 50)


@pytest.fixture
def folder(tmp_path):
    return write_people(tmp_path / "here", [f"sub-{i:02}" for i in range(N_PEOPLE)], SITES)


def results(folder, output, *more):
    """Run the benchmark; return its tidy table and its page."""
    arguments = ["--recordings", str(folder), "--output", str(output), *SMALL, *more]
    clinical.main(arguments)
    (page,) = output.glob("clinical_*.md")
    tidy = pd.read_csv(page.with_suffix(".csv"), dtype={"seed": str})
    return tidy.fillna({"seed": ""}), page.read_text()


def people(folder, *more):
    return _people.People(clinical._read_options(["--recordings", str(folder), *SMALL, *more]))


def test_sites_are_whole_and_missing_labels_are_known(folder, tmp_path):
    found = people(folder)
    assert found.grouped_by == "site"
    for train, test in found.folds:
        assert not set(SITES[train]) & set(SITES[test])
    labels, known = found.labels("fiq")
    assert list(np.flatnonzero(~known)) == [0, 1]
    assert found.labels("diagnosis") is None  # no such column
    assert list(found.covariates()) == ["Motion", "Site"]
    nowhere = write_people(tmp_path / "nowhere", [f"sub-{i // 2:02}" for i in range(12)])
    found = people(nowhere)
    assert found.grouped_by == "participant"
    for train, test in found.folds:
        assert not set(found.subjects[train]) & set(found.subjects[test])


def test_a_cohort_from_elsewhere_is_the_test_side(folder, tmp_path):
    subjects = [f"sub-{i:02}" for i in (38, 39, *range(50, 58))]
    there = write_people(tmp_path / "there", subjects, seed=1)
    found = people(folder, "--test-recordings", str(there))
    ((train, test),) = found.folds
    assert len(train) == N_PEOPLE and list(found.subjects[test]) == subjects[2:]
    assert found.in_both == ["sub-38", "sub-39"]
    tidy, page = results(
        folder, tmp_path / "out", "--test-recordings", str(there), "--methods", RIDGE,
        "--targets", "age",
    )  # fmt: skip
    assert "In both cohorts, and left out of the test side: sub-38, sub-39." in page
    assert set(tidy["n_test"]) == {8}
    others = write_people(tmp_path / "others", subjects[2:], label="other")
    with pytest.raises(AtlasMismatchError):
        people(folder, "--test-recordings", str(others))


def test_kept_predictions_give_the_table_of_compare(folder, tmp_path):
    methods = ["PCA + SVR", RIDGE]
    tidy, _ = results(folder, tmp_path / "out", "--methods", *methods, "--targets", "age", "sex")
    found = people(folder)
    for target in ("age", "sex"):
        chosen = _clinical_rows.TARGETS[target]
        setting = _clinical_rows.Setting(chosen, 40, 10, n_train=20)
        rows = {name: _clinical_rows.METHODS[name].build(setting, None) for name in methods}
        table = compare(
            rows, found.recordings, found.labels(target)[0], groups=found.groups,
            subjects=found.subjects, cv=found.folds, covariates=found.covariates(),
            target_scaler=None if chosen.is_class else TargetScaler(), random_state=0,
            scoring=None if chosen.is_class else "mse",
        )  # fmt: skip
        whole = table[table["setting"] == "all"].set_index(["method", "metric"])
        own = tidy[(tidy["task"] == target) & (tidy["setting"] == "all")]
        own = own.set_index(["method", "metric"])["value"]
        for key, value in whole["value"].dropna().items():
            np.testing.assert_allclose(own[key], value, rtol=1e-4, atol=1e-6, err_msg=str(key))
        for (method, metric), row in whole[whole["p_corrected"].notna()].iterrows():
            gain = "gain in mse over" if metric == "mse" else "roc_auc minus"
            name = f"p_corrected ({gain} best simple, {row['compared_with']})"
            assert own[method, name] == pytest.approx(row["p_corrected"], rel=1e-4)
        skill = whole["skill"].xs(table.attrs["primary"], level="metric")
        for method, value in skill.items():
            assert own[method, f"skill ({table.attrs['primary']})"] == pytest.approx(
                value, rel=1e-4
            )


FITTED = {
    "age": [
        "LSTM", "Connectome stack", "BrainLM (frozen) + kNN", _clinical_rows.RANDOM,
        _clinical_rows.FINE_TUNED, "BrainLM + stack",
    ],
    "sex": [
        "Connectivity + MLP", "Connectivity + logistic", "Tangent + kernel ridge", "GCN",
        "BrainLM (frozen) + SVR", "BrainLM (frozen, CLS) + ridge", _clinical_rows.RANDOM,
        "BrainLM (article's head)",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    "target", _clinical_rows.TARGETS.values(), ids=list(_clinical_rows.TARGETS)
)
@pytest.mark.parametrize("method", _clinical_rows.METHODS)
def test_rows_are_of_the_kind_of_their_target(target, method):
    row = _clinical_rows.METHODS[method]
    if target.is_class or not row.classes_only:
        model = row.build(_clinical_rows.Setting(target, 40, 10, n_train=20), 0)
        assert is_classifier(model) == target.is_class != is_regressor(model)


@pytest.mark.parametrize(("target", "methods"), FITTED.items())
def test_rows_predict_both_kinds_of_target(folder, tmp_path, target, methods):
    if target == "sex" and sklearn.__version__ < "1.9":
        pytest.skip("MLPClassifier of scikit-learn 1.8 stops early on numbers only, not on names")
    tidy, page = results(
        folder, tmp_path / "out", "--targets", target, "--seeds", "3", "--methods", *methods
    )
    metric = "r2" if target == "age" else "roc_auc"
    rows = tidy[(tidy["metric"] == metric) & (tidy["setting"] == "all")].set_index("method")
    assert rows.index[0].startswith("Dummy")
    assert set(rows.index) == {rows.index[0], "Motion only", "Site only", *methods}
    assert rows["value"].notna().all()
    for method in methods:
        assert rows.loc[method, "seed"] == ("3" if _clinical_rows.METHODS[method].seeded else "")
    paired = tidy["metric"] == f"{metric} minus {_clinical_rows.RANDOM}"
    assert paired.sum() == (target == "age")
    assert ("Connectome stack, log age |" in page) == (target == "age")
    assert (tmp_path / "out" / "clinical_here.png").read_bytes().startswith(b"\x89PNG")


def test_pretraining_sees_the_training_side_once_and_is_paid_for(folder, tmp_path, monkeypatch):
    seen = []
    pretrain = _pretrained.Pretraining._pretrain

    def spy(self, key, recordings, subjects, seed):
        seen.append(set(subjects))
        return pretrain(self, key, recordings, subjects, seed)[0], 1000.0

    monkeypatch.setattr(_pretrained.Pretraining, "_pretrain", spy)
    rows = ["BrainLM (frozen) + ridge", "BrainLM (frozen, CLS) + ridge", _clinical_rows.RANDOM]
    tidy, _ = results(folder, tmp_path / "out", "--targets", "age", "fiq", "--methods", *rows)
    found = people(folder)
    assert seen == [set(found.subjects[train]) for train, _ in found.folds]
    r2 = tidy[(tidy["metric"] == "r2") & (tidy["setting"] == "all")].set_index(["task", "method"])
    for target in ("age", "fiq"):
        for row in rows:
            pays = row != _clinical_rows.RANDOM
            assert (r2.loc[(target, row), "cpu_seconds"] > 2000) == pays


def test_weights_are_found_again_in_the_cache(folder, tmp_path):
    found = people(folder)
    setting = _clinical_rows.Setting(None, 40, 10, n_train=20)
    transformer = _clinical_rows.make_transformer(None, setting, 1)
    first, again, other = (
        _pretrained.Pretraining(transformer, tmp_path / "cache").on(found.recordings, ["a"], seed)
        for seed in (0, 0, 1)
    )
    assert again[1] == first[1]  # the seconds of the first one
    embedded = [weights.transform(found.recordings) for weights, _ in (first, again, other)]
    np.testing.assert_allclose(embedded[0], embedded[1], rtol=1e-5, atol=1e-6)
    assert np.abs(embedded[0] - embedded[2]).max() > 1e-3
    assert again[0].trained_on_["subjects"] == ["a"]


def test_a_run_goes_on_from_what_is_missing(folder, tmp_path, monkeypatch):
    jobs = []
    run_rows = clinical.run_rows
    monkeypatch.setattr(
        clinical, "run_rows", lambda *given: jobs.append(list(given[1])) or run_rows(*given)
    )
    few = ["--methods", RIDGE, "--targets", "age"]
    first, _ = results(folder, tmp_path / "out", *few)
    assert jobs.count([RIDGE]) == 2  # folds
    jobs.clear()
    again, _ = results(folder, tmp_path / "out", *few)
    assert not jobs
    pd.testing.assert_frame_equal(first, again)
    costs = tmp_path / "out" / "clinical_here_folds.csv"
    table = pd.read_csv(costs, keep_default_na=False)
    table[~((table["method"] == RIDGE) & (table["fold"] == 1))].to_csv(costs, index=False)
    again, _ = results(folder, tmp_path / "out", *few)
    assert jobs == [[RIDGE]]
    pd.testing.assert_series_equal(first["value"], again["value"])
    with pytest.raises(ValueError, match="another protocol"):
        results(folder, tmp_path / "out", *few, "--folds", "3")


def test_correlations_are_those_of_the_covariance():
    tokens = np.random.default_rng(0).standard_normal((2, 4, 50)) * [[[1.0], [2.0], [3.0], [4.0]]]
    upper = np.triu_indices(4)
    covariances = np.stack([np.cov(one)[upper] for one in tokens])
    expected = np.stack([np.corrcoef(one)[np.triu_indices(4, 1)] for one in tokens])
    np.testing.assert_allclose(_clinical_rows.token_correlations(covariances), expected, rtol=1e-5)


class Grouped(RegressorMixin, BaseEstimator):
    """Regressor whose inner folds need groups."""

    def fit(self, X, y, groups=None):
        self.groups_ = groups
        return self

    def predict(self, X):
        return np.zeros(len(X))


def test_groups_reach_inner_folds():
    scaled = TransformedTargetRegressor(Grouped(), transformer=TargetScaler())
    nested = make_pipeline(FunctionTransformer(), scaled)
    groups = np.arange(6)
    X, y = np.ones((6, 1)), np.arange(6.0)
    nested.fit(X, y, **_name_groups(nested, groups))
    np.testing.assert_array_equal(nested[-1].regressor_.groups_, groups)
    assert _name_groups(make_pipeline(FunctionTransformer()), groups) == {}
    assert _name_groups(make_pipeline("passthrough"), groups) == {}
