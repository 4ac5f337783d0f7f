"""Every paper that a docstring or a page cites can be looked up: in one notation, by its title and a link."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = sorted(path for part in ("mann_hf", "tasks") for path in (ROOT / part).rglob("*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "tasks").rglob("*.md"))]
CITATION = re.compile(r"\b[A-Z][A-Za-z]+(?: et al\.| (?:and|&) [A-Z][a-z]+)? (?:19|20)\d\d\b(?!-)")
TITLE = r"(?:, \(?| \(|\), )\[[^\]]+\]\(https?://[^)]+\)"
"""A title with its link, behind a citation."""
NO_NAME = re.compile(
    r"^(?:JPEG|January|February|March|April|May|June|July|August|September|October|November|December) "
)


def citations(text: str) -> list[str]:
    return [found for found in CITATION.findall(" ".join(text.split())) if not NO_NAME.match(found)]


def not_as_sources(text: str) -> list[str]:
    """The citations in a docstring outside of a paragraph `Source: ...`, or without title and link there."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        line = " ".join(paragraph.split())
        found += [one for one in citations(line) if not line.startswith("Source: ") or not titled(one, line)]
    return found


def titled(citation: str, text: str) -> bool:
    """Whether title and link stand behind a citation somewhere in a text."""
    return re.search(re.escape(citation) + TITLE, " ".join(text.split())) is not None


def docstrings(path: Path) -> Iterator[str]:
    """Docstrings, and the strings below constants that say what they are."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def test_a_citation_without_title_or_link_is_found() -> None:
    assert not_as_sources("Weights (Graves et al. 2014, eq. 5).\n\nSource: https://arxiv.org") == ["Graves et al. 2014"]
    assert not_as_sources("Source: Kiefer 1953, and Wang & Isola 2020") == ["Kiefer 1953", "Wang & Isola 2020"]
    assert not_as_sources('Equation 2 of Li et al. 2018, "Title" (https://arxiv.org).') == ["Li et al. 2018"]
    assert not not_as_sources("Source: Graves et al. 2014, [Neural Turing\nMachines](https://arxiv.org/abs/1410.5401).")
    assert not citations("as of November 2026")


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_papers_are_cited_as_sources(path: Path) -> None:
    assert not [found for text in docstrings(path) for found in not_as_sources(text)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_name_and_link_the_papers_that_they_cite(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not [found for found in dict.fromkeys(citations(text)) if not titled(found, text)]
