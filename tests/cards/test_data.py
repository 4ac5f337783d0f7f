"""What a card says is kept as JSON, and checked where it comes from others."""

import json
import math

import pytest
from huggingface_hub.errors import StrictDataclassFieldValidationError

from mann_hf.cards import EvaluationResult, MANNModelCardData, TrainingData, TrainingRecord


def everything() -> MANNModelCardData:
    return MANNModelCardData(
        model_name="Intents",
        language=["en", "de"],
        license="mit",
        tags=["banking"],
        datasets=["PolyAI/banking77"],
        description="Of a bank.",
        limits=["Not for animals."],
        training=TrainingRecord(
            data=[TrainingData("BANKING77", 50, 5000, "PolyAI/banking77")],
            settings={"n_way": 5, "k_shot": "1 to 5", "label_names": False},
            steps=100,
            episodes=400,
            best_step=50,
            seconds=61.5,
            energy_kwh=0.01,
            hardware="CPU",
            versions={"torch": "2.13.0"},
        ),
        earlier_training=[TrainingRecord(steps=3)],
        results=[
            EvaluationResult("accuracy", 0.9, "BANKING77", "5-way", 0.01, 0.8, 600, "PolyAI/banking77", "test"),
            EvaluationResult("f1", 0.9, "BANKING77", ends=[0.8, 0.95], measured_by="me"),
        ],
    )


def test_there_and_back() -> None:
    assert MANNModelCardData.from_json(everything().to_json()) == everything()
    assert MANNModelCardData.from_json(MANNModelCardData().to_json()) == MANNModelCardData()


def test_what_is_not_said_is_not_written() -> None:
    assert MANNModelCardData().to_json() == "{}\n"
    said = MANNModelCardData(results=[EvaluationResult("accuracy", 0.0, "x")], training=TrainingRecord(steps=0))
    assert json.loads(said.to_json()) == {
        "training": {"steps": 0},
        "results": [{"metric": "accuracy", "value": 0.0, "dataset": "x"}],
    }


def test_dicts_do_for_results_and_data() -> None:
    said = MANNModelCardData(results=[{"metric": "accuracy", "value": 1, "dataset": "x"}])
    assert said.results == [EvaluationResult("accuracy", 1, "x")]
    assert TrainingRecord(data=[{"name": "x", "texts": 3}]).data == [TrainingData("x", texts=3)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        '{"license": 5}',
        '{"tags": "one"}',
        '{"tags": [{}]}',
        '{"limits": [3]}',
        '{"results": [{"metric": "accuracy"}]}',
        '{"results": [{"metric": "accuracy", "value": "high", "dataset": "x"}]}',
        '{"results": [{"metric": "accuracy", "value": NaN, "dataset": "x"}]}',
        '{"results": 3}',
        '{"results": [3]}',
        '{"training": []}',
        '{"training": {"steps": "many"}}',
        '{"training": {"data": [{"texts": 3}]}}',
        '{"training": {"versions": {"torch": 2}}}',
        "[" * 100_000,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        MANNModelCardData.from_json(text)


def test_what_a_later_release_adds_is_passed_over() -> None:
    assert MANNModelCardData.from_json('{"license": "mit", "colour": "blue"}') == MANNModelCardData(license="mit")


def test_a_wrong_type_is_refused_at_once() -> None:
    with pytest.raises(StrictDataclassFieldValidationError, match="license"):
        MANNModelCardData(license=3)  # type: ignore[arg-type]


def test_a_result_takes_the_place_of_its_like() -> None:
    said = everything()
    said.results = said.results[:1]
    said.add_result(EvaluationResult("accuracy", 0.95, "BANKING77", "5-way", dataset_split="test"))
    assert [result.value for result in said.results] == [0.95]
    said.add_result(EvaluationResult("accuracy", 0.7, "BANKING77", "10-way", dataset_split="test"))
    said.add_result(EvaluationResult("macro_f1", 0.6, "BANKING77", "5-way", dataset_split="test"))
    assert [result.value for result in said.results] == [0.95, 0.7, 0.6]
    assert math.isclose(sum(result.value for result in said.results), 2.25)


def test_what_measured_figures_replaces_its_own() -> None:
    own, theirs = EvaluationResult("accuracy", 0.1, "x"), EvaluationResult("f1", 0.2, "x", measured_by="run")
    said = MANNModelCardData(results=[own, theirs, EvaluationResult("f1", 0.3, "y", measured_by="run")])
    said.replace_results("run", [EvaluationResult("mse", 0.4, "x", measured_by="run")], "x")
    assert [result.value for result in said.results] == [0.1, 0.3, 0.4]
    said.replace_results("run", [])
    assert said.results == [own]
    for split, value in (("test", 0.5), ("valid", 0.6), ("test", 0.7)):
        figure = EvaluationResult("f1", value, "x", dataset_split=split, measured_by="run")
        said.replace_results("run", [figure], "x", split)
    assert [result.value for result in said.results] == [0.1, 0.6, 0.7]
