"""What the state of a visitor's page has, whatever its pipeline answers."""

import secrets
from abc import ABC, abstractmethod
from typing import Any

from ..errors import InvalidInputError, NotInMemoryError
from ..pipelines import MemoryPipeline

MOST_TAUGHT = 1000
"""Entries that a visitor with a memory of their own may have beside those that it began with."""


class PageSession(ABC):
    """The state of one visitor's page. Its errors have messages for the visitor.

    Args:
        pipeline: what answers and is taught; other sessions may share it.

    Attributes:
        asked: the last question; None before the first.
        token: a secret of this visitor.
        room: for how many entries the memory has room; None for any number.
    """

    pipeline: Any

    def __init__(self, pipeline: MemoryPipeline) -> None:
        self.pipeline = pipeline
        self.asked: Any = None
        self.token = secrets.token_urlsafe(24)
        self.room: int | None = None

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

    @classmethod
    def of_visitor(cls, pipeline: MemoryPipeline) -> "PageSession":
        """A session with a memory of its own, which no visitor can make as large as the machine's."""
        session = cls(pipeline.with_own_memory())
        session.room = len(session.memory) + MOST_TAUGHT
        return session

    def check_room(self) -> None:
        """Refuses a lesson for which the memory has no room.

        Raises:
            InvalidInputError: it is full.
        """
        if self.room is not None and len(self.memory) >= self.room:
            raise InvalidInputError(
                f"The memory of this page is full: it has room for {self.room:,} entries. Forget some first."
            )

    def _forget(self, gone: str, **which: Any) -> None:
        try:
            self.pipeline.forget(**which)
        except NotInMemoryError as error:
            raise NotInMemoryError(gone, error.missing) from None
