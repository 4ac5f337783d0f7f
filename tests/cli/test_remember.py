import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mann_hf.cli import classifier as classifier_module
from mann_hf.cli.options import SCHEMAS
from mann_hf.memory.reading import PROBLEM_TYPES, READINGS
from mann_hf.models import MANNForSequenceClassification
from mann_hf.persistent.entries import Example
from mann_hf.pipelines import FewShotTextClassificationPipeline
from mann_hf.targets.kinds import TARGETS, SingleLabel, targets_of

from .conftest import EXAMPLES, Shell, files, memory

Write = Callable[[str, str | bytes], Path]


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def entries(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "memory.json").read_text())["entries"]


def test_a_new_folder_is_made_and_taught(shell: Shell, shots: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "intents"
    output = shell("remember", folder, shots, "--encoder", tiny_encoder)
    assert output == f"Remembered 6 texts; {folder} now holds 6 texts of 4 labels.\n"
    assert shell.stderr == ""
    assert config(folder)["reading"] == "logistic"
    assert {entry["text"]: entry["label"] for entry in entries(folder)} == EXAMPLES
    assert {path.name for path in folder.iterdir()} >= {"model.safetensors", "memory.safetensors", "tokenizer.json"}


def test_an_empty_folder_is_a_new_one(shell: Shell, shots: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "intents"
    folder.mkdir()
    assert shell.json("remember", folder, shots, "--encoder", tiny_encoder)["entries"] == 6


def test_the_default_encoder_is_asked_for(
    shell: Shell, shots: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def from_encoder_pretrained(encoder: str, **kwargs: Any) -> Any:
        asked.append(encoder)
        raise ValueError("enough")

    monkeypatch.setattr(MANNForSequenceClassification, "from_encoder_pretrained", from_encoder_pretrained)
    assert shell.fails("remember", tmp_path / "new", shots) == "mann-hf: enough"
    assert asked == ["sentence-transformers/all-MiniLM-L6-v2"]
    assert not (tmp_path / "new").exists()


def test_a_folder_learns_more_and_its_weights_are_not_written_again(shell: Shell, taught: Path, write: Write) -> None:
    before = files(taught)
    stamps = {path: path.stat().st_mtime_ns for path in taught.iterdir()}
    document = shell.json("remember", taught, write("more.csv", "text,label\nhow do i pay,pay\nmy bill,pay\n"))
    assert document["entries"] == 8
    assert document["labels"] == ["lost_card", "card_arrival", "refund", "password", "pay"]
    assert document["folder"] == str(taught)
    assert document["ids"] == [entry["id"] for entry in entries(taught)][-2:]
    after = files(taught)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"memory.safetensors", "memory.json", "config.json", "README.md"}, "what names the labels"
    assert {path.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp} == changed
    assert FewShotTextClassificationPipeline(
        model=MANNForSequenceClassification.from_pretrained(taught)
    ).model.config.id2label == dict(enumerate(document["labels"]))


def test_taught_in_two_calls_is_taught_in_one(
    shell: Shell, taught: Path, tiny_encoder: Path, write: Write, tmp_path: Path
) -> None:
    lines = [f"{text},{label}\n" for text, label in EXAMPLES.items()]
    other = tmp_path / "other"
    shell("remember", other, write("a.csv", "text,label\n" + "".join(lines[:2])), "--encoder", tiny_encoder)
    shell("remember", other, write("b.csv", "text,label\n" + "".join(lines[2:])), "--encoder", tiny_encoder)
    ours, theirs = memory(other), memory(taught)
    assert ours["ids"] == theirs["ids"] and ours["contents"] == theirs["contents"]
    torch.testing.assert_close(torch.tensor(ours["keys"]), torch.tensor(theirs["keys"]))


@pytest.mark.parametrize("reading", READINGS)
def test_every_reading_can_be_chosen(
    shell: Shell, shots: Path, tiny_encoder: Path, tmp_path: Path, reading: str
) -> None:
    folder = tmp_path / "new"
    shell("remember", folder, shots, "--encoder", tiny_encoder, "--reading", reading)
    assert config(folder)["reading"] == reading


def test_descriptions_say_what_labels_mean(shell: Shell, taught: Path, write: Write) -> None:
    table = write("d.csv", "text,label\nchange the number of the card,pin\n")
    shell("remember", taught, table, "--descriptions")
    last = entries(taught)[-1]
    assert (last["kind"], last["label"], last["text"]) == ("description", "pin", "change the number of the card")


def test_columns_have_any_name(shell: Shell, taught: Path, write: Write) -> None:
    table = write("t.csv", "intent,body\npay,how do i pay\n")
    shell("remember", taught, table, "--text-column", "body", "--label-column", "intent")
    assert entries(taught)[-1]["text"] == "how do i pay"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "text,label\nlost my card,card | lost\nmy money,money\n"),
        ("t.json", '[{"text": "lost my card", "label": ["card", "lost"]}, {"text": "my money", "label": ["money"]}]'),
    ],
)
def test_several_labels(
    shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path, name: str, content: str
) -> None:
    folder = tmp_path / "new"
    shell("remember", folder, write(name, content), "--encoder", tiny_encoder, "--multi-label")
    assert config(folder)["problem_type"] == "multi_label_classification"
    assert [entry["label"] for entry in entries(folder)] == [["card", "lost"], ["money"]]
    again = shell.json("remember", folder, write("more.csv", "text,label\nhelp,help|card\n"), "--multi-label")
    assert again["labels"] == ["card", "lost", "money", "help"]
    shell("remember", folder, write("more.csv", "text,label\nhelp,help|card\n"))


