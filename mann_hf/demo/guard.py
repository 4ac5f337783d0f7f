"""The guard of the page: decides who may use it and how much, before any work is done."""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any

from .bodies import (
    Headers,
    Refused,
    check_inputs,
    check_json,
    check_length,
    inputs_of,
    named_inputs,
    read_body,
    read_event,
)
from .downloads import FILE_NAME, Downloads
from .hosts import LOOPBACK, Place, is_address, own_host, read_host, read_origin, same_place
from .routes import Route

MOST_OPEN = 500
"""Requests that are answered at a time, streams included."""
MOST_WAITING = 200
"""Sessions with answers that were not fetched yet."""
SECONDS_TO_LINGER = 2
"""Seconds to keep reading a refused request, so that the client sees the response."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class PageGuard:
    """ASGI middleware around a page: checks host, sender, route, size and form of each request.

    No page of another site can use the page, neither under a name of its own (DNS rebinding) nor by sending requests.
    Its hosts are the loopback names, the IP address at which the server was reached, the `server_name` and share link
    of `launch`, `SPACE_HOST` of a Hugging Face Space, and those that were named. The guard also answers where a memory
    is downloaded.

    Args:
        app: Gradio's ASGI application.
        page: the page that `build_page` made.
    """

    def __init__(self, app: Any, page: Any) -> None:
        self.app, self.page = app, page
        self.downloads: Downloads = page.downloads
        self.downloads.can_be_fetched = True
        self._open = 0
        self._one_by_one = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "The page has no WebSockets."})
        elif scope["type"] != "http":
            await self.app(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Any, receive: Receive, send: Send) -> None:
        headers: Headers = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        route = Route.of(scope)
        incoming = _Incoming(receive, headers)
        try:
            self._check_sender(scope, route, headers)
            if self._open >= MOST_OPEN:
                raise Refused(503, "Too many use the page at this moment. Try again a little later.")
            token = route.download()
            if token is not None:
                await self._send_memory(token, route.method, send)
                return
            route.check()
            check_length(headers)
            if route.method == "POST":
                event = route.event()
                if event is not None:
                    check_json(headers)
                body = await read_body(incoming)
                if event is not None:
                    self._check_event(event, body)
                receive = _replay(body, receive)
        except Refused as refused:
            await _refuse(refused, route.api is not None, incoming, send)
            return
        except ConnectionError:
            return
        self._open += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self._open -= 1

    def _check_sender(self, scope: Any, route: Route, headers: Headers) -> None:
        """Refuses requests to a host that is not the page's, and requests from other pages."""
        named = self._named_hosts()
        host = self._check_host(scope, headers, named)
        origins = headers.get(b"origin", [])
        for sender in origins or ([] if route.is_reading else headers.get(b"referer", [])):
            text = sender.decode("latin-1")
            place = read_origin(text)
            if place is None or not (place.host in named or same_place(place, host, text)):
                raise Refused(403, _other_page(place))
        follows_link = route.is_reading and headers.get(b"sec-fetch-mode") == [b"navigate"]
        sites = headers.get(b"sec-fetch-site", [])
        if not origins and not follows_link and any(site not in (b"same-origin", b"none") for site in sites):
            raise Refused(403, _other_page(None))

    def _check_host(self, scope: Any, headers: Headers, named: set[str]) -> Place:
        hosts = [name.decode("latin-1") for name in headers.get(b"host", [])]
        forwarded = ",".join(name.decode("latin-1") for name in headers.get(b"x-forwarded-host", []))
        asked = [read_host(name) for name in hosts]
        asked += [read_host(name.strip()) for name in forwarded.split(",") if name.strip()]
        reached = own_host((scope.get("server") or [None])[0])
        own = {own_host(getattr(self.page, "server_name", None)), reached if is_address(reached) else None}
        places = [place for place in asked if place is not None]
        if len(hosts) != 1 or len(places) < len(asked):
            raise Refused(403, "A request has to name its host, once and in the usual form.")
        for place in places:
            if place.host not in LOOPBACK | own | named:
                raise Refused(
                    403,
                    f"This page does not answer to the host {place.host}. If that is its address, who runs it can "
                    f"allow it: mann-hf demo --allow-host {place.host}, or launch(allowed_hosts=['{place.host}']).",
                )
        return places[0]

    def _named_hosts(self) -> set[str]:
        """Hosts that the operator or the Space allows."""
        addresses = [getattr(self.page, name, None) for name in ("share_url", "root_path")]
        places = [read_origin(address) for address in addresses if isinstance(address, str)]
        places += [read_host(name.strip()) for name in os.environ.get("SPACE_HOST", "").split(",")]
        return self.page.allowed_hosts | {place.host for place in places if place is not None}

    def _check_event(self, event: re.Match[str], body: bytes) -> None:
        content = read_event(body)
        inputs = None if event["v2"] else inputs_of(content)
        if event["name"] is None:
            number = content.get("fn_index")
            if isinstance(number, bool) or not isinstance(number, int) or number not in self.page.fns:
                raise Refused(404, "The page has no event of that number.")
            asked = self.page.fns[number]
            if asked.fn is None:
                raise Refused(404, "That event is answered by the browser.")
        else:
            public = {fn.api_name: fn for fn in self.page.fns.values() if fn.api_visibility == "public"}
            if event["name"] not in public:
                raise Refused(404, "The page has no event of that name.")
            asked = public[event["name"]]
        if inputs is None:
            described = self.page.get_api_info()["named_endpoints"][f"/{asked.api_name}"]
            inputs = named_inputs(content, described["parameters"])
        check_inputs(inputs, asked.inputs, by_name=event["name"] is not None)
        self._drop_answers_no_one_fetches()

    def _drop_answers_no_one_fetches(self) -> None:
        """Drops the oldest answers that nobody fetched; Gradio would keep them for ever."""
        queue = self.page._queue
        waiting, events = queue.pending_messages_per_session, queue.pending_event_ids_session
        busy = sessions_at_work(queue)
        for session in list(waiting)[: max(0, len(waiting) - MOST_WAITING)]:
            if session not in busy:
                waiting.pop(session)
                for event in events.pop(session, ()):
                    queue.event_ids_to_events.pop(event, None)

    async def _send_memory(self, token: str, method: str, send: Send) -> None:
        async with self._one_by_one:
            content = await asyncio.to_thread(self.downloads.read, token)
        if content is None:
            raise Refused(
                404,
                "There is nothing to download: the memory is empty, or the page was reloaded or left since. Open it "
                "and click Download there.",
            )
        headers = {
            "content-type": "application/octet-stream",
            "content-disposition": f'attachment; filename="{FILE_NAME}"',
            "content-length": str(len(content)),
        }
        await _start(200, headers, send)
        await send({"type": "http.response.body", "body": content if method == "GET" else b""})


