"""Whether files can be put into a folder, and in words why not."""

import errno
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path, PurePath

from ..errors import FolderError, FolderNotWritableError

DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What writing answers where this user may not write."""
FULL = (errno.ENOSPC, errno.EDQUOT)
HIDDEN = ".mann-"
"""What the names of our own files in a folder begin with: a user has never heard of them."""


def check_places(folder: Path, written: Collection[str], removed: Collection[str]) -> None:
    """Refuses a save, of files to be written and removed, that could not be put in place, before anything changes.

    Raises:
        FolderError: something else lies where a file or its folder belongs.
        FolderNotWritableError: this user may not put a file in its place.
    """
    for name in [*written, *removed]:
        for above in [*reversed(PurePath(name).parents)][1:]:  # without the folder itself
            place = folder / above
            is_other = os.path.lexists(place) and not place.is_dir()
            if is_other or not place.resolve().is_relative_to(folder.resolve()):
                raise in_the_way(folder, above, "a folder")
        place = folder / name
        if place.is_dir() and not place.is_symlink():
            raise in_the_way(folder, name, "a file")
        if not _may_change(place):
            raise not_writable(folder, f"{name} there is another user's, or in a folder that may not be written to")


def in_the_way(folder: Path, name: str | PurePath, wanted: str) -> FolderError:
    """The error for what lies in a folder where "a file" or "a folder" belongs."""
    place = folder / name
    found = "a link" if place.is_symlink() else "a folder" if place.is_dir() else "a file"
    return FolderError(
        f"{folder} was not saved to, and is as it was: {name} in it is {found}, and {wanted} of that name belongs "
        "there. Move it away or rename it, and save again.",
        str(name),
    )


def _may_change(place: Path) -> bool:
    """Whether this user may put a file at a place, or remove the one that is there."""
    above = place.parent
    while not above.exists():
        above = above.parent
    if not os.access(above, os.W_OK | os.X_OK):
        return False
    if not hasattr(os, "geteuid") or not os.path.lexists(place) or not above.stat().st_mode & stat.S_ISVTX:
        return True
    return os.geteuid() in (0, place.lstat().st_uid, above.stat().st_uid)


def raise_in_words(error: Exception, folder: Path) -> None:
    """Raises the error of a write that failed for the folder, not for what was written; else returns.

    Raises:
        FolderNotWritableError: this user may not write there.
        OSError: the disk is full.
    """
    number = _number(error)
    if number in DENIED and HIDDEN in str(error):
        raise not_writable(folder, os.strerror(number)) from error
    if number in FULL:
        raise OSError(
            number, f"{os.strerror(number)}; nothing was saved, and the folder is as it was", str(folder)
        ) from error


def not_writable(folder: str | os.PathLike, why: str) -> FolderNotWritableError:
    """The error for a folder to which this user may not write."""
    return FolderNotWritableError(
        f"{os.fspath(folder)} may not be written to ({why}), so nothing was saved there: save to another folder, or "
        "get the right to write to it.",
        os.fspath(folder),
    )


def _number(error: Exception) -> int | None:
    """What the system answered, also where safetensors tells it in a text alone."""
    from safetensors import SafetensorError  # here, as the shell waits for nothing heavy before it looks at a folder

    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error)) if isinstance(error, SafetensorError) else None
    return int(found[1]) if found else None
