"""The benchmark of attention contrasts: what is cut, what is scored, and what is written."""

import numpy as np
import pandas as pd
import pytest
from benchmark_folders import import_script
from sklearn.utils import Bunch

from sklearn_brainlm.datasets import make_cohort
from sklearn_brainlm.datasets.simulated import TASK_AMPLITUDE

_maps = import_script("_attention_maps")
attention_power = import_script("attention_power")


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(8, 100, atlas=24, random_state=0)


def test_amplitudes_are_those_of_the_task_alone(cohort):
    same = _maps.at_amplitude(cohort, TASK_AMPLITUDE)
    without = _maps.at_amplitude(cohort, 0.0)
    for recording, one, none, task in zip(
        cohort.recordings, same, without, cohort.task, strict=True
    ):
        np.testing.assert_allclose(one, recording, atol=1e-6)
        peak = (recording - none).max(axis=0) / cohort.parcel_sd
        expected = np.zeros(24)
        expected[cohort.task_parcels] = TASK_AMPLITUDE * task * cohort.task_design.max()
        np.testing.assert_allclose(peak, expected, atol=1e-4)


def test_blocks_follow_the_design(cohort):
    """With nothing but the task in recordings, task blocks are high and rest blocks low."""
    only = Bunch(**cohort)
    only.recordings = [
        (task * np.outer(cohort.task_design, np.isin(np.arange(24), cohort.task_parcels)))
        for task in cohort.task
    ]
    only.parcel_sd = np.ones(24)
    blocks = _maps.Blocks.of_cohort(only, TASK_AMPLITUDE)
    task, rest, task_subjects, rest_subjects = _maps.average_signal(None, blocks)
    assert task[:, cohort.task_parcels].min() > 0.7
    assert rest[:, cohort.task_parcels].max() < 0.3
    assert set(task_subjects) == set(rest_subjects) == set(np.flatnonzero(cohort.task))
    np.testing.assert_allclose(blocks.betas[:, cohort.task_parcels], 1, atol=1e-6)


def test_scores_say_what_was_found_where(cohort):
    rng = np.random.default_rng(0)
    rest, task = rng.standard_normal((2, 10, 24))
    task[:, cohort.task_parcels] += 5
    people = np.arange(10)
    for level in attention_power.LEVELS:
        row = attention_power.score((task, rest, people, people), cohort, level, "x", 500, 0)
        assert (row["exactly"], row["anything"], row["false"]) == (1, 1, 0)
        assert row["part_found"] == 1
        task_elsewhere = task + 5
        row = attention_power.score(
            (task_elsewhere, rest, people, people), cohort, level, "x", 500, 0
        )
        assert (row["exactly"], row["found"], row["false"]) == (0, 1, 1)


@pytest.mark.slow
def test_table_page_and_figure(tmp_path, capsys):
    attention_power.main(
        "--seeds 0 --amplitudes 0 0.3 --n-subjects 8 --n-timepoints 70 --atlas 16 --epochs 1 "
        f"--permutations 50 --output {tmp_path}".split()
    )
    table = pd.read_csv(tmp_path / "attention_power.csv")
    assert set(table["method"]) == set(attention_power.MAPS)
    assert table["value"].between(0, 1).all()
    page = (tmp_path / "attention_power.md").read_text()
    assert page.strip() in capsys.readouterr().out
    assert "## Parcels" in page
    assert (tmp_path / "attention_power.png").stat().st_size > 1000
