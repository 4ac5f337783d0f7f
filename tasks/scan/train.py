"""Trains a small model on one split of SCAN, asks it the whole test part, and writes one result file.

    python -m tasks.scan.train --data FOLDER --split add_jump --seed 0 --output tasks/scan/results/add_jump-seed-0.json
    python -m tasks.scan.train --data FOLDER --split around_right --seed 1 --control no_memory --output FILE

The controls are those of the paper: `no_memory` learns from the same queries without any support and is tested without;
`no_support_loss` is not asked its support in training.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.common.files import versions, write
from tasks.common.machine import processor
from tasks.common.recipes import Seq2SeqRecipe
from tasks.common.seq2seq import exact_match, generated, new_model, remembered, train_over_episodes
from tasks.common.words import word_tokenizer

from .data import load, official_name, read_all
from .episodes import CONTROLS, sampler_of, supports_of_test, vocabulary

RECIPES = Path(__file__).with_name("recipes")
LONGEST = 50
"""Tokens generated at most; the longest sequence of SCAN has 48 actions and its end."""


def recipe_of(split: str, folder: Path = RECIPES) -> Seq2SeqRecipe:
    """The recipe of a split, or the default one."""
    own = folder / f"{split}.yaml"
    return Seq2SeqRecipe.read(own if own.is_file() else folder / "default.yaml")


def measure(
    recipe: Seq2SeqRecipe, data: str, split: str, seed: int, control: str, say: Any, save: Path | None = None
) -> dict[str, Any]:
    """Trains and tests one cell of the table.

    Args:
        recipe: how the model is made and trained.
        data: the folder that holds `scan`, or a name on the Hub.
        split: of SCAN.
        seed: of weights, episodes and dropout.
        control: a name of `CONTROLS`.
        say: called with a line about what goes on.
        save: the folder in which the trained model is saved; None for none.

    Returns:
        `exact_match` in percent of the test part, the mean over `by_support`, and what training took.
    """
    tests = load(data, split, "test")
    known = [*read_all(data), *tests]
    tokenizer = word_tokenizer(vocabulary(known, split))
    model = new_model(recipe, tokenizer, seed)
    trained = train_over_episodes(model, tokenizer, recipe, sampler_of(data, split, seed, control), seed, say)
    if save is not None:
        model.save_pretrained(save)
        tokenizer.save_pretrained(save)
    supports = [[]] if control == "no_memory" else supports_of_test(data, split, seed)
    started, figures = time.process_time(), []
    sources, targets = map(list, zip(*tests, strict=True))
    for support in supports:
        with remembered(model, tokenizer, support):
            answers = generated(model, tokenizer, sources, batch_size=256, max_new_tokens=LONGEST)
        figures.append(exact_match(answers, targets))
        say(f"exact match {figures[-1]:.2f} % of {len(tests)}")
    return {
        "exact_match": sum(figures) / len(figures),
        "by_support": figures,
        "tests": len(tests),
        "trained": trained,
        "test_cpu_seconds": time.process_time() - started,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, help="the folder that holds scan/, or a data set on the Hub")
    parser.add_argument("--split", required=True, help="add_jump, around_right, opposite_right, length or another")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--control", choices=CONTROLS, default="none")
    parser.add_argument("--output", type=Path, required=True, help="the result file, which must not be there yet")
    parser.add_argument("--save", type=Path, help="a folder for the trained model")
    parser.add_argument("--recipe", type=Path, help="a yaml file (default: that of the split)")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="overrides",
                        help="settings in place of the recipe's, as in max_steps=20 or model.gate=1")  # fmt: skip
    chosen = parser.parse_args(arguments)
    try:
        official_name(chosen.split)
        recipe = Seq2SeqRecipe.read(chosen.recipe) if chosen.recipe else recipe_of(chosen.split)
        recipe = recipe.changed(chosen.overrides)
    except ValueError as error:
        parser.error(str(error))
    cell = {"split": chosen.split, "seed": chosen.seed, "control": chosen.control}
    settings = json.loads(json.dumps({**cell, "recipe": recipe.settings}))
    if chosen.output.is_file():
        same = json.loads(chosen.output.read_text(encoding="utf-8"))["settings"] == settings
        sys.exit(f"{chosen.output} is there{'' if same else ', of other settings'}: delete it to measure again.")
    name = "-".join(map(str, cell.values()))
    figures = measure(
        recipe, chosen.data, **cell, say=lambda line: print(f"{name}: {line}", file=sys.stderr, flush=True),
        save=chosen.save,
    )  # fmt: skip
    made_with = {"versions": versions(), "processor": processor()}
    write(chosen.output, {**cell, **figures, **made_with}, settings=settings)


if __name__ == "__main__":
    main()
