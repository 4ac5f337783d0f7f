import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import datasets
import pytest
from huggingface_hub import close_session, constants

from mann_hf.cli.hub_names import check_on_hub
from mann_hf.errors import InvalidInputError


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """A Hub on this machine: the status that it gives for each path, 404 for any other."""
    answers: dict[str, int] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = answers.get(self.path, 404)
            content = json.dumps({"id": self.path, "siblings": []}).encode()
            self.send_response(status)
            if status in (401, 404):
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    close_session()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield answers
    server.shutdown()
    server.server_close()
    close_session()


def test_what_the_hub_has_passes(hub: dict[str, int]) -> None:
    hub |= {"/api/models/owner/name": 200, "/api/datasets/banking77": 200}
    check_on_hub("owner/name", "model")
    check_on_hub("banking77", "dataset")
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize(("kind", "called"), [("model", "model"), ("dataset", "data set")])
def test_what_the_hub_does_not_give_is_refused(hub: dict[str, int], status: int, kind: Any, called: str) -> None:
    hub[f"/api/{kind}s/owner/name"] = status
    with pytest.raises(
        InvalidInputError, match=rf"has no {called} 'owner/name' for you \({status}\): check the spelling"
    ):
        check_on_hub("owner/name", kind)
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("kind", ["model", "dataset"])
@pytest.mark.parametrize("how", ["nobody answers", "the Hub is ill"])
def test_a_hub_out_of_reach_is_not_asked_again(
    hub: dict[str, int], kind: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub[f"/api/{kind}s/owner/name"] = 503
    if how == "nobody answers":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    check_on_hub("owner/name", kind)
    assert constants.HF_HUB_OFFLINE
    assert datasets.config.HF_HUB_OFFLINE is (kind == "dataset")


def test_offline_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    check_on_hub("owner/name", "model")
    assert constants.HF_HUB_OFFLINE


def test_no_name_of_the_hub() -> None:
    with pytest.raises(InvalidInputError, match="'-a/b' is not a valid name of a model on the Hub"):
        check_on_hub("-a/b", "model")
