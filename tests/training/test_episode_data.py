"""From data sets to the samplers of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from mann_hf import EpisodicTrainingArguments
from mann_hf.episodes import EpisodeSampler, SeededEpisodes
from mann_hf.errors import InvalidInputError
from mann_hf.training import OBJECTIVES
from mann_hf.training.episode_data import DrawnEpisodes, EpisodeData, shared_classes, warn_of_shared

COLUMNS = {"text_column": "text", "label_column": "label"}
Arguments = Callable[..., EpisodicTrainingArguments]


def labelled(labels: str, texts: int = 8) -> Dataset:
    rows = [(f"text {number} of {label}", label) for label in labels for number in range(texts)]
    return Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


@pytest.fixture
def arguments(tmp_path: Path) -> Arguments:
    def given(**told: Any) -> EpisodicTrainingArguments:
        return EpisodicTrainingArguments(
            str(tmp_path), use_cpu=True, report_to="none", **{"n_way": 2, "n_query": 2, **told}
        )

    return given


def trained(data: EpisodeData, args: EpisodicTrainingArguments) -> SeededEpisodes | None:
    return data.trained(args, data.evaluated(args), OBJECTIVES[args.objective]())


def first(sampler: SeededEpisodes | None) -> list[Any]:
    """Its first episodes, by which samplers are told apart."""
    assert sampler is not None
    return [sampler[number] for number in range(4)]


def test_drawn_episodes_are_read_by_their_numbers() -> None:
    sampler = EpisodeSampler(labelled("abc"), 2)
    drawn = DrawnEpisodes(sampler, 3)
    assert len(drawn) == 3 and [drawn[number] for number in (2, 0, 2)] == [sampler[number] for number in (2, 0, 2)]


class TestTrained:
    def test_drawn_as_the_arguments_say(self, arguments: Arguments) -> None:
        data = labelled("abcdef")
        args = arguments(n_way=(2, 4), k_shot=(1, 3), unbalanced=True, episodes_per_step=3, seed=6, eval_n_way=5)
        sizes: dict[str, Any] = {"n_way": (2, 4), "k_shot": (1, 3), "n_query": 2, "unbalanced": True, "batch_size": 3}
        assert first(trained(EpisodeData(data, None, COLUMNS), args)) == first(EpisodeSampler(data, **sizes, seed=6))

    def test_the_seed_of_the_data_comes_before_that_of_the_run(self, arguments: Arguments) -> None:
        data = EpisodeData(labelled("abcdef"), None, COLUMNS)
        plain, other, same = ({"seed": 1}, {"seed": 1, "data_seed": 0}, {"seed": 2, "data_seed": 0})
        drawn = [first(trained(data, arguments(**seeds))) for seeds in (plain, other, same)]
        assert drawn[0] != drawn[1] == drawn[2]

    def test_without_training_data_there_is_none(self, arguments: Arguments) -> None:
        assert trained(EpisodeData(None, labelled("abc"), COLUMNS), arguments()) is None

    def test_a_sampler_of_ones_own_is_taken_as_it_is(self, arguments: Arguments) -> None:
        own = EpisodeSampler(labelled("abc"), 3, 1, 1)
        assert trained(EpisodeData(own, labelled("de"), COLUMNS), arguments()) is own

    def test_shared_classes_are_refused_dropped_or_allowed(
        self, arguments: Arguments, told: Callable[[], list[str]]
    ) -> None:
        data = EpisodeData(labelled("abcd"), {"one": labelled("de"), "two": labelled("cf")}, COLUMNS)
        with pytest.raises(InvalidInputError, match=r"2 classes are in .*new classes: 'c', 'd'\. Split the data by"):
            trained(data, arguments())
        allowed = trained(data, arguments(shared_labels="allow"))
        assert allowed is not None and allowed.labels == {*"abcd"} and not told()
        dropped = trained(data, arguments(shared_labels="drop"))
        assert dropped is not None and dropped.labels == {*"ab"}
        [line] = told()
        assert line.endswith("'c', 'd'. They are left out of the training data.")

    @pytest.mark.parametrize("shared_labels", ["refuse", "drop"])
    def test_of_a_sampler_of_ones_own_no_class_can_be_dropped(self, arguments: Arguments, shared_labels: str) -> None:
        own = EpisodeSampler(labelled("abcd"), 2)
        with pytest.raises(InvalidInputError, match=r"in an EpisodeSampler of your own: .* \(classes=\)"):
            trained(EpisodeData(own, labelled("de"), COLUMNS), arguments(shared_labels=shared_labels))
        assert trained(EpisodeData(own, labelled("de"), COLUMNS), arguments(shared_labels="allow")) is own

    def test_one_text_of_each_class_is_enough_beside_its_name(self, arguments: Arguments) -> None:
        named = labelled("abc").map(lambda row: {"label": f"letter {row['label']}"})
        data = EpisodeData(named, None, COLUMNS)
        options: dict[str, Any] = {"objective": "leave_one_out", "k_shot": 1, "n_query": 0}
        with pytest.raises(InvalidInputError, match="one input of each class"):
            trained(data, arguments(**options))
        assert trained(data, arguments(**options, label_names=True))
        assert trained(data, arguments(**{**options, "k_shot": (1, 2)}))


class TestEvaluated:
    def test_as_in_training_but_for_what_is_told_of_evaluation(self, arguments: Arguments) -> None:
        data = labelled("abcdef")
        [plain] = EpisodeData(None, data, COLUMNS).evaluated(arguments(k_shot=(1, 2), unbalanced=True, seed=5)).values()
        assert first(plain) == first(EpisodeSampler(data, 2, (1, 2), 2, seed=0))
        args = arguments(eval_n_way=4, eval_k_shot=3, eval_n_query=1, eval_n_unknown=2, eval_seed=9)
        [other] = EpisodeData(None, data, COLUMNS).evaluated(args).values()
        assert first(other) == first(EpisodeSampler(data, 4, 3, 1, n_unknown=2, seed=9))

    def test_one_is_without_a_name_and_several_have_theirs(self, arguments: Arguments) -> None:
        one, two = labelled("abc"), labelled("def")
        assert EpisodeData(None, None, COLUMNS).evaluated(arguments()) == {}
        data = EpisodeData(None, {"one": one, "two": two}, COLUMNS)
        named = {name: sampler.labels for name, sampler in data.evaluated(arguments()).items()}
        assert named == {"one": {*"abc"}, "two": {*"def"}}
        [(name, sampler)] = data.evaluated(arguments(), two).items()
        assert (name, sampler.labels) == ("", {*"def"})

    def test_the_columns_are_those_that_are_named(self, arguments: Arguments) -> None:
        renamed = labelled("abc").rename_columns({"text": "message", "label": "intent"})
        data = EpisodeData(renamed, renamed, {"text_column": "message", "label_column": "intent"})
        args = arguments(shared_labels="allow")
        [asked], drawn = data.evaluated(args).values(), trained(data, args)
        assert drawn is not None and asked.labels == drawn.labels == {*"abc"}

    def test_each_must_ask_something(self, arguments: Arguments) -> None:
        silent = EpisodeSampler(labelled("def"), 2, n_query=(0, 2))
        with pytest.raises(InvalidInputError, match="set eval_n_query .or n_query, its default. to 1 or more"):
            EpisodeData(None, {"one": labelled("abc"), "two": silent}, COLUMNS).evaluated(arguments())


class TestShared:
    def test_those_of_all_that_are_evaluated(self) -> None:
        sampler = EpisodeSampler(labelled("dcba"), 2)
        others = {name: EpisodeSampler(labelled(name), 2) for name in ("dx", "bd", "yz")}
        assert shared_classes(sampler, others) == ["b", "d"]
        assert shared_classes(sampler, {}) == []

    def test_they_are_told_once(self, told: Callable[[], list[str]]) -> None:
        sampler, other = EpisodeSampler(labelled("pqr"), 2), EpisodeSampler(labelled("qrs"), 2)
        for _ in range(2):
            warn_of_shared(sampler, {"": other})
            warn_of_shared(sampler, {"": EpisodeSampler(labelled("st"), 2)})
        [line] = told()
        assert line.startswith("2 classes are in the training data and in the evaluation data") and "'q', 'r'" in line
