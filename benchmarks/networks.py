"""Functional networks of parcels, told by their nearest neighbours: Table 3, and what it lacked.

    python benchmarks/networks.py --recordings FOLDER

takes the network of each parcel from parcels.tsv (column yeo7), learns from the first people, and
tells the networks of held-out parcels in each of the other people, from a window of each. Parcels
are split at random, as in the article, and with homologues on one side. It writes
results/networks_NAME.csv, .md and .png. Profiles are in _network_profiles.py, the page in
_network_page.py; the probe is ``sklearn_brainlm.probing``.
"""

import argparse
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import _network_profiles as profiles
import numpy as np
from _cohorts import load_cohort, split
from _network_page import draw, tabulate, write_page

from sklearn_brainlm import BrainLMTransformer
from sklearn_brainlm.baselines.masked_gcn import MaskedGCN
from sklearn_brainlm.baselines.vae import MaskedVAE
from sklearn_brainlm.datasets import load_recordings_folder
from sklearn_brainlm.probing import network_probe

BENCHMARK = "networks"
RANDOM, PAIRED = "random parcels", "homologous pairs"


@dataclass
class Row:
    """A line of the table."""

    method: str
    build: Callable  # returns profiles, one a test recording; Euclidean distance compares them
    networks: np.ndarray | None = None  # told in place of the true ones
    majority: bool = False


class Learned:
    """What is learned from the train side, each when it is first asked for, with its cost."""

    def __init__(self, train, options):
        self.train = train
        self.options = options
        self.seconds = {}
        self._made = {}

    def get(self, name):
        """Return a fitted estimator or an array of the group."""
        if name not in self._made:
            began = time.process_time()
            self._made[name] = getattr(self, f"_{name}")()
            self.seconds[name] = time.process_time() - began
            print(f"Learned {name}: {self.seconds[name]:.1f} CPU-s.", flush=True)
        return self._made[name]

    def _brainlm(self):
        """Pretrain on recordings without their global signal."""
        recordings = [profiles.remove_global_signal(x) for x in self.train.recordings]
        model = BrainLMTransformer(
            window_length=self.options.timepoints,
            patch_length=self.options.patch_length,
            max_epochs=self.options.epochs,
            validation_fraction=0.0,  # nothing is decided by it
            random_state=self.options.seed,
        )
        return model.fit(recordings, groups=self.train.subjects)

    def _vae(self):
        """Train the VAE."""
        return MaskedVAE(**self._training()).fit(self.train.recordings)

    def _gcn(self):
        """Train the GCN."""
        return MaskedGCN(**self._training()).fit(self.train.recordings)

    def _connectivity(self):
        """Average connectivity over people."""
        return profiles.group_connectivity(self.train.recordings)

    def _components(self):
        """Find the components of the connectivity of people."""
        return profiles.group_components(self.train.recordings)

    def _training(self):
        """Return the parameters that both networks are trained with."""
        return {
            "window_length": self.options.timepoints,
            "patch_length": self.options.patch_length,
            "max_epochs": self.options.baseline_epochs,
            "validation_fraction": 0.0,
            "random_state": self.options.seed,
        }


def make_rows(windows, networks, coords, learned, options):
    """Return the rows of the table; `windows` are those of the test recordings."""
    unit = profiles.unit_rows
    shuffled = np.random.default_rng(options.seed).permutation(networks)

    def each(make, *what):
        """Make the profile of each window, from what was learned if it needs that."""
        return lambda: [make(*(learned.get(name) for name in what), x) for x in windows]

    def group(name):
        """Give the profile of the group to everybody."""
        profile = unit(learned.get(name), centred=name == "connectivity")
        return [profile] * len(windows)

    def embedded(name):
        """Embed parcels by a baseline."""
        made = learned.get(name).embed_parcels(windows)
        return [unit(profile) for profile in made]

    def located(build):
        """Put coordinates beside what a row knows."""
        return lambda: [profiles.with_coordinates(profile, coords) for profile in build()]

    def connectivity(x):
        """Return the connectivity profiles of a window."""
        return unit(profiles.correlate(x), centred=True)

    def unadapted():
        """Return the components of BrainLM as pretraining left them, the same for everybody."""
        return [profiles.components(learned.get("brainlm"))] * len(windows)

    person = each(profiles.person_components, "brainlm")
    attention = each(profiles.attention, "brainlm")
    return [
        Row("Majority class", lambda: [np.zeros((len(networks), 1))] * len(windows), majority=True),
        Row("Shuffled labels", lambda: group("connectivity"), networks=shuffled),
        Row("Coordinates", lambda: [profiles.mirrored(coords)] * len(windows)),
        Row("Raw series", lambda: [unit(x.T, centred=True) for x in windows]),
        Row("VAE", lambda: embedded("vae")),
        Row("GCN", lambda: embedded("gcn")),
        Row("Connectivity profile", each(connectivity)),
        Row("Principal-component loadings", each(profiles.loadings)),
        Row("Group connectivity", lambda: group("connectivity")),
        Row("Group components", lambda: group("components")),
        Row("Connectivity profile + coordinates", located(each(connectivity))),
        Row("Group connectivity + coordinates", located(lambda: group("connectivity"))),
        Row("Group components + coordinates", located(lambda: group("components"))),
        Row("BrainLM (tokens)", each(profiles.tokens, "brainlm")),
        Row("BrainLM (attention)", attention),
        Row("BrainLM (reconstruction weights)", each(profiles.reconstruction_weights, "brainlm")),
        Row("BrainLM (components)", unadapted),
        Row("BrainLM (person components)", person),
        Row("BrainLM (attention) + coordinates", located(attention)),
        Row("BrainLM (person components) + coordinates", located(person)),
    ]


