"""What one visitor of the page has: a classifier, what was asked last, and the map of its memory."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple, cast

from transformers import PreTrainedTokenizerBase

from ..controllers.text import tokenize
from ..errors import EmptyMemoryError, InvalidInputError, NotInMemoryError
from ..memory.reading import MULTI_LABEL
from ..models import LabelledMemory
from ..models.memory_files import MEMORY_FILE
from ..pipelines import FewShotTextClassificationPipeline
from .map import MemoryMap

RANKS, EVIDENCE = 5, 5
"""Labels that are ranked, and stored examples that are named behind an answer."""

NO_TEXT, NO_LABEL = "Type a text first.", "Give the label a name."
HALF_LABELLED = "One of the labels has no name: write the names with one | between them."
HALF_CHARACTER = "Half of a character is missing in what you typed or pasted. Type it again."


class View(NamedTuple):
    """What a page shows at a time; all of it follows from one memory.

    Attributes:
        memory: that was read.
        ranked: the answers to what was asked last, best first; none without a question or with an empty memory.
        figure: the map.
    """

    memory: LabelledMemory
    ranked: list[dict[str, Any]]
    figure: Any


class Cut(NamedTuple):
    """A text that is longer than the encoder reads.

    Attributes:
        tokens: that it has.
        read: how many of them the encoder reads.
    """

    tokens: int
    read: int


class Session:
    """One visitor's page; its errors are in the words of the page, for the visitor to read.

    Args:
        classifier: that answers and is taught; other sessions may share it.
    """

    def __init__(self, classifier: FewShotTextClassificationPipeline) -> None:
        self.classifier = classifier
        self.asked: str | None = None
        self._map: MemoryMap | None = None
        self._folder: tempfile.TemporaryDirectory | None = None

    @property
    def memory(self) -> LabelledMemory:
        """The present memory."""
        return self.classifier.model.memory

    def ask(self, text: str | None) -> None:
        """Keeps a text as the question that `view` answers, now and after each change of the memory.

        Raises:
            InvalidInputError: it is empty. The question stays what it was.
        """
        self.asked = _typed(text, NO_TEXT)

    def view(self) -> View:
        """The present memory, what it answers to what was asked last, and the map of both."""
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
        """How much of a text the encoder reads, if that is not all of it."""
        model, tokenizer = self.classifier.model, cast(PreTrainedTokenizerBase, self.classifier.tokenizer)
        most = model.max_length(tokenizer)
        prompt, lower_case = model.config.prompt, model.config.lower_case
        (whole,) = tokenize(tokenizer, [text], max_length=None, prompt=prompt, lower_case=lower_case)
        tokens = len(whole["input_ids"])
        return Cut(tokens, most) if most is not None and tokens > most else None

    def teach(self, text: str | None, label: str | None, is_description: bool) -> bool:
        """Remembers an example of a label, or a description of it.

        Args:
            text: of the example.
            label: its name; where a text has several labels, names with | between them.
            is_description: whether the text says what the label means.

        Returns:
            Whether it is new; what was there already counts once more.

        Raises:
            InvalidInputError: the text or the label is empty.
        """
        text, label = _typed(text, NO_TEXT), _typed(label, NO_LABEL).strip()
        several = self.classifier.model.config.problem_type == MULTI_LABEL
        names = [name.strip() for name in label.split("|")] if several else [label]
        if not all(names):
            raise InvalidInputError(HALF_LABELLED if any(names) else NO_LABEL)
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
            NotInMemoryError: it is not there, any more.
        """
        self._forget("That example is no longer there.", ids=id_)

    def forget_label(self, label: str) -> None:
        """Forgets every example of a label.

        Raises:
            NotInMemoryError: it is not there, any more.
        """
        self._forget("That label is no longer there.", label=label)

    def _forget(self, gone: str, **which: Any) -> None:
        try:
            self.classifier.forget(**which)
        except NotInMemoryError as error:
            raise NotInMemoryError(gone, error.missing) from None

    def save(self) -> str:
        """Writes the memory and says where; the file is gone when the session is."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="mann_hf-")
        self.classifier.save_memory(self._folder.name)
        return str(Path(self._folder.name, MEMORY_FILE))

    def _map_of(self, memory: LabelledMemory) -> MemoryMap:
        if self._map is None or not self._map.memory.reads_like(memory):
            self._map = MemoryMap.of(memory)
        return self._map


def _typed(typed: str | None, missing: str) -> str:
    """What was typed, if there is something that can be read; `missing` says that there is not."""
    if not typed or typed.isspace():
        raise InvalidInputError(missing)
    try:
        typed.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(HALF_CHARACTER) from None
    return typed
