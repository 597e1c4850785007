"""How fast a GPU pretrains the models of the article, beside its own matrix product.

    python benchmarks/gpu.py [--output DIR] [--presets 13M 111M 650M] [--seconds N]

needs a CUDA device, PyTorch, skorch and this package, and no recordings: they are random. Each
preset is trained by BrainLMTransformer.fit, so what is timed is the loop that users run: masks
drawn, windows cut on the device, forward, backward, clipping and step in bf16. The rate of a bf16
matrix product is measured in the same process. On a machine without CUDA it says so and exits with
1; --device cpu tries the script out, on tiny networks.

Writes DIR/gpu.csv and DIR/gpu.md: recordings a second, share of the matrix product, memory, and
GPU-hours of the article's 100 epochs of 61,038 recordings at that rate.
"""

import argparse
import csv
import sys
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _costs import COLUMNS
from _flops import forward_flops
from skorch.callbacks import Callback

from sklearn_brainlm import PRESETS, BrainLMTransformer
from sklearn_brainlm.callbacks import NoMoreProgress
from sklearn_brainlm.masking import n_masked_tokens

N_PARCELS, N_TIMEPOINTS, MASK_RATIO = 424, 490, 0.75
EPOCHS, RECORDINGS = 100, 61_038  # of the article
GEMM_SIZE, N_GEMM = 8192, 20
WARM_UP = 5  # steps that are not timed
# What is trained beside the released form of the 13M model.
VARIANTS = {
    "13M": {"13M": {}, "13M, cross decoder, a quarter decoded": {
        "decoder": "cross", "decoded_fraction": 0.25}},
}  # fmt: skip
TINY = {
    "embed_dim": 16, "depth": 1, "n_heads": 2, "mlp_dim": 16, "decoder_embed_dim": 16,
    "decoder_depth": 1, "decoder_n_heads": 2, "decoder_mlp_dim": 16,
}  # fmt: skip


class Timer(Callback):
    """Time whole epochs behind the warm-up, without asking the device in between."""

    def __init__(self, seconds, device):
        self.seconds = seconds
        self.device = device

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Nothing has been timed."""
        self.n_steps, self.n_windows, self.began = 0, 0, None

    def on_batch_end(self, net, batch=None, training=False, **kwargs):
        """Count a step."""
        self.n_steps += 1
        self.n_windows += len(batch[1]["recording"])

    def on_epoch_end(self, net, **kwargs):
        """Start the clock when the loop is warm; stop training when there was time enough."""
        wait(self.device)
        if self.began is None:
            if self.n_steps >= WARM_UP:
                self.began, self.n_windows = time.perf_counter(), 0
            return
        self.elapsed = time.perf_counter() - self.began
        if self.elapsed >= self.seconds:
            raise NoMoreProgress


def main(arguments=None):
    """Measure every preset; return the exit status."""
    options = _read_options(arguments)
    device = options.device
    if device == "cuda" and not torch.cuda.is_available():
        print("No CUDA device is available here: nothing was measured.", file=sys.stderr)
        return 1
    rate = matrix_rate(device, options.gemm_size)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU, to try the script out"
    precision = "bf16" if device == "cuda" else "fp32"
    print(f"{name}: {rate / 1e12:.4g} TFLOP/s in a {precision} matrix product", flush=True)
    rows = []
    for preset in options.presets:
        for label, changes in VARIANTS.get(preset, {preset: {}}).items():
            rows.append(measure(label, {**PRESETS[preset], **changes}, rate, options))
            print(_line(rows[-1]), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    write(rows, rate, name, options)
    return 0


def matrix_rate(device, size):
    """Return the FLOP a second of a square matrix product, the median of some."""
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    matrix = torch.randn(size, size, device=device, dtype=kind)
    seconds = []
    for _ in range(N_GEMM):
        wait(device)
        began = time.perf_counter()
        matrix @ matrix
        wait(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / median(seconds[N_GEMM // 4 :])


def measure(label, parameters, rate, options):
    """Train for some seconds; return what came of it."""
    if options.device == "cpu":
        parameters = {**parameters, **TINY}
    rng = np.random.default_rng(0)
    n_parcels = options.n_parcels
    recordings = [
        rng.standard_normal((N_TIMEPOINTS, n_parcels), dtype=np.float32)
        for _ in range(options.recordings)
    ]
    timer = Timer(options.seconds, options.device)
    net_params = {"callbacks": [("timer", timer)]}
    if options.compile:
        net_params["compile"] = True
    model = BrainLMTransformer(
        **parameters,
        parcel_coords=rng.uniform(-60, 60, (n_parcels, 3)),
        scaler=None,
        mask_ratio=MASK_RATIO,
        batch_size=options.batch_size,
        validation_fraction=0.0,
        max_epochs=10_000,
        device=options.device,
        net_params=net_params,
        random_state=0,
    )
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model.fit(recordings)
    per_second = timer.n_windows / timer.elapsed
    flops = 3 * window_flops(model)
    peak = torch.cuda.max_memory_allocated() / 1e9 if options.device == "cuda" else np.nan
    return {
        "label": label,
        "recordings_per_second": per_second,
        "share": per_second * flops / rate,
        "gigaflops": flops / 1e9,
        "parameters": model.n_parameters_,
        "peak_gb": peak,
        "hours": EPOCHS * RECORDINGS / per_second / 3600,
        "n_windows": timer.n_windows,
    }


def window_flops(model):
    """Count the matrix products of one window's way through the network."""
    grid = model._grid
    n_columns = grid.n_columns(model.window_length)
    n_tokens = grid.n_tokens(model.window_length)
    n_masked = n_masked_tokens(n_tokens, MASK_RATIO)
    return forward_flops(
        model.get_params(),
        n_parcels=model.n_parcels_,
        n_timepoints=n_columns * model.patch_length,
        n_visible=n_tokens - n_masked,
        n_decoded=max(1, round(model.decoded_fraction * n_masked)),
    )


