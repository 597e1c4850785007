"""
More recordings than memory
===========================

What is done with forty thousand recordings, with a few: keep them in a store on disk, train from
there, be killed, and go on. Nothing of the interface changes.
"""

# %%
# A store
# -------
# :func:`~sklearn_brainlm.build_store` takes an iterator, so recordings pass through memory one by
# one. One of them is broken. It goes to quarantine with the reason, and building goes on.

import tempfile
import warnings
from pathlib import Path

import numpy as np
from _recordings import open_recordings

from sklearn_brainlm import build_store

cohort = open_recordings(24, 160)
print(cohort.description)
folder = Path(tempfile.mkdtemp())


def read_one_by_one():
    for number, recording in enumerate(cohort.recordings):
        yield np.full_like(recording, np.nan) if number == 3 else recording


with warnings.catch_warnings(record=True) as noted:
    warnings.simplefilter("always")
    store = build_store(
        folder / "store",
        read_one_by_one(),
        participants={"participant_id": cohort.subjects, "recording": cohort.subjects},
        parcels={"label": cohort.parcels},
        t_r=cohort.t_r,
        dtype="float16",
    )
print(store.shape, store.n_parcels, store.dtype, f"{store.nbytes / 1000:.0f} kB")
print((store.path / "quarantine.tsv").read_text())

# %%
# A store is an X like a list of arrays, sliced without being read.

print(store[2:5].ids, store[0].shape)

# %%
# Damage is found
# ---------------
# Every recording has a checksum. Here one byte of a copy is changed, as disks and copies do.

import shutil

from sklearn_brainlm import RecordingStore

shutil.copytree(store.path, folder / "damaged")
shard = max((folder / "damaged").rglob("*"), key=lambda path: path.is_file() * path.stat().st_size)
content = bytearray(shard.read_bytes())
content[len(content) // 2] ^= 1
shard.write_bytes(content)
print("whole:", store.verify())
for finding in RecordingStore(folder / "damaged").verify():
    print("damaged:", finding.recording, finding.kind)

# %%
# Killed, and resumed
# -------------------
# A training that is told to stop (Ctrl-C, or the SIGTERM of a cluster) finishes its step, saves a
# checkpoint and stops. The callback below does what the cluster would do.

import signal

from skorch.callbacks import Callback

from sklearn_brainlm import BrainLMTransformer

settings = {
    "window_length": 80,
    "t_r": cohort.t_r,
    "max_epochs": 6,
    "prior": None,
    "random_state": 0,
}


class Cluster(Callback):
    """Tell the training to stop in its fourth epoch."""

    def on_batch_end(self, net, training=False, **kwargs):
        """Send the signal that clusters send."""
        if training and len(net.history) == 4:
            signal.raise_signal(signal.SIGTERM)


run = folder / "run"
try:
    BrainLMTransformer(**settings, checkpoint_dir=run, net_params={"callbacks": [Cluster()]}).fit(
        store
    )
except SystemExit as stopped:
    print("stopped with code", stopped.code, "and", sorted(path.name for path in run.iterdir()))

# %%
# The same call with ``resume=True`` goes on. Beside it, one that never stopped.

resumed = BrainLMTransformer(**settings, checkpoint_dir=run, resume=True).fit(store)
never_stopped = BrainLMTransformer(**settings).fit(store)

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
epochs = [row["epoch"] for row in never_stopped.history_]
looks = {"never stopped": ("0.6", "-", 5), "stopped and resumed": ("black", "--", 1.5)}
for model, (name, (colour, style, width)) in zip(
    [never_stopped, resumed], looks.items(), strict=True
):
    loss = [row["valid_loss"] for row in model.history_]
    axes.plot(epochs, loss, color=colour, linestyle=style, linewidth=width, label=name)
axes.axvline(4, color="#D55E00", linestyle=":", label="told to stop")
axes.set(xlabel="Epoch", ylabel="Validation loss\n(squared scaled units)")
axes.legend(frameon=False)

# %%
# What to take away
# -----------------

same = np.array_equal(resumed.transform(store), never_stopped.transform(store))
print("Embeddings of both are", "the same to the last bit." if same else "NOT the same.")
kept = store.nbytes / sum(recording.nbytes for recording in cohort.recordings)
print(f"The store takes {kept:.0%} of the bytes of the arrays, one recording in quarantine.")
