"""The page: HTML of sections, to look at in a notebook, to save, to open."""

import tempfile
import webbrowser
from pathlib import Path
from string import Template

from nilearn import reporting

from sklearn_brainlm.files.durable import write_bytes_atomically

__all__ = ["HTMLReport", "make_page"]

# What the page may load: nothing but what is in it, whatever the texts in it say.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class HTMLReport(reporting.HTMLReport):
    """A report as one HTML page that loads nothing from elsewhere.

    In a notebook it shows itself, in a frame. It is nilearn's report, but what is saved is the
    page itself, which fits narrow and wide windows, and nothing listens on the network to show it.

    Parameters
    ----------
    html : str
        The page.

    Attributes
    ----------
    html : str
        The page.
    width, height : int
        Pixels of the frame in a notebook; :meth:`resize` changes them.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_brainlm import RecordingScaler
    >>> from sklearn_brainlm.reports import generate_report
    >>> report = generate_report(RecordingScaler(), date="2025-01-31")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report.save_as_html(Path(folder) / "report.html")
    ...     (Path(folder) / "report.html").read_text(encoding="utf-8") == report.html
    True
    """

    def __init__(self, html):
        super().__init__(Template("$body"), html)
        self.resize(1000, 800)

    def save_as_html(self, file_name):
        """Write the page into a file.

        Parameters
        ----------
        file_name : str or Path
            The file, in UTF-8. One that is there is replaced as a whole.
        """
        write_bytes_atomically(Path(file_name), self.html.encode("utf-8"))

    def open_in_browser(self, file_name=None):
        """Open the page in the browser.

        Parameters
        ----------
        file_name : str or Path, optional
            Where to save it first. None takes a temporary file, which only its owner can read and
            which stays, as nobody knows when the browser has read it.
        """
        if file_name is None:
            with tempfile.NamedTemporaryFile(suffix=".html", delete=False) as file:
                file.write(self.html.encode("utf-8"))
            file_name = file.name
        else:
            self.save_as_html(file_name)
        webbrowser.open(Path(file_name).resolve().as_uri())

    def _repr_html_(self):
        """Return the page in a frame, whose style leaves the notebook's alone."""
        return self.get_iframe()


def make_page(title, subtitle, sections, footer):
    """Write sections as a page.

    Parameters
    ----------
    title : str
        What the report is on.
    subtitle : str
        What that is, in a sentence.
    sections : list of Section
        What there is to say. All text is escaped: what looks like HTML is shown as it is.
    footer : str
        How the page was made.

    Returns
    -------
    report : HTMLReport
        The page.

    Examples
    --------
    >>> report = make_page("<b>", "A title that looks like HTML.", [], "Made by hand.")
    >>> "<h1>&lt;b&gt;</h1>" in report.html
    True
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sklearn_brainlm.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    given = {"title": title, "subtitle": subtitle, "sections": sections, "footer": footer}
    return HTMLReport(environment.get_template("page.html").render(given, policy=_POLICY))
