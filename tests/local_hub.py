"""A Hub of this machine alone, so that what asks the Hub is tested with the real client; and what was logged."""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session, constants
from transformers.utils import logging as transformers_logging

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class LocalHub:
    """Serves files of repositories as the Hub does; `refusals` and `delay` make it say no, or nothing."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.refusals: dict[str, tuple[int, str]] = {}  # repository -> status, error code
        self.delay = 0.0
        self.is_hub = True  # if not, something else answers at its address
        self.requests: list[dict[str, Any]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                time.sleep(hub.delay)
                repository, _, rest = self.path.removeprefix("/").partition("/resolve/")
                revision, _, file = rest.partition("/")
                hub.requests.append(
                    {"repo": repository, "revision": revision, "file": file, "token": self.headers["authorization"]}
                )
                status, code = hub.refusals.get(repository, (200, ""))
                content = hub.repositories.get(repository, {}).get(file)
                if status == 200 and repository not in hub.repositories:
                    status, code = 401, "RepoNotFound"
                elif status == 200 and content is None:
                    status, code = 404, "EntryNotFound"
                content = content if status == 200 and content is not None else b""
                self.send_response(status)
                if hub.is_hub:
                    self.send_header("X-Repo-Commit", COMMIT)
                    self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
                if code:
                    self.send_header("X-Error-Code", code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body:
                    self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def add(self, repository: str, folder: Path) -> None:
        """Offers the files of a folder as a repository."""
        self.repositories[repository] = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }

    def stop(self) -> None:
        """Goes out of reach: its address refuses connections."""
        self.server.shutdown()
        self.server.server_close()


class Messages(logging.Handler):
    """Collects what is logged."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def listen(level: int) -> Iterator[list[str]]:
    """The messages of transformers and the library, with their verbosity set to `level` for as long."""
    logger, handler, before = logging.getLogger("transformers"), Messages(level), transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(level)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
    transformers_logging.set_verbosity(before)


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What transformers and the library warn of."""
    yield from listen(logging.WARNING)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What transformers and the library tell at the verbosity `info`."""
    yield from listen(logging.INFO)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """An empty Hub within reach, in place of the real one; offline mode is off."""
    hub = LocalHub()
    close_session()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    yield hub
    hub.stop()
    close_session()
