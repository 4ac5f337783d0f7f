"""Code and commands as the README and the pages of docs/ print them, and what their comments promise."""

import ast
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
FIRST_EXAMPLE = ROOT / "docs" / "index.md"
"""The page whose code the others go on from."""
PROGRAMS = re.compile(r"(?:mann-hf|hf|python|pip|make|accelerate|torchrun|bash|cat|[A-Z_]+=\w+) .+")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language; `""` for shell commands."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text(page), re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


def commands(page: Path) -> list[str]:
    """The shell commands of a page's blocks, in order."""
    return [line for block in blocks(page, "") for line in block.splitlines()]


def inline_commands(page: Path) -> list[str]:
    """The commands within the text of a page, tables from docstrings aside."""
    left_out = r"^```.*?^```$|^<!-- generated: .*?^<!-- end of generated -->$"
    plain = re.sub(left_out, "", text(page), flags=re.MULTILINE | re.DOTALL)
    return [code for code in re.findall(r"`([^`\n]+)`", plain) if PROGRAMS.fullmatch(code)]


def checked(block: str) -> str:
    """A block of Python in which a line `EXPRESSION  # VALUE` calls `same(EXPRESSION, VALUE)`.

    A line `print(EXPRESSION)  # TEXT` compares what is printed. Other comments that are no values are for people alone.
    """
    lines = []
    for line in block.splitlines():
        code, _, comment = line.partition("  # ")
        shown = re.fullmatch(r"print\(([^,]+)\)", code)
        if comment and not line.startswith(" ") and (shown or _is_value(comment)):
            line = f"same(str({shown[1]}), {comment!r})" if shown else f"same({code}, {comment})"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _is_value(comment: str) -> bool:
    try:
        ast.literal_eval(comment)
    except (ValueError, SyntaxError):
        return False
    return True


def same(found: Any, promised: Any) -> None:
    """Raises an error where a value is not the one that a comment promises; `...` stands for anything."""
    if promised is ... or promised == [...]:
        return
    if isinstance(promised, list):
        assert isinstance(found, list) and len(found) == len(promised), (found, promised)
        for one, other in zip(found, promised, strict=True):
            same(one, other)
    elif isinstance(promised, dict):
        for name, value in promised.items():
            same(found[name], value)
    elif isinstance(promised, float):
        assert abs(found - promised) <= 0.006, (found, promised)
    else:
        assert found == promised, (found, promised)


def run_page(page: Path) -> dict[str, Any]:
    """Runs the Python of a page here, after that of the first example; what it defined."""
    names: dict[str, Any] = {"same": same}
    before = [] if page in (README, FIRST_EXAMPLE) else blocks(FIRST_EXAMPLE, "python")
    for block in [*before, *blocks(page, "python")]:
        exec(compile(checked(block), str(page), "exec"), names)
    return names
