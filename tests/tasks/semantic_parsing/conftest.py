"""A GeoQuery of three shapes of questions about made-up states."""

from pathlib import Path

import pytest

from ..rows import write_rows

STATES = ("ohio", "iowa", "utah", "texas", "maine", "idaho", "nevada", "oregon")
SHAPES = {
    "capital": ("what is the capital of {}", "capital ( {} )"),
    "size": ("how large is {}", "size ( {} )"),
    "both": ("how large is the capital of {}", "size ( capital ( {} ) )"),
}


@pytest.fixture(scope="session")
def geo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = []
    for shape, (question, meaning) in SHAPES.items():
        for place, state in enumerate(STATES):
            row = {"text": question.format(state), "question_split": ("train", "train", "dev", "test")[place % 4]}
            query_split = "test" if shape == "both" else "train"
            rows.append({**row, "query_split": query_split, "logic": meaning.format(state)})
    folder = tmp_path_factory.mktemp("data")
    write_rows(folder / "geoquery" / "geoquery_logic.jsonl.gz", rows)
    return folder
