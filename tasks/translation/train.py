"""Trains a small model from scratch on Multi30k, then measures it alone and with a memory of tokens.

    python -m tasks.translation.train --data FOLDER --model FOLDER --output tasks/translation/results/whole-seed-0.json
    python -m tasks.translation.train --data FOLDER --model FOLDER --measure words --output FILE

One model serves both. It is trained on the pairs without some rare words, and asked the test part, alone and with all
training pairs in memory, λ and β chosen on the validation part. With `--measure words` the rare words are taught by one
to five remembered pairs, and asked in others. A model that is in its folder already is not trained again, and a
training that was stopped goes on.
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mann_hf.episodes import Pair
from tasks.common.files import versions, write
from tasks.common.from_scratch import CHECKPOINTS, choose_mixture, train_from_scratch, with_memory
from tasks.common.machine import processor
from tasks.common.recipes import Seq2SeqRecipe
from tasks.common.seq2seq import remembered

from .data import LANGUAGES, HeldOutWord, hold_out, load
from .teaching import LONGEST, SEARCHES, TEACH, measure_words, scores

RECIPE = Path(__file__).with_name("recipes") / "marian-tiny.yaml"
TRAINED = "trained.json"
TEST, VALIDATION = "test_2016_flickr", "val"
KINDS = ("whole", "words")
SAVE_STEPS = 200


def trained_model(
    recipe: Seq2SeqRecipe, pairs: Sequence[Pair], languages: str, folder: Path, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Trains a model into a folder, unless it is there; returns what training took.

    Raises:
        SystemExit: the folder holds a model of other settings, languages or pairs, trained or half so.
    """
    digest = hashlib.sha256(json.dumps(list(pairs)).encode()).hexdigest()
    data = {"languages": languages, "pairs": len(pairs), "digest": digest}
    settings = json.loads(json.dumps({"recipe": recipe.settings, "seed": seed, **data}))
    note = folder / TRAINED
    if note.is_file():
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["settings"] != settings:
            sys.exit(f"{folder} holds a model of other settings: remove it, or choose another --model.")
        if known["trained"] is not None:
            return known["trained"]
    write(note, {"trained": None}, settings=settings)
    trained = train_from_scratch(recipe, pairs, folder, seed, say, SAVE_STEPS)
    write(note, {"trained": trained}, settings=settings)
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    return trained


def measure_whole(
    recipe: Seq2SeqRecipe, folder: Path, stored: Sequence[Pair], valid: Sequence[Pair], tests: Sequence[Pair],
    say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """The test part alone, and with the training pairs in memory, by search."""
    model, tokenizer = with_memory(folder, recipe)

    def found() -> dict[str, Any]:
        return {
            name: scores(model, tokenizer, tests, {"max_new_tokens": LONGEST, **search})
            for name, search in SEARCHES.items()
        }

    alone = found()
    say(f"alone: {alone}")
    with remembered(model, tokenizer, stored):
        tuned = choose_mixture(model, tokenizer, valid, say, max_new_tokens=LONGEST)
        memory = found()
    say(f"with the training pairs in memory: {memory}")
    return {"alone": alone, "memory": memory, "mixture": tuned, "tests": len(tests), "pairs_stored": len(stored)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, help="the folder that holds multi30k_en_de/, or a data set on the Hub")
    parser.add_argument("--model", type=Path, required=True, help="folder of the model, trained if it is not there")
    parser.add_argument("--output", type=Path, required=True, help="the result file, which must not be there yet")
    parser.add_argument("--measure", choices=KINDS, default="whole", help="(default: %(default)s)")
    parser.add_argument("--source", choices=LANGUAGES, default="de", help="translate from (default: %(default)s)")
    parser.add_argument("--held-out", type=int, default=50, metavar="WORDS",
                        help="words that training does not see and that are asked (default: %(default)s)")  # fmt: skip
    parser.add_argument("--known", type=int, default=25, metavar="WORDS",
                        help="further ones, on which λ is chosen (default: %(default)s)")  # fmt: skip
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
    if chosen.measure == "words" and min(chosen.held_out, chosen.known) < 1:
        parser.error("--measure words needs at least one word for each of --held-out and --known.")
    languages = (chosen.source, next(each for each in LANGUAGES if each != chosen.source))
    pairs, valid, tests = (load(chosen.data, part, *languages) for part in ("train", VALIDATION, TEST))
    say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    cell = {"kind": chosen.measure, "languages": "-".join(languages), "seed": chosen.seed}
    train, held = split(pairs, chosen.held_out, chosen.known, chosen.seed)
    trained = trained_model(recipe, train, cell["languages"], chosen.model, chosen.seed, say)
    if chosen.measure == "words":
        both = held[: chosen.held_out], held[chosen.held_out :]
        figures = measure_words(recipe, chosen.model, *both, valid, tests, chosen.seed, say)
    else:
        figures = measure_whole(recipe, chosen.model, pairs, valid, tests, say)
    made_with = {"trained": trained, "pairs_trained": len(train), "versions": versions(), "processor": processor()}
    words = {"held_out": chosen.held_out, "known": chosen.known}
    settings = json.loads(json.dumps({**cell, **words, "recipe": recipe.settings}))
    write(chosen.output, {**cell, **figures, **made_with}, settings=settings)


def split(pairs: Sequence[Pair], held_out: int, known: int, seed: int) -> tuple[list[Pair], list[HeldOutWord]]:
    """Pairs to train on, and the words that they do not have."""
    if not held_out + known:
        return list(pairs), []
    return hold_out(pairs, held_out + known, teach=max(TEACH), seed=seed)


if __name__ == "__main__":
    main()
