"""Teach a classifier from a few customer messages, ask it, extend it, read its reasons, save it and load it again.

Run from the repository root: ``python -m examples.customer_messages.demo [FOLDER]``. The taught classifier is saved
into FOLDER, or into a temporary folder that is removed at the end. Needs no GPU and less than a minute on two cores.
"""

import argparse
import csv
import itertools
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

from transformers import pipeline
from transformers.utils import logging

import mann_hf

TASK: Any = "few-shot-text-classification"  # Any, as the type hints of `pipeline` know the stock tasks alone
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
MESSAGES = Path(__file__).with_name("messages.csv")
NEW = "warranty_claim"  # held out, to be added while the classifier runs
NEW_WORDS = "a product stopped working after months of use and should be repaired under its guarantee"
NEW_ASKED = "my camera no longer switches on, is it still under guarantee?"
ASKED = ["any sign of my package?", "got it today, the glass is in pieces", "no money yet for the shirt I sent in"]
SHOTS = (1, 3, 5)
DRAWS = 5
STUDENT_T = 2.776  # 97.5 % quantile at DRAWS - 1 degrees of freedom, for a 95 % interval of the mean

Messages = dict[str, list[str]]  # label -> texts
Answer = dict[str, Any]  # label, score, evidence
Classifier = Any  # the pipeline: a call asks, `remember` and `forget` edit the memory


def read_messages(path: Path) -> Messages:
    """The texts of each label, in the order of the file."""
    messages: Messages = {}
    with path.open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            messages.setdefault(row["label"], []).append(row["text"])
    return messages


def shuffled(messages: Messages, seed: int) -> Messages:
    """The same messages, each label's in another order."""
    generator = random.Random(seed)
    return {label: generator.sample(texts, len(texts)) for label, texts in messages.items()}


def between(messages: Messages, start: int, stop: int | None = None) -> tuple[list[str], list[str]]:
    """Texts ``start`` to ``stop`` of every label, and their labels beside them."""
    pairs = [(text, label) for label, texts in messages.items() for text in texts[start:stop]]
    return [text for text, _ in pairs], [label for _, label in pairs]


def accuracy(clf: Classifier, texts: list[str], labels: list[str]) -> float:
    """The share of ``texts`` that get their label, in percent."""
    answers = clf(texts, batch_size=64)
    return 100 * sum(answer["label"] == label for answer, label in zip(answers, labels, strict=True)) / len(labels)


def same(before: list[Answer], after: list[Answer]) -> bool:
    """Whether two lists of answers agree in every label, and in every score to 1e-6."""
    pairs = zip(before, after, strict=True)
    return all(a["label"] == b["label"] and abs(a["score"] - b["score"]) <= 1e-6 for a, b in pairs)


def measure(clf: Classifier, messages: Messages) -> None:
    """Print the accuracy from 1, 3 and 5 examples a class, all asked the same messages; leaves the memory empty."""
    reached: dict[int, list[float]] = {shots: [] for shots in SHOTS}
    for draw in range(DRAWS):
        order = shuffled(messages, seed=draw)
        taught: list[int] = []
        for known, shots in itertools.pairwise((0, *SHOTS)):
            taught += clf.remember(*between(order, known, shots))  # only those it has not seen yet
            reached[shots].append(accuracy(clf, *between(order, max(SHOTS))))
        clf.forget(ids=taught)
    print("   examples a class   accuracy   95 % interval")
    for shots, values in reached.items():
        mean, half = statistics.mean(values), STUDENT_T * statistics.stdev(values) / DRAWS**0.5
        print(f"   {shots:>16}   {mean:6.1f} %   {mean - half:.1f} to {mean + half:.1f}")


def add_class(clf: Classifier, texts: list[str]) -> None:
    """Teach a class that the classifier has not met, by its words, then by two examples, and print what changes."""
    examples, asked = texts[:2], texts[2:]

    def show(when: str) -> None:
        answer = clf(NEW_ASKED)[0]
        right = accuracy(clf, asked, [NEW] * len(asked))
        print(f"   {when:<20} {answer['label']:<15} {answer['score']:.2f}   {right:5.1f} %")

    print(f'   the answer to "{NEW_ASKED}",\n   and how many of {len(asked)} other such messages get the label {NEW}')
    show("before")
    clf.remember(labels=[NEW], descriptions=[NEW_WORDS])
    show("by its words alone")
    clf.remember(examples, [NEW] * len(examples))
    show("and two examples")


def explain(clf: Classifier, texts: list[str]) -> None:
    """Print each answer with the three stored entries that spoke most for it."""
    for text, answer in zip(texts, clf(texts), strict=True):
        print(f'   "{text}" -> {answer["label"]}, {answer["score"]:.2f}')
        for entry in sorted(answer["evidence"], key=lambda entry: -entry["weight"])[:3]:
            print(f"      {entry['weight']:+.3f}  {entry['label']:<15} {entry['text']}")


def main(folder: Path) -> None:
    """Do the whole job and save the classifier into ``folder``; exits with an error if an answer changes on the way."""
    logging.disable_progress_bar()
    messages = read_messages(MESSAGES)
    new_texts = messages.pop(NEW)
    order = shuffled(messages, seed=0)
    others, _ = between(order, max(SHOTS))

    model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained(ENCODER)
    clf = pipeline(TASK, model=model)
    print(f"1. Built on {ENCODER}; the memory is empty")

    print(f"\n2. Accuracy on {len(others)} other messages, {len(messages)} intents, mean of {DRAWS} draws; no training")
    measure(clf, messages)

    print(f"\n3. A class added live: {NEW}")
    clf.remember(*between(order, 0, max(SHOTS)))
    before = clf(others, batch_size=64)
    add_class(clf, new_texts)

    print("\n4. Why: the stored entries behind an answer, and their weights")
    explain(clf, ASKED)

    clf.forget(label=NEW)
    answers = clf(others, batch_size=64)
    if not same(before, answers):
        raise SystemExit(f"After forgetting {NEW}, some answers differ from those before it was taught.")
    print(f"\n5. Forgotten: without {NEW}, all {len(answers)} answers are again what they were before it was taught")

    clf.save_pretrained(folder)
    loaded = pipeline(TASK, model=str(folder))
    if not same(answers, loaded(others, batch_size=64)):
        raise SystemExit(f"Loaded from {folder}, the classifier answers otherwise than before it was saved.")
    print(f"\n6. Saved to {folder} and loaded again: all {len(answers)} answers are the same")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Teach, ask, extend, explain, save and load a few-shot classifier.")
    parser.add_argument("folder", nargs="?", type=Path, help="where to save it (default: a temporary folder)")
    chosen = parser.parse_args().folder
    if chosen is not None:
        main(chosen)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary) / "my-intents")
