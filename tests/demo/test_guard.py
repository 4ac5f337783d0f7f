"""The page's app asked in this process, as strangers and other pages would ask it."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mann_hf.demo
from mann_hf.demo import bodies, guard
from mann_hf.demo.bounds import MOST_LETTERS_SENT, MOST_LETTERS_TYPED
from mann_hf.demo.events import DESCRIPTION, EXAMPLE
from mann_hf.models import MANNForSequenceClassification
from mann_hf.pipelines import FewShotTextClassificationPipeline

from .conftest import NASTY, TAUGHT, Make

HOME = "http://127.0.0.1:7860"


@pytest.fixture(scope="module", autouse=True)
def gradio() -> Any:
    return pytest.importorskip("gradio")


class Visitor:
    """A program that asks a page: the app is called in this process, and no port is opened."""

    def __init__(self, page: Any, base: str = HOME) -> None:
        from starlette.testclient import TestClient

        self.page = page
        self.client = TestClient(page.app, base_url=base)
        self.events = {fn.api_name: number for number, fn in page.fns.items() if fn.fn is not None}

    def do(self, event: str, *inputs: Any, clicked: Any = None) -> Any:
        """What an event answers, or why it is refused."""
        body = {"data": inputs, "fn_index": self.events[event], "session_hash": "s", "event_data": clicked}
        joined = self.client.post(
            "/gradio_api/queue/join", content=json.dumps(body), headers={"content-type": "application/json"}
        )
        if joined.status_code != 200:
            return joined
        with self.client.stream("GET", "/gradio_api/queue/data?session_hash=s") as stream:
            for line in stream.iter_lines():
                if "process_completed" in line:
                    return json.loads(line[5:])["output"]
        raise AssertionError("no answer")

    @property
    def labels(self) -> tuple[str, ...]:
        return self.page.classifier_of_test.model.memory.labels


@contextmanager
def visiting(classifier: FewShotTextClassificationPipeline, **kwargs: Any) -> Iterator[Visitor]:
    page = mann_hf.demo.build_page(classifier, **kwargs)
    page.classifier_of_test = classifier
    one = Visitor(page)
    with one.client:
        one.client.get("/gradio_api/startup-events")
        yield one


@pytest.fixture(scope="module")
def one_page(tiny_encoder: Path) -> Iterator[Visitor]:
    """Made once: it takes the better part of a second."""
    classifier = FewShotTextClassificationPipeline(
        model=MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    )
    with visiting(classifier) as one:
        yield one


@pytest.fixture
def visitor(one_page: Visitor) -> Visitor:
    """A visitor of a page that knows TAUGHT."""
    classifier = one_page.page.classifier_of_test
    if [entry.text for entry in classifier.model.memory.entries] != list(TAUGHT):
        for label in one_page.labels:
            classifier.forget(label=label)
        classifier.remember(list(TAUGHT), list(TAUGHT.values()))
    return one_page


LESSON = {"data": [None, "rebound", "evil", "an example", ""]}
FOREIGN = [
    {"host": "evil.example:7860"},
    {"host": "evil.example"},
    {"host": "localhost.evil.example:7860"},
    {"host": "127.0.0.1.nip.io:7860"},
    {"host": "127.0.0.1:7860@evil.example"},
    {"host": "evil.example@127.0.0.1:7860"},
    {"host": "127.0.0.1:7860, evil.example"},
    {"host": "2130706433:7860"},
    {"host": "10.1.2.3:7860"},
    {"host": "[::2]:7860"},
    {"host": "[::1"},
    {"host": "localhost..:7860"},
    {"host": "localhost:7860/x"},
    {"host": ""},
    {"host": "locаlhost"},  # its fourth letter is Cyrillic
    {"x-forwarded-host": "evil.example"},
    {"x-forwarded-host": "127.0.0.1:7860, evil.example"},
    {"origin": "http://evil.example:7860"},
    {"origin": "https://127.0.0.1.evil.example"},
    {"origin": "http://127.0.0.1:7860@evil.example"},
    {"origin": "http://127.0.0.1:3000"},
    {"origin": "http://localhost:7860"},  # to a browser another site than 127.0.0.1
    {"origin": "https://127.0.0.1:443"},
    {"origin": "null"},
    {"origin": "file://"},
    {"origin": ""},
    {"referer": "http://evil.example/page"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
]
OWN = [
    {},
    {"host": "LOCALHOST:7860"},
    {"host": "localhost.:7860"},
    {"host": "localhost"},
    {"host": "[::1]:7860"},
    {"host": "[0:0:0:0:0:0:0:1]:7860"},
    {"host": "[::ffff:127.0.0.1]:7860"},
    {"origin": HOME},
    {"origin": HOME.upper()},
    {"origin": "http://127.0.0.1", "host": "127.0.0.1"},
    {"origin": "https://127.0.0.1", "host": "127.0.0.1"},
    {"referer": f"{HOME}/page?x=y"},
    {"x-forwarded-host": "localhost:7860"},
    {"origin": HOME, "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"},
]


def encoded(headers: dict[str, str]) -> dict[bytes, bytes]:
    """As they are sent, letters beyond ASCII too."""
    return {name.encode(): value.encode() for name, value in headers.items()}


def test_no_other_page_can_use_it(visitor: Visitor) -> None:
    """Whatever it sends: each route, by each way of being another page's."""
    before = visitor.labels
    for headers in FOREIGN:
        sent = encoded(headers)
        for path in ("call/teach", "call/v2/teach", "queue/join", "upload", "run/teach", "cancel", "component_server"):
            answer = visitor.client.post(f"/gradio_api/{path}", json=LESSON, headers=sent)
            assert answer.status_code == 403 and len(answer.content) < 400, (headers, path)
        answer = visitor.client.post(
            "/gradio_api/call/teach", content=json.dumps(LESSON), headers={**sent, b"content-type": b"text/plain"}
        )
        assert answer.status_code == 403, headers
    assert visitor.labels == before


