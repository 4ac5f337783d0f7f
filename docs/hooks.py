"""What the site has that the files of docs/ do not: pages and pictures from elsewhere in the repository.

Formulas are written as MathML, which browsers show without a script.
"""

import html
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COPIED = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "measurements.md": "tasks/few_shot_text/README.md",
    "omniglot.md": "tasks/omniglot/README.md",
    "pictures/how_it_works.svg": "examples/pictures/how_it_works.svg",
    "pictures/live_page.png": "examples/space/screenshot.png",
    "pictures/episode-10-way-1-shot.png": "tasks/omniglot/pictures/episode-10-way-1-shot.png",
    "pictures/episode-4-way-3-shot.png": "tasks/omniglot/pictures/episode-4-way-3-shot.png",
}
"""Files of the site by the file of the repository that they are."""


def on_files(files: Any, config: Any, **_: Any) -> Any:
    """Adds the files that lie elsewhere in the repository."""
    from mkdocs.structure.files import File

    for name, source in COPIED.items():
        path = ROOT / source
        if path.suffix == ".md":
            files.append(File.generated(config, name, content=without_links(path.read_text(encoding="utf-8"))))
        else:
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def without_links(page: str) -> str:
    """A page of the repository with links to its other files as plain words: they are not part of the site."""
    return re.sub(r"(?<!!)\[([^\]\n]+(?:\n[^\]\n]+)?)\]\((?!https?://|#)[^)\s]+\)", r"\1", page)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leads the links of a page to the files of the repository that are part of the site."""
    for name, source in COPIED.items():
        markdown = re.sub(rf"(?<=\]\()\.\./{re.escape(source)}(?=[)#])", name, markdown)
    return markdown


def on_page_content(content: str, **_: Any) -> str:
    """Formulas as MathML, and notebooks without a script that would ask another machine for one that draws diagrams."""
    from latex2mathml.converter import convert

    def inline(found: re.Match[str]) -> str:
        return convert(html.unescape(found[2]), display="block" if found[1] == "div" else "inline")

    content = re.sub(r'<script type="module">(?:(?!</script>).)*mermaid.*?</script>', "", content, flags=re.DOTALL)
    return re.sub(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', inline, content, flags=re.DOTALL)
