"""Transformers pretrained on training sides, once for all rows of a table that start from them."""

import hashlib
import time
from pathlib import Path

import numpy as np
from _budget import name_budget
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_brainlm import BrainLMTransformer

SHOWN = 3000  # windows that pretraining shows at least, where nothing else is said


class Pretraining:
    """Pretrains on recordings, and remembers for which ones it did.

    Parameters
    ----------
    transformer : BrainLMTransformer
        What is pretrained, on a clone with the seed of the row.
    folder : path, optional
        Where weights are kept between runs. They hold what was learned from people: it is for the
        user to say where that may lie, and nowhere by default.
    """

    def __init__(self, transformer, folder=None):
        self.transformer = transformer
        self.folder = None if folder is None else Path(folder)
        self._known = {}

    def on(self, recordings, subjects, seed):
        """Return weights pretrained on recordings, and the CPU-seconds that they took."""
        digest = hashlib.sha256(repr((name_budget(self.transformer), seed)).encode())
        for recording in recordings:
            digest.update(np.ascontiguousarray(recording))
        key = digest.hexdigest()[:16]
        if key not in self._known:
            self._known[key] = self._load(key) or self._pretrain(key, recordings, subjects, seed)
        fitted, seconds = self._known[key]
        # Guards compare these names with those of the people who are tested.
        fitted.trained_on_ = {**fitted.trained_on_, "subjects": sorted(set(subjects))}
        return FrozenEstimator(fitted), seconds

    def _pretrain(self, key, recordings, subjects, seed):
        """Pretrain, and keep the weights where there is a folder."""
        began = time.process_time()
        model = clone(self.transformer).set_params(random_state=seed)
        if model.max_epochs is None:
            model.set_params(max_epochs=-(-SHOWN // len(recordings)))
        model.fit(recordings)
        seconds = time.process_time() - began
        print(
            f"Pretrained on {len(recordings)} recordings, {model.max_epochs} epochs: "
            f"{seconds:.1f} CPU-s.",
            flush=True,
        )
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            model.save_pretrained(self.folder / key)
            (self.folder / f"{key}.seconds").write_text(repr(seconds))
        return model, seconds

    def _load(self, key):
        """Return what an earlier run kept, None where there is nothing."""
        # The file of the seconds is written last: without it the weights may not be whole.
        if self.folder is None or not (self.folder / f"{key}.seconds").exists():
            return None
        model = BrainLMTransformer.from_pretrained(self.folder / key)
        return model, float((self.folder / f"{key}.seconds").read_text())
