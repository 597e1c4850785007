"""What a report says of every estimator: what it expects, how it learned, what it was told."""

from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklearn_brainlm._values import enumerate_first
from sklearn_brainlm.diagnosis.findings import SHOWN_AT_MOST
from sklearn_brainlm.doctor import doctor
from sklearn_brainlm.exceptions import InvalidRecordingError, InvalidRecordingTypeError
from sklearn_brainlm.reports.cells import show_count, show_number, show_seconds, show_value
from sklearn_brainlm.reports.drawing import draw
from sklearn_brainlm.reports.sections import Folded, Paragraph, Section, Table

__all__ = [
    "describe_contract",
    "describe_findings",
    "describe_learning",
    "describe_parameters",
    "first_sentence",
    "is_fitted",
]


def first_sentence(estimator):
    """Return what the class of an estimator says it does.

    Parameters
    ----------
    estimator : BaseEstimator
        Any.

    Returns
    -------
    text : str
        The first line of its docstring; empty without one.

    Examples
    --------
    >>> from sklearn_brainlm import GaussianReconstructor
    >>> first_sentence(GaussianReconstructor())
    'Fill in masked and missing values by their conditional mean, without a network.'
    """
    lines = (type(estimator).__doc__ or "").strip().split("\n\n")[0]
    return " ".join(lines.split())


def is_fitted(estimator):
    """Say whether an estimator is fitted.

    Parameters
    ----------
    estimator : BaseEstimator
        Any.

    Returns
    -------
    fitted : bool
        What scikit-learn finds.

    Examples
    --------
    >>> from sklearn_brainlm import GaussianReconstructor
    >>> is_fitted(GaussianReconstructor())
    False
    """
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def describe_contract(given):
    """Say what recordings must be like.

    Parameters
    ----------
    given : Given
        A fitted estimator.

    Returns
    -------
    section : Section
        The input contract.
    """
    contract = given.contract
    if contract is None:
        text = f"{given.name} does not say what it expects of recordings."
        return Section("Input contract", "contract", [Paragraph(text, "absent")])
    rows = [
        (
            "Parcels",
            f"{contract.n_parcels:,}" + (f" of {contract.atlas}" if contract.atlas else ""),
        ),
        ("Names of parcels", _shown_names(given)),
        ("Coordinates of parcels", _is_known(given.coords, "known, in MNI mm")),
        ("Repetition time", "not noted" if contract.t_r is None else f"{contract.t_r:g} s"),
    ]
    if hasattr(given.estimator, "context_length"):
        for label, name in (("Context that is forecast from", "context_length"),
                            ("Horizon that is forecast", "horizon")):  # fmt: skip
            rows.append((label, _shown_length(getattr(given.estimator, name), contract.t_r)))
    elif contract.window_length > 1:
        rows.append(("Window, seen at a time", _shown_length(contract.window_length, contract.t_r)))
    if contract.patch_length > 1:
        patch = _shown_length(contract.patch_length, contract.t_r)
        rows.append(("Patch", f"{patch} of {show_count(contract.parcels_per_patch, 'parcel')}"))
    scaling = "none" if contract.scaler is None else f"{contract.scaler}, parcel by parcel"
    if contract.divisor != 1:
        scaling += f", divided by {contract.divisor:g}"
    rows += [
        ("Units before scaling", contract.units),
        ("Scaling", scaling),
        ("Clipped", "no" if contract.clip is None else f"beyond {contract.clip:g} scaled units"),
        ("Statistics of the scaling", _is_known(contract.center, "learned in training")),
        ("Bound to these parcels by", ", ".join(contract.atlas_bound) or "nothing that is noted"),
        ("Licence of the weights", contract.licence or "not noted"),
    ]
    caption = "What recordings must be like: arrays of timepoints (rows) and parcels (columns)."
    table = Table(("Expected", "Value"), rows, caption, numbers=False)
    return Section("Input contract", "contract", [table])


def describe_findings(given):
    """Say what is wrong with the recordings given.

    Parameters
    ----------
    given : Given
        A fitted estimator and recordings.

    Returns
    -------
    section : Section
        What the doctor found.
    verdict : Paragraph or None
        That in a sentence; None when no recordings were given.
    """
    title, anchor = "Recordings: what the doctor found", "doctor"
    if given.X is None:
        text = "No recordings were given (X), so none were checked."
        return Section(title, anchor, [Paragraph(text, "absent")]), None
    t_r = given.of_store("t_r") if given.t_r is None else given.t_r
    t_r = given.seconds if t_r is None else t_r
    try:
        diagnosis = doctor(given.X, given.contract, t_r=t_r, recording_ids=given.ids)
    except (InvalidRecordingError, InvalidRecordingTypeError) as error:
        text = f"X cannot be looked at as recordings: {error}"
        return Section(title, anchor, [Paragraph(text, "absent")]), None
    blocks = [Paragraph(f"Looked at: {diagnosis.summary}.")]
    if not diagnosis.findings:
        text = "The doctor found nothing wrong with the recordings."
        return Section(title, anchor, [*blocks, Paragraph(text)]), Paragraph(text, "verdict")
    n_errors = sum(finding.is_error for finding in diagnosis.findings)
    errors = show_count(n_errors, "error") if n_errors else "no error"
    verdict = f"The doctor found {errors} in the recordings"
    if len(diagnosis.findings) > n_errors:
        verdict += f" and wrote {show_count(len(diagnosis.findings) - n_errors, 'note')}"
    verdict = Paragraph(f"{verdict}.", "caution" if n_errors else "verdict")
    rows = [
        (
            "error" if finding.is_error else "note",
            finding.kind,
            _shown_recordings(finding.recordings, given.ids),
            finding.text,
            finding.fix,
        )
        for finding in diagnosis.findings
    ]
    marked = tuple(range(n_errors))
    caption = (
        "Errors first: with these, results would be wrong or missing. Notes are worth knowing."
    )
    head = ("Severity", "Kind", "Recordings", "What was found", "What to do")
    blocks.append(Table(head, rows, caption, False, marked, "error"))
    return Section(title, anchor, blocks), verdict


