"""What a report says of forecasts: scores, steps ahead, fans."""

import numpy as np

from sklearn_brainlm.baselines import ARForecaster, LastValueForecaster, MeanForecaster
from sklearn_brainlm.comparison.inference import interval, resample_weights
from sklearn_brainlm.intervals import conformal_quantile
from sklearn_brainlm.reports.cells import show_count, show_interval, show_number
from sklearn_brainlm.reports.drawing import draw, name_in_figure
from sklearn_brainlm.reports.sections import Folded, Paragraph, Section, Table
from sklearn_brainlm.reports.verdicts import weigh

__all__ = ["describe_forecasts"]

_N_BOOTSTRAP = 1000
_COVERAGE = 0.9
_CENTRE = "Centre of each parcel"


def describe_forecasts(given):
    """Say how well recordings are forecast, and show it.

    Parameters
    ----------
    given : Given
        A fitted forecaster, and recordings. Simple forecasters are fitted on its training
        recordings, where there are any.

    Returns
    -------
    sections : list of Section
        Score, step by step, and fans.
    verdict : str
        The score in a sentence, beside the best simple method.
    """
    estimator = given.estimator
    windows = estimator.backtest(given.X)
    forecasts = {given.label: windows.predicted, _CENTRE: np.zeros_like(windows.true)}
    if given.X_train is not None:
        simple = _fit_simple(estimator, given.X_train)
        scaled = estimator.scaler_.transform(estimator._check_fitted_X(given.X))
        forecasts |= {name: model.backtest(scaled).predicted for name, model in simple.items()}
    errors, spread = _sum_squares(windows, forecasts)
    methods, r2 = list(forecasts), 1 - errors.sum(axis=(1, 2)) / spread.sum()
    resampled = _resample(errors, spread)
    n_simple = len(methods) - 2
    verdict = weigh(methods, r2, resampled, "R2 of forecasts", n_simple)
    score = _tabulate(given, methods, r2, resampled, len(windows.true))
    by_step = dict(zip(methods, 1 - errors.sum(axis=1) / spread.sum(axis=0), strict=True))
    return [
        Section("Forecasts: the score", "score", [*score, *_show_steps(given, by_step)]),
        Section("Forecasts: examples", "forecasts", _show_fans(given, windows)),
    ], verdict


def _fit_simple(estimator, X_train):
    """Fit simple forecasters on training recordings, at the scale of the estimator."""
    scaled = estimator.scaler_.transform(estimator._check_fitted_X(X_train))
    lengths = {name: getattr(estimator, name) for name in ("context_length", "horizon")}
    lengths["scaler"] = None
    order = min(ARForecaster().order, estimator.context_length)
    return {
        "Last value": LastValueForecaster(**lengths).fit(scaled),
        "Mean of the context": MeanForecaster(**lengths, gain="auto").fit(scaled),
        "Autoregression": ARForecaster(**lengths, order=order).fit(scaled),
    }


def _sum_squares(windows, forecasts):
    """Sum squares by recording and step: errors (n_methods, n_recordings, horizon), spread."""
    n_recordings, horizon = int(windows.recording.max()) + 1, windows.true.shape[1]
    true = windows.true.astype(np.float64)
    errors = np.zeros((len(forecasts), n_recordings, horizon))
    spread = np.zeros((n_recordings, horizon))
    np.add.at(spread, windows.recording, (true**2).sum(axis=2))
    for own, predicted in zip(errors, forecasts.values(), strict=True):
        np.add.at(own, windows.recording, ((true - predicted) ** 2).sum(axis=2))
    return errors, spread


def _resample(errors, spread):
    """Return R2 of every method in resamples of the recordings, (n_methods, n_resamples)."""
    if spread.shape[0] < 2:
        return np.full((len(errors), 1), np.nan)
    rng = np.random.default_rng(0)
    weights = np.concatenate(list(resample_weights(np.arange(len(spread)), _N_BOOTSTRAP, rng)))
    return 1 - (errors.sum(axis=2) @ weights.T) / (weights @ spread.sum(axis=1))


