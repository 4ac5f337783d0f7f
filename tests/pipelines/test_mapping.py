"""Data sets in, data sets out: a column more, kept part by part where a folder is given."""

from pathlib import Path
from typing import Any

import datasets
import pytest

from mann_hf.errors import InvalidInputError, InvalidTypeError
from mann_hf.pipelines import MemoryAugmentedGenerationPipeline as Generator
from mann_hf.pipelines import mapping
from tests.tiny_seq2seq import SOURCES, TARGETS

MANY = [SOURCES[place % len(SOURCES)] for place in range(7)]
ANSWERS = [TARGETS[place % len(SOURCES)] for place in range(7)]


@pytest.fixture
def rows() -> datasets.Dataset:
    return datasets.Dataset.from_dict({"n": list(range(7)), "en": MANY})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call of the pipeline was given; parts are of three."""
    monkeypatch.setattr(mapping, "PART", 3)
    sizes: list[int] = []
    original = Generator.__call__

    def call(self: Generator, inputs: Any, **kwargs: Any) -> Any:
        sizes.append(len(inputs))
        return original(self, inputs, **kwargs)

    monkeypatch.setattr(Generator, "__call__", call)
    return sizes


def test_a_column_is_added(taught: Generator, rows: datasets.Dataset, asked: list[int]) -> None:
    done: list[int] = []
    made = taught.map(rows, "en", "de", progress=done.append)
    assert made.column_names == ["n", "en", "de"] and list(made["de"]) == ANSWERS and list(made["n"]) == list(range(7))
    assert asked == [3, 3, 1] == done
    assert taught.map(rows, "en").column_names[-1] == "generated_text"


def test_splits_and_streams(taught: Generator, rows: datasets.Dataset, asked: list[int]) -> None:
    made = taught.map(datasets.DatasetDict(train=rows, test=rows.select(range(2))), "en")
    assert list(made["test"]["generated_text"]) == ANSWERS[:2] and len(made["train"]) == 7
    asked.clear()
    stream = taught.map(rows.to_iterable_dataset(), "en")
    assert asked == [], "read as rows are taken"
    assert [row["generated_text"] for row in stream] == ANSWERS


def test_datasets_map_takes_the_pipeline_itself(taught: Generator, rows: datasets.Dataset) -> None:
    made = rows.map(
        lambda batch: {"de": [one["generated_text"] for one in taught(batch["en"])]}, batched=True, new_fingerprint="x"
    )
    assert list(made["de"]) == ANSWERS


class TestResuming:
    def test_what_is_done_is_not_done_again(
        self,
        taught: Generator,
        rows: datasets.Dataset,
        asked: list[int],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        original = mapping.Parts.write

        def stop(self: Any, start: int, *rest: Any) -> None:
            original(self, start, *rest)
            if start:
                raise KeyboardInterrupt

        monkeypatch.setattr(mapping.Parts, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            taught.map(rows, "en", folder=tmp_path / "done")
        monkeypatch.setattr(mapping.Parts, "write", original)
        asked.clear()
        assert list(taught.map(rows, "en", folder=tmp_path / "done")["generated_text"]) == ANSWERS
        assert asked == [1]
        asked.clear()
        taught.map(rows, "en", folder=tmp_path / "done")
        assert asked == []

    def test_other_texts_memory_or_arguments_are_done_anew(
        self, taught: Generator, rows: datasets.Dataset, asked: list[int], tmp_path: Path
    ) -> None:
        taught.map(rows, "en", folder=tmp_path)
        asked.clear()
        other = datasets.Dataset.from_dict({"en": [*MANY[:6], "the dog"]})
        taught.map(other, "en", folder=tmp_path)
        assert asked == [1]
        asked.clear()
        taught.map(rows, "en", folder=tmp_path, num_beams=2)
        assert asked == [3, 3, 1]
        taught.forget(min(taught.model.memory.ids))
        asked.clear()
        taught.map(rows, "en", folder=tmp_path)
        assert asked == [3, 3, 1]

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"digest": 1, "answers": ["a", "b", "c"]}', "\xff"])
    def test_damaged_parts_are_done_anew(
        self, taught: Generator, rows: datasets.Dataset, asked: list[int], tmp_path: Path, content: str
    ) -> None:
        taught.map(rows, "en", folder=tmp_path)
        (tmp_path / "part-00001.json").write_text(content, encoding="latin-1")
        asked.clear()
        assert list(taught.map(rows, "en", folder=tmp_path)["generated_text"]) == ANSWERS
        assert asked == [3]


@pytest.mark.parametrize(
    ("dataset", "column", "options", "error", "words"),
    [
        ({"en": SOURCES}, "de", {}, InvalidInputError, "no column 'de'"),
        ({"En": SOURCES}, "en", {}, InvalidInputError, "did you mean 'En'"),
        ({"en": SOURCES}, "en", {"output_column": "en"}, InvalidInputError, "already"),
        ({"en": ["the dog", ""]}, "en", {}, InvalidInputError, "source 1 .* empty"),
        ({"en": SOURCES}, "en", {"evidence": 2}, InvalidInputError, "pipeline itself"),
        ({"en": SOURCES}, "en", {"num_beams": 2, "num_return_sequences": 2}, InvalidInputError, "one text a row"),
    ],
)
def test_what_cannot_be_mapped_is_refused_in_words(
    taught: Generator, dataset: Any, column: str, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        taught.map(datasets.Dataset.from_dict(dataset), column, **options)


def test_what_is_no_data_set_is_refused(taught: Generator, rows: datasets.Dataset, tmp_path: Path) -> None:
    with pytest.raises(InvalidTypeError, match="type list"):
        taught.map(SOURCES, "en")
    with pytest.raises(InvalidInputError, match="leave out folder"):
        taught.map(rows.to_iterable_dataset(), "en", folder=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="is a file"):
        taught.map(rows, "en", folder=tmp_path / "file")
