"""Cards of models and memories of pairs."""

import dataclasses
from typing import Any

import pytest
from huggingface_hub import ModelCard

from mann_hf.cards import EvaluationResult, MANNModelCardData, PairFacts, TrainingRecord, memory_card, model_card
from mann_hf.controllers.kinds import TEXT, controller_of

FACTS = PairFacts(
    place="me/my-translator",
    model_class="MANNForConditionalGeneration",
    encoder="google-t5/t5-small",
    controller=controller_of(TEXT),
    settings={"neighbours": 8},
    entries=2,
    kind="token",
    interpolation=0.5,
    pipeline_task="memory-augmented-generation",
    tokens=17,
    pairs=(("ein *Haus*", "a house"), ("der Hund", "the dog")),
    max_source=512,
    versions={"torch": "2.13.0"},
)


def rendered(said: MANNModelCardData | None = None, **changed: Any) -> Any:
    return ModelCard(model_card(dataclasses.replace(FACTS, **changed), said))


def test_a_taught_model_says_what_it_holds_and_how_it_is_asked() -> None:
    card = rendered()
    assert "holds 2 pairs (17 target tokens) of source and target" in card.text
    assert 'pipeline("memory-augmented-generation", model="me/my-translator")' in card.text
    assert 'generator("ein *Haus*")' in card.text and "generator.remember([" not in card.text
    assert "| ein \\*Haus\\* | a house |" in card.text
    assert "| share of the memory (λ) | `0.5` |" in card.text and "| neighbours | `8` |" in card.text
    assert "cut after 512 tokens" in card.text and "Targets are cut" not in card.text
    assert "stored as text" in card.text
    assert card.data.library_name == "mann_hf" and card.data.base_model == "google-t5/t5-small"
    assert card.data.to_dict()["widget"][0] == {"text": "ein *Haus*", "example_title": "a house"}


def test_an_empty_one_shows_how_it_is_taught() -> None:
    card = rendered(entries=0, tokens=0, pairs=(), encoder=None)
    assert 'generator.remember(["a source"]' in card.text and "## Examples" not in card.text
    assert "stored as text" not in card.text and "| wrapped model | in this repository |" in card.text


def test_the_code_of_a_card_can_be_read_by_python() -> None:
    for changed in ({}, {"pipeline_task": None}, {"pairs": (('say "hi"', "hallo"),)}, {"entries": 0, "pairs": ()}):
        code = rendered(**changed).text.split("```python\n")[1].split("```")[0]
        compile(code, "card", "exec")
        assert code.startswith("import mann_hf\n") and "\n\n\n" not in code


@pytest.mark.parametrize("kind, words", [("token", "kNN-MT"), ("example", "its decoder attends to what")])
def test_kinds_are_told_apart(kind: str, words: str) -> None:
    assert words in rendered(kind=kind).text


def test_training_and_figures_are_told() -> None:
    said = MANNModelCardData(
        training=TrainingRecord(steps=20, settings={"learning_rate": 0.1}),
        results=[EvaluationResult("exact_match", 0.995, "SCAN", "add jump")],
    )
    card = rendered(said)
    assert "generates the targets of some pairs of a task from a memory of the others" in card.text
    assert "20 steps" in card.text and "| SCAN | add jump | exact match |" in card.text


def test_a_memory_by_itself() -> None:
    card = memory_card(FACTS, 'mann_hf.M.from_pretrained("me/model")')
    assert 'model = mann_hf.M.from_pretrained("me/model")\nmodel.load_memory("me/my-translator")' in card
    assert "`reencode=True` computes" in card and "| der Hund | the dog |" in card
    told = memory_card(dataclasses.replace(FACTS, can_reencode=False, pairs=()), None)
    assert "Load it into the model that wrote it" in told and "reencode=True" not in told
    assert "the tokens of their targets are" in told


def test_what_strangers_wrote_stays_text() -> None:
    text = "<script>x</script> | ![](http://a.b/c)"
    shown = rendered(pairs=((text, text),)).text.split("## Examples")[1]
    assert "<script>" not in shown and "![](" not in shown
