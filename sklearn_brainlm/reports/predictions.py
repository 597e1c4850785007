"""What a report says of predicted labels: scores beside those of Dummy, and where they are off."""

import numpy as np
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    r2_score,
)

from sklearn_brainlm.reports.cells import show_count, show_number
from sklearn_brainlm.reports.drawing import draw
from sklearn_brainlm.reports.sections import Paragraph, Section, Table

__all__ = ["describe_predictions"]

_DUMMY = {True: "Dummy (most frequent class)", False: "Dummy (mean)"}


def describe_predictions(given):
    """Say how well labels are predicted.

    Parameters
    ----------
    given : Given
        A fitted classifier or regressor, recordings and their labels. Dummy is fitted on the
        labels of its training recordings, where there are any.

    Returns
    -------
    sections : list of Section
        Score, and predictions beside labels.
    verdict : str
        The score in a sentence, beside that of Dummy.

    Raises
    ------
    ValueError
        If X and y differ in length.
    """
    y, classes = np.asarray(given.y), is_classifier(given.estimator)
    predicted = np.asarray(given.estimator.predict(given.X))
    if len(y) != len(predicted):
        raise ValueError(f"y has {len(y)} labels for {len(predicted)} recordings; give one each.")
    rows = {given.label: predicted}
    if given.y_train is not None:
        dummy = DummyClassifier() if classes else DummyRegressor()
        y_train = np.asarray(given.y_train)
        if not classes:
            y_train = y_train[~_missing(y_train)]
        dummy.fit(np.zeros((len(y_train), 1)), y_train)
        rows[_DUMMY[classes]] = dummy.predict(np.zeros((len(y), 1)))
    if classes:
        blocks, verdict = _describe_classes(given, y, rows)
    else:
        known = ~_missing(y)
        rows = {name: values[known] for name, values in rows.items()}
        blocks, verdict = _describe_numbers(given, y[known], rows)
    text = (
        "Dummy was not fitted, as no labels of training recordings were given (y_train)."
        if given.y_train is None
        else "Dummy was fitted on the labels of the training recordings given (y_train)."
    )
    text += " Methods are compared, with intervals and tests, by compare(): connectivity and a "
    text += "linear model belong beside any number here."
    return [Section("Labels: the score", "score", [*blocks, Paragraph(text)])], verdict


def _describe_numbers(given, y, rows):
    """Tabulate and draw predicted numbers."""
    flat = y.ndim == 1
    table = [
        (
            name,
            show_number(r2_score(y, values)),
            show_number(mean_absolute_error(y, values), ".4g"),
            *([show_number(_correlate(y, values))] if flat else []),
        )
        for name, values in rows.items()
    ]
    r2 = r2_score(y, rows[given.label])
    verdict = f"R2 of the labels {show_number(r2)} in {show_count(len(y), 'recording')}"
    verdict += _beside(r2, rows, lambda values: r2_score(y, values))
    head = ("Method", "R2", "Mean absolute error (unit of the labels)", "r")[: 4 if flat else 3]
    caption = "R2 is what score() returns: 1 is exact, 0 as good as the mean of these labels."
    blocks = [Table(head, table, caption, marked=(0,))]
    if flat:
        blocks += draw(
            lambda axes: _draw_scatter(axes, y, rows[given.label]),
            (5.5, 5),
            alt=f"Scatter plot of predicted against true labels. R2 {show_number(r2)}.",
            caption="Each dot is a recording. On the line, the prediction is exact; dots that lie "
            "flat say that every prediction is near the mean.",
        )
    return blocks, verdict


def _describe_classes(given, y, rows):
    """Tabulate predicted classes, and which were taken for which."""
    table = [
        (
            name,
            show_number(accuracy_score(y, values)),
            show_number(balanced_accuracy_score(y, values)),
            show_number(f1_score(y, values, average="macro", zero_division=0)),
        )
        for name, values in rows.items()
    ]
    accuracy = accuracy_score(y, rows[given.label])
    verdict = f"Accuracy {show_number(accuracy)} in {show_count(len(y), 'recording')}"
    verdict += _beside(accuracy, rows, lambda values: accuracy_score(y, values))
    classes = np.unique(np.concatenate([y, *rows.values()]))
    counts = confusion_matrix(y, rows[given.label], labels=classes)
    confused = [
        (str(name), *(f"{count:,}" for count in row), f"{row.sum():,}")
        for name, row in zip(classes, counts, strict=True)
    ]
    head = ("True class", *(f"predicted {name}" for name in classes), "all")
    caption = "Accuracy is what score() returns: the part of the recordings whose class was found. "
    caption += "Balanced accuracy and F1 count each class alike."
    return [
        Table(("Method", "Accuracy", "Balanced accuracy", "F1"), table, caption, marked=(0,)),
        Table(head, confused, "Recordings of each class (rows), and what was predicted (columns)."),
    ], verdict


def _beside(value, rows, score):
    """Say how a score compares with that of Dummy."""
    dummies = [name for name in rows if name.startswith("Dummy")]
    if not dummies:
        return "."
    of_dummy = score(rows[dummies[0]])
    better = "better than" if value > of_dummy else "no better than"
    return f", {better} {dummies[0]} at {show_number(of_dummy)}."


def _missing(y):
    """Say which labels are missing, in any target."""
    missing = np.isnan(np.asarray(y, dtype=np.float64))
    return missing.any(axis=1) if missing.ndim > 1 else missing


def _correlate(y, predicted):
    """Return Pearson's r, NaN where there is none."""
    if len(y) < 2 or np.ptp(y) == 0 or np.ptp(predicted) == 0:
        return np.nan
    return np.corrcoef(y, predicted)[0, 1]


def _draw_scatter(axes, y, predicted):
    """Draw predicted against true labels."""
    ends = [min(y.min(), predicted.min()), max(y.max(), predicted.max())]
    axes.plot(ends, ends, color="#707070", linestyle="--", linewidth=1)
    axes.plot(y, predicted, "o", color="#D55E00", markersize=5, alpha=0.7)
    axes.set(xlabel="True label (its unit)", ylabel="Predicted label (its unit)")
    axes.spines[["top", "right"]].set_visible(False)
