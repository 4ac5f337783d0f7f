"""Episodes of pairs: what is drawn, what stays apart, and that every episode can be drawn again."""

from typing import Any

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from mann_hf.episodes import Pair, PairSampler, TaskSampler
from mann_hf.errors import InvalidInputError, InvalidTypeError


def dataset(count: int = 12, **columns: list[Any]) -> Dataset:
    rows = {"source": [f"source {row}" for row in range(count)], "target": [f"target {row}" for row in range(count)]}
    return Dataset.from_dict({**rows, **columns})


def made(random: np.random.Generator) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    number = int(random.integers(1000))
    return [("what", str(number))], [("what what", f"{number} {number}"), ("what", str(number))]


class TestOfADataSet:
    def test_support_and_queries_are_drawn_without_overlap(self) -> None:
        sampler = PairSampler(dataset(), k_shot=4, n_query=(2, 5))
        sizes = set()
        for number in range(50):
            support, query, names, seed = sampler[number]
            pairs = [*support.inputs, *query.inputs]
            assert len(support.inputs) == 4 and len(set(pairs)) == len(pairs)
            assert all(pair.source.split()[1] == pair.target.split()[1] for pair in pairs), "a source keeps its target"
            assert set(support.labels) | set(query.labels) == {0} and len(names) == 1 and seed is not None
            sizes.add(len(query.inputs))
        assert sizes == {2, 3, 4, 5}

    def test_the_support_is_asked_behind_the_queries_where_that_is_wanted(self) -> None:
        plain, asked = (PairSampler(dataset(), 3, 2, ask_support=flag)[5] for flag in (False, True))
        assert asked.support == plain.support
        assert asked.query.inputs == plain.query.inputs + plain.support.inputs and len(asked.query.labels) == 5

    def test_a_source_of_several_targets_is_on_one_side_unless_it_may_be_on_both(self) -> None:
        many = dataset(source=["a"] * 6 + [f"b{row}" for row in range(6)])
        for number in range(30):
            support, query, *_ = PairSampler(many, 3, 3)[number]
            sources = [pair.source for pair in [*support.inputs, *query.inputs]]
            assert sources.count("a") <= 1
        both = [PairSampler(many, 3, 3, apart=False)[number] for number in range(30)]
        assert any({p.source for p in e.support.inputs} & {p.source for p in e.query.inputs} for e in both)

    def test_an_equal_pair_in_several_rows_counts_once(self) -> None:
        with pytest.raises(InvalidInputError, match=r"has 1 different sources, and an episode takes 2 \(k_shot 1"):
            PairSampler(dataset(source=["a"] * 12, target=["b"] * 12), 1, 1)

    def test_several_data_sets_are_mixed_by_their_weights(self) -> None:
        sets = {"one": dataset(), "other": dataset(source=[f"other {row}" for row in range(12)])}
        sampler = PairSampler(sets, 2, 2, weights={"one": 1, "other": 3})
        kinds = [{pair.source.split()[0] for pair in sampler[number].support.inputs} for number in range(400)]
        assert all(len(kind) == 1 for kind in kinds), "an episode is of one data set"
        assert kinds.count({"other"}) / 400 == pytest.approx(0.75, abs=0.08)
        with pytest.raises(InvalidInputError, match="weights are for 'one'; the data sets are 'one', 'other'"):
            PairSampler(sets, 2, 2, weights={"one": 1})

    def test_columns_have_the_names_that_are_given(self) -> None:
        sampler = PairSampler(dataset(en=["x y"] * 11 + ["z"]), 1, 1, source_column="target", target_column="en")
        assert sampler[0].support.inputs[0].source.startswith("target")
        with pytest.raises(InvalidInputError, match="has no column 'de'; it has 'source', 'target'.*target_column="):
            PairSampler(dataset(), target_column="de")

    @pytest.mark.parametrize(
        "data, error, words",
        [
            (DatasetDict({"train": dataset()}), InvalidTypeError, "DatasetDict of 'train'"),
            ([("a", "b")], InvalidTypeError, "of type list; give a datasets.Dataset"),
            (dataset(0), InvalidInputError, "has no rows"),
            (dataset(source=[""] * 12), InvalidInputError, "column 'source'"),
            ({}, InvalidInputError, "no data set"),
        ],
    )
    def test_data_that_cannot_be_drawn_from_are_refused(self, data: Any, error: Any, words: str) -> None:
        with pytest.raises(error, match=words):
            PairSampler(data)

    def test_what_it_is_of_is_said_for_people(self) -> None:
        sampler = PairSampler(dataset(target=["same"] * 12), 2, (1, 3))
        assert sampler.sources == [{"name": "pairs", "texts": 12, "dataset_id": None}]
        assert sampler.task == "episodes of 2 pairs and 1 to 3 queries" and not sampler.labels


