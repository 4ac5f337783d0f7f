"""Finds the files of a folder that make a table: data files by split, or inputs in a folder for each class."""

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import InvalidInputError
from ...wording import counted, listed
from ..modalities import MODALITIES, TEXT, kind_of_inputs
from ..options import TableOptions
from .columns import Columns, option_of
from .content import ending_of, endings
from .decoding import decode
from .left_out import find_all, held_in, is_data, say_left_out
from .rows import Row

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Words in names of files and folders that stand for a split, as in datasets."""
SHARD = re.compile(r"data/(?P<split>[\w.-]+)-\d{5}-of-\d{5}.*\..*")


class Chosen(NamedTuple):
    """The files of a folder that are read, in order, with their split and all splits, if the folder has any."""

    files: list[Path]
    split: str | None
    splits: tuple[str, ...] = ()

    def say(self, folder: str, columns: Columns) -> None:
        """Prints which files are read."""
        of_split = f" of the split {self.split!r}" if self.split is not None else ""
        others = [repr(split) for split in self.splits if split != self.split]
        also = f" (--split names another: {listed(others)})" if others else ""
        names = _names(folder, self.files)
        columns.say(f"{folder}: reads {counted(len(self.files), 'file')}{of_split}, {names}{also}.")


def data_files(folder: str) -> list[Path]:
    """The tables in a folder and its subfolders, in order."""
    return [path for path in _all_files(folder) if ending_of(path.name) is not None and is_data(path)]


def input_files(folder: str, kind: str) -> list[Path]:
    """The files of a folder and its subfolders that hold one text each, or one image, in order."""
    return _of_kind(_all_files(folder), kind)


def _of_kind(files: Iterable[Path], kind: str) -> list[Path]:
    return [path for path in files if path.suffix.lower() in kind_of_inputs(kind).endings]


def settle_inputs(folder: str, columns: Columns) -> list[Path]:
    """The files of a folder without tables that hold one input each, and settles what these are.

    Raises:
        InvalidInputError: there are none, or folders of classes with texts and with images.
    """
    held = _all_files(folder)
    files = {kind: _of_kind(held, kind) for kind in columns.inputs}
    found = [kind for kind in files if any(path.parent != Path(folder) for path in files[kind])]
    found = found or [kind for kind in files if files[kind]]
    if len(found) > 1:
        counts = " and ".join(
            f"{counted(len(files[kind]), kind)} ({_names(folder, files[kind][:1])})" for kind in found
        )
        options = [f"{option} {kind}" for kind in found if (option := option_of(kind))]
        choice = f", or choose the kind with {' or '.join(options)}" if options else ""
        raise InvalidInputError(
            f"the folder {folder!r} holds {counts}, and a classifier takes one kind; give a folder with one kind "
            f"alone{choice}."
        )
    if found:
        columns.settle(found[0])
        return files[found[0]]
    classes = " or ".join(f"{kind}s ({', '.join(ends)})" for kind in files if (ends := kind_of_inputs(kind).endings))
    classes = classes or f"{columns.input}s"
    others = {kind: len(_of_kind(held, kind)) for kind in MODALITIES if kind not in files}
    mixed = [f"; its {counted(count, kind)} are for a classifier of {kind}s" for kind, count in others.items() if count]
    mixed = mixed or [held_in(folder)]
    raise InvalidInputError(
        f"the folder {folder!r} holds no table ({endings()}), and no folders of {classes} by class{''.join(mixed)}."
    )


def files_of_classes(folder: str, files: list[Path], columns: Columns) -> list[Path]:
    """The files that can be used: if labels are wanted, those in the folder of a class, with a note on the rest.

    Raises:
        InvalidInputError: none is in the folder of a class.
    """
    if not columns.labels:
        return files
    parts = {path: path.relative_to(folder).parts for path in files}
    above = 1 if _are_splits(parts.values()) else 0
    loose = [path for path in files if len(parts[path]) < above + 2]
    if not loose:
        return files
    names = listed((repr(path.relative_to(folder).as_posix()) for path in loose), 3)
    if len(loose) == len(files):
        raise InvalidInputError(
            f"{folder!r} holds {columns.input}s without labels, {names}; put each in a folder with the name of its "
            "class."
        )
    columns.say(
        f"{folder}: {counted(len(loose), 'file is', 'files are')} in no folder of a class, and left out: {names}."
    )
    return [path for path in files if len(parts[path]) >= above + 2]


def _are_splits(parts: Iterable[tuple[str, ...]]) -> bool:
    """Whether the outermost folders with folders of classes are those of splits.

    Either all outermost folders have a split in their name, or two splits have a folder of just their name.

    Args:
        parts: of the path of each file, relative to the folder that is read.
    """
    inside = [names for names in parts if len(names) > 1]
    above = {names[0] for names in inside if len(names) > 2}
    plain = {split for name in above for split, words in SPLITS.items() if name.lower() in words}
    return len(plain) > 1 or (bool(above) and all(_split_in(names[0]) for names in inside))


def check_no_classes(folder: str, tables: list[Path], columns: Columns) -> None:
    """Refuses a folder that holds both tables and folders of classes; other text files are left out with a note.

    Files of images are what the tables may name; a note says that their folders give no labels.

    Raises:
        InvalidInputError: labels are wanted, and text files are in two folders or more.
    """
    texts = input_files(folder, TEXT) if columns.input == TEXT else []
    named = dict.fromkeys(path.parent.name for path in texts if path.parent != Path(folder))
    if columns.labels and len(named) > 1:
        raise InvalidInputError(
            f"{folder!r} holds {counted(len(tables), 'table')}, {_names(folder, tables)}, and texts in folders of "
            f"classes, {listed(map(repr, named), 3)}; give a table alone, or move the tables out to read the texts."
        )
    if texts:
        columns.say(
            f"{folder}: {counted(len(texts), 'text file is', 'text files are')} left out, {_names(folder, texts)}, as "
            "there are tables."
        )
    for kind in columns.inputs:
        files = input_files(folder, kind) if kind_of_inputs(kind).are_files else []
        classes = sorted({path.relative_to(folder).parts[0] for path in files if path.parent != Path(folder)})
        if classes:
            what = f"{kind}s and labels" if columns.labels else f"{kind}s"
            columns.say(
                f"{folder}: takes {what} from {_names(folder, tables)}, and not from the folders of {kind}s, "
                f"{listed(map(repr, classes), 3)}; move tables out to read those."
            )


def choose(folder: str, files: list[Path], split: str | None, usual: str, columns: Columns) -> Chosen:
    """The files of the split that is asked for, or of the usual one, by the names of files or folders.

    Raises:
        InvalidInputError: the folder has no such split.
    """
    there = _by_split(folder, files)
    if not there:
        if split not in (None, "train", "all"):
            raise InvalidInputError(f"{folder!r} has no split {split!r}: no file in it is named after one.")
        return Chosen(files, None)
    of_splits = {path for some in there.values() for path in some}
    left = [path for path in files if path not in of_splits]
    sign = f"the names of its {'files' if ending_of(files[0].name) else 'folders'}"
    chosen = choose_of(folder, there, split, usual, sign, left)
    if left:
        columns.say(
            f"{folder}: {counted(len(left), 'file is', 'files are')} of no split by name, and left out: "
            f"{_names(folder, left)}."
        )
    return chosen


def choose_of(
    folder: str,
    there: dict[str, list[Path]],
    split: str | None,
    usual: str,
    sign: str = "its README.md",
    left: Sequence[Path] = (),
) -> Chosen:
    """The files of the split that is asked for, or of the usual one, of the files that are there by split.

    Raises:
        InvalidInputError: there is no such split; it says by what `sign` files have splits, and which are `left`.
    """
    wanted = split or usual
    if wanted not in there:
        wanted = next((name for name, also in SPLITS.items() if wanted in also), wanted)
    if wanted not in there:
        found = [f"{name!r} ({_names(folder, some)})" for name, some in there.items()]
        none = f", and {counted(len(left), 'file is', 'files are')} of none ({_names(folder, left)})" if left else ""
        first = (left or next(iter(there.values())))[0].relative_to(folder)
        in_place = "one file in place of the folder"
        if ending_of(first.name) is None:  # whose label is the name of a folder
            first, in_place = Path(first.parts[0]), "the folder of one split"
        one = shlex.quote(str(Path(folder, first)))
        raise InvalidInputError(
            f"{folder!r} has no split {split or usual!r}: by {sign} it has {listed(found)}{none}. Choose with --split "
            f"{next(iter(there))}, or give {in_place}, as in {one}."
        )
    return Chosen(there[wanted], wanted, tuple(there))


def choose_inputs(folder: str, files: list[Path], split: str | None, usual: str, columns: Columns) -> Chosen:
    """The files of inputs of a split, if folders of classes are in folders named after splits; otherwise all.

    Raises:
        InvalidInputError: the folder has no such split.
    """
    parts = [path.relative_to(folder).parts for path in files]
    if all(len(names) > 2 for names in parts) and _are_splits(parts):
        return choose(folder, files, split, usual, columns)
    return choose(folder, [], split, usual, columns)._replace(files=files)


def read_class_folders(folder: str, chosen: Chosen, columns: Columns, options: TableOptions) -> Iterator[Row]:
    """The rows of a folder with a folder for each class: the text of a file or its path, and its label.

    The label is the name of the outermost folder, or of that below the folder of a split. Notes say which files lie
    deeper, and what was left out.
    """
    level = 0 if chosen.split is None else 1
    say_left_out(folder, chosen.files, level, columns)
    if columns.labels:
        _say_deeper(folder, chosen.files, level, columns)
    for path in chosen.files:
        within = path.relative_to(folder)
        name, label = within.as_posix(), within.parts[level]
        if kind_of_inputs(columns.input).are_files:
            yield Row(1, (name, label)[: len(columns.kinds)], file=name)
            continue
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InvalidInputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from None
        try:
            text = decode(data, options.encoding, name, columns, options.skip_bad_rows).rstrip("\r\n")
        except InvalidInputError as error:
            yield Row(1, file=name, problem=str(error).removeprefix(f"{name!r} ").rstrip("."))
            continue
        yield Row(1, (text, label)[: len(columns.kinds)], file=name)


def _say_deeper(folder: str, files: Sequence[Path], level: int, columns: Columns) -> None:
    """Prints which files lie in folders inside those of classes, whose names are no labels."""
    within = [path.relative_to(folder) for path in files]
    deeper = [path for path in within if len(path.parts) > level + 2]
    if not deeper:
        return
    label = deeper[0].parts[level]
    cure = ""
    if len(deeper) == len(files) and len({path.parts[level] for path in within}) == 1:
        names = sorted({path.parts[level + 1] for path in within})
        cure = f" (for the {'label' if len(names) == 1 else 'labels'} {listed(map(repr, names), 3)} give "
        cure += f"{Path(folder, *deeper[0].parts[: level + 1])})"
    count = counted(len(deeper), f"{columns.input} lies", f"{columns.input}s lie")
    have = "has" if len(deeper) == 1 else "have"
    their = "its" if len(deeper) == 1 else "their"
    columns.say(
        f"{folder}: {count} deeper than in a folder of a class, such as {deeper[0].as_posix()}, and {have} the top "
        f"folder as {their} label, as {label!r}{cure}."
    )


def _names(folder: str, files: Sequence[Path]) -> str:
    """The names of a few files in a folder."""
    return listed((path.relative_to(folder).as_posix() for path in files), 5)


def _all_files(folder: str) -> list[Path]:
    """All files that are not hidden, in the order of their paths."""
    return [Path(folder, path) for path in find_all(folder).files]


def _by_split(folder: str, files: list[Path]) -> dict[str, list[Path]]:
    """The files of each split, by names of folders or, if these name no split, of files; empty if nothing does."""
    relative = {path: path.relative_to(folder) for path in files}
    shards = [SHARD.fullmatch(name.as_posix()) for name in relative.values()]
    if files and all(shards):
        named = {path: match["split"] for path, match in zip(files, shards, strict=True) if match}
    else:
        by_folder = {path: next(filter(None, map(_split_in, name.parts[:-1])), None) for path, name in relative.items()}
        by_name = {path: _split_in(name.name) for path, name in relative.items()}
        named = {path: split for path, split in (by_folder if any(by_folder.values()) else by_name).items() if split}
    order = [*SPLITS, *sorted({*named.values()} - {*SPLITS})]
    return {split: [path for path in files if named.get(path) == split] for split in order if split in named.values()}


def _split_in(name: str) -> str | None:
    """The split in the name of a file or folder; None if there is none."""
    words = re.split(r"[-._ \d]+", name.lower())
    return next((split for split, names in SPLITS.items() if any(word in names for word in words)), None)
