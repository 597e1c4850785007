"""
Forecast what follows
=====================

Table 2 and figure 6 of the article: the network sees the past and fills in the future. Two things
are shown that a curve of errors alone does not show: how sure the forecast is, and what closed
forms of a few lines reach.
"""

# %%
# A forecast with its interval
# ----------------------------
# Some of the recordings are kept aside to calibrate the interval (`calibration_fraction`).

from _recordings import open_recordings

from sklearn_brainlm import BrainLMForecaster

cohort = open_recordings(36, 200)
print(cohort.description)
windows = {"context_length": 60, "horizon": 10}
forecaster = BrainLMForecaster(
    **windows,
    patch_length=10,
    parcel_coords=cohort.parcel_coords,
    t_r=cohort.t_r,
    windows_per_recording=4,
    max_epochs=3,
    calibration_fraction=0.25,
    random_state=0,
)
forecaster.fit(cohort.recordings[:24])

# %%
# Somebody new: the recording is cut, and the last timepoints are kept to compare with.

from sklearn_brainlm.plotting import plot_forecast

horizon = windows["horizon"]
new = cohort.recordings[-1]
past, future = new[:-horizon], new[-horizon:]
forecast = forecaster.predict([past])[0]
(lower,), (upper,) = forecaster.predict_interval([past], coverage=0.9)
plot_forecast(
    past[-30:],
    forecast,
    true=future,
    lower=lower,
    upper=upper,
    coverage=0.9,
    t_r=cohort.t_r,
    labels=cohort.parcels,
    unit="units of the recording",
)

# %%
# The interval should hold 90% of what happens, over people and not in one picture.

import numpy as np

tested = cohort.recordings[24:]
low, high = forecaster.predict_interval([recording[:-horizon] for recording in tested])
true = np.stack([recording[-horizon:] for recording in tested])
held = np.mean((low <= true) & (true <= high))
print(f"Intervals meant to hold 90% held {held:.0%} of {true.size} values of {len(tested)} people.")

# %%
# Error by time ahead
# -------------------
# :func:`~sklearn_brainlm.compare_forecasters` tests every step on people who were not trained on,
# corrected for the number of steps. Stars stand where a method is better than the best simple one.

from sklearn_brainlm import compare_forecasters, format_comparison
from sklearn_brainlm.baselines import (
    ARForecaster,
    LastValueForecaster,
    MeanForecaster,
    WienerForecaster,
)

table = compare_forecasters(
    {
        "BrainLM": forecaster.set_params(calibration_fraction=0.0),
        "Wiener": WienerForecaster(**windows),
        "AR": ARForecaster(**windows, order=20),
        "Mean of the past": MeanForecaster(**windows, gain="auto"),
        "Last value": LastValueForecaster(**windows),
    },
    cohort.recordings,
    groups=cohort.subjects,
    cv=2,
    steps=[(1, 3), (4, 10)],
    n_bootstrap=500,
    random_state=0,
)
print(format_comparison(table))

# %%
from sklearn_brainlm.plotting import plot_forecast_error

axes = plot_forecast_error(table, t_r=cohort.t_r)
axes.set_ylim(-0.3, None)  # the last value falls below it

# %%
# What to take away
# -----------------
# The BOLD signal forgets within seconds. Where every line is near zero, nothing can be forecast,
# and a lower error there is no understanding of the brain.

r2 = table.query("metric == 'r2'").set_index(["setting", "method"])
for steps in ("steps 1-3", "steps 4-10"):
    own = r2.loc[steps]
    simple = own["value"].drop("BrainLM")
    stars = own["stars"]["BrainLM"] or "no stars"
    winner = "BrainLM" if own["value"]["BrainLM"] > simple.max() else simple.idxmax()
    print(
        f"{steps}: BrainLM R2 {own['value']['BrainLM']:.3f} ({stars}), "
        f"best simple {simple.idxmax()} {simple.max():.3f}. Ahead: {winner}."
    )
