"""Trains a small model from scratch on Multi30k, then measures it alone and with a memory of tokens.

    python -m tasks.translation.train --data FOLDER --model FOLDER --output tasks/translation/results/whole-seed-0.json
    python -m tasks.translation.train --data FOLDER --model FOLDER --held-out 50 --output FILE

The first trains on all pairs and asks the test part, alone and with the training pairs in memory, λ and β chosen on the
validation part. With `--held-out` all pairs with some rare words are left out of training; the words are taught by one
to five remembered pairs, and asked in others. A model that is in its folder already is not trained again.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mann_hf.episodes import Pair
from tasks.common.files import versions, write
from tasks.common.from_scratch import choose_mixture, text_scores, train_from_scratch, with_memory
from tasks.common.machine import processor
from tasks.common.recipes import Seq2SeqRecipe
from tasks.common.seq2seq import generated, remembered

from .data import LANGUAGES, HeldOutWord, hold_out, load, words

RECIPE = Path(__file__).with_name("recipes") / "marian-small.yaml"
TRAINED = "trained.json"
METRICS = ("sacrebleu", "chrf")
TEST, VALIDATION = "test_2016_flickr", "val"
LONGEST = 80
BEAMS = 4
CHOSEN_ON = 300
"""Validation pairs on which λ and β are chosen."""
TEACH = (1, 2, 3, 4, 5)
TAUGHT_MIXTURE = {"interpolation": 0.5, "sharpness": 30.0}
"""λ and β where a few pairs are taught; they are not tuned on what is asked."""


def trained_model(
    recipe: Seq2SeqRecipe, pairs: Sequence[Pair], languages: str, folder: Path, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Trains a model into a folder, unless it is there; returns what training took.

    Raises:
        SystemExit: the folder holds a model of other settings, languages or pairs.
    """
    digest = hashlib.sha256(json.dumps(list(pairs)).encode()).hexdigest()
    data = {"languages": languages, "pairs": len(pairs), "digest": digest}
    settings = json.loads(json.dumps({"recipe": recipe.settings, "seed": seed, **data}))
    note = folder / TRAINED
    if note.is_file():
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["settings"] != settings:
            sys.exit(f"{folder} holds a model of other settings: remove it, or choose another --model.")
        return known["trained"]
    trained = train_from_scratch(recipe, pairs, folder, seed, say)
    write(note, {"trained": trained}, settings=settings)
    return trained


def measure_whole(
    recipe: Seq2SeqRecipe, folder: Path, train: Sequence[Pair], valid: Sequence[Pair], tests: Sequence[Pair],
    say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """The test part alone, and with the training pairs in memory."""
    model, tokenizer = with_memory(folder, recipe)
    settings = {"max_new_tokens": LONGEST, "num_beams": BEAMS}
    figures: dict[str, Any] = {"alone": _figures(model, tokenizer, tests, settings)}
    say(f"alone: {figures['alone']}")
    with remembered(model, tokenizer, train):
        tuned = choose_mixture(model, tokenizer, valid[:CHOSEN_ON], say, max_new_tokens=LONGEST)
        figures["memory"] = _figures(model, tokenizer, tests, settings)
    say(f"with the training pairs in memory: {figures['memory']}")
    return {**figures, "mixture": tuned, "tests": len(tests), "pairs_stored": len(train)}


def measure_words(
    recipe: Seq2SeqRecipe, folder: Path, held: Sequence[HeldOutWord], tests: Sequence[Pair], say: Callable[[str], None]
) -> dict[str, Any]:
    """How often held-out words are produced before and after teaching, and what else changes.

    Returns:
        `words`: by the number of pairs taught, 0 for none, the share of the asked captions of which the word's
        translation is in the answer (`accuracy`, in percent), BLEU of these captions with the word itself masked in
        answer and reference (`bleu_of_others`), and BLEU and chrF of the test part with all words taught (`test`).
    """
    model, tokenizer = with_memory(folder, recipe)
    model.set_interpolation(TAUGHT_MIXTURE["interpolation"], TAUGHT_MIXTURE["sharpness"])
    settings = {"max_new_tokens": LONGEST, "num_beams": BEAMS}
    asked = [(word, pair) for word in held for pair in word.asked]
    references = [_masked(pair.target, word.target) for word, pair in asked]
    by_count: dict[str, Any] = {}
    for count in (0, *TEACH):
        lessons = [pair for word in held for pair in word.taught[:count]]
        with remembered(model, tokenizer, lessons):
            answers = generated(model, tokenizer, [pair.source for _, pair in asked], **settings)
            test = _figures(model, tokenizer, tests, settings)
        said = [word.target in words(answer) for (word, _), answer in zip(asked, answers, strict=True)]
        others = [_masked(answer, word.target) for (word, _), answer in zip(asked, answers, strict=True)]
        by_count[str(count)] = {
            "accuracy": 100 * sum(said) / len(said),
            "bleu_of_others": text_scores(others, references, ("sacrebleu",))["bleu"],
            "test": test,
            "pairs_stored": len(set(lessons)),
        }
        say(f"{count} pairs a word: {by_count[str(count)]}")
    return {"words": by_count, "held_out": len(held), "asked": len(asked), "mixture": TAUGHT_MIXTURE}


def _figures(model: Any, tokenizer: Any, pairs: Sequence[Pair], settings: dict[str, Any]) -> dict[str, float]:
    sources, targets = map(list, zip(*pairs, strict=True))
    return text_scores(generated(model, tokenizer, sources, **settings), targets, METRICS)


def _masked(text: str, word: str) -> str:
    return " ".join("_" if words(each) == {word} else each for each in text.split())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, help="the folder that holds multi30k_en_de/, or a data set on the Hub")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model, trained if it is not there")
    parser.add_argument("--output", type=Path, required=True, help="the result file, which must not be there yet")
    parser.add_argument("--source", choices=LANGUAGES, default="de", help="translate from (default: %(default)s)")
    parser.add_argument("--held-out", type=int, default=0, metavar="WORDS", help="words that training does not see")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="overrides",
                        help="settings in place of the recipe's, as in max_steps=20")  # fmt: skip
    chosen = parser.parse_args(arguments)
    if chosen.output.is_file():
        sys.exit(f"{chosen.output} is there: delete it to measure again.")
    try:
        recipe = Seq2SeqRecipe.read(chosen.recipe).changed(chosen.overrides)
    except ValueError as error:
        parser.error(str(error))
    languages = (chosen.source, next(each for each in LANGUAGES if each != chosen.source))
    train, valid, tests = (load(chosen.data, part, *languages) for part in ("train", VALIDATION, TEST))
    say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    cell = {"kind": "words" if chosen.held_out else "whole", "languages": "-".join(languages), "seed": chosen.seed}
    held: list[HeldOutWord] = []
    if chosen.held_out:
        train, held = hold_out(train, chosen.held_out, teach=max(TEACH), seed=chosen.seed)
    trained = trained_model(recipe, train, cell["languages"], chosen.model, chosen.seed, say)
    if held:
        figures = measure_words(recipe, chosen.model, held, tests, say)
    else:
        figures = measure_whole(recipe, chosen.model, train, valid, tests, say)
    content = {**cell, **figures, "trained": trained, "versions": versions(), "processor": processor()}
    write(chosen.output, content, settings=json.loads(json.dumps({**cell, "recipe": recipe.settings})))


if __name__ == "__main__":
    main()
