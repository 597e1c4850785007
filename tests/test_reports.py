"""Reports on estimators: what they say, that it is text, and that nothing is changed by it.

Reports on comparisons are in test_reports_comparisons.py, what a browser makes of the page in
test_report_browser.py.
"""

import copy
import pickle
import sys
import webbrowser

import numpy as np
import pandas as pd
import polars as pl
import pytest
from nilearn import reporting
from report_pages import HOSTILE, SHARP, Page, check_self_contained
from sklearn.dummy import DummyRegressor
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error, r2_score

from sklearn_brainlm import (
    BrainLMClassifier,
    BrainLMForecaster,
    BrainLMRegressor,
    BrainLMTransformer,
    GaussianReconstructor,
    RecordingScaler,
)
from sklearn_brainlm.baselines import LastValueForecaster, MeanForecaster, make_connectome
from sklearn_brainlm.exceptions import DataQualityWarning
from sklearn_brainlm.reports import HTMLReport, drawing, generate_report, generation

TINY = {"patch_length": 5, "embed_dim": 8, "n_heads": 2, "mlp_dim": 8, "random_state": 0}
WINDOWS = {"window_length": 20, "patch_length": 5}
FORECASTS = {"context_length": 20, "horizon": 5}
AGES = np.array([20.0, 30, 40, 50, 60, 70])
GROUPS = np.array(["a", "b"] * 3)
IDS = [HOSTILE, SHARP]


@pytest.fixture
def figures():
    """Asked for by tests that look at figures; drawing takes most of the time of a report."""


@pytest.fixture(autouse=True)
def no_figures(request, monkeypatch):
    if "figures" not in request.fixturenames:
        for module in (drawing, generation):
            monkeypatch.setattr(module, "can_draw", lambda: False)


@pytest.fixture
def transformer(recordings, parcel_coords):
    """A fitted transformer that knows where parcels are, of some subjects."""
    model = BrainLMTransformer(
        **TINY, window_length=20, decoder_embed_dim=8, decoder_n_heads=2, max_epochs=2, t_r=2.0,
        parcel_coords=parcel_coords,
    )  # fmt: skip
    return model.fit(recordings[:4], groups=["secret-1", "secret-2", "secret-1", "secret-3"])


@pytest.fixture
def gaussian(recordings):
    return GaussianReconstructor(**WINDOWS).fit(recordings[:4])


def read(report):
    """Take a report apart and check what holds for all."""
    page = Page(report.html)
    check_self_contained(page)
    return page


def test_report_on_a_transformer_says_everything(transformer, recordings, figures):
    page = read(transformer.generate_report(recordings[4:], X_train=recordings[:4], date="today"))
    assert list(page.sections) == [
        "summary", "contract", "doctor", "losses", "score", "reconstructions", "parcels",
        "parameters", "provenance", "licence",
    ]  # fmt: skip
    contract = page.rows("Expected", "Value")
    assert contract["Parcels"] == ["12"]
    assert contract["Repetition time"] == ["2 s"]
    assert contract["Window, seen at a time"] == ["20 timepoints (40 s)"]
    assert contract["Patch"] == ["5 timepoints (10 s) of 1 parcel"]
    assert contract["Scaling"] == ["robust, parcel by parcel"]
    known = page.rows("What", "Value")
    assert known["Report made on"] == ["today"]
    trained = transformer.trained_on_
    assert known["Trained on"] == [
        f"{trained['n_recordings']} recordings, {trained['n_timepoints']} timepoints, 3 subjects"
    ]
    assert known["Seed (random_state)"] == ["0"]
    assert known["Device"] == ["cpu"]
    assert "secret" not in page.text  # subjects are counted, not named
    parameters = page.rows("Parameter", "Value")
    assert parameters["embed_dim"] == ["8"]
    assert parameters["parcel_coords"] == ["array of shape (12, 3), float64"]
    assert "pooling" not in parameters  # by default, so folded
    assert "No licence is noted" in page.sections["licence"]
    assert set(page.rows("Method", "R2")) == {
        "BrainLMTransformer (this one)", "Centre of each parcel", "Gaussian",
        "Gaussian, adaptive in space and time",
    }  # fmt: skip
    assert len(page.images) == 5  # losses, bars, two recordings, brain
    assert sum("Glass brain" in image["alt"] for image in page.images) == 1


