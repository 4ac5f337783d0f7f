"""Publish a classifier and a memory on the Hub, take them from there, and roll a memory back.

Run from the repository root: ``python -m examples.publish_to_hub OWNER`` with the name of your account or organisation,
logged in with ``hf auth login``. It makes two private repositories, ``OWNER/customer-intents`` and
``OWNER/customer-skill``; ``HF_ENDPOINT`` points it to another Hub.
"""

import argparse
from typing import Any

from transformers import pipeline

import mann_hf

TASK: Any = "few-shot-text-classification"  # Any, as the type hints of `pipeline` know the stock tasks alone
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = ["where is my parcel?", "i want my money back", "how do i change my password?"]
LABELS = ["delivery", "refund", "account"]
ASKED = "is my order on its way?"


def main(owner: str) -> None:
    """Publish under the name of ``owner``; exits with an error if what comes back is not what was sent."""
    model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained(ENCODER)
    clf = pipeline(TASK, model=model)
    clf.remember(TEXTS, LABELS)
    model.model_card_data.language = "en"
    model.model_card_data.limits.append("Three examples are for trying it out, not for work.")

    # The whole classifier: weights, configuration, tokenizer, memory and a card. Anyone may load it by its name.
    clf.push_to_hub(f"{owner}/customer-intents", private=True)
    loaded = pipeline(TASK, model=f"{owner}/customer-intents")
    print("The whole classifier:", loaded(ASKED)[0]["label"])
    if loaded(ASKED) != clf(ASKED):
        raise SystemExit("What was loaded answers otherwise than what was pushed.")

    # The memory alone, twice. Each push is a commit, and a commit is a version to go back to.
    first = clf.push_memory_to_hub(f"{owner}/customer-skill", private=True)
    clf.remember(["the code does not work at the till"], ["voucher"])
    clf.push_memory_to_hub(f"{owner}/customer-skill", commit_message="Add vouchers")

    # Any model with the same encoder can load it.
    other = mann_hf.MANNForSequenceClassification.from_encoder_pretrained(ENCODER)
    other.load_memory(f"{owner}/customer-skill")
    print("The newest memory:", ", ".join(other.memory.labels))
    other.load_memory(f"{owner}/customer-skill", revision=first.oid)
    print("Rolled back:", ", ".join(other.memory.labels))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Publish a classifier and a memory, load them, roll one back.")
    parser.add_argument("owner", help="your account or organisation on the Hub")
    main(parser.parse_args().owner)
