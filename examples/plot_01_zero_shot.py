"""
Use weights as they are
=======================

Weights are a value: a name, a folder or ``"owner/repository"`` on the Hugging Face hub. This
example writes a small model to a folder, so that it runs anywhere in seconds; with the released
weights the only difference is the name, ``weights="brainlm-13M"``, one of
:func:`sklearn_brainlm.list_weights`.
"""

# %%
# Somebody pretrains
# ------------------
# A simulated cohort stands for recordings that nilearn's maskers returned, unless
# ``BRAINLM_RECORDINGS_FOLDER`` names yours. What the weights expect of recordings (parcels,
# repetition time, scaling) is saved with them.

import tempfile
from pathlib import Path

from _recordings import open_recordings
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from sklearn_brainlm import BrainLMTransformer

cohort = open_recordings(16, 120, n_parcels=60, needs=["age"])
model = BrainLMTransformer(
    window_length=60, patch_length=20, t_r=cohort.t_r, max_epochs=1, random_state=0
)
folder = Path(tempfile.mkdtemp()) / "weights"
model.fit(cohort.recordings[:6]).save_pretrained(folder)
print((folder / "README.md").read_text()[:400])

# %%
# Somebody else embeds, in two lines
# ----------------------------------

embed = BrainLMTransformer.from_pretrained(folder)
print(embed.transform(cohort.recordings[6:]).shape)

# %%
# Under cross-validation
# ----------------------
# ``max_epochs=0`` uses the weights as they are. They survive ``clone``, are read once, and with
# ``memory`` the embeddings are computed once for all values of ``C``.

pipeline = make_pipeline(
    BrainLMTransformer(weights=folder, max_epochs=0, pooling="covariance"),
    StandardScaler(),
    SVR(kernel="linear"),
    memory=tempfile.mkdtemp(),
)
search = GridSearchCV(pipeline, {"svr__C": [1e-4, 1e-3]}, cv=2, scoring="neg_mean_absolute_error")
search.fit(cohort.recordings[6:], cohort.age[6:])
print(f"mean absolute error: {-search.best_score_:.1f} years, {search.best_params_}")

# %%
# Recordings that do not fit are refused
# --------------------------------------
# ... with a message that says what was found, what was expected and what to do.

try:
    embed.transform([recording[:, :10] for recording in cohort.recordings[:2]])
except ValueError as error:
    print(error)