def test_scores_are_those_of_score(transformer, recordings):
    page = read(generate_report(transformer, recordings[4:], n_shown=0))
    table = page.rows("Method", "R2")
    own, *ratios = (float(cell) for i, cell in enumerate(table["BrainLMTransformer (this one)"])
                    if i != 1)  # fmt: skip
    assert own == pytest.approx(transformer.score(recordings[4:]), abs=6e-4)
    assert own == pytest.approx(np.mean(ratios), abs=1e-3)
    assert len(ratios) == len(transformer.mask_ratio)
    epochs = page.rows("Epoch")
    losses = [row["train_loss"] for row in transformer.history_]
    assert [float(row[0]) for row in epochs.values()] == pytest.approx(losses, rel=1e-3)


def test_simple_methods_fill_in_the_same_masks(gaussian, recordings):
    # The estimator is the adaptive Gaussian itself: fitted on the same, it scores the same.
    page = read(generate_report(gaussian, recordings[4:], X_train=recordings[:4]))
    table = page.rows("Method", "R2")
    own = float(table["GaussianReconstructor (this one)"][0])
    assert own == pytest.approx(gaussian.score(recordings[4:]), abs=6e-4)
    same = float(table["Gaussian, adaptive in space and time"][0])
    assert same == pytest.approx(own, abs=2e-3)
    plain = GaussianReconstructor(**WINDOWS, temporal=False, adaptive=False).fit(recordings[:4])
    assert float(table["Gaussian"][0]) == pytest.approx(plain.score(recordings[4:]), abs=2e-3)


def test_r2_of_parcels_is_that_of_their_masked_values(gaussian, recordings, figures):
    X = [recordings[4][:20]]  # one window
    page = read(generate_report(gaussian, X, parcel_names=[f"p{i}" for i in range(12)]))
    (made,) = gaussian.reconstruct(X)
    values = made.true[made.masked].astype(float)
    errors = np.where(made.masked, made.true - made.predicted, 0) ** 2
    about_mean = np.where(made.masked, made.true - values.mean(), 0) ** 2
    table = page.rows("Parcel", "GaussianReconstructor")
    for parcel in range(12):
        text = table[f"p{parcel}"][0]
        if not made.masked[:, parcel].any():
            assert text == "–"
            continue
        expected = 1 - errors[:, parcel].sum() / about_mean[:, parcel].sum()
        assert float(text) == pytest.approx(expected, abs=6e-4)
    assert "no brain is drawn" in page.sections["parcels"]  # its coordinates are not known
    assert any("Histogram" in image["alt"] for image in page.images)


def test_without_training_recordings_nothing_simple_is_fitted(gaussian, recordings):
    page = read(generate_report(gaussian, recordings[4:]))
    assert "no training recordings were given" in page.sections["score"]
    assert set(page.rows("Method")) == {
        "GaussianReconstructor (this one)", "Centre of each parcel",
    }  # fmt: skip


@pytest.mark.parametrize("change", [np.array, lambda x: x.astype(np.float64)])
def test_what_is_fitted_on_is_not_scored(gaussian, recordings, change):
    train = [*recordings[:2], change(recordings[5])]
    with pytest.raises(ValueError, match="here-5 of X is also recording 2 of X_train"):
        generate_report(gaussian, recordings[4:], X_train=train, recording_ids=["x", "here-5"])


def test_nothing_is_changed(transformer, recordings):
    before, X = pickle.dumps(transformer), copy.deepcopy(recordings)
    generate_report(transformer, recordings[4:], X_train=recordings[:4])
    assert all(np.array_equal(a, b) for a, b in zip(X, recordings, strict=True))
    again = pickle.loads(before)
    assert vars(again).keys() == vars(transformer).keys()
    assert again.history_ == transformer.history_
    assert np.array_equal(again.transform(recordings), transformer.transform(recordings))


def test_a_report_is_the_same_again(gaussian, recordings, figures):
    reports = [gaussian.generate_report(recordings[4:], n_shown=0, date="d") for _ in range(2)]
    assert reports[0].html == reports[1].html


