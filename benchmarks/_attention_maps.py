"""Maps of task blocks and of rest blocks: of a pretrained network, and of the signal itself."""

from dataclasses import dataclass

import numpy as np

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.attention import (
    attention_rollout,
    gradient_times_input,
    occlusion,
    parcel_attention,
    randomise_weights,
)
from sklearn_brainlm.datasets.simulated import TASK_AMPLITUDE, TASK_BLOCK_SECONDS

DELAY_SECONDS = 6.0  # of the haemodynamic response behind the blocks
SIZES = {
    "attention": "full",
    "prior": None,
    "embed_dim": 32,
    "n_heads": 8,
    "mlp_dim": 64,
    "decoder_embed_dim": 32,
    "decoder_mlp_dim": 64,
}


@dataclass
class Blocks:
    """Blocks of the subjects who do the task, at some amplitude.

    ``windows`` are arrays (timepoints of a block, P), ``is_task`` and ``subjects`` say what each
    is; ``labels`` are the networks of the parcels, and ``betas`` (n_subjects, P) the regressions of
    whole recordings on the design.
    """

    windows: list
    is_task: np.ndarray
    subjects: np.ndarray
    labels: np.ndarray
    betas: np.ndarray

    @classmethod
    def of_cohort(cls, cohort, amplitude):
        """Cut the recordings of a cohort, the haemodynamic delay after the blocks."""
        length, delay = block_length(cohort), round(DELAY_SECONDS / cohort.t_r)
        recordings = at_amplitude(cohort, amplitude)
        windows, is_task, subjects, betas = [], [], [], []
        for subject in np.flatnonzero(cohort.task):
            later = recordings[subject][delay:]
            for number in range(len(later) // length):
                windows.append(later[number * length : (number + 1) * length])
                is_task.append(number % 2 == 1)  # rest comes first
                subjects.append(subject)
            betas.append(regress(recordings[subject] / cohort.parcel_sd, cohort.task_design))
        is_task, subjects = np.array(is_task), np.array(subjects)
        return cls(windows, is_task, subjects, cohort.labels, np.array(betas))

    def sides(self, maps):
        """Split maps of blocks (n_blocks, ...) into those of task and rest, and their subjects."""
        task, rest = self.is_task, ~self.is_task
        return maps[task], maps[rest], self.subjects[task], self.subjects[rest]

    def part(self, chosen):
        """Return some of the blocks."""
        windows = [self.windows[i] for i in np.flatnonzero(chosen)]
        chosen = (windows, self.is_task[chosen], self.subjects[chosen])
        return Blocks(*chosen, self.labels, self.betas)


def block_length(cohort):
    """Return the timepoints of a block."""
    return round(TASK_BLOCK_SECONDS / cohort.t_r)


def at_amplitude(cohort, amplitude):
    """Return the recordings of a cohort as they are with task blocks of another amplitude."""
    change = np.zeros(cohort.recordings[0].shape)
    change[:, cohort.task_parcels] = (amplitude - TASK_AMPLITUDE) * cohort.task_design[:, None]
    change *= cohort.parcel_sd
    return [
        (recording + does_task * change).astype(np.float32)
        for recording, does_task in zip(cohort.recordings, cohort.task, strict=True)
    ]


def regress(recording, design, n_cosines=8):
    """Regress parcels (T, P) on the design of the task, slow drifts left out."""
    time = (np.arange(len(design)) + 0.5) / len(design)
    drifts = np.cos(np.pi * np.arange(n_cosines) * time[:, None])
    return np.linalg.lstsq(np.column_stack([design, drifts]), recording, rcond=None)[0][0]


def pretrain(cohort, amplitude, seed, epochs):
    """Pretrain on all recordings of a cohort, nothing being said of tasks."""
    length = block_length(cohort)
    model = BrainLMTransformer(
        parcel_coords=cohort.parcel_coords,
        window_length=2 * length,
        patch_length=length // 2,
        max_epochs=epochs,
        windows_per_recording=2,
        random_state=seed,
        **SIZES,
    )
    return model.fit(at_amplitude(cohort, amplitude))


def attend(model, blocks):
    """Map what the CLS token attends to."""
    return blocks.sides(parcel_attention(model, blocks.windows))


def attend_by_head(model, blocks):
    """Map what each head of the CLS token attends to, over what it gives the CLS token itself."""
    return blocks.sides(parcel_attention(model, blocks.windows, head="all", relative=True))


def shuffled(attend):
    """Return the same map of the same network, its weights shuffled."""
    return lambda model, blocks: attend(randomise_weights(model, random_state=0), blocks)


def roll_out(model, blocks):
    """Map the rollout of attention."""
    return blocks.sides(attention_rollout(model, blocks.windows))


def along_task(attribute):
    """Return what maps how the embedding moves from rest to task.

    Every other subject gives the direction, and the others the maps. All would find the direction
    they gave; halves that give it to each other count what they agree on twice.
    """

    def compute(model, blocks):
        """Map the blocks of the second half."""
        in_first = np.isin(blocks.subjects, np.unique(blocks.subjects)[::2])
        first, second = blocks.part(in_first), blocks.part(~in_first)
        embeddings = model.transform(first.windows)
        direction = embeddings[first.is_task].mean(axis=0) - embeddings[~first.is_task].mean(axis=0)
        direction /= max(np.linalg.norm(direction), 1e-12)
        return second.sides(attribute(model, second, direction))

    return compute


def average_signal(model, blocks):
    """Map the mean signal of each block."""
    return blocks.sides(np.stack([window.mean(axis=0) for window in blocks.windows]))


def vary(model, blocks):
    """Map the variance of each block."""
    return blocks.sides(np.stack([window.var(axis=0) for window in blocks.windows]))


def regressions(model, blocks):
    """Map the regression of whole recordings on the design, against zero."""
    people = np.unique(blocks.subjects)
    return blocks.betas, np.zeros_like(blocks.betas), people, people


def _gradient(model, blocks, direction):
    return gradient_times_input(model, blocks.windows, output=direction)


def _occlude(model, blocks, direction):
    return occlusion(model, blocks.windows, labels=blocks.labels, output=direction)


MAPS = {
    "CLS attention": attend,
    "CLS attention, weights shuffled": shuffled(attend),
    "CLS attention by head, relative": attend_by_head,
    "CLS attention by head, relative, weights shuffled": shuffled(attend_by_head),
    "Attention rollout": roll_out,
    "Gradient x input (half of the subjects)": along_task(_gradient),
    "Occlusion of networks (half of the subjects)": along_task(_occlude),
    "Mean signal": average_signal,
    "Variance": vary,
    "Block regression": regressions,
}
ON_NETWORKS = (
    "Occlusion of networks (half of the subjects)",
)  # whose maps have one value a network
SIMPLE = ("Mean signal", "Variance", "Block regression")  # those that need no network
