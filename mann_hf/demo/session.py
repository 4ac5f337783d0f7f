"""What one visitor of the page has: a classifier, what was asked last, and the map of its memory."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from ..controllers.text import check_texts
from ..errors import EmptyMemoryError
from ..memory.reading import MULTI_LABEL
from ..models import LabelledMemory
from ..models.memory_files import MEMORY_FILE
from ..pipelines import FewShotTextClassificationPipeline
from .map import MemoryMap

RANKS, EVIDENCE = 5, 5
"""Labels that are ranked, and stored examples that are named behind an answer."""


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


class Session:
    """One visitor's page.

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

    def ask(self, text: str) -> None:
        """Keeps a text as the question that `answer` answers, now and after each change of the memory.

        Raises:
            InvalidInputError: it is empty. The question stays what it was.
        """
        check_texts([text])
        self.asked = text

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

    def teach(self, text: str, label: str, is_description: bool) -> None:
        """Remembers an example of a label, or a description of it.

        Args:
            text: of the example.
            label: its name; where a text has several labels, names with | between them.
            is_description: whether the text says what the label means.

        Raises:
            InvalidInputError: the text or the label is empty.
        """
        several = self.classifier.model.config.problem_type == MULTI_LABEL
        labels = [[name.strip() for name in label.split("|")] if several else label.strip()]
        if is_description:
            self.classifier.remember(labels=labels, descriptions=[text])
        else:
            self.classifier.remember([text], labels)

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
