"""
Predict age, and say what it is worth
=====================================

Table 1 of the article predicts age from embeddings. Its numbers stand beside weak rows. Here the
same is done beside connectivity with ridge regression, which is hard to beat, and with a test.
"""

# %%
# People to learn from, and people to predict
# -------------------------------------------
# The network is pretrained on people of its own, as released weights are. Then it is used as it
# is: nothing about the other people can leak into it.

from _recordings import open_recordings

cohort = open_recordings(140, 240, needs=["age"])
print(cohort.description)
n_pretrained = len(cohort.recordings) // 7
recordings, age = cohort.recordings[n_pretrained:], cohort.age[n_pretrained:]
subjects = cohort.subjects[n_pretrained:]

# %%
import tempfile

from sklearn_brainlm import BrainLMTransformer

weights = tempfile.mkdtemp()
BrainLMTransformer(
    window_length=80,
    parcel_coords=cohort.parcel_coords,
    t_r=cohort.t_r,
    max_epochs=3,
    random_state=0,
).fit(cohort.recordings[:n_pretrained]).save_pretrained(weights)

# %%
# Rows of the table
# -----------------
# Names that begin with "BrainLM" are on trial; all others are simple. "Dummy", which predicts the
# mean of the training ages, is always there. `memory` keeps the embeddings, which are the same in
# every fold.

from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_brainlm.baselines import make_connectome, make_raw_series

penalties = {"alphas": [1e0, 1e1, 1e2, 1e3, 1e4, 1e5]}


def embed(pooling):
    brainlm = BrainLMTransformer(weights=weights, max_epochs=0, pooling=pooling, t_r=cohort.t_r)
    return make_pipeline(brainlm, StandardScaler(), RidgeCV(**penalties), memory=weights + "/kept")


methods = {
    "BrainLM, covariance + ridge": embed("covariance"),
    "BrainLM, CLS + ridge": embed("cls"),
    "Connectivity + ridge": make_connectome("ridge"),
    "Tangent space + ridge": make_connectome("ridge", kind="tangent"),
    "Raw series + ridge": make_raw_series("ridge"),
}

# %%
# Compare
# -------
# :func:`~sklearn_brainlm.compare` divides people into folds, fits everything on the training side,
# and warns where BrainLM does not beat connectivity.

import warnings

from sklearn_brainlm import compare, format_comparison

with warnings.catch_warnings(record=True) as noted:
    warnings.simplefilter("always")
    table = compare(methods, recordings, age, groups=subjects, cv=5, random_state=0)
print(format_comparison(table))
for warning in noted:
    print("Warning:", warning.message)

# %%
# One dot a method, with its 95% interval over people. Zero is the mean of the training ages, and
# most of what is on the left of it has learned noise.

from sklearn_brainlm.plotting import plot_comparison

plot_comparison(table)

# %%
# What to take away
# -----------------

# Ask of every such table: what does the best simple row say?

r2 = table.query("metric == 'r2' and setting == 'all'").set_index("method")["value"]
on_trial = r2.index.str.startswith("BrainLM")
mine, simple = r2[on_trial], r2[~on_trial]
print(f"Best of BrainLM: {mine.idxmax()}, R2 {mine.max():.3f}")
print(f"Best simple row: {simple.idxmax()}, R2 {simple.max():.3f}")
if simple.max() >= mine.max():
    print("The simple method wins. Report it, and take it, unless the network does something else.")
else:
    p_value = table.query(f"metric == 'r2' and method == '{mine.idxmax()}'")["p_corrected"].min()
    print(f"BrainLM is ahead; corrected p of the difference {p_value:.2g}.")
if r2.max() <= 0:
    print(f"No method is better than the mean: {len(age)} people are too few for this effect.")