@pytest.mark.parametrize("headers", [one for one in FOREIGN if "referer" not in one and "sec-fetch-mode" not in one])
def test_no_other_page_can_read_it(visitor: Visitor, headers: dict[str, str]) -> None:
    sent = encoded(headers)
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=s", "/assets/x.js"):
        assert visitor.client.get(path, headers=sent).status_code == 403, path
    assert visitor.client.head("/", headers=sent).status_code == 403
    asked = {**sent, b"access-control-request-method": b"POST"}
    assert visitor.client.options("/gradio_api/queue/join", headers=asked).status_code == 403


def test_a_link_from_another_page_opens_it(visitor: Visitor) -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "referer": "https://example.org/"}
    assert visitor.client.get("/config", headers=link).status_code == 200


def test_by_its_own_names_it_is_used(visitor: Visitor) -> None:
    for number, headers in enumerate(OWN):
        body = {"data": [None, f"lesson {number}", f"own {number}", "an example", ""]}
        assert visitor.client.get("/robots.txt", headers=headers).status_code == 200, headers
        asked = visitor.client.post("/gradio_api/call/teach", json=body, headers=headers)
        assert asked.status_code == 200, (headers, asked.text)
        visitor.client.get(f"/gradio_api/call/teach/{asked.json()['event_id']}")
        assert f"own {number}" in visitor.labels


