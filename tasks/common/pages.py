"""Pages with tables that are made from result files."""

import re
from collections.abc import Iterable, Sequence

ABSENT = "–"
NOT_MEASURED = "Not measured."


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, figures to the right; a row without figures is left out, a table without rows said to be."""
    kept = [row for row in rows if any(re.search(r"\d", field) for field in row[1:])]
    if not kept:
        return NOT_MEASURED
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *kept]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rendered(page: str, blocks: dict[str, str]) -> str:
    """The page with each block between its markers.

    Raises:
        ValueError: a block has no place in the page, or a place no block.
    """
    places = re.findall(r"<!-- results: (\w+) -->", page)
    if sorted(places) != sorted(blocks):
        raise ValueError(f"the page has places for {sorted(places)}, and there are {sorted(blocks)}.")
    whole = r"<!-- results: (\w+) -->\n(?:(?!<!-- results).)*?<!-- end of results -->"
    if len(re.findall(whole, page, flags=re.DOTALL)) != len(places):
        raise ValueError("every <!-- results: name --> needs a line <!-- end of results --> behind it.")

    def fill(place: re.Match[str]) -> str:
        return f"<!-- results: {place[1]} -->\n{blocks[place[1]]}\n<!-- end of results -->"

    return re.sub(whole, fill, page, flags=re.DOTALL)
