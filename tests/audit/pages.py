"""Audit pages as the tests read them: what a browser or a reader would find in the HTML."""

from __future__ import annotations

from html.parser import HTMLParser

REFERENCES = ("aria-labelledby", "aria-describedby", "for", "href")
VOID = {"br", "hr", "img", "input", "link", "meta"}


class PageReader(HTMLParser):
    """Takes a page apart and insists that its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[int] = []
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._part(tag)
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")
            elif name in REFERENCES and (name != "href" or (value or "").startswith("#")):
                self.references += (value or "").replace("#", "").split()
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        self._part(tag)
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.texts.append(data)

    @property
    def text(self) -> str:
        """What stands on the page, words one space apart."""
        return " ".join("".join(self.texts).split())

    def _part(self, tag: str) -> None:
        """Keep words of two elements apart, but not those of a span from what is around it."""
        if tag != "span":
            self.texts.append(" ")


def read_page(html: str) -> PageReader:
    """A page taken apart."""
    reader = PageReader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader
