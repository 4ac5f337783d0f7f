"""The state of one visitor's page of a model that generates: the question, its answer, and which token is looked at."""

from typing import Any, NamedTuple

import numpy as np

from ..controllers.text import tokenize
from ..persistent.pairs import PairMemory, pairs_as_bytes
from ..pipelines import MemoryAugmentedGenerationPipeline
from .bounds import typed_text
from .page_session import PageSession

EVIDENCE = 5
"""Stored tokens, or pairs, in the evidence of a token."""
NO_TARGET = "Type the text that it should answer."


class PairView(NamedTuple):
    """A consistent view of one memory.

    Attributes:
        memory: the memory.
        answer: of the pipeline to the last question, with evidence; None before the first.
        before: the text that was answered to the same question before the memory changed, if it was another.
    """

    memory: PairMemory
    answer: dict[str, Any] | None = None
    before: str | None = None


class PairSession(PageSession):
    """The state of one visitor's page of a model that generates.

    Args:
        generator: what answers and is taught; other sessions may share it.

    Attributes:
        chosen: the place of the token that is looked at.
    """

    pipeline: MemoryAugmentedGenerationPipeline

    def __init__(self, generator: MemoryAugmentedGenerationPipeline) -> None:
        super().__init__(generator)
        self.chosen = 0
        self._view: PairView | None = None

    @property
    def memory(self) -> PairMemory:
        """The present memory."""
        return self.pipeline.model.memory

    def ask(self, given: object) -> None:
        (self.asked,) = self.pipeline.input_processor.check(typed_text(given))
        self._view = None

    def view(self) -> PairView:
        """The present memory, and its answer to the last question.

        As long as neither changes, the text is not generated again.
        """
        known = self._view
        if known is not None and known.memory.same_contents(self.memory):
            return known
        if self.asked is None:
            return PairView(self.memory)
        self.pipeline.model.ready_search()  # for all who read this memory
        own = self.pipeline.with_own_memory()
        (answer,) = own(self.asked, evidence=EVIDENCE, num_return_sequences=1)
        before = None if known is None or known.answer is None else known.answer
        self._choose_anew(answer["evidence"], before)
        text = None if before is None else before["generated_text"]
        self._view = PairView(own.model.memory, answer, text if text != answer["generated_text"] else None)
        return self._view

    @property
    def token_looked_at(self) -> dict[str, Any] | None:
        """The evidence of the chosen token; None before the first answer, and for one without tokens."""
        tokens = self._tokens
        return tokens[self.chosen] if self.chosen < len(tokens) else None

    def choose(self, place: int) -> bool:
        """Looks at a token of the answer; returns whether there is one at this place."""
        there = 0 <= place < len(self._tokens)
        if there:
            self.chosen = place
        return there

    @property
    def _tokens(self) -> list[dict[str, Any]]:
        """The evidence of the last answer."""
        return [] if self._view is None or self._view.answer is None else self._view.answer["evidence"]

    def cut(self, given: str, as_target: bool = False) -> tuple[int, int] | None:
        """The number of tokens of a text, and of those that the model reads; None if it reads all of it."""
        processor = self.pipeline.input_processor
        most, prefix = processor.max_length, processor.prompt
        if as_target:
            most, prefix = processor.max_target_length, ""
        (whole,) = tokenize(processor.tokenizer, [given], max_length=None, prompt=prefix, as_targets=as_target)
        tokens = len(whole["input_ids"])
        return (tokens, most) if most is not None and tokens > most else None

    def teach(self, source: object, target: object) -> bool:
        """Remembers a pair, as the two came from the browser.

        Returns:
            Whether it is new; a pair that was there already counts once more.

        Raises:
            InvalidInputError: one of the two is empty, too long or no text, or the memory is full.
        """
        source, target = typed_text(source), typed_text(target, NO_TARGET)
        self.check_room()
        before = self.memory
        ids = self.pipeline.remember(source, target)
        return not before.counts_of(np.array(ids)).any()

    def forget(self, id_: int) -> None:
        self._forget("That pair is no longer there.", ids=id_)

    def file(self) -> bytes | None:
        memory = self.memory
        return pairs_as_bytes(memory) if len(memory) else None

    def _choose_anew(self, tokens: list[dict[str, Any]], before: dict[str, Any] | None) -> None:
        """Looks at the token that comes most from the memory, unless the answer is as it was."""
        if before is None or [one["token"] for one in before["evidence"]] != [one["token"] for one in tokens]:
            heaviest = max(tokens, key=from_memory, default=None)
            self.chosen = 0 if heaviest is None else tokens.index(heaviest)


def from_memory(token: dict[str, Any]) -> float:
    """The part of a token's probability that comes from the stored tokens that are named, from 0 to 1."""
    return float(min(1.0, sum(pair["weight"] for pair in token["pairs"])))
