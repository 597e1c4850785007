"""The tidy table of what costs time or memory; no recordings of people, and nothing but Python."""

import csv

COLUMNS = (
    "benchmark,dataset,task,method,setting,metric,value,ci_low,ci_high,n_train,n_test,"
    "cpu_seconds,seed"
).split(",")


def write_results(folder, name, rows, page):
    """Write NAME.csv and NAME.md into a folder, which is made, and print the page."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    (folder / f"{name}.md").write_text(page, encoding="utf-8")
    print(page)
