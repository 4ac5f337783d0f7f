"""Folders that earlier releases wrote load, and answer as they did."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mann_hf.models import MANNForClassification
from mann_hf.pipelines import FewShotPipeline

FOLDERS = Path(__file__).parent / "data" / "folders_v1"
EXPECTED = json.loads((FOLDERS / "expected.json").read_text(encoding="utf-8"))
ANSWERS = EXPECTED["answers"]


def load(folder: Path) -> FewShotPipeline:
    return FewShotPipeline(model=MANNForClassification.from_pretrained(folder))


def questions(name: str) -> list[Any]:
    return [np.uint8(one) for one in EXPECTED["asked_images"]] if name == "images" else EXPECTED["asked"]


def numbers(answers: list[list[dict[str, Any]]]) -> Iterator[tuple[Any, list[float]]]:
    """What identifies each output and its evidence, and all numbers of it."""
    for answer in answers:
        for output in answer:
            behind = {each["id"]: each["weight"] for each in output["evidence"]}
            ids = sorted(behind)
            yield (output["label"], ids), [output["score"], output["rest"], *(behind[one] for one in ids)]


def check(classifier: FewShotPipeline, name: str) -> None:
    given = list(numbers(classifier(questions(name), top_k=None)))
    expected = list(numbers(ANSWERS[name]))
    assert [what for what, _ in given] == [what for what, _ in expected]
    for (_, found), (_, wanted) in zip(given, expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_folder_answers_as_its_writer_did(name: str) -> None:
    check(load(FOLDERS / name), name)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_folder_that_is_written_again_answers_the_same(name: str, tmp_path: Path) -> None:
    load(FOLDERS / name).save_pretrained(tmp_path)
    check(load(tmp_path), name)


@pytest.mark.parametrize("name", ANSWERS)
def test_a_memory_is_read_alone(name: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDERS / name, tmp_path, dirs_exist_ok=True)
    for file in tmp_path.glob("memory.*"):
        file.unlink()
    classifier = load(tmp_path)
    assert not len(classifier.model.memory)
    classifier.model.load_memory(FOLDERS / name)
    check(classifier, name)


def test_they_are_of_both_versions() -> None:
    versions = {name: json.loads((FOLDERS / name / "memory.json").read_bytes())["version"] for name in ANSWERS}
    assert versions == {"single_label": "1", "multi_label": "1", "regression": "1", "images": "2"}
