"""HTTP as the hub speaks it: requests read whole, responses sent whole, uploads cut off on demand."""

import contextlib
import json
import socket
import socketserver
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn
from urllib.parse import SplitResult, parse_qs, urlsplit


@dataclass(frozen=True)
class Request:
    """One request, with its body."""

    method: str
    url: SplitResult
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, still quoted: the `%2F` in the name of a branch is no separator."""
        return self.url.path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.url.query)

    def flag(self, name: str) -> bool:
        """Whether a query parameter says yes."""
        return self.query.get(name, [""])[-1].lower() in {"1", "true"}

    def json(self) -> dict[str, Any]:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Response:
    """What is sent back; to HEAD without the body, but with its length."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object, status: int = 200, headers: dict[str, str] | None = None) -> "Response":
        """A value as JSON."""
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


class Refused(Exception):
    """Ends a request with an error: a status, words, and the code by which the client tells its exceptions apart."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None):
        super().__init__(message)
        in_ascii = message.encode("unicode_escape").decode()  # a header bears no path of other letters
        named = {"X-Error-Message": in_ascii} | ({"X-Error-Code": code} if code else {})
        self.response = Response.of({"error": message}, status, {**named, **(headers or {})})


class CutOff(ConnectionError):
    """Raised where a body is longer than the hub has been told to take."""


class Handler(BaseHTTPRequestHandler):
    """Turns what comes over one connection into requests for the server's `answer`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: "Server"

    def serve(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, urlsplit(self.path), headers)
        try:
            body = self.read_body(self.server.body_limit(request))
        except CutOff:
            self.server.note(request, 0)
            self.drop()
            return
        request = Request(request.method, request.url, headers, body)
        response = self.server.answer(request)
        self.server.note(request, response.status)
        self.send_response(response.status)
        for name, value in {"Content-Length": str(len(response.body)), **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

    def read_body(self, limit: int | None) -> bytes:
        """The whole body, in either of HTTP's two framings; CutOff once more than `limit` bytes have come."""
        body = bytearray()

        def take(length: int) -> None:
            allowed = length if limit is None else min(length, limit - len(body))
            part = self.rfile.read(max(allowed, 0))
            if length < 0 or len(part) < length:  # cut here, or left by the client
                raise CutOff
            body.extend(part)

        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while length := int(self.rfile.readline().split(b";")[0] or b"-1", 16):
                take(length)
                self.rfile.readline()
            while self.rfile.readline().strip():  # trailers
                pass
        else:
            take(int(self.headers.get("Content-Length", 0)))
        return bytes(body)

    def drop(self) -> None:
        """Closes the connection without an answer."""
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may have been first
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing on stderr: the hub keeps its own log."""


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1 with a thread for each connection, and closes those when it stops."""

    request_queue_size = 64

    def __init__(
        self,
        port: int,
        answer: Callable[[Request], Response],
        note: Callable[[Request, int], None],
        body_limit: Callable[[Request], int | None],
    ):
        self.answer, self.note, self.body_limit = answer, note, body_limit
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        # HTTPServer's own would look up the name of this machine, which may ask a name server.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self.connections):  # kept open by clients that may never close them
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leaves out the tracebacks of clients that hung up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def refuse_unknown(request: Request) -> NoReturn:
    """Tells a request for what this hub lacks apart from one for what is not there: 501, which no client retries."""
    raise Refused(501, f"The loopback hub does not answer {request.method} {request.path}.")
