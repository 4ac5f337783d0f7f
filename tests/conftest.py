"""Keeps every test away from the network, the user's caches and the terminal; hands out an encoder, a hub and a killer.

The environment is set when this file is imported, as huggingface_hub reads its own once, on its first import. What
takes seconds to import waits for the fixtures: the process that only hands out tests to workers needs none of it.
"""

import atexit
import copy
import gc
import logging
import os
import random
import shutil
import signal
import socket
import string
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import torch
    from huggingface_hub import HfApi
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

    from mann_hf import MANNForSequenceClassification
    from tests.loopback_hub import LoopbackHub

SCRATCH = Path(tempfile.mkdtemp(prefix="mann_hf-tests-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

for name in list(os.environ):
    if name.startswith(("HF_", "HUGGING", "TRANSFORMERS_", "SENTENCE_TRANSFORMERS_")):
        del os.environ[name]
for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)
os.environ |= {
    "HF_HOME": str(SCRATCH / "huggingface"),
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TORCH_HOME": str(SCRATCH / "torch"),
    "XDG_CACHE_HOME": str(SCRATCH / "cache"),
    "TOKENIZERS_PARALLELISM": "false",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "COLUMNS": "120",
    "LINES": "40",
}
if "PYTEST_XDIST_WORKER" in os.environ:  # the workers are as many as the cores, or nearly
    os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis  # noqa: E402
import pytest  # noqa: E402

gc.set_threshold(50_000, 10, 10)  # each collection walks over the many objects of the libraries

# A machine under load is slow, not wrong; the same examples on every run, so that a failure is seen again.
hypothesis.settings.register_profile("mann_hf", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("mann_hf")


TAKE_MINUTES = {
    f"tests.{name}" for name in ("test_concurrent", "test_documentation", "test_fresh_environment", "test_fuzz_folders")
} | {"tests.training.test_killed", "tests.training.test_processes"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with what takes minutes, so that no worker waits in the end for another that has just begun with it."""
    items.sort(key=lambda item: getattr(getattr(item, "module", None), "__name__", "") not in TAKE_MINUTES)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Tells what tests have measured and recorded with `record_property`, those in workers too."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties if report.when == "call" else ():
            terminalreporter.write_line(f"{report.nodeid}: {name}: {value}")


class TorchRandom:
    """torch's own generator in the words of `random.Random`, for hypothesis to seed it before each example."""

    def seed(self, seed: int) -> None:
        import torch

        torch.manual_seed(seed)

    def getstate(self) -> "torch.Tensor":
        import torch

        return torch.get_rng_state()

    def setstate(self, state: "torch.Tensor") -> None:
        import torch

        torch.set_rng_state(state)


TORCH_RANDOM = TorchRandom()  # hypothesis keeps no reference of its own
hypothesis.register_random(TORCH_RANDOM)

WORDS = """
a account add am and app are balance bank bill can cancel card change charge code come deliver do for get has help how i
in is it last lost money month my new not number of on order out package password pay payment please refund reset send
since still stolen talk the there this time to transfer was what when where why with you your
""".split()  # noqa: SIM905


class NetworkRefused(OSError):
    """Raised in place of a connection that would leave this machine."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Refuses every connection but to this machine, and fails the test even where the code under test copes with it.

    Gives the list of what was refused: a test of just that coping looks at it and clears it.
    """
    refused: list[str] = []

    def refuse(target: object) -> NetworkRefused:
        refused.append(str(target))
        return NetworkRefused(f"Tests reach no network, and this one tried {target}.")

    def is_local(host: object) -> bool:
        host = host.decode() if isinstance(host, bytes) else host
        return host is None or host in {"", "localhost", "::1"} or (isinstance(host, str) and host.startswith("127."))

    def guarded(original: Any) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not is_local(address[0]):
                raise refuse(address)
            return original(self, address)

        return connect

    def getaddrinfo(host: Any, *args: Any, _original: Any = socket.getaddrinfo, **kwargs: Any) -> Any:
        if not is_local(host):
            raise refuse(host)
        return _original(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield refused
    if refused:
        pytest.fail(f"The test tried to reach {', '.join(dict.fromkeys(refused))}.")


@pytest.fixture(autouse=True)
def own_hub_cache(monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache for each test, seen by the processes that it starts too."""
    from huggingface_hub import constants

    cache = Path(tempfile.mkdtemp(prefix="hub-", dir=SCRATCH))
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture(scope="module", autouse=True)
def nothing_old_to_collect() -> None:
    """Spares collections of garbage the millions of objects of imported libraries: each training run asks for some."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk() -> Iterator[None]:
    """Spares each save the milliseconds until it is on the disk; what a killed process has written stays without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same random numbers for each test, in any order and choice of tests."""
    import torch

    random.seed(0)
    torch.manual_seed(0)


def build_tokenizer() -> "PreTrainedTokenizerFast":
    """A lower-casing WordPiece tokenizer that knows all printable ASCII: what is no word falls into characters."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    characters = string.ascii_lowercase + string.digits + string.punctuation
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = dict.fromkeys([*special, *characters, *(f"##{character}" for character in characters), *WORDS])
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")],
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, **dict(zip(names, special, strict=True))
    )


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT (2 layers, 32 units, 64 positions) and its tokenizer; to be read, not changed."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("tiny") / "encoder"
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # as much as 32 units bear: at the usual 0.02 the layers would hardly change their input
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(config)
        with torch.no_grad():  # so that the words outweigh their positions: texts of other words are told apart
            model.get_input_embeddings().weight.mul_(5)
        model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def _loaded_tiny_encoder(tiny_encoder: Path) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    from transformers import AutoModel, AutoTokenizer

    return AutoModel.from_pretrained(tiny_encoder).eval(), AutoTokenizer.from_pretrained(tiny_encoder)


@pytest.fixture
def tiny_encoder_model(_loaded_tiny_encoder: "tuple[PreTrainedModel, PreTrainedTokenizerBase]") -> "PreTrainedModel":
    """The model of `tiny_encoder` in eval mode, a copy for each test: it may be trained or changed."""
    return copy.deepcopy(_loaded_tiny_encoder[0])


@pytest.fixture
def tiny_tokenizer(
    _loaded_tiny_encoder: "tuple[PreTrainedModel, PreTrainedTokenizerBase]",
) -> "PreTrainedTokenizerBase":
    """The tokenizer of `tiny_encoder`, a copy for each test."""
    return copy.deepcopy(_loaded_tiny_encoder[1])


@pytest.fixture(scope="session")
def tiny_classifier(tiny_encoder: Path) -> "Callable[..., MANNForSequenceClassification]":
    """`MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, **kwargs)`, a copy for each call.

    Plain arguments that were given before load nothing again.
    """
    import torch

    from mann_hf import MANNForSequenceClassification

    loaded: dict[str, MANNForSequenceClassification] = {}

    def made(**kwargs: Any) -> MANNForSequenceClassification:
        if not all(isinstance(value, (str, int, float, torch.dtype, type(None))) for value in kwargs.values()):
            return MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, **kwargs)
        told = repr(sorted(kwargs.items()))
        if told not in loaded:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                loaded[told] = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, **kwargs)
        return copy.deepcopy(loaded[told])

    return made


@pytest.fixture
def hub() -> "Iterator[LoopbackHub]":
    """A hub on this machine with no repository yet; for a process of its own, add `hub.environment()` to its variables.

    `hub_api` reaches it from this process.
    """
    from tests.loopback_hub import LoopbackHub

    with LoopbackHub("hf_loopback") as hub:
        yield hub


@pytest.fixture
def hub_api(hub: "LoopbackHub", monkeypatch: pytest.MonkeyPatch) -> "HfApi":
    """The client of `hub` in this process, which is online for the test.

    Good for huggingface_hub alone: transformers keeps a client of its own, and needs a process with the environment.
    """
    from huggingface_hub import HfApi, constants, hf_api

    monkeypatch.setattr(hf_api.api, "endpoint", hub.url)  # what the functions outside HfApi use
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    return HfApi(endpoint=hub.url, token=hub.token)


@pytest.fixture
def no_energy_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares runs the second or two that codecarbon takes to start."""
    monkeypatch.setattr("mann_hf.training.record.find_spec", lambda name: None)


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares runs the half second that matplotlib takes to draw their curves: an empty file lies in their place."""
    monkeypatch.setattr("mann_hf.training.run.draw_curves", lambda history, file: file.touch())


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """What transformers and mann_hf have logged from warnings on."""
    from transformers.utils.logging import warning_once

    loggers = [logging.getLogger("transformers"), logging.getLogger("mann_hf")]
    warning_once.cache_clear()  # what it has said in another test
    for logger in loggers:
        # Where CI is set transformers' logger propagates, and pytest's handler of the root would hear each line again.
        monkeypatch.setattr(logger, "propagate", False)
        logger.addHandler(caplog.handler)
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    for logger in loggers:
        logger.removeHandler(caplog.handler)


CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "open"}


def kill_at(number: int, action: Callable[[], object], folder: Path) -> bool:
    """Runs an action in a child that is killed before its `number`-th change in `folder`; False if it got through."""
    child = os.fork()
    if child == 0:
        left = number

        def count(event: str, arguments: tuple) -> None:
            nonlocal left
            if event in CHANGES and arguments and str(folder) in str(arguments[0]) + str(arguments[1:2]):
                if event == "open" and not (isinstance(arguments[1], str) and set(arguments[1]) & set("wxa+")):
                    return
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        status = 1
        try:
            sys.addaudithook(count)
            action()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0, "the action failed in the child"
    return False


@pytest.fixture(scope="session")
def killed_at() -> Callable[[int, Callable[[], object], Path], bool]:
    """The function `kill_at` above."""
    return kill_at


@pytest.fixture(scope="session")
def elsewhere() -> "Callable[[Path], AbstractContextManager[None]]":
    """A context in which another process is the only writer of a folder."""

    @contextmanager
    def locked(folder: Path) -> Iterator[None]:
        from mann_hf.hub.folder_lock import only_writer

        here, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            with only_writer(folder):
                theirs.send(b"locked")
                theirs.recv(1)
            os._exit(0)
        assert here.recv(6) == b"locked"
        try:
            yield
        finally:
            here.send(b"x")
            os.waitpid(child, 0)
            here.close()
            theirs.close()

    return locked
