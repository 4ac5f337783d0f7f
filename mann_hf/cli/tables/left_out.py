"""Finds what lies in a folder, and says what of it is not read."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ...wording import counted, listed
from ..modalities import kind_of_inputs
from .columns import Columns
from .content import LOCK

HIDDEN = (".", "__", LOCK)
"""Beginnings of names that are not data: hidden files, caches and lock files."""
NO_DATA = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
OF_SYSTEMS = {"thumbs.db", "desktop.ini"}
"""Files that systems write beside pictures, of which nothing is said."""


class Found(NamedTuple):
    """What lies in a folder and its subfolders without what is hidden: paths relative to it, in order.

    Attributes:
        files: the files, also those that links lead to.
        folders: the folders.
        links: links to folders, which are not followed: they may lead around in a circle.
        no_files: links that lead nowhere, and pipes.
    """

    files: list[Path]
    folders: list[Path]
    links: list[Path]
    no_files: list[Path]


def find_all(folder: str) -> Found:
    """What lies in a folder and its subfolders."""
    found = Found([], [], [], [])
    for place, folders, names in os.walk(folder):
        within = Path(place).relative_to(folder)
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        for name in folders:
            (found.links if os.path.islink(Path(place, name)) else found.folders).append(within / name)
        for name in names:
            if not name.startswith(HIDDEN):
                (found.files if os.path.isfile(Path(place, name)) else found.no_files).append(within / name)
    return Found(*(sorted(paths, key=Path.as_posix) for paths in found))


def say_left_out(folder: str, read: Sequence[Path], level: int, columns: Columns) -> None:
    """Prints what is left out of a folder of classes because of what it is.

    Args:
        folder: the folder.
        read: the files that are read.
        level: how many folders, such as that of a split, are above those of classes.
        columns: what is wanted; its inputs are settled.
    """
    parts = [path.relative_to(folder).parts for path in read]
    above = {names[:level] for names in parts}
    found = Found(*([path for path in paths if _is_below(path, above, level)] for paths in find_all(folder)))
    endings = kind_of_inputs(columns.input).endings
    others = [path for path in found.files if path.suffix.lower() not in endings and not _is_usual(path)]
    said = []
    if others:
        kind = f"{columns.input}s"
        said.append(
            f"left out {by_ending(others)}, such as {others[0].as_posix()}: only {', '.join(endings)} are read as "
            f"{kind}; convert those that are {kind}"
        )
    if found.links:
        said.append(f"left out {_links(found.links)}, as links to folders are not followed")
    if found.no_files:
        verb = "leads" if len(found.no_files) == 1 else "lead"
        said.append(f"left out {_names(found.no_files)}, which {verb} to no file")
    classes = {path.name for path in (*found.folders, *found.links) if len(path.parts) == level + 1}
    unread = sorted(classes - {names[level] for names in parts if len(names) > level})
    if columns.labels and unread:
        noun = "class" if len(unread) == 1 else "classes"
        said.append(f"nothing was read of the {noun} {listed(map(repr, unread), 5)}")
    if said:
        columns.say(f"{folder}: {'; '.join(said)}.")


def held_in(folder: str) -> str:
    """What a folder holds in which nothing can be read, at the end of an error; may be empty."""
    found = find_all(folder)
    held = [*([by_ending(found.files)] if found.files else []), *([_links(found.links)] if found.links else [])]
    followed = " (links to folders are not followed)" if found.links else ""
    return f"; it holds {' and '.join(held)}{followed}" if held else ""


def by_ending(files: Iterable[Path]) -> str:
    """How many files there are of each ending, the most frequent first: "3 .HEIC files and 1 .pdf file"."""
    names: dict[str, str] = {}
    counts = Counter(names.setdefault(path.suffix.lower(), path.suffix) for path in files)
    said = [
        counted(count, f"{ending} file")
        if ending
        else counted(count, "file without an ending", "files without an ending")
        for ending, count in counts.most_common()
    ]
    return said[0] if len(said) == 1 else f"{listed(said[:-1], 5)} and {said[-1]}"


def is_data(path: Path) -> bool:
    """Whether a file may be data, by its name alone."""
    return path.name not in NO_DATA


def _is_usual(path: Path) -> bool:
    return not is_data(path) or path.name.lower() in OF_SYSTEMS


def _is_below(path: Path, above: set[tuple[str, ...]], level: int) -> bool:
    """Whether a path lies in the folders that are read, or beside them in the outermost one."""
    return path.parts[:level] in above or len(path.parts) <= level


def _links(links: Sequence[Path]) -> str:
    noun = "link" if len(links) == 1 else "links"
    return f"the {noun} {_names(links)}"


def _names(paths: Sequence[Path]) -> str:
    return listed((path.as_posix() for path in paths), 5)
