"""What embedding a window costs, beside the released forward pass written down plainly.

    python benchmarks/embed_speed.py [--output DIR] [--repeats N] [--sizes 13M 111M]

Architectures of the released sizes with random weights, nothing masked, one thread, in seconds of
CPU time. Both sides are interleaved in one process and compared within a round. The plain pass
(_plain.py) attends by matrices; ours attends by one kernel, computes nothing but the CLS token in
the last block, and never decodes. The CLS embeddings must agree. The result is DIR/embed_speed.csv
and DIR/embed_speed.md.
"""

import argparse
import csv
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from _costs import COLUMNS
from _plain import embed_brainlm, embed_vitmae

from sklearn_brainlm.modules import image_code, time_code
from sklearn_brainlm.official.configs import check_config
from sklearn_brainlm.official.keys import tensors
from sklearn_brainlm.official.networks import build_module

SEED, N_PARCELS, N_TIMEPOINTS = 0, 424, 200
BATCH_SIZES = (1, 4)
AIMS = {"13M": 1.25, "111M": 1.1}
TOLERANCE = 2e-4

_NO_MASK = {"mask_ratio": 0.0, "num_channels": 3}
CONFIGS = {
    "13M": {
        **_NO_MASK,
        "model_type": "brainlm_mae",
        "num_brain_voxels": N_PARCELS,
        "num_timepoints_per_voxel": N_TIMEPOINTS,
        "timepoint_patching_size": 20,
        "hidden_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "decoder_hidden_size": 512,
        "decoder_num_hidden_layers": 2,
        "decoder_num_attention_heads": 4,
        "decoder_intermediate_size": 1024,
        "conv_kernel_size": 65,
        "patch_size": 16,
    },
    "111M": {
        **_NO_MASK,
        "model_type": "vit_mae",
        "image_size": [432, 432],
        "patch_size": 16,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "train_mode": "auto_encode",
    },
}


def draw_weights(config, seed=SEED):
    """Draw weights of a released configuration; tables of positions are what they are."""
    settings, rng = check_config(config), np.random.default_rng(seed)
    weights = {}
    for name, shape, ours in tensors(settings):
        if name.endswith("pos_embedding.pe"):
            weights[name] = time_code(*shape).numpy()
        elif name.endswith(("position_embeddings", "decoder_pos_embed")):
            side = settings["image_size"] // settings["patch_size"]
            weights[name] = np.zeros(shape, np.float32)
            weights[name][0, 1:] = image_code(side, side, shape[2]).numpy()
        elif ours is not None and "norm" in ours and name.endswith("weight"):
            weights[name] = np.ones(shape, np.float32)
        else:
            spread = 1 / np.sqrt(max(np.prod(shape[1:]), 1))
            weights[name] = (rng.standard_normal(shape) * spread).astype(np.float32)
    return weights


class Embedding:
    """One architecture, embedding windows in both ways."""

    def __init__(self, size):
        self.config = CONFIGS[size]
        rng = np.random.default_rng(SEED)
        coords = rng.uniform(-70, 70, (N_PARCELS, 3))
        coords = coords[np.argsort(coords[:, 1])]  # the rows of the picture stay in order
        weights = draw_weights(self.config)
        self.tensors = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
        self.module, _ = build_module(self.config, weights, coords)
        self.coords = torch.tensor(coords, dtype=torch.float32)
        self.n_tokens = N_PARCELS * N_TIMEPOINTS // 20 if size == "13M" else 27 * 27

    def inputs(self, batch_size):
        """Draw windows, and show all of their tokens in order."""
        signals = np.random.default_rng(SEED).standard_normal((batch_size, N_PARCELS, N_TIMEPOINTS))
        ids = torch.arange(self.n_tokens).expand(batch_size, -1)
        return torch.tensor(signals, dtype=torch.float32), ids

    def plain(self, signals, ids):
        """Embed as the release does."""
        if self.config["model_type"] == "brainlm_mae":
            latent = embed_brainlm(self.tensors, self.config, signals, self.coords, ids)
        else:
            latent = embed_vitmae(self.tensors, self.config, signals, ids)
        return latent[:, 0]

    def ours(self, signals, ids):
        """Embed as this package does."""
        return self.module.forward_encoder(signals, ids, cls_only=True)[:, 0]


def measure(size, repeats):
    """Time both ways of embedding in turns; return rows of the table."""
    embedding, rows = Embedding(size), []
    for batch_size in BATCH_SIZES:
        signals, ids = embedding.inputs(batch_size)
        seconds = {"plain": [], "ours": []}
        with torch.inference_mode():
            for number in range(repeats + 1):
                made = {}
                for way in seconds if number % 2 else reversed(seconds):
                    began = time.process_time()
                    made[way] = getattr(embedding, way)(signals, ids)
                    if number:  # the first round warms up
                        seconds[way].append((time.process_time() - began) / batch_size)
                difference = (made["plain"] - made["ours"]).abs().max().item()
                if difference > TOLERANCE:
                    raise AssertionError(f"{size}: embeddings differ by {difference:.3g}.")
        ratio = median(p / o for p, o in zip(seconds["plain"], seconds["ours"], strict=True))
        rows.append(
            {
                "size": size,
                "batch_size": batch_size,
                "plain": median(seconds["plain"]),
                "ours": median(seconds["ours"]),
                "ratio": ratio,
                "difference": difference,
            }
        )
        print(
            f"{size}, {batch_size} windows at a time: plain {rows[-1]['plain']:.2f} CPU-s a "
            f"window, ours {rows[-1]['ours']:.2f}, {ratio:.2f} times cheaper; largest difference "
            f"{difference:.1e}",
            flush=True,
        )
    return rows


def write(rows, repeats, output):
    """Write the tidy table and the page."""
    output.mkdir(parents=True, exist_ok=True)
    with open(output / "embed_speed.csv", "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for row in rows:
            about = {
                "benchmark": "embed_speed",
                "task": "embedding a window",
                "setting": f"{row['size']}, batch {row['batch_size']}, mask 0",
                "seed": SEED,
            }
            for method, name in (("plain", "Released pass, plain"), ("ours", "BrainLM")):
                seconds = f"{row[method]:.4g}"
                measured = {"metric": "CPU-seconds", "value": seconds, "cpu_seconds": seconds}
                table.writerow({**about, "method": name, **measured})
            measured = {"metric": "times cheaper", "value": f"{row['ratio']:.3g}"}
            table.writerow({**about, "method": "BrainLM", **measured})
    lines = [
        "# What embedding a window costs",
        "",
        __doc__.split("\n\n", 2)[2].split(" The result is")[0].replace("\n", " "),
        "",
        f"Windows of {N_PARCELS} parcels and {N_TIMEPOINTS} timepoints; medians of {repeats} "
        "rounds.",
        "",
        "| size | windows at a time | plain, CPU-s a window | ours | times cheaper | aim "
        "| largest difference |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {row['size']} | {row['batch_size']} | {row['plain']:.2f} | {row['ours']:.2f} | "
            f"{row['ratio']:.2f} | {AIMS[row['size']]} | {row['difference']:.1e} |"
            for row in rows
        ),
    ]
    (output / "embed_speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments=None):
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    results = Path(__file__).parent / "results"
    parser.add_argument("--output", type=Path, default=results, help="folder to write to")
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count")
    parser.add_argument("--sizes", nargs="+", choices=list(CONFIGS), default=list(CONFIGS))
    options = parser.parse_args(arguments)
    rows = [row for size in options.sizes for row in measure(size, options.repeats)]
    write(rows, options.repeats, options.output)


if __name__ == "__main__":
    sys.exit(main())
