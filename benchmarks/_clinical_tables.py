"""What was predicted of people, kept on disk, and the tables that are made of it."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
from _clinical_page import plot, write_page
from _clinical_rows import METHODS, PAIRS, TARGETS
from _kept import Kept
from _tables import cost_rows, tidy
from sklearn.utils import Bunch

from sklearn_brainlm.comparison.folds import make_folds
from sklearn_brainlm.comparison.inference import significance_stars
from sklearn_brainlm.comparison.out_of_fold import choose_metrics, gather_predictions
from sklearn_brainlm.comparison.rows import choose_simple
from sklearn_brainlm.comparison.table import tabulate
from sklearn_brainlm.targets import TargetScaler

KEY = {"target": str, "method": str, "seed": str, "budget": str, "fold": int}
PREDICTIONS = {"recording": int, "predicted": float, "scores": str}  # one score a class
COSTS = {
    "n_train": int,
    "n_test": int,
    "n_trials": int,
    "n_parameters": float,
    "cpu_seconds": float,
}
N_BOOTSTRAP = 2000
PAUSE = 900  # seconds between pages of a run that goes on


class Measured:
    """Predictions of every target, method, seed and fold, and what they cost, in two files."""

    def __init__(self, files, protocol):
        self.predictions = Kept(f"{files}_predictions.csv", protocol, KEY, PREDICTIONS)
        self.folds = Kept(f"{files}_folds.csv", protocol, KEY, COSTS)

    def has(self, **key):
        """Say whether this has been measured: costs are written last."""
        return self.folds.has(**key)

    def add(self, result, test, **key):
        """Keep the predictions of the tested recordings."""
        scores = [""] * len(test)
        if result.scores is not None:
            scores = [" ".join(map(repr, row)) for row in result.scores.tolist()]
        rows = {"recording": test, "predicted": result.predicted, "scores": scores}
        self.predictions.add(rows, **key)
        self.folds.add({name: [result[name]] for name in COSTS}, **key)

    def seeds(self, target, method, n_folds):
        """Return the seeds of a method of which all folds have been measured."""
        own = self.folds.of(target=target, method=method)
        counts = own.groupby("seed")["fold"].nunique()
        return sorted(counts.index[counts == n_folds], key=lambda seed: int(seed or -1))

    def results(self, target, method, seed, folds):
        """Return what `run_rows` returned for a method, fold by fold."""
        results = []
        for number, (_, test) in enumerate(folds):
            key = {"target": target, "method": method, "seed": seed, "fold": number}
            own = self.predictions.of(**key).set_index("recording").loc[test]
            (cost,) = self.folds.of(**key).to_dict("records")
            is_class = TARGETS[target].is_class
            predicted = own["predicted"].to_numpy()
            scores = None
            if (own["scores"] != "").all():
                scores = np.array([row.split() for row in own["scores"]], dtype=float)
            results.append(
                Bunch(
                    predicted=predicted.astype(int) if is_class else predicted,
                    scores=scores,
                    **{name: cost[name] for name in ("fold", *COSTS)},
                )
            )
        return results


class Report:
    """Tables, page and figure of all that has been measured."""

    def __init__(self, measured, people, targets, name, text, files):
        self.measured = measured
        self.people = people
        self.targets = targets
        self.title = f"Traits, {name}"
        self.about = {"benchmark": "clinical", "dataset": name}
        self.text = text
        self.files = files
        self.tables, self.pairs, self.seeds, self.counts = {}, {}, {}, {}
        self._written = time.monotonic()

    def write_at_times(self):
        """Write everything if that was long ago: the intervals of all rows take their time."""
        if time.monotonic() - self._written > PAUSE:
            self.write()

    def write(self):
        """Write everything; return the page."""
        for target in self.targets:
            self._make(target)
        self._written = time.monotonic()
        tables = {one: self.tables[one] for one in self.targets if one in self.tables}
        if not tables:
            return "Nothing has been measured."
        parts = []
        for one, table in tables.items():
            about = {**self.about, "task": one}
            own = self.measured.folds.of(target=one).drop_duplicates("method")
            parts += [tidy(table, about)]
            parts += [
                tidy(pair[pair["method"] == names[1]].pipe(_attributed, pair), about, pair=True)
                for names, pair in self.pairs.items()
                if names[0] == one
            ]
            parts.append(cost_rows(table[table["setting"] == "all"], about, own))
        rows = pd.concat(parts, ignore_index=True)
        seeds = [self.seeds[pair] for pair in zip(rows["task"], rows["method"], strict=True)]
        rows["seed"] = ["mean" if len(found) > 1 else " ".join(found) for found in seeds]
        rows.to_csv(f"{self.files}.csv", index=False, float_format="%.6g")
        page = write_page(
            tables, self.pairs, self.seeds, self.counts, title=self.title, text=self.text
        )
        Path(f"{self.files}.md").write_text(page, encoding="utf-8")
        plot(tables).savefig(f"{self.files}.png", dpi=150)
        return page

    def _make(self, target):
        """Compare all that has been measured of a target."""
        people = self.people
        labels, known = people.labels(target)
        folds = make_folds(people.folds, labels, people.groups, people.codes, known)
        own = self.measured.folds.of(target=target)["method"].unique()
        simplest = sorted(set(own) - set(METHODS), key=lambda m: (not m.startswith("Dummy"), m))
        order = [*simplest, *[method for method in METHODS if method in own]]  # Dummy is the first
        seeds = {method: self.measured.seeds(target, method, len(folds)) for method in order}
        seeds = {method: found for method, found in seeds.items() if found}
        if not order or order[0] not in seeds:
            return
        scaler = None if TARGETS[target].is_class else TargetScaler()
        task = "classification" if TARGETS[target].is_class else "regression"
        # R2 of a fold divides by the variance of its people: a site of one age would decide the
        # test. Squared errors are what R2 of all folds is made of.
        metrics = choose_metrics(task, None if TARGETS[target].is_class else "mse", scaler)
        classes = np.unique(labels[known]) if TARGETS[target].is_class else None
        tables, pairs = [], {}
        for seed in sorted({seed for found in seeds.values() for seed in found if seed}) or [""]:
            results = {
                # A method without this seed takes part with its first one.
                method: self.measured.results(
                    target, method, seed if seed in found else found[0], folds
                )
                for method, found in seeds.items()
            }
            made = gather_predictions(results, folds, labels, people.codes, classes, scaler)
            tables.append(_tabulate(made, results, metrics, list(results), None))
            dummy = next(iter(results))
            for method, reference in PAIRS:
                if {method, reference} <= set(results):
                    rows = [dummy, reference, method]
                    pair = _tabulate(made, results, metrics, rows, reference)
                    pairs.setdefault((target, method, reference), []).append(pair)
        self.tables[target] = _average(tables)
        self.pairs |= {names: _average(found) for names, found in pairs.items()}
        self.seeds |= {(target, m): [s for s in found if s] for m, found in seeds.items()}
        n_left_out = int(np.sum(~known))
        left_out = f"; {n_left_out} without a label are left out" if n_left_out else ""
        counted = f"{known.sum()} recordings"
        if classes is not None:
            sizes = [f"{np.sum(labels[known] == label)} {label}" for label in classes]
            counted += f", {' and '.join(sizes)}"
        self.counts[target] = f"{counted}{left_out}."


def _tabulate(made, results, metrics, rows, baseline):
    """Return the table of `compare` for some rows, the first of which is Dummy."""
    candidates, simple = choose_simple(baseline, rows, rows[0])
    made, results = ({row: table[row] for row in rows} for table in (made, results))
    return tabulate(made, results, metrics, candidates, simple, N_BOOTSTRAP, 0)


def _average(tables):
    """Average the tables of several seeds; of p-values the largest is kept."""
    if len(tables) == 1:
        return tables[0]
    first = tables[0]
    together = pd.concat([table.set_axis(first.index) for table in tables], keys=range(len(tables)))
    numbers = first.select_dtypes("number").columns
    table = first.copy()
    table[numbers] = together[numbers].groupby(level=1).mean().loc[first.index]
    for name in ("p_value", "p_corrected"):
        table[name] = together[name].groupby(level=1).max().loc[first.index]
    better = table["difference"] > 0
    table["stars"] = [significance_stars(p) for p in table["p_corrected"].where(better)]
    table.attrs["primary"] = first.attrs["primary"]
    return table


def _attributed(part, table):
    """Return a part of a table with the attributes of the whole one."""
    part.attrs["primary"] = table.attrs["primary"]
    return part
