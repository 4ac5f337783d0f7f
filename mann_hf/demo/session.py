"""The state of one visitor's page: a classifier, the question that was asked last, and the map of its memory."""

import secrets
from typing import Any, NamedTuple, cast

from transformers import PreTrainedTokenizerBase

from ..controllers.text import tokenize
from ..errors import EmptyMemoryError, NotInMemoryError
from ..models import LabelledMemory
from ..persistent.memory_files import memory_bytes
from ..pipelines import FewShotTextClassificationPipeline
from ..targets.kinds import targets_of
from .bounds import called, typed_names, typed_text
from .map import MemoryMap

RANKS, EVIDENCE = 5, 5
"""Labels in an answer, and stored examples in its evidence."""


class View(NamedTuple):
    """A consistent view of one memory.

    Attributes:
        memory: the memory.
        ranked: its answers to the last question, best first; empty without a question or with an empty memory.
        figure: the map.
    """

    memory: LabelledMemory
    ranked: list[dict[str, Any]]
    figure: Any


class Cut(NamedTuple):
    """How a text is cut that is longer than the encoder reads.

    Attributes:
        tokens: number of tokens of the text.
        read: number of tokens that the encoder reads.
    """

    tokens: int
    read: int


class Session:
    """The state of one visitor's page. Its errors have messages for the visitor.

    Args:
        classifier: the classifier that answers and is taught; other sessions may share it.

    Attributes:
        asked: the last question; None before the first.
        token: a secret of this visitor.
    """

    def __init__(self, classifier: FewShotTextClassificationPipeline) -> None:
        self.classifier = classifier
        self.asked: str | None = None
        self._map: MemoryMap | None = None
        self.token = secrets.token_urlsafe(24)

    @property
    def memory(self) -> LabelledMemory:
        """The present memory."""
        return self.classifier.model.memory

    def ask(self, text: object) -> None:
        """Sets the question that `view` answers, now and after each change of the memory.

        Raises:
            InvalidInputError: it is empty, too long or not a text; then the last question stays.
        """
        self.asked = typed_text(text)

    def view(self) -> View:
        """The present memory, its answers to the last question, and the map of both."""
        memory = self.memory
        if self.asked is None or not len(memory):
            return View(memory, [], self._map_of(memory).figure())
        try:
            read = self.classifier.forward(self.classifier.preprocess([self.asked]))
        except EmptyMemoryError:  # emptied meanwhile by another visitor
            memory = self.memory
            return View(memory, [], self._map_of(memory).figure())
        memory = read["ready"].memory
        (ranked,) = self.classifier.postprocess(read, top_k=RANKS, evidence=EVIDENCE)
        behind = [memory.ids[part["id"]] for part in ranked[0]["evidence"] if part["id"] in memory.ids]
        return View(memory, ranked, self._map_of(memory).figure(self.asked, read["keys"][0], behind))

    def cut(self, text: str) -> Cut | None:
        """How the encoder cuts a text; None if it reads all of it."""
        model, tokenizer = self.classifier.model, cast(PreTrainedTokenizerBase, self.classifier.tokenizer)
        most = model.max_length(tokenizer)
        prompt, lower_case = model.config.prompt, model.config.lower_case
        (whole,) = tokenize(tokenizer, [text], max_length=None, prompt=prompt, lower_case=lower_case)
        tokens = len(whole["input_ids"])
        return Cut(tokens, most) if most is not None and tokens > most else None

    def teach(self, text: object, label: object, is_description: bool) -> bool:
        """Remembers an example of a label, or a description of it.

        Args:
            text: the text of the example.
            label: its label or, if a text may have several, labels with | between them.
            is_description: whether the text says what the label means.

        Returns:
            Whether it is new; an example that was there already counts once more.

        Raises:
            InvalidInputError: the text or a label is empty, too long or not a text, or there are too many labels.
        """
        text = typed_text(text)
        several = targets_of(self.classifier.model.config.problem_type).several
        names = typed_names(label, several)
        labels = [names] if several else names
        before = self.memory
        if is_description:
            (id_,) = self.classifier.remember(labels=labels, descriptions=[text])
        else:
            (id_,) = self.classifier.remember([text], labels)
        return id_ not in before.ids

    def forget(self, id_: int) -> None:
        """Forgets an example.

        Raises:
            NotInMemoryError: it is no longer there.
        """
        self._forget("That example is no longer there.", ids=id_)

    def forget_label(self, label: str) -> None:
        """Forgets every example of a label.

        Raises:
            NotInMemoryError: it is no longer there.
            InvalidInputError: only the beginning of a long label was sent, and several labels begin like it.
        """
        whole = called(label, self.memory.labels)
        self._forget("That label is no longer there.", label=label if whole is None else whole)

    def _forget(self, gone: str, **which: Any) -> None:
        try:
            self.classifier.forget(**which)
        except NotInMemoryError as error:
            raise NotInMemoryError(gone, error.missing) from None

    def file(self) -> bytes | None:
        """The content of the file that `save_memory` would write; None if the memory is empty."""
        memory = self.memory
        return memory_bytes(memory) if len(memory) else None

    def _map_of(self, memory: LabelledMemory) -> MemoryMap:
        if self._map is None or not self._map.memory.same_contents(memory):
            self._map = MemoryMap.of(memory)
        return self._map
