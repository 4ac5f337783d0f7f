import json
from pathlib import Path

import pytest

from .conftest import EXAMPLES, Shell, files, memory


def ids(folder: Path) -> dict[str, int]:
    return {entry["text"]: entry["id"] for entry in json.loads((folder / "memory.json").read_text())["entries"]}


def test_a_label_is_forgotten(shell: Shell, taught: Path) -> None:
    assert shell("forget", taught, "--label", "lost_card") == f"Forgot 2 texts; {taught} now holds 4 texts.\n"
    assert set(ids(taught)) == {text for text, label in EXAMPLES.items() if label != "lost_card"}


def test_several_labels_are_forgotten(shell: Shell, taught: Path) -> None:
    known = ids(taught)
    document = shell.json("forget", taught, "--label", "refund", "--label", "password")
    assert document == {
        "folder": str(taught),
        "ids": [known["please refund my money"], known["reset my password please"]],
        "entries": 4,
        "labels": ["lost_card", "card_arrival"],
    }


def test_ids_are_forgotten_and_the_weights_are_not_written(shell: Shell, taught: Path) -> None:
    before, known = files(taught), ids(taught)
    gone = ["my card is lost", "please refund my money"]
    shell("forget", taught, *(word for text in gone for word in ("--id", known[text])))
    assert set(ids(taught)) == set(EXAMPLES) - set(gone)
    after = files(taught)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"memory.safetensors", "memory.json", "config.json", "README.md"}, "what names the labels"


def test_texts_are_forgotten(shell: Shell, taught: Path) -> None:
    gone = ["my card is lost", "please refund my money"]
    known = ids(taught)
    document = shell.json("forget", taught, *(word for text in gone for word in ("--text", text)))
    assert set(document["ids"]) == {known[text] for text in gone}
    assert set(ids(taught)) == set(EXAMPLES) - set(gone)


def test_labels_are_forgotten_together(shell: Shell, tiny_encoder: Path, tmp_path: Path) -> None:
    table = tmp_path / "several.csv"
    table.write_text("text,label\nboth things,a|b\nonly a,a\nsomething else,c\n")
    shell("remember", tmp_path / "several", table, "--encoder", tiny_encoder, "--multi-label")
    report = shell.json("forget", tmp_path / "several", "--label", "a", "--label", "b")
    assert report["labels"] == ["c"]
    config = json.loads((tmp_path / "several" / "config.json").read_text())
    assert config["id2label"] == {"0": "c"}


def test_taught_and_forgotten_is_never_taught(shell: Shell, taught: Path, tmp_path: Path) -> None:
    before = memory(taught)
    more = tmp_path / "more.csv"
    more.write_text("text,label\nwhere did my card go?,lost_card\ni was charged for cash,cash_fee\n")
    again = shell.json("remember", taught, more)["ids"]
    assert memory(taught) != before
    shell("forget", taught, *(word for id_ in again for word in ("--id", id_)))
    assert memory(taught) == before


def test_taught_again_and_forgotten_is_never_taught(shell: Shell, taught: Path, shots: Path) -> None:
    ids = shell.json("remember", taught, shots)["ids"]
    first, *others = ids
    shell("forget", taught, "--id", first)
    shell("remember", taught, shots)
    shell("forget", taught, *(word for id_ in ids for word in ("--id", id_)))
    assert shell.json("remember", taught, shots)["ids"] == [first, *others]


def test_everything_may_be_forgotten_and_taught_anew(shell: Shell, taught: Path, shots: Path) -> None:
    before = memory(taught)
    labels = dict.fromkeys(EXAMPLES.values())
    document = shell.json("forget", taught, *(word for label in labels for word in ("--label", label)))
    assert (document["entries"], document["labels"]) == (0, [])
    assert shell.fails("predict", taught, "my card") == (
        f"mann-hf: the memory in '{taught}' is empty; teach it with `mann-hf remember {taught} TABLE`."
    )
    shell("remember", taught, shots)
    assert memory(taught) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "pizza"], "the memory holds no label 'pizza'; it knows 'lost_card', 'card_arrival', 'refund'"),
        (
            ["--label", "refnud"],
            "the memory holds no label 'refnud'; did you mean 'refund'? It knows 'lost_card', 'card_a",
        ),
        (["--label", "Lost card"], "the memory holds no label 'Lost card'; did you mean 'lost_card'? It knows"),
        (["--label", "refund", "--label", "pizza"], "the memory holds no label 'pizza'"),
        (["--id", "12"], "the memory holds no 12"),
        (["--text", "my card is lst"], "the memory holds no text 'my card is lst'; did you mean 'my card is lost'"),
        (["--text", "my card is lost", "--text", "pizza"], "the memory holds no text 'pizza'; the evidence of"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_changes(
    shell: Shell, taught: Path, options: list[str], message: str
) -> None:
    before = files(taught)
    assert message in shell.fails("forget", taught, *options)
    assert files(taught) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Invalid value for --label / --id / --text / --image: give exactly one of these options."),
        (
            ["--label", "a", "--id", "1"],
            "Invalid value for --label / --id / --text / --image: give exactly one of these options.",
        ),
        (
            ["--label", "a", "--text", "b"],
            "Invalid value for --label / --id / --text / --image: give exactly one of these options.",
        ),
        (["--id", "one"], "Invalid value for '--id': "),
    ],
)
def test_wrong_usage(shell: Shell, taught: Path, options: list[str], message: str) -> None:
    assert message in shell.fails("forget", taught, *options, status=2)


def test_a_missing_folder_is_told(shell: Shell, tmp_path: Path) -> None:
    assert "there is no folder" in shell.fails("forget", tmp_path / "nothing", "--label", "a")
