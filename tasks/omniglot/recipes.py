"""Recipes: how a model of a table's row is trained, as a yaml file in `recipes/`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

import mann_hf

from .data import SPLITS
from .processor import SIDE, Augmentation

RECIPES = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Recipe:
    """How a Conv-4 encoder is trained from scratch.

    Attributes:
        name: of its file.
        split: of what is learnt from: `"background"`; `"train"` to choose settings on `"validation"`.
        encoder: fields of `Conv4Config`.
        model: fields of `MANNConfig`.
        augmentation: how drawings are changed.
        run: fields of `EpisodicTrainingArguments`.
    """

    name: str
    split: str
    encoder: Mapping[str, Any]
    model: Mapping[str, Any]
    augmentation: Augmentation
    run: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """The recipe in a yaml file.

        Raises:
            ValueError: the file has a field that a recipe does not have, or lacks one.
        """
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        fields = {"split", "encoder", "model", "augmentation", "run"}
        if content.keys() != fields or content["split"] not in SPLITS:
            raise ValueError(
                f"{path} needs {', '.join(sorted(fields))}, with a split of {', '.join(SPLITS)}; it has "
                f"{', '.join(map(str, content))}."
            )
        return cls(path.stem, **{**content, "augmentation": Augmentation(**content["augmentation"])})

    def with_run(self, **settings: Any) -> "Recipe":
        """The same with some of the run's settings replaced."""
        return replace(self, run={**self.run, **settings})

    @property
    def settings(self) -> dict[str, Any]:
        """All that a trained model depends on beside data and seed, as JSON holds it."""
        return {name: value for name, value in asdict(self).items() if name != "name"}

    @property
    def images(self) -> int:
        """How many drawings the encoder is given in a run."""
        run = self.run
        per_episode = run["n_way"] * (run["k_shot"] + run["n_query"])
        return per_episode * run["episodes_per_step"] * run["max_steps"]

    def new_model(self) -> mann_hf.MANNForImageClassification:
        """The model before training, with weights drawn by PyTorch's generator."""
        return mann_hf.MANNForImageClassification.from_encoder_config(
            "conv4", image_size=SIDE, num_channels=1, **self.encoder, **self.model
        )


def read_recipes(folder: Path = RECIPES) -> list[Recipe]:
    """Every recipe of a folder, by name."""
    return [Recipe.read(path) for path in sorted(folder.glob("*.yaml"))]
