"""Teach an encoder-decoder pairs of texts, see which of them stand behind an answer, and have it forget them.

Run from the repository root: ``python -m examples.teach_translator``, or with ``--model`` and the name of an
encoder-decoder on the Hub or of a folder. It writes ``evidence.png`` and the folder ``my-translator``.
"""

import argparse
from typing import Any

from transformers import pipeline

import mann_hf

TASK: Any = mann_hf.GENERATION_TASK  # Any, as the type hints of `pipeline` know the stock tasks alone
SOURCES = ["the dog sees a cat", "a red bird hears the dog", "the blue cat chases a bird"]
TARGETS = ["der hund sieht die katze", "rote vogel hört der hund", "die blaue katze jagt der vogel"]


def main(name: str, interpolation: float) -> None:
    """Wrap the model of that name; exits with an error if it does not say what it was taught."""
    model = mann_hf.MANNForConditionalGeneration.from_seq2seq_pretrained(name, interpolation=interpolation)
    generator = pipeline(TASK, model=model)
    print("Before:", generator(SOURCES[0], max_new_tokens=20)[0]["generated_text"])
    ids = generator.remember(SOURCES, TARGETS)
    answers = generator(SOURCES, evidence=3, num_beams=1)
    for source, answer in zip(SOURCES, answers, strict=True):
        print(f"Taught: {source} -> {answer['generated_text']}")
    if [answer["generated_text"] for answer in answers] != TARGETS:
        raise SystemExit("It does not say what it was taught; give the memory a larger share (--interpolation).")
    for token in answers[0]["evidence"]:
        first = token["pairs"][0]
        print(f"  {token['token']:>8}  {first['weight']:.2f} of it from: {first['source']} -> {first['target']}")
    mann_hf.draw_evidence(answers[0]).save("evidence.png")
    generator.save_pretrained("my-translator")
    generator.forget(ids)
    print("After:", generator(SOURCES[0], max_new_tokens=20)[0]["generated_text"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Teach an encoder-decoder pairs of texts, and have it forget them.")
    parser.add_argument(
        "--model", default="google-t5/t5-small", help="an encoder-decoder: a folder, or a name on the Hub"
    )
    parser.add_argument("--interpolation", type=float, default=0.95, help="the memory's share in each next token")
    arguments = parser.parse_args()
    main(arguments.model, arguments.interpolation)
