"""The fixtures that keep the tests hermetic do so."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import torch
from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from tests.conftest import TAKE_MINUTES


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80, 0, 0)])
@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_a_connection_off_this_machine_is_refused(
    address: tuple[object, ...], method: str, no_network: list[str]
) -> None:
    family = socket.AF_INET if len(address) == 2 else socket.AF_INET6
    with socket.socket(family) as client, pytest.raises(OSError, match="no network"):
        getattr(client, method)(address)
    assert len(no_network) == 1
    no_network.clear()


def test_a_name_is_not_looked_up(no_network: list[str]) -> None:
    with pytest.raises(OSError, match=r"example\.org"):
        socket.create_connection(("example.org", 80))
    assert no_network == ["example.org"]
    no_network.clear()


def test_this_machine_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass


def test_the_files_that_take_minutes_are_there() -> None:
    root = Path(__file__).parents[1]
    assert all((root / f"{name.replace('.', '/')}.py").is_file() for name in TAKE_MINUTES)


@pytest.mark.slow
def test_a_refusal_that_the_code_swallows_still_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import socket

        def test_copes():
            try:
                socket.create_connection(("example.org", 80))
            except OSError:
                pass
        """
    )
    # In a process of its own: the outer conftest has already patched the sockets of this one.
    outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    outcome.assert_outcomes(passed=1, errors=1)
    outcome.stdout.fnmatch_lines(["*tried to reach example.org*"])


def test_the_hub_is_offline_and_its_cache_empty(own_hub_cache: Path) -> None:
    assert constants.HF_HUB_OFFLINE
    assert list(own_hub_cache.iterdir()) == []
    assert not Path(constants.HF_HOME).is_relative_to(Path.home() / ".cache")
    with pytest.raises(LocalEntryNotFoundError):
        snapshot_download("some/model")


def test_a_process_started_by_a_test_sees_the_same_cache(own_hub_cache: Path) -> None:
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(own_hub_cache), "True"]


def test_no_token_reaches_a_test() -> None:
    assert not [name for name in os.environ if "TOKEN" in name and name.startswith(("HF_", "HUGGING"))]


def test_the_tiny_tokenizer_knows_every_ascii_text(tiny_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    text = "Where's my new CARD? " + " ".join(map(chr, range(32, 127))) + " Xylophone#42_zz"
    tokens = tokenizer.tokenize(text)
    assert tokenizer.unk_token not in tokens
    assert "card" in tokens
    assert "##y" in tokens


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_tiny_encoder_tells_texts_apart(
    pooling: str, tiny_encoder_model: PreTrainedModel, tiny_tokenizer: PreTrainedTokenizerBase
) -> None:
    inputs = tiny_tokenizer(["where is my card", "i want a refund", "abcdefg"], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = tiny_encoder_model(**inputs).last_hidden_state
    pooled = states.mean(1) if pooling == "mean" else states[:, 0]
    cosines = torch.nn.functional.cosine_similarity(pooled[:, None], pooled[None], dim=-1)
    assert cosines[~torch.eye(3, dtype=torch.bool)].max() < 0.9


def test_hypothesis_starts_each_example_from_the_same_random_tensor() -> None:
    drawn = []

    @hypothesis.given(st.integers())
    def draw(number: int) -> None:
        drawn.append(torch.rand(1).item())

    draw()
    assert len(drawn) > 1
    assert len(set(drawn)) == 1


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_gets_its_own_copy_of_the_encoder(attempt: int, tiny_encoder_model: PreTrainedModel) -> None:
    weight = tiny_encoder_model.get_parameter("embeddings.word_embeddings.weight")
    assert weight.std() > 0, "the change of the other test is still there"
    torch.nn.init.constant_(weight, 1.0)
