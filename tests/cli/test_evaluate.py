import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from datasets import ClassLabel, Dataset, Features, Value

from mann_hf.cards import EvaluationResult, MANNModelCardData
from mann_hf.cli.scores import calibration_error, score_interval
from mann_hf.models import MANNForSequenceClassification
from mann_hf.pipelines import FewShotTextClassificationPipeline

from .conftest import EXAMPLES, Shell, files

Write = Callable[[str, str | bytes], Path]
ASKED = {
    "my card is lost or stolen": "lost_card",
    "when will the new card come": "card_arrival",
    "i am still without a card": "lost_card",
    "please send the money": "refund",
    "help me pay": "payment",
    "a new password": "password",
}


@pytest.fixture
def asked(write: Write) -> Path:
    return write("asked.csv", "text,label\n" + "".join(f"{text},{label}\n" for text, label in ASKED.items()))


def open_(folder: Path) -> FewShotTextClassificationPipeline:
    return FewShotTextClassificationPipeline(model=MANNForSequenceClassification.from_pretrained(folder))


def test_figures_are_those_of_the_answers(shell: Shell, taught: Path, asked: Path) -> None:
    from sklearn.metrics import accuracy_score, classification_report, f1_score

    answers = open_(taught)(list(ASKED))
    truth, given = list(ASKED.values()), [answer["label"] for answer in answers]
    right = [t == g for t, g in zip(truth, given, strict=True)]
    report = shell.json("evaluate", taught, asked, "--per-label")
    details = classification_report(truth, given, output_dict=True, zero_division=0.0)
    per_label = {
        label: pytest.approx(
            {
                "texts": details[label]["support"],
                "precision": details[label]["precision"],
                "recall": details[label]["recall"],
                "f1": details[label]["f1-score"],
            }
        )
        for label in sorted({*truth, *given})
    }
    assert report == {
        "texts": 6,
        "accuracy": pytest.approx(accuracy_score(truth, given)),
        "macro_f1": pytest.approx(f1_score(truth, given, average="macro", zero_division=0.0)),
        "expected_calibration_error": pytest.approx(calibration_error([a["score"] for a in answers], right), abs=1e-5),
        "per_label": per_label,
        "unknown_labels": ["payment"],
        "texts_in_memory": 0,
    }
    assert shell.stderr == ""
    assert 0 < report["accuracy"] < 1


def test_what_people_read(shell: Shell, taught: Path, asked: Path) -> None:
    report = shell.json("evaluate", taught, asked)
    assert "per_label" not in report
    assert shell("evaluate", taught, asked) == (
        "texts                       6\n"
        f"accuracy                    {report['accuracy']:.4f}\n"
        f"macro F1                    {report['macro_f1']:.4f}\n"
        f"expected calibration error  {report['expected_calibration_error']:.4f}\n"
    )
    assert shell.stderr == "1 label of the table not in the memory, whose texts count as wrong: 'payment'.\n"


def test_the_table_of_labels(shell: Shell, taught: Path, write: Write) -> None:
    long = "a_label_" * 20
    table = write("t.csv", f"text,label\nmy card is lost,lost_card\nhelp,{long}\nhelp,[red]\n")
    lines = [line.split() for line in shell("evaluate", taught, table, "--per-label").splitlines()]
    assert lines[4] == ["label", "texts", "precision", "recall", "F1"]
    rows = {line[0]: line[1:] for line in lines[5:]}
    assert rows[long] == rows["[red]"] == ["1", "0.0000", "0.0000", "0.0000"]
    assert rows["lost_card"][0] == "1"


def test_a_table_of_known_labels_says_no_more(shell: Shell, taught: Path, shots: Path) -> None:
    assert shell.json("evaluate", taught, shots)["unknown_labels"] == []
    shell("evaluate", taught, shots)
    assert "not in the memory" not in shell.stderr


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_texts_that_were_taught_are_said(shell: Shell, taught: Path, write: Write, more: list[str]) -> None:
    table = write("t.csv", "text,label\nMy card  is lost,lost_card\nhelp,refund\nsend the money,refund\n")
    shell("evaluate", taught, table, *more)
    assert "t.csv: 1 of 3 texts is in the memory, where answers are mostly right; for figures that" in shell.stderr


def test_without_stored_texts_none_is_said_to_be_taught(
    shell: Shell, tiny_encoder: Path, tmp_path: Path, shots: Path
) -> None:
    model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, store_texts=False)
    classifier = FewShotTextClassificationPipeline(model=model)
    classifier.remember(list(EXAMPLES), list(EXAMPLES.values()))
    classifier.save_pretrained(tmp_path / "new")
    assert shell.json("evaluate", tmp_path / "new", shots)["texts_in_memory"] is None
    assert shell.stderr == ""


