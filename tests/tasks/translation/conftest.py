"""Captions of a made-up language in which every word has one translation."""

import itertools
from pathlib import Path

import pytest

from ..rows import write_rows

WORDS = {"hund": "dog", "katze": "cat", "vogel": "bird", "pferd": "horse"}
RARE = {"igel": "hedgehog", "otter": "otterling", "luchs": "lynx"}
VERBS = {"sieht": "sees", "hört": "hears", "jagt": "chases"}


def captions() -> list[dict[str, str]]:
    rows = []
    for (one, a), (verb, b), (other, c) in itertools.product(WORDS.items(), VERBS.items(), WORDS.items()):
        rows.append({"de": f"Ein {one} {verb} ein {other} .", "en": f"A {a} {b} a {c} ."})
    for rare, word in RARE.items():
        for (verb, b), (other, c) in itertools.product(VERBS.items(), WORDS.items()):
            rows.append({"de": f"Ein {rare} {verb} ein {other} .", "en": f"A {word} {b} a {c} ."})
    return rows


@pytest.fixture(scope="session")
def captions_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rows = tmp_path_factory.mktemp("data"), captions()
    for part, own in {
        "train": rows,
        "val": rows[:6],
        "test_2016_flickr": [*rows[6:12], {"de": " ", "en": "x"}],
    }.items():
        write_rows(folder / "multi30k_en_de" / f"{part}.jsonl.gz", own)
    return folder
