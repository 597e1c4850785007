"""The methods of the reconstruction table, by names that stay.

To add one: write a class with ``fit`` and ``reconstruct_windows`` (``_protocol.py`` says what they
take), or take an estimator that has them, and give it a line in METHODS.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sklearn_brainlm.presets import PRESETS

GAUSSIAN = "Gaussian"
ADAPTIVE = "Adaptive space-time Gaussian"
REFERENCES = (GAUSSIAN, ADAPTIVE)  # whose R2 is subtracted from everyone's

# A masked autoencoder that starts from nothing spends its first 800 steps or so at the mean,
# however large they are: without a prior, a budget of windows is best spent one window a step.
ONE_WINDOW_A_STEP = {"batch_size": 1}

# The paper's architecture at a size that trains here, for about as long as BrainLM's defaults do.
# What makes it the paper's is left as it was released.
PAPER_SIZE = {
    "embed_dim": 64,
    "depth": 2,
    "mlp_dim": 128,
    "decoder_embed_dim": 64,
    "decoder_depth": 1,
    "decoder_mlp_dim": 128,
    "max_epochs": 40,
    **ONE_WINDOW_A_STEP,
}

# Parameters that do not change what is learned, but where and how it is.
_ABOUT_THE_RUN = (
    "random_state", "parcel_coords", "device", "precision", "verbose", "checkpoint_dir", "resume",
)  # fmt: skip

# Training that changes nothing: the network stays as it was drawn.
UNTRAINED = {"max_epochs": 1, "lr": 1e-30, "weight_decay": 0.0}


@dataclass(frozen=True)
class Setting:
    """What a method is told about the recordings and its budget."""

    parcel_coords: np.ndarray | None
    t_r: float | None
    window_length: int
    patch_length: int
    short: str
    epochs: int | None = None  # None leaves each learned method its own


@dataclass(frozen=True)
class Entry:
    """A line of the table: what builds the method, and whether chance plays a part in it."""

    build: Callable  # of a Setting and a seed
    seeded: bool = False


class MeanReconstructor:
    """Fill in the centre of each parcel in the training recordings, which scaling makes 0."""

    def fit(self, recordings):
        """Remember the number of parcels."""
        self.n_parameters_ = recordings[0].shape[1]
        return self

    def reconstruct_windows(self, windows, masked):
        """Fill in zeros."""
        return np.where(masked, np.float32(0), windows)


class PersonOracle:
    """Gaussian that knows the person: its covariance mixes in the rest of the recording.

    No method may know as much of a new person. The row says what there is to gain by adapting.
    """

    n_group = 800  # timepoints that the covariance of the training recordings counts for
    ridge = 0.1

    def __init__(self, patch_length):
        self.patch_length = patch_length

    def fit(self, recordings):
        """Learn mean and covariance of the parcels."""
        values = np.concatenate(recordings).astype(np.float64)
        self.mean_ = values.mean(axis=0)
        self.covariance_ = np.cov(values, rowvar=False, bias=True)
        self.n_parameters_ = len(self.mean_) * (len(self.mean_) + 3) // 2
        return self

    def see_recording(self, recording, windows):
        """Learn the covariance of the person for each window, from the rest of the recording."""
        outside = _products(recording - self.mean_) - np.stack(
            [_products(window - self.mean_) for window in windows]
        )  # (n_windows, P, P)
        n_outside = len(recording) - windows.shape[1]
        self.person_covariances_ = (self.n_group * self.covariance_ + outside) / (
            self.n_group + n_outside
        )

    def reconstruct_windows(self, windows, masked):
        """Fill in the conditional mean given the visible parcels of the same patch column."""
        filled = windows.astype(np.float64)
        for window, where, covariance in zip(filled, masked, self.person_covariances_, strict=True):
            for start in range(0, len(window), self.patch_length):
                column = window[start : start + self.patch_length]  # (L, P)
                hidden = where[start]
                seen = ~hidden
                noisy = covariance[np.ix_(seen, seen)] + self.ridge * np.eye(seen.sum())
                weights = np.linalg.solve(noisy, covariance[np.ix_(seen, hidden)])
                column[:, hidden] = self.mean_[hidden] + (
                    (column[:, seen] - self.mean_[seen]) @ weights
                )
        return filled


class ClosedGate:
    """BrainLM whose network adds nothing: what the prior alone reconstructs, through the model."""

    def __init__(self, model):
        self.model = model

    def fit(self, recordings):
        """Fit the prior, leave the network as it was drawn, and set its gate to zero."""
        self.model.fit(recordings)
        weights = self.model.net_.module_.named_parameters()
        gates = [weight for name, weight in weights if name.rpartition(".")[2] == "gate"]
        if not gates:
            raise ValueError("The network has no parameter called 'gate' to hold at zero.")
        for gate in gates:
            gate.data.zero_()
        self.n_parameters_ = self.model.n_parameters_
        return self

    def reconstruct_windows(self, windows, masked):
        """Fill in windows."""
        return self.model.reconstruct_windows(windows, masked)


def _products(centred):
    """Sum the products of parcels (P, P) over timepoints."""
    return centred.T @ centred


def budget(model):
    """Name the parameters of a method, defaults included; a resumed run compares the names.

    What differs between seeds, folders and machines is not part of it.
    """
    model = getattr(model, "model", model)
    if not hasattr(model, "get_params"):
        return ""
    parameters = model.get_params()
    for name in _ABOUT_THE_RUN:
        parameters.pop(name, None)
    digest = hashlib.sha256(repr(sorted(parameters.items())).encode()).hexdigest()[:8]
    epochs = f"max_epochs={model.max_epochs} " if hasattr(model, "max_epochs") else ""
    return f"{epochs}parameters={digest}"


def fit(model, people):
    """Fit a method to the recordings of people; return what it cost."""
    began = time.process_time()
    model.fit(people.recordings)
    return {
        "fit_cpu_seconds": time.process_time() - began,
        "n_train": len(people),
        "n_windows_drawn": n_windows_drawn(model),
        "n_parameters": getattr(model, "n_parameters_", float("nan")),
        "device": getattr(getattr(model, "model", model), "device_", "cpu"),
    }


def n_windows_drawn(model):
    """Return the windows a network was shown in training, NaN for what has no network."""
    model = getattr(model, "model", model)
    if not hasattr(model, "net_"):
        return float("nan")
    if model.lr == UNTRAINED["lr"]:
        return 0.0
    per_epoch = model.trained_on_["n_recordings"] * model.windows_per_recording
    return float(len(model.history_) * per_epoch)


def _gaussian(**flags):
    """Return the line of a closed-form reconstructor."""

    def build(setting, seed):
        from sklearn_brainlm import GaussianReconstructor

        return GaussianReconstructor(
            scaler=None,
            window_length=setting.window_length,
            patch_length=setting.patch_length,
            short=setting.short,
            cross_spectra=True,
            **flags,
        )

    return Entry(build)


def brainlm(wrap=lambda model: model, **options):
    """Return the line of a BrainLMTransformer with these options beside its defaults."""

    def build(setting, seed):
        from sklearn_brainlm import BrainLMTransformer  # loads torch: only where it is asked for

        given = {
            "scaler": None,
            "parcel_coords": setting.parcel_coords,
            "t_r": setting.t_r,
            "window_length": setting.window_length,
            "patch_length": setting.patch_length,
            "short": setting.short,
            "random_state": seed,
        }
        # What is untrained stays so, whatever the epochs of the others.
        if setting.epochs is not None and "lr" not in options:
            given["max_epochs"] = setting.epochs
        return wrap(BrainLMTransformer(**{**options, **given}))

    return Entry(build, seeded=True)


METHODS = {
    "Mean": Entry(lambda setting, seed: MeanReconstructor()),
    GAUSSIAN: _gaussian(temporal=False, adaptive=False),
    "Space-time Gaussian": _gaussian(temporal=True, adaptive=False),
    "Adaptive Gaussian": _gaussian(temporal=False, adaptive=True),
    ADAPTIVE: _gaussian(temporal=True, adaptive=True),
    "Person oracle (other windows)": Entry(
        lambda setting, seed: PersonOracle(setting.patch_length)
    ),
    # Untrained and with a prior, BrainLM is its prior: that is the row of the closed gate.
    "BrainLM (random init)": brainlm(prior=None, **UNTRAINED),
    "BrainLM (paper's architecture)": brainlm(**{**PRESETS["13M"], **PAPER_SIZE}),
    # A window without the prior is ten times cheaper: as many epochs as cost the same here.
    "BrainLM (no prior)": brainlm(prior=None, max_epochs=150, **ONE_WINDOW_A_STEP),
    "BrainLM (gate held at zero)": brainlm(ClosedGate, prior="gaussian", **UNTRAINED),
    "BrainLM": brainlm(),
}
