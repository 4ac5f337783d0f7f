"""What the state of a visitor's page has, whatever its pipeline answers."""

import secrets
from abc import ABC, abstractmethod
from typing import Any

from ..errors import NotInMemoryError
from ..pipelines import MemoryPipeline


class PageSession(ABC):
    """The state of one visitor's page. Its errors have messages for the visitor.

    Args:
        pipeline: what answers and is taught; other sessions may share it.

    Attributes:
        asked: the last question; None before the first.
        token: a secret of this visitor.
    """

    pipeline: Any

    def __init__(self, pipeline: MemoryPipeline) -> None:
        self.pipeline = pipeline
        self.asked: Any = None
        self.token = secrets.token_urlsafe(24)

    @property
    def memory(self) -> Any:
        """The present memory."""
        return self.pipeline.model.memory

    @abstractmethod
    def ask(self, given: object) -> None:
        """Sets the question that is answered, now and after each change of the memory.

        Raises:
            InvalidInputError: it is empty, too large or no such input; then the last question stays.
        """

    @abstractmethod
    def forget(self, id_: int) -> None:
        """Forgets an entry.

        Raises:
            NotInMemoryError: it is no longer there.
        """

    @abstractmethod
    def file(self) -> bytes | None:
        """The content of the file that `save_memory` would write; None if the memory is empty."""

    def _forget(self, gone: str, **which: Any) -> None:
        try:
            self.pipeline.forget(**which)
        except NotInMemoryError as error:
            raise NotInMemoryError(gone, error.missing) from None
