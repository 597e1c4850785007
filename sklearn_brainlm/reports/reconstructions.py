"""What a report says of what an estimator fills in: scores, traces, parcels."""

import numpy as np

from sklearn_brainlm.comparison.inference import interval
from sklearn_brainlm.reports.cells import show_count, show_interval, show_number
from sklearn_brainlm.reports.drawing import draw, name_in_figure, names_in_figure
from sklearn_brainlm.reports.masked_scores import CENTRE, score_masked
from sklearn_brainlm.reports.sections import Folded, Paragraph, Section, Table
from sklearn_brainlm.reports.verdicts import weigh

__all__ = ["describe_reconstructions"]


def describe_reconstructions(given):
    """Say how well masked activity is filled in, and show it.

    Parameters
    ----------
    given : Given
        A fitted estimator that reconstructs, and recordings.

    Returns
    -------
    sections : list of Section
        Score, traces and parcels.
    verdict : str
        The score in a sentence, beside the best simple method.
    """
    scores = score_masked(given)
    resampled = scores.resample()
    n_simple = len(scores.methods) - 2
    verdict = weigh(scores.methods, scores.r2, resampled, "R2 of masked activity", n_simple)
    names = given.names_of(scores.spread.shape[2])
    return [
        Section("Masked activity: the score", "score", _tabulate(given, scores, resampled)),
        Section(
            "Masked activity: reconstructions", "reconstructions", _trace(given, scores, names)
        ),
        Section("Masked activity: parcel by parcel", "parcels", _map(given, scores, names)),
    ], verdict


def _tabulate(given, scores, resampled):
    """Tabulate the score of every method at every ratio."""
    n_recordings = scores.spread.shape[1]
    rows = [
        (
            method,
            show_number(r2),
            show_interval(*interval(resampled[index])),
            *(map(show_number, scores.by_ratio[index]) if len(scores.ratios) > 1 else ()),
        )
        for index, (method, r2) in enumerate(zip(scores.methods, scores.r2, strict=True))
    ]
    several = len(scores.ratios) > 1
    ratios = [f"{ratio:.0%} masked" for ratio in scores.ratios] if several else []
    what = "mean over the parts masked" if several else f"{scores.ratios[0]:.0%} masked"
    caption = f"R2 of what was masked ({what}) in {show_count(n_recordings, 'recording')}: 1 is "
    caption += "exact, 0 as good as the mean of what was masked, which no method is told; below 0 "
    caption += "is worse. It is what score() returns. Intervals are over recordings."
    blocks = [
        Table(("Method", "R2", "95% interval", *ratios), rows, caption, marked=(0,)),
        Paragraph(
            "All methods fill in the same windows, scaled in the same way, with the same masks. "
            f"“{CENTRE}” predicts 0, the centre that the scaling learned in training. "
            + (
                "No other simple method was fitted, as no training recordings were given (X_train)."
                if given.X_train is None
                else "The Gaussians were fitted on the training recordings given (X_train), none "
                "of which is scored: “Gaussian” knows the covariance of the parcels, the other "
                "also time, and the person."
            )
        ),
        Paragraph(
            "Scores are about recordings that the estimator has not seen only if none of these was "
            "among those that its weights were trained on, which this report cannot know.",
            "caution",
        ),
    ]
    if n_recordings > 1:
        from sklearn_brainlm.plotting import plot_masked_r2_bars

        shown = names_in_figure(scores.methods)
        bars = dict(zip(shown.values(), scores.by_recording, strict=True))
        listed = ", ".join(f"{m} {r:.3f}" for m, r in zip(scores.methods, scores.r2, strict=True))
        blocks += draw(
            lambda axes: plot_masked_r2_bars(bars, axes),
            (7.5, 0.9 + 0.5 * len(bars)),
            alt=f"Bars of R2 of masked activity, a bar a method. R2 of all recordings: {listed}.",
            caption="Every dot is a recording, the bar their mean; the table pools recordings, of "
            "which long ones weigh more.",
        )
    return blocks


def _trace(given, scores, names):
    """Draw some windows."""
    from sklearn_brainlm.plotting import plot_reconstruction

    ratio = scores.ratios[scores.shown]
    seconds, labels = given.seconds, [name_in_figure(name) for name in names]
    blocks = []
    for index, true, predicted, masked in scores.windows:
        name = given.ids[index]
        pictures = draw(
            lambda axes, window=(true, predicted, masked): plot_reconstruction(
                *window, t_r=seconds, labels=labels, axes=axes
            ),
            (7.6, 5),
            alt=f"Traces of five parcels of {name}: what was recorded, and what was predicted "
            "where patches were masked.",
            caption=f"{name}, first window of {show_count(len(true), 'timepoint')}, {ratio:.0%} of "
            f"its patches masked. Black: recorded. Orange: predicted by {given.name}, which saw "
            "nothing of the grey patches.",
        )
        blocks += pictures
    if not blocks:
        blocks.append(Paragraph("No reconstruction is drawn.", "absent"))
    return blocks


def _map(given, scores, names):
    """Show R2 parcel by parcel, on the brain or as a histogram."""
    r2 = scores.by_parcel(0)
    known = r2[np.isfinite(r2)]
    if not len(known):
        return [Paragraph("No parcel varies where it was masked.", "absent")]
    ratio = f"{scores.ratios[scores.shown]:.0%} masked"
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
    text = f"R2 of {given.name}, {ratio}: half of {show_count(len(known), 'parcel')} lie above "
    text += (
        f"{show_number(middle)}, nine in ten between {show_number(low)} and {show_number(high)}."
    )
    blocks = [Paragraph(text)]
    if given.coords is not None:
        blocks += draw(
            lambda axes: _draw_brain(axes, r2, given.coords),
            (8, 3),
            alt=f"Glass brain from three sides, a dot a parcel, coloured by its R2. {text}",
            caption="Each dot is a parcel at its MNI coordinates, coloured by the R2 of what was "
            "masked of it. Left is left.",
        )
    else:
        blocks.append(
            Paragraph("Coordinates of the parcels are not known, so no brain is drawn.", "absent")
        )
        blocks += draw(
            lambda axes: _draw_histogram(axes, known),
            (7, 3.2),
            alt=f"Histogram of R2 over parcels. {text}",
            caption="How many parcels have which R2. The line is at the median.",
        )
    order = np.argsort(-np.nan_to_num(r2, nan=-np.inf), kind="stable")
    simple = range(2, len(scores.methods))
    others = [scores.by_parcel(method) for method in simple]
    rows = [
        (names[p], show_number(r2[p]), *(show_number(other[p]) for other in others)) for p in order
    ]
    head = ("Parcel", given.name, *(scores.methods[method] for method in simple))
    table = Table(head, rows, f"R2 of each parcel, {ratio}, best first.")
    return [*blocks, Folded("The numbers of every parcel", [table])]


def _draw_brain(axes, r2, coords):
    """Draw parcels on a glass brain, which makes axes of its own."""
    from sklearn_brainlm.plotting import plot_parcels_on_glass_brain

    axes.figure.set_layout_engine("none")
    axes.set_position((0, 0, 1, 1))
    plot_parcels_on_glass_brain(r2, coords, unit="R2 of masked activity", axes=axes)


def _draw_histogram(axes, r2):
    """Draw how many parcels have which R2."""
    axes.hist(r2, bins="auto", color="#0072B2", edgecolor="white")
    axes.axvline(np.median(r2), color="black", linestyle="--")
    axes.set(xlabel="R2 of what was masked (1: exact)", ylabel="Parcels (number)")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
