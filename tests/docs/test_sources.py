"""Every paper that a docstring cites can be looked up: it has a link."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "mann_hf"
CITATION = re.compile(r"\b[A-Z][A-Za-z]+(?: et al\.| (?:and|&) [A-Z][a-z]+)? (?:19|20)\d\d\b")
LINK = re.compile(r"https?://")


def without_link(text: str) -> list[str]:
    """The citations in the paragraphs of a docstring that have no link."""
    paragraphs = re.split(r"\n\s*\n", text)
    return [found for each in paragraphs if not LINK.search(each) for found in CITATION.findall(each)]


def docstrings(path: Path) -> Iterator[str]:
    """Docstrings, and the strings below constants that say what they are."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def test_a_citation_without_a_link_is_found() -> None:
    assert without_link("Weights (Graves et al. 2014, eq. 5).\n\nSource: https://arxiv.org") == ["Graves et al. 2014"]
    assert without_link("Kiefer 1953, and Wang & Isola 2020") == ["Kiefer 1953", "Wang & Isola 2020"]
    assert not without_link("Source: Graves et al. 2014, [Neural Turing\nMachines](https://arxiv.org/abs/1410.5401).")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_papers_are_cited_with_a_link(path: Path) -> None:
    assert not [found for text in docstrings(path) for found in without_link(text)]
