"""The live page as a Hugging Face Space: each visitor teaches a memory of their own.

MANN_MODEL names what is shown, as a folder or on the Hub: a saved classifier, a saved model that generates from pairs,
or a text encoder. A classifier that has been taught nothing begins with the customer messages of shots.csv.
"""

import csv
import os
from pathlib import Path
from typing import Any

from transformers import AutoConfig, pipeline

import mann_hf
from mann_hf.demo import launch

MODEL = os.environ.get("MANN_MODEL", "sentence-transformers/all-MiniLM-L6-v2")
SHOTS = Path(__file__).with_name("shots.csv")
QUESTIONS = ["any sign of my package?", "got it today, the glass is in pieces", "no money yet for the shirt I sent in"]
CAPACITY = 1000  # of a new memory: what was used least gives way; of a saved one the page bounds what visitors add


def load_pipeline(name: str) -> Any:
    """The pipeline of a saved model with its memory, or of a new classifier around a text encoder."""
    place = mann_hf.resolve_encoder(name)
    kind = AutoConfig.from_pretrained(place).model_type
    if kind == mann_hf.MANNSeq2SeqConfig.model_type:
        return pipeline("memory-augmented-generation", model=place)  # type: ignore[call-overload]
    if kind == mann_hf.MANNConfig.model_type:
        return pipeline("few-shot-text-classification", model=place)  # type: ignore[call-overload]
    model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained(name, capacity=CAPACITY)
    return pipeline("few-shot-text-classification", model=model)  # type: ignore[call-overload]


def main() -> None:
    """Serves the page at the address and port that Spaces set, GRADIO_SERVER_NAME and GRADIO_SERVER_PORT."""
    shown, questions = load_pipeline(MODEL), []
    if isinstance(shown, mann_hf.FewShotTextClassificationPipeline) and not len(shown.model.memory):
        with SHOTS.open(newline="", encoding="utf-8") as table:
            rows = list(csv.DictReader(table))
        shown.remember([row["text"] for row in rows], [row["label"] for row in rows])
        questions = QUESTIONS
    launch(shown, shared=False, examples=questions)


if __name__ == "__main__":
    main()
