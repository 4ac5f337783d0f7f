"""Cards as people and the Hub read them."""

import dataclasses
import re
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from mann_hf.cards import (
    EvaluationResult,
    LabelFacts,
    MANNModelCardData,
    ModelFacts,
    TrainingData,
    TrainingRecord,
    memory_card,
    merged,
    model_card,
    results_file,
)
from mann_hf.cards.render import MEMORY_MARK, MODEL_MARK, MOST_LABELS
from mann_hf.controllers.kinds import IMAGE, TEXT, controller_of
from mann_hf.controllers.samples import SampleInputs
from mann_hf.targets.kinds import TARGETS, Regression
from tests.tones import ToneController

ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
FACTS = ModelFacts(
    place="me/my-intents",
    model_class="MANNForSequenceClassification",
    problem_type="single_label_classification",
    encoder=ENCODER,
    reading="logistic",
    controller=controller_of(TEXT),
    few_shot_task="few-shot-text-classification",
    settings={"capacity": 100},
    max_tokens=256,
    labels=(LabelFacts("card_arrival", 2, "where is my card?"), LabelFacts("lost_card", 0, None, "it was stolen")),
    entries=3,
    descriptions=1,
    inputs_kept=2,
    descriptions_kept=1,
    questions=(("where is my card?", "card_arrival"),),
    versions={"torch": "2.13.0"},
)
ALL_EXAMPLES: dict[str, Any] = {"descriptions": 0, "descriptions_kept": 0, "inputs_kept": 3}
LOADED_BY = f'mann_hf.MANNForSequenceClassification.from_encoder_pretrained("{ENCODER}")'


def rendered(said: MANNModelCardData | None = None, **changed: Any) -> Any:
    return ModelCard(model_card(dataclasses.replace(FACTS, **changed), said))


def section(card: Any, name: str) -> str:
    return card.text.split(f"## {name}\n")[1].split("\n## ")[0]


