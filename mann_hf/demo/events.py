"""The events of the page: what typing and clicking change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from transformers.utils import logging

from ..errors import InvalidInputError, MannError
from ..models.card_files import public_name
from ..persistent.entries import LARGEST_ID
from ..wording import counted
from . import answers
from .bounds import typed_search
from .downloads import Downloads
from .session import Session

logger = logging.get_logger(f"transformers.{__name__}")

EXAMPLE, DESCRIPTION = "an example", "a description of the label"
MOST_STORED = 6
"""Stored examples in the list."""

IN_THE_LOG = "Whoever runs this page can find the reason in its log."
FAILED = f"That did not work. {IN_THE_LOG}"
NO_BUTTON = "That is not a button of this page. Reload the page and try again."
NO_DOWNLOADS = (
    "Downloads are off, because this page runs without its guard. Whoever runs it can add mann_hf.demo.PageGuard."
)

Changes = dict[Any, Any]
"""The new content of parts of the page, by part."""


class Parts(NamedTuple):
    """The components of the page that have events, or that events change."""

    state: Any
    head: Any
    question: Any
    ask: Any
    answer: Any
    map: Any
    legend: Any
    lesson: Any
    label: Any
    kind: Any
    teach: Any
    taught: Any
    download: Any
    file: Any
    wanted: Any
    stored: Any
    forgotten: Any


@dataclass(frozen=True, eq=False)
class Events:
    """The handlers of the page's events.

    Each takes the visitor's session, or None for a new visitor, and returns what changes on the page. Errors are shown
    on the page.

    Args:
        parts: the components of the page.
        begin: makes the session of a new visitor.
        on_change: called after each change of a memory.
        title: title of the page.
        examples: texts to try, shown before the first question.
        downloads: offers a memory as a file.
    """

    parts: Parts
    begin: Callable[[], Session]
    on_change: Callable[[], None] | None
    title: str
    examples: Sequence[str]
    downloads: Downloads

    @property
    def view(self) -> list[Any]:
        """The parts that depend on the memory and the question, with the places of notices."""
        parts = self.parts
        places = [parts.taught, parts.forgotten]
        return [parts.state, parts.head, parts.answer, parts.map, parts.legend, parts.stored, *places]

    def load(self, words: object) -> Changes:
        """A visitor opens the page; the words in the search box may be those from before a reload."""
        return self._views(self.begin(), words)

    def ask(self, session: Session | None, text: object, words: object) -> Changes:
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

    def teach(self, session: Session | None, text: object, label: object, kind: object, words: object) -> Changes:
        """A visitor teaches an input and its label, or a description of a label."""
        session = session or self.begin()

        def act() -> str:
            if session.teach(text, label, kind == DESCRIPTION):
                message = f"Taught. The memory holds {counted(len(session.memory), 'example')}."
            else:
                message = "That was in the memory already; it counts once more now."
            cut = session.cut(text)
            return f"{message} {answers.shortened(*cut)}" if cut else message

        changes, done = self._try(act, self.parts.taught, session, words)
        return {**changes, self.parts.lesson: ""} if done else changes

    def click(self, session: Session | None, text: object, words: object, event: Any) -> Changes:
        """A visitor clicks a button in the answer, the legend or the list; its `data-*` attributes say what it does."""
        session = session or self.begin()
        name, value = _clicked(event._data)
        if name == "ask":
            changes = self.ask(session, value, words)
            return {**changes, self.parts.question: value} if session.asked == value else changes
        if name == "find":
            return self._found(session, value, echo=True)

        def act() -> str:
            before = len(session.memory)
            if name == "forgetLabel":
                session.forget_label(value)
            elif name == "forget" and value.isdecimal() and len(value) <= len(str(LARGEST_ID)):
                session.forget(int(value))
            else:
                raise InvalidInputError(NO_BUTTON)
            gone = before - len(session.memory)
            never = "it had" if gone == 1 else "they had"
            return f"Forgot {counted(gone, 'example')}, as if {never} never been there."

        return self._try(act, self.parts.forgotten, session, words)[0]

    def find(self, session: Session | None, words: object) -> str:
        """A visitor looks for stored examples."""
        return self._found(session or self.begin(), words)[self.parts.stored]

    def download(self, session: Session | None) -> Changes:
        """A visitor downloads the memory: returns where to fetch the file, or a message why not."""
        session = session or self.begin()
        changes = {self.parts.state: session, self.parts.file: None, self.parts.taught: ""}
        if not len(session.memory):
            notice = answers.notice("The memory is empty: there is nothing to download.", is_problem=True)
            return {**changes, self.parts.taught: notice}
        if not self.downloads.can_be_fetched:
            return {**changes, self.parts.taught: answers.notice(NO_DOWNLOADS, is_problem=True)}
        return {**changes, self.parts.file: {"path": self.downloads.offer(session)}}

    def _found(self, session: Session, words: object, echo: bool = False) -> Changes:
        """The list of stored examples with these words; with `echo` the words appear in the search box."""
        try:
            sought = typed_search(words)
        except InvalidInputError as error:
            return {self.parts.stored: answers.notice(str(error), is_problem=True)}
        found = {self.parts.stored: answers.stored(session.memory, sought, MOST_STORED, session.inputs)}
        return {**found, self.parts.wanted: words} if echo else found

    def _try(self, act: Callable[[], str], where: Any, session: Session, words: object) -> tuple[Changes, bool]:
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

    def _views(self, session: Session, words: object) -> Changes:
        """All parts of the page that depend on the memory and the question, without notices."""
        config, noun = session.classifier.model.config, session.inputs.noun
        encoder = public_name(config.encoder_name)
        changes = {self.parts.state: session, self.parts.taught: "", self.parts.forgotten: ""}
        try:
            memory, ranked, figure = session.view()
        except Exception as error:
            logger.exception("the live page could not answer")
            message = str(error) if isinstance(error, MannError) else FAILED
            return {**changes, self.parts.answer: answers.notice(message, is_problem=True)}
        if ranked:
            cut = session.cut(session.asked)
            shown = answers.answer(ranked, memory, memory.problem_type, config.reading, session.inputs, cut)
        else:
            shown = answers.part("invitation", memory, self.examples, session.inputs.invite)
        return {
            **changes,
            self.parts.head: answers.part("header", self.title, memory, encoder, config.reading, noun),
            self.parts.answer: shown,
            self.parts.map: figure,
            self.parts.legend: answers.legend(memory, noun),
            **self._found(session, words),
        }


def _clicked(data: Any) -> tuple[str, str]:
    """Action and value of the button that was clicked; empty strings if it is no button of the page."""
    for name in ("ask", "find", "forgetLabel", "forget"):
        value = data.get(name) if isinstance(data, dict) else None
        if isinstance(value, str):
            return name, value
        if name == "forget" and isinstance(value, int) and 0 <= value <= LARGEST_ID:
            return name, str(int(value))
    return "", ""
