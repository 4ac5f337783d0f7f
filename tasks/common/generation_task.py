"""A task of texts from texts with one command: a small model from scratch, alone and with what it learned in memory."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mann_hf.episodes import Pair

from .files import versions, write
from .from_scratch import choose_mixture, text_scores, train_from_scratch, with_memory
from .machine import processor
from .recipes import Seq2SeqRecipe
from .seq2seq import generated, remembered


@dataclass(frozen=True)
class Texts:
    """The texts of a task.

    Attributes:
        train: pairs to learn from, which the memory then holds, too.
        valid: pairs on which λ and β are chosen.
        sources: of the test.
        references: for each source the right texts.
    """

    train: Sequence[Pair]
    valid: Sequence[Pair]
    sources: Sequence[str]
    references: Sequence[Sequence[str]]


def by_source(pairs: Sequence[Pair]) -> tuple[list[str], list[list[str]]]:
    """Each source once, and all its targets."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        found.setdefault(pair.source, []).append(pair.target)
    return list(found), list(found.values())


def measure(
    recipe: Seq2SeqRecipe, texts: Texts, model: Path, seed: int, metrics: Sequence[str], say: Callable[[str], None],
    chosen_on: int = 200, **settings: Any,
) -> dict[str, Any]:  # fmt: skip
    """Trains a model into a folder and asks it the test, alone and with the training pairs in memory.

    Args:
        recipe: how the model is made and trained.
        texts: of the task.
        model: the folder.
        seed: of weights, order and dropout.
        metrics: names for `load_metric`.
        say: called with a line about what goes on.
        chosen_on: validation pairs on which λ and β are chosen.
        settings: of `generate`.

    Returns:
        Figures of `alone` and of `memory`, the `mixture` that was chosen, and what training took.
    """
    trained = train_from_scratch(recipe, texts.train, model, seed, say)
    wrapped, tokenizer = with_memory(model, recipe)

    def figures() -> dict[str, float]:
        return text_scores(generated(wrapped, tokenizer, texts.sources, **settings), texts.references, metrics)

    alone = figures()
    say(f"alone: {alone}")
    with remembered(wrapped, tokenizer, texts.train):
        mixture = choose_mixture(wrapped, tokenizer, texts.valid[:chosen_on], say, **{**settings, "num_beams": 1})
        memory = figures()
    say(f"with the training pairs in memory: {memory}")
    return {"alone": alone, "memory": memory, "mixture": mixture, "tests": len(texts.sources), "trained": trained}


def run(
    arguments: Sequence[str] | None,
    about: str,
    read: Callable[[argparse.Namespace], Texts],
    recipe: Path,
    metrics: Sequence[str],
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    **settings: Any,
) -> None:
    """The command of a task: trains, measures and writes one result file.

    Args:
        arguments: of the command.
        about: its documentation.
        read: the texts that the arguments ask for.
        recipe: by default.
        metrics: names for `load_metric`.
        options: adds further options.
        settings: of `generate`.
    """
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--data", required=True, help="the folder of the data, or a data set on the Hub")
    parser.add_argument("--model", type=Path, required=True, help="the folder for the trained model")
    parser.add_argument("--output", type=Path, required=True, help="the result file, which must not be there yet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", type=Path, default=recipe)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="overrides",
                        help="settings in place of the recipe's, as in max_steps=20")  # fmt: skip
    options(parser)
    chosen = parser.parse_args(arguments)
    if chosen.output.is_file():
        sys.exit(f"{chosen.output} is there: delete it to measure again.")
    try:
        used = Seq2SeqRecipe.read(chosen.recipe).changed(chosen.overrides)
        texts = read(chosen)
    except ValueError as error:
        parser.error(str(error))
    say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
    found = measure(used, texts, chosen.model, chosen.seed, metrics, say, **settings)
    made_with = {"versions": versions(), "processor": processor()}
    cell = {"data": Path(chosen.data).name if Path(chosen.data).is_dir() else chosen.data, "seed": chosen.seed}
    write(chosen.output, {**cell, **found, **made_with}, settings=json.loads(json.dumps(used.settings)))
