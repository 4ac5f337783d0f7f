"""Trains the recipes: from random weights, over episodes of background characters.

    python -m tasks.omniglot.train --data FOLDER --models FOLDER
    python -m tasks.omniglot.train --data FOLDER --models FOLDER --recipes conv4 --seeds 0

Each recipe and seed has a folder of its own among the models, and is left out when it is done. A run may be stopped at
any time, and the same command goes on from its last checkpoint; there is one every 30 seconds.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from transformers import PrinterCallback, TrainerCallback, set_seed
from transformers.trainer_callback import ExportableState

import mann_hf
from mann_hf.training.callbacks import Progress
from mann_hf.training.checkpoints import newest_checkpoint
from tasks.common.files import write

from .data import load
from .processor import AugmentingCollator, DrawingProcessor
from .recipes import RECIPES, Recipe, read_recipes

SEEDS = (0, 1, 2)
MODELS = Path.home() / ".cache" / "mann_hf_omniglot"
CHECKPOINTS = "checkpoints"
SETTINGS_FILE = "settings.json"
RESULTS_FILE = "train_results.json"
SAVE_EVERY = 30.0
"""Seconds between two checkpoints."""


class Clock(TrainerCallback, ExportableState):
    """Saves a checkpoint every so many seconds, and counts the processor's seconds of a run through all its parts.

    Args:
        every: seconds between two checkpoints.
    """

    def __init__(self, every: float = SAVE_EVERY) -> None:
        self.every, self.seconds_before = every, 0.0
        self.started: float | None = None
        self.saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """The processor's seconds so far, of all threads."""
        return self.seconds_before + (0.0 if self.started is None else time.process_time() - self.started)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"args": {"every": self.every}, "attributes": {"seconds_before": self.seconds}}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.started, self.saved = time.process_time(), time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if time.monotonic() - self.saved >= self.every:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.saved = time.monotonic()


def model_folder(models: Path, recipe: Recipe, seed: int) -> Path:
    """The folder of a trained model."""
    return models / f"{recipe.name}-seed-{seed}"


def train(
    recipe: Recipe, seed: int, data: Path, models: Path, say: Callable[[str], None], save_every: float = SAVE_EVERY
) -> None:
    """Trains a recipe with one seed, from where it was stopped if it was.

    Args:
        recipe: what is trained.
        seed: of weights, episodes and augmentation.
        data: the folder that holds `omniglot`.
        models: the folder of the models.
        say: called with a line about what goes on.
        save_every: seconds between two checkpoints.

    Raises:
        SystemExit: the folder holds a run with other settings.
    """
    folder = model_folder(models, recipe, seed)
    name, settings_file = folder.name, folder / SETTINGS_FILE
    settings = json.loads(json.dumps(recipe.settings))
    if settings_file.is_file() and json.loads(settings_file.read_text(encoding="utf-8")) != settings:
        sys.exit(f"{folder} is of a run with other settings: remove it, or choose other --models.")
    if (folder / RESULTS_FILE).is_file():
        say(f"{name}: is there already")
        return
    write(settings_file, {}, **settings)
    trainer = make_trainer(recipe, seed, data, folder, save_every)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Progress(lambda line: say(f"{name}: {line}")))
    begun = newest_checkpoint(folder / CHECKPOINTS)
    say(f"{name}: {'begins' if begun is None else 'goes on from ' + Path(begun).name}")
    trainer.train(resume_from_checkpoint=begun)
    trainer.save_model(str(folder))
    clock = next(each for each in trainer.callback_handler.callbacks if isinstance(each, Clock))
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    results = {"steps": trainer.state.global_step, "images": recipe.images, "loss": float(losses[-1])}
    write(folder / RESULTS_FILE, {**results, "cpu_minutes": clock.seconds / 60})
    say(f"{name}: {clock.seconds / 60:.1f} minutes of a processor")


def make_trainer(
    recipe: Recipe, seed: int, data: Path, folder: Path, save_every: float = SAVE_EVERY
) -> mann_hf.EpisodicTrainer:
    """The trainer of a run, which writes its checkpoints below a folder."""
    set_seed(seed)
    processor = DrawingProcessor()
    arguments = mann_hf.EpisodicTrainingArguments(
        str(folder / CHECKPOINTS),
        **{
            "input_column": "image", "seed": seed, "use_cpu": True, "save_strategy": "no", "save_total_limit": 2,
            "restore_callback_states_from_checkpoint": True, "report_to": "none", "disable_tqdm": True, **recipe.run,
        },
    )  # fmt: skip
    return mann_hf.EpisodicTrainer(
        recipe.new_model(),
        arguments,
        train_dataset=load(data, recipe.split),
        processing_class=processor,
        data_collator=AugmentingCollator(processor, recipe.augmentation),
        callbacks=[Clock(save_every)],
    )


def say(line: str) -> None:
    """Prints a line about a run."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds omniglot/")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the models (default: %(default)s)")
    parser.add_argument("--recipes", nargs="+", metavar="NAME", help="which are trained (default: all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="default: 0 1 2")
    parser.add_argument("--recipe-folder", type=Path, default=RECIPES, help="of yaml files (default: beside this)")
    parser.add_argument("--save-every", type=float, default=SAVE_EVERY, metavar="SECONDS", help="default: 30")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", dest="overrides",
                        help="settings in place of the recipe's run, as in max_steps=20")  # fmt: skip
    chosen = parser.parse_args(arguments)
    every = {recipe.name: recipe for recipe in read_recipes(chosen.recipe_folder)}
    if unknown := set(chosen.recipes or ()) - every.keys():
        parser.error(f"there is no recipe {', '.join(sorted(unknown))}; there are {', '.join(every)}.")
    overrides = {name: yaml.safe_load(value) for name, _, value in (one.partition("=") for one in chosen.overrides)}
    for name in chosen.recipes or every:
        recipe = every[name].with_run(**overrides)
        for seed in chosen.seeds:
            train(recipe, seed, chosen.data, chosen.models, say, chosen.save_every)


if __name__ == "__main__":
    main()
