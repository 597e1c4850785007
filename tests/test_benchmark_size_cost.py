"""The script that measures cost against size, and the one for the loop, with next to no work.

Not here: the costs themselves, which only a run of the benchmarks can show.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from benchmark_folders import import_script

script = import_script("size_cost")
loop = import_script("loop_overhead")


def make_cells(exponents=(2.0, 1.5, 1.0)):
    """Cells whose cost is a power of the tokens, one of which was left out."""
    rows = [
        (variant, n_parcels, 100, 5 * n_parcels, number, 1.0, (5 * n_parcels) ** power, 0.8)
        for variant, power in zip(script.VARIANTS, exponents, strict=True)
        for n_parcels in (100, 200, 424)
        for number in range(2)
    ]
    rows.append((script.VARIANTS[0], 1000, 100, 5000, 0, 1e4, np.nan, np.nan))
    return pd.DataFrame(rows, columns=script.CELL_COLUMNS)


def test_exponents_are_those_of_the_power():
    found = script.exponents_of(make_cells())
    for variant, exponent in zip(script.VARIANTS, (2.0, 1.5, 1.0), strict=True):
        assert found[variant]["all sizes"] == pytest.approx(exponent)


def test_operations_follow_the_size():
    """Twice the tokens: more than twice the operations, less than four times."""
    for variant in script.VARIANTS:
        small, large = (script.count_operations(variant, n, 200) for n in (100, 200))
        assert 2 * small < large < 4 * small
    assert [cell[0] for cell in script.list_cells((20, 40), (40,))] == sorted(
        cell[0] for cell in script.list_cells((40, 20), (40,))
    )


def test_page_and_rows_say_what_was_left_out():
    cells = make_cells()
    page = script.write_page(cells, 22, 4)
    assert "left out, 10,000 GFLOP" in page
    assert "full decoder: 2.00 (all sizes)" in page
    rows = script.make_rows(cells)
    left_out = rows[rows["setting"].str.startswith("1000") & rows["metric"].str.startswith("CPU")]
    assert left_out["value"].isna().all() and len(left_out) == 1
    assert len(script.plot(cells).axes[0].get_legend().get_texts()) == 3 + 4


def test_script_measures_what_fits_the_budget(tmp_path, monkeypatch):
    preset = {**script.PRESETS["13M"], "embed_dim": 16, "n_heads": 2, "mlp_dim": 16, "depth": 1}
    preset |= {"decoder_embed_dim": 16, "decoder_n_heads": 2, "decoder_mlp_dim": 16}
    monkeypatch.setitem(script.PRESETS, "13M", preset)
    for name, value in {"N_PARCELS": (4, 6), "N_TIMEPOINTS": (40, 60), "GEMM_SIZE": 64}.items():
        monkeypatch.setattr(script, name, value)
    costs = sorted(cell[0] for cell in script.list_cells((4, 6), (40, 60)))
    budget = str((costs[-1] + costs[-2]) / 2 / script.RATE)  # all but the dearest
    script.main(["--output", str(tmp_path), "--repeats", "1", "--step-seconds", budget])
    rows = pd.read_csv(tmp_path / "size_cost.csv")
    seconds = rows[rows["metric"] == "CPU-s per recording"].set_index("setting")
    assert len(seconds) == 12 and seconds["value"].isna().sum() == 1
    assert seconds["value"].isna()["6 parcels, 60 timepoints, 18 tokens"].any()
    assert (tmp_path / "size_cost.png").stat().st_size > 1000
    assert "left out" in (tmp_path / "size_cost.md").read_text()


def test_both_loops_take_steps():
    """Each changes a network of its own, and no loop is quick because it does nothing."""
    loops = loop.make_loops(loop.make_batches(5))
    for run in loops.values():
        owned = [cell.cell_contents for cell in run.__closure__]
        (network,) = (
            getattr(each, "module_", each)
            for each in owned
            if isinstance(getattr(each, "module_", each), torch.nn.Module)
        )
        before = network.map.weight.detach().clone()
        run()
        assert (network.map.weight != before).any()


def test_overhead_is_the_difference_of_each_round(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "N_STEPS", 3)
    spent = {"ReconstructionNet": np.array([2.0, 5.0, 3.0]), "bare PyTorch": np.array([1, 4, 1.0])}
    rows = loop.make_rows(spent)
    assert rows[-1]["value"] == 1.0
    assert "1.00 ms more" in loop.write_page(rows) and "**MISSED**" in loop.write_page(rows)
    milliseconds = loop.measure(2, n_steps=3)
    assert all(len(each) == 2 and (each > 0).all() for each in milliseconds.values())
