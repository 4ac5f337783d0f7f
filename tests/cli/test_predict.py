import csv
import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mann_hf.cli import main
from mann_hf.models import MANNForSequenceClassification
from mann_hf.pipelines import FewShotTextClassificationPipeline, few_shot

from .conftest import EXAMPLES, Shell

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def pipeline(taught: Path) -> FewShotTextClassificationPipeline:
    return FewShotTextClassificationPipeline(model=MANNForSequenceClassification.from_pretrained(taught))


def close(answers: Any) -> Any:
    """The same answers with scores and weights to be compared approximately."""
    if isinstance(answers, (list, tuple)):
        return [close(answer) for answer in answers]
    if isinstance(answers, dict):
        return {key: close(value) for key, value in answers.items()}
    return pytest.approx(answers, abs=1e-5) if isinstance(answers, float) else answers


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ([], {}),
        (["--top-k", 2], {"top_k": 2}),
        (["--top-k", 99], {"top_k": 99}),
        (["--evidence", 1], {"evidence": 1}),
        (["--evidence", 0, "--top-k", 1], {"evidence": 0, "top_k": 1}),
    ],
)
def test_json_is_what_the_pipeline_returns(
    shell: Shell,
    taught: Path,
    shots: Path,
    pipeline: FewShotTextClassificationPipeline,
    options: list[Any],
    arguments: dict[str, Any],
) -> None:
    assert shell.json("predict", taught, "where is my card?", *options) == close(
        pipeline("where is my card?", **arguments)
    )
    assert shell.stderr == ""
    assert shell.json("predict", taught, shots, *options) == close(pipeline(list(EXAMPLES), **arguments))


def test_a_text_is_answered_with_evidence(
    shell: Shell, taught: Path, pipeline: FewShotTextClassificationPipeline
) -> None:
    answer = pipeline("where is my card?", evidence=2)[0]
    behind = [f"\t{e['weight']:+.4f}\t{e['label']}\t{e['text']}\t[{e['id']}]\n" for e in answer["evidence"]]
    assert shell("predict", taught, "where is my card?", "--evidence", 2) == (
        f"{answer['label']}\t{answer['score']:.4f}\n" + "".join(behind)
    )
    assert shell("predict", taught, "where is my card?").startswith(f"{answer['label']}\t{answer['score']:.4f}\n\t+")
    assert shell("predict", taught, "where is my card?", "--evidence", 0).count("\n") == 1


def test_a_table_is_answered_a_line_a_text(
    shell: Shell, taught: Path, shots: Path, pipeline: FewShotTextClassificationPipeline
) -> None:
    answers = pipeline(list(EXAMPLES))
    lines = [
        f"{answer['label']}\t{answer['score']:.4f}\t{text}\n" for text, answer in zip(EXAMPLES, answers, strict=True)
    ]
    assert shell("predict", taught, shots) == "".join(lines)
    assert shell("predict", taught, shots, "--top-k", 3).count("\n") == 3 * len(EXAMPLES)
    assert shell("predict", taught, shots, "--evidence", 1).count("\n") == 2 * len(EXAMPLES)


def test_texts_that_are_not_stored_are_said_so(shell: Shell, shots: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, store_texts=False, label_names=False)
    classifier = FewShotTextClassificationPipeline(model=model)
    classifier.remember(list(EXAMPLES), list(EXAMPLES.values()))
    classifier.save_pretrained(tmp_path / "forgetful")
    assert "\t(its text was not stored)\t[" in shell("predict", tmp_path / "forgetful", "my card")


def test_the_text_column_has_any_name(shell: Shell, taught: Path, write: Write) -> None:
    table = write("t.csv", "id,words\n1,my card\n")
    assert len(shell.json("predict", taught, table, "--text-column", "words")) == 1
    assert "has no column 'text' nor another usual name; it has 'id', 'words'" in shell.fails("predict", taught, table)


def test_the_second_argument_may_be_said_to_be_a_text_or_a_table(
    shell: Shell, taught: Path, shots: Path, write: Write, tmp_path: Path
) -> None:
    assert len(shell.json("predict", taught, shots)) == len(EXAMPLES)
    assert shell("predict", taught, shots, "--text").count("\n") > 1
    assert len(shell.json("predict", taught, shots, "--text")) == 1
    notes = write("notes.pdf", "hello")
    assert "or --text to classify the words themselves." in shell.fails("predict", taught, notes)
    assert "is read as a table only if its name ends in" in shell.fails("predict", taught, notes, "--table")
    assert "Couldn't reach 'owner/name' on the Hub" in shell.fails("predict", taught, "owner/name", "--table")
    assert len(shell.json("predict", taught, "owner/name")) == 1