@pytest.mark.parametrize(("content", "targets"), [("1.5\nb,-2", [[1.5], [-2]]), ("1|2\nb,3|4", [[1, 2], [3, 4]])])
def test_regression(
    shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path, content: str, targets: list[list[float]]
) -> None:
    folder, table = tmp_path / "new", write("t.csv", f"text,label\na,{content}\n")
    output = shell("remember", folder, table, "--encoder", tiny_encoder, "--problem-type", "regression")
    assert output == f"Remembered 2 texts; {folder} now holds 2 texts.\n"
    assert [entry["label"] for entry in entries(folder)] == targets
    assert shell.json("remember", folder, table)["labels"] == []


@pytest.fixture
def from_outside() -> Iterator[str]:
    """The name of a problem type whose labels are in upper case."""

    class UpperCase(SingleLabel):
        name = "upper_case"

        def spell(self, labels: Sequence[str]) -> list[str]:
            return [label.upper() for label in super().spell(labels)]

        def spell_cell(self, cell: Any, spell_name: Callable[[Any], str]) -> str:
            return spell_name(cell).upper()

    TARGETS.register(UpperCase.name)(UpperCase)
    yield UpperCase.name
    del TARGETS._parts[UpperCase.name]


def test_problem_types_are_those_of_the_library() -> None:
    assert list(SCHEMAS) == list(PROBLEM_TYPES)
    for name, schema in SCHEMAS.items():
        kind = targets_of(name)
        assert isinstance(kind, type(schema))
        assert (kind.named, kind.exclusive) == (schema.named, schema.exclusive)


