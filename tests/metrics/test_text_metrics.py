"""The modules of `evaluate` for generated sequences, against the packages that compute them."""

import doctest
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import evaluate
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped]

import mann_hf
from mann_hf.errors import MissingExtraError

ROOT = Path(mann_hf.__file__).parents[1]
NAMES = ("chrf", "exact_match", "rouge", "sacrebleu")
SAID = ["the dog sees a cat", "a bird hears the dog", "nothing at all"]
RIGHT = ["the dog sees a cat", "the bird hears a dog", "the cat is blue"]
OTHER = ["a dog sees the cat", "a bird hears the dog", "there is nothing"]
every = pytest.mark.parametrize("name", NAMES)


def load(name: str) -> Any:
    """The module, with a cache file of its own: two of one name wait a second for each other."""
    return evaluate.load(str(ROOT / "mann_hf" / "metrics" / name), experiment_id=uuid4().hex)


def test_exact_match_is_of_whole_sequences() -> None:
    assert load("exact_match").compute(predictions=SAID, references=RIGHT) == {"exact_match": pytest.approx(1 / 3)}
    tokens = {"predictions": [[4, 5, 2], [4, 2], [4, 5]], "references": [[4, 5, 2, -100], [4, 5, 2], [4, 5, 6]]}
    assert load("exact_match").compute(**tokens) == {"exact_match": pytest.approx(1 / 3)}


def test_bleu_and_chrf_are_those_of_sacrebleu() -> None:
    bleu = load("sacrebleu").compute(predictions=SAID, references=RIGHT)
    assert bleu["bleu"] == pytest.approx(sacrebleu.corpus_bleu(SAID, [RIGHT]).score)
    assert "tok:13a" in bleu["bleu_signature"]
    chrf = load("chrf").compute(predictions=SAID, references=RIGHT)
    assert chrf["chrf"] == pytest.approx(sacrebleu.corpus_chrf(SAID, [RIGHT]).score)
    words = load("chrf").compute(predictions=SAID, references=RIGHT, word_order=2)
    assert words["chrf"] == pytest.approx(sacrebleu.corpus_chrf(SAID, [RIGHT], word_order=2).score)
    lower = load("sacrebleu").compute(predictions=[text.upper() for text in SAID], references=RIGHT, lowercase=True)
    assert lower["bleu"] == pytest.approx(bleu["bleu"])


@pytest.mark.parametrize("name", ["sacrebleu", "chrf"])
def test_several_references_count_as_sacrebleu_counts_them(name: str) -> None:
    scorer: Any = {"sacrebleu": sacrebleu.corpus_bleu, "chrf": sacrebleu.corpus_chrf}[name]
    figure = {"sacrebleu": "bleu"}.get(name, name)
    both = [list(pair) for pair in zip(RIGHT, OTHER, strict=True)]
    assert load(name).compute(predictions=SAID, references=both)[figure] == pytest.approx(
        scorer(SAID, [RIGHT, OTHER]).score
    )
    uneven = [[RIGHT[0]], both[1], both[2]]
    alone = load(name).compute(predictions=SAID, references=uneven)[figure]
    assert alone == pytest.approx(scorer(SAID, [RIGHT, [RIGHT[0], *OTHER[1:]]]).score)


def test_rouge_is_the_mean_of_rouge_score() -> None:
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    scorer = RougeScorer(kinds)
    scores = [scorer.score(right, said) for right, said in zip(RIGHT, SAID, strict=True)]
    expected = {kind: sum(score[kind].fmeasure for score in scores) / len(scores) for kind in kinds}
    assert load("rouge").compute(predictions=SAID, references=RIGHT) == pytest.approx(expected)
    best = load("rouge").compute(predictions=SAID, references=[[a, b] for a, b in zip(RIGHT, OTHER, strict=True)])
    assert best["rouge1"] > expected["rouge1"]
    endings = {"predictions": ["the dogs"], "references": ["the dog"]}
    assert load("rouge").compute(**endings, use_stemmer=True)["rouge1"] == 1
    assert load("rouge").compute(**endings)["rouge1"] == pytest.approx(0.5)


@every
def test_all_right_is_the_best_figure(name: str) -> None:
    found = load(name).compute(predictions=RIGHT, references=RIGHT)
    assert next(iter(found.values())) == pytest.approx(100 if name in ("sacrebleu", "chrf") else 1)


@every
def test_nothing_to_compare_is_an_error_that_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        load(name).compute(predictions=[], references=[])
    if name != "exact_match":
        with pytest.raises(ValueError, match=r"input 1 \(counted from 0\) has no reference"):
            load(name).compute(predictions=SAID[:2], references=[[RIGHT[0]], []])


@pytest.mark.parametrize(
    ("name", "package"), [("sacrebleu", "sacrebleu"), ("chrf", "sacrebleu"), ("rouge", "rouge_score")]
)
def test_without_its_package_the_extra_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = load(name)
    for module in [each for each in sys.modules if each.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"mann_hf\[metrics\]"):
        metric.compute(predictions=SAID, references=RIGHT)


@every
def test_batches_add_up(name: str) -> None:
    metric = load(name)
    for said, right in zip(SAID, RIGHT, strict=True):
        metric.add_batch(predictions=[said], references=[right])
    assert metric.compute() == load(name).compute(predictions=SAID, references=RIGHT)


@every
def test_examples_in_the_description_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # they load by a path from there
    examples = doctest.DocTestParser().get_doctest(
        load(name).inputs_description, {"evaluate": evaluate}, name, None, None
    )
    assert len(examples.examples) >= 2
    assert doctest.DocTestRunner().run(examples).failed == 0


@every
def test_it_says_what_it_is_and_what_it_gives(name: str) -> None:
    metric = load(name)
    assert metric.description.strip()
    for named in ("predictions", "references", *metric.compute(predictions=SAID, references=RIGHT)):
        assert f"{named}:" in metric.inputs_description
