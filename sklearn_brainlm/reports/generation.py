"""What is known of an estimator or of a comparison, gathered and written as one page."""

import datetime

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_brainlm import __version__
from sklearn_brainlm.exceptions import BrainLMError
from sklearn_brainlm.reports import estimators, provenance
from sklearn_brainlm.reports.comparisons import describe_comparison, is_comparison
from sklearn_brainlm.reports.drawing import can_draw
from sklearn_brainlm.reports.forecasts import describe_forecasts
from sklearn_brainlm.reports.given import Given
from sklearn_brainlm.reports.page import make_page
from sklearn_brainlm.reports.predictions import describe_predictions
from sklearn_brainlm.reports.reconstructions import describe_reconstructions
from sklearn_brainlm.reports.sections import Paragraph, Section

__all__ = ["generate_report"]

_WITHOUT_FIGURES = (
    "There are no figures, as matplotlib is not installed. "
    "Install it with: pip install 'sklearn-brainlm[plotting]'"
)


def generate_report(
    what,
    X=None,
    *,
    X_train=None,
    y=None,
    y_train=None,
    recording_ids=None,
    parcel_names=None,
    parcel_coords=None,
    t_r=None,
    n_shown=2,
    title=None,
    date=None,
):
    """Write a report on an estimator, or on a comparison of methods, as one HTML page.

    Of an estimator it says what recordings must be like, what the doctor finds in those given, how
    its losses went, how well it fills in, forecasts or predicts them, beside simple methods, what
    it was told and where it is from. Nothing is fitted but simple methods, on `X_train`.

    Parameters
    ----------
    what : estimator or DataFrame
        An estimator, fitted or not, or what :func:`compare` or :func:`compare_forecasters`
        returned. Neither is changed.
    X : list of arrays of shape (n_timepoints, n_parcels), optional
        Recordings that the estimator has not seen. All are scored, as ``score`` does.
    X_train : list of arrays of shape (n_timepoints, n_parcels), optional
        Recordings to fit simple methods on, such as those the estimator was trained on; none of X
        may be among them. Without them, there are no simple methods beside the score.
    y, y_train : array-like of shape (n_recordings,) or (n_recordings, n_targets), optional
        Labels of X, and of the recordings that the estimator was trained on.
    recording_ids : sequence of str of shape (n_recordings,), optional
        Names of the recordings of X, those of a store when None.
    parcel_names : sequence of str of shape (n_parcels,), optional
        Names of the parcels, those the estimator knows when None.
    parcel_coords : array of shape (n_parcels, 3), optional
        MNI coordinates of the parcels in mm, those the estimator knows when None.
    t_r : float or sequence of float of shape (n_recordings,), optional
        Seconds between timepoints of X.
    n_shown : int, default=2
        Recordings of X to draw.
    title : str, optional
        Title of the page.
    date : str, optional
        When the report was made; today when None.

    Returns
    -------
    HTMLReport
        The page, which loads nothing from elsewhere and needs no JavaScript. A notebook shows it;
        ``report.save_as_html("report.html")`` writes it, ``report.open_in_browser()`` opens it.

    Raises
    ------
    TypeError
        If `what` is neither an estimator nor a comparison, or recordings are given to a comparison.
    ValueError
        If a recording is in both X and X_train, or names and labels do not fit X.

    See Also
    --------
    doctor : What is wrong with recordings, and how to mend it.
    format_comparison : A comparison as text.

    Notes
    -----
    All texts of users are escaped: a subject called ``<script>`` is a text. Subjects that an
    estimator was trained on are counted, not named.

    Figures need matplotlib; without it, tables say the same. Masked scores take as long as
    ``score``, and as long again for each simple method.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_brainlm import GaussianReconstructor
    >>> from sklearn_brainlm.reports import generate_report
    >>> recordings = list(np.random.default_rng(0).standard_normal((6, 40, 4)))
    >>> model = GaussianReconstructor(window_length=20, patch_length=5).fit(recordings[:4])
    >>> report = generate_report(model, recordings[4:], t_r=2.0, title="<a title>")
    >>> "&lt;a title&gt;" in report.html, "http:" in report.html
    (True, False)
    """
    date = datetime.date.today().isoformat() if date is None else str(date)
    if is_comparison(what):
        if any(value is not None for value in (X, X_train, y, y_train)):
            raise TypeError("A comparison is reported on as it is: give no recordings and labels.")
        sections = [*describe_comparison(what), _describe_versions(date)]
        if not can_draw():
            sections[0].blocks.append(Paragraph(_WITHOUT_FIGURES, "caution"))
        subtitle = "Methods side by side, each tested on recordings that it was not fitted on."
        return make_page(title or "Comparison of methods", subtitle, sections, _footer(date))
    if not isinstance(what, BaseEstimator):
        raise TypeError(
            f"what is a {type(what).__name__}; expected an estimator, or the DataFrame that "
            "compare or compare_forecasters returned."
        )
    given = Given(
        what, X, X_train, y, y_train, recording_ids, parcel_names, parcel_coords, t_r, n_shown
    )
    sections = _describe_estimator(given, date)
    subtitle = estimators.first_sentence(what)
    return make_page(title or f"{given.name}: report", subtitle, sections, _footer(date))