def test_what_exists_is_read_and_never_its_name(
    shell: Shell, taught: Path, shots: Path, write: Write, tmp_path: Path
) -> None:
    folder = tmp_path / "questions"
    folder.mkdir()
    shutil.copy(shots, folder / "test.csv")
    expected = shell.json("predict", taught, shots)
    assert shell.json("predict", taught, folder) == expected
    assert shell.json("predict", taught, "-", given="\n".join(EXAMPLES)) == expected
    assert len(shell.json("predict", taught, folder, "--text")) == 1
    assert "nothing came from standard input" in shell.fails("predict", taught, "-")
    assert "there is no file or folder 'missing.csv'" in shell.fails("predict", taught, "missing.csv")
    (tmp_path / "empty").mkdir()
    assert "holds no table" in shell.fails("predict", taught, tmp_path / "empty")


def test_rows_of_answers_are_those_of_the_table(shell: Shell, taught: Path, write: Write, tmp_path: Path) -> None:
    table = write("t.csv", "text\nmy card\nlost, card\nmoney\n")
    shell("predict", taught, table, "--skip-bad-rows", "--output", tmp_path / "answers.jsonl")
    assert "skipped 1 of 3 rows: row 2 (line 3) has 2 cells" in shell.stderr
    answers = map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())
    assert [(answer["row"], answer["text"]) for answer in answers] == [(1, "my card"), (3, "money")]


def test_the_split_of_a_data_set(shell: Shell, taught: Path, tmp_path: Path) -> None:
    from datasets import Dataset

    folder = tmp_path / "set"
    folder.mkdir()
    Dataset.from_dict({"text": ["pay"]}).to_parquet(folder / "train.parquet")
    Dataset.from_dict({"text": ["bill", "pay"]}).to_parquet(folder / "test.parquet")
    assert len(shell.json("predict", taught, folder, "--table")) == 2
    assert len(shell.json("predict", taught, folder, "--table", "--split", "train")) == 1


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "OUT.CSV"])
def test_answers_are_written_as_a_table(shell: Shell, taught: Path, write: Write, tmp_path: Path, name: str) -> None:
    table = write("t.json", json.dumps([{"text": 'my "card", lost'}, {"text": "pay\nbill"}]))
    answers = shell.json("predict", taught, table, "--top-k", 2)
    assert shell("predict", taught, table, "--output", tmp_path / name, "--top-k", 2) == ""
    assert shell.stderr == f"Wrote the answers for 2 texts to {tmp_path / name}.\n"
    with open(tmp_path / name, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if name.endswith("tsv") else ","))
    assert [(row["text"], row["predicted_label"], float(row["predicted_score"])) for row in rows] == [
        (text, answer["label"], pytest.approx(answer["score"]))
        for text, ranked in (('my "card", lost', answers[0]), ("pay\nbill", answers[1]))
        for answer in ranked
    ]
    assert len(shell.json("predict", taught, tmp_path / name)) == 4  # what is written can be read


@pytest.mark.parametrize("name", ["out.json", "out.jsonl"])
def test_answers_are_written_with_their_evidence(
    shell: Shell, taught: Path, write: Write, tmp_path: Path, name: str
) -> None:
    table = write("t.csv", "text\n" + "\n".join(EXAMPLES))
    answers = shell.json("predict", taught, table, "--evidence", 2)
    document = shell.json("predict", taught, table, "--evidence", 2, "--output", tmp_path / name)
    assert document == {"output": str(tmp_path / name), "texts": 6}
    content = (tmp_path / name).read_text(encoding="utf-8")
    rows = json.loads(content) if name.endswith("json") else [json.loads(line) for line in content.splitlines()]
    assert rows == [
        {"text": text, **{f"predicted_{key}": close(value) for key, value in answer.items()}}
        for text, answer in zip(EXAMPLES, answers, strict=True)
    ]


