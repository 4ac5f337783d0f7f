"""Trains a small model on one split of GeoQuery, asks it the test part, and writes one result file.

    python -m tasks.semantic_parsing.train --data FOLDER --split query --seed 0 --output FILE
    python -m tasks.semantic_parsing.train --data FOLDER --split query --seed 0 --memory none --output FILE

With `--memory example` the model learns over episodes, half of them without support, to read its support, and is tested
with all training pairs in its memory; with `none` it learns from the same queries, without support. Both are asked the
test part with an empty memory, too.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.common.files import versions, write
from tasks.common.machine import processor
from tasks.common.recipes import Seq2SeqRecipe
from tasks.common.seq2seq import exact_match, generated, new_model, remembered, train_over_episodes
from tasks.common.words import word_tokenizer, words_of

from .data import FORMS, SPLITS, load
from .episodes import sampler_of

RECIPE = Path(__file__).with_name("recipes") / "lstm.yaml"
MEMORIES = ("example", "none")
LONGEST = 160
K_SHOT, N_QUERY = 100, 60
EMPTY = 0.5
"""The share of episodes without support, where there is a memory."""


def measure(
    recipe: Seq2SeqRecipe, data: str, form: str, split: str, seed: int, memory: str, say: Any
) -> dict[str, Any]:
    """Trains and tests one cell of the table.

    Args:
        recipe: how the model is made and trained; its `run` may hold `k_shot` and `n_query`, those of an episode.
        data: the folder that holds `geoquery`, or a name on the Hub.
        form: a name of `FORMS`.
        split: a name of `SPLITS`.
        seed: of weights, episodes and dropout.
        memory: a name of `MEMORIES`.
        say: called with a line about what goes on.

    Returns:
        `exact_match` in percent of the test part, `alone` with an empty memory, and what training took.
    """
    train, tests = (load(data, form, split, part) for part in ("train", "test"))
    tokenizer = word_tokenizer(words_of(text for pair in train for text in pair))
    model = new_model(recipe, tokenizer, seed)
    shots, asked = recipe.run.get("k_shot", K_SHOT), recipe.run.get("n_query", N_QUERY)
    sampler = sampler_of(train, shots, asked, seed, empty=1.0 if memory == "none" else EMPTY)
    trained = train_over_episodes(model, tokenizer, recipe, sampler, seed, say)
    sources, targets = map(list, zip(*tests, strict=True))
    known = tokenizer.batch_decode(tokenizer(targets)["input_ids"], skip_special_tokens=True)
    alone = exact_match(generated(model, tokenizer, sources, max_new_tokens=LONGEST), targets)
    result = {"exact_match": alone, "alone": alone}
    if memory != "none":
        with remembered(model, tokenizer, train):
            result["exact_match"] = exact_match(generated(model, tokenizer, sources, max_new_tokens=LONGEST), targets)
    say(f"exact match {result['exact_match']:.2f} % of {len(tests)}, {alone:.2f} % with an empty memory")
    return {**result, "tests": len(tests), "sayable": exact_match(known, targets), "trained": trained}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, help="the folder that holds geoquery/, or a data set on the Hub")
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--form", choices=FORMS, default="logic", help="what questions become (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", choices=MEMORIES, default="example")
    parser.add_argument("--output", type=Path, required=True, help="the result file, which must not be there yet")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="overrides",
                        help="settings in place of the recipe's, as in max_steps=20")  # fmt: skip
    chosen = parser.parse_args(arguments)
    try:
        recipe = Seq2SeqRecipe.read(chosen.recipe).changed(chosen.overrides)
    except ValueError as error:
        parser.error(str(error))
    cell = {"split": chosen.split, "form": chosen.form, "seed": chosen.seed, "memory": chosen.memory}
    settings = json.loads(json.dumps({**cell, "recipe": recipe.settings}))
    if chosen.output.is_file():
        sys.exit(f"{chosen.output} is there: delete it to measure again.")
    name = "-".join(map(str, cell.values()))
    figures = measure(
        recipe, chosen.data, **cell, say=lambda line: print(f"{name}: {line}", file=sys.stderr, flush=True)
    )
    write(chosen.output, {**cell, **figures, "versions": versions(), "processor": processor()}, settings=settings)


if __name__ == "__main__":
    main()
