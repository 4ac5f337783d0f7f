"""What users import: the names, and when the Auto classes and `pipeline` come to know the models."""

import subprocess
import sys
from pathlib import Path

import pytest

import mann_hf

ROOT = Path(mann_hf.__file__).parents[1]


def test_only_public_names_are_listed() -> None:
    listed = {name for name in dir(mann_hf) if not (name.startswith("__") and name.endswith("__"))}
    assert {"MANNForSequenceClassification", "EpisodicTrainer", "demo", "cards", "training", "memory"} <= listed
    assert not [name for name in listed if name.startswith("_")]
    assert listed.isdisjoint({"Any", "TYPE_CHECKING", "importlib", "os", "sys", "cli", "registry"})
    assert all(getattr(mann_hf, name) is not None for name in dir(mann_hf))


def test_a_star_imports_every_public_name() -> None:
    names: dict[str, object] = {}
    exec("from mann_hf import *", names)
    assert set(mann_hf.__all__) <= names.keys()
    assert names["EpisodicTrainer"] is mann_hf.training.EpisodicTrainer


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'mann_hf' has no attribute 'Trainer'"):
        mann_hf.Trainer  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "original", "is_shell"),
    [
        (["/usr/bin/mann-hf", "--help"], ["python", "/usr/bin/mann-hf", "--help"], True),
        (["-m", "--help"], ["python", "-m", "mann_hf.cli", "--help"], True),
        (["-m"], ["python", "-X", "dev", "-m", "mann_hf.cli"], True),
        (["-m", "mann_hf.cli"], ["python", "-m", "pytest", "mann_hf.cli"], False),
        (["-m"], ["python", "-m"], False),
        (["-c", "mann-hf"], ["python", "-c", "import mann_hf", "mann-hf"], False),
        (["train.py", "-m", "mann_hf.cli"], ["python", "train.py", "-m", "mann_hf.cli"], False),
        (["mann-hf.py"], ["python", "mann-hf.py"], False),
        ([""], ["python"], False),
        ([], ["python"], False),
    ],
    ids=str,
)
def test_how_the_shell_command_is_told(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], original: list[str], is_shell: bool
) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "orig_argv", original)
    assert mann_hf._is_shell_command() == is_shell


LOADS = """
import json, multiprocessing, sys
{imports}

def answered(classifier, folder):
    from transformers import AutoConfig, AutoModelForSequenceClassification, pipeline
    again = pipeline("few-shot-text-classification", model=folder)
    assert type(AutoModelForSequenceClassification.from_pretrained(folder)) is type(again.model)
    assert AutoConfig.from_pretrained(folder).model_type == "mann"
    return [each("my card")[0]["label"] for each in (classifier, again)]

if __name__ == "__main__":
    encoder, folder = sys.argv[1:]
    model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained(encoder)
    classifier = transformers.pipeline("few-shot-text-classification", model=model)
    classifier.remember(["my card", "my money"], ["card", "money"])
    classifier.save_pretrained(folder)
    told = [answered(classifier, folder)]
    for method in {methods}:
        with multiprocessing.get_context(method).Pool(1) as pool:
            told.append(pool.apply(answered, (classifier, folder)))
    print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("imports", "methods"),
    [("import mann_hf, transformers", ["spawn"]), ("import transformers, mann_hf", ["fork"])],
)
def test_models_are_known_in_either_order_and_in_workers(
    tiny_encoder: Path, tmp_path: Path, imports: str, methods: list[str]
) -> None:
    if sys.platform != "linux":
        methods = [method for method in methods if method != "fork"]
    program = tmp_path / "program.py"
    program.write_text(LOADS.replace("{imports}", imports).replace("{methods}", repr(methods)))
    call = [sys.executable, str(program), str(tiny_encoder), str(tmp_path / "saved")]
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == str([["card", "card"]] * (1 + len(methods))).replace("'", '"')