@pytest.mark.parametrize("command", ["evaluate", "remember"])
def test_a_label_that_differs_from_a_stored_one_in_case_alone_is_said(
    shell: Shell, taught: Path, write: Write, command: str
) -> None:
    table = write("t.csv", "text,label\nsend the money,Refund\nhelp me pay,refund\n")
    shell(command, taught, table)
    assert "t.csv: 1 label is not written as in the memory, 'Refund' (there 'refund'), and so not the" in shell.stderr


def test_class_numbers_are_compared_by_their_names(shell: Shell, taught: Path, tmp_path: Path) -> None:
    features = Features({"body": Value("string"), "intent": ClassLabel(names=["refund", "lost_card"])})
    rows = {"body": ["my card is lost"], "intent": [1]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "t.parquet")
    report = shell.json("evaluate", taught, tmp_path / "t.parquet", "--text-column", "body", "--label-column", "intent")
    assert (report["accuracy"], report["unknown_labels"]) == (1, [])


def test_the_split_of_a_data_set(shell: Shell, taught: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for split, count in (("train", 1), ("test", 2)):
        rows = {"text": ["my card is lost"] * count, "label": ["lost_card"] * count}
        Dataset.from_dict(rows).to_parquet(folder / f"{split}.parquet")
    assert shell.json("evaluate", taught, folder)["texts"] == 2
    assert shell.json("evaluate", taught, folder, "--split", "train")["texts"] == 1
    assert "has no split 'dev': by the names of its files it has 'train' (" in shell.fails(
        "evaluate", taught, folder, "--split", "dev"
    )


def test_several_labels(shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path) -> None:
    taught = {"my card was stolen": "card|lost", "please refund my money": "money", "reset my password": "password"}
    truth = {**taught, "lost my money": "money|lost|unheard"}

    def table(rows: dict[str, str]) -> Path:
        return write("t.csv", "text,label\n" + "".join(f"{text},{labels}\n" for text, labels in rows.items()))

    folder = tmp_path / "new"
    shell("remember", folder, table(taught), "--encoder", tiny_encoder, "--multi-label")
    report = shell.json("evaluate", folder, table(truth), "--per-label")
    answers = open_(folder)(list(truth), top_k=None)
    given = [{answer["label"] for answer in ranked if answer["score"] > 0.5} for ranked in answers]
    wanted = [set(labels.split("|")) for labels in truth.values()]
    decisions = [
        (answer["score"], answer["label"] in labels)
        for ranked, labels in zip(answers, wanted, strict=True)
        for answer in ranked
    ]
    assert report["accuracy"] == sum(g == w for g, w in zip(given, wanted, strict=True)) / 4
    assert report["expected_calibration_error"] == pytest.approx(
        calibration_error([score for score, _ in decisions], [right for _, right in decisions]), abs=1e-5
    )
    assert report["unknown_labels"] == ["unheard"]
    assert set(report["per_label"]) == {"card", "lost", "money", "password", "unheard"}
    assert report["macro_f1"] == pytest.approx(sum(s["f1"] for s in report["per_label"].values()) / 5)


@pytest.mark.parametrize("targets", [1, 2])
def test_regression(shell: Shell, tiny_encoder: Path, write: Write, tmp_path: Path, targets: int) -> None:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    numbers = {text: [float(row), row**2 / 2][:targets] for row, text in enumerate(EXAMPLES)}
    rows = (f"{text},{'|'.join(map(str, values))}\n" for text, values in numbers.items())
    table = write("t.csv", "text,label\n" + "".join(rows))
    folder = tmp_path / "new"
    shell("remember", folder, table, "--encoder", tiny_encoder, "--problem-type", "regression")
    report = shell.json("evaluate", folder, table)
    classifier = open_(folder)
    column = classifier.model.config.label2id or {}
    given: list[Any] = [[0.0] * targets for _ in numbers]
    for row, ranked in zip(given, classifier(list(numbers), top_k=None), strict=True):
        for answer in ranked:
            row[column[answer["label"]]] = answer["score"]
    truth = list(numbers.values())
    assert report == pytest.approx(
        {
            "texts": 6,
            "mean_absolute_error": mean_absolute_error(truth, given),
            "mean_squared_error": mean_squared_error(truth, given),
            "r2": r2_score(truth, given),
            "texts_in_memory": 6,
        },
        abs=1e-5,
    )
    shown = shell("evaluate", folder, table)
    assert f"R²                   {report['r2']:.4f}\n" in shown and "accuracy" not in shown
    refused = shell.fails("evaluate", folder, table, "--per-label", status=2)
    assert "--per-label: a regression has numbers and no labels" in refused
    alike = write("alike.csv", "text,label\n" + f"my card,{'|'.join(['1'] * targets)}\n" * 2)
    assert "R²                   undefined\n" in shell("evaluate", folder, alike)
    wider = write("wider.csv", f"text,label\nmy card,{'|'.join(['1'] * (targets + 1))}\n")
    error = shell.fails("evaluate", folder, wider)
    assert f"has {targets + 1} numbers for each text, and the classifier in '{folder}' answers with {targets}." in error


def test_what_is_wrong_is_told(shell: Shell, taught: Path, asked: Path, tmp_path: Path) -> None:
    assert "there is no folder" in shell.fails("evaluate", tmp_path / "nothing", asked)
    assert "has no column 'intent'" in shell.fails("evaluate", taught, asked, "--label-column", "intent")
    assert "has no column 'body'" in shell.fails("evaluate", taught, asked, "--text-column", "body")
    shell("forget", taught, *(word for label in set(EXAMPLES.values()) for word in ("--label", label)))
    assert "is empty; teach it with `mann-hf remember" in shell.fails("evaluate", taught, asked)


class TestToCard:
    def test_the_figures_are_in_the_card(self, shell: Shell, taught: Path, shots: Path) -> None:
        report = shell.json("evaluate", taught, shots, "--to-card")
        said = MANNModelCardData.from_json((taught / "model_card.json").read_text())
        assert [result.metric for result in said.results] == ["accuracy", "macro_f1", "expected_calibration_error"]
        accuracy = said.results[0]
        assert accuracy.value == report["accuracy"] and accuracy.count == report["texts"] == 6
        assert accuracy.ends == pytest.approx(score_interval(report["accuracy"], 6)) and accuracy.interval is None
        assert (accuracy.dataset, accuracy.task) == (
            "shots.csv",
            "answers from 6 stored texts, 6 of the 6 texts asked about among them",
        )
        assert accuracy.dataset_id is None and accuracy.dataset_split is None
        assert (
            "asked about among them, n = 6 | accuracy | 100.0 (61.0 to 100.0) % |" in (taught / "README.md").read_text()
        )

    def test_figures_of_an_earlier_memory_go(self, shell: Shell, taught: Path, shots: Path) -> None:
        shell("evaluate", taught, shots, "--to-card")
        shell("forget", taught, "--label", "refund")
        shell("evaluate", taught, shots, "--to-card")
        said = MANNModelCardData.from_json((taught / "model_card.json").read_text())
        assert {result.task.partition(",")[0] for result in said.results} == {"answers from 5 stored texts"} and len(
            said.results
        ) == 3
        assert "| `refund` |" not in (taught / "README.md").read_text()

    def test_figures_of_ones_own_stay(self, shell: Shell, taught: Path, shots: Path) -> None:
        own = EvaluationResult("accuracy", 0.5, "shots.csv", "by hand")
        (taught / "model_card.json").write_text(MANNModelCardData(results=[own]).to_json())
        for _ in range(2):
            shell("evaluate", taught, shots, "--to-card")
        said = MANNModelCardData.from_json((taught / "model_card.json").read_text())
        assert said.results[0] == own and len(said.results) == 4

    def test_of_a_folder_its_name_alone(self, shell: Shell, taught: Path, shots: Path, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        shutil.copy(shots, tmp_path / "data" / "test.csv")
        shell("evaluate", taught, f"{tmp_path}/data/", "--to-card")
        for result in MANNModelCardData.from_json((taught / "model_card.json").read_text()).results:
            assert (result.dataset, result.dataset_id, result.dataset_split) == ("data", None, "test")
        assert f"The figures are in the card, {taught}/README.md." in shell.stderr
        assert str(tmp_path) not in (taught / "README.md").read_text()

    def test_of_a_data_set_on_the_hub_its_name_there(
        self, shell: Shell, taught: Path, shots: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real: Any = datasets.load_dataset
        asked: list[Any] = []

        def load(name: str, configuration: str, split: str) -> Any:
            asked.append((name, configuration, split))
            return real("csv", data_files=str(shots), split="train")

        monkeypatch.setattr(datasets, "load_dataset", load)
        monkeypatch.setattr("mann_hf.cli.tables.hub.check_on_hub", lambda *given: None)
        shell("evaluate", taught, "me/messages:plain", "--split", "validation", "--to-card")
        assert asked == [("me/messages", "plain", "validation")]
        for result in MANNModelCardData.from_json((taught / "model_card.json").read_text()).results:
            assert (result.dataset, result.dataset_id) == ("me/messages:plain", "me/messages")
            assert result.dataset_split == "validation"
        (entry, *_) = yaml.safe_load((taught / ".eval_results" / "mann_hf.yaml").read_text())
        assert entry["dataset"]["id"] == "me/messages"

    def test_a_card_of_ones_own_is_told_of(self, shell: Shell, taught: Path, shots: Path) -> None:
        (taught / "README.md").write_text("# Mine")
        shell("evaluate", taught, shots, "--to-card")
        assert (taught / "README.md").read_text() == "# Mine"
        assert "has a card of your own, which stays as it is" in shell.stderr

    def test_nothing_is_written_unless_asked(self, shell: Shell, taught: Path, shots: Path) -> None:
        before = files(taught)
        shell("evaluate", taught, shots)
        assert files(taught) == before

    def test_of_a_folder_alone(self, shell: Shell, shots: Path) -> None:
        assert "there is no folder 'me/intents'" in shell.fails("evaluate", "me/intents", shots, "--to-card")