def wait(device):
    """Wait until the device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


def write(rows, rate, name, options):
    """Write the tidy table and the page."""
    metrics = {
        "recordings_per_second": "recordings_per_second",
        "share": "share_of_matrix_product",
        "peak_gb": "peak_memory_gb",
        "hours": "gpu_hours_of_100_epochs",
    }
    with open(options.output / "gpu.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for row in rows:
            for key, metric in metrics.items():
                table.writerow(
                    {
                        "benchmark": "gpu",
                        "task": "pretraining",
                        "method": row["label"],
                        "setting": f"device={name}; batch_size={options.batch_size}",
                        "metric": metric,
                        "value": f"{row[key]:.6g}",
                        "n_train": row["n_windows"],
                        "seed": 0,
                    }
                )
    lines = [
        "# Pretraining on a GPU",
        f"{name}, {rate / 1e12:.4g} TFLOP/s in a matrix product of its own. Windows of "
        f"{options.n_parcels} parcels, mask ratio {MASK_RATIO:g}, {options.batch_size} windows a "
        f"step, {'compiled' if options.compile else 'not compiled'}, random recordings. The hours "
        f"are those of {EPOCHS} epochs of {RECORDINGS:,} recordings at this rate.",
        "| model | parameters | recordings/s | of the matrix product | memory, GB | GPU-hours |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n" + "\n".join(map(_line, rows)),
    ]
    (options.output / "gpu.md").write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def _line(row):
    """Return a row as a line of the table."""
    return (
        f"| {row['label']} | {row['parameters']:,} | {row['recordings_per_second']:.1f} | "
        f"{row['share']:.3f} | {row['peak_gb']:.1f} | {row['hours']:.2f} |"
    )


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--presets", nargs="+", default=list(PRESETS), choices=list(PRESETS))
    add("--seconds", type=float, default=20.0, help="of each preset, beside the warm-up")
    add("--batch-size", type=int, default=128, help="windows of a step")
    add("--recordings", type=int, default=1024, help="random recordings, windows of an epoch")
    add("--n-parcels", type=int, default=N_PARCELS)
    add("--gemm-size", type=int, default=GEMM_SIZE)
    add("--compile", action="store_true", help="compile the network, which takes minutes")
    add("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: try it out, tiny networks")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    warnings.simplefilter("once")
    sys.exit(main())
