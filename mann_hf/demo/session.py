"""The state of one visitor's page: a classifier, the question that was asked last, and the map of its memory."""

from contextlib import suppress
from typing import Any, NamedTuple

from ..errors import EmptyMemoryError
from ..models import LabelledMemory
from ..persistent.labelled_files import memory_bytes
from ..pipelines import FewShotPipeline
from ..targets.kinds import targets_of
from .bounds import called, typed_names
from .inputs import inputs_of
from .map import MemoryMap
from .page_session import PageSession

RANKS, EVIDENCE = 5, 5
"""Labels in an answer, and stored examples in its evidence."""


class View(NamedTuple):
    """A consistent view of one memory: with it its answers to the last question, best first, if any, and the map."""

    memory: LabelledMemory
    ranked: list[dict[str, Any]]
    figure: Any


class Session(PageSession):
    """The state of one visitor's page of a classifier.

    Args:
        classifier: the classifier that answers and is taught; other sessions may share it.

    Attributes:
        inputs: what it is asked and taught.
    """

    def __init__(self, classifier: FewShotPipeline) -> None:
        super().__init__(classifier)
        self.classifier = classifier
        self.inputs = inputs_of(classifier)
        self._map: MemoryMap | None = None

    @property
    def memory(self) -> LabelledMemory:
        """The present memory."""
        return self.classifier.model.memory

    def ask(self, given: object) -> None:
        (self.asked,) = self.classifier.input_processor.check(self.inputs.read(given))

    def view(self) -> View:
        """The present memory, its answers to the last question, and the map of both."""
        read = None
        if self.asked is not None and len(self.memory):
            with suppress(EmptyMemoryError):  # emptied meanwhile by another visitor
                read = self.classifier.forward(self.classifier.preprocess([self.asked]))
        if read is None:
            memory = self.memory
            return View(memory, [], self._map_of(memory).figure(self.inputs.noun))
        memory = read["ready"].memory
        (ranked,) = self.classifier.postprocess(read, top_k=RANKS, evidence=EVIDENCE)
        behind = [memory.slot_by_id[part["id"]] for part in ranked[0]["evidence"] if part["id"] in memory.slot_by_id]
        words = self.asked if isinstance(self.asked, str) else ""
        return View(memory, ranked, self._map_of(memory).figure(self.inputs.noun, words, read["keys"][0], behind))

    def cut(self, given: Any) -> tuple[int, int] | None:
        """The number of tokens of an input, and of those that the encoder reads; None if it reads all of it."""
        return self.inputs.cut(self.classifier, given)

    def teach(self, given: object, label: object, is_description: bool) -> bool:
        """Remembers an example of a label, or a description of it.

        Args:
            given: the example as it came from the browser.
            label: its label or, if it may have several, labels with | between them.
            is_description: whether it is a text that says what the label means.

        Returns:
            Whether it is new; an example that was there already counts once more.

        Raises:
            InvalidInputError: the example or a label is empty, too large or none, or there are too many labels; or the
                memory is full, and has no capacity within which others give way.
        """
        example = self.inputs.read(given)
        several = targets_of(self.classifier.model.config.problem_type).several
        names = typed_names(label, several)
        labels = [names] if several else names
        capacity = self.classifier.model.config.capacity
        if capacity is None or (self.room is not None and capacity > self.room):
            self.check_room()
        before = self.memory
        if is_description and self.inputs.described:
            described: dict[str, Any] = {"descriptions": [example]}
            (id_,) = self.classifier.remember(None, labels, **described)
        else:
            (id_,) = self.classifier.remember([example], labels)
        return id_ not in before.slot_by_id

    def forget(self, id_: int) -> None:
        self._forget("That example is no longer there.", ids=id_)

    def forget_label(self, label: str) -> None:
        """Forgets every example of a label.

        Raises:
            NotInMemoryError: it is no longer there.
            InvalidInputError: only the beginning of a long label was sent, and several labels begin like it.
        """
        whole = called(label, self.memory.labels)
        self._forget("That label is no longer there.", label=label if whole is None else whole)

    def file(self) -> bytes | None:
        memory = self.memory
        return memory_bytes(memory) if len(memory) else None

    def _map_of(self, memory: LabelledMemory) -> MemoryMap:
        if self._map is None or not self._map.memory.same_contents(memory):
            self._map = MemoryMap.of(memory)
        return self._map
