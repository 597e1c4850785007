"""What workers need, imported and used once in the process that they are forked from.

Imports that wait for the first use would be waited for by every worker anew.
"""

import tempfile
import warnings
from pathlib import Path

from tqdm import tqdm
from training_run import make_model, make_recordings

from crashes import test_checkpoints, test_stores, test_training, test_weights

__all__ = ["test_checkpoints", "test_stores", "test_training", "test_weights"]

with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tqdm.monitor_interval = 0  # it would start a thread, beside which nothing forks safely
    model = make_model(Path(folder) / "run", max_epochs=2).fit(make_recordings())
    model.save_pretrained(Path(folder) / "own")
    test_weights.prepare("own", Path(folder))
    test_stores.build_in(Path(folder) / "store")
