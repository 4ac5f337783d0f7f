"""Files and folders that were probably meant by a path that is not there."""

import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from ..wording import near
from .files import CONFIG

MOST_NAMED = 3
MOST_SEEN = 10_000
"""Names of a folder that are compared."""


def near_paths(path: str | os.PathLike[str], fits: Callable[[Path], bool]) -> list[str]:
    """Paths that were probably meant by one that is not there, likeliest first.

    They are near names in its folder, and the same name in the folders there and in the folder above; where its folder
    is not there, near names in a folder of a near name, and the same name in the folder above. Only paths that `fits`
    takes are named.
    """
    try:
        asked = Path(path)
        if not asked.name:  # of an empty variable of the shell
            return []
        folder = asked.parent
        if folder.is_dir():
            found = _near_in(folder, asked.name, fits)
            found += (place / asked.name for place in _inside(folder) if place.is_dir())
        else:
            meant = _near_in(folder.parent, folder.name, Path.is_dir)
            found = [each for place in meant for each in _near_in(place, asked.name, fits)]
        found.append(folder.parent / asked.name)
        return list(dict.fromkeys(map(str, filter(fits, found))))[:MOST_NAMED]
    except (OSError, ValueError):  # what may not be read, and what can be no path
        return []


def holds_model(path: Path) -> bool:
    """Whether a path is that of a folder with a model or encoder."""
    return (path / CONFIG).is_file()


def _near_in(folder: Path, name: str, fits: Callable[[Path], bool]) -> list[Path]:
    """What lies in a folder under a near name, whatever the endings."""
    stems: dict[str, list[Path]] = {}
    for place in filter(fits, _inside(folder)):
        stems.setdefault(place.stem, []).append(place)
    return [place for stem in near(Path(name).stem, stems) for place in stems[stem]]


def _inside(folder: Path) -> Iterable[Path]:
    """What lies in a folder, in order, without hidden files; nothing if it is not there."""
    if not folder.is_dir():
        return []
    return sorted(each for each in islice(folder.iterdir(), MOST_SEEN) if not each.name.startswith("."))
