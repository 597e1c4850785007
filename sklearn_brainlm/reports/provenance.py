"""What a report says of where things come from: counts, seeds, versions, terms."""

import platform
from importlib.metadata import version

from sklearn_brainlm._versions import package_versions
from sklearn_brainlm.reports.cells import show_count, show_value
from sklearn_brainlm.reports.given import find_inner
from sklearn_brainlm.reports.sections import Paragraph, Section, Table

__all__ = ["describe_licence", "describe_provenance", "tabulate_provenance"]


def describe_provenance(given, date):
    """Say where the estimator and the report come from.

    Parameters
    ----------
    given : Given
        An estimator.
    date : str
        When the report was made.

    Returns
    -------
    section : Section
        Counts, seeds, device, versions. No subject is named.
    """
    inner = find_inner(given.estimator)
    rows = [("Report made on", date)]
    trained_on = getattr(inner, "trained_on_", None)
    if trained_on is not None:
        counts = [
            show_count(trained_on["n_recordings"], "recording"),
            show_count(trained_on["n_timepoints"], "timepoint"),
        ]
        if trained_on.get("subjects"):
            counts.append(show_count(len(trained_on["subjects"]), "subject"))
        what = "Pretrained on" if inner is not given.estimator else "Trained on"
        is_known = trained_on["n_recordings"] > 0
        unknown = "nothing" if getattr(inner, "weights", None) is None else "not noted"
        rows.append((what, ", ".join(counts) if is_known else unknown))
    for name, label in (
        ("validation_indices_", "Held out to validate"),
        ("calibration_indices_", "Held out to calibrate"),
    ):
        if hasattr(given.estimator, name):
            number = show_count(len(getattr(given.estimator, name)), "recording")
            rows.append((label, f"{number} of those given to fit"))
    parameters = given.estimator.get_params(deep=False)
    if "weights" in parameters:
        weights = parameters["weights"]
        rows.append(("Started from", "nothing" if weights is None else show_value(weights)))
    for name, label in (
        ("weights_sha256_", "SHA-256 of the weights"),
        ("n_parameters_", "Parameters of the network"),
        ("device_", "Device"),
    ):
        value = getattr(given.estimator, name, None)
        if value is not None:
            rows.append((label, f"{value:,}" if isinstance(value, int) else str(value)))
    if "random_state" in parameters:
        rows.append(("Seed (random_state)", show_value(parameters["random_state"])))
    return tabulate_provenance(rows)


def tabulate_provenance(rows):
    """Tabulate where something comes from, and the versions at hand.

    Parameters
    ----------
    rows : list of tuple of str
        What is known, and its value.

    Returns
    -------
    section : Section
        The rows, and versions of packages below them.
    """
    versions = {**package_versions(), **{name: version(name) for name in ("nilearn", "pandas")}}
    rows = [*rows, ("Python", platform.python_version()), *versions.items()]
    caption = "Where this comes from. Versions are those the report was made with."
    return Section("Provenance", "provenance", [Table(("What", "Value"), rows, caption, False)])


def describe_licence(given):
    """Say under which terms the weights may be used.

    Parameters
    ----------
    given : Given
        A fitted estimator.

    Returns
    -------
    section : Section or None
        The terms; None of what has no weights.
    """
    inner = find_inner(given.estimator)
    if not hasattr(inner, "contract_"):
        return None
    licence = inner.contract_.licence
    if licence is None:
        text = "No licence is noted. The terms of the recordings that were trained on hold for the"
        text += " weights, and for this report, as far as they say so."
        return Section("Licence of the weights", "licence", [Paragraph(text, "absent")])
    blocks = [Paragraph(licence), Paragraph("Do not redistribute the weights.", "caution")]
    return Section("Licence of the weights", "licence", blocks)
