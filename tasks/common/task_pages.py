"""The command that writes the tables of a task's page, or checks them."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .pages import rendered

Results = Sequence[dict[str, Any]]
"""The content of result files."""


def load_results(folder: Path) -> list[dict[str, Any]]:
    """The result files of a folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def render_page(
    arguments: Sequence[str] | None,
    about: str,
    tables: Sequence[Callable[[Results], str]],
    results: Path,
    page: Path,
    module: str,
) -> None:
    """Writes the tables into a page, each at the place of its name; with `--check` only fails where they differ.

    Args:
        arguments: of the command.
        about: its documentation.
        tables: make a table of the result files each.
        results: the folder of these by default.
        page: by default.
        module: of the command, for the message.

    Raises:
        SystemExit: the page differs.
    """
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where the page has other figures")
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--page", type=Path, default=page)
    chosen = parser.parse_args(arguments)
    files = load_results(chosen.results)
    before = chosen.page.read_text(encoding="utf-8")
    after = rendered(before, {make.__name__: make(files) for make in tables})
    if chosen.check and after != before:
        sys.exit(f"{chosen.page} differs from the result files: run python -m {module}")
    if not chosen.check:
        chosen.page.write_text(after, encoding="utf-8")
