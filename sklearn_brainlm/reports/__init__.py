"""Reports: one self-contained HTML file on an estimator, or on a comparison of methods.

What is said of an estimator is in ``estimators.py``, of what it fills in, forecasts and predicts in
``reconstructions.py``, ``forecasts.py`` and ``predictions.py``, of comparisons in
``comparisons.py``. These make sections of paragraphs, tables and figures (``sections.py``); only
``page.py`` and its template know HTML, and the template escapes every text.
"""

from sklearn_brainlm.reports.generation import generate_report
from sklearn_brainlm.reports.page import HTMLReport

__all__ = ["HTMLReport", "generate_report"]
