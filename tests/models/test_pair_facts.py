"""What a card tells of a model of pairs, from its configuration and its memory."""

from typing import Any, NamedTuple

import pytest

from mann_hf.models.pair_facts import pair_facts
from tests.notes import NotesConfig, register


class Pair(NamedTuple):
    source: str | None
    target: str | None


class Pairs(list[Pair]):
    """A memory of pairs, as far as a card looks at it."""

    kind, num_tokens = "token", 5

    def pair(self, number: int) -> Pair:
        return self[number]


class Model:
    """A model of pairs, as far as a card looks at it."""

    def __init__(self, pairs: Pairs, **fields: Any) -> None:
        self.memory, self.config, self.name_or_path = pairs, NotesConfig(**fields), ""
        self.config.interpolation = 0.25
        self.config.max_source_length, self.config.max_target_length = 32, None

    def lacks_inputs(self, memory: Pairs) -> bool:
        return any(pair.source is None for pair in memory)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


def test_memory_and_configuration_are_told() -> None:
    held = Pairs([Pair("ein  Haus", "a house"), Pair(None, None)] * 5)
    facts = pair_facts(Model(held, loud=True, encoder_name="google-t5/t5-small"), "me/translator")
    assert (facts.place, facts.model_class, facts.encoder) == ("me/translator", "Model", "google-t5/t5-small")
    assert (facts.entries, facts.tokens, facts.kind, facts.interpolation) == (10, 5, "token", 0.25)
    assert facts.settings == {"loud": True} and (facts.max_source, facts.max_target) == (32, None)
    assert facts.pairs == (("ein Haus", "a house"),) * 3 and not facts.can_reencode


def test_a_memory_of_examples_has_no_share() -> None:
    held = Pairs()
    held.kind = "example"
    facts = pair_facts(Model(held), "here")
    assert facts.interpolation is None and facts.can_reencode and facts.pairs == () and facts.settings == {}