def test_hosts_that_are_named_are_its_own(
    classifier: FewShotTextClassificationPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with visiting(classifier, allowed_hosts=["Demo.Example.org", "2001:db8::1", "bücher.example"]) as one:
        monkeypatch.setenv("SPACE_HOST", "owner-name.hf.space, custom.example")
        one.page.share_url, one.page.root_path = "https://123abc.gradio.live", "https://proxy.example/page"
        one.page.server_name = "box.local"
        hosts = [
            "demo.example.org",
            "[2001:db8::1]:80",
            "xn--bcher-kva.example",
            "owner-name.hf.space",
            "custom.example",
        ]
        for host in [*hosts, "123abc.gradio.live", "proxy.example", "box.local:7860"]:
            assert one.client.get("/robots.txt", headers={"host": host}).status_code == 200, host
        named = {"origin": "https://demo.example.org", "sec-fetch-site": "cross-site"}
        assert one.client.post("/gradio_api/call/ask", json={"data": [None, "x", ""]}, headers=named).status_code == 200
        refused = one.client.get("/", headers={"host": "other.example"})
        assert refused.status_code == 403 and "--allow-host other.example" in refused.text


def test_it_answers_at_the_address_that_was_reached(classifier: FewShotTextClassificationPipeline) -> None:
    from starlette.testclient import TestClient

    page = mann_hf.demo.build_page(classifier)
    for address, base in (("192.0.2.7", "http://192.0.2.7:7860"), ("2001:db8::7", "http://[2001:db8::7]:7860")):
        assert TestClient(page.app, base_url=base).get("/robots.txt").status_code == 200, address
    assert TestClient(page.app, base_url="http://named.example").get("/robots.txt").status_code == 403


@pytest.mark.parametrize(
    "hosts", [["http://example.org"], ["a b"], [""], ["*"], ["example.org/x"], ["user@example.org"]]
)
def test_what_is_no_host_cannot_be_allowed(classifier: FewShotTextClassificationPipeline, hosts: list[str]) -> None:
    with pytest.raises(mann_hf.errors.InvalidInputError, match="is not the name of a host"):
        mann_hf.demo.build_page(classifier, allowed_hosts=hosts)


@pytest.mark.parametrize("hosts", ["example.org", [7], [None]])
def test_hosts_are_a_list_of_texts(classifier: FewShotTextClassificationPipeline, hosts: Any) -> None:
    with pytest.raises(mann_hf.errors.InvalidTypeError, match="allowed_hosts"):
        mann_hf.demo.build_page(classifier, allowed_hosts=hosts)


@pytest.mark.parametrize(
    "path",
    [
        *("upload", "upload/", "upload?upload_id=x", "component_server", "run/teach", "api/teach", "run/click"),
        *(
            "stream/x",
            "process_recording",
            "vibe-edit/",
            "queue/join/../upload",
            "/upload",
            "%2e%2e/upload",
            "deep_link",
        ),
        *("call/click", "call/find", "call/nothing", "call/v2/nothing"),
    ],
)
def test_what_the_page_has_no_use_for_is_not_there(visitor: Visitor, path: str) -> None:
    before = visitor.labels
    assert visitor.client.post(f"/gradio_api/{path}", json=LESSON).status_code in (404, 405)
    file = {"files": ("x.bin", bytes(1000))}
    assert visitor.client.post(f"/gradio_api/{path}", files=file).status_code in (404, 405, 415)
    assert visitor.labels == before


@pytest.mark.parametrize(
    "path",
    [
        *("file=/etc/passwd", "file=../../etc/passwd", "file=%2Fetc%2Fpasswd", "file=https://example.org/", "file/x"),
        *("proxy=https://example.org", "upload_progress?upload_id=1", "deep_link?session_hash=s", "runs", "dev/reload"),
        *(
            "stream/s/1/1/playlist.m3u8",
            "vibe-code/",
            "mcp/sse",
            "heartbeat/" + "x" * 65,
            "queue/data?session_hash=%00",
        ),
        *("queue/data?session_hash=" + "x" * 65, "queue/data?" + "a=1&" * 50, "../monitoring", "../monitoring/summary"),
        "file=" + "x" * 32 + "/memory.safetensors",
    ],
)
def test_no_file_and_no_other_site_is_shown(visitor: Visitor, path: str) -> None:
    for method in ("GET", "HEAD"):
        answer = visitor.client.request(method, f"{HOME}/gradio_api/{path}")
        assert answer.status_code in (404, 422), answer.status_code
    assert visitor.client.request("DELETE", f"{HOME}/gradio_api/info").status_code == 405


BODIES: list[tuple[Any, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"\xff", 400),
    (b"[" * 100_000, 400),
    (b'{"data": [' + b"9" * 5000 + b"]}", 400),
    (b'{"data": [NaN, ""]}', 400),
    (b'{"data": [-Infinity, ""]}', 400),
    (b'{"data": [1e999, ""]}', 400),
    ([], 422),
    ({"data": "text"}, 422),
    ({"data": {}}, 422),
    ({"data": [[]]}, 422),
    ({"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, ""]}, 422),
    ({"data": [None] * 17}, 422),
    ({"data": ["x", ""], "more": [[[[[[[[]]]]]]]]}, 422),
    ({"data": ["x", ""], "more": [0] * 1001}, 422),
    ({"data": ["x", ""], "batched": True}, 422),
    ({"data": ["x", ""], "session_hash": "x" * 65}, 422),
    ({"data": ["x", ""], "session_hash": "../s"}, 422),
    ({"data": ["x", ""], "session_hash": 7}, 422),
    (b'{"data": ["' + b"x" * bodies.MOST_BYTES + b'", ""]}', 413),
]


@pytest.mark.parametrize(("body", "status"), BODIES, ids=lambda one: str(one)[:40])
def test_what_is_no_event_is_refused(visitor: Visitor, body: Any, status: int) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {"content-type": "application/json"}
    for path in ("call/ask", "queue/join"):
        answer = visitor.client.post(f"/gradio_api/{path}", content=content, headers=kind)
        assert answer.status_code == status and len(answer.json()["detail"]) < 200, answer.text
    chunked = visitor.client.post("/gradio_api/call/ask", content=iter([content[:5], content[5:]]), headers=kind)
    assert chunked.status_code == status


@pytest.mark.parametrize("number", [-1, 99, None, "0", 1.5, True, [], {}])
def test_events_that_are_not_there_are_refused(visitor: Visitor, number: Any) -> None:
    body = {"data": [None, "x", ""], "fn_index": number, "session_hash": "s"}
    assert visitor.client.post("/gradio_api/queue/join", json=body).status_code == 404


def test_events_of_the_browser_alone_are_refused(visitor: Visitor) -> None:
    numbers = [number for number, fn in visitor.page.fns.items() if fn.fn is None]
    assert numbers
    for number in numbers:
        body = {"data": [None] * len(visitor.page.fns[number].inputs), "fn_index": number, "session_hash": "s"}
        assert visitor.client.post("/gradio_api/queue/join", json=body).status_code == 404


def test_an_event_takes_inputs_by_their_names(visitor: Visitor) -> None:
    names = visitor.client.get("/gradio_api/info").json()["named_endpoints"]["/ask"]["parameters"]
    asked = {parameter["parameter_name"]: "my card" for parameter in names}
    assert visitor.client.post("/gradio_api/call/v2/ask", json=asked).status_code == 200
    values: tuple[Any, ...] = ([], {"path": "/etc/passwd"})
    for wrong in (
        *({}, {"data": ["x", ""]}, {**asked, "other": "x"}, {**asked, "session_hash": "s"}),
        *({name: value} for name in asked for value in values),
    ):
        answer = visitor.client.post("/gradio_api/call/v2/ask", json=wrong)
        assert answer.status_code == 422 and len(answer.json()["detail"]) < 200, answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": ""},
        {"content-encoding": "gzip"},
    ],
)
def test_only_plain_json_is_read(visitor: Visitor, headers: dict[str, str]) -> None:
    sent = {"content-type": "application/json", **headers}
    answer = visitor.client.post("/gradio_api/call/teach", content=json.dumps(LESSON), headers=sent)
    assert answer.status_code == 415
    wrong = visitor.client.post("/gradio_api/call/teach", content=b"{}", headers={**sent, "content-length": "x"})
    assert wrong.status_code == 400


HOSTILE: list[Any] = [5, -1.5, True, None, "", " ", "\ud800", "\x00", "x" * (MOST_LETTERS_TYPED + 1), *NASTY[:2]]


@pytest.mark.parametrize("bad", HOSTILE, ids=lambda bad: repr(bad)[:20])
def test_whatever_is_typed_is_answered_in_words(visitor: Visitor, bad: Any) -> None:
    before = visitor.labels
    for event, inputs in {
        "ask": [None, bad, bad],
        "teach": [None, bad, bad, "an example", bad],
        "find": [None, bad],
        "load": [bad],
    }.items():
        answer = visitor.do(event, *inputs)
        assert "error" not in answer and len(json.dumps(answer)) < 100_000, (event, answer)
    if not isinstance(bad, str) or bad not in NASTY:
        assert visitor.labels == before


CLICKS: list[Any] = [
    *(5, "x", [], {}, {"other": "x"}, {"forget": "x"}, {"forget": None}, {"forget": -1}, {"forget": 1.5}),
    *({"forget": "9" * 400}, {"forget": 10**30}, {"forget": True}, {"forgetLabel": 5}, {"forgetLabel": None}),
    *({"forgetLabel": "nothing"}, {"forgetLabel": "x" * 9999}, {"forgetLabel": ""}, {"ask": 5}, {"ask": ["x"]}),
    *(
        {"ask": "x" * (MOST_LETTERS_TYPED + 1)},
        {"find": 5},
        {"find": {"a": 1}},
        {"find": "x" * (MOST_LETTERS_SENT + 1)},
    ),
    *({"ask": "\ud800"}, {"find": "\ud800"}, {"forgetLabel": "\ud800"}, None),
]


@pytest.mark.parametrize("clicked", CLICKS, ids=lambda clicked: repr(clicked)[:30])
def test_whatever_is_clicked_is_answered_in_words(visitor: Visitor, clicked: Any) -> None:
    before = visitor.labels
    answer = visitor.do("click", None, "", "", clicked=clicked)
    assert "error" not in answer and "mh-problem" in json.dumps(answer)
    assert len(json.dumps(answer)) < 100_000 and visitor.labels == before


def test_a_download_is_of_the_present_memory(visitor: Visitor, make: Make, tmp_path: Any) -> None:
    visitor.do("teach", None, "zebra quartz", "oncology", "an example", "")
    path = visitor.do("download", None)["data"][0]["path"]
    there = visitor.client.get(f"/gradio_api/file={path}")
    assert there.status_code == 200 and b"zebra quartz" in there.content
    assert there.headers["cache-control"] == "no-store"
    assert there.headers["content-disposition"] == 'attachment; filename="memory.safetensors"'
    (tmp_path / "memory.safetensors").write_bytes(there.content)
    other = make()
    other.load_memory(tmp_path)
    assert other.model.memory.labels == visitor.labels
    foreign = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert visitor.client.get(f"/gradio_api/file={path}", headers=foreign).status_code == 403
    assert visitor.client.head(f"/gradio_api/file={path}").headers["content-length"] == str(len(there.content))

    visitor.do("click", None, "", "", clicked={"forgetLabel": "oncology"})
    left = visitor.client.get(f"/gradio_api/file={path}")
    assert left.status_code == 200 and b"zebra" not in left.content and b"oncology" not in left.content
    for label in visitor.labels:
        visitor.page.classifier_of_test.forget(label=label)
    assert visitor.client.get(f"/gradio_api/file={path}").status_code == 404
    assert "nothing to download" in str(visitor.do("download", None))


def test_a_download_ends_with_its_session(visitor: Visitor) -> None:
    path = visitor.do("download", None)["data"][0]["path"]
    visitor.do("load", "")  # the page is loaded again: a new session
    visitor.do("ask", None, "my card", "")
    assert visitor.client.get(f"/gradio_api/file={path}").status_code == 404


def test_a_page_without_its_guard_gives_no_download(classifier: FewShotTextClassificationPipeline) -> None:
    import gradio
    from fastapi import FastAPI
    from starlette.middleware import Middleware
    from starlette.testclient import TestClient

    for middleware in ([], [Middleware(mann_hf.demo.PageGuard, page=None)]):
        page = mann_hf.demo.build_page(classifier, allowed_hosts=["mine.example"])
        if middleware:
            middleware[0].kwargs["page"] = page
        mounted = gradio.mount_gradio_app(FastAPI(), page, "/page", app_kwargs={"middleware": middleware})
        with TestClient(mounted, base_url="http://mine.example") as client:
            number = next(number for number, fn in page.fns.items() if fn.api_name == "download")
            body = {"data": [None], "fn_index": number, "session_hash": "s"}
            assert client.post("/page/gradio_api/queue/join", json=body).status_code == 200
            said = client.get("/page/gradio_api/queue/data?session_hash=s").text
            assert ("memory.safetensors" in said) == bool(middleware)
            assert ("runs without its guard" in said) != bool(middleware)
            evil = client.get("/page/config", headers={"host": "evil.example"})
            assert evil.status_code == (403 if middleware else 200)


@pytest.mark.parametrize("inputs", [[], ["x"], [None] * 4], ids=len)
def test_inputs_of_another_number_are_refused(visitor: Visitor, inputs: list[Any]) -> None:
    answer = visitor.client.post("/gradio_api/call/ask", json={"data": inputs})
    assert (answer.status_code, answer.json()["detail"]) == (422, f"This event takes 2 inputs, and {len(inputs)} came.")


@pytest.mark.parametrize("inputs", [[], ["x", "y"], [None] * 4], ids=len)
def test_an_event_called_by_its_number_takes_the_state_too(visitor: Visitor, inputs: list[Any]) -> None:
    answer = visitor.do("ask", *inputs)
    assert (answer.status_code, answer.json()["detail"]) == (422, f"This event takes 2 inputs, and {len(inputs)} came.")


@pytest.mark.parametrize("kind", ["nope", 5, True, ""])
def test_a_choice_that_is_none_is_refused(visitor: Visitor, kind: Any) -> None:
    for state in ([], [None]):
        answer = visitor.client.post("/gradio_api/call/teach", json={"data": [*state, "x", "l", kind, ""]})
        assert (answer.status_code, answer.json()["detail"]) == (422, f"The choices are {EXAMPLE!r}, {DESCRIPTION!r}.")


def test_no_page_of_this_machine_is_offered_as_one_to_allow(visitor: Visitor) -> None:
    answer = visitor.client.post(
        "/gradio_api/call/ask", json={"data": ["x", ""]}, headers={"origin": "http://127.0.0.1:1"}
    )
    assert answer.status_code == 403 and "allowed_hosts" not in answer.text


def test_there_are_no_websockets(visitor: Visitor) -> None:
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), visitor.client.websocket_connect("/gradio_api/queue/join"):
        pass


