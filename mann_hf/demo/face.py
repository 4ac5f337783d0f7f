"""The page by what a pipeline answers: one face a kind, with its parts, events and sessions."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from ..errors import InvalidTypeError
from ..pipelines import MemoryPipeline
from ..registry import Registry
from .page_events import PageEvents
from .page_session import PageSession


class PageFace(ABC):
    """What the page of one kind of pipeline shows; one class a kind, registered in `PAGE_FACES`.

    Args:
        pipeline: what the page is of.

    Attributes:
        kind: the class of the pipelines that it is for.
        named: what they are called, for people.
        title: the title of a page that is given none.
        parts: the components of the page, a named tuple; see `PageEvents`.
        events: the handlers of its events.
        session: the state of one visitor's page.
        on_load: a function in JavaScript that is called when the page is there; None for none.
    """

    kind: ClassVar[type[MemoryPipeline]]
    named: ClassVar[str]
    title: ClassVar[str]
    parts: ClassVar[type[Any]]
    events: ClassVar[type[PageEvents]]
    session: ClassVar[type[PageSession]]
    on_load: ClassVar[str | None] = None

    @abstractmethod
    def __init__(self, pipeline: Any) -> None:
        """Raises an `InvalidTypeError` or `InvalidInputError` if there is no page of this one."""

    @abstractmethod
    def read(self, given: str) -> Any:
        """A text to try, as it is offered.

        Raises:
            InvalidInputError: it is empty, or too long to be asked.
        """

    @abstractmethod
    def warm_up(self) -> None:
        """Does at the start what would make the first question slow."""

    @abstractmethod
    def head(self, title: str) -> str:
        """The head of the page, as HTML."""

    @abstractmethod
    def above(self, gr: Any) -> tuple[Any, ...]:
        """The components of the row below the head: those of `parts` behind state and head."""

    @abstractmethod
    def below(self, gr: Any) -> tuple[Any, ...]:
        """The components of the last row: the other parts."""


PAGE_FACES: Registry[type[PageFace]] = Registry("kind of page")


def face_of(pipeline: Any) -> PageFace:
    """The face of a pipeline's page.

    Raises:
        InvalidTypeError: it is no pipeline that a page is made of.
        InvalidInputError: its answers are none that a page shows.
    """
    for _, face in PAGE_FACES.items():
        if isinstance(pipeline, face.kind):
            return face(pipeline)
    known = " or ".join(face.named for _, face in PAGE_FACES.items())
    raise InvalidTypeError(f"the page needs a pipeline {known}, not {type(pipeline).__name__}.")