def test_a_problem_type_from_outside_is_one_of_the_choices(
    shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path, from_outside: str
) -> None:
    folder, table = tmp_path / "new", write("t.csv", "text,label\nmy card,card\nmy money,refund\n")
    shell("remember", folder, table, "--encoder", tiny_encoder, "--problem-type", from_outside)
    assert config(folder)["problem_type"] == from_outside
    assert [entry["label"] for entry in entries(folder)] == ["CARD", "REFUND"]
    assert shell.json("predict", folder, "my card")[0]["label"] == "CARD"
    assert shell.json("evaluate", folder, table)["accuracy"] == 1
    error = shell.fails("remember", folder, table, "--problem-type", "guessing", status=2)
    assert f"'guessing' is not one of {', '.join(map(repr, [*PROBLEM_TYPES, from_outside]))}." in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--encoder", "all-MiniLM-L6-v2"],
            "and 'all-MiniLM-L6-v2' was asked for: leave out --encoder, or teach a new",
        ),
        (["--reading", "attention"], "has --reading logistic, and attention was asked for: leave out --reading, or"),
        (
            ["--problem-type", "regression"],
            "has --problem-type single_label_classification, and regression was asked for: leave out --problem-type",
        ),
        (["--multi-label"], "has --problem-type single_label_classification, and multi_label_classification was asked"),
        (["--text-column", "body"], "has no column 'body'; it has 'text', 'label'"),
        (["--label-column", "intent"], "has no column 'intent'; it has 'text', 'label'"),
        (["--split", "train"], "is a file and has no splits"),
    ],
)
def test_a_refused_call_changes_nothing(
    shell: Shell, taught: Path, shots: Path, options: list[str], message: str
) -> None:
    before = files(taught)
    assert message in shell.fails("remember", taught, shots, *options)
    assert files(taught) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,label\nfine,a\n ,b\n",
            "row 2 (line 3), column 'text': no text; mend or remove such rows, or skip them with --skip-bad-rows.",
        ),
        (
            "text,label\nfine,\n",
            "row 1 (line 2), column 'label': no label; mend or remove such rows, or skip them with --skip-bad-rows.",
        ),
    ],
)
def test_a_bad_row_changes_nothing(shell: Shell, taught: Path, write: Write, content: str, message: str) -> None:
    before = files(taught)
    assert shell.fails("remember", taught, write("t.csv", content)).endswith(f"t.csv: {message}")
    assert files(taught) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--encoder", "nobody/nothing"], "The encoder 'nobody/nothing' was not found. Looked in:"),
        (["--reading", "psychic"], "unknown reading 'psychic'; choose one of 'attention', "),
    ],
)
def test_a_refused_new_folder_is_not_left_behind(
    shell: Shell, shots: Path, tiny_encoder: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    assert message in shell.fails("remember", tmp_path / "new", shots, "--encoder", tiny_encoder, *options)
    assert not (tmp_path / "new").exists()


def test_an_interrupted_call_changes_nothing(
    shell: Shell, taught: Path, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    before = files(taught)
    monkeypatch.setattr(FewShotTextClassificationPipeline, "remember", interrupt)
    assert_interrupted(shell, taught, shots)
    assert files(taught) == before


def assert_interrupted(shell: Shell, *arguments: object) -> None:
    with pytest.raises(AssertionError):
        shell("remember", *arguments)
    assert "Traceback" not in shell.stderr


def test_the_same_encoder_by_another_path_is_the_same(
    shell: Shell, taught: Path, shots: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tiny_encoder)
    assert shell.json("remember", taught, shots, "--encoder", tmp_path / "link")["encoder"] == str(tiny_encoder)


@pytest.mark.parametrize(
    ("name", "other", "same"),
    [
        ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", True),
        ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2", True),
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", None, False),
    ],
)
def test_names_of_one_encoder(name: str, other: str | None, same: bool) -> None:
    assert classifier_module.is_same_encoder(name, other) is same


def test_contradicting_options_are_wrong_usage(shell: Shell, taught: Path, shots: Path) -> None:
    error = shell.fails("remember", taught, shots, "--multi-label", "--problem-type", "regression", status=2)
    assert error == (
        "mann-hf remember: Invalid value for --multi-label: it contradicts --problem-type regression. See: mann-hf "
        "remember --help"
    )
    assert "regression" in shell.fails("remember", taught, shots, "--problem-type", "guessing", status=2)


def test_a_hub_split_is_passed_on(shell: Shell, taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import Dataset

    folder = tmp_path / "set"
    folder.mkdir()
    Dataset.from_dict({"text": ["pay"], "label": ["a"]}).to_parquet(folder / "train.parquet")
    Dataset.from_dict({"text": ["bill"], "label": ["a"]}).to_parquet(folder / "test.parquet")
    shell("remember", taught, folder)
    shell("remember", taught, folder, "--split", "test")
    assert [entry["text"] for entry in entries(taught)][-2:] == ["pay", "bill"]


def test_the_card_follows(shell: Shell, taught: Path, shots: Path, write: Callable[..., Path]) -> None:
    more = write("more.csv", "text,label\nmy package is broken,damage\n")
    shell("remember", taught, more)
    assert "| `damage` | 1 | my package is broken |" in (taught / "README.md").read_text()
    (taught / "README.md").write_text("# Mine")
    shell("remember", taught, shots)
    assert (taught / "README.md").read_text() == "# Mine"
    (taught / "README.md").unlink()
    shell("remember", taught, shots)
    assert not (taught / "README.md").exists()


def test_a_table_may_come_on_standard_input(shell: Shell, taught: Path, shots: Path) -> None:
    before = len(entries(taught))
    table = "Query;Intent\nwhere is it;lost_card \nnew;new\n"
    assert len(shell.json("remember", taught, "-", given=table)["ids"]) == 2
    assert "reads texts from the column 'Query' (--text-column) and labels from the column 'Intent'" in shell.stderr
    assert "(1 label has white space at the ends)" in shell.stderr
    assert len(entries(taught)) == before + 2


def test_a_label_of_a_memory_keeps_the_spelling_that_it_has_there(shell: Shell, taught: Path, write: Write) -> None:
    classifier = FewShotTextClassificationPipeline(model=MANNForSequenceClassification.from_pretrained(taught))
    keys = classifier.model.embed_inputs(classifier.tokenizer, ["yes please"])
    classifier.model.update_memory(lambda memory: memory.remember(keys, [Example("True", "yes please")]))
    classifier.save_memory(taught)
    labels = shell.json("remember", taught, write("t.csv", "text,label\nno,true\nyes,TRUE\n"))["labels"]
    assert [label for label in labels if label.lower() == "true"] == ["True"]
    assert shell.json("evaluate", taught, write("t.csv", "text,label\nno,true\n"))["unknown_labels"] == []


def test_texts_of_no_label_are_taught_and_evaluated(
    shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path
) -> None:
    table = write("t.csv", "text,label\nmy card,card\nmy money,card|money\nhello,\n")
    folder = tmp_path / "several"
    assert shell.json("remember", folder, table, "--multi-label", "--encoder", tiny_encoder)["entries"] == 3
    assert "1 text has no label, which tells against every label" in shell.stderr
    report = shell.json("evaluate", folder, table)
    assert (report["texts"], report["unknown_labels"]) == (3, [])
