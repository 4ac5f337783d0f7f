"""Questions, their splits and the shapes of their meanings; episodes that ask for shapes of which they show none."""

from pathlib import Path

import numpy as np
import pytest

from mann_hf.episodes import Pair
from tasks.semantic_parsing.data import load, shapes
from tasks.semantic_parsing.episodes import EpisodeMaker, sampler_of


def test_parts_of_both_splits_are_read(geo_folder: Path) -> None:
    question = {part: load(geo_folder, "logic", "question", part) for part in ("train", "dev", "test")}
    assert {part: len(pairs) for part, pairs in question.items()} == {"train": 12, "dev": 6, "test": 6}
    test = load(geo_folder, "logic", "query", "test")
    assert len(test) == 8 and test[0] == Pair("how large is the capital of ohio", "size ( capital ( ohio ) )")
    assert not {*shapes(test)} & {*shapes(load(geo_folder, "logic", "query", "train"))}


def test_meanings_that_differ_in_names_alone_have_one_shape() -> None:
    pairs = [
        Pair("where is ohio", 'place = "ohio"'),
        Pair("where is New York", 'place = "new york"'),
        Pair("is it", "x"),
    ]
    one, other, last = shapes(pairs)
    assert one == "place = _" and other == "place = _ _" and last == "x"


def test_what_is_not_there_is_named(geo_folder: Path) -> None:
    for form, split, part in (("prolog", "query", "test"), ("logic", "state", "test"), ("logic", "query", "all")):
        with pytest.raises(ValueError, match="there is no (form 'prolog'|split 'state'|part 'all'); choose one of"):
            load(geo_folder, form, split, part)
    with pytest.raises(FileNotFoundError, match=r"geoquery_sql.jsonl.gz is missing; --data names the folder"):
        load(geo_folder, "sql", "query", "test")


def test_half_of_the_queries_are_of_shapes_that_the_support_does_not_show(geo_folder: Path) -> None:
    pairs = [pair for part in ("train", "test") for pair in load(geo_folder, "logic", "query", part)]
    maker = EpisodeMaker(pairs, k_shot=6, n_query=4)
    for seed in range(20):
        support, query = maker(np.random.default_rng(seed))
        assert len(query) == 4 and 0 < len(support) <= 6 and not set(support) & set(query)
        assert not {*shapes(query[:2])} & {*shapes(support)}
    with pytest.raises(ValueError, match="there are 24 pairs, and an episode takes 30"):
        EpisodeMaker(pairs, 20, 10)


def test_without_support_the_same_queries_are_asked(geo_folder: Path) -> None:
    pairs = load(geo_folder, "logic", "question", "train")
    shown, alone = (sampler_of(pairs, 3, 2, 0, empty=share)[4] for share in (0.0, 1.0))
    assert shown.query.inputs == alone.query.inputs and shown.support.inputs and not alone.support.inputs


def test_a_share_of_the_episodes_has_no_support(geo_folder: Path) -> None:
    sampler = sampler_of(load(geo_folder, "logic", "question", "train"), 3, 2, 0, empty=0.5)
    assert 30 < sum(not sampler[number].support.inputs for number in range(100)) < 70