def blocks(card: Any, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", card.text, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


class TestModelCard:
    def test_metadata(self) -> None:
        data = rendered(MANNModelCardData(language="en", license="mit", tags=["bank"], datasets=["a/b"])).data.to_dict()
        assert data == {
            "base_model": ENCODER,
            "datasets": ["a/b"],
            "language": "en",
            "library_name": "mann_hf",
            "license": "mit",
            "pipeline_tag": "text-classification",
            "tags": ["few-shot-learning", "memory-augmented-neural-network", "bank"],
            "widget": [{"text": "where is my card?", "example_title": "card_arrival"}],
        }

    def test_how_to_load_it(self) -> None:
        card = rendered()
        assert card.text.lstrip().startswith(f"{MODEL_MARK}\n\n# my-intents\n")
        assert blocks(card, "") == ["pip install mann_hf\n", "mann-hf predict me/my-intents 'where is my card?'\n"]
        (python,) = blocks(card, "python")
        assert 'pipeline("few-shot-text-classification", model="me/my-intents")' in python
        assert 'clf("where is my card?")' in python and "remember" not in python
        compile(python, "card", "exec")

    def test_a_question_that_looks_like_an_option(self) -> None:
        card = rendered(questions=(("--help me", "a"),))
        assert blocks(card, "")[1] == "mann-hf predict me/my-intents -- '--help me'\n"

    def test_labels(self) -> None:
        assert section(rendered(), "Labels").strip().splitlines()[2:] == [
            "| `card_arrival` | 2 | where is my card? |",
            "| `lost_card` | 0 | it was stolen (its description) |",
        ]
        both = rendered(labels=(LabelFacts("a", 1, "text", "words"),))
        assert "| `a` | 1 | text (described) |" in both.text

    def test_many_labels(self) -> None:
        labels = tuple(LabelFacts(f"label_{number}", 1, "text") for number in range(MOST_LABELS + 7))
        shown = section(rendered(labels=labels), "Labels")
        assert shown.count("| `label_") == MOST_LABELS
        assert f"The first {MOST_LABELS} of {MOST_LABELS + 7}" in shown
        assert "The first" not in section(rendered(), "Labels")

    def test_nothing_taught(self) -> None:
        card = rendered(labels=(), entries=0, questions=())
        assert "clf.remember(" in blocks(card, "python")[0] and "This memory is empty" in card.text
        assert "## Labels" not in card.text and blocks(card, "") == ["pip install mann_hf\n"]
        assert "widget" not in card.data.to_dict() and "memory.json" not in card.text

    @pytest.mark.parametrize(
        "problem_type, label", [("multi_label_classification", '["refund"]'), ("regression", "0.9")]
    )
    def test_other_problems(self, problem_type: str, label: str) -> None:
        card = rendered(labels=(), entries=0, questions=(), problem_type=problem_type)
        compile(blocks(card, "python")[0], "card", "exec")
        assert label in blocks(card, "python")[0]
        assert "Every text gets one of the labels" not in card.text

    def test_a_regression_shows_examples(self) -> None:
        card = rendered(**ALL_EXAMPLES, labels=(), problem_type="regression", questions=(("it broke", "0.1"),))
        assert section(card, "Examples").strip() == "- it broke: 0.1" and "regression model" in card.text
        assert "their numbers" in card.text and "wrong number" in card.text
        assert not re.search("label|score", card.text)

    def test_what_is_not_known_is_left_out(self) -> None:
        card = rendered(encoder=None, max_tokens=None, settings={})
        assert "base_model" not in card.data.to_dict() and "a text encoder" in card.text
        assert "## Training" not in card.text and "## Evaluation" not in card.text
        assert "Texts are cut" not in card.text and "None" not in card.text

    def test_settings_limits_and_extra(self) -> None:
        card = rendered(MANNModelCardData(limits=["Not for animals."], description="Of *a* bank."), extra="peft")
        assert "| capacity | `100` |" in section(card, "Made of")
        assert "- Not for animals." in section(card, "Limits and bias") and "Of *a* bank." in card.text
        assert blocks(card, "")[0] == "pip install 'mann_hf[peft]'\n"
        assert "Texts are cut after 256 tokens." in card.text

    @pytest.mark.parametrize(
        "kept, said",
        [
            (
                2,
                "- The texts in the memory are stored as they were given, in `memory.safetensors` and `memory.json`",
            ),
            (1, "- Some texts in the memory (1 of 2) are stored as they were given, in `memory.safetensors` and"),
            (0, "- Of its examples the memory holds embeddings, not texts; an embedding still reveals"),
        ],
    )
    def test_how_many_texts_are_stored(self, kept: int, said: str) -> None:
        limits = section(rendered(inputs_kept=kept), "Limits and bias")
        assert said in limits and ("anyone who can read this repository can read them" in limits) == bool(kept)
        assert "What describes a label is stored as text" in limits
        assert "What describes" not in section(rendered(inputs_kept=kept, descriptions_kept=0), "Limits and bias")

    def test_texts_that_are_not_shown(self) -> None:
        card = rendered(inputs_kept=0, labels=(LabelFacts("a", 1),), questions=())
        assert "| `a` | 1 |  |" in card.text

    def test_descriptions_are_no_examples(self) -> None:
        assert "the 2 labelled texts and 1 description in the memory, of 2 labels" in rendered().text
        none = rendered(entries=1, inputs_kept=0)
        assert "the 1 description in the memory" in none.text and "Of its examples" not in none.text

    def test_training(self) -> None:
        training = TrainingRecord(
            data=[TrainingData("BANKING77", 50, 5000, "PolyAI/banking77"), TrainingData("own [texts]")],
            settings={"n_way": 5, "learning_rate": 1e-5},
            steps=100,
            episodes=400,
            best_step=50,
            seconds=700,
            energy_kwh=0.01234,
            hardware="CPU",
            versions={"torch": "2.6.0"},
        )
        card = rendered(MANNModelCardData(training=training))
        shown = section(card, "Training")
        assert "| [BANKING77](https://huggingface.co/datasets/PolyAI/banking77) | 50 | 5000 |" in shown
        assert "| own \\[texts\\] |  |  |" in shown
        assert "100 steps with 400 episodes, the weights after step 50 kept, in 12 minutes." in shown
        assert "Energy: 0.012 kWh, as codecarbon estimates it." in shown and "On CPU." in shown
        assert "| `learning_rate` | `1e-05` |" in shown
        assert card.data.datasets == ["PolyAI/banking77"]
        assert "torch 2.6.0" in card.text and "torch 2.13.0" not in card.text  # what it was trained with
        assert "trained further" in card.text

    def test_an_encoder_without_a_name_began_with_random_weights(self) -> None:
        training = MANNModelCardData(training=TrainingRecord(steps=1))
        assert (
            "an image encoder, trained from scratch, turns"
            in rendered(training, encoder=None, controller=controller_of(IMAGE)).text
        )
        assert "trained from scratch" not in rendered(encoder=None).text

    @pytest.mark.parametrize(
        "seconds, shown", [(89, "89 seconds"), (90, "2 minutes"), (5399, "90 minutes"), (5400, "1.5 hours")]
    )
    def test_time(self, seconds: int, shown: str) -> None:
        card = rendered(MANNModelCardData(training=TrainingRecord(steps=1, seconds=seconds)))
        assert f"1 step, in {shown}." in card.text

    def test_evaluation(self) -> None:
        results = [
            EvaluationResult("accuracy", 0.90123456, "BANKING77", "5-way", 0.00312, 0.8701, 600, "PolyAI/banking77"),
            EvaluationResult("unknown_auroc", 0.95, "own texts", dataset_split="test"),
        ]
        card = rendered(MANNModelCardData(results=results))
        assert section(card, "Evaluation").strip().splitlines() == [
            "| data | test | metric | value, 95 % interval | before training |",
            "| --- | --- | --- | ---: | ---: |",
            "| BANKING77 | 5-way, n = 600 | accuracy | 90.1 ± 0.3 % | 87.0 % |",
            "| own texts, test |  | AUROC of unknown texts | 0.95 |  |",
        ]
        first, second = card.data.eval_results
        assert (first.dataset_type, first.dataset_name) == ("PolyAI/banking77", "BANKING77")
        assert (first.metric_type, first.metric_value, first.metric_args) == ("accuracy", 0.9012, {"ci95": 0.0031})
        assert (second.metric_type, second.dataset_type, second.dataset_split) == ("roc_auc", "own-texts", "test")
        assert card.data.metrics == ["accuracy", "roc_auc"]
        assert {first.task_name, second.task_name} == {"Text classification"}  # what was asked is in the metric's name
        assert first.metric_name == "accuracy, 5-way"

    def test_an_interval_with_two_ends(self) -> None:
        result = EvaluationResult("accuracy", 1.0, "x", ends=[0.72247, 1.0], dataset_id="a/b")
        said = MANNModelCardData(results=[result])
        assert "| 100.0 (72.2 to 100.0) % |" in rendered(said).text
        assert rendered(said).data.eval_results[0].metric_args == {"ci95": [0.7225, 1.0]}
        assert "95 % interval 0.7225 to 1.0" in (results_file(said, "me/x", "text") or "")

    def test_small_figures(self) -> None:
        assert "| 2.13e-05 |" in rendered(MANNModelCardData(results=[EvaluationResult("mse", 0.0000213, "x")])).text

    def test_trained_more_than_once(self) -> None:
        earlier = TrainingRecord(data=[TrainingData("first"), TrainingData("other")], steps=1)
        said = MANNModelCardData(training=TrainingRecord(steps=2), earlier_training=[earlier])
        assert "Trained before on first, other, for 1 step." in section(rendered(said), "Training")

    def test_without_figures_from_before(self) -> None:
        card = rendered(MANNModelCardData(results=[EvaluationResult("accuracy", 0.9, "x")]))
        assert "before training" not in card.text


class TestOtherInputs:
    """Cards of models whose inputs are no texts."""

    IMAGES: dict[str, Any] = {
        "controller": controller_of(IMAGE),
        "few_shot_task": "few-shot-image-classification",
        "extra": "images",
        **ALL_EXAMPLES,
        "inputs_kept": 0,
        "can_reencode": False,
    }
    TONES: dict[str, Any] = {
        "controller": ToneController(),
        "few_shot_task": None,
        **ALL_EXAMPLES,
        "inputs_kept": 0,
        "can_reencode": False,
        "model_class": "MANNForClassification",
    }
    LABELS = (LabelFacts("cat", 2), LabelFacts("dog", 1))

    def test_images(self) -> None:
        card = rendered(**self.IMAGES, labels=self.LABELS, questions=(), max_tokens=None)
        assert card.data.pipeline_tag == "image-classification" and "widget" not in card.data.to_dict()
        assert "An image classifier with a memory you can edit" in card.text
        assert "turns images into embeddings" in card.text and "Images can be\nadded" in card.text
        assert blocks(card, "") == ["pip install 'mann_hf[images]'\n", "mann-hf predict me/my-intents photo.png\n"]
        (python,) = blocks(card, "python")
        assert 'pipeline("few-shot-image-classification", model="me/my-intents")\nclf("photo.png")' in python
        assert 'pipeline("image-classification")' in card.text and "| `cat` | 2 |\n| `dog` | 1 |" in card.text
        assert "holds embeddings, not images" in card.text
        assert not re.search(r"\b(?<!own )[Tt]exts?\b|blake2b|language", card.text)

    @pytest.mark.parametrize(
        "problem_type, taught",
        [
            ("single_label_classification", '["cat", "dog"]'),
            ("multi_label_classification", '[["cat"], ["dog"]]'),
            ("regression", "[0.1, 0.9]"),
        ],
    )
    def test_no_images_yet(self, problem_type: str, taught: str) -> None:
        card = rendered(**self.IMAGES, labels=(), entries=0, questions=(), max_tokens=None, problem_type=problem_type)
        (python,) = blocks(card, "python")
        compile(python, "card", "exec")
        assert f'.png"], {taught})' in python and "photo.png" in python
        assert not re.search(r"\b(?<!own )[Tt]exts?\b", card.text)

    def test_figures_of_images(self) -> None:
        said = MANNModelCardData(
            training=TrainingRecord(data=[TrainingData("Omniglot", 20, 400)], steps=1),
            results=[EvaluationResult("unknown_auroc", 0.9, "x", dataset_id="a/b")],
        )
        card = rendered(said, **self.IMAGES, labels=self.LABELS, questions=(), max_tokens=None)
        assert "| data | classes | images |" in card.text and "AUROC of unknown images" in card.text
        assert "An image encoder" not in card.text and not re.search(r"\b(?<!own )[Tt]exts?\b", card.text)
        (result,) = card.data.eval_results
        assert (result.task_type, result.task_name) == ("image-classification", "Image classification")
        assert "AUROC of unknown images" in (results_file(said, "me/x", "image") or "")

    def test_inputs_of_somebody_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ToneController, "task", None)
        card = rendered(**self.TONES, labels=self.LABELS, questions=(), max_tokens=None, encoder=None)
        assert "pipeline_tag" not in card.data.to_dict() and "a tone encoder turns tones into" in card.text
        (python,) = blocks(card, "python")
        compile(python, "card", "exec")
        assert "clf = mann_hf.FewShotPipeline(model=model)\nclf(tone)" in python
        assert blocks(card, "") == ["pip install mann_hf\n"] and "imported first" in card.text

    @pytest.mark.parametrize(
        "task, made",
        [
            (None, 'model = mann_hf.MANNForClassification.from_pretrained("me/my-intents")\nclf = mann_hf.FewShotPip'),
            ("few-shot-audio", 'clf = pipeline("few-shot-audio", model="me/my-intents")\nclf(tone)'),
        ],
    )
    def test_inputs_of_somebody_else_with_a_task_of_the_hub(self, task: str | None, made: str) -> None:
        facts = {**self.TONES, "few_shot_task": task}
        card = rendered(**facts, labels=self.LABELS, questions=(), max_tokens=None, encoder=None)
        (python,) = blocks(card, "python")
        compile(python, "card", "exec")
        assert made in python and "stock" not in card.text
        assert card.data.pipeline_tag == "audio-classification" and "imported first" in card.text
        assert "mann-hf predict" not in card.text  # the shell knows no tones

    def test_samples_of_somebody_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ToneController, "samples", SampleInputs("0 1 0 0", {"1 0 0 0": "low"}))
        monkeypatch.setattr(ToneController, "in_shell", True)
        known = rendered(**self.TONES, labels=self.LABELS, questions=(), max_tokens=None, encoder=None)
        assert blocks(known, "")[1] == "mann-hf predict me/my-intents '0 1 0 0'\n"
        empty = rendered(**self.TONES, labels=(), entries=0, questions=(), max_tokens=None, encoder=None)
        assert 'clf.remember(["1 0 0 0"], ["low"])\nclf("0 1 0 0")' in blocks(empty, "python")[0]

    def test_targets_of_somebody_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Counts(Regression):
            name = "counts"

        monkeypatch.setitem(TARGETS._parts, "counts", Counts)
        card = rendered(**ALL_EXAMPLES, labels=(), problem_type="counts", questions=(("it broke", "3"),))
        assert "A regression model" in card.text and "# a number, and" in card.text and "label" not in card.text

    def test_memories(self) -> None:
        facts = dataclasses.replace(FACTS, **self.IMAGES, labels=self.LABELS, questions=(), max_tokens=None)
        card = ModelCard(memory_card(facts, LOADED_BY))
        (python,) = blocks(card, "python")
        assert 'pipeline("few-shot-image-classification", model=model)\nclf("photo.png")' in python
        assert blocks(card, "") == ["pip install 'mann_hf[images]'\n"] and "3 labelled images of 2 labels" in card.text
        assert not re.search(r"\b(?<!own )[Tt]exts?\b|reencode", card.text)
        kept = memory_card(dataclasses.replace(facts, inputs_kept=3, can_reencode=True), LOADED_BY)
        assert "`reencode=True` computes its embeddings again from its images." in kept
        assert "- The images in the memory are stored as small PNGs, in `memory.safetensors`: anyone" in kept
        words = dataclasses.replace(facts, entries=1, descriptions=1, descriptions_kept=1, can_reencode=True)
        assert "computes its embeddings again from its descriptions." in memory_card(words, LOADED_BY)

    def test_descriptions_beside_images_are_shown(self) -> None:
        facts = {**self.IMAGES, "questions": (), "max_tokens": None, "descriptions": 1, "descriptions_kept": 1}
        card = rendered(**facts, labels=(LabelFacts("cat", 2), LabelFacts("dog", 0, None, "it *barks*")))
        assert section(card, "Labels").strip().splitlines() == [
            "| label | examples | description |",
            "| --- | ---: | --- |",
            "| `cat` | 2 |  |",
            "| `dog` | 0 | it \\*barks\\* |",
        ]
        assert "the 2 labelled images and 1 description in the memory" in card.text
        assert "What describes a label is stored as text" in card.text


