"""Reads the page's pieces of HTML as a browser would, and knows which tags and attributes they may have."""

from html.parser import HTMLParser

TAGS = {
    *("h1", "h2", "p", "b", "i", "small", "span", "bdi", "div", "ul", "li", "button"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "datalist", "option"),
}
ATTRIBUTES = {
    *("id", "value", "class", "title", "style", "type", "role", "scope", "colspan", "dir", "aria-label", "aria-hidden"),
    *("data-ask", "data-find", "data-forget", "data-forget-label", "data-token", "aria-pressed"),
}


class Reader(HTMLParser):
    """What a browser would make of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.data: dict[str, list[str | None]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        self.open.append(tag)
        for name, value in attrs:
            assert name in ATTRIBUTES
            self.data.setdefault(name, []).append(value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)
