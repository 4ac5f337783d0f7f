import ast
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st

from mann_hf.episodes import UNKNOWN, Episode, EpisodeSampler, SeededEpisodes
from mann_hf.errors import InvalidInputError, InvalidTypeError

Told = Callable[[], list[str]]


def data(sizes: int | dict[str, int] = 8, each: int = 6, prefix: str = "") -> Dataset:
    """Texts that name their class and their number in it."""
    sizes = {f"{prefix}{'abcdefghijkl'[number]}": each for number in range(sizes)} if isinstance(sizes, int) else sizes
    rows = [(f"{name} {number}", name) for name, size in sizes.items() for number in range(size)]
    return Dataset.from_dict({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


def class_of(text: str) -> str:
    return text.rsplit(" ", 1)[0]


def first(sampler: SeededEpisodes, count: int = 20) -> list[Episode]:
    return list(itertools.islice(sampler, count))


def check(episode: Episode) -> None:
    """What holds for any episode of texts that name their class."""
    assert len(set(episode.names)) == len(episode.names)
    for texts, labels in (episode.support, episode.query):
        assert len(texts) == len(labels)
        for text, label in zip(texts, labels, strict=True):
            if label == UNKNOWN:
                assert class_of(text) not in episode.names
            else:
                assert class_of(text) == episode.names[label]
    assert UNKNOWN not in episode.support.labels
    drawn = [*episode.support.texts, *episode.query.texts]
    assert len(set(drawn)) == len(drawn)


class TestEpisodes:
    @pytest.mark.parametrize(
        "n_way, k_shot, n_query, n_unknown", [(3, 1, 4, 0), (5, 2, 1, 3), (8, 6, 0, 0), (2, 3, 0, 1)]
    )
    def test_as_many_texts_as_asked_for(self, n_way: int, k_shot: int, n_query: int, n_unknown: int) -> None:
        for episode in first(EpisodeSampler(data(), n_way, k_shot, n_query, n_unknown=n_unknown)):
            check(episode)
            assert len(episode.names) == n_way
            assert Counter(episode.support.labels) == dict.fromkeys(range(n_way), k_shot)
            asked = dict.fromkeys(range(n_way), n_query) | {UNKNOWN: n_unknown}
            assert Counter(episode.query.labels) == {label: count for label, count in asked.items() if count}

    def test_ranges_are_drawn_from_ends_included(self) -> None:
        sampler = EpisodeSampler(data(), (2, 4), (1, 3), (0, 2), n_unknown=(0, 1))
        seen: Counter[tuple[str, int]] = Counter()
        for episode in first(sampler, 200):
            check(episode)
            shots, queries = Counter(episode.support.labels), Counter(episode.query.labels)
            unknown = queries.pop(UNKNOWN, 0)
            assert len(set(shots.values())) == 1 and len(set(queries.values())) <= 1
            asked = next(iter(queries.values()), 0)
            seen.update({("N", len(episode.names)), ("K", shots[0]), ("Q", asked), ("unknown", unknown)})
        told = {("N", n) for n in (2, 3, 4)} | {("K", k) for k in (1, 2, 3)} | {("Q", q) for q in (0, 1, 2)}
        assert set(seen) == told | {("unknown", 0), ("unknown", 1)}
        assert min(seen.values()) > 200 / 3 / 2, "each about as often as others"

    def test_unbalanced_shots_are_drawn_for_each_class(self) -> None:
        sampler = EpisodeSampler(data(), 4, (1, 3), 2, unbalanced=True)
        shots = [[Counter(episode.support.labels)[label] for label in range(4)] for episode in first(sampler, 50)]
        assert {shot for row in shots for shot in row} == {1, 2, 3}
        assert any(len(set(row)) > 1 for row in shots)
        assert all(Counter(sampler[number].query.labels) == dict.fromkeys(range(4), 2) for number in range(10))

    def test_every_class_text_and_place_has_its_turn(self) -> None:
        episodes = first(EpisodeSampler(data(5), 3, 1, 1), 300)
        places = Counter((name, label) for episode in episodes for label, name in enumerate(episode.names))
        assert len(places) == 15 and min(places.values()) > 30, "a class has each number about as often as others"
        for part in ("support", "query"):
            assert len({text for episode in episodes for text in getattr(episode, part).texts}) == 30

    def test_unknown_queries_are_of_classes_that_are_drawn_from(self) -> None:
        sampler = EpisodeSampler(data(), 3, 1, 1, classes=["a", "b", "c", "d"], n_unknown=2)
        for episode in first(sampler):
            check(episode)
            [other] = set("abcd") - set(episode.names)
            assert {class_of(text) for text in episode.query.texts[-2:]} == {other}

    def test_a_text_in_several_rows_is_taught_or_asked_once(self) -> None:
        rows = data(3, each=4)
        sampler = EpisodeSampler(Dataset.from_dict({name: [*rows[name]] * 3 for name in rows.column_names}), 2, 2, 2)
        for episode in first(sampler, 30):
            check(episode)
        with pytest.raises(InvalidInputError, match="0 classes with at least 5 texts"):
            EpisodeSampler(Dataset.from_dict({name: [*rows[name]] * 3 for name in rows.column_names}), 2, 3, 2)

    def test_all_texts_of_all_classes(self) -> None:
        [episode] = first(EpisodeSampler(data(2, each=3), 2, 1, 2), 1)
        assert sorted([*episode.support.texts, *episode.query.texts]) == sorted(data(2, each=3)["text"])

    def test_some_of_the_classes(self) -> None:
        sampler = EpisodeSampler(data(), 2, classes=["c", "f", "g"], n_query=2)
        assert sampler.labels == {"c", "f", "g"} == {name for episode in first(sampler, 40) for name in episode.names}

    def test_classes_are_named_as_the_data_names_them(self) -> None:
        rows = Dataset.from_dict({"body": ["1 a", "1 b", "0 a", "0 b"], "intent": [1, 1, 0, 0]})
        sampler = EpisodeSampler(rows, 2, 1, 1, text_column="body", label_column="intent", classes=[0, 1])  # type: ignore[list-item]
        for episode in first(sampler):
            check(episode)

    def test_no_negative_numbers(self) -> None:
        with pytest.raises(IndexError, match="no episode -1"):
            EpisodeSampler(data())[-1]


def sharing(own: int = 4, shared: int = 5) -> Dataset:
    """Six classes with texts of their own and texts that two or three of them have."""
    rows = data(6, each=own)
    others = [(f"same {number}", "abcdef"[(number + step) % 6]) for number in range(shared) for step in (0, 1, 3)]
    texts, labels = zip(*others[:-1], strict=True)
    return Dataset.from_dict({"text": [*rows["text"], *texts], "label": [*rows["label"], *labels]})


def apart(rows: Dataset) -> Dataset:
    """The same with no text in common."""
    return rows.map(lambda row: {"text": f"{row['text']} of {row['label']}"})


class TestSharedTexts:
    @pytest.mark.parametrize("settings", [{}, {"n_unknown": 3}, {"k_shot": (1, 3), "unbalanced": True}], ids=str)
    def test_none_is_drawn_twice_or_for_a_class_that_has_it_not(self, settings: dict[str, Any]) -> None:
        rows = sharing()
        have = {(text, label) for text, label in zip(rows["text"], rows["label"], strict=True)}
        sampler = EpisodeSampler(rows, **{"n_way": 4, "k_shot": 2, "n_query": 1, **settings})
        seen: Counter[str] = Counter()
        for episode in first(sampler, 300):
            pairs = [pair for part in (episode.support, episode.query) for pair in zip(*part, strict=True)]
            assert len({text for text, _ in pairs}) == len(pairs)
            for text, label in pairs:
                if label == UNKNOWN:
                    assert not any((text, name) in have for name in episode.names)
                else:
                    assert (text, episode.names[label]) in have
            seen.update(text for text, _ in pairs)
            shots = Counter(episode.support.labels)
            assert set(shots) == set(range(4)) and set(shots.values()) <= (
                {1, 2, 3} if "unbalanced" in settings else {2}
            )
            asked = dict.fromkeys(range(4), 1) | ({UNKNOWN: 3} if "n_unknown" in settings else {})
            assert Counter(episode.query.labels) == asked
        assert set(seen) == set(rows["text"])

    def test_episodes_without_one_drawn_twice_are_as_if_there_were_none(self) -> None:
        rows = sharing(own=12)
        same = 0
        for one, other in zip(
            *(first(EpisodeSampler(each, 4, 1, 2), 200) for each in (rows, apart(rows))), strict=True
        ):
            assert one.names == other.names
            parts = (other.support, other.query)
            plain = [[text.rsplit(" of ", 1)[0] for text in part.texts] for part in parts]
            if len({*plain[0], *plain[1]}) == sum(map(len, plain)):
                assert [one.support.texts, one.query.texts] == plain
                same += 1
        assert 100 < same < 200, "some episodes would have one twice"

    def test_the_rest_of_such_an_episode_stays_as_it_was(self) -> None:
        rows = sharing(own=12)
        changed = 0
        for one, other in zip(
            *(first(EpisodeSampler(each, 2, 2, 4), 200) for each in (rows, apart(rows))), strict=True
        ):
            texts = [[*episode.support.texts, *episode.query.texts] for episode in (one, other)]
            different = [was for now, was in zip(*texts, strict=True) if now != was.rsplit(" of ", 1)[0]]
            assert all(text.startswith("same") for text in different) and len(different) <= 3
            changed += bool(different)
        assert changed

    def test_each_text_that_may_be_had_is_as_likely_in_its_place(self) -> None:
        rows = Dataset.from_dict(
            {"text": [*(f"a {number}" for number in range(4)), *(f"b {number}" for number in range(5)), "same", "same"],
             "label": [*"aaaabbbbbab"]}
        )  # fmt: skip
        counts: Counter[str] = Counter()
        for episode in first(EpisodeSampler(rows, 2, 2, 2), 3000):
            [of_b] = [number for number, name in enumerate(episode.names) if name == "b"]
            if of_b == 1 and "same" in [*episode.support.texts[:2], *episode.query.texts[:2]]:
                counts.update(episode.support.texts[2:])
        assert set(counts) == {f"b {number}" for number in range(5)}
        mean = sum(counts.values()) / 5
        assert all(abs(count - mean) < 4 * mean**0.5 for count in counts.values())

    def test_they_do_not_make_a_class_large_enough(self, told: Told) -> None:
        sampler = EpisodeSampler(sharing(own=4, shared=1), 2, 2, 2)
        assert sampler.labels == set("abcdef") and not told()
        rows = sharing(own=4, shared=1).filter(lambda row: row["text"] != "a 0")
        assert EpisodeSampler(rows, 2, 2, 2).labels == set("bcdef")
        [message] = told()
        assert "texts in several classes do not count: 1, such as 'same 0'" in message
        assert message.endswith("left out: 'a' (3).")
        assert EpisodeSampler(rows, 2, 2, 2, classes=["a", "c", "d"]).labels == set("acd"), "no other class has it"
        with pytest.raises(InvalidInputError, match="5 classes with at least 4 texts .*'same 0'.*takes 6"):
            EpisodeSampler(rows, 6, 2, 2)

    def test_nor_the_unknown_texts_enough(self) -> None:
        assert EpisodeSampler(sharing(), 5, 1, 1, n_unknown=4)[0]
        with pytest.raises(InvalidInputError, match="n_unknown is 5, but beside the 5 classes .* only 4 texts left"):
            EpisodeSampler(sharing(), 5, 1, 1, n_unknown=5)


class TestSeveralDataSets:
    def sources(self) -> dict[str, Dataset]:
        return {"one": data(3, prefix="x"), "two": data(6, prefix="y"), "three": data(3, prefix="z")}

    def shares(self, sampler: EpisodeSampler, count: int = 400) -> dict[str, float]:
        found: Counter[str] = Counter()
        for episode in first(sampler, count):
            check(episode)
            [source] = {name[0] for name in episode.names} | {text[0] for text in episode.query.texts}
            found[source] += 1
        return {source: number / count for source, number in found.items()}

    def test_an_episode_is_of_one_as_often_as_it_has_classes(self) -> None:
        sampler = EpisodeSampler(self.sources(), 2, 1, 1, n_unknown=1)
        assert self.shares(sampler) == pytest.approx({"x": 0.25, "y": 0.5, "z": 0.25}, abs=0.06)
        assert len(sampler.labels) == 12

    def test_weights(self) -> None:
        sampler = EpisodeSampler(self.sources(), 2, 1, 1, weights={"three": 9, "two": 0, "one": 3})
        assert self.shares(sampler) == pytest.approx({"x": 0.25, "z": 0.75}, abs=0.06)

    def test_messages_name_the_one_that_is_meant(self) -> None:
        with pytest.raises(InvalidInputError, match="^'two' has 1 class "):
            EpisodeSampler({"one": data(), "two": data(1)}, 2)
        with pytest.raises(InvalidInputError, match="^'two' has no column 'text'"):
            EpisodeSampler({"one": data(), "two": data().rename_column("text", "body")}, 2)

    def test_one_without_any_of_the_classes_is_left_out_with_a_warning(self, told: Told) -> None:
        sampler = EpisodeSampler(self.sources(), 2, 1, 1, classes=["xa", "xb", "za", "zc"])
        [message] = told()
        assert message.endswith("'two' has none of the classes to draw from and is left out.")
        assert self.shares(sampler) == pytest.approx({"x": 0.5, "z": 0.5}, abs=0.08)
        alone = {name: rows for name, rows in self.sources().items() if name != "two"}
        again = EpisodeSampler(alone, 2, 1, 1, classes=["xa", "xb", "za", "zc"])
        assert sampler.fingerprint == again.fingerprint and sampler[7] == again[7]

    def test_several_without_any_are_left_out(self, told: Told) -> None:
        sampler = EpisodeSampler(self.sources(), 2, 1, 1, classes=["xa", "xb"])
        [message] = told()
        assert message.endswith("'two', 'three' have none of the classes to draw from and are left out.")
        assert self.shares(sampler, 20) == {"x": 1}

    def test_the_weight_of_one_that_is_left_out_has_no_part(self, told: Told) -> None:
        weights = {"three": 3, "two": 10, "one": 1}
        sampler = EpisodeSampler(self.sources(), 2, 1, 1, classes=["xa", "xb", "za", "zc"], weights=weights)
        assert self.shares(sampler) == pytest.approx({"x": 0.25, "z": 0.75}, abs=0.06) and len(told()) == 1

    def test_no_word_where_all_have_some_of_them(self, told: Told) -> None:
        EpisodeSampler(self.sources(), 2, 1, 1, classes=["xa", "xb", "ya", "yb", "za", "zb"])
        assert not told()


SETTINGS = st.fixed_dictionaries(
    {
        "n_way": st.sampled_from([2, 4, (2, 4)]),
        "k_shot": st.sampled_from([1, (1, 3)]),
        "n_query": st.sampled_from([0, 2, (1, 3)]),
        "n_unknown": st.sampled_from([0, 1, (0, 4)]),
        "batch_size": st.sampled_from([1, 3]),
        "seed": st.integers(0, 2**40),
    }
)
DATA = data(7)
few = hypothesis.settings(max_examples=40)


class TestOrder:
    @few
    @given(SETTINGS, st.integers(0, 10**6))
    def test_an_episode_depends_on_its_number_alone(self, settings: dict[str, Any], number: int) -> None:
        sampler, again = EpisodeSampler(DATA, **settings), EpisodeSampler(DATA, **settings)
        check(sampler[number])
        first(sampler, 2)
        assert sampler[number] == again[number]

    @few
    @given(SETTINGS, st.integers(1, 12))
    def test_iterating_gives_the_episodes_in_order(self, settings: dict[str, Any], count: int) -> None:
        sampler = EpisodeSampler(DATA, **settings)
        assert first(sampler, count) == [sampler[number] for number in range(count)]
        assert sampler.drawn == count

    def test_another_seed_draws_other_episodes(self) -> None:
        one, other = (first(EpisodeSampler(DATA, seed=seed)) for seed in (0, 1))
        assert not any(mine == theirs for mine, theirs in zip(one, other, strict=True))
        assert len({episode.names for episode in one}) > 15

    @few
    @given(SETTINGS, st.integers(1, 5), st.integers(1, 4))
    def test_processes_draw_together_what_one_draws(self, settings: dict[str, Any], processes: int, turns: int) -> None:
        ranged = isinstance(settings.get("n_way"), tuple) and len(set(settings["n_way"])) == 2
        batch = settings.get("batch_size", 1) if ranged else 1
        each = turns * batch
        whole = first(EpisodeSampler(DATA, **settings), processes * each)
        made = [EpisodeSampler(DATA, **settings, process_index=p, num_processes=processes) for p in range(processes)]
        cut = [EpisodeSampler(DATA, **settings).shard(p, processes) for p in range(processes)]
        for shards in (made, cut):
            drawn = [first(shard, each) for shard in shards]
            in_turn = [(turn, p) for turn in range(turns) for p in range(processes)]
            assert [one for turn, p in in_turn for one in drawn[p][turn * batch : (turn + 1) * batch]] == whole

    def test_a_batch_of_each_process_has_one_number_of_classes(self) -> None:
        sampler = EpisodeSampler(DATA, n_way=(2, 5), batch_size=4)
        for shard in (sampler.shard(p, 2) for p in range(2)):
            ways = [len(episode.names) for episode in first(shard, 40)]
            assert all(len(set(ways[start : start + 4])) == 1 for start in range(0, 40, 4)) and len(set(ways)) > 2

    def test_a_shard_leaves_the_sampler_it_is_of_alone(self) -> None:
        sampler = EpisodeSampler(DATA)
        first(sampler.shard(1, 2), 3)
        assert sampler.drawn == 0 and next(sampler) == sampler[0]

    @few
    @given(SETTINGS, st.integers(0, 6), st.integers(1, 3))
    def test_a_state_goes_on_where_it_was_taken(self, settings: dict[str, Any], before: int, processes: int) -> None:
        sampler = EpisodeSampler(DATA, **settings, num_processes=processes)
        first(sampler, before)
        state = sampler.state_dict()
        expected = first(sampler, 3)
        resumed = EpisodeSampler(DATA, **settings, num_processes=processes)
        resumed.load_state_dict(state)
        assert first(resumed, 3) == expected
        assert state["drawn"] == before, "a state is no view"

    @pytest.mark.parametrize(
        "rows, settings",
        [
            (data(9), {}),
            (data(8, each=7), {}),
            (data(), {"seed": 1}),
            (data(), {"n_way": 3}),
            (data(), {"k_shot": (1, 2)}),
            (data(), {"k_shot": (1, 3), "unbalanced": True}),
            (data(), {"n_query": 1}),
            (data(), {"n_unknown": 1}),
            (data(), {"classes": ["a", "b", "c", "d", "e", "f", "g"]}),
            ({"one": data()}, {}),
            ({"one": data(), "two": data(6, prefix="x")}, {"weights": {"one": 1, "two": 1}}),
        ],
        ids=lambda value: "-".join(value) if isinstance(value, dict) else f"{value.num_rows} rows",
    )
    def test_a_state_of_other_episodes_is_refused(self, rows: Any, settings: dict[str, Any]) -> None:
        sampler = EpisodeSampler(data(), n_query=2)
        first(sampler, 2)
        other = EpisodeSampler(rows, **{"n_query": 2, **settings})
        with pytest.raises(InvalidInputError, match="other data, settings or seed"):
            other.load_state_dict(sampler.state_dict())
        assert other.drawn == 0

    def test_a_state_of_shots_for_all_classes_alike_is_refused_for_unbalanced_ones(self) -> None:
        sampler = EpisodeSampler(data(), k_shot=(1, 2), n_query=2, unbalanced=True)
        with pytest.raises(InvalidInputError, match="other data, settings or seed"):
            sampler.load_state_dict(EpisodeSampler(data(), k_shot=(1, 2), n_query=2).state_dict())

    def test_a_state_of_other_weights_is_refused(self) -> None:
        made = [EpisodeSampler({"x": data(), "y": data()}, weights={"x": 1, "y": y}, n_query=2) for y in (1, 2, 2)]
        made[1].load_state_dict(made[2].state_dict())
        with pytest.raises(InvalidInputError, match="other data"):
            made[0].load_state_dict(made[2].state_dict())

    def test_other_processes_share_out_what_was_drawn(self) -> None:
        whole = EpisodeSampler(data(), n_query=2)
        shard = whole.shard(1, 2)
        first(shard, 3)
        whole.load_state_dict(shard.state_dict())
        assert whole.drawn == 6 and next(whole) == whole[6]
        with pytest.raises(InvalidInputError, match="6 episodes were drawn, 3 on each of 2 processes.*among 4"):
            whole.shard(0, 4).load_state_dict(shard.state_dict())

    def test_processes_take_over_whole_batches_alone(self) -> None:
        sampler = EpisodeSampler(data(), n_way=(2, 3), n_query=2, batch_size=2)
        shard = sampler.shard(1, 2)
        first(shard, 4)
        sampler.load_state_dict(shard.state_dict())
        assert sampler.drawn == 8 and next(sampler) == sampler[8]
        first(shard, 1)
        sampler.shard(1, 2).load_state_dict(shard.state_dict())
        with pytest.raises(InvalidInputError, match="10 episodes were drawn, .* in batches of 2"):
            sampler.load_state_dict(shard.state_dict())

    def test_each_episode_has_a_seed_of_its_own(self) -> None:
        sampler = EpisodeSampler(data(), n_query=2)
        seeds = [sampler[number].seed for number in range(20)]
        assert len(set(seeds)) == 20 and seeds == [EpisodeSampler(data(), n_query=2)[n].seed for n in range(20)]


class TestSmallClasses:
    def test_one_warning_names_what_is_passed_over(self, told: Told) -> None:
        sampler = EpisodeSampler(data({"a": 6, "b": 3, "c": 6, "d": 2, "e": 5}), 3, (1, 2), (1, 3))
        assert sampler.labels == {"a", "c", "e"} == {name for episode in first(sampler) for name in episode.names}
        [message] = told()
        assert "2 of 5 classes have fewer than 5 texts (k_shot 2 and n_query 3)" in message
        assert message.endswith("left out: 'b' (3), 'd' (2).")

    def test_one_warning_for_each_data_set(self, told: Told) -> None:
        EpisodeSampler({"one": data({"a": 6, "b": 6, "c": 1}), "two": data({"d": 6, "e": 6, "f": 2})}, 2)
        assert ["'one': 1 of 3" in told()[0], "'two': 1 of 3" in told()[1], len(told())] == [True, True, 2]

    def test_a_long_list_is_cut(self, told: Told) -> None:
        EpisodeSampler(data({"a": 6, "b": 6} | {f"small {number}": 1 for number in range(11)}), 2)
        [message] = told()
        assert message.endswith("and 3 more.") and message.count("small") == 8

    def test_no_word_where_all_are_large_enough(self, told: Told) -> None:
        EpisodeSampler(data({"a": 6, "b": 6, "c": 1}), 2, classes=["a", "b"])
        EpisodeSampler(data(), 2)
        assert not told()


ERRORS: list[tuple[Any, dict[str, Any], str]] = [
    (data(), {"n_way": 1}, "n_way is 1; give a whole number from 2 on, or the lowest and the highest of a range"),
    (data(), {"n_way": (4, 2)}, "n_way is .4, 2.; give"),
    (data(), {"n_way": (2, 3, 4)}, "n_way is .2, 3, 4.; give"),
    (data(), {"n_way": "23"}, "n_way is '23'; give"),
    (data(), {"n_way": None}, "n_way is None; give"),
    (data(), {"k_shot": 0}, "k_shot is 0; give a whole number from 1 on"),
    (data(), {"k_shot": 1.5}, "k_shot is 1.5; give"),
    (data(), {"k_shot": True}, "k_shot is True; give"),
    (data(), {"n_query": -1}, "n_query is -1; give a whole number from 0 on"),
    (data(), {"n_unknown": (-1, 2)}, "n_unknown is .-1, 2.; give a whole number from 0 on"),
    (data(), {"process_index": 2, "num_processes": 2}, "process_index is 2 of 2; it counts from 0"),
    (data(), {"process_index": -1, "num_processes": 2}, "process_index is -1 of 2"),
    (data(), {"num_processes": 0}, "process_index is 0 of 0"),
    (data(), {"k_shot": 2, "unbalanced": True}, "unbalanced=True needs a range for k_shot.*not 2"),
    (data(), {"k_shot": (2, 2), "unbalanced": True}, "unbalanced=True needs a range"),
    ({}, {}, "there is no data set to draw from"),
    (data(), {"classes": ["a", "x", "other"]}, "there is no class 'other', 'x' in the data to draw from"),
    ({"x": data(), "y": data(3)}, {"classes": ["k", "l"]}, "there is no class 'k', 'l' in the data to draw from"),
    (data(), {"classes": []}, "classes is empty; name those to draw from, or leave it out to draw from all"),
    ({"x": data(), "y": data()}, {"classes": set()}, "classes is empty; name those to draw from"),
    (
        {"x": data(), "y": data(3, prefix="y")},
        {"classes": ["a", "b"], "weights": {"x": 1}, "n_way": 2},
        "weights are for 'x'; .* are 'x', 'y'",
    ),
    (
        {"x": data(), "y": data(3, prefix="y")},
        {"classes": ["a", "b"], "weights": {"x": 0, "y": 1}, "n_way": 2},
        "not all 0",
    ),
    (data(), {"seed": -1}, "seed is -1; give a whole number from 0 on"),
    (data(), {"seed": 1.5}, "seed is 1.5; give a whole number from 0 on"),
    (data(), {"seed": None}, "seed is None; give a whole number from 0 on"),
    (data(), {"seed": "1"}, "seed is '1'; give a whole number from 0 on"),
    (
        data(),
        {"n_way": 9},
        "has 8 classes with at least 6 texts .k_shot 1 and n_query 5., and an "
        "episode takes 9: n_way=8 would work .in the shell --n-way 8.",
    ),
    (data(), {"n_way": (2, 9)}, "an episode takes 9: n_way=.2, 8. would work .in the shell --n-way 2-8."),
    (data(), {"n_way": 8, "n_unknown": 1}, "an episode takes 8 and another for the unknown texts: n_way=7 would work"),
    (
        data({"a": 6, "b": 2}),
        {"n_way": 2},
        "has 1 class .*takes 2; left out are 'b' .2., which have fewer: n_query=1 would",
    ),
    (data(3, 4), {}, "has 0 classes.*n_way=3 and n_query=3 would work .in the shell --n-way 3 --n-query 3..$"),
    (data(3, 1), {}, "the least that episodes can be made of are 2 classes with 2 texts each; add texts.$"),
    (data(), {"classes": ["a", "b"], "n_way": 3}, "the data set has 2 classes"),
    (
        data(3),
        {"n_way": 2, "n_unknown": 7},
        "n_unknown is 7, but beside the 2 classes of an episode the data set may have only 6",
    ),
    ({"x": data(), "y": data()}, {"weights": {"x": 1}}, "weights are for 'x'; the data sets are 'x', 'y'"),
    (data(), {"weights": {"a": 1}}, "weights are for 'a'; the data sets are 'the data set'"),
    ({"x": data(), "y": data()}, {"weights": {"x": 2, "y": -1}}, "weights are .2, -1.; they must be 0 or more"),
    ({"x": data(), "y": data()}, {"weights": {"x": 0, "y": 0}}, "they must be 0 or more, and not all 0"),
    ({"x": data()}, {"weights": {"x": float("nan")}}, "weights are .nan."),
    ({"1": data()}, {"weights": {1: 1}}, "weights are for 1; the data sets are '1'"),
    ({"x": data()}, {"weights": {"x": "2"}}, "weights are .'2'.; they must be 0 or more"),
    ({"x": data()}, {"weights": {"x": float("inf")}}, "weights are .inf."),
    (data(), {"text_column": "body"}, "the data set has no column 'body'"),
    (data({}), {}, "the data set has no rows"),
]


class TestErrors:
    @pytest.mark.parametrize("rows, settings, says", ERRORS, ids=[says for *_, says in ERRORS])
    def test_settings_that_make_no_sense(self, rows: Any, settings: dict[str, Any], says: str) -> None:
        with pytest.raises(InvalidInputError, match=says):
            EpisodeSampler(rows, **settings)

    def test_the_numbers_that_the_error_gives_work(self) -> None:
        outcomes: Counter[str] = Counter()
        for number in range(80):
            random = np.random.default_rng(number)
            rows = data({name: int(random.integers(1, 8)) for name in "abcdef"[: int(random.integers(1, 7))]})
            given: dict[str, Any] = {
                "n_way": (2, 5) if number % 3 else 5,
                "k_shot": (1, 4) if number % 2 else 3,
                "n_query": (2, 6) if number % 5 else 5,
                "n_unknown": int(number % 7 == 0),
                "unbalanced": number % 4 == 1,
            }
            try:
                EpisodeSampler(rows, **given)
            except InvalidInputError as error:
                said = str(error)
            else:
                outcomes["as given"] += 1
                continue
            lower = {name: ast.literal_eval(value) for name, value in re.findall(r"(\w+)=(\d+|\(.+?\))", said)}
            if lower:
                outcomes["lower"] += 1
                first(EpisodeSampler(rows, **{**given, **lower}), 5)
            else:
                outcomes["add texts"] += 1
                least = {"n_way": 2, "k_shot": (1, 2) if given["unbalanced"] else 1, "n_query": 1}
                with pytest.raises(InvalidInputError, match="the least that episodes can be made of"):
                    EpisodeSampler(rows, **{**given, **least})
        assert min(outcomes["lower"], outcomes["add texts"]) > 5, outcomes

    def test_classes_in_one_text(self) -> None:
        with pytest.raises(InvalidTypeError, match="classes is 'ab'; give a list"):
            EpisodeSampler(data(), classes="ab")

    @pytest.mark.parametrize("process_index, num_processes", [(2, 2), (-1, 2), (0, 0)])
    def test_a_shard_that_there_is_not(self, process_index: int, num_processes: int) -> None:
        with pytest.raises(InvalidInputError, match=f"process_index is {process_index} of {num_processes}"):
            EpisodeSampler(data()).shard(process_index, num_processes)

    @pytest.mark.parametrize("rows", [DatasetDict(train=data()), [("a", "b")], {"one": [1]}])
    def test_no_data_set(self, rows: Any) -> None:
        with pytest.raises(InvalidTypeError, match="give a datasets.Dataset|give one of its splits"):
            EpisodeSampler(rows)

    def test_whole_numbers_of_numpy_and_lists_will_do(self) -> None:
        sampler = EpisodeSampler(data(), np.int64(3), [np.int64(1), np.int64(2)], 1)  # type: ignore[arg-type]
        assert EpisodeSampler(data(), 3, (1, 2), 1).fingerprint == sampler.fingerprint
        seeded = EpisodeSampler(data(), seed=np.int64(3))  # type: ignore[arg-type]
        assert seeded[0] == EpisodeSampler(data(), seed=3)[0] and json.loads(json.dumps(seeded.state_dict()))


def test_episodes_of_a_batch_have_as_many_classes() -> None:
    ways = [len(episode.names) for episode in first(EpisodeSampler(data(), (2, 6), batch_size=4, n_query=1), 80)]
    batches = [ways[start : start + 4] for start in range(0, 80, 4)]
    assert all(len(set(batch)) == 1 for batch in batches) and {batch[0] for batch in batches} == {2, 3, 4, 5, 6}
