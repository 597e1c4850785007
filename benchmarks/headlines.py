"""The results on one page: each time the best method that is no BrainLM, beside BrainLM.

    python benchmarks/headlines.py

reads results/*.csv, prints the table and puts it into the README of the project. Nothing is
measured here, and nothing chosen by its score but the method that BrainLM is held against.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- headlines -->\n", "<!-- end of headlines -->\n"
ORACLE = "Person oracle (other windows)"  # looks at what it fills in
HCP30, HCP100, ABIDE = "hcp30_glasser360", "hcp100_dk68", "abide1_cc200"
PEOPLE = {
    HCP30: "10 people, HCP, 360 parcels",
    HCP100: "30 people, HCP, 68 parcels",
    ABIDE: "other sites, ABIDE, 200 parcels",
}


class Headline(NamedTuple):
    """A line of the table, and where its numbers stand."""

    what: str
    file: str
    cohort: str
    task: str
    setting: str
    metric: str
    ours: str = "BrainLM"

    def find(self):
        """Return the scores of the others, our score, and the difference from their best."""
        table = pd.read_csv(RESULTS / f"{self.file}.csv", dtype={"seed": str})
        table = table[(table["task"] == self.task) & (table["setting"] == self.setting)]
        scores = _one_a_method(table[table["metric"] == self.metric])
        others = scores[~scores.index.str.startswith("BrainLM") & (scores.index != ORACLE)]
        best = others["value"].idxmax()
        names = [f"{self.metric} minus {best}", f"{self.metric} minus best simple, {best}"]
        differences = _one_a_method(table[table["metric"].isin(names)])
        return others.loc[best], scores.loc[self.ours], differences.loc[self.ours]


def _one_a_method(rows):
    """Return one row a method: the mean over seeds where there are several."""
    rows = rows.sort_values("seed", key=lambda seed: seed == "mean", kind="stable")
    return rows.groupby("method", sort=False).last()


def _reconstruction(cohort):
    what = "fill in three of four patches, R2"
    setting = "mask_ratio=0.75"
    return Headline(
        what, f"reconstruction_{cohort}", cohort, "masked reconstruction", setting, "r2"
    )


def _imputation(cohort):
    what = "fill in a fifth of the timepoints, in bursts, R2"
    file = f"imputation_timepoints_{cohort}"
    ours = "BrainLM (trained on bursts)"
    return Headline(what, file, cohort, "censored timepoints", "mask_ratio=0.2", "r2", ours)


def _forecasting(cohort):
    what = "forecast the next 8 timepoints, R2"
    return Headline(what, f"forecasting_{cohort}", cohort, "forecasting", "steps 1-8", "r2")


def _clinical(task, what, metric, ours):
    return Headline(what, f"clinical_{ABIDE}", ABIDE, task, "all", metric, ours)


def _networks(ours):
    what = "tell the network of a parcel and its homologue, accuracy"
    return Headline(
        what, f"networks_{HCP30}", HCP30, "homologous pairs", "timepoints=200", "accuracy", ours
    )


HEADLINES = [
    _reconstruction(HCP30),
    _reconstruction(HCP100),
    _reconstruction(ABIDE),
    _imputation(HCP30),
    _imputation(HCP100),
    _forecasting(HCP30),
    _forecasting(HCP100),
    _clinical("age", "age, R2", "r2", "BrainLM (frozen) + ridge"),
    _clinical("age", "age, R2", "r2", "BrainLM + stack"),
    _clinical("diagnosis", "autism, ROC AUC", "roc_auc", "BrainLM (frozen) + ridge"),
    _clinical("sex", "sex, ROC AUC", "roc_auc", "BrainLM (frozen) + ridge"),
    _networks("BrainLM (attention)"),
    _networks("BrainLM (person components)"),
]


def write_table():
    """Return the table, in Markdown."""
    lines = [
        "| what | whose | the best other method | | BrainLM | | difference, 95% interval |",
        "| --- | --- | --- | ---: | --- | ---: | ---: |",
    ]
    for headline in HEADLINES:
        best, ours, difference = headline.find()
        low, high = difference["ci_low"], difference["ci_high"]
        lines.append(
            f"| {headline.what} | {PEOPLE[headline.cohort]} | {best.name} | {best['value']:.3f} | "
            f"{ours.name} | {ours['value']:.3f} | "
            f"{difference['value']:+.3f} [{low:+.3f}, {high:+.3f}] |"
        )
    return "\n".join(lines) + "\n"


def main():
    """Put the table where it belongs."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = write_table()
    print(table)
    README.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