class TestOfATask:
    def test_episodes_are_what_the_task_makes_by_its_own_draws(self) -> None:
        sampler = TaskSampler(made, name="twice")
        episodes = [sampler[number] for number in range(20)]
        assert all(len(episode.support.inputs) == 1 and len(episode.query.inputs) == 2 for episode in episodes)
        assert len({episode.support.inputs[0] for episode in episodes}) > 10
        assert isinstance(episodes[0].support.inputs[0], Pair)
        assert (sampler.k_shot, sampler.n_query) == ((1, 1), (2, 2))
        assert sampler.task == "episodes of twice with 1 pair and 2 queries"

    def test_the_support_is_asked_too(self) -> None:
        episode = TaskSampler(made, name="twice", ask_support=True)[3]
        assert episode.query.inputs[2:] == episode.support.inputs

    def test_tasks_that_make_no_pairs_are_refused(self) -> None:
        with pytest.raises(InvalidTypeError, match="holds 'ab'; a pair is"):
            TaskSampler(lambda random: (["ab"], []), name="bad")  # type: ignore[list-item]
        with pytest.raises(InvalidInputError, match="first episode of 'mute' has no queries"):
            TaskSampler(lambda random: ([("a", "b")], []), name="mute")
        with pytest.raises(InvalidTypeError, match="make is of type list"):
            TaskSampler([], name="list")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["data set", "task"])
class TestOfBoth:
    def make(self, kind: str, **settings: Any) -> Any:
        return (
            PairSampler(dataset(), 2, 2, **settings) if kind == "data set" else TaskSampler(made, name="t", **settings)
        )

    def test_episodes_depend_on_seed_and_number_alone(self, kind: str) -> None:
        one, same, other = self.make(kind), self.make(kind), self.make(kind, seed=1)
        next(same)  # which changes nothing
        assert [one[number] for number in (4, 0, 4)] == [same[number] for number in (4, 0, 4)]
        assert one[0] != other[0] and one[0] != one[1]

    def test_processes_share_the_episodes_out(self, kind: str) -> None:
        whole = self.make(kind)
        shards = [whole.shard(process, 2) for process in range(2)]
        assert [next(shards[number % 2]) for number in range(4)] == [whole[number] for number in range(4)]

    def test_a_state_goes_on_where_it_stopped_and_of_nothing_else(self, kind: str) -> None:
        before = self.make(kind)
        drawn = [next(before) for _ in range(3)]
        after = self.make(kind)
        after.load_state_dict(before.state_dict())
        assert next(after) == whole_of(self.make(kind))[3] and drawn == whole_of(self.make(kind))[:3]
        with pytest.raises(InvalidInputError, match="other data, settings or seed"):
            self.make(kind, ask_support=True).load_state_dict(before.state_dict())
        with pytest.raises(InvalidInputError, match="other data, settings or seed"):
            self.make(kind, seed=1).load_state_dict(before.state_dict())


def whole_of(sampler: Any, count: int = 4) -> list[Any]:
    return [sampler[number] for number in range(count)]
