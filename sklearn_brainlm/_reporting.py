"""How an estimator is asked for a report."""

from importlib import import_module

__all__ = ["ReportMixin"]


class ReportMixin:
    """Let an estimator write a report on itself.

    Examples
    --------
    >>> from sklearn_brainlm import GaussianReconstructor
    >>> issubclass(GaussianReconstructor, ReportMixin)
    True
    """

    def generate_report(self, X=None, **options):
        """Write a report on this estimator as one HTML page.

        Parameters
        ----------
        X : list of arrays of shape (n_timepoints, n_parcels), optional
            Recordings that it has not seen, to look at it with.
        **options : dict
            What :func:`~sklearn_brainlm.generate_report` takes beside, such as `X_train`, `y`,
            `recording_ids` and `title`.

        Returns
        -------
        report : HTMLReport
            A page that a notebook shows, with ``save_as_html`` and ``open_in_browser``.

        Raises
        ------
        ValueError
            If a recording is in both X and X_train, or names and labels do not fit X.
        """
        # Imported when asked for, and by name: reports know the estimators, not they reports.
        reports = import_module("sklearn_brainlm.reports")
        return reports.generate_report(self, X, **options)