def sessions_at_work(queue: Any) -> set[str]:
    """The sessions with events that wait in Gradio's queue or are being answered."""
    jobs = [*queue.active_jobs, *(one.queue for one in queue.event_queue_per_concurrency_id.values())]
    return {event.session_hash for job in jobs for event in job or ()}


class _Incoming:
    """The incoming body of a request; `is_unread` says whether some of it is still to come."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self.receive = receive
        self.is_unread = b"transfer-encoding" in headers or headers.get(b"content-length", [b"0"]) != [b"0"]

    async def __call__(self) -> Any:
        message = await self.receive()
        self.is_unread = message["type"] == "http.request" and message.get("more_body", False)
        return message


def _other_page(place: Place | None) -> str:
    if place is None or place.host in LOOPBACK:  # naming a loopback host would let in every page on this machine
        return "A page of another site may not use this one."
    return (
        f"A page of {place.host} may not use this one. If it is yours, allow it: launch(allowed_hosts="
        f"['{place.host}'])."
    )


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body again that was read already."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Any:
        return messages.pop() if messages else await receive()

    return replayed


async def _refuse(refused: Refused, as_json: bool, incoming: _Incoming, send: Send) -> None:
    """Sends the reason of a refusal, and for a moment reads and drops what is still to come of the request."""
    content = (json.dumps({"detail": refused.why}) if as_json else refused.why).encode()
    headers = {
        "content-type": "application/json" if as_json else "text/plain; charset=utf-8",
        "content-length": str(len(content)),
    }
    if not incoming.is_unread:
        await _start(refused.status, headers, send)
        await send({"type": "http.response.body", "body": content})
        return
    await _start(refused.status, {**headers, "connection": "close"}, send)
    await send({"type": "http.response.body", "body": content, "more_body": True})

    async def throw_away() -> None:
        while incoming.is_unread:
            await incoming()

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(throw_away(), SECONDS_TO_LINGER)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _start(status: int, headers: dict[str, str], send: Send) -> None:
    headers = {**headers, "cache-control": "no-store", "x-content-type-options": "nosniff"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
