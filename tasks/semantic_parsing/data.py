"""Questions of GeoQuery and what they mean, with its two splits.

Source: Finegan-Dollak et al. 2018, [Improving Text-to-SQL Evaluation
Methodology](https://arxiv.org/abs/1806.09029).

Reads `geoquery/geoquery_sql.jsonl.gz` and `geoquery/geoquery_logic.jsonl.gz` in the data folder, one JSON object a line
with `text`, `sql` or `logic`, `question_split` and `query_split`; or a data set on the Hub with these columns in its
split `train`.
"""

from collections.abc import Sequence
from pathlib import Path

from mann_hf.episodes import Pair
from tasks.common.tables_of_json import read_rows

FORMS = ("sql", "logic")
SPLITS = ("question", "query")
PARTS = ("train", "dev", "test")


def load(data: str | Path, form: str, split: str, part: str) -> list[Pair]:
    """The pairs of question and meaning of one part of a split.

    Args:
        data: the folder that holds `geoquery`, or the name of a data set on the Hub.
        form: `"sql"` or `"logic"`.
        split: `"question"`, in which the shapes of test queries are known, or `"query"`, in which they are new.
        part: `"train"`, `"dev"` or `"test"`.

    Raises:
        FileNotFoundError: the file is not there.
        ValueError: there is no such form, split or part.
    """
    for name, value, choices in (("form", form, FORMS), ("split", split, SPLITS), ("part", part, PARTS)):
        if value not in choices:
            raise ValueError(f"there is no {name} {value!r}; choose one of {', '.join(map(repr, choices))}.")
    rows = read_rows(data, "geoquery", f"geoquery_{form}", split="train")
    return [Pair(row["text"], row[form]) for row in rows if row[f"{split}_split"] == part]


def shapes(pairs: Sequence[Pair]) -> list[str]:
    """The shape of each meaning: what is left of it when the words of its question are taken out.

    Two queries of one shape differ in names alone.
    """
    found = []
    for pair in pairs:
        words = set(pair.source.lower().split())
        tokens = pair.target.replace('"', " ").split()
        found.append(" ".join("_" if token.lower() in words else token for token in tokens))
    return found
