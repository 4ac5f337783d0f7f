"""Data sets in, data sets out: a column of generated texts beside the one they were generated for."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..controllers.progress import Progress, following
from ..errors import InvalidInputError, InvalidTypeError
from ..hub.saving import write_whole
from ..wording import did_you_mean, listed, near, shown
from .fingerprint import fingerprint

PART = 256
"""Texts that are answered, and kept where a folder is given, at a time."""


def mapped(
    generator: Any,
    dataset: Any,
    column: str,
    output_column: str,
    *,
    folder: str | os.PathLike | None,
    batch_size: int | None,
    progress: Progress,
    options: dict[str, Any],
) -> Any:
    """A data set with a column of generated texts; see `MemoryAugmentedGenerationPipeline.map`."""
    import datasets

    if options.get("evidence"):
        raise InvalidInputError("a column holds texts; call the pipeline itself for evidence.")
    kinds = (datasets.Dataset, datasets.DatasetDict, datasets.IterableDataset)
    if not isinstance(dataset, kinds):
        raise InvalidTypeError(
            f"something of type {type(dataset).__name__} came; give a data set of the package datasets, or give the "
            "texts to the pipeline itself."
        )
    call = {"batch_size": batch_size, **options}
    generator.model.ready_search()  # for all who read this memory
    frozen = generator.with_own_memory()  # what is taught meanwhile is not in some answers and in others not
    if isinstance(dataset, datasets.IterableDataset):
        _check_columns(dataset.column_names, column, output_column)
        if folder is not None:
            raise InvalidInputError("a data set that is read as it goes is not kept in parts: leave out folder.")
        return dataset.map(
            lambda rows: {output_column: _texts(frozen(rows[column], **call))}, batched=True, batch_size=PART
        )
    splits = dataset if isinstance(dataset, datasets.DatasetDict) else {"": dataset}
    for split in splits.values():
        _check_columns(split.column_names, column, output_column)
    facts = None if folder is None else fingerprint(frozen, options)
    made = {}
    for name, split in splits.items():
        parts = None if folder is None or facts is None else Parts(Path(folder, name), facts)
        texts = frozen.input_processor.check(split[column]) if len(split) else []
        with following(progress, len(texts), frozen.input_processor.noun) as advance:
            made[name] = split.add_column(output_column, list(_answers(frozen, texts, parts, call, advance)))
    return datasets.DatasetDict(made) if isinstance(dataset, datasets.DatasetDict) else made[""]


def _answers(
    generator: Any, texts: Sequence[str], parts: "Parts | None", call: dict[str, Any], advance: Any
) -> Iterator[str]:
    for start in range(0, len(texts), PART):
        part = list(texts[start : start + PART])
        answers = None if parts is None else parts.read(start, part)
        if answers is None:
            answers = _texts(generator(part, **call))
            if parts is not None:
                parts.write(start, part, answers)
        if advance is not None:
            advance(len(part))
        yield from answers


def _texts(answers: Any) -> list[str]:
    if any(isinstance(answer, list) for answer in answers):
        raise InvalidInputError("a column holds one text a row: leave out num_return_sequences.")
    return [answer["generated_text"] for answer in answers]


def _check_columns(names: Sequence[str] | None, column: str, output_column: str) -> None:
    if not isinstance(output_column, str):
        raise InvalidTypeError(f"output_column is {shown(output_column)}; give the name of the new column.")
    if names is None:  # of a stream that does not know them yet
        return
    if column not in names:
        hint = did_you_mean(near(str(column), names)) or f"it has {listed(map(repr, names))}."
        raise InvalidInputError(f"the data set has no column {shown(column)}; {hint}")
    if output_column in names:
        raise InvalidInputError(
            f"the data set has a column {output_column!r} already; give output_column another name."
        )


class Parts:
    """Answers that are done, in a folder: each part is a file that is written whole, with a digest of what it is of.

    Args:
        folder: made if need be.
        facts: a digest of what the answers depend on beside their texts.
    """

    def __init__(self, folder: Path, facts: str) -> None:
        self.folder, self.facts = folder, facts
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise InvalidInputError(f"{str(folder)!r} is a file; give a folder for what is done.") from None

    def read(self, start: int, texts: Sequence[str]) -> list[str] | None:
        """The answers of a part; None if they are not there, or are of other texts or facts."""
        try:
            content = json.loads(self._path(start).read_bytes())
            answers = content["answers"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        whole = (
            isinstance(answers, list) and len(answers) == len(texts) and all(isinstance(one, str) for one in answers)
        )
        return answers if whole and content.get("digest") == self._digest(texts) else None

    def write(self, start: int, texts: Sequence[str], answers: Sequence[str]) -> None:
        """Keeps the answers of a part."""
        content = {"digest": self._digest(texts), "answers": list(answers)}
        write_whole(self._path(start), json.dumps(content, ensure_ascii=False).encode())

    def _path(self, start: int) -> Path:
        return self.folder / f"part-{start // PART:05}.json"

    def _digest(self, texts: Sequence[str]) -> str:
        return hashlib.blake2b(json.dumps([self.facts, list(texts)]).encode(), digest_size=16).hexdigest()
