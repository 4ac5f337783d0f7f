"""Words that training never saw, taught by a few remembered pairs; how much the memory counts is chosen on others."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mann_hf.episodes import Pair, TaskSampler
from tasks.common.from_scratch import text_scores, with_memory
from tasks.common.recipes import Seq2SeqRecipe
from tasks.common.seq2seq import generated, remembered, train_over_episodes

from .data import HeldOutWord, words

METRICS = ("sacrebleu", "chrf")
LONGEST = 80
SEARCHES = {"beam": {"num_beams": 4}, "greedy": {"num_beams": 1}}
TEACH = (1, 2, 3, 4, 5)
SHARES = (0.1, 0.2, 0.3)
SHARPNESSES = (10.0, 30.0)
PREDICTED = ("adaptive", "robust")
"""The λ, β and predictions of λ among which the choice is."""
ALLOWED = 0.3
"""BLEU of the validation part that what is chosen may lose by."""
SEARCHED = ("model.neighbours=null", "model.source_weight=0")
"""The memory is searched as a whole, by the decoder's state alone: a word's pairs need not be like the source."""
PREDICTING: dict[str, Any] = {
    "max_steps": 1000,
    "episodes_per_step": 1,
    "learning_rate": 0.01,
    "lr_scheduler_type": "cosine",
    "weight_decay": 0.0,
    "trainable": "memory",
    "logging_steps": 100,
}
"""How a predicted λ is trained."""
FEWEST_WORDS = 5
"""Words that the support of its episodes teaches at least, so that it learns what to do with memories of any size."""
N_TAUGHT, N_OTHERS = 8, 56
"""Queries of its episodes with a word that the support teaches, and others, of the validation part."""


def measure_words(
    recipe: Seq2SeqRecipe,
    folder: Path,
    held: Sequence[HeldOutWord],
    known: Sequence[HeldOutWord],
    valid: Sequence[Pair],
    tests: Sequence[Pair],
    seed: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """How often held-out words are produced before and after teaching, and what else changes.

    Args:
        recipe: of the model.
        folder: of the model.
        held: the words that are asked.
        known: other held-out words, on which λ is chosen or learned.
        valid: pairs for validation.
        tests: pairs of the test part.
        seed: of what a predicted λ is trained on.
        say: called with a line about what goes on.

    Returns:
        `mixtures`: for a `fixed` λ and a `predicted` one what was `chosen`, what was `tried`, and `words`: by the
        number of pairs taught, 0 for none, and by search the `figures`.
    """
    found: dict[str, Any] = {}
    for kind, make in (("predicted", predicting_model), ("fixed", fixed_model)):
        model, tokenizer, chosen, tried = make(recipe, folder, known, valid, seed, say)
        by_count: dict[str, Any] = {}
        for count in (0, *TEACH) if kind == "fixed" else TEACH:
            by_count[str(count)] = {
                name: figures(model, tokenizer, held, count, tests, **search) for name, search in SEARCHES.items()
            }
            say(f"{kind}, {count} pairs a word: {by_count[str(count)]}")
        found[kind] = {"chosen": chosen, "tried": tried, "words": by_count}
    asked = sum(len(word.asked) for word in held)
    return {"mixtures": found, "held_out": len(held), "asked": asked, "known": len(known)}


def figures(
    model: Any, tokenizer: Any, held: Sequence[HeldOutWord], count: int, others: Sequence[Pair], **search: Any
) -> dict[str, Any]:
    """What a model says when each word is taught by so many pairs, all words together in one memory.

    Args:
        model: with an empty memory, which it has again afterwards.
        tokenizer: of the model.
        held: the words.
        count: pairs of each that are remembered.
        others: pairs that are translated with the same memory.
        search: settings of `generate`.

    Returns:
        The share of the asked captions of which the word's translation is in the answer (`accuracy`, in percent), BLEU
        of these captions with the word itself masked in answer and reference (`bleu_of_others`), BLEU and chrF of the
        other pairs (`test`), and `pairs_stored`.
    """
    asked = [(word.target, pair) for word in held for pair in word.asked]
    lessons = [pair for word in held for pair in word.taught[:count]]
    settings = {"max_new_tokens": LONGEST, **search}
    with remembered(model, tokenizer, lessons):
        answers = generated(model, tokenizer, [pair.source for _, pair in asked], **settings)
        test = scores(model, tokenizer, others, settings)
    said = [word in words(answer) for (word, _), answer in zip(asked, answers, strict=True)]
    rest = [masked(answer, word) for (word, _), answer in zip(asked, answers, strict=True)]
    right = [masked(pair.target, word) for word, pair in asked]
    return {
        "accuracy": 100 * sum(said) / len(said),
        "bleu_of_others": text_scores(rest, right, ("sacrebleu",))["bleu"],
        "test": test,
        "pairs_stored": len(set(lessons)),
    }


def scores(model: Any, tokenizer: Any, pairs: Sequence[Pair], settings: dict[str, Any]) -> dict[str, float]:
    """BLEU and chrF of what a model generates for pairs."""
    sources, targets = map(list, zip(*pairs, strict=True))
    return text_scores(generated(model, tokenizer, sources, **settings), targets, METRICS)


def masked(text: str, word: str) -> str:
    """A text with a mark in place of a word."""
    return " ".join("_" if words(each) == {word} else each for each in text.split())


def fixed_model(
    recipe: Seq2SeqRecipe, folder: Path, known: Sequence[HeldOutWord], valid: Sequence[Pair], seed: int,
    say: Callable[[str], None],
) -> tuple[Any, Any, dict[str, Any], list[dict[str, Any]]]:  # fmt: skip
    """A model with that λ and β by which words are produced most often, others being kept.

    Returns:
        The model, its tokenizer, what was chosen and what was tried.
    """
    model, tokenizer = with_memory(folder, recipe.changed(SEARCHED))
    before = _validated(model, tokenizer, known, valid, counts=(0,))
    tried = []
    for share, sharpness in itertools.product(SHARES, SHARPNESSES):
        chosen = {"interpolation": share, "sharpness": sharpness}
        model.set_interpolation(share, sharpness)
        tried.append(chosen | _against(before, _validated(model, tokenizer, known, valid)))
        say(f"λ fixed: {tried[-1]}")
    best = max(tried, key=_worth)
    model.set_interpolation(best["interpolation"], best["sharpness"])
    return model, tokenizer, best, tried


def predicting_model(
    recipe: Seq2SeqRecipe, folder: Path, known: Sequence[HeldOutWord], valid: Sequence[Pair], seed: int,
    say: Callable[[str], None],
) -> tuple[Any, Any, dict[str, Any], list[dict[str, Any]]]:  # fmt: skip
    """A model whose λ is predicted, trained over episodes that teach some held-out words and ask them and others.

    Returns:
        The model, its tokenizer, what was chosen and what was tried.
    """
    tried, models, before = [], [], None
    for kind in PREDICTED:
        own = recipe.changed([*SEARCHED, f"model.interpolation={kind}"])
        model, tokenizer = with_memory(folder, own)
        before = before or _validated(model, tokenizer, known, valid, counts=(0,))
        sampler = TaskSampler(EpisodeMaker(known, valid), name="held-out words", seed=seed)
        trained = train_over_episodes(model, tokenizer, replace(own, run=PREDICTING), sampler, seed, say)
        chosen = {"interpolation": kind, "trained": trained}
        tried.append(chosen | _against(before, _validated(model, tokenizer, known, valid)))
        models.append(model)
        say(f"λ predicted: {tried[-1]}")
    best = max(range(len(tried)), key=lambda place: _worth(tried[place]))
    return models[best], tokenizer, tried[best], tried


class EpisodeMaker:
    """Episodes in which some words are taught by one to five pairs each, and asked among captions without them.

    Args:
        known: held-out words.
        valid: captions of which the model saw none in training.
    """

    def __init__(self, known: Sequence[HeldOutWord], valid: Sequence[Pair]) -> None:
        self.pairs = [[*word.taught, *word.asked] for word in known]
        self.valid = list(valid)

    def __call__(self, random: np.random.Generator) -> tuple[list[Pair], list[Pair]]:
        """The support and the queries of an episode."""
        count = int(random.integers(1, max(TEACH) + 1))
        support, asked = [], []
        fewest = min(FEWEST_WORDS, len(self.pairs))
        for word in random.permutation(len(self.pairs))[: int(random.integers(fewest, len(self.pairs) + 1))]:
            pairs = self.pairs[word]
            order = random.permutation(len(pairs))
            support += [pairs[row] for row in order[:count]]
            asked += [pairs[row] for row in order[count:]]
        query = [asked[row] for row in random.permutation(len(asked))[:N_TAUGHT]]
        query += [self.valid[row] for row in random.permutation(len(self.valid))[:N_OTHERS]]
        return support, query


def _validated(
    model: Any, tokenizer: Any, known: Sequence[HeldOutWord], valid: Sequence[Pair], counts: Sequence[int] | None = None
) -> dict[str, float]:
    """Means over numbers of pairs: every second of `TEACH`, by default."""
    counts = TEACH[::2] if counts is None else counts
    found = [figures(model, tokenizer, known, count, valid, num_beams=1) for count in counts]
    return {
        "accuracy": float(np.mean([each["accuracy"] for each in found])),
        "bleu_of_others": float(np.mean([each["bleu_of_others"] for each in found])),
        "bleu": float(np.mean([each["test"]["bleu"] for each in found])),
    }


def _against(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What is better or worse than with an empty memory."""
    return {name: after[name] - before[name] for name in before}


def _worth(tried: dict[str, Any]) -> tuple[bool, float]:
    """By which what is tried is compared: accuracy, unless other words lose too much."""
    lost = -min(tried["bleu"], tried["bleu_of_others"])
    return lost <= ALLOWED, tried["accuracy"] if lost <= ALLOWED else -lost
