"""What one request says of a repository; where an encoder or a model is then taken from: `test_resolve.py`."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants, get_hf_file_metadata

from mann_hf.hub import probe
from mann_hf.hub.probe import hub_refusal
from mann_hf.hub.source import Source

NAME = "me/model"


def test_one_short_request_of_a_kind(hub: Any, tiny_encoder: Path) -> None:
    hub.add(NAME, tiny_encoder)
    hub.repositories["datasets/me/table"] = {}
    assert hub_refusal(NAME) is None and hub_refusal("me/table", kind="dataset") is None
    asked = [(request["repo"], request["file"]) for request in hub.requests]
    assert asked == [(NAME, "config.json"), ("datasets/me/table", "README.md")]


@pytest.mark.parametrize(
    ("status", "words", "cure"),
    [
        (401, "access refused", "token"),
        (403, "access refused", "token"),
        (404, "no such repository or file", "check the spelling of the name and HF_ENDPOINT"),
        *((status, f"does not give the repository .*{status}", "check the name") for status in (400, 410, 451)),
    ],
)
def test_the_hub_says_no(hub: Any, status: int, words: str, cure: str) -> None:
    hub.refusals[NAME] = (status, "")
    refusal = hub_refusal(NAME)
    assert refusal is not None and not refusal.out_of_reach and not refusal.may_pass
    assert re.search(words, refusal.words) and cure in refusal.cure


def test_a_proxy_is_not_the_hub(hub: Any) -> None:
    hub.refusals[NAME] = (407, "")
    refusal = hub_refusal(NAME)
    assert refusal is not None and refusal.out_of_reach


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_may_answer_later(hub: Any, status: int) -> None:
    hub.refusals[NAME] = (status, "")
    refusal = hub_refusal(NAME)
    assert refusal is not None and refusal.out_of_reach and refusal.may_pass
    assert Source(NAME).why_not_to_be_had("config.json") is None, "its client tries on"


@pytest.mark.parametrize("by", ["the client", "ours"])
def test_a_slow_hub_may_answer_later(hub: Any, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.delay = 0.6
    if by == "ours":
        monkeypatch.setattr(probe, "PROBE_SECONDS", 0.2)
    else:

        def ask(url: str, token: Any, timeout: float) -> Any:
            return get_hf_file_metadata(url, token=token, timeout=0.2)

        monkeypatch.setattr(probe, "get_hf_file_metadata", ask)
    refusal = hub_refusal(NAME)
    assert refusal is not None and refusal.out_of_reach and refusal.may_pass


def test_no_hub(hub: Any) -> None:
    hub.stop()
    refusal = hub_refusal(NAME)
    assert refusal is not None and refusal.out_of_reach and not refusal.may_pass
    assert Source(NAME).why_not_to_be_had("config.json") == refusal


def test_offline_nothing_is_asked(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Source(NAME, local_files_only=True).why_not_to_be_had("config.json") == probe.NOT_ASKED
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    started = time.monotonic()
    assert hub_refusal(NAME) == Source(NAME).why_not_to_be_had("config.json") == probe.NOT_ASKED
    assert time.monotonic() - started < 0.1 and not hub.requests
