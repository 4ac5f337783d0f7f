"""The events of a classifier's page: what typing and clicking change."""

from typing import Any, NamedTuple

from ..errors import InvalidInputError
from ..models.card_files import public_name
from ..wording import counted
from . import answers
from .page_events import MOST_STORED, NO_BUTTON, Changes, PageEvents, id_of
from .session import Session

EXAMPLE, DESCRIPTION = "an example", "a description of the label"


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

    @property
    def view(self) -> list[Any]:
        """The parts that depend on the memory and the question, with the places of notices."""
        shown = [self.state, self.head, self.answer, self.map, self.legend, self.stored]
        return [*shown, self.taught, self.forgotten]

    @property
    def lessons(self) -> list[Any]:
        """What a lesson is read from."""
        return [*self.boxes, self.kind]

    @property
    def boxes(self) -> list[Any]:
        """Those of them that are typed in or chosen."""
        return [self.lesson, self.label]

    @property
    def emptied(self) -> list[Any]:
        """Those that are empty once something was taught; a label often serves the next example, too."""
        return [self.lesson]

    @property
    def clickable(self) -> list[Any]:
        """The parts with buttons."""
        return [self.answer, self.legend, self.stored]


class Events(PageEvents):
    """The handlers of the events of a classifier's page; see `PageEvents`."""

    parts: Parts

    buttons = ("find", "forgetLabel", "forget")
    look = "find"

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

    def _looked(self, session: Session, value: str) -> Changes:
        return self._found(session, value, echo=True)

    def _forgotten(self, session: Session, name: str, value: str) -> str:
        before = len(session.memory)
        if name == "forgetLabel":
            session.forget_label(value)
        elif name == "forget":
            session.forget(id_of(value))
        else:
            raise InvalidInputError(NO_BUTTON)
        gone = before - len(session.memory)
        never = "it had" if gone == 1 else "they had"
        return f"Forgot {counted(gone, 'example')}, as if {never} never been there."

    def _stored(self, session: Session, words: str) -> str:
        return answers.stored(session.memory, words, MOST_STORED, session.inputs)

    def _shown(self, session: Session) -> Changes:
        config, noun = session.classifier.model.config, session.inputs.noun
        encoder = public_name(config.encoder_name)
        memory, ranked, figure = session.view()
        if ranked:
            cut = session.cut(session.asked)
            shown = answers.answer(ranked, memory, memory.problem_type, config.reading, session.inputs, cut)
        else:
            shown = answers.part("invitation", memory, self.examples, session.inputs.invite)
        return {
            self.parts.head: answers.part("header", self.title, memory, encoder, config.reading, noun),
            self.parts.answer: shown,
            self.parts.map: figure,
            self.parts.legend: answers.legend(memory, noun),
        }
