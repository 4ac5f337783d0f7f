"""Data sets as one JSON object a line, or from the Hub."""

import gzip
import json
from pathlib import Path
from typing import Any

from datasets import load_dataset


def read_rows(data: str | Path, folder: str, name: str, split: str | None = None) -> list[dict[str, Any]]:
    """The rows of a data set.

    Args:
        data: the folder that holds `folder`; or the name of a data set on the Hub.
        folder: of the data set in it; empty where `data` is the data set's own.
        name: of the file there, `<name>.jsonl.gz` or `<name>.jsonl`.
        split: of the data set on the Hub; by default `name`.

    Raises:
        FileNotFoundError: the file is not there; the message says what the folder should hold.
    """
    if not Path(data).is_dir():
        return list(load_dataset(str(data), split=split or name))
    whole = Path(data, folder)
    for file, opened in ((whole / f"{name}.jsonl.gz", gzip.open), (whole / f"{name}.jsonl", open)):
        if file.is_file():
            with opened(file, "rt", encoding="utf-8") as lines:  # type: ignore[operator]
                return [json.loads(line) for line in lines if line.strip()]
    raise FileNotFoundError(
        f"{whole / name}.jsonl.gz is missing; --data names the folder that holds {folder or name}"
        f"{'/' if folder else '.jsonl.gz'}, or a data set on the Hub."
    )
