"""Drawings into figures of the page."""

import base64
import io
import warnings
from importlib.util import find_spec

from sklearn_brainlm.reports.cells import shorten
from sklearn_brainlm.reports.sections import Figure

__all__ = ["can_draw", "draw", "name_in_figure", "names_in_figure"]

_DPI = 144  # pixels an inch of the file; screens of today have two for one of the page
_PAGE_DPI = 96
_FONT_SIZE = 11  # points; a figure is half as wide on a telephone
_LONGEST_NAME = 36


def can_draw():
    """Say whether there is matplotlib, which is an extra.

    Returns
    -------
    can : bool
        Whether figures can be made.

    Examples
    --------
    >>> can_draw()
    True
    """
    try:
        return find_spec("matplotlib") is not None
    except ValueError:  # somebody has put it out of reach
        return False


def draw(plot, figsize, *, alt, caption):
    """Draw a figure of the page, or none where there is no matplotlib.

    Parameters
    ----------
    plot : callable
        Takes axes and draws on them.
    figsize : tuple of float
        Width and height in inches.
    alt, caption : str
        What it shows, for those who do not see it and for those who do.

    Returns
    -------
    figures : list of Figure
        One, or none.

    Examples
    --------
    >>> figures = draw(lambda axes: axes.plot([1, 2]), (3, 2), alt="a line", caption="A line.")
    >>> figures[0].source[:22], figures[0].width
    ('data:image/png;base64,', 288)
    """
    if not can_draw():
        return []
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    # Neither pyplot's figures nor the caller's style have a part in this.
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams["font.size"] = _FONT_SIZE
        # A name may be in letters that the font lacks: boxes are drawn, and the tables say it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)
        figure = Canvas(figsize=figsize, layout="constrained")
        plot(figure.subplots())
        file = io.BytesIO()
        figure.savefig(file, dpi=_DPI, format="png", metadata={"Software": None})
    image = base64.b64encode(file.getvalue()).decode("ascii")
    width = round(figsize[0] * _PAGE_DPI)
    return [Figure(f"data:image/png;base64,{image}", alt, caption, width)]


def name_in_figure(name):
    r"""Make a name of a user one that matplotlib writes as it is.

    Parameters
    ----------
    name : str
        Any text. Dollars would begin a formula.

    Returns
    -------
    name : str
        On one line, and not long.

    Examples
    --------
    >>> print(name_in_figure("$5"))
    \$5
    """
    text = "".join(c if c.isprintable() else "?" for c in shorten(name, _LONGEST_NAME))
    return text.replace("$", r"\$")


def names_in_figure(names):
    """Make names of users ones that matplotlib writes, each another.

    Parameters
    ----------
    names : sequence of str
        Different names.

    Returns
    -------
    names : dict of str to str
        What each becomes.

    Examples
    --------
    >>> list(names_in_figure(["x" * 40 + "1", "x" * 40 + "2"]).values())[1][-6:]
    'x… (2)'
    """
    made = {}
    for name in dict.fromkeys(names):
        short, number = name_in_figure(name), 2
        text = short
        while text in made.values():
            text, number = f"{short} ({number})", number + 1
        made[name] = text
    return made