def describe_learning(given):
    """Show how the losses went.

    Parameters
    ----------
    given : Given
        A fitted estimator.

    Returns
    -------
    section : Section or None
        Loss curves; None of what has no epochs.
    """
    if not hasattr(given.estimator, "history_"):
        return None
    history = given.estimator.history_
    title, anchor = "Loss curves", "losses"
    if not history:
        text = "No epoch was trained: the weights are used as they are, or a closed form is."
        return Section(title, anchor, [Paragraph(text, "absent")])
    from sklearn_brainlm.plotting import plot_loss_curve

    last = history[-1]
    valid = [row["valid_loss"] for row in history if row.get("valid_loss") is not None]
    text = f"{show_count(len(history), 'epoch')}, training loss {last['train_loss']:.4g} at last"
    if valid:
        text += f"; validation loss {valid[-1]:.4g} at last, lowest {min(valid):.4g}"
    else:
        text += "; nothing was held out to validate on"
    blocks = [Paragraph(f"{text}.")]
    best = getattr(given.estimator, "best_epoch_", None)
    if best is not None:
        start = "the start, which no epoch was better than" if best == 0 else f"epoch {best}"
        blocks.append(Paragraph(f"The weights are those of {start}."))
    blocks += draw(
        lambda axes: _with_own_loss(plot_loss_curve(history, axes), given),
        (7, 3.6),
        alt=f"Line plot of the training and validation losses over {len(history)} epochs. {text}.",
        caption="Solid: training, whose windows change with every epoch. Dashed: validation, on "
        "recordings held out from the training. Lower is better; a validation loss that rises "
        "while the training loss falls says that recordings are being learned by heart.",
    )
    rows = [
        (
            str(row["epoch"]),
            show_number(row["train_loss"], ".4g"),
            show_number(row.get("valid_loss"), ".4g"),
            show_number(row.get("lr"), ".2g"),
            show_seconds(row.get("seconds", 0)),
        )
        for row in history
    ]
    head = ("Epoch", "Training loss", "Validation loss", "Learning rate", "Time")
    blocks.append(Folded("The numbers of every epoch", [Table(head, rows, "Losses by epoch.")]))
    return Section(title, anchor, blocks)


def describe_parameters(given):
    """Say what the estimator was told.

    Parameters
    ----------
    given : Given
        An estimator.

    Returns
    -------
    section : Section
        Parameters that are not the defaults, and the others.
    """
    # Of a pipeline, which has no defaults, all there is to say.
    own = given.estimator.get_params(deep=False)
    try:
        defaults = type(given.estimator)().get_params(deep=False)
    except TypeError:
        defaults = {}
    changed, others = [], []
    for name, value in own.items():
        is_default = name in defaults and show_value(defaults[name]) == show_value(value)
        (others if is_default else changed).append((name, show_value(value)))
    head, blocks = ("Parameter", "Value"), []
    if changed:
        blocks.append(Table(head, changed, "Set to something else than the default.", False))
    else:
        blocks.append(Paragraph("All parameters have their defaults."))
    if others:
        table = Table(head, others, "As they are by default.", False)
        blocks.append(Folded(f"{show_count(len(others), 'parameter')} with the default", [table]))
    return Section("Parameters", "parameters", blocks)


def _with_own_loss(axes, given):
    """Name the loss of what predicts labels; the plot names that of masked patches."""
    if hasattr(given.estimator, "predict") and not hasattr(given.estimator, "horizon"):
        is_classifier = hasattr(given.estimator, "predict_proba")
        unit = "cross-entropy, nats" if is_classifier else "squared standardised labels"
        axes.set_ylabel(f"Loss of the labels\n({unit})")
    return axes


def _shown_names(given):
    """Name the first parcels."""
    names = given.parcel_names
    names = given.contract.parcel_names if names is None else names
    return "not noted" if names is None else enumerate_first(list(names))


def _is_known(value, text):
    """Say whether something is known."""
    return "not known" if value is None else text


def _shown_length(n_timepoints, t_r):
    """Write timepoints, and seconds where they are known."""
    text = show_count(n_timepoints, "timepoint")
    return text if t_r is None else f"{text} ({show_seconds(n_timepoints * t_r)})"


def _shown_recordings(indices, ids):
    """Name the recordings of a finding."""
    if len(indices) == len(ids) and len(ids) > SHOWN_AT_MOST:
        return f"all {len(ids)}"
    return enumerate_first([ids[index] for index in indices]) if indices else "–"
