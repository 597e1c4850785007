"""Pages of reports, taken apart: what a browser would make of the HTML."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr"}
HOSTILE = "<script>alert(1)</script>"
SHARP = "\"' onerror=alert(1) & $\\frac$ {{ 7*7 }} =cmd()"  # attributes, formulas, templates


class Page(HTMLParser):
    """Tags, the text of every section, rows of tables and figures of a page."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.sections, self.tables, self.images = [], {}, [], []
        self.style, self.title, self._open, self._section = "", "", [], None
        self.feed(html)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    @property
    def text(self):
        """All text of the body."""
        return " ".join(text for _, text in self.sections.items())

    def rows(self, *head):
        """Return the rows of the first table whose head starts like this, by their first cell."""
        for table in self.tables:
            if tuple(table[0][: len(head)]) == head:
                return {row[0]: row[1:] for row in table[1:]}
        raise AssertionError(f"no table {head}: {[table[0] for table in self.tables]}")

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        if tag == "section":
            self._section = attrs["id"]
            self.sections[self._section] = ""
        elif tag == "img":
            self.images.append(attrs)
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes another"
        if tag == "section":
            self._section = None

    def handle_data(self, data):
        tag = self._open[-1] if self._open else ""
        if tag == "style":
            self.style += data
        elif tag == "title":
            self.title += data
        elif tag in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if self._section is not None:
            self.sections[self._section] += data


def check_self_contained(page):
    """Nothing is loaded from elsewhere, nothing runs, and every figure says what it shows."""
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "iframe", "object", "embed", "base", "form", "svg"}, names
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
        assert "style" not in attrs
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attrs.get(name, "#")
            assert value.startswith(("#", "data:")), (tag, name, value[:60])
    assert "url(" not in page.style and "@import" not in page.style
    policy = [attrs["content"] for tag, attrs in page.tags if "http-equiv" in attrs]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    for image in page.images:
        assert image["src"].startswith("data:image/png;base64,")
        assert len(image["alt"]) > 20
