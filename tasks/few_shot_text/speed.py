"""How fast teaching and asking are, as ratios measured in one process: `python -m tasks.few_shot_text.speed`.

Every ratio compares two things that take turns, so that what else the machine does hits both. Run it alone.
"""

import argparse
import csv
import json
import resource
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import pipeline

import mann_hf
from mann_hf.controllers import DEFAULT_ENCODER
from mann_hf.controllers.text import pad, token_batches, tokenize

from ..common.machine import cpu_has_bf16, made_on
from ..common.timing import TURNS, ratio
from .data import LabelledTexts, load_all_classes
from .read_speed import read_over_faiss
from .training_speed import measure_training

SLOTS = 10_000
PACKAGES = ("torch", "transformers", "sentence-transformers", "scikit-learn", "faiss-cpu")
MESSAGES = Path(__file__).parents[2] / "examples" / "customer_messages" / "messages.csv"


class Material(NamedTuple):
    """What is measured on.

    Attributes:
        name: where it comes from.
        taught: `SLOTS` labelled texts.
        asked: labelled texts that were not taught.
        mixed: texts of mixed length.
    """

    name: str
    taught: LabelledTexts
    asked: LabelledTexts
    mixed: list[str]


def read_material(data: Path | None, seed: int = 0) -> Material:
    """The BANKING77 and AG News texts in `data`; without it the customer messages, joined until there are enough."""
    draw = np.random.default_rng(seed)
    if data is not None:
        taught, asked = load_all_classes(data, "banking77")
        news, _ = load_all_classes(data, "ag_news")
        assert asked is not None
        taught = taught.select(draw.permutation(len(taught.texts))[:SLOTS])
        asked = asked.select(draw.permutation(len(asked.texts)))
        mixed = [*asked.texts[:1000], *(news.texts[row] for row in draw.integers(len(news.texts), size=1000))]
        draw.shuffle(mixed)
        return Material("BANKING77 and AG News", taught, asked, mixed)
    with open(MESSAGES, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    texts, labels = [row["text"] for row in rows], np.array([names.index(row["label"]) for row in rows])
    first, second = draw.integers(len(rows), size=(2, SLOTS))
    pairs = [f"{texts[a]} {texts[b]}" for a, b in zip(first, second, strict=True)]
    joined = [" ".join(draw.choice(texts, size=count)) for count in draw.integers(1, 12, size=1000)]
    taught = LabelledTexts(pairs, labels[first], names)
    return Material("customer messages, joined", taught, LabelledTexts(texts, labels, names), [*texts, *joined])


def classifier(**kwargs: Any) -> Any:
    """A pipeline with an empty memory."""
    task: Any = "few-shot-text-classification"
    return pipeline(
        task, model=mann_hf.MANNForSequenceClassification.from_encoder_pretrained(DEFAULT_ENCODER, **kwargs)
    )


def teach(clf: Any, material: Material) -> Tensor:
    """Writes the taught texts to a pipeline's memory and prepares the first answer; their keys."""
    labels = [material.taught.names[label] for label in material.taught.labels]
    keys = clf.model.embed_texts(clf.tokenizer, material.taught.texts)
    names = clf.model.name_keys(labels, clf.tokenizer)
    clf.model.remember(keys, labels, material.taught.texts, names=names)
    clf(material.asked.texts[0])
    return keys


def predict_over_encoder(clf: Any, texts: list[str]) -> float:
    """A whole prediction, tokenising and evidence included, over the bare encoder's forward on the same batches."""
    model, tokenizer = clf.model, clf.tokenizer
    encodings = tokenize(tokenizer, texts, max_length=model.max_length(tokenizer))
    cut = token_batches([len(encoding["input_ids"]) for encoding in encodings])
    batches = [pad(tokenizer, encodings, batch) for batch in cut]

    def bare() -> None:
        with torch.no_grad():
            for batch in batches:
                model.encoder(**batch)

    return ratio(lambda: clf(texts), bare, 3 * TURNS)


def throughput(clf: Any, material: Material) -> float:
    """Texts a second of the pipeline over those of `SentenceTransformer.encode` and scikit-learn's predict_proba."""
    from sentence_transformers import SentenceTransformer
    from sklearn.linear_model import LogisticRegression

    encoder = SentenceTransformer(mann_hf.resolve_encoder(DEFAULT_ENCODER))
    few = material.taught.select(np.arange(1000))
    rival = LogisticRegression(max_iter=1000, C=10).fit(encoder.encode(few.texts), few.labels)
    return ratio(lambda: rival.predict_proba(encoder.encode(material.mixed)), lambda: clf(material.mixed))


def teach_one_over_encode(clf: Any, material: Material) -> float:
    """One example added to a large memory and the next answer given, over encoding one text by itself."""
    asked = material.asked
    rows = iter(range(1, len(asked.texts)))

    def one() -> None:
        row = next(rows)
        clf.remember([asked.texts[row]], [asked.names[asked.labels[row]]])
        clf(asked.texts[0])

    one()
    return ratio(
        one, lambda: clf.model.embed_texts(clf.tokenizer, [asked.texts[next(rows)]]), 4 * TURNS, statistics.median
    )


def accuracy(clf: Any, asked: LabelledTexts) -> float:
    """The share of texts whose best label is right, in percent."""
    answers = clf(asked.texts, evidence=0)
    right = [answer["label"] == asked.names[label] for answer, label in zip(answers, asked.labels, strict=True)]
    return 100 * float(np.mean(right))


def measure(data: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    """All ratios, by name."""
    material = read_material(data)
    say(f"on {material.name}, {torch.get_num_threads()} threads")
    clf = classifier()
    keys = teach(clf, material)
    ratios: dict[str, Any] = {
        "material": material.name,
        "slots": len(keys),
        **made_on(PACKAGES),
    }
    say(f"taught {len(keys)} texts")
    ratios["predict_over_encoder"] = predict_over_encoder(clf, material.asked.texts[:512])
    say(f"predict_over_encoder {ratios['predict_over_encoder']:.3f}")
    ratios["throughput_over_sentence_transformers"] = throughput(clf, material)
    say(f"throughput_over_sentence_transformers {ratios['throughput_over_sentence_transformers']:.2f}")
    if cpu_has_bf16():
        half = classifier(dtype=torch.bfloat16)
        teach(half, material)
        ratios["throughput_bf16_over_sentence_transformers"] = throughput(half, material)
        ratios["accuracy_bf16_minus_float32"] = accuracy(half, material.asked) - accuracy(clf, material.asked)
        say(
            f"throughput_bf16_over_sentence_transformers {ratios['throughput_bf16_over_sentence_transformers']:.2f}, "
            f"accuracy {ratios['accuracy_bf16_minus_float32']:+.2f} points"
        )
    ratios["teach_one_over_encode"] = teach_one_over_encode(clf, material)
    say(f"teach_one_over_encode {ratios['teach_one_over_encode']:.1f}")
    # before the reads, whose million slots and faiss's copy of them are not part of teaching and asking
    ratios["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ratios["read_over_faiss"] = read_over_faiss()
    say(f"read_over_faiss {ratios['read_over_faiss']}")
    return ratios


def main() -> None:
    """Prints the ratios as a table, or as one JSON object with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the data sets; customer messages of our own without it")
    parser.add_argument(
        "--training", action="store_true", help="measure training steps in place of teaching and asking"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--output", type=Path, help="write the JSON object to a file, too")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    if arguments.training:
        ratios: dict[str, Any] = measure_training(classifier(), read_material(arguments.data).taught)
    else:
        ratios = measure(arguments.data, lambda line: print(line, file=sys.stderr, flush=True))
    if arguments.output:
        arguments.output.write_text(json.dumps(ratios, indent=1) + "\n", encoding="utf-8")
    if arguments.json:
        print(json.dumps(ratios))
        return
    for name, value in ratios.items():
        print(f"{name:45} {value if not isinstance(value, float) else format(value, '.3f')}")


if __name__ == "__main__":
    main()
