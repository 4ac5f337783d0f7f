"""Memories that are downloaded: made when they are fetched, from the memory as it is then, and kept in no file."""

from weakref import WeakValueDictionary

from ..hub.files import MEMORY_FILE
from .session import Session

FILE_NAME = MEMORY_FILE


class Downloads:
    """The sessions whose memory may be fetched; a session that ends takes its address with it.

    Attributes:
        can_be_fetched: whether the page stands behind a guard, which answers at the addresses.
    """

    def __init__(self) -> None:
        self.can_be_fetched = False
        self._sessions: WeakValueDictionary[str, Session] = WeakValueDictionary()

    def offer(self, session: Session) -> str:
        """The path, below Gradio's files, at which a session's memory can be fetched from now on."""
        self._sessions[session.token] = session
        return f"{session.token}/{FILE_NAME}"

    def read(self, token: str) -> bytes | None:
        """The file of a session's present memory; None if it holds nothing or has ended."""
        session = self._sessions.get(token)
        return session.file() if session is not None else None
