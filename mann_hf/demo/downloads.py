"""Downloads of memories; the content is made when it is fetched, and never written to disk."""

from weakref import WeakValueDictionary

from ..hub.files import MEMORY_FILE
from .page_session import PageSession

FILE_NAME = MEMORY_FILE


class Downloads:
    """The sessions whose memories can be downloaded. When a session ends, its address is no longer valid.

    Attributes:
        can_be_fetched: whether the page is behind a `PageGuard`, which serves the downloads.
    """

    def __init__(self) -> None:
        self.can_be_fetched = False
        self._sessions: WeakValueDictionary[str, PageSession] = WeakValueDictionary()

    def offer(self, session: PageSession) -> str:
        """Lets a session's memory be downloaded; returns its path below Gradio's files."""
        self._sessions[session.token] = session
        return f"{session.token}/{FILE_NAME}"

    def read(self, token: str) -> bytes | None:
        """The file of a session's present memory; None if it is empty or the session has ended."""
        session = self._sessions.get(token)
        return session.file() if session is not None else None
