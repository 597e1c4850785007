"""Several processes do what one does: train, resume, embed, and end together when one of them ends.

Not here: sums over GPUs, which want several of them; checkpoints of one process
(test_checkpoint.py); methods side by side on a cluster (test_evaluation.py).
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from command_line import TINY_OPTIONS, read_json, write_folder
from dask_cluster import two_workers
from distributed_run import N_RECORDINGS, PATIENT, fit, outcome
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from training_run import SMALL, make_recordings

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm._exchanges import (
    agree_on,
    check_same,
    gather_parts,
    in_first,
    join_numbers,
    largest,
    seed_step,
    sum_weighted,
)
from sklearn_brainlm._shares import SharedBatches, describe_steps, share_of
from sklearn_brainlm.batches import WindowBatches
from sklearn_brainlm.cli import main
from sklearn_brainlm.distributed import (
    ProcessGroupError,
    check_processes,
    n_processes,
    process_group,
    process_rank,
)
from sklearn_brainlm.grids import TokenGrid
from sklearn_brainlm.windows import WindowReader

HERE = Path(__file__).parent


def make_batches(n_windows=5):
    """Return batches of one step, masked at random."""
    recordings = make_recordings(n_windows)
    reader = WindowReader(
        recordings, np.float32, TokenGrid(4, 5), 20, lambda which: {"fold": which}
    )
    windows = np.column_stack([np.arange(n_windows), np.arange(n_windows)])
    drawn = {"masking": "random", "mask_ratio": 0.5, "decoded_fraction": 0.5, "seed": 0}
    return WindowBatches(reader, lambda epoch: [windows], **drawn)


def join(batches):
    """Put the shares of a batch together."""
    halves = zip(*batches, strict=True)
    return [{k: np.concatenate([each[k] for each in half]) for k in half[0]} for half in halves]


@pytest.mark.parametrize("n_windows", [0, 1, 2, 5, 64])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_shares_are_all_windows_once_and_alike(n_windows, n):
    shares = [np.arange(n_windows)[share_of(n_windows, rank, n)] for rank in range(n)]
    np.testing.assert_array_equal(np.concatenate(shares), np.arange(n_windows))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("reads_parts", [True, False])
def test_shares_of_a_batch_are_the_batch(n, reads_parts):
    batches = make_batches()
    whole = batches[0]
    shared = batches if reads_parts else [whole]
    joined = join([SharedBatches(shared, rank, n)[0] for rank in range(n)])
    for half, expected in zip(joined, whole, strict=True):
        assert list(half) == list(expected)
        for name, values in half.items():
            np.testing.assert_array_equal(values, expected[name])
            assert values.dtype == expected[name].dtype


def test_a_share_reads_its_own_windows_only(monkeypatch):
    batches, read = make_batches(), []
    reading = batches.reader.read
    monkeypatch.setattr(batches.reader, "read", lambda w: read.extend(w[:, 0]) or reading(w))
    shared = SharedBatches(batches, 1, 2)
    assert shared[0][1]["recording"].tolist() == read == [2, 3, 4]


def test_a_share_goes_through_the_epochs_of_all():
    batches = make_batches()
    shared = SharedBatches(batches, 0, 2)
    shared.next_epoch()
    assert batches.epoch == shared.epoch == 0
    shared.epoch = 4
    assert batches.epoch == 4
    assert len(shared) == 1
    other = make_batches()
    other.steps[0] = other.steps[0][::-1]
    assert describe_steps(batches) == describe_steps(make_batches()) != describe_steps(other)


def test_one_process_tells_nobody_and_knows_all():
    assert (n_processes(), process_rank()) == (1, 0)
    assert agree_on(3) == largest(3) == in_first(lambda: 3) == 3
    assert join_numbers([5, 2, 5]) == [2, 5]
    check_same("number", 3)
    rows = np.ones((2, 3), dtype=np.float32)
    assert gather_parts(rows, n_most=4)[0] is rows
    with process_group():
        assert not dist.is_initialized()


@pytest.fixture
def group_of_one():
    """A group that is one, so that the sums are really made."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_weighted_sums_are_means(group_of_one, weight):
    used, unused, frozen = (torch.nn.Parameter(torch.full((2, 2), 3.0)) for _ in range(3))
    frozen.requires_grad_(False)
    loss = (used**2).mean()
    loss.backward()
    found, counts = sum_weighted([used, unused, frozen], loss, weight, [5, True])
    assert float(found) == pytest.approx(9.0)
    assert counts == [5, 1]
    torch.testing.assert_close(used.grad, torch.full((2, 2), 1.5))
    assert unused.grad is None  # so that weight decay leaves it alone, as it does without a sum
    assert frozen.grad is None