def test_no_more_than_so_many_are_answered_at_a_time(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_OPEN", 0)
    assert visitor.client.get("/config").status_code == 503


def test_answers_that_no_one_fetches_are_dropped(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MOST_WAITING", 3)
    queue = visitor.page._queue
    waiting = queue.pending_messages_per_session
    for _ in range(8):
        event = visitor.client.post("/gradio_api/call/ask", json={"data": [None, "my card", ""]}).json()["event_id"]
        while guard.sessions_at_work(queue):
            time.sleep(0.01)
    assert len(waiting) <= 4
    assert "Label" in visitor.client.get(f"/gradio_api/call/ask/{event}").text


def test_a_body_has_to_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST_SECONDS", 0.01)

    async def slow() -> Any:
        await asyncio.sleep(5)

    with pytest.raises(bodies.Refused, match="longer than"):
        asyncio.run(bodies.read_body(slow))


def test_of_what_is_refused_the_rest_is_thrown_away(classifier: FewShotTextClassificationPipeline) -> None:
    """A browser or program that is still sending can read why it was refused."""
    page = mann_hf.demo.build_page(classifier)
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": bytes(1000), "more_body": number < 9} for number in range(10)]

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append((message.get("status"), message.get("more_body"), len(parts)))

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/gradio_api/upload",
        "headers": [(b"host", b"localhost"), (b"content-length", b"10000")],
    }
    asyncio.run(mann_hf.demo.PageGuard(None, page)(scope, receive, send))
    assert sent == [(404, None, 10), (None, True, 10), (None, False, 0)]
