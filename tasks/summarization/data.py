"""Documents and their summaries.

Reads `train`, `validation` and `test` of any data set on the Hub with a column of documents and one of summaries; or a
folder with `train.jsonl.gz`, `validation.jsonl.gz` and `test.jsonl.gz` (or `.jsonl`), one JSON object a line.
"""

from pathlib import Path

from datasets import Dataset

from mann_hf.episodes import Pair, PairSampler
from tasks.common.generation_task import Texts
from tasks.common.tables_of_json import read_rows

PARTS = ("train", "validation", "test")


def load(data: str | Path, part: str, document: str = "document", summary: str = "summary") -> list[Pair]:
    """The pairs of document and summary of a part; rows that lack one are left out.

    Args:
        data: a folder, or the name of a data set on the Hub.
        part: a name of `PARTS`.
        document: the column of the documents.
        summary: the column of the summaries.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: there is no such part or column.
    """
    if part not in PARTS:
        raise ValueError(f"there is no part {part!r}; choose one of {', '.join(map(repr, PARTS))}.")
    rows = read_rows(data, "", part)
    for column in (document, summary):
        if rows and column not in rows[0]:
            raise ValueError(f"{data} has no column {column!r}; it has {', '.join(map(repr, rows[0]))}.")
    pairs = (Pair(str(row[document] or "").strip(), str(row[summary] or "").strip()) for row in rows)
    return [pair for pair in pairs if pair.source and pair.target]


def texts(data: str | Path, document: str = "document", summary: str = "summary", most: int | None = None) -> Texts:
    """All that the task needs.

    Args:
        data: see `load`.
        document: likewise.
        summary: likewise.
        most: pairs of each part at most; None for all.
    """
    train, valid, tests = (load(data, part, document, summary)[:most] for part in PARTS)
    return Texts(train, valid, [pair.source for pair in tests], [[pair.target] for pair in tests])


def sampler_of(data: str | Path, k_shot: int = 4, n_query: int = 4, seed: int = 0, **columns: str) -> PairSampler:
    """Episodes of training pairs, no document of the support among the queries.

    Args:
        data: see `load`.
        k_shot: support pairs of an episode.
        n_query: queries of an episode.
        seed: of the draws.
        columns: `document` and `summary`.
    """
    rows = Dataset.from_list([pair._asdict() for pair in load(data, "train", **columns)])
    return PairSampler(rows, k_shot, n_query, seed=seed)
