"""What a report is made of: sections that hold paragraphs, tables and figures."""

import dataclasses

__all__ = ["Figure", "Folded", "Paragraph", "Section", "Table"]


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A paragraph.

    Attributes
    ----------
    text : str
        Plain text.
    tone : {"plain", "verdict", "absent", "caution"}, default="plain"
        Whether it says what came out, what is not there, or what to beware of.

    Examples
    --------
    >>> Paragraph("No recordings were given.", "absent").kind
    'paragraph'
    """

    text: str
    tone: str = "plain"
    kind = "paragraph"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    head : tuple of str
        Names of the columns.
    rows : list of tuple of str
        Cells as text; the first of a row names it.
    caption : str
        What it shows.
    numbers : bool, default=True
        Whether all columns but the first hold numbers, which stand to the right.
    marked : tuple of int, default=()
        Rows that stand out.
    tone : {"best", "error"}, default="best"
        Why they do.

    Examples
    --------
    >>> Table(("method", "R2"), [("Mean", "0.000")], "What was masked").kind
    'table'
    """

    head: tuple
    rows: list
    caption: str
    numbers: bool = True
    marked: tuple = ()
    tone: str = "best"
    kind = "table"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes
    ----------
    source : str
        The image itself, as a data URL.
    alt : str
        What it shows, for those who do not see it.
    caption : str
        What it shows, and how to read it.
    width : int
        Pixels it is wide where there is room.

    Examples
    --------
    >>> Figure("data:image/png;base64,", "an empty figure", "Nothing.", 800).kind
    'figure'
    """

    source: str
    alt: str
    caption: str
    width: int
    kind = "figure"


@dataclasses.dataclass(frozen=True)
class Folded:
    """Something long, which is shown when asked for.

    Attributes
    ----------
    summary : str
        What is in it.
    blocks : list
        Paragraphs, tables and figures.

    Examples
    --------
    >>> Folded("46 more parameters", []).kind
    'folded'
    """

    summary: str
    blocks: list
    kind = "folded"


@dataclasses.dataclass(frozen=True)
class Section:
    """A section.

    Attributes
    ----------
    title : str
        Its heading.
    anchor : str
        Its name in links, of letters and hyphens.
    blocks : list
        Paragraphs, tables, figures and what is folded, in order.

    Examples
    --------
    >>> Section("Licence", "licence", [Paragraph("Unknown.")]).anchor
    'licence'
    """

    title: str
    anchor: str
    blocks: list
