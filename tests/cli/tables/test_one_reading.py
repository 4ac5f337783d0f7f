"""One table has one reading, whatever its form: the same memory bit for bit, or the same refusal."""

import datetime as dt
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from datasets import Dataset

from mann_hf.cli.options import MULTI_LABEL, REGRESSION, SINGLE_LABEL, TableOptions
from mann_hf.cli.tables import examples_of, read_table
from mann_hf.episodes import LabelledTable
from mann_hf.errors import MannError
from mann_hf.models import MANNForSequenceClassification
from mann_hf.pipelines import FewShotTextClassificationPipeline

TEXTS = ["wo ist, bitte, meine Karte? grüße", 'say "please"; or not', "reset my | password", " four  spaces "]
SINGLE: dict[str, list[Any]] = {
    "names": ["card", "refund", "passwörd", "card"],
    "whole numbers": [1, 2, 10, 1],
    "zeros in front": ["001", "007", "1", "001"],
    "booleans": [True, False, True, False],
    "words for nothing": ["NA", "None", "null", "nan"],
    "white space": ["card ", " card", "lost  card", "lost\u00a0card"],
    "whole floats": [1.0, 2.0, 1.0, 3.0],
    "fractions": [0.5, 1.5, 2.0, 0.5],
    "missing among numbers": [1.0, 2.0, None, 3.0],
    "missing among names": ["card", None, "refund", "card"],
    "lists as text": ["card", "['card', 'refund']", "refund", "card"],
    "lists": [["card"], ["card", "refund"], ["refund"], ["card"]],
    "one-hot rows": [[1, 0], [0, 1], [1, 0], [0, 1]],
    "dates": list(pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"])),
    "durations": list(pd.to_timedelta(["1 days", "2 days 01:30:00", "1 days", "-1 days"])),
    "decimals": [Decimal("1.25"), Decimal("2.00"), Decimal("10"), Decimal("0.75")],
    "large floats": [2.0**53, 2.0**53 + 2, 1.0, 2.0],
    "large whole numbers": [2**53 + 1, 2**53 + 2, 1, 2],
    "errors of spreadsheets": ["#N/A", "card", "#REF!", "card"],
    "dicts": [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}],
}
SEVERAL: dict[str, list[Any]] = {
    "lists": [["card"], ["card", "refund"], [], ["refund "]],
    "numbers in lists": [[1], [1, 2], [2], [3]],
    "multi-hot rows": [[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]],
    "bars": ["card|refund", "card", "refund | card", "card"],
    "none": ["card", None, "refund", "card"],
    "words for nothing": ["NA|card", "None", "null", "nan"],
    "semicolons": ["card; refund", "card", "refund", "card"],
}
NUMBERS: dict[str, list[Any]] = {
    "fractions": [0.5, 1.5, 2.0, -0.5],
    "decimals": [Decimal("1.25"), Decimal("2.00"), Decimal("10"), Decimal("0.75")],
    "lists": [[0.5, 1.0], [1.5, 2.0], [1.0, 2.0], [0.0, 0.0]],
    "decimal commas": ["1,5", "2,0", "3", "4"],
    "words for nothing": ["1.5", "nan", "2", "3"],
    "missing": [1.5, None, 2.0, 3.0],
    "too large": [1e39, 1.0, 2.0, 3.0],
    "booleans": [True, False, True, False],
}


def excel(table: pd.DataFrame, path: Path) -> None:
    """Lists, durations and whole numbers that are no floats are written as text there."""
    as_text = (list, dict, dt.timedelta)
    in_cells = table.map(lambda it: str(it) if isinstance(it, as_text) or (type(it) is int and it > 2**53) else it)
    in_cells.to_excel(path, index=False)


def lines(table: pd.DataFrame, path: Path) -> None:
    table.to_json(path, orient="records", lines=True, force_ascii=False, date_format="iso")


FORMS: dict[str, tuple[str, Callable[[pd.DataFrame, Path], Any]]] = {
    "csv": ("t.csv", lambda table, path: table.to_csv(path, index=False)),
    "semicolons": ("t.csv", lambda table, path: table.to_csv(path, index=False, sep=";")),
    "tsv": ("t.tsv", lambda table, path: table.to_csv(path, index=False, sep="\t")),
    "byte order mark": ("t.csv", lambda table, path: table.to_csv(path, index=False, encoding="utf-8-sig")),
    "latin-1": ("t.csv", lambda table, path: table.to_csv(path, index=False, encoding="latin-1")),
    "json lines": ("t.jsonl", lines),
    "json list": ("t.json", lambda t, path: t.to_json(path, orient="records", force_ascii=False, date_format="iso")),
    "parquet": ("t.parquet", lambda table, path: table.to_parquet(path)),
    "gz": ("t.csv.gz", lambda table, path: table.to_csv(path, index=False)),
    "Excel": ("t.xlsx", excel),
    "folder": ("set/train.csv", lambda table, path: table.to_csv(path, index=False)),
}


