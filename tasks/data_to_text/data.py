"""Properties of restaurants and sentences about them.

Reads `e2e_nlg/train.jsonl.gz`, `dev.jsonl.gz` and `test.jsonl.gz` in the data folder, one JSON object a line with `mr`,
such as `name[The Vaults], eatType[pub]`, and `ref`, a sentence; or a data set on the Hub with the columns
`meaning_representation` and `human_reference`, such as `tuetschek/e2e_nlg`.
"""

import re
from pathlib import Path

from datasets import Dataset

from mann_hf.episodes import Pair, PairSampler
from tasks.common.generation_task import Texts, by_source
from tasks.common.tables_of_json import read_rows

FOLDER = "e2e_nlg"
ON_HUB = {"dev": "validation"}
PROPERTY = re.compile(r"\s*([^\[\],]+)\[([^\]]*)\]\s*")


def load(data: str | Path, part: str) -> list[Pair]:
    """The pairs of a part: properties in a row, and one sentence about them.

    Args:
        data: the folder that holds `e2e_nlg`, or the name of a data set on the Hub.
        part: `"train"`, `"dev"` or `"test"`.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: properties that are not written as above.
    """
    rows = read_rows(data, FOLDER, part, split=ON_HUB.get(part, part))
    return [
        Pair(in_a_row(row.get("mr") or row["meaning_representation"]), row.get("ref") or row["human_reference"])
        for row in rows
    ]


def in_a_row(properties: str) -> str:
    """Properties as a text of their own: `name = The Vaults | eatType = pub`.

    Raises:
        ValueError: they are not written as `name[value], name[value]`.
    """
    parts = properties.split("],")
    found = [PROPERTY.fullmatch(part if part.rstrip().endswith("]") else f"{part}]") for part in parts]
    if not all(found):
        raise ValueError(
            f"the properties are {properties[:80]!r}; they should be as in name[The Vaults], eatType[pub]."
        )
    return " | ".join(f"{each[1].strip()} = {each[2].strip()}" for each in found if each)


def texts(data: str | Path) -> Texts:
    """All that the task needs; a test has several right sentences."""
    sources, references = by_source(load(data, "test"))
    return Texts(load(data, "train"), load(data, "dev"), sources, references)


def sampler_of(data: str | Path, k_shot: int = 8, n_query: int = 8, seed: int = 0) -> PairSampler:
    """Episodes of training pairs, no properties of the support among the queries."""
    rows = Dataset.from_list([pair._asdict() for pair in load(data, "train")])
    return PairSampler(rows, k_shot, n_query, seed=seed)
