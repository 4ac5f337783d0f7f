"""The live page as a Hugging Face Space: each visitor teaches a memory of their own.

MANN_MODEL names what is shown: a saved classifier or a text encoder, as a folder or on the Hub. One that has been
taught nothing begins with the customer messages of shots.csv.
"""

import csv
import os
from pathlib import Path
from typing import Any

from transformers import AutoConfig

import mann_hf
from mann_hf.demo import launch

MODEL = os.environ.get("MANN_MODEL", "sentence-transformers/all-MiniLM-L6-v2")
SHOTS = Path(__file__).with_name("shots.csv")
QUESTIONS = ["any sign of my package?", "got it today, the glass is in pieces", "no money yet for the shirt I sent in"]
CAPACITY = 1000  # of a visitor's memory, so that none fills the machine; a saved classifier has its own


def load_model(name: str) -> Any:
    """A saved classifier with its memory, or a new one around a text encoder."""
    place = mann_hf.resolve_encoder(name)
    if AutoConfig.from_pretrained(place).model_type == mann_hf.MANNConfig.model_type:
        return mann_hf.MANNForSequenceClassification.from_pretrained(place)
    return mann_hf.MANNForSequenceClassification.from_encoder_pretrained(name, capacity=CAPACITY)


def main() -> None:
    """Serves the page at the address and port that Spaces set, GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    classifier = mann_hf.FewShotTextClassificationPipeline(model=load_model(MODEL))
    questions = []
    if not len(classifier.model.memory):
        with SHOTS.open(newline="", encoding="utf-8") as table:
            rows = list(csv.DictReader(table))
        classifier.remember([row["text"] for row in rows], [row["label"] for row in rows])
        questions = QUESTIONS
    launch(classifier, shared=False, examples=questions)


if __name__ == "__main__":
    main()
