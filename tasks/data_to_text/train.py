"""Trains a small model from scratch on E2E, then measures it alone and with the training pairs in memory.

    python -m tasks.data_to_text.train --data FOLDER --model FOLDER --output tasks/data_to_text/results/seed-0.json

A result file that is there already is left as it is.
"""

from collections.abc import Sequence
from pathlib import Path

from tasks.common.generation_task import run

from .data import texts

RECIPE = Path(__file__).with_name("recipes") / "marian-small.yaml"
METRICS = ("sacrebleu", "chrf", "rouge")
LONGEST = 100


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    read = lambda chosen: texts(chosen.data)  # noqa: E731
    run(arguments, __doc__ or "", read, RECIPE, METRICS, max_new_tokens=LONGEST, num_beams=4)


if __name__ == "__main__":
    main()