class TestResultsFile:
    def test_what_the_hub_reads(self) -> None:
        said = MANNModelCardData(
            results=[
                EvaluationResult(
                    "accuracy",
                    0.90123456,
                    "BANKING77",
                    "5-way 1-shot",
                    0.003,
                    dataset_id="PolyAI/banking77",
                    dataset_revision="abc",
                    date="2026-11-27",
                ),
                EvaluationResult("accuracy", 0.5, "own texts"),  # of no data set on the Hub
            ]
        )
        assert yaml.safe_load(results_file(said, "me/my-intents", "text") or "") == [
            {
                "dataset": {"id": "PolyAI/banking77", "task_id": "5-way-1-shot-accuracy", "revision": "abc"},
                "value": 0.9012,
                "date": "2026-11-27",
                "source": {"url": "https://huggingface.co/me/my-intents", "name": "Model card"},
                "notes": "accuracy; 5-way 1-shot; 95 % interval ± 0.003",
            }
        ]
        assert "source" not in (results_file(said, "a-folder", "text") or "")

    def test_none(self) -> None:
        assert results_file(MANNModelCardData(results=[EvaluationResult("accuracy", 0.5, "x")]), "me/x", "text") is None


class TestMemoryCard:
    def test_it(self) -> None:
        card = ModelCard(memory_card(FACTS, LOADED_BY, MANNModelCardData(license="mit")))
        assert card.data.to_dict() == {
            "base_model": ENCODER,
            "library_name": "mann_hf",
            "license": "mit",
            "tags": ["few-shot-learning", "memory-augmented-neural-network", "memory"],
        }
        (python,) = blocks(card, "python")
        compile(python, "card", "exec")
        assert f'model = {LOADED_BY}\nmodel.load_memory("me/my-intents")\n' in python
        assert "| `card_arrival` | 2 |" in card.text and MEMORY_MARK in card.text

    def test_of_an_encoder_that_nobody_else_has(self) -> None:
        card = ModelCard(memory_card(FACTS, None))
        assert blocks(card, "python") == [] and '`model.load_memory("me/my-intents")`' in card.text

    def test_of_a_regression(self) -> None:
        changed: dict[str, Any] = {"problem_type": "regression", "labels": (), "questions": (("it broke", "0.1"),)}
        facts = dataclasses.replace(FACTS, **ALL_EXAMPLES, **changed)
        card = ModelCard(memory_card(facts, LOADED_BY))
        assert "- it broke: 0.1" in card.text and "3 texts with their numbers, as embeddings" in card.text
        assert "label" not in card.text