def test_a_single_text_is_written_too(shell: Shell, taught: Path, tmp_path: Path) -> None:
    shell("predict", taught, "my card", "--output", tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["text"] == "my card"


@pytest.mark.parametrize(
    ("name", "options", "message", "status"),
    [
        ("out.txt", [], "should end in .csv, .tsv, .json, .jsonl, .xlsx.", 2),
        ("out.csv", ["--evidence", 1], "evidence is written to .json and .jsonl alone.", 2),
        ("missing/out.csv", [], "to write 'out.csv' to; make it first.", 1),
        ("out.xlsx", ["--evidence", 1], "evidence is written to .json and .jsonl alone.", 2),
        ("shots.csv", [], "is the table that is asked about, and would be lost; give --output another name.", 1),
        ("folder.csv", [], "is a folder; give the name of a file to write.", 1),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_work(
    shell: Shell, shots: Path, tmp_path: Path, name: str, options: list[Any], message: str, status: int
) -> None:
    (tmp_path / "folder.csv").mkdir()
    error = shell.fails("predict", "no-folder", shots, "--output", tmp_path / name, *options, status=status)
    assert message in error


@pytest.mark.parametrize("source", ["link.csv", "hard.csv", "questions", "-"])
def test_what_is_read_is_never_written_over(
    shell: Shell, shots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    (tmp_path / "questions").mkdir()
    os.link(shots, tmp_path / "questions" / "q.csv")
    os.link(shots, tmp_path / "hard.csv")
    (tmp_path / "link.csv").symlink_to(shots)
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **more: stat(shots if path == 0 else path, **more))  # as with < shots
    table = source if source == "-" else tmp_path / source
    assert "is the table that is asked about" in shell.fails("predict", "no-folder", table, "--output", shots)


def test_answers_do_not_go_into_the_classifier(shell: Shell, taught: Path, shots: Path) -> None:
    error = shell.fails("predict", taught, shots, "--output", taught / "config.json")
    assert "lies in the classifier's own folder" in error


OTHERS = "id,utterance,label,score,extra,extra\n007,my card,x,1,=1+1,b\nNA,pay,y,2,,\n"


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.json", "out.jsonl", "out.xlsx"])
def test_the_other_columns_of_a_table_are_kept(
    shell: Shell, taught: Path, write: Write, tmp_path: Path, name: str
) -> None:
    table = write("t.csv", OTHERS)
    shell("predict", taught, table, "--output", tmp_path / name)
    assert shell.stderr.count("\n") == 2
    rows = written(tmp_path / name)
    kept = ["id", "utterance", "label", "score", "extra", "extra.1", "predicted_label", "predicted_score"]
    assert [list(row)[:8] for row in rows] == [kept, kept]
    assert [[str(row[key] or "") for key in kept[:6]] for row in rows] == [
        ["007", "my card", "x", "1", "=1+1", "b"],
        ["NA", "pay", "y", "2", "", ""],
    ]
    answers = shell.json("predict", taught, table)
    assert [row["predicted_label"] for row in rows] == [answer["label"] for answer in answers]
    assert [float(row["predicted_score"]) for row in rows] == close([answer["score"] for answer in answers])


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_answers_of_an_earlier_run_are_kept(
    shell: Shell, taught: Path, write: Write, tmp_path: Path, name: str
) -> None:
    table: Path = write("t.csv", "text,label\nmy card,wanted\n")
    for run in range(4):
        shell("predict", taught, table, "--output", tmp_path / f"{run}-{name}")
        said = shell.stderr
        table = tmp_path / f"{run}-{name}"
    (row,) = written(table)
    answer = row["predicted_label"]
    assert row["label"] == "wanted" != answer
    assert [row[f"predicted_label.{run}"] for run in (1, 2, 3)] == [answer] * 3
    assert {f"predicted_score{end}" for end in ("", ".1", ".2", ".3")} <= row.keys()
    assert ("predicted_evidence.3" in row) == (name == "out.jsonl") == ("predicted_evidence.3" in said)
    assert "'predicted_label.3' and 'predicted_score.3'" in said


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("utterance,a,a,a.1", {"a": "1", "a.2": "2", "a.1": "3"}),
        ("utterance,a.1,a,a", {"a.1": "1", "a": "2", "a.2": "3"}),
        ("utterance,,,.1", {"": "1", ".2": "2", ".1": "3"}),
        ("text,predicted_label,predicted_label.1,label", {"predicted_label": "1", "predicted_label.1": "2"}),
    ],
)
def test_no_two_columns_of_the_answers_have_one_name(
    shell: Shell, taught: Path, write: Write, tmp_path: Path, header: str, kept: dict[str, str]
) -> None:
    shell("predict", taught, write("t.csv", f"{header}\nmy card,1,2,3\n"), "--output", tmp_path / "out.csv")
    (row,) = written(tmp_path / "out.csv")
    assert len(row) == 6
    assert {name: row[name] for name in kept} == kept


def test_a_column_named_text_is_kept_beside_the_texts(shell: Shell, taught: Path, write: Write, tmp_path: Path) -> None:
    table = write("t.json", json.dumps([{"text": "mine", "asked": "my card"}]))
    shell("predict", taught, table, "--no-header", "--text-column", "asked", "--output", tmp_path / "out.json")
    (row,) = written(tmp_path / "out.json")
    assert (row["asked"], row["text"]) == ("my card", "mine")


def written(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of answers."""
    if path.suffix == ".xlsx":
        openpyxl = pytest.importorskip("openpyxl")
        header, *rows = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
        return [dict(zip(header, row, strict=True)) for row in rows]
    text = path.read_text(encoding="utf-8")
    if path.suffix in (".csv", ".tsv"):
        return list(csv.DictReader(text.splitlines(), delimiter="\t" if path.suffix == ".tsv" else ","))
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def test_other_columns_of_json_and_of_files_of_a_folder(
    shell: Shell, taught: Path, write: Write, tmp_path: Path
) -> None:
    rows = [{"text": "my card", "more": {"a": [1, None]}}, {"text": "pay", "n": 1.5}]
    shell("predict", taught, write("t.json", json.dumps(rows)), "--output", tmp_path / "out.json")
    first, second = written(tmp_path / "out.json")
    assert (first["more"], first["n"], second["more"], second["n"]) == ({"a": [1, None]}, None, None, 1.5)
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "test-1.csv").write_text("text,id\nmy card,1\n")
    (folder / "test-2.csv").write_text("id,text\n2,pay\n")
    shell("predict", taught, folder, "--output", tmp_path / "out.csv")
    assert [(row["text"], row["id"]) for row in written(tmp_path / "out.csv")] == [("my card", "1"), ("pay", "2")]
    (folder / "test-3.csv").write_text("text,other\nbill,3\n")
    shell("predict", taught, folder, "--output", tmp_path / "out.csv")
    assert "its files differ in their columns, of which only the texts are kept." in shell.stderr
    assert [list(row) for row in written(tmp_path / "out.csv")] == [["text", "predicted_label", "predicted_score"]] * 3


def test_the_evidence_of_several_labels_names_them(
    shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path
) -> None:
    table = write("t.csv", "text,label\nlate and broken,late|broken\nit is late,late\n")
    shell("remember", tmp_path / "new", table, "--encoder", tiny_encoder, "--multi-label")
    assert "\tlate|broken\tlate and broken\t[" in shell("predict", tmp_path / "new", "late and broken")


@pytest.mark.parametrize("header", ["text,label", "Kategorie,text", "Label,text", "text,id"])
@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.xlsx"])
def test_answers_are_never_read_as_labels(
    shell: Shell, taught: Path, write: Write, tmp_path: Path, header: str, name: str
) -> None:
    cells = {"text": "my card"}
    row = ",".join(cells.get(each, "wrong") for each in header.split(","))
    table = write("t.csv", f"{header}\n{row}\n")
    shell("predict", taught, table, "--output", tmp_path / name)
    if "id" in header:
        assert "has no column 'label'" in shell.fails("evaluate", taught, tmp_path / name)
        assert "has no column 'label'" in shell.fails("remember", taught, tmp_path / name)
    else:
        assert shell.json("evaluate", taught, tmp_path / name)["unknown_labels"] == ["wrong"]


@pytest.fixture
def several(tmp_path: Path, tiny_encoder: Path) -> Path:
    """A classifier of texts with several labels or none."""
    model = MANNForSequenceClassification.from_encoder_pretrained(
        tiny_encoder, problem_type="multi_label_classification"
    )
    classifier = FewShotTextClassificationPipeline(model=model)
    classifier.remember(list(SEVERAL), list(SEVERAL.values()))
    classifier.save_pretrained(tmp_path / "several")
    return tmp_path / "several"


SEVERAL = {
    **{f"card and money {n}": ["card", "money"] for n in range(6)},
    **{f"please reset password {n}": [] for n in range(6)},
    **{f"lost card {n}": ["card"] for n in range(6)},
}


class TestSeveralLabels:
    def test_only_the_evidence_that_is_shown_is_worked_out(
        self, shell: Shell, several: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        explained: list[Any] = []
        explain = few_shot._explained

        def count(*given: Any) -> Any:
            explained.append(given)
            return explain(*given)

        monkeypatch.setattr(few_shot, "_explained", count)
        assert len(shell.json("predict", several, "lost card 1")) == len(explained) == 1

    @pytest.mark.parametrize("name", ["out.csv", "out.xlsx", "out.jsonl"])
    def test_all_are_written_as_they_are_taught(
        self, shell: Shell, several: Path, write: Write, tmp_path: Path, name: str
    ) -> None:
        table = write("t.csv", "text\n" + "\n".join(SEVERAL))
        answers = shell.json("predict", several, table)
        labels = [[answer["label"] for answer in ranked] for ranked in answers]
        assert {0, 2} <= set(map(len, labels))
        assert all(answer["score"] > 0.5 for ranked in answers for answer in ranked)
        shell("predict", several, table, "--output", tmp_path / name)
        rows = written(tmp_path / name)
        if name == "out.jsonl":
            assert [row["predicted_label"] for row in rows] == labels
            assert [len(row["predicted_evidence"]) for row in rows] == list(map(len, labels))
        else:
            assert [row["predicted_label"] or "" for row in rows] == ["|".join(each) for each in labels]
        scores = shell.json("evaluate", several, tmp_path / name, "--label-column", "predicted_label")
        assert scores["accuracy"] == 1

    def test_they_are_printed(self, shell: Shell, several: Path, write: Write) -> None:
        table = write("t.csv", "text\ncard and money 1\nplease reset password 1\n")
        both, none = shell("predict", several, table).splitlines()
        assert {*both.split("\t")[0].split("|")} == {"card", "money"} and both.endswith("\tcard and money 1")
        assert none == "\t\tplease reset password 1"
        assert shell("predict", several, "please reset password 1") == ""
        assert "no label has a score above one half" in shell.stderr
        assert shell.json("predict", several, "please reset password 1") == []
        assert len(shell.json("predict", several, "card and money 1")) == 2
        assert len(shell("predict", several, "card and money 1", "--evidence", 0).splitlines()) == 2
        assert len(shell.json("predict", several, "please reset password 1", "--top-k", 1)) == 1

    def test_a_label_with_a_bar_stays_one(self, shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path) -> None:
        rows = [{"text": f"card {n}", "label": ["a|b", "c"]} for n in range(4)]
        table = write("t.json", json.dumps(rows))
        shell("remember", tmp_path / "new", table, "--encoder", tiny_encoder, "--multi-label")
        shell("predict", tmp_path / "new", table, "--output", tmp_path / "out.csv")
        asked = ("--label-column", "predicted_label")
        assert shell.json("evaluate", tmp_path / "new", tmp_path / "out.csv", *asked)["accuracy"] == 1


@pytest.mark.parametrize("targets", [["1.5", "7", "3.25"], ["1.5|-200", "7|-100", "3.25|-300"]])
def test_a_regression_answers_with_its_numbers_alone(
    shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path, targets: list[str]
) -> None:
    table = write("t.csv", "text,label\n" + "".join(f"card {n},{each}\n" for n, each in enumerate(targets)))
    folder = tmp_path / "numbers"
    shell("remember", folder, table, "--encoder", tiny_encoder, "--problem-type", "regression")
    said = shell("predict", folder, "card 1", "--evidence", 0)
    numbers = [float(line) for line in said.splitlines()]
    assert len(numbers) == targets[0].count("|") + 1 and numbers == sorted(numbers, reverse=True)
    first = shell("predict", folder, table).splitlines()[1].split("\t")
    assert first == ["|".join(said.split()), "card 1"]
    shell("predict", folder, table, "--output", tmp_path / "out.csv")
    assert list(written(tmp_path / "out.csv")[0]) == ["text", "label", "predicted_label"]
    report = shell.json("evaluate", folder, tmp_path / "out.csv", "--label-column", "predicted_label")
    assert report["mean_absolute_error"] < 1e-3
    assert "a regression answers with numbers" in shell.fails("predict", folder, "a", "--top-k", 1, status=2)


@pytest.mark.parametrize("option", ["--top-k", "--evidence"])
@pytest.mark.parametrize("value", ["-1", "many"])
def test_counts_that_make_no_sense_are_wrong_usage(shell: Shell, taught: Path, option: str, value: str) -> None:
    assert f"Invalid value for '{option}'" in shell.fails("predict", taught, "my card", option, value, status=2)
    assert "Invalid value for '--top-k'" in shell.fails("predict", taught, "my card", "--top-k", "0", status=2)


@pytest.mark.parametrize(
    ("text", "message"), [("", "the text is empty"), ("  ", "the text is empty"), ("\udcff", "surrogate")]
)
def test_a_text_that_is_none_is_refused(shell: Shell, taught: Path, text: str, message: str) -> None:
    assert message in shell.fails("predict", taught, text)


def test_texts_and_labels_do_not_steer_the_terminal(shell: Shell, taught: Path, write: Write) -> None:
    table = write("t.json", json.dumps([{"text": "pay\x1b[2Jnow\nplease", "label": "pay\x1b[31m"}]))
    shell("remember", taught, table)
    shown = shell("predict", taught, table, "--top-k", 9, "--evidence", 9)
    assert "pay [2Jnow please" in shown and "\x1b" not in shown


def test_no_command_lets_a_folder_steer_the_terminal(
    taught: Path, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    """In labels, texts, columns, names of weights and fields of its files, on either stream."""
    evil = "\x1b[2J\x9b2J\u202e"
    table = write("t.json", json.dumps([{"text": f"pay{evil}now", "label": f"pay{evil}"}] * 2))
    weights = load_file(taught / "model.safetensors")
    save_file(weights | {f"odd{evil}": torch.zeros(1)}, taught / "model.safetensors", metadata={"format": "pt"})
    (taught / "model_card.json").write_text(json.dumps({"license": [f"x{evil}"]}))
    wrong = write("w.csv", f"text,label{evil}\na,b\n")
    calls: tuple[list[object], ...] = (
        ["remember", taught, table],
        *(["predict", taught, table, "--top-k", 9, "--evidence", 9, *more] for more in ([], ["--json"])),
        ["predict", taught, f"my{evil}card", "--text"],
        *(["evaluate", taught, table, "--per-label", *more] for more in ([], ["--json"])),
        ["evaluate", taught, wrong],
        ["forget", taught, "--label", f"no{evil}"],
        ["forget", taught, "--label", f"pay{evil}", "--json"],
        ["remember", taught, table, "--encoder", evil],
        ["predict", f"no{evil}folder", "a"],
        ["predict", taught, "a", f"--no{evil}"],
    )
    for arguments in calls:
        with pytest.MonkeyPatch.context() as patch, suppress(SystemExit):
            patch.setattr(sys, "argv", ["mann-hf", *map(str, arguments)])
            main()
        shown = capfd.readouterr()
        assert shown.out or shown.err
        for stream in shown:
            assert all(letter.isprintable() or letter in "\t\n" for letter in stream), (arguments, stream)


def test_a_text_may_begin_with_a_dash(shell: Shell, taught: Path) -> None:
    assert shell("predict", "--evidence", 0, taught, "--", "-5 on my account").count("\n") == 1


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_other_problems_are_answered(
    shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path, problem: str
) -> None:
    labels = ("a|b", "c") if problem != "regression" else ("1", "2")
    table = write("t.csv", f"text,label\nmy card,{labels[0]}\nmy money,{labels[1]}\n")
    folder = tmp_path / "new"
    shell("remember", folder, table, "--encoder", tiny_encoder, "--problem-type", problem)
    pipeline = FewShotTextClassificationPipeline(model=MANNForSequenceClassification.from_pretrained(folder))
    if problem == "regression":
        assert shell.json("predict", folder, "my card") == close(pipeline("my card"))
        assert shell("predict", folder, "my card").startswith(f"{pipeline('my card')[0]['score']:.4f}\n")
    else:
        assert shell.json("predict", folder, "my card", "--top-k", 3) == close(pipeline("my card", top_k=3))
        assert shell("predict", folder, "my card").startswith(pipeline("my card")[0]["label"])
