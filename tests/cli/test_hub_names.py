import time
from pathlib import Path
from typing import Any

import datasets
import pytest
from huggingface_hub import constants

from mann_hf.cli.classifier import find_config
from mann_hf.cli.hub_names import check_on_hub
from mann_hf.cli.options import TableOptions
from mann_hf.cli.tables import read_table
from mann_hf.errors import InvalidInputError
from mann_hf.hub import probe
from tests.local_hub import hub

__all__ = ["hub"]

PATHS = {"model": "owner/name", "dataset": "datasets/owner/name"}


@pytest.fixture(autouse=True)
def _online(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)


def test_what_the_hub_has_passes(hub: Any) -> None:
    hub.repositories |= {"owner/name": {}, "datasets/banking77": {}}
    assert check_on_hub("owner/name", "model") is None
    assert check_on_hub("banking77", "dataset") is None
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize(("kind", "called"), [("model", "model"), ("dataset", "data set")])
def test_what_the_hub_does_not_give_is_refused(hub: Any, status: int, kind: Any, called: str) -> None:
    hub.refusals[PATHS[kind]] = (status, "" if status == 403 else "RepoNotFound")
    why = "access refused" if status == 403 else "it has no such repository"
    with pytest.raises(InvalidInputError, match=f"does not give the {called} 'owner/name': {why}.* helps: .*a token"):
        check_on_hub("owner/name", kind)
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_hub_out_of_reach_is_not_asked_again(hub: Any, kind: Any) -> None:
    hub.stop()
    refusal = check_on_hub("owner/name", kind)
    assert refusal is not None and "out of reach" in refusal.words
    assert constants.HF_HUB_OFFLINE
    assert datasets.config.HF_HUB_OFFLINE is (kind == "dataset")


@pytest.mark.parametrize("kind", ["model", "dataset"])
@pytest.mark.parametrize("how", ["slow", "busy"])
def test_a_slow_or_busy_hub_is_left_to_its_client(
    hub: Any, monkeypatch: pytest.MonkeyPatch, kind: Any, how: str
) -> None:
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.1)
    if how == "slow":
        hub.delay = 0.3
    else:
        hub.refusals[PATHS[kind]] = (503, "")
    assert check_on_hub("owner/name", kind) is None
    assert not constants.HF_HUB_OFFLINE and not datasets.config.HF_HUB_OFFLINE


def test_a_classifier_comes_from_a_slow_hub(hub: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probe, "PROBE_SECONDS", 0.1)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    hub.delay = 0.3
    hub.repositories["owner/name"] = {"config.json": b'{"model_type": "mann"}'}
    assert find_config("owner/name", on_hub=True) == {"model_type": "mann"}


def test_offline_the_hub_is_not_asked(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refusal = check_on_hub("owner/name", "model")
    assert refusal is not None and "HF_HUB_OFFLINE" in refusal.words and not hub.requests


def test_no_name_of_the_hub() -> None:
    with pytest.raises(InvalidInputError, match="'-a/b' is not a valid name of a model on the Hub"):
        check_on_hub("-a/b", "model")


def test_a_model_that_is_nowhere_is_told_with_the_cure(hub: Any) -> None:
    hub.stop()
    with pytest.raises(
        InvalidInputError, match="no folder 'me/model' and no such model in the Hub cache; the Hub: out"
    ):
        find_config("me/model", on_hub=True)


def test_what_no_repository_can_have_as_its_name_is_told_without_asking(hub: Any) -> None:
    started = time.monotonic()
    for place in ("nofolder", "a/b/c", "../elsewhere", "-a/b"):
        with pytest.raises(InvalidInputError, match=f"there is no folder '{place}'; `mann-hf remember"):
            find_config(place, on_hub=True)
    for source in ("missing.csv", "me/missing.parquet", "../elsewhere", "-a/b"):
        with pytest.raises(InvalidInputError, match=f"there is no file or folder '{source}'"):
            read_table(source, TableOptions(), "train")
    assert not hub.requests and time.monotonic() - started < 0.5
