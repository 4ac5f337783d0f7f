"""Errors of readers, told as ours."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, normalizers
from transformers import pipeline, pipelines

from mann_hf.errors import FolderError, InvalidInputError
from mann_hf.hub.guard import UnloadedModel, as_folder_error, called_by_pipeline, naming_file
from mann_hf.models import MANNForSequenceClassification


@pytest.mark.parametrize(
    "error",
    [
        KeyError("model"),
        IndexError("list index out of range"),
        TypeError("unhashable type: 'dict'"),
        AttributeError("no attribute"),
        ValueError("no value"),
        ZeroDivisionError("division by zero"),
        AssertionError("Padding_idx must be within num_embeddings"),
        RecursionError("maximum recursion depth exceeded"),
        OverflowError("int too big to convert"),
        RuntimeError("size mismatch"),
        OSError("no file"),
        Exception("WordPiece error"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_names_place_file_and_cure(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(FolderError) as caught, as_folder_error(tmp_path, "config.json", {"dtype": None}):
        raise error
    told = str(caught.value)
    assert str(tmp_path) in told and "(config.json)" in told and "download or save the folder again" in told
    assert str(error.args[0]) in told and caught.value.file == "config.json" and caught.value.__cause__ is error
    assert isinstance(caught.value, OSError) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"_from_auto": True, "revision": "main", "use_safetensors": True, "dtype": None},
            r"wrong\. The file is damaged",
        ),
        ({"revision": "main", "key_mapping": 3}, r"wrong\. Try without key_mapping; if that fails, too, the file is"),
    ],
)
def test_names_the_arguments_that_may_be_to_blame(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(FolderError, match=said), as_folder_error(tmp_path, "config.json", given):
        raise RuntimeError("wrong")


def test_a_file_is_named_once_however_many_blocks_read_it(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInputError) as caught,
        naming_file(tmp_path, "config.json"),
        naming_file(None, "config.json"),
        naming_file(tmp_path, "config.json"),
    ):
        raise InvalidInputError("wrong")
    assert str(caught.value) == f"config.json in {str(tmp_path)!r}: wrong"


def test_a_panic_is_told(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer.normalizer = normalizers.Replace(Regex(r"^(([a-z ])+.)+[A-Z]([a-z])+$"), "")
    with pytest.raises(FolderError, match="PanicException"), as_folder_error(tmp_path, "tokenizer.json"):
        tokenizer.encode("where is my card " + "a" * 30)
    capfd.readouterr()  # what the panic prints


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        SystemExit(1),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ConnectionError("out of reach"),
        InvalidInputError("told already"),
        TypeError("__init__() got an unexpected keyword argument 'colour'"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_about_the_file_passes(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, as_folder_error(tmp_path, "config.json", {"colour": "red"}):
        raise error
    assert caught.value is error


def test_errors_of_the_hub_pass() -> None:
    with pytest.raises(OSError, match="no such repository") as caught, as_folder_error("someone/model", "config.json"):
        raise OSError("no such repository")
    assert not isinstance(caught.value, FolderError)


def test_a_refused_model_raises_at_the_first_look() -> None:
    model: Any = UnloadedModel(FolderError("damaged", "config.json"))
    for look in (
        lambda: isinstance(model, str),
        lambda: model.config,
        lambda: model.to("cpu"),
        lambda: setattr(model, "a", 1),
    ):
        with pytest.raises(FolderError, match="^damaged$"):
            look()


def test_pipelines_of_transformers_load_by_the_function_that_is_looked_for(
    tiny_classifier: Any, tiny_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inspect.isfunction(pipelines.base.load_model), "called_by_pipeline looks for its code among the callers"
    tiny_classifier().save_pretrained(tmp_path)
    tiny_tokenizer.save_pretrained(tmp_path)
    load, seen = MANNForSequenceClassification.from_pretrained.__func__, []  # type: ignore[attr-defined]

    def from_pretrained(kind: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(called_by_pipeline())
        return load(kind, *args, **kwargs)

    monkeypatch.setattr(MANNForSequenceClassification, "from_pretrained", classmethod(from_pretrained))
    tasks: Any = ("text-classification", "few-shot-text-classification")
    for task in tasks:
        pipeline(task, model=str(tmp_path))
    assert seen == [True, True]
    MANNForSequenceClassification.from_pretrained(tmp_path)
    assert seen == [True, True, False]