class TestMerged:
    CARD = model_card(FACTS)

    def test_none_before(self) -> None:
        assert merged(self.CARD, None) == self.CARD

    def test_one_of_ours(self) -> None:
        before = model_card(dataclasses.replace(FACTS, place="me/other"), MANNModelCardData(license="mit"))
        card: Any = ModelCard(merged(self.CARD, before) or "")
        assert "# my-intents" in card.text and "me/other" not in card.content
        assert card.data.license == "mit"

    def test_tags_of_ones_own_stay(self) -> None:
        before = self.CARD.replace("- few-shot-learning", "- few-shot-learning\n- mine")
        assert "mine" in ModelCard(merged(self.CARD, before) or "").data.to_dict()["tags"]

    def test_what_a_card_has_no_longer_goes(self) -> None:
        said = MANNModelCardData(datasets=["a/b"], results=[EvaluationResult("accuracy", 0.5, "x")])
        card: Any = ModelCard(merged(self.CARD, model_card(FACTS, said)) or "").data.to_dict()
        assert not card.keys() & {"datasets", "model-index", "metrics"}

    @pytest.mark.parametrize(
        "text", ["# Mine", "---\nlicense: mit\n---\n# Mine", "---\nno end", "text\n---\na: b\n---"]
    )
    def test_a_text_of_ones_own(self, text: str) -> None:
        assert merged(self.CARD, text) is None

    @pytest.mark.parametrize("metadata, license", [("license: mit", "mit"), ("[1", None), ("- a", None), ("", None)])
    def test_metadata_alone(self, metadata: str, license: str | None) -> None:
        card: Any = ModelCard(merged(self.CARD, f"---\n{metadata}\n---\n \n") or "")
        assert card.data.license == license and card.data.library_name == "mann_hf"

    def test_models_and_memories(self) -> None:
        memory = memory_card(FACTS, LOADED_BY)
        assert merged(memory, self.CARD) is None
        assert merged(memory, memory) is not None
        assert MODEL_MARK in (merged(self.CARD, memory) or "")
