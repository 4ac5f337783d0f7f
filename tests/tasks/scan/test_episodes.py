"""Episodes of SCAN: words change their meaning alike in support and queries, and the test's meaning is never shown."""

from pathlib import Path

import numpy as np
import pytest

from mann_hf.episodes import Pair
from tasks.scan import episodes
from tasks.scan.data import load, read_all
from tasks.scan.episodes import (
    ACTIONS,
    EpisodeMaker,
    Protocol,
    maker_of,
    new_meanings,
    protocol_of,
    reworded,
    sampler_of,
    supports_of_test,
    vocabulary,
)

SMALL = Protocol(ACTIONS, k_shot=6, n_query=5, test_support=ACTIONS)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Episodes that a SCAN of few commands has pairs enough for."""
    monkeypatch.setattr(episodes, "LONG", 3)
    length = Protocol(ACTIONS, extra=20, k_shot=7, n_query=4, long_queries=True, test_draws=3)
    monkeypatch.setattr(episodes, "PROTOCOLS", (("length", length), *episodes.PROTOCOLS[:2], (".*", SMALL)))


def test_words_change_their_meaning_throughout_an_episode(scan_folder: Path) -> None:
    every = dict(read_all(scan_folder))
    maker = EpisodeMaker(SMALL, read_all(scan_folder))
    seen = set()
    for seed in range(30):
        support, query = maker(np.random.default_rng(seed))
        assert (len(support), len(query)) == (6, 5) and not set(support) & set(query)
        meaning: dict[str, set[str]] = {}
        for pair in [*support, *query]:
            for verb, action in ACTIONS:
                usual = every.get(pair.source, "")
                if verb in pair.source and usual.count(action):
                    places = [place for place, word in enumerate(usual.split()) if word == action]
                    meaning.setdefault(verb, set()).update(pair.target.split()[place] for place in places)
        assert all(len(actions) == 1 for actions in meaning.values()), "one meaning each"
        seen.add(tuple(sorted((verb, *actions) for verb, actions in meaning.items())))
    assert len(seen) > 5, "another in other episodes"


def test_the_meaning_of_the_test_is_never_shown() -> None:
    for seed in range(200):
        words, actions = new_meanings(SMALL, np.random.default_rng(seed))
        assert {words[verb]: actions[action] for verb, action in ACTIONS} != dict(ACTIONS)
        turns = protocol_of("around_right")
        words, actions = new_meanings(turns, np.random.default_rng(seed))
        paired = {words[word]: actions[action] for word, action in turns.words}
        assert paired.get("right") != "I_TURN_RIGHT" and len(set(paired.values())) == 2
    assert any(new_meanings(turns, np.random.default_rng(seed))[0]["right"] in ("1", "2") for seed in range(20)), (
        "further words take part"
    )


def test_words_are_replaced_whole_and_at_once() -> None:
    pair = Pair("jump and run", "I_JUMP I_RUN")
    assert reworded(pair, {"jump": "run", "run": "1"}, {"I_RUN": "I_JUMP", "I_JUMP": "I_1"}) == Pair(
        "run and 1", "I_1 I_JUMP"
    )


def test_queries_of_the_length_split_are_longer_than_its_support(scan_folder: Path) -> None:
    support, query = maker_of(scan_folder, "length")(np.random.default_rng(0))
    assert max(len(pair.target.split()) for pair in support) < 3 <= min(len(pair.target.split()) for pair in query)


def test_controls_leave_out_what_they_are_named_for(scan_folder: Path) -> None:
    usual, no_loss, no_memory = (
        sampler_of(scan_folder, "add_jump", 0, control)[3] for control in ("none", "no_support_loss", "no_memory")
    )
    assert usual.query.inputs == no_loss.query.inputs + usual.support.inputs
    assert no_loss.support == usual.support and not no_memory.support.inputs
    assert no_memory.query.inputs == no_loss.query.inputs
    with pytest.raises(ValueError, match="no control 'no_hope'"):
        sampler_of(scan_folder, "add_jump", 0, "no_hope")


def test_supports_of_the_test_are_those_of_the_paper(scan_folder: Path) -> None:
    assert supports_of_test(scan_folder, "add_jump") == [[Pair(*pair) for pair in ACTIONS]]
    turns = [Pair("turn right", "I_TURN_RIGHT"), Pair("turn left", "I_TURN_LEFT")]
    assert supports_of_test(scan_folder, "opposite_right") == [turns]
    drawn = supports_of_test(scan_folder, "length", seed=1)
    train = set(load(scan_folder, "length", "train"))
    assert len(drawn) == 3 and all(len(part) == 7 and set(part) <= train for part in drawn)


def test_the_vocabulary_holds_all_words_of_episodes(scan_folder: Path) -> None:
    known = set(vocabulary(read_all(scan_folder), "length"))
    for number in range(20):
        episode = sampler_of(scan_folder, "length", 0)[number]
        assert {word for pair in episode.query.inputs for text in pair for word in text.split()} <= known


def test_protocols_are_the_papers() -> None:
    usual = episodes.PROTOCOLS
    assert dict(usual)["length"].test_draws == 3 and protocol_of("around_right").extra == 2
    assert (protocol_of("filler_num0").held_out, protocol_of("add_turn_left").held_out) == ("right", "left")