def without_place(refusal: str) -> str:
    """What is wrong, without the name of the file and the numbers of its lines; rows of a sheet as those of a table."""
    said = re.sub(r" \(line \d+\)", "", refusal.partition(": ")[2])
    return re.sub(r"row (\d+) of the sheet", lambda row: f"row {int(row[1]) - 1}", said)


@pytest.fixture(scope="module")
def classifiers(tiny_encoder: Path) -> dict[str, FewShotTextClassificationPipeline]:
    """One of each kind, with an empty memory."""
    made = {}
    for kind in (SINGLE_LABEL, MULTI_LABEL):
        model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder, problem_type=kind)
        made[kind] = FewShotTextClassificationPipeline(model=model)
    return made


def taught(classifier: FewShotTextClassificationPipeline, texts: Any, labels: Any, folder: Path) -> bytes:
    """The bytes of the memory that holds these texts."""
    own = classifier.with_own_memory()
    own.remember(texts, labels)
    own.save_memory(folder)
    return (folder / "memory.safetensors").read_bytes() + (folder / "memory.json").read_bytes()


def outcomes(problem_type: str, labels: list[Any], folder: Path, use: Callable[[Any, Path], Any]) -> dict[str, Any]:
    """What becomes of a table of these labels in each form: what is made of its examples, or how it is refused."""
    table = pd.DataFrame({"text": TEXTS, "label": pd.Series(labels)})
    found: dict[str, Any] = {}
    for form, (name, write) in FORMS.items():
        path = folder / form / name
        path.parent.mkdir(parents=True)
        write(table, path)
        try:
            read = read_table(str(path.parent if form == "folder" else path), TableOptions(), "train")
            found[form] = use(examples_of(read, problem_type, False), folder / form / "memory")
        except MannError as error:
            found[form] = without_place(str(error))
    return found


def has_fractions(labels: list[Any]) -> bool:
    """Whether Python refuses them, where they are texts in a table."""
    return any(isinstance(label, (float, Decimal)) and label % 1 for label in labels)


LABELS = [
    *(pytest.param(SINGLE_LABEL, labels, id=f"one: {kind}") for kind, labels in SINGLE.items()),
    *(pytest.param(MULTI_LABEL, labels, id=f"several: {kind}") for kind, labels in SEVERAL.items()),
]
AMOUNTS = [pytest.param(REGRESSION, labels, id=f"numbers: {kind}") for kind, labels in NUMBERS.items()]


@pytest.mark.parametrize(("problem_type", "labels"), [*LABELS, *AMOUNTS])
def test_every_form_of_a_table_has_the_same_examples_or_refusal(
    problem_type: str, labels: list[Any], tmp_path: Path
) -> None:
    found = outcomes(problem_type, labels, tmp_path, lambda examples, _: examples)
    assert all(outcome == found["csv"] for outcome in found.values()), found
    if problem_type == SINGLE_LABEL and not has_fractions(labels):
        rows = Dataset.from_pandas(pd.DataFrame({"text": TEXTS, "label": pd.Series(labels)}))
        if isinstance(found["csv"], str):
            with pytest.raises(MannError):
                LabelledTable(rows)
        else:  # in training, too
            assert LabelledTable(rows).names == sorted(set(found["csv"].labels))


def test_bad_rows_are_skipped_counted_and_listed_in_every_form(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    texts = ["where is my card?", None, "my money, please", "give it back", "reset it"]
    table = pd.DataFrame({"text": texts, "label": ["card", "refund", None, "refund", "#REF!"]})
    found = {}
    for form, (name, write) in FORMS.items():
        path = tmp_path / form / name
        path.parent.mkdir(parents=True)
        write(table, path)
        options = TableOptions(skip_bad_rows=True)
        examples = examples_of(
            read_table(str(path.parent if form == "folder" else path), options, "train"), SINGLE_LABEL, True
        )
        said = capsys.readouterr().err.splitlines()[-1]
        found[form] = (examples, without_place(said))
    assert set(map(str, found.values())) == {str(found["csv"])}
    examples, said = found["csv"]
    assert (examples.labels, examples.numbers) == (["card", "refund"], [1, 4])
    assert said == (
        "skipped 3 of 5 rows: row 2, column 'text': no text; row 3, column 'label': no label; row 5, column 'label': "
        "'#REF!' is the error of a spreadsheet; mend or empty the cell there."
    )


@pytest.mark.slow
@pytest.mark.parametrize(("problem_type", "labels"), LABELS)
def test_every_form_of_a_table_is_one_memory_or_one_refusal(
    problem_type: str,
    labels: list[Any],
    classifiers: dict[str, FewShotTextClassificationPipeline],
    tmp_path: Path,
) -> None:
    classifier = classifiers[problem_type]
    found = outcomes(
        problem_type,
        labels,
        tmp_path,
        lambda examples, path: taught(classifier, examples.inputs, examples.labels, path),
    )
    assert set(found.values()) == {found["csv"]}
    if problem_type == SINGLE_LABEL and not has_fractions(labels):
        try:  # in Python, too
            in_python: Any = taught(classifier, TEXTS, pd.Series(labels), tmp_path / "python")
        except MannError:
            in_python = "refused"
        assert in_python == ("refused" if isinstance(found["csv"], str) else found["csv"])
