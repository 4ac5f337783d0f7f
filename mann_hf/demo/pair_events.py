"""The events of the page of a model that generates: what typing and clicking change."""

from typing import Any, NamedTuple

from ..errors import InvalidInputError
from ..wording import counted
from . import answers, pair_answers
from .page_events import MOST_STORED, NO_BUTTON, Changes, PageEvents, id_of
from .pair_session import PairSession

LONGEST_PLACE = 6
"""Digits of a token's place."""


class PairParts(NamedTuple):
    """The components of the page that have events, or that events change."""

    state: Any
    head: Any
    question: Any
    ask: Any
    answer: Any
    behind: Any
    source: Any
    target: Any
    teach: Any
    taught: Any
    download: Any
    file: Any
    wanted: Any
    stored: Any
    forgotten: Any

    @property
    def view(self) -> list[Any]:
        """The parts that depend on the memory and the question, with the places of notices."""
        return [self.state, self.head, self.answer, self.behind, self.stored, self.taught, self.forgotten]

    @property
    def lessons(self) -> list[Any]:
        """What a lesson is read from."""
        return self.boxes

    @property
    def boxes(self) -> list[Any]:
        """Those of them that are typed in."""
        return [self.source, self.target]

    @property
    def emptied(self) -> list[Any]:
        """Those that are empty once something was taught."""
        return self.boxes

    @property
    def clickable(self) -> list[Any]:
        """The parts with buttons."""
        return [self.answer, self.behind, self.stored]


class PairEvents(PageEvents):
    """The handlers of the events of the page of a model that generates; see `PageEvents`."""

    parts: PairParts

    buttons = ("token", "forget")
    look = "token"

    def teach(self, session: PairSession | None, source: object, target: object, words: object) -> Changes:
        """A visitor teaches a source and what it should answer."""
        session = session or self.begin()

        def act() -> str:
            if session.teach(source, target):
                message = f"Taught. The memory holds {counted(len(session.memory), 'pair')}."
            else:
                message = "That was in the memory already; it counts once more now."
            cuts = [session.cut(str(source)), session.cut(str(target), as_target=True)]
            return " ".join([message, *(answers.shortened(*cut) for cut in cuts if cut)])

        changes, done = self._try(act, self.parts.taught, session, words)
        return {**changes, self.parts.source: "", self.parts.target: ""} if done else changes

    def _looked(self, session: PairSession, value: str) -> Changes:
        if not (value.isdecimal() and len(value) <= LONGEST_PLACE and session.choose(int(value))):
            return {self.parts.behind: answers.notice(NO_BUTTON, is_problem=True)}
        return {self.parts.behind: pair_answers.behind(session)}

    def _forgotten(self, session: PairSession, name: str, value: str) -> str:
        if name != "forget":
            raise InvalidInputError(NO_BUTTON)
        session.forget(id_of(value))
        return "Forgot 1 pair, as if it had never been there."

    def _stored(self, session: PairSession, words: str) -> str:
        return pair_answers.stored(session.memory, words, MOST_STORED)

    def _shown(self, session: PairSession) -> Changes:
        view = session.view()
        if view.answer is None:
            shown = pair_answers.invitation(view.memory, self.examples)
        else:
            shown = pair_answers.answer(view, session.chosen, session.cut(session.asked))
        return {
            self.parts.head: pair_answers.header(self.title, view.memory, session.pipeline.model.config),
            self.parts.answer: shown,
            self.parts.behind: pair_answers.behind(session),
        }