def _tabulate(given, methods, r2, resampled, n_windows):
    """Tabulate the score of every method."""
    rows = [
        (name, show_number(value), show_interval(*interval(own)))
        for name, value, own in zip(methods, r2, resampled, strict=True)
    ]
    estimator = given.estimator
    caption = f"R2 of {show_count(n_windows, 'window')}, each of {estimator.horizon} timepoints "
    caption += f"ahead of at most {estimator.context_length}: 1 is exact, 0 as good as the centre "
    caption += "of each parcel in training. It is what score() returns. Intervals are over "
    caption += "recordings."
    text = "All methods forecast the same windows, scaled in the same way. "
    text += (
        "No simple method was fitted, as no training recordings were given (X_train)."
        if given.X_train is None
        else "Simple methods were fitted on the training recordings given (X_train), none of which "
        "is scored."
    )
    return [
        Table(("Method", "R2", "95% interval"), rows, caption, marked=(0,)),
        Paragraph(text),
        Paragraph(
            "Scores are about recordings that the estimator has not seen only if none of these was "
            "among those that it, or its weights, were trained on, which this report cannot know.",
            "caution",
        ),
    ]


def _show_steps(given, by_step):
    """Draw and tabulate R2 of every step ahead."""
    from sklearn_brainlm.plotting import plot_forecast_error

    horizon = given.estimator.horizon
    own = by_step[given.label]
    # The estimator is what is on trial here, whatever its name.
    drawn = {
        f"BrainLM: {name}" if name == given.label and not name.startswith("BrainLM") else name: r2
        for name, r2 in by_step.items()
        if name != _CENTRE
    }
    head = ("Steps ahead", *(name for name in by_step if name != _CENTRE))
    rows = [
        (str(step + 1), *(show_number(r2[step]) for r2 in drawn.values()))
        for step in range(horizon)
    ]
    figures = draw(
        lambda axes: plot_forecast_error(drawn, t_r=given.seconds, axes=axes),
        (7.6, 4.4),
        alt=f"Lines of R2 against the step ahead. {given.name}: {show_number(own[0])} at the first "
        f"step, {show_number(own[-1])} at the last.",
        caption="How good forecasts are at every step ahead. At 0, a forecast is as good as the "
        "centre of each parcel; below, it is worse.",
    )
    return [*figures, Folded("The numbers of every step", [Table(head, rows, "R2 by step ahead.")])]


def _show_fans(given, windows):
    """Draw the first window of some recordings."""
    from sklearn_brainlm.plotting import plot_forecast

    estimator = given.estimator
    recordings = estimator._check_fitted_X(given.X)
    width = None
    if len(getattr(estimator, "residuals_", ())):
        width = conformal_quantile(estimator.residuals_, _COVERAGE)  # (horizon, n_parcels)
        width = width if np.isfinite(width).all() else None
    labels = [name_in_figure(name) for name in given.names_of(estimator.n_parcels_)]
    shown = np.linspace(0, len(recordings) - 1, max(given.n_shown, 0)).round().astype(int)
    blocks = []
    for index in dict.fromkeys(shown.tolist()):
        window = int(np.argmax(windows.recording == index))
        start = int(windows.start[window])
        first = max(0, start - 3 * estimator.horizon)
        context = estimator.scaler_.scale_window(recordings[index])[first:start]
        forecast, more = windows.predicted[window], {}
        if width is not None:
            more = {"lower": forecast - width, "upper": forecast + width, "coverage": _COVERAGE}
        name = given.ids[index]
        blocks += draw(
            lambda axes, context=context, forecast=forecast, window=window, more=more: (
                plot_forecast(
                    context,
                    forecast,
                    true=windows.true[window],
                    t_r=given.seconds,
                    labels=labels,
                    axes=axes,
                    **more,
                )
            ),  # fmt: skip
            (7.6, 5),
            alt=f"Traces of three parcels of {name}: what was recorded, and the forecast.",
            caption=f"{name}, its first window. Black: recorded; orange: forecast by {given.name}, "
            f"which saw the {show_count(start - first, 'timepoint')} before 0, and more where the "
            "context is longer"
            + (", with the interval meant to hold 90% of values." if more else "."),
        )
    return blocks or [Paragraph("No forecast is drawn.", "absent")]
