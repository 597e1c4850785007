"""Exports of weights that are killed: the former or the new ones are read, and nothing else.

Each export is of a generation, whose number is in config.json and in the arrays.
"""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from released_files import write_checkpoint
from test_official import BRAINLM, COORDS
from training_run import make_model, make_recordings

from crashes import killing
from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.files.checked import read_json
from sklearn_brainlm.weight_files import read_safetensors
from sklearn_brainlm.weights import load_weights

KINDS = ["own", "released"]
NAMES = ["README.md", "config.json", "model.safetensors"]


@pytest.fixture(params=KINDS)
def kind(request):
    """The format of the weights."""
    return request.param


@pytest.fixture(scope="module")
def begun():
    """A folder of weights of each kind, which anybody may read, to begin exports with."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_model(max_epochs=1).fit(make_recordings()).save_pretrained(folder / "own")
        write_checkpoint(folder / "released", BRAINLM, seed=3)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)
        yield folder


def read(kind, folder):
    """Read a folder; return the generation of its configuration and that of its arrays."""
    if kind == "own":
        model = BrainLMTransformer.from_pretrained(folder)
        config, module = int(model.lr), model.net_.module_
    else:
        weights = load_weights(folder, parcel_coords=COORDS)
        config, module = int(weights.config["_name_or_path"]), weights.module
    (found,) = {value for w in module.parameters() for value in w.detach().unique().tolist()}
    return config, int(found)


def prepare(kind, begun):
    """Return a function that exports a generation into a folder."""
    if kind == "own":
        model = BrainLMTransformer.from_pretrained(begun / kind)
        module, export = model.net_.module_, model.save_pretrained
    else:
        weights = load_weights(begun / kind, parcel_coords=COORDS)
        module, export = weights.module, weights.export_official

    def write(generation, folder):
        with torch.no_grad():
            for weight in module.parameters():
                weight.fill_(generation)
        if kind == "own":
            model.set_params(lr=float(generation))
        else:
            weights.config["_name_or_path"] = str(generation)
        export(folder)

    return write


def export_on(say, kind, begun, folder, first, step=1, n_exports=None, pause=0.0):
    """Export one generation after another."""
    write = prepare(kind, begun)
    killing.say_calls(say)
    for number in range(n_exports or 10**6):
        generation = first + step * number
        say("begun", generation)
        write(generation, folder)
        say("ended")
        say("saved", generation)
        time.sleep(pause)


def read_strangely(folder):
    """Read a released folder as somebody does who knows only the final names."""
    config = folder / "config.json"
    if not config.exists():
        return None
    arrays, _ = read_safetensors(folder / "model.safetensors")
    drawn = [v for k, v in arrays.items() if k.endswith("patch_embeddings.projection.weight")]
    drawn = drawn or [v for k, v in arrays.items() if "embedding_projection.weight" in k]
    return int(read_json(config)["_name_or_path"]), int(drawn[0].flat[0])


def test_killed(tmp_path, start, begun, kind):
    folder, last = tmp_path / "weights", 0
    prepare(kind, begun)(last := 1, folder)

    def check(worker):
        nonlocal last
        config, arrays = read(kind, folder)
        saved = max([last, *worker.values("saved")])
        assert config == arrays
        assert saved <= config <= max([last, *worker.values("begun")])
        if kind == "released":
            found = read_strangely(folder)
            assert found is None or found[0] == found[1]
        last = config

    def begin(die_at):
        return start(export_on, kind, begun, folder, last + 1, die_at=die_at)

    counts = killing.kill_often(f"weights, {kind}", begin, check, max_events=60)
    assert counts["inside a write"] > killing.N_KILLS / 2
    prepare(kind, begun)(last + 1, folder)
    assert read(kind, folder) == (last + 1, last + 1)
    assert sorted(path.name for path in folder.iterdir()) == NAMES  # nothing that was left behind


def test_killed_at_every_call(tmp_path, start, begun, kind):
    """Wherever an export over a former one is killed: also between any two of its names."""
    for die_at in range(100):
        folder = tmp_path / str(die_at)
        prepare(kind, begun)(1, folder)
        worker = start(export_on, kind, begun, folder, 2, 1, 1, die_at=die_at)
        ended = worker.wait()
        found = read(kind, folder)
        assert found in ([(2, 2)] if worker.values("saved") else [(1, 1), (2, 2)])
        if not ended:
            break
    assert die_at > 10 and found == (2, 2)
    killing.tally[f"weights, {kind}"]["killed at each call in turn"] += die_at


def test_first_export_killed(tmp_path, start, begun, kind):
    """Of a first export, all is read or nothing."""
    for die_at in range(100):
        folder = tmp_path / str(die_at)
        worker = start(export_on, kind, begun, folder, 2, 1, 1, die_at=die_at)
        ended = worker.wait()
        if worker.values("saved"):
            assert read(kind, folder) == (2, 2)
        else:
            try:
                assert read(kind, folder) == (2, 2)
            except OSError as error:
                assert "config.json" in str(error) or "neither a folder" in str(error)
        if not ended:
            return
    pytest.fail("no export came to its end")


def test_nearly_full(disk, begun, kind):
    folder, write = disk / "weights", prepare(kind, begun)
    write(1, folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    last, n_refused = 1, 0
    for room in np.linspace(0, 2 * size + 65536, 24).astype(int):
        filler = killing.fill(disk, int(room))
        try:
            write(last + 1, folder)
        except OSError as error:
            assert "space" in str(error)
            n_refused += 1
            assert read(kind, folder) in [(last, last), (last + 1, last + 1)]
            last = read(kind, folder)[0]
        else:
            last += 1
            assert read(kind, folder) == (last, last)
        filler.unlink(missing_ok=True)
    write(last + 1, folder)
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert 0 < n_refused < 24
    killing.tally[f"weights, {kind}"]["refused for lack of room"] += n_refused


def test_turns_read_only(open_folder, start, begun, kind):
    rng, last = np.random.default_rng(0), 1
    prepare(kind, begun)(last, open_folder)
    os.chmod(open_folder, 0o777)
    n_begun = 0
    for _ in range(8):
        worker = start(export_on, kind, begun, open_folder, last + 1, is_nobody=True)
        worker.listen(int(rng.integers(1, 40)))
        killing.close_folder(open_folder)
        assert worker.wait() == 0
        (failed,) = worker.values("failed")
        assert failed[1] and "ermission" in failed[2], failed
        config, arrays = read(kind, open_folder)
        assert config == arrays
        begun_last = max([last, *worker.values("begun")])
        assert max([last, *worker.values("saved")]) <= config <= begun_last
        last = config
        killing.open_again(open_folder)
        n_begun += bool(worker.values("begun"))
    assert n_begun
    killing.tally[f"weights, {kind}"]["folders closed"] += n_begun


def test_two_writers(tmp_path, start, begun, kind):
    """Both say that they have saved, and whoever reads meanwhile finds one of them whole."""
    folder, n_exports = tmp_path / "weights", 25
    prepare(kind, begun)(1, folder)
    given = [(kind, begun, folder, first, 2, n_exports, 0.01) for first in (2, 3)]
    workers = [start(export_on, *args) for args in given]
    n_read = 0
    while any(worker.process.is_alive() for worker in workers):
        config, arrays = read(kind, folder)
        assert config == arrays
        n_read += 1
        for worker in workers:
            while worker._reader.poll():
                try:
                    worker.said.append(worker._reader.recv())
                except EOFError:
                    break
    assert [worker.wait() for worker in workers] == [0, 0]
    assert not [worker.values("failed") for worker in workers if worker.values("failed")]
    assert [len(worker.values("saved")) for worker in workers] == [n_exports] * 2
    assert read(kind, folder) in [(n, n) for n in (2 * n_exports, 2 * n_exports + 1)]
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert n_read > 5
    killing.tally[f"weights, {kind}"]["read beside two writers"] += n_read
