"""The events that every page has: asking, teaching, forgetting, finding what is stored, downloading."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from transformers.utils import logging

from ..errors import InvalidInputError, MannError
from ..persistent.entries import LARGEST_ID
from . import answers
from .bounds import typed_search
from .downloads import Downloads
from .page_session import PageSession

logger = logging.get_logger(f"transformers.{__name__}")

MOST_STORED = 6
"""Stored entries in the list."""
IN_THE_LOG = "Whoever runs this page can find the reason in its log."
FAILED = f"That did not work. {IN_THE_LOG}"
NO_BUTTON = "That is not a button of this page. Reload the page and try again."
NO_DOWNLOADS = (
    "Downloads are off, because this page runs without its guard. Whoever runs it can add mann_hf.demo.PageGuard."
)

Changes = dict[Any, Any]
"""The new content of parts of the page, by part."""


@dataclass(frozen=True, eq=False)
class PageEvents(ABC):
    """The handlers of the page's events.

    Each takes the visitor's session, or None for a new visitor, and returns what changes on the page. Errors are shown
    on the page.

    Args:
        parts: the components of the page, a named tuple. Beside the components it has `view`, those that depend on the
            memory and the question, with the places of notices; `lessons`, what a lesson is read from; `boxes`, those
            of them that are typed in or chosen; `emptied`, those that a lesson empties; and `clickable`, those with
            buttons.
        begin: makes the session of a new visitor.
        on_change: called after each change of a memory.
        title: title of the page.
        examples: texts to try, shown before the first question.
        downloads: offers a memory as a file.

    Attributes:
        buttons: the names of `data-*` attributes of its buttons, beside `ask`; of several the first counts.
        look: the one of them that changes no memory.
    """

    parts: Any
    begin: Callable[[], Any]
    on_change: Callable[[], None] | None
    title: str
    examples: Sequence[str]
    downloads: Downloads

    buttons: ClassVar[tuple[str, ...]]
    look: ClassVar[str]

    def load(self, words: object) -> Changes:
        """A visitor opens the page; the words in the search box may be those from before a reload."""
        return self._views(self.begin(), words)

    def ask(self, session: Any, text: object, words: object) -> Changes:
        """A visitor asks about an input."""
        session = session or self.begin()
        try:
            session.ask(text)
            problem = ""
        except MannError as error:
            problem = answers.notice(str(error), is_problem=True)
        changes = self._views(session, words)
        changes[self.parts.answer] = problem + changes[self.parts.answer]
        return changes

    @abstractmethod
    def teach(self, *args: Any, **kwargs: Any) -> Changes:
        """A visitor teaches: the arguments are the session, the content of `parts.lessons`, the words that are sought.

        They stand by their names in a subclass, as the page's API has these.
        """

    def click(self, session: Any, text: object, words: object, event: Any) -> Changes:
        """A visitor clicks a button in a part of the page; its `data-*` attributes say what it does."""
        session = session or self.begin()
        name, value = _clicked(event._data, ("ask", *self.buttons))
        if name == "ask":
            changes = self.ask(session, value, words)
            return {**changes, self.parts.question: value} if session.asked == value else changes
        if name == self.look:
            return self._looked(session, value)
        return self._try(lambda: self._forgotten(session, name, value), self.parts.forgotten, session, words)[0]

    def find(self, session: Any, words: object) -> str:
        """A visitor looks for what is stored."""
        return self._found(session or self.begin(), words)[self.parts.stored]

    def download(self, session: Any) -> Changes:
        """A visitor downloads the memory: returns where to fetch the file, or a message why not."""
        session = session or self.begin()
        changes = {self.parts.state: session, self.parts.file: None, self.parts.taught: ""}
        if not len(session.memory):
            notice = answers.notice("The memory is empty: there is nothing to download.", is_problem=True)
            return {**changes, self.parts.taught: notice}
        if not self.downloads.can_be_fetched:
            return {**changes, self.parts.taught: answers.notice(NO_DOWNLOADS, is_problem=True)}
        return {**changes, self.parts.file: {"path": self.downloads.offer(session)}}

    @abstractmethod
    def _shown(self, session: Any) -> Changes:
        """All parts of the page that depend on the memory and the question, without notices and what is stored."""

    @abstractmethod
    def _stored(self, session: Any, words: str) -> str:
        """The list of what is stored with these words."""

    @abstractmethod
    def _looked(self, session: Any, value: str) -> Changes:
        """What changes at a click that changes no memory, by the value of its button."""

    @abstractmethod
    def _forgotten(self, session: Any, name: str, value: str) -> str:
        """Forgets what a button says, by its name and value; returns a message.

        Raises:
            InvalidInputError: it is no button of this page.
            NotInMemoryError: that is no longer there.
        """

    def _found(self, session: PageSession, words: object, echo: bool = False) -> Changes:
        """The list of what is stored with these words; with `echo` they appear in the search box."""
        try:
            sought = typed_search(words)
        except InvalidInputError as error:
            return {self.parts.stored: answers.notice(str(error), is_problem=True)}
        found = {self.parts.stored: self._stored(session, sought)}
        return {**found, self.parts.wanted: words} if echo else found

    def _try(self, act: Callable[[], str], where: Any, session: PageSession, words: object) -> tuple[Changes, bool]:
        """Makes a change of the memory; returns what changes on the page, and whether it succeeded."""
        done = is_problem = False
        try:
            message = act()
            done = True
        except MannError as error:
            message, is_problem = str(error), True
        except Exception:
            logger.exception("the live page could not do what was asked")
            message, is_problem = FAILED, True
        if done and (unsaved := self._unsaved()):
            message, is_problem = f"{message} {unsaved}", True
        notice = answers.notice(message, is_problem)
        return {**self._views(session, words), where: notice}, done

    def _unsaved(self) -> str:
        """Calls `on_change`; returns a message if it fails."""
        try:
            if self.on_change is not None:
                self.on_change()
        except Exception:
            logger.exception("the live page could not save a change")
            return f"But this could not be saved, and is lost when the page ends. {IN_THE_LOG}"
        return ""

    def _views(self, session: PageSession, words: object) -> Changes:
        """All parts of the page that depend on the memory and the question, without notices."""
        changes = {self.parts.state: session, self.parts.taught: "", self.parts.forgotten: ""}
        try:
            shown = self._shown(session)
        except Exception as error:
            logger.exception("the live page could not answer")
            message = str(error) if isinstance(error, MannError) else FAILED
            return {**changes, self.parts.answer: answers.notice(message, is_problem=True)}
        return {**changes, **shown, **self._found(session, words)}


def id_of(value: str) -> int:
    """The id that a button to forget names.

    Raises:
        InvalidInputError: it names none.
    """
    if not value.isdecimal() or len(value) > len(str(LARGEST_ID)):
        raise InvalidInputError(NO_BUTTON)
    return int(value)


def _clicked(data: Any, buttons: Sequence[str]) -> tuple[str, str]:
    """Name and value of the button that was clicked; empty strings if it is no button of the page."""
    for name in buttons:
        value = data.get(name) if isinstance(data, dict) else None
        if isinstance(value, str):
            return name, value
        if name == "forget" and isinstance(value, int) and 0 <= value <= LARGEST_ID:
            return name, str(int(value))
    return "", ""