def test_texts_of_users_are_text(recordings, figures):
    names = [f"{HOSTILE}{SHARP}{i}" for i in range(12)]
    X = [pd.DataFrame(recording, columns=names) for recording in recordings]
    model = GaussianReconstructor(**WINDOWS).fit(X[:4])
    page = read(model.generate_report(X[4:], recording_ids=IDS, title=HOSTILE, date=SHARP))
    assert page.title == HOSTILE
    assert HOSTILE in page.text and SHARP in page.text
    assert set(names) <= set(page.rows("Parcel"))
    assert any(HOSTILE in image["alt"] for image in page.images)
    assert page.rows("What")["Report made on"] == [SHARP]
    regressor = BrainLMRegressor(weights=HOSTILE)
    assert page.rows("Expected")["Names of parcels"][0].startswith(HOSTILE)
    parameters = read(regressor.generate_report()).rows("Parameter")
    assert parameters["weights"] == [repr(HOSTILE)]


def test_what_the_doctor_found(transformer, recordings):
    X = [recordings[4] * 1000, recordings[5]]
    with pytest.warns(DataQualityWarning, match="1 of 2 recordings are out of scale"):
        page = read(transformer.generate_report(X, recording_ids=IDS, n_shown=0))
    rows = [row for table in page.tables if table[0][0] == "Severity" for row in table[1:]]
    assert ["error", "scale", HOSTILE] in [row[:3] for row in rows]
    assert "error" in page.sections["summary"]


