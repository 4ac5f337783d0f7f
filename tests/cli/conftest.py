"""The command as a test calls it, and a classifier's folder to call it on."""

import gc
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from mann_hf.cli import PROGRAM, app
from mann_hf.models import MANNForSequenceClassification
from mann_hf.pipelines import FewShotTextClassificationPipeline

EXAMPLES = {
    "my card is lost": "lost_card",
    "my card was stolen": "lost_card",
    "where is my new card": "card_arrival",
    "card still on order": "card_arrival",
    "please refund my money": "refund",
    "reset my password please": "password",
}


class Shell:
    """Runs the command in this process."""

    def __init__(self) -> None:
        self.stderr = ""

    def __call__(self, *arguments: object, given: str | bytes | None = None) -> str:
        """What a call that must succeed prints to standard output; `given` comes on standard input."""
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], given, prog_name=PROGRAM)
        self.stderr = result.stderr
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def json(self, *arguments: object, given: str | bytes | None = None) -> Any:
        """The one document on standard output."""
        return json.loads(self(*arguments, "--json", given=given))

    def fails(
        self, *arguments: object, status: int = 1, given: str | bytes | None = None, after: str | None = ""
    ) -> str:
        """The last line on standard error, after what a slow command says first, of a call that must fail.

        With `after=None` it may say anything first.
        """
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], given, prog_name=PROGRAM)
        assert (result.exit_code, result.stdout) == (status, "")
        error = result.stderr.splitlines(True)[-1] if after is None else result.stderr.removeprefix(after)
        assert error.count("\n") == 1 and error.startswith(f"{PROGRAM}"), result.stderr
        return error.strip()


@pytest.fixture(autouse=True)
def _collectable_again() -> Iterator[None]:
    """Undoes what the end of the command does to the objects of its process, which is that of the tests."""
    yield
    gc.unfreeze()


@pytest.fixture
def shell() -> Shell:
    return Shell()


@pytest.fixture(scope="session")
def _taught(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught") / "intents"
    model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    classifier = FewShotTextClassificationPipeline(model=model)
    classifier.remember(list(EXAMPLES), list(EXAMPLES.values()))
    classifier.save_pretrained(folder)
    return folder


@pytest.fixture
def taught(_taught: Path, tmp_path: Path) -> Path:
    """A folder that knows EXAMPLES, a copy for each test."""
    return Path(shutil.copytree(_taught, tmp_path / "intents"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Writes a file of that name and content and gives its path."""

    def file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return file


@pytest.fixture
def shots(write: Callable[[str, str | bytes], Path]) -> Path:
    """EXAMPLES as a csv file."""
    return write("shots.csv", "text,label\n" + "".join(f"{text},{label}\n" for text, label in EXAMPLES.items()))


def memory(folder: Path) -> dict[str, Any]:
    """The tensors of a saved memory, as lists."""
    return {name: tensor.tolist() for name, tensor in load_file(folder / "memory.safetensors").items()}


def files(folder: Path) -> dict[str, bytes]:
    """The content of every file in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
