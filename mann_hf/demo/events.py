"""What happens on the page when something is typed or clicked."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from transformers.utils import logging

from ..errors import InvalidInputError, MannError
from ..models import LabelledMemory
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
"""Stored examples that are listed at a time."""

IN_THE_LOG = "Whoever runs this page can find the reason in its log."
FAILED = f"That did not work. {IN_THE_LOG}"
NO_BUTTON = "That is not a button of this page. Reload the page and try again."
NO_DOWNLOADS = (
    "Downloads are off, because this page runs without its guard. Whoever runs it can add mann_hf.demo.PageGuard."
)

Changes = dict[Any, Any]
"""From parts of the page to what they become."""


class Parts(NamedTuple):
    """The parts of the page that events change, as gradio's components."""

    state: Any
    head: Any
    question: Any
    answer: Any
    map: Any
    legend: Any
    lesson: Any
    taught: Any
    wanted: Any
    stored: Any
    forgotten: Any
    file: Any


class Events:
    """Each event takes a visitor's session, None before there is one, and gives what changes on the page.

    What goes wrong is said on the page, in words.

    Args:
        parts: of the page.
        begin: makes a new visitor's session.
        on_change: called after each change of a memory.
        title: of the page.
        examples: texts to try, offered before the first question.
        downloads: where a memory is offered.
    """

    def __init__(
        self,
        parts: Parts,
        begin: Callable[[], Session],
        on_change: Callable[[], None] | None,
        title: str,
        examples: Sequence[str],
        downloads: Downloads,
    ) -> None:
        self.parts, self.begin, self.on_change, self.title, self.examples = parts, begin, on_change, title, examples
        self.downloads = downloads
        self.view = [parts.state, parts.head, parts.answer, parts.map, parts.legend, parts.stored]
        self.notices = [parts.taught, parts.forgotten]

    def load(self, words: object) -> Changes:
        """A visitor opens the page; the words in the search box may be those from before a reload."""
        return self._views(self.begin(), words)

    def ask(self, session: Session | None, text: object, words: object) -> Changes:
        """A text is asked."""
        session = session or self.begin()
        try:
            session.ask(text)
            problem = ""
        except MannError as error:
            problem = answers.notice(str(error), is_problem=True)
        changes = {**self._views(session, words), **dict.fromkeys(self.notices, "")}
        changes[self.parts.answer] = problem + changes[self.parts.answer]
        return changes

    def teach(self, session: Session | None, text: object, label: object, kind: object, words: object) -> Changes:
        """A text and its label are taught, or a description of a label."""
        session = session or self.begin()

        def act() -> str:
            if session.teach(text, label, kind == DESCRIPTION):
                said = f"Taught. The memory holds {counted(len(session.memory), 'example')}."
            else:
                said = "That was in the memory already; it counts once more now."
            cut = session.cut(str(text))
            return f"{said} {answers.shortened(*cut)}" if cut else said

        changes, done = self._try(act, self.parts.taught, session, words)
        return {**changes, self.parts.lesson: ""} if done else changes

    def click(self, session: Session | None, text: object, words: object, event: Any) -> Changes:
        """A button in the answer, under the map or in the list was clicked: its `data-*` say what it does."""
        session = session or self.begin()
        name, value = _clicked(event._data)
        if name == "ask":
            changes = self.ask(session, value, words)
            return {**changes, self.parts.question: value} if session.asked == value else changes
        if name == "find":
            return self._found(session.memory, value, echo=True)

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
        """Stored examples are looked for."""
        return self._found((session or self.begin()).memory, words)[self.parts.stored]

    def download(self, session: Session | None) -> Changes:
        """The memory is asked for as a file: what comes back is where to fetch it, and a message in place of it."""
        session = session or self.begin()
        changes = {self.parts.state: session, self.parts.file: None, self.parts.taught: ""}
        if not len(session.memory):
            notice = answers.notice("The memory is empty: there is nothing to download.", is_problem=True)
            return {**changes, self.parts.taught: notice}
        if not self.downloads.can_be_fetched:
            return {**changes, self.parts.taught: answers.notice(NO_DOWNLOADS, is_problem=True)}
        return {**changes, self.parts.file: {"path": self.downloads.offer(session)}}

    def _found(self, memory: LabelledMemory, words: object, echo: bool = False) -> Changes:
        """The list of what is stored, and with `echo` the words in the search box, if they can be looked for."""
        try:
            sought = typed_search(words)
        except InvalidInputError as error:
            return {self.parts.stored: answers.notice(str(error), is_problem=True)}
        found = {self.parts.stored: answers.stored(memory, sought, MOST_STORED)}
        return {**found, self.parts.wanted: words} if echo else found

    def _try(self, act: Callable[[], str], where: Any, session: Session, words: object) -> tuple[Changes, bool]:
        """What a change of the memory leaves on the page, its message or why it failed; and whether it was made."""
        done = is_problem = False
        try:
            said = act()
            done = True
        except MannError as error:
            said, is_problem = str(error), True
        except Exception:
            logger.exception("the live page could not do what was asked")
            said, is_problem = FAILED, True
        if done and (unsaved := self._unsaved()):
            said, is_problem = f"{said} {unsaved}", True
        notice = answers.notice(said, is_problem)
        return {**self._views(session, words), **dict.fromkeys(self.notices, ""), where: notice}, done

    def _unsaved(self) -> str:
        """Calls the change listener and reports its error."""
        try:
            if self.on_change is not None:
                self.on_change()
        except Exception:
            logger.exception("the live page could not save a change")
            return f"But this could not be saved, and is lost when the page ends. {IN_THE_LOG}"
        return ""

    def _views(self, session: Session, words: object) -> Changes:
        """Everything on the page that follows from the memory and the question."""
        config = session.classifier.model.config
        try:
            memory, ranked, figure = session.view()
        except Exception as error:
            logger.exception("the live page could not answer")
            said = str(error) if isinstance(error, MannError) else FAILED
            return {self.parts.state: session, self.parts.answer: answers.notice(said, is_problem=True)}
        if ranked:
            cut = session.cut(session.asked or "")
            shown = answers.answer(ranked, memory, memory.problem_type, config.reading, cut)
        else:
            shown = answers.invitation(memory, self.examples)
        return {
            self.parts.state: session,
            self.parts.head: answers.header(self.title, memory, public_name(config.encoder_name), config.reading),
            self.parts.answer: shown,
            self.parts.map: figure,
            self.parts.legend: answers.legend(memory),
            **self._found(memory, words),
        }


def _clicked(data: Any) -> tuple[str, str]:
    """What a button of the page says it does, and with what; no button's name if it is none of them."""
    for name in ("ask", "find", "forgetLabel", "forget"):
        value = data.get(name) if isinstance(data, dict) else None
        if isinstance(value, str):
            return name, value
        if name == "forget" and isinstance(value, int) and 0 <= value <= LARGEST_ID:
            return name, str(int(value))
    return "", ""
