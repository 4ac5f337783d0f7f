"""Trains a small model from scratch on documents with summaries, then measures it alone and with them in memory.

    python -m tasks.summarization.train --data EdinburghNLP/xsum --model FOLDER --output FILE
    python -m tasks.summarization.train --data FOLDER --document text --summary title --model FOLDER --output FILE

A result file that is there already is left as it is.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tasks.common.generation_task import run

from .data import texts

RECIPE = Path(__file__).with_name("recipes") / "marian-small.yaml"
METRICS = ("rouge", "sacrebleu")
LONGEST = 80


def options(parser: argparse.ArgumentParser) -> None:
    """The options of this task."""
    parser.add_argument("--document", default="document", help="the column of the documents (default: %(default)s)")
    parser.add_argument("--summary", default="summary", help="the column of the summaries (default: %(default)s)")
    parser.add_argument("--most", type=int, help="pairs of each part at most (default: all)")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    read = lambda chosen: texts(chosen.data, chosen.document, chosen.summary, chosen.most)  # noqa: E731
    run(arguments, __doc__ or "", read, RECIPE, METRICS, options, max_new_tokens=LONGEST, num_beams=4)


if __name__ == "__main__":
    main()
