"""
Classes, and fine-tuning
========================

:class:`~sklearn_brainlm.BrainLMClassifier` puts a head on a pretrained encoder and trains both.
Here it tells who did a task from who rested. What pretraining and fine-tuning are worth is
measured by leaving them out.
"""

# %%
# A pretrained encoder
# --------------------
# The people it is pretrained on are not among those it is tested on.

import tempfile

from _recordings import open_recordings

from sklearn_brainlm import BrainLMTransformer

cohort = open_recordings(120, 240, needs=["group"])
print(cohort.description)
n_pretrained = len(cohort.recordings) // 6
recordings, group = cohort.recordings[n_pretrained:], cohort.group[n_pretrained:]

weights = tempfile.mkdtemp()
BrainLMTransformer(
    window_length=80,
    patch_length=10,
    parcel_coords=cohort.parcel_coords,
    t_r=cohort.t_r,
    max_epochs=3,
    random_state=0,
).fit(cohort.recordings[:n_pretrained]).save_pretrained(weights)

# %%
# Fine-tuning
# -----------
# A linear head starts from the solution of a penalised linear model: epoch 0 is a probe of the
# frozen encoder. From there everything is trained, lower layers more slowly, until the validation
# loss has not fallen for `patience` epochs.

from sklearn_brainlm import BrainLMClassifier

settings = {"weights": weights, "t_r": cohort.t_r, "random_state": 0}
fine_tuned = BrainLMClassifier(**settings, max_epochs=4)
fine_tuned.fit(recordings, group)

from sklearn_brainlm.plotting import plot_loss_curve

axes = plot_loss_curve(fine_tuned.history_)
axes.set_ylabel("Cross-entropy (nats)")
best = min(fine_tuned.history_, key=lambda row: row["valid_loss"])
print(f"The validation loss was lowest in epoch {best['epoch']}.")

# %%
# What is it worth?
# -----------------
# The same with the encoder frozen, without pretraining, and without a network: logistic regression
# on connectivity, and a support vector machine on the raw values of the series.

import warnings

from sklearn_brainlm import compare, format_comparison
from sklearn_brainlm.baselines import make_connectome, make_raw_series

methods = {
    "BrainLM, fine-tuned": fine_tuned,
    "BrainLM, frozen": BrainLMClassifier(**settings, trainable="head", max_epochs=0),
    "BrainLM, not pretrained": BrainLMClassifier(**settings, pretrained=False, max_epochs=4),
    "Connectivity + logistic": make_connectome("logistic", classification=True),
    "Raw series + SVM": make_raw_series("svm", classification=True),
}
with warnings.catch_warnings(record=True) as noted:
    warnings.simplefilter("always")
    table = compare(
        methods,
        recordings,
        group,
        groups=cohort.subjects[n_pretrained:],
        cv=3,
        random_state=0,
    )
print(format_comparison(table))
for warning in noted:
    print("Warning:", warning.message)

# %%
from sklearn_brainlm.plotting import plot_comparison

plot_comparison(table)

# %%
# What to take away
# -----------------
# Three questions, three differences. An area of 0.5 is guessing.

auc = table.query("metric == 'roc_auc' and setting == 'all'").set_index("method")["value"]
simple = auc[~auc.index.str.startswith("BrainLM")]
tuned, frozen, drawn = auc[["BrainLM, fine-tuned", "BrainLM, frozen", "BrainLM, not pretrained"]]
print(f"Pretraining changes the area under the curve by {tuned - drawn:+.3f},")
print(f"fine-tuning by {tuned - frozen:+.3f},")
print(f"and the network, against {simple.idxmax()}, by {tuned - simple.max():+.3f}.")
if simple.max() >= tuned:
    print(f"The simple method wins: {simple.idxmax()}.")
if simple.idxmax().startswith("Raw series"):
    print("Everybody did the task at the same seconds: raw values know when, covariances do not.")