def _describe_estimator(given, date):
    """Return the sections of an estimator."""
    parameters = estimators.describe_parameters(given)
    origin = provenance.describe_provenance(given, date)
    if not estimators.is_fitted(given.estimator):
        text = f"This {given.name} is not fitted yet: there is nothing to say but what it was told."
        return [_summarise(Paragraph(text, "absent")), parameters, origin]
    given.check_apart()
    found, verdict = estimators.describe_findings(given)
    scores, scored = _describe_scores(given)
    learning = estimators.describe_learning(given)
    sections = [
        _summarise(scored, verdict),
        estimators.describe_contract(given),
        found,
        learning,
        *scores,
        parameters,
        origin,
        provenance.describe_licence(given),
    ]
    return [section for section in sections if section is not None]


def _summarise(*said):
    """Return the section that says the most in the fewest words."""
    blocks = [paragraph for paragraph in said if paragraph is not None]
    if not blocks:
        blocks = [Paragraph("Fitted. No recordings were given to look at it with (X).")]
    if not can_draw():
        blocks.append(Paragraph(_WITHOUT_FIGURES, "caution"))
    return Section("In short", "summary", blocks)


def _describe_scores(given):
    """Return what is said of scores, whatever kind of estimator it is, and that in a sentence."""
    estimator = given.estimator
    if hasattr(estimator, "reconstruct_windows"):
        describe, needs_y = describe_reconstructions, False
    elif hasattr(estimator, "backtest"):
        describe, needs_y = describe_forecasts, False
    elif hasattr(estimator, "predict"):
        describe, needs_y = describe_predictions, True
    else:
        return [], None
    missing = "recordings were given (X)" if given.X is None else ""
    if not missing and needs_y and given.y is None:
        missing = "labels were given (y)"
    if missing:
        text = f"No {missing}, so nothing was scored."
        return [Section("Score", "score", [Paragraph(text, "absent")])], None
    try:
        sections, verdict = describe(given)
        return sections, Paragraph(verdict, "verdict")
    # Recordings that cannot be used, or are so far off scale that nothing can be solved: the
    # doctor says why.
    except (BrainLMError, np.linalg.LinAlgError) as error:
        text = Paragraph(f"The recordings could not be scored. {error}", "caution")
        return [Section("Score", "score", [text])], text


def _describe_versions(date):
    """Say when and with which versions a comparison was reported on."""
    return provenance.tabulate_provenance([("Report made on", date)])


def _footer(date):
    """Say what made the page."""
    return (
        f"Made on {date} by sklearn-brainlm {__version__}. This page loads nothing from elsewhere."
    )
