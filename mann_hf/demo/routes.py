"""The routes of Gradio that the page needs; none that upload, stream, proxy or show files are among them."""

import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from .bodies import SESSION, Refused
from .downloads import FILE_NAME

API = "/gradio_api/"
READS = re.compile(
    r"(info|openapi\.json|startup-events|app_id|user|login_check|token|theme\.css|queue/(status|data)|heartbeat/[^/]+"
    r"|call/(v2/)?[^/]+/[^/]+|custom_component/.+)/?"
)
EVENTS = re.compile(r"queue/join|call/(?P<v2>v2/)?(?P<name>[^/]+)/?")
"""Paths of events, which ask, teach and forget."""
OTHER_WRITES = re.compile(r"(cancel|reset)/?")
DOWNLOAD = re.compile(rf"file=(?P<token>[\w-]+)/{re.escape(FILE_NAME)}", re.ASCII)
NOT_OURS = re.compile(r"/monitoring(/.*)?")
STRANGE = re.compile(r"(^|/)\.{1,2}(/|$)|//|\\|[\x00-\x1f\x7f]")
READING = ("GET", "HEAD", "OPTIONS")


class Route(NamedTuple):
    """The method, path and query of a request.

    Attributes:
        path: below the place where the page is mounted.
        api: the path below `/gradio_api/`; None for other paths.
    """

    method: str
    path: str
    api: str | None
    query: str

    @classmethod
    def of(cls, scope: Any) -> "Route":
        """The route of an ASGI scope."""
        path, root = scope["path"], scope.get("root_path", "").rstrip("/")
        if root and (path == root or path.startswith(f"{root}/")):
            path = path[len(root) :]
        api = path.removeprefix(API) if path.startswith(API) else None
        return cls(scope["method"], path, api, scope.get("query_string", b"").decode("latin-1"))

    @property
    def is_reading(self) -> bool:
        """Whether the method changes nothing."""
        return self.method in READING

    def download(self) -> str | None:
        """The token, if a memory is downloaded; None otherwise."""
        found = DOWNLOAD.fullmatch(self.api or "") if self.method in ("GET", "HEAD") else None
        return found["token"] if found else None

    def event(self) -> re.Match[str] | None:
        """The match, if it is an event; its group `name` is None if the body has the event's number instead."""
        return EVENTS.fullmatch(self.api or "") if self.method == "POST" else None

    def check(self) -> None:
        """Refuses routes that the page does not need."""
        if STRANGE.search(self.path) or NOT_OURS.fullmatch(self.path):
            raise Refused(404, "There is nothing here.")
        if self.method == "OPTIONS":
            return
        if self.method == "POST":
            if not (self.event() or OTHER_WRITES.fullmatch(self.api or "") or self.path.rstrip("/") == "/login"):
                raise Refused(404, "The page has no use for that: it takes no files.")
        elif self.method not in READING:
            raise Refused(405, "The page is read, and asked by POST.")
        elif self.api is not None and not READS.fullmatch(self.api):
            raise Refused(404, "The page has no use for that: it takes no files and shows none.")
        self._check_session()

    def _check_session(self) -> None:
        try:
            query = parse_qs(self.query, keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise Refused(422, "The address asks for too much.") from None
        sessions = query.get("session_hash", []) + re.findall(r"^heartbeat/([^/]+)", self.api or "")
        if not all(SESSION.fullmatch(session) for session in sessions):
            raise Refused(422, "A session's name is up to 64 letters, digits, dots and dashes.")
