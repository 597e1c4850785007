"""From sums by subject to a comparison: pooled R2, paired differences, intervals over subjects."""

from functools import lru_cache

import numpy as np
import pandas as pd

N_RESAMPLES = 10_000
RESAMPLES_SEED = 0
COVERAGE = 0.95
TIDY_COLUMNS = [
    "benchmark", "dataset", "task", "method", "setting", "metric", "value", "ci_low", "ci_high",
    "n_train", "n_test", "cpu_seconds", "seed",
]  # fmt: skip
COSTS = ("n_windows_drawn", "window_cpu_seconds", "n_parameters")


@lru_cache(maxsize=1)
def draw_resamples(n_subjects):
    """Count how often each subject occurs in each resample (N_RESAMPLES, n_subjects)."""
    rng = np.random.default_rng(RESAMPLES_SEED)
    return rng.multinomial(n_subjects, np.full(n_subjects, 1 / n_subjects), size=N_RESAMPLES)


def r2_with_interval(sse, ss):
    """Return pooled R2 and its bootstrap interval over subjects: value, low, high.

    `sse` and `ss` have shape (n_subjects,). There is no interval with fewer than two subjects.
    """
    return _with_interval(lambda sse, ss: 1 - sse / ss, sse, ss)


def difference_with_interval(sse, reference_sse, ss):
    """Return the pooled R2 of a method minus that of a reference, paired: value, low, high.

    Both filled in the same values, so `ss` is the same, and a resample draws the same subjects for
    both.
    """
    return _with_interval(lambda gain, ss: gain / ss, reference_sse - sse, ss)


def _with_interval(statistic, sums, ss):
    """Evaluate a statistic of two sums over subjects, for all of them and for every resample."""
    value = float(statistic(sums.sum(), ss.sum()))
    if len(ss) < 2:
        return value, np.nan, np.nan
    counts = draw_resamples(len(ss))
    resampled = statistic(counts @ sums, counts @ ss)
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return value, float(low), float(high)


def compare(table, references, about):
    """Write the tidy table of all methods.

    Parameters
    ----------
    table : DataFrame
        Sums of all measurements, see ``_runs``.
    references : sequence of str
        Methods whose R2 is subtracted from everyone's, where they have been measured.
    about : dict
        ``benchmark``, ``dataset`` and ``task``.

    Returns
    -------
    tidy : DataFrame
        For each method and mask ratio R2 (of every seed, and of the mean over seeds: the squared
        errors of a subject averaged) and the differences to the references; for each method its
        costs, averaged over seeds.
    """
    rows = []
    for mask_ratio, at_ratio in table.groupby("mask_ratio"):
        ss = _by_subject(at_ratio, "ss").iloc[0].to_numpy()
        errors = _by_subject(at_ratio, "sse")  # (method, seed) by subject
        _check_same_values(at_ratio, ss)
        mean_errors = errors.groupby(level="method", sort=False).mean()
        for method, own in errors.groupby(level="method", sort=False):
            row = {**about, "method": method, "setting": f"mask_ratio={mask_ratio:g}"}
            row |= _seen(at_ratio[at_ratio["method"] == method])
            sse = mean_errors.loc[method].to_numpy()
            for seed, seed_sse in own.droplevel("method").iterrows():
                if seed:
                    interval = r2_with_interval(seed_sse.to_numpy(), ss)
                    rows.append(_tidy(row, "r2", interval, seed))
            rows.append(_tidy(row, "r2", r2_with_interval(sse, ss), _seeds_name(own)))
            for reference in references:
                if reference != method and reference in mean_errors.index:
                    reference_sse = mean_errors.loc[reference].to_numpy()
                    interval = difference_with_interval(sse, reference_sse, ss)
                    rows.append(_tidy(row, f"r2 minus {reference}", interval, _seeds_name(own)))
    for method, own in table.groupby("method", sort=False):
        row = {**about, "method": method, "setting": _setting(own), **_seen(own)}
        for cost in COSTS:
            value = own.drop_duplicates(["seed", "mask_ratio"])[cost].mean()
            rows.append(_tidy(row, cost, (value, np.nan, np.nan), ""))
    return pd.DataFrame(rows, columns=TIDY_COLUMNS)


def _by_subject(table, column):
    """Return (method, seed) by subject, methods in the order they were measured in."""
    wide = table.pivot(index=["method", "seed"], columns="subject", values=column)
    return wide.reindex(pd.MultiIndex.from_frame(table[["method", "seed"]].drop_duplicates()))


def _check_same_values(table, ss):
    """Refuse to compare methods that did not fill in the same values of the same subjects."""
    all_ss = _by_subject(table, "ss").to_numpy()
    if not np.allclose(all_ss, ss, rtol=1e-9, atol=0):
        raise ValueError("Methods were not measured on the same values: start with --fresh.")


def _seen(own):
    """Say how much a method learned from and was tested on, and what learning cost."""
    return {
        "n_train": own["n_train"].iloc[0],
        "n_test": own["n_test"].iloc[0],
        "cpu_seconds": own.drop_duplicates("seed")["fit_cpu_seconds"].mean(),
    }


def _setting(own):
    """Name the parameters of a method and what its network ran on."""
    devices = " and ".join(sorted(own["device"].unique()))
    return f"{own['budget'].iloc[0]} device={devices}".strip()


def _seeds_name(errors):
    """Name the mean over seeds; methods without chance have none."""
    return "mean" if any(errors.index.get_level_values("seed")) else ""


def _tidy(row, metric, interval, seed):
    """Complete one row of the tidy table."""
    value, low, high = interval
    return {**row, "metric": metric, "value": value, "ci_low": low, "ci_high": high, "seed": seed}