@pytest.mark.parametrize("frame", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_one_recording(transformer, recordings, frame):
    page = read(transformer.generate_report(frame(recordings[4]), recording_ids=["one"], n_shown=0))
    assert "1 recording of" in page.sections["doctor"]


def test_recordings_that_cannot_be_used_still_get_a_report(transformer, recordings):
    broken = recordings[5].copy()
    broken[3] = np.nan
    page = read(transformer.generate_report([recordings[4], broken]))
    assert "not finite" in page.sections["doctor"]
    assert "could not be scored" in page.sections["score"]
    page = read(transformer.generate_report([recordings[4].T]))
    assert "transpose" in page.sections["doctor"]
    closed_form = GaussianReconstructor(**WINDOWS).fit(recordings[:4])
    with pytest.warns(DataQualityWarning, match="out of scale"):
        page = read(closed_form.generate_report([recordings[4] * np.float32(1e3)]))
    assert "scale" in page.sections["doctor"] and "summary" in page.sections


def test_without_recordings(transformer):
    page = read(transformer.generate_report())
    assert "No recordings were given" in page.sections["doctor"]
    assert "nothing was scored" in page.sections["score"]


def test_not_fitted():
    page = read(BrainLMTransformer(embed_dim=32).generate_report())
    assert "not fitted" in page.sections["summary"]
    assert page.rows("Parameter")["embed_dim"] == ["32"]


@pytest.mark.parametrize("make", [BrainLMForecaster, MeanForecaster, LastValueForecaster])
def test_forecasters(recordings, make):
    more = {**TINY, "max_epochs": 1, "calibration_fraction": 0.5} if "LM" in make.__name__ else {}
    model = make(**FORECASTS, **more).fit(recordings[:4])
    page = read(
        generate_report(model, recordings[4:], X_train=recordings[:4], recording_ids=IDS, t_r=0.72)
    )
    table = page.rows("Method", "R2")
    own = float(table[f"{make.__name__} (this one)"][0])
    assert own == pytest.approx(model.score(recordings[4:]), abs=6e-4)
    scaled = model.scaler_.transform(recordings)
    last = LastValueForecaster(**FORECASTS, scaler=None).fit(scaled[:4])
    assert float(table["Last value"][0]) == pytest.approx(last.score(scaled[4:]), abs=6e-4)
    steps = page.rows("Steps ahead")
    found = [float(steps[str(step)][0]) for step in range(1, 6)]
    assert found == pytest.approx(model.score_by_step(recordings[4:]), abs=6e-4)
    assert page.rows("Expected")["Horizon that is forecast"][0].startswith("5 timepoints")


def test_forecasts_are_drawn(recordings, figures):
    lengths = {"context_length": 5, "horizon": 5}  # short, for errors enough to calibrate with
    model = BrainLMForecaster(**lengths, **TINY, max_epochs=0, calibration_fraction=0.5)
    page = read(model.fit(recordings[:4]).generate_report(recordings[4:], recording_ids=IDS))
    assert len(page.images) == 3
    assert "90% of values" in page.sections["forecasts"]
    assert SHARP in page.images[2]["alt"]


def test_regressor(recordings, figures):
    model = BrainLMRegressor(**TINY, window_length=20, max_epochs=1).fit(recordings[:4], AGES[:4])
    report = model.generate_report(recordings[4:], y=AGES[4:], y_train=AGES[:4])
    table = read(report).rows("Method", "R2")
    r2, error = (float(cell) for cell in table["BrainLMRegressor (this one)"][:2])
    assert r2 == pytest.approx(model.score(recordings[4:], AGES[4:]), abs=6e-4)
    predicted = model.predict(recordings[4:])
    assert error == pytest.approx(mean_absolute_error(AGES[4:], predicted), rel=1e-3)
    dummy = DummyRegressor().fit(np.zeros((4, 1)), AGES[:4]).predict(np.zeros((2, 1)))
    of_dummy = float(table["Dummy (mean)"][0])
    assert of_dummy == pytest.approx(r2_score(AGES[4:], dummy), abs=6e-4)
    without = read(model.generate_report(recordings[4:], y=AGES[4:]))
    assert "Scatter" in without.images[1]["alt"]
    assert "Dummy was not fitted" in without.sections["score"]
    assert "No labels were given" in read(model.generate_report(recordings[4:])).sections["score"]
    with pytest.raises(ValueError, match="y has 3 labels for 2 recordings"):
        model.generate_report(recordings[4:], y=AGES[3:])


def test_classifier_and_pipeline(recordings):
    y = np.where(GROUPS == "a", HOSTILE, "b")
    X = [
        recording * (1 + (group == "a"))
        for recording, group in zip(recordings, GROUPS, strict=True)
    ]
    model = BrainLMClassifier(**TINY, window_length=20, max_epochs=1).fit(X[:4], y[:4])
    pipeline = make_connectome("svm", classification=True).fit(X[:4], y[:4])
    for estimator in (model, pipeline):
        page = read(generate_report(estimator, X[4:], y=y[4:], y_train=y[:4]))
        cells = page.rows("Method", "Accuracy")[f"{type(estimator).__name__} (this one)"]
        predicted = estimator.predict(X[4:])
        expected = [estimator.score(X[4:], y[4:]), balanced_accuracy_score(y[4:], predicted)]
        assert [float(cell) for cell in cells[:2]] == pytest.approx(expected, abs=6e-4)
        confused = page.rows("True class")
        assert int(confused[HOSTILE][-1]) == 1 and int(confused["b"][-1]) == 1


def test_scaler(recordings):
    page = read(generate_report(RecordingScaler("standard", clip=4.0).fit(recordings), recordings))
    assert page.rows("Expected")["Scaling"] == ["standard, parcel by parcel"]
    assert page.rows("Expected")["Clipped"] == ["beyond 4 scaled units"]
    assert "score" not in page.sections


def test_without_matplotlib_there_are_no_figures(gaussian, recordings, monkeypatch, figures):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = read(gaussian.generate_report(recordings[4:]))
    assert page.images == []
    assert "matplotlib is not installed" in page.sections["summary"]
    assert page.rows("Parcel")


def test_the_page_as_an_object(gaussian, tmp_path, monkeypatch):
    report = gaussian.generate_report()
    assert isinstance(report, HTMLReport) and isinstance(report, reporting.HTMLReport)
    frame = report._repr_html_()
    assert frame.startswith("<iframe srcdoc=") and "<script" not in frame
    report.save_as_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == report.html
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    report.open_in_browser(tmp_path / "a b.html")
    assert opened == [(tmp_path / "a b.html").as_uri()]


def test_names_must_fit(gaussian, recordings):
    with pytest.raises(ValueError, match="recording_ids has 1 names for 2 recordings"):
        gaussian.generate_report(recordings[4:], recording_ids=["one"])
    with pytest.raises(ValueError, match="parcel_names has 2 names for 12 parcels"):
        gaussian.generate_report(recordings[4:], parcel_names=["one", "two"])
    with pytest.raises(TypeError, match="what is a dict"):
        generate_report({})
