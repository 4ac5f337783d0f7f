"""Draws episodes with the evidence in them: which stored drawings an answer rests on, and how much each says.

    python -m tasks.omniglot.pictures --data FOLDER --model FOLDER

A row of the picture is a question: the drawing that is asked about, framed green where the answer is right and red
where it is not, and the stored drawings of the episode, each with its term of the logit of the character that it shows.
Those of the answer are framed blue.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from transformers import pipeline

import mann_hf  # noqa: F401  # registers the pipeline

from .data import Drawings, read_drawings

PICTURES = Path(__file__).with_name("pictures")
RIGHT, WRONG, EVIDENCE, OTHER = "tab:green", "tab:red", "tab:blue", "0.8"


class Answered(NamedTuple):
    """A drawing that was asked about.

    Attributes:
        image: [28, 28] bytes.
        label: what it shows.
        answers: of the pipeline, each with its evidence, the best first.
    """

    image: np.ndarray
    label: str
    answers: list[dict[str, Any]]


class Episode(NamedTuple):
    """An episode with the answers to it.

    Attributes:
        stored: the drawings that were taught.
        labels: what each shows.
        ids: the number of each in the memory.
        questions: what was asked.
    """

    stored: list[np.ndarray]
    labels: list[str]
    ids: list[int]
    questions: list[Answered]


def answer_episode(folder: Path, drawings: Drawings, ways: int, shots: int, questions: int, seed: int) -> Episode:
    """An episode of one alphabet, as a user would have it: examples are taught to the pipeline, and it is asked.

    Args:
        folder: of a trained model.
        drawings: from which the episode is drawn.
        ways: its number of characters.
        shots: drawings of each that are taught.
        questions: how many characters are asked, each by one drawing.
        seed: of what is drawn.
    """
    random = np.random.default_rng(seed)
    classify: Any = pipeline("few-shot-image-classification", model=str(folder))  # type: ignore[call-overload]
    stored, labels, asked = [], [], []
    alphabets = np.array([name.split("/")[0] for name in drawings.names])
    alphabet = random.choice([each for each in sorted(set(alphabets)) if (alphabets == each).sum() >= ways])
    for number in random.choice(np.flatnonzero(alphabets == alphabet), ways, replace=False):
        rows = random.choice(np.flatnonzero(drawings.labels == number), shots + 1, replace=False)
        stored += [drawings.images[row] for row in rows[:shots]]
        labels += [drawings.names[number]] * shots
        asked.append((drawings.images[rows[-1]], drawings.names[number]))
    ids = classify.remember(stored, labels)
    asked = asked[:questions]
    answers = classify([image for image, _ in asked], top_k=None, evidence=shots)
    return Episode(stored, labels, ids, [Answered(*one, each) for one, each in zip(asked, answers, strict=True)])


def draw(episode: Episode, file: Path) -> None:
    """Draws an episode into a png file."""
    columns, rows = len(episode.stored), len(episode.questions)
    figure = Figure(figsize=(0.8 * (columns + 1), 1.02 * rows))
    axes = figure.subplots(rows, columns + 1, squeeze=False)
    for line, question in zip(axes, episode.questions, strict=True):
        best = question.answers[0]
        _show(line[0], question.image, RIGHT if best["label"] == question.label else WRONG, 2.5)
        line[0].set_xlabel(f"score {best['score']:.2f}", fontsize=7, labelpad=3)
        terms = {example["id"]: example["weight"] for answer in question.answers for example in answer["evidence"]}
        for place, image, label, number in zip(line[1:], episode.stored, episode.labels, episode.ids, strict=True):
            is_evidence = label == best["label"]
            _show(place, image, EVIDENCE if is_evidence else OTHER, 1.5 if is_evidence else 0.5)
            place.set_xlabel(f"{terms[number]:.1f}", fontsize=7, labelpad=3)
    axes[0, 0].set_title("asked", fontsize=8)
    axes[0, 1].set_title("stored", fontsize=8, loc="left")
    figure.tight_layout(pad=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def _show(place: Any, image: np.ndarray, color: str, width: float) -> None:
    place.imshow(255 - image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    place.set_xticks([])
    place.set_yticks([])
    for side in place.spines.values():
        side.set(color=color, linewidth=width)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds omniglot/")
    parser.add_argument("--model", type=Path, required=True, help="the folder of a trained model")
    parser.add_argument("--split", default="test", help="of which characters are drawn (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=PICTURES, help="folder of the pictures (default: beside this)")
    parser.add_argument("--seed", type=int, default=3, help="of what is drawn (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    drawings = read_drawings(chosen.data, chosen.split)
    for place, (ways, shots, questions) in enumerate(((10, 1, 5), (4, 3, 4))):
        episode = answer_episode(chosen.model, drawings, ways, shots, questions, chosen.seed + place)
        draw(episode, chosen.output / f"episode-{ways}-way-{shots}-shot.png")


if __name__ == "__main__":
    main()