def test_draws_of_a_step_are_a_function_of_its_place():
    with torch.random.fork_rng():
        draws = []
        for place in ((0, 1, 2), (0, 2, 1), (0, 1, 2)):
            seed_step(*place)
            draws.append(torch.rand(()).item())
    assert draws[0] == draws[2] != draws[1]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
    ],
)
def test_an_environment_that_cannot_be_is_refused(monkeypatch, environment, message):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ProcessGroupError, match=message), process_group():
        pass


def test_training_alone_is_refused_where_others_were_started(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ProcessGroupError, match="a group of 1"):
        fit(max_epochs=1)


def test_a_group_smaller_than_stated_is_refused(monkeypatch, group_of_one):
    check_processes()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ProcessGroupError, match="2 processes work together, .* a group of 1"):
        check_processes()


def run(*words, n=2):
    """Start processes by torchrun, wait for them, and return how they ended."""
    environment = {name: value for name, value in os.environ.items() if name != "WORLD_SIZE"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([*sys.path, str(HERE)])}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*launcher, "--nproc_per_node", str(n), *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )


start = partial(run, HERE / "distributed_run.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder that two processes trained in: "whole", "patient", ..."""
    folder = tmp_path_factory.mktemp("trained")
    ended = start("whole,patient,faulty,narrow", folder)
    assert ended.returncode == 0, ended.stderr
    return folder


def read(folder, rank=0):
    """Return the weights and the history that a process ended with."""
    weights = dict(np.load(folder / f"weights-{rank}.npz"))
    return weights, json.loads((folder / f"history-{rank}.json").read_text())


def without_noise(name, value):
    """Leave out the bias of attention's keys: no output depends on it, so Adam scales up noise."""
    return np.delete(value.reshape(3, -1), 1, axis=0) if name.endswith("qkv.bias") else value


@pytest.mark.slow
@pytest.mark.parametrize(("task", "parameters"), [("whole", {}), ("patient", PATIENT)])
def test_two_processes_learn_what_one_learns(trained, task, parameters):
    weights, rows = read(trained / task)
    model = fit(**parameters)
    expected, expected_rows = outcome(model)
    if task == "patient":
        assert 1 < len(rows) < PATIENT["max_epochs"]  # stopped early, both at once
    assert [row.keys() for row in rows] == [row.keys() for row in expected_rows]
    for row, other in zip(rows, expected_rows, strict=True):
        for name, value in row.items():
            assert value == (None if value is None else pytest.approx(other[name], rel=1e-5))
    assert list(weights) == list(expected)
    for name, value in weights.items():
        # Adam divides by the size of gradients, so the smallest of them carry the most noise.
        np.testing.assert_allclose(
            *(without_noise(name, each) for each in (value, expected[name])), rtol=1e-5, atol=1e-5
        )
    features = model.transform(make_recordings())
    model.net_.set_weights(weights)
    np.testing.assert_allclose(model.transform(make_recordings()), features, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["whole", "patient", "faulty", "narrow"])
def test_processes_end_with_the_same_bits(trained, task):
    (weights, rows), (others, other_rows) = (read(trained / task, rank) for rank in range(2))
    assert rows == other_rows
    assert all(np.array_equal(value, others[name]) for name, value in weights.items())


@pytest.mark.slow
def test_an_epoch_sees_each_recording_once(trained):
    seen = [read_json(trained / "whole" / f"seen-{rank}.json") for rank in range(2)]
    assert len(seen[0]["epochs"]) == SMALL["max_epochs"]
    for epoch in zip(*(each["epochs"] for each in seen), strict=True):
        assert all(epoch)  # each process has a share
        trained_on = sum(epoch, [])
        assert sorted([*trained_on, *seen[0]["held_out"]]) == list(range(N_RECORDINGS))


@pytest.mark.slow
def test_killed_and_terminated_it_resumes_in_the_same_bits(trained, tmp_path):
    ended = start("killed", tmp_path)
    assert ended.returncode != 0
    assert "cannot go on without the others" in ended.stderr
    saved = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
    assert saved == ["step-000000002", "step-000000004"]
    assert start("terminated", tmp_path).returncode != 0
    # The signal came to one of them, in the fifth step since; both followed it after the next.
    assert [(tmp_path / f"code-{rank}").read_text() for rank in range(2)] == ["143", "143"]
    assert (tmp_path / "checkpoints" / "step-000000010").is_dir()
    ended = start("narrow", tmp_path)
    assert ended.returncode == 0, ended.stderr
    (weights, rows), (expected, expected_rows) = read(tmp_path), read(trained / "narrow")
    assert rows == expected_rows
    assert all(np.array_equal(value, expected[name]) for name, value in weights.items())


@pytest.mark.slow
def test_an_error_in_one_ends_both(tmp_path):
    ended = start("failing", tmp_path)
    assert ended.returncode != 0
    assert "this one fails" in ended.stderr
    assert not list(tmp_path.glob("weights*"))


@pytest.mark.slow
def test_pretrain_and_embed_with_two_processes(tmp_path):
    folder = write_folder(tmp_path / "recordings")
    command = ("-m", "sklearn_brainlm.cli")
    words = ["pretrain", folder, tmp_path / "weights", *TINY_OPTIONS, "--test-fraction", "0.25"]
    ended = run(*command, *words)
    assert ended.returncode == 0, ended.stderr
    assert "2 processes train together" in ended.stderr
    assert ended.stdout.count("R2 of what was masked") == 1
    assert main([*map(str, words[:2]), str(tmp_path / "alone"), *words[3:]]) == 0
    said, alone = (read_json(tmp_path / name / "provenance.json") for name in ("weights", "alone"))
    for name, values in alone["masked_r2"].items():
        np.testing.assert_allclose(said["masked_r2"][name], values, rtol=1e-4, atol=1e-6)
    words = ["embed", tmp_path / "weights", folder, tmp_path / "shared.tsv", "--batch", "5"]
    ended = run(*command, *words, "--pooling", "mean")
    assert ended.returncode == 0, ended.stderr
    assert main([*map(str, words[:3]), str(tmp_path / "one.tsv"), "--pooling", "mean"]) == 0
    shared, one = (pd.read_csv(tmp_path / name, sep="\t") for name in ("shared.tsv", "one.tsv"))
    pd.testing.assert_frame_equal(shared, one, rtol=1e-5)
    assert shared["recording"].tolist() == sorted(shared["recording"])
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted(
        ["alone", "one.json", "one.tsv", "recordings", "shared.json", "shared.tsv", "weights"]
    )


@pytest.mark.slow
def test_grid_search_runs_on_a_cluster():
    recordings, y = make_recordings(12), np.arange(12.0)
    model = make_pipeline(BrainLMTransformer(**{**SMALL, "max_epochs": 2}), Ridge())
    grid = {"brainlmtransformer__patch_length": [4, 5], "ridge__alpha": [1.0, 10.0]}
    search = GridSearchCV(model, grid, cv=3, refit=False)
    here = search.fit(recordings, y).cv_results_["mean_test_score"]
    with two_workers():
        there = search.set_params(n_jobs=-1).fit(recordings, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(there, here)