def measure(row, networks, pairs, options):
    """Probe the profiles of a row on both splits; return the probes, and what profiles cost."""
    began = time.process_time()
    made = row.build()
    seconds = time.process_time() - began
    given = networks if row.networks is None else row.networks
    probes = {}
    for task, together in ((RANDOM, None), (PAIRED, pairs)):
        split = {"pairs": together, "n_splits": options.n_splits, "random_state": options.seed}
        if row.majority:  # the vote of all that there are
            first = network_probe(made[:1], given, n_neighbors=1, metric="euclidean", **split)
            split["n_neighbors"] = int(first.n_train.min())
        probes[task] = network_probe(made, given, metric="euclidean", **split)
    return probes, seconds


def homologous_pairs(labels):
    """Give one number to parcels whose names differ in the hemisphere only."""
    names = [re.sub(r"(?i)(^|[ _-])(lh|rh|l|r|left|right)(?=[ _-]|$)", r"\1", x) for x in labels]
    return np.unique(names, return_inverse=True)[1]


def main(arguments=None):
    """Measure all rows, and write table, page and figure."""
    options = _read_options(arguments)
    cohort = load_cohort(options.recordings)
    table = load_recordings_folder(options.recordings).parcels
    if options.networks not in table or cohort.parcel_coords is None:
        raise SystemExit(f"parcels.tsv needs the columns {options.networks}, x, y and z.")
    networks = table[options.networks].to_numpy(dtype=str)
    pairs = homologous_pairs(cohort.parcels)
    train, test = split(cohort, exclude=options.exclude)
    windows = [np.asarray(x[: options.timepoints], dtype=np.float32) for x in test.recordings]
    text = describe(train, test, networks, pairs, options)
    print(text, flush=True)

    learned = Learned(train, options)
    measured = {}
    for row in make_rows(windows, networks, cohort.parcel_coords, learned, options):
        probes, seconds = measure(row, networks, pairs, options)
        measured[row.method] = (probes, seconds)
        told = ", ".join(f"{task} {probe.accuracy:.3f}" for task, probe in probes.items())
        print(f"{row.method}: {told}; {seconds:.1f} CPU-s", flush=True)
    about = {"benchmark": BENCHMARK, "dataset": cohort.name}
    tidy = tabulate(measured, about, len(train), test.subjects, options)
    options.output.mkdir(parents=True, exist_ok=True)
    files = options.output / f"{BENCHMARK}_{cohort.name}{options.suffix}"
    tidy.to_csv(f"{files}.csv", index=False, float_format="%.6g")
    page = write_page(tidy, measured, text, learned.seconds)
    Path(f"{files}.md").write_text(page, encoding="utf-8")
    draw(tidy).savefig(f"{files}.png", dpi=150)
    print(page)


def describe(train, test, networks, pairs, options):
    """Say in words who and what is measured."""
    n_pairs = int(np.sum(np.bincount(pairs) > 1))
    return (
        f"Learned from {len(train)} recordings of {len(set(train.subjects))} subjects "
        f"({train.name}), told in {len(test)} recordings of {len(set(test.subjects))} others. "
        f"What is known of a test person is the first {options.timepoints} timepoints. "
        f"{len(networks)} parcels of {len(np.unique(networks))} networks ({options.networks}), "
        f"{n_pairs} pairs of homologues. {options.n_splits} splits into 80% of the parcels and "
        "20%, the same for all rows and people; the number of neighbours (1, 3, 5 or 9) is chosen "
        f"by cross-validation among the 80%. Seed {options.seed}, {options.epochs} epochs of "
        f"BrainLM, {options.baseline_epochs} of VAE and GCN."
    )


def _read_options(arguments):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--recordings", required=True, type=Path, help="folder to learn from, and to test on")
    add("--output", type=Path, default=Path(__file__).parent / "results", help="folder to write to")
    add("--suffix", default="", help="end of the names of the files")
    add("--exclude", nargs="+", default=[], help="subjects or files to leave out of both sides")
    add("--networks", default="yeo7", help="column of parcels.tsv")
    add("--timepoints", type=int, default=200, help="of each test recording; a window")
    add("--patch-length", type=int, default=20, help="timepoints, of the models")
    add("--n-splits", type=int, default=50, help="splits of the parcels")
    add("--seed", type=int, default=0, help="of splits and training")
    add("--epochs", type=int, default=8, help="of BrainLM")
    add("--baseline-epochs", type=int, default=100, help="of VAE and GCN")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    warnings.simplefilter("once")
    sys.exit(main())
