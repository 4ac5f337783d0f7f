"""Data sets in, data sets out: a column more, kept part by part where a folder is given."""

import importlib
import linecache
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from transformers import pipeline

from mann_hf.errors import InvalidInputError, InvalidTypeError
from mann_hf.pipelines import MemoryAugmentedGenerationPipeline as Generator
from mann_hf.pipelines import mapping
from tests.pipelines.conftest import Make
from tests.tiny_seq2seq import SOURCES, TARGETS, WORDS

MANY = [SOURCES[place % len(SOURCES)] for place in range(7)]
ANSWERS = [TARGETS[place % len(SOURCES)] for place in range(7)]
SCRIPT = """
import sys
import datasets
import mann_hf
from transformers import pipeline
from mann_hf.pipelines import mapping

mapping.PART = 2
model, rows, folder, *made = sys.argv[1:]
generator = pipeline("memory-augmented-generation", model=model)
answers = generator.map(datasets.Dataset.from_parquet(rows), "en", "de", folder=folder, max_new_tokens=12)
answers.to_parquet(*made)
"""


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

    @pytest.mark.parametrize(
        ("fields", "part"),
        [
            ({"memory": "example"}, "gate"),
            ({"memory": "example"}, "out.weight"),
            ({"interpolation": "adaptive"}, "choice.bias"),
            ({}, "shared.weight"),
        ],
    )
    def test_a_weight_that_was_trained_is_seen(
        self, make: Make, rows: datasets.Dataset, asked: list[int], tmp_path: Path, fields: dict[str, Any], part: str
    ) -> None:
        generator = make(**fields)
        generator.map(rows, "en", folder=tmp_path, max_new_tokens=2)
        weights = {name: each for name, each in generator.model.named_parameters() if name.endswith(part)}
        assert len(weights) == 1
        with torch.no_grad():
            next(iter(weights.values())).view(-1)[0] += 1e-4
        asked.clear()
        generator.map(rows, "en", folder=tmp_path, max_new_tokens=2)
        assert asked == [3, 3, 1]

    def test_a_pair_that_counts_once_more_is_seen(
        self, taught: Generator, rows: datasets.Dataset, asked: list[int], tmp_path: Path
    ) -> None:
        taught.map(rows, "en", folder=tmp_path)
        taught.remember(SOURCES[:1], TARGETS[:1])
        asked.clear()
        taught.map(rows, "en", folder=tmp_path)
        assert asked == [3, 3, 1]

    def test_arguments_of_the_pipeline_count_and_batches_do_not(
        self, taught: Generator, rows: datasets.Dataset, asked: list[int], tmp_path: Path
    ) -> None:
        taught.map(rows, "en", folder=tmp_path, batch_size=1)
        asked.clear()
        taught.map(rows, "en", folder=tmp_path, batch_size=2)
        assert asked == []
        beams = Generator(model=taught.model, tokenizer=taught.tokenizer, num_beams=2)
        beams.map(rows, "en", folder=tmp_path)
        assert asked == [3, 3, 1]

    def test_functions_are_known_by_what_they_do(
        self, taught: Generator, rows: datasets.Dataset, asked: list[int], tmp_path: Path
    ) -> None:
        def only(*tokens: int) -> Any:
            return lambda batch, said: [*tokens]

        taught.map(rows, "en", folder=tmp_path, prefix_allowed_tokens_fn=only(4, 2))
        asked.clear()
        taught.map(rows, "en", folder=tmp_path, prefix_allowed_tokens_fn=only(4, 2))
        assert asked == []
        taught.map(rows, "en", folder=tmp_path, prefix_allowed_tokens_fn=only(5, 2))
        assert asked == [3, 3, 1]
        steps = (token for token in (4, 2))
        with pytest.raises(InvalidInputError, match="prefix_allowed_tokens_fn .* leave out folder"):
            taught.map(rows, "en", folder=tmp_path, prefix_allowed_tokens_fn=lambda *_: [next(steps)])

    def test_a_function_that_was_changed_in_its_file_is_another(
        self, taught: Generator, rows: datasets.Dataset, asked: list[int], tmp_path: Path, monkeypatch: Any
    ) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        for token, expected in ((4, [3, 3, 1]), (4, []), (5, [3, 3, 1])):
            (tmp_path / "my_rules.py").write_text(f"def only(batch, said):\n    return [{token}, 2]\n")
            linecache.clearcache()
            sys.modules.pop("my_rules", None)
            shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
            importlib.invalidate_caches()
            rules = importlib.import_module("my_rules")
            asked.clear()
            taught.map(rows, "en", folder=tmp_path / "done", prefix_allowed_tokens_fn=rules.only)
            assert asked == expected

    def test_what_is_taught_meanwhile_is_in_no_answer_of_a_stream(
        self, taught: Generator, rows: datasets.Dataset
    ) -> None:
        stream = taught.map(rows.to_iterable_dataset(), "en")
        taught.forget(ids=sorted(taught.model.memory.ids))
        assert [row["generated_text"] for row in stream] == ANSWERS

    def test_what_is_taught_meanwhile_is_in_no_answer(
        self, taught: Generator, rows: datasets.Dataset, asked: list[int]
    ) -> None:
        first = min(taught.model.memory.ids)

        def forget(_: int) -> None:
            if first in taught.model.memory.ids:
                taught.forget(first)

        assert list(taught.map(rows, "en", progress=forget)["generated_text"]) == ANSWERS
        assert first not in taught.model.memory.ids

    def test_a_loaded_model_goes_on(
        self, taught: Generator, rows: datasets.Dataset, asked: list[int], tmp_path: Path
    ) -> None:
        taught.save_pretrained(tmp_path / "model")
        taught.map(rows, "en", folder=tmp_path / "done")
        asked.clear()
        loaded: Any = pipeline("memory-augmented-generation", model=str(tmp_path / "model"))  # type: ignore[call-overload]
        assert list(loaded.map(rows, "en", folder=tmp_path / "done")["generated_text"]) == ANSWERS
        assert asked == []

    @pytest.mark.slow
    def test_a_killed_run_goes_on(self, taught: Generator, tmp_path: Path) -> None:
        taught.save_pretrained(tmp_path / "model")
        rows = datasets.Dataset.from_dict({"en": [f"{SOURCES[n % 3]} {WORDS[n % len(WORDS)]}" for n in range(120)]})
        rows.to_parquet(tmp_path / "rows.parquet")
        done = tmp_path / "done"
        command = [sys.executable, "-c", SCRIPT, *map(str, (tmp_path / "model", tmp_path / "rows.parquet", done))]
        stopped_at = []
        for _ in range(2):
            before = len(list(done.glob("part-*.json")))
            with subprocess.Popen(command) as process:
                while process.poll() is None and len(list(done.glob("part-*.json"))) < before + 5:
                    time.sleep(0.01)
                process.kill()
            assert process.returncode == -signal.SIGKILL
            stopped_at.append(len(list(done.glob("part-*.json"))))
        assert 5 <= stopped_at[0] < stopped_at[1] < 60
        whole = {path.name: path.stat().st_mtime_ns for path in done.glob("part-*.json")}
        subprocess.run([*command, str(tmp_path / "made.parquet")], check=True)
        kept = {path.name: path.stat().st_mtime_ns for path in done.glob("part-*.json")}
        assert len(kept) == 60 and whole.items() <= kept.items(), "nothing is done again"
        made = datasets.Dataset.from_parquet(str(tmp_path / "made.parquet"))
        assert list(made["en"]) == list(rows["en"])
        assert list(made["de"]) == list(taught.map(rows, "en", "de", max_new_tokens=12)["de"])

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
