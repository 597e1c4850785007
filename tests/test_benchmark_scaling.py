"""The benchmark of scaling curves: budgets of windows, what is written, what is said of it."""

import pandas as pd
import pytest
from benchmark_folders import import_script, write_folder

scaling = import_script("scaling")

SMALL = ["--window-length", "40", "--patch-length", "10"]


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "people", [f"sub-{i:02}" for i in range(12)])


def test_networks_are_shown_as_many_windows_of_few_recordings_as_of_many(folder, tmp_path):
    options = scaling._read_options(
        ["--recordings", str(folder), "--windows", "40", "--windows-with-prior", "16", *SMALL]
    )
    epochs = {
        size: {
            name: method.max_epochs
            for name, method in scaling.make_methods(size, None, options).items()
            if name.startswith("BrainLM")
        }
        for size in (4, 8)
    }
    assert epochs[4] == {"BrainLM": 4, **dict.fromkeys(scaling.WIDTHS, 10)}
    assert epochs[8] == {"BrainLM": 2, **dict.fromkeys(scaling.WIDTHS, 5)}


def test_the_run_is_written_and_goes_on(folder, tmp_path, capsys):
    output = tmp_path / "results"
    given = ["--recordings", str(folder), "--output", str(output), *SMALL]
    given += ["--windows", "4", "--windows-with-prior", "4", "--sizes", "2", "4"]
    scaling.main(given)
    measured = capsys.readouterr().out.count("seed 0: R2")
    assert measured == 2 * (2 + 1 + len(scaling.WIDTHS))
    scaling.main(given)
    assert "seed 0: R2" not in capsys.readouterr().out
    page = (output / "scaling_people.md").read_text()
    tidy = pd.read_csv(output / "scaling_people.csv")
    assert len(tidy) == measured
    row = tidy[(tidy["method"] == "Gaussian") & (tidy["n_train"] == 4)].iloc[0]
    assert f"| Gaussian | 4 |  | {row['value']:.4f} [" in page
    assert (output / "scaling_people.png").stat().st_size > 10_000


def test_the_page_names_the_best_row_of_each_size():
    curve = pd.DataFrame(
        {
            "method": ["Gaussian", "BrainLM", "Gaussian", "BrainLM"],
            "n_recordings": [8, 8, 16, 16],
            "n_parameters": [float("nan"), 10.0] * 2,
            "r2": [0.2, 0.1, 0.3, 0.4],
        }
    )
    said = " ".join(scaling.read_curve(curve))
    assert "With 8 recordings a simple row is best: Gaussian, 0.2000" in said
    assert "With 16 recordings BrainLM is best: BrainLM, 0.4000; best simple row 0.3000" in said
    assert "BrainLM: +0.3000 from 8 to 16 recordings" in said
