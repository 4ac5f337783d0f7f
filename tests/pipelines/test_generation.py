"""The pipeline that generates: it says what it was taught, and says in words what it cannot do."""

import threading
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from transformers import GenerationConfig, TextStreamer, pipeline

from mann_hf import MANNForConditionalGeneration
from mann_hf.errors import InvalidInputError, InvalidTypeError, NotInMemoryError
from mann_hf.pipelines import GENERATION_TASK, PIPELINES, MemoryAugmentedGenerationPipeline
from tests.tiny_seq2seq import SOURCES, TARGETS, word_tokenizer

from .conftest import Make

Generator = MemoryAugmentedGenerationPipeline
TASK: Any = GENERATION_TASK  # not one of those that transformers declares


def said(answers: Any) -> list[str]:
    return [answer["generated_text"] for answer in answers]


class Lines(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return len(SOURCES)

    def __getitem__(self, place: int) -> str:
        return SOURCES[place]


def test_it_says_what_it_was_taught_and_forgets_it(make: Make) -> None:
    generator = make()
    before = said(generator(SOURCES, max_new_tokens=12))
    ids = generator.remember(SOURCES, TARGETS)
    assert len(set(ids)) == len(SOURCES)
    assert said(generator(SOURCES, max_new_tokens=12)) == TARGETS
    assert generator.remember(SOURCES[:1], TARGETS[:1]) == ids[:1], "a pair that is there keeps its id"
    generator.forget(ids[0])
    assert said(generator(SOURCES[1:], max_new_tokens=12)) == TARGETS[1:]
    generator.forget(ids=ids[1:])
    assert said(generator(SOURCES, max_new_tokens=12)) == before


def test_transformers_makes_it_by_its_task(tiny_t5: Path, taught: Generator, tmp_path: Path) -> None:
    taught.save_pretrained(tmp_path)
    loaded = pipeline(TASK, model=str(tmp_path))
    assert isinstance(loaded, Generator) and PIPELINES["seq2seq"] is Generator
    assert said(loaded(SOURCES)) == TARGETS
    assert "3 pairs" in repr(loaded)
    model = MANNForConditionalGeneration.from_seq2seq_pretrained(tiny_t5)
    assert len(pipeline(TASK, model=model, tokenizer=word_tokenizer()).model.memory) == 0


def test_without_a_model_it_says_which_to_give() -> None:
    with pytest.raises(InvalidInputError, match="from_seq2seq_pretrained"):
        pipeline(TASK)
    with pytest.raises(InvalidTypeError, match=r"this pipeline takes a MANNForConditionalGeneration"):
        Generator(model=torch.nn.Linear(1, 1))


class TestInputs:
    def test_one_source_gives_a_list_of_one(self, taught: Generator) -> None:
        assert said(taught(SOURCES[0])) == TARGETS[:1]

    @pytest.mark.parametrize("kind", [list, tuple, lambda texts: datasets.Dataset.from_dict({"t": texts})["t"]])
    def test_collections_give_lists(self, taught: Generator, kind: Any) -> None:
        answers = taught(kind(SOURCES))
        assert isinstance(answers, list) and said(answers) == TARGETS
        assert taught([]) == []

    def test_streams_are_read_as_answers_are_taken(self, taught: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Generator, "chunk", 2)
        read: list[str] = []

        def stream() -> Any:
            for source in SOURCES:
                read.append(source)
                yield source

        answers = taught(stream())
        assert next(answers)["generated_text"] == TARGETS[0] and read == SOURCES[:2]
        assert said(answers) == TARGETS[1:]
        assert said(taught(Lines())) == TARGETS

    def test_order_and_batches_change_nothing(self, taught: Generator) -> None:
        many = [*SOURCES, "the dog", *SOURCES[::-1]]
        by_itself = [taught(source)[0] for source in many]
        for size in (None, 1, 3):
            assert taught(many, batch_size=size) == by_itself

    @pytest.mark.parametrize(
        ("inputs", "error", "words"),
        [
            ("", InvalidInputError, "source 0 .* empty"),
            (["the dog", "\n "], InvalidInputError, "source 1 .* blank"),
            (["the dog", 3], InvalidTypeError, "source 1 .* not a string"),
            (3, InvalidTypeError, "type int"),
            ({"a": 1}, InvalidTypeError, "type dict"),
            (datasets.Dataset.from_dict({"source": SOURCES}), InvalidTypeError, r"table\['source'\]"),
        ],
    )
    def test_what_is_no_source_is_refused_in_words(
        self, taught: Generator, inputs: Any, error: type[Exception], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            taught(inputs)


class TestRemember:
    @pytest.mark.parametrize(
        ("sources", "targets", "error", "words"),
        [
            (["the dog"], ["der hund", "die katze"], InvalidInputError, "1 source and 2 targets"),
            ([""], ["der hund"], InvalidInputError, "source 0 .* empty"),
            (["the dog"], [" "], InvalidInputError, "target 0 .* blank"),
            (["the dog"], [None], InvalidTypeError, "target 0 .* None"),
            ([], [], InvalidInputError, "nothing to remember"),
            (None, ["der hund"], InvalidTypeError, "sources must be"),
            (datasets.Dataset.from_dict({"s": ["a"]}), ["b"], InvalidTypeError, "sources came as a table"),
            (["a"], datasets.Dataset.from_dict({"s": ["a"]}), InvalidTypeError, "targets came as a table"),
        ],
    )
    def test_what_cannot_be_taught_leaves_the_memory_as_it_was(
        self, taught: Generator, sources: Any, targets: Any, error: type[Exception], words: str
    ) -> None:
        before = taught.model.memory
        with pytest.raises(error, match=words):
            taught.remember(sources, targets)
        assert taught.model.memory is before

    def test_one_pair_of_plain_texts(self, make: Make) -> None:
        generator = make()
        assert len(generator.remember("the dog", "der hund")) == 1

    def test_progress_counts_pairs(self, make: Make) -> None:
        done: list[int] = []
        make().remember(SOURCES, TARGETS, batch_size=2, progress=done.append)
        assert done == [2, 1]

    def test_ids_that_are_not_there(self, taught: Generator) -> None:
        with pytest.raises(NotInMemoryError):
            taught.forget([12345])
        with pytest.raises(InvalidTypeError, match=r"forget\(source=") as told:
            taught.forget("a")  # type: ignore[arg-type]
        assert "label" not in str(told.value)
        assert len(taught.model.memory) == len(SOURCES)

    def test_pairs_are_forgotten_by_their_texts(self, taught: Generator) -> None:
        taught.forget(source=SOURCES[0])
        taught.forget(target=TARGETS[1])
        assert [entry.source for entry in taught.model.memory.entries] == [SOURCES[2]]
        with pytest.raises(NotInMemoryError, match="evidence"):
            taught.forget(source=SOURCES[0])
        with pytest.raises(InvalidInputError, match="source="):
            taught.forget()


class TestGenerate:
    def test_arguments_of_generate_are_passed_on(self, taught: Generator) -> None:
        assert said(taught(SOURCES, num_beams=3)) == TARGETS
        assert said(taught(SOURCES, max_new_tokens=2)) == [" ".join(text.split()[:2]) for text in TARGETS]
        several = taught(SOURCES[:2], num_beams=3, num_return_sequences=2)
        assert [len(answers) for answers in several] == [2, 2]
        assert [answers[0]["generated_text"] for answers in several] == TARGETS[:2]
        assert len(taught(SOURCES[0], num_beams=3, num_return_sequences=2)) == 2
        with pytest.raises(ValueError, match="nonsense"):
            taught(SOURCES[0], nonsense=1)

    def test_arguments_may_be_given_when_it_is_made(self, taught: Generator) -> None:
        own = Generator(model=taught.model, tokenizer=taught.tokenizer, max_new_tokens=1, evidence=1)
        (answer,) = own(SOURCES[0])
        assert answer["generated_text"] == TARGETS[0].split()[0] and len(answer["evidence"]) == 1
        assert said(own(SOURCES[0], max_new_tokens=12, evidence=False)) == TARGETS[:1]

    def test_a_length_is_found_where_nobody_says_it(self, make: Make) -> None:
        short = make(max_target_length=3)
        short.remember(SOURCES, TARGETS)
        assert all(len(answer["generated_text"].split()) <= 3 for answer in short(SOURCES))
        generator = make()
        generator.remember("the dog", " ".join(["hund"] * 60))
        assert 60 <= len(said(generator("the dog"))[0].split()) <= 128  # and not the 20 of `generate`
        generator.model.generation_config.max_new_tokens = 4
        assert said(generator("the dog")) == ["hund hund hund hund"]
        own = GenerationConfig.from_dict({**generator.model.generation_config.to_dict(), "max_new_tokens": 2})
        assert said(generator("the dog", generation_config=own)) == ["hund hund"]

    def test_a_streamer_hears_each_word(self, taught: Generator, capsys: pytest.CaptureFixture[str]) -> None:
        tokenizer: Any = taught.tokenizer
        taught(SOURCES[0], streamer=TextStreamer(tokenizer, skip_special_tokens=True))
        assert TARGETS[0] in capsys.readouterr().out

    def test_truncation_is_not_taken_off(self, taught: Generator) -> None:
        assert said(taught(SOURCES[0], truncation=True)) == TARGETS[:1]
        with pytest.raises(InvalidInputError, match="max_source_length"):
            taught(SOURCES[0], truncation=False)


class TestEvidence:
    def test_each_token_names_its_pair(self, taught: Generator) -> None:
        ids = taught.remember(SOURCES, TARGETS)
        for place, answer in enumerate(taught(SOURCES, evidence=2)):
            tokens = answer["evidence"]
            assert [token["token"] for token in tokens] == [*TARGETS[place].split(), "</s>"]
            for position, token in enumerate(tokens):
                assert token["share"] == pytest.approx(0.95, abs=1e-3) and 0 < token["probability"] <= 1
                assert 1 <= len(token["pairs"]) <= 2
                first = token["pairs"][0]
                assert (first["id"], first["source"], first["target"]) == (ids[place], SOURCES[place], TARGETS[place])
                assert (first["position"], first["token"]) == (position, token["token"])
                assert 0 < sum(pair["weight"] for pair in token["pairs"]) <= 1 + 1e-5

    def test_its_numbers_have_the_digits_of_their_precision(self, taught: Generator) -> None:
        tokens = taught(SOURCES[0], evidence=2)[0]["evidence"]
        assert [str(token["share"]) for token in tokens] == ["0.95"] * len(tokens)
        numbers = [pair["weight"] for token in tokens for pair in token["pairs"]]
        numbers += [token["probability"] for token in tokens]
        assert all(type(number) is float and len(f"{number:e}".split("e")[0].rstrip("0")) <= 7 for number in numbers)

    def test_it_is_given_on_request_alone(self, taught: Generator) -> None:
        assert "evidence" not in taught(SOURCES[0])[0] and "evidence" not in taught(SOURCES[0], evidence=0)[0]
        assert len(taught(SOURCES[0], evidence=True)[0]["evidence"]) == len(TARGETS[0].split()) + 1
        for wrong in (-1, "many", 1.5):
            with pytest.raises(InvalidInputError, match="evidence"):
                taught(SOURCES[0], evidence=wrong)

    def test_an_empty_memory_stands_behind_nothing(self, make: Make) -> None:
        (answer,) = make()(SOURCES[0], evidence=3, max_new_tokens=3)
        assert all(token["pairs"] == [] and token["share"] == 0 for token in answer["evidence"])

    def test_without_texts_ids_are_left(self, make: Make) -> None:
        generator = make(store_texts=False)
        ids = generator.remember(SOURCES, TARGETS)
        pair = generator(SOURCES[0], evidence=1)[0]["evidence"][0]["pairs"][0]
        assert (pair["id"], pair["source"], pair["target"]) == (ids[0], None, None)
        assert pair["token"] == TARGETS[0].split()[0]

    def test_of_a_memory_of_examples_whole_pairs(self, make: Make) -> None:
        generator = make(memory="example", gate=1.0)
        ids = generator.remember(SOURCES, TARGETS)
        for token in generator(SOURCES[0], evidence=5, max_new_tokens=4)[0]["evidence"]:
            assert {pair["id"] for pair in token["pairs"]} <= set(ids)
            assert all(pair["position"] is None and pair["token"] is None for pair in token["pairs"])

    def test_every_returned_sequence_has_its_own(self, taught: Generator) -> None:
        (answers,) = taught(SOURCES[:1], num_beams=3, num_return_sequences=3, evidence=1, max_new_tokens=12)
        for answer in answers:
            words = [token["token"] for token in answer["evidence"] if token["token"] not in ("</s>", "<pad>")]
            assert " ".join(words) == answer["generated_text"] or not words


class TestMemory:
    def test_a_memory_is_saved_loaded_and_kept_apart(self, taught: Generator, make: Make, tmp_path: Path) -> None:
        taught.save_memory(tmp_path / "skill")
        other = make()
        other.load_memory(tmp_path / "skill")
        assert said(other(SOURCES)) == TARGETS
        own = other.with_own_memory()
        own.forget(sorted(own.model.memory.ids))
        assert said(other(SOURCES)) == TARGETS and len(own.model.memory) == 0

    def test_one_call_reads_one_memory(self, taught: Generator) -> None:
        """Whatever another thread teaches or forgets meanwhile."""
        errors: list[BaseException] = []
        stop = threading.Event()

        def churn() -> None:
            try:
                while not stop.is_set():
                    taught.forget(taught.remember(["the bird"], ["der vogel"]))
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(5):
                answers = taught(SOURCES, evidence=3)
                assert said(answers) == TARGETS
        finally:
            stop.set()
            thread.join()
        assert not errors
