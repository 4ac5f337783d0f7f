import json
from pathlib import Path

import pytest
import torch

from tasks.few_shot_text import scale

TIMES = (
    "remember_one_ms",
    "forget_one_ms",
    "answer_after_write_ms",
    "answer_after_forget_ms",
    "load_s",
    "first_answer_s",
)
TINY = ["--labels", "3", "--key-size", "8", "--turns", "1"]


def test_keys_lie_around_the_centre_of_their_label() -> None:
    material = scale.make_material(60, labels=3, key_size=64)
    assert torch.allclose(material.keys.norm(dim=1), torch.ones(60), atol=1e-5)
    centres = torch.stack([*material.names.values()])
    nearest = (material.keys @ centres.T).argmax(1).tolist()
    assert [f"label {number}" for number in nearest] == material.labels
    assert set(material.labels) == set(material.names)


def test_one_json_object_by_the_number_of_entries(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    scale.main(["--entries", "12", "20", "--json", "--output", str(tmp_path / "scale.json"), *TINY])
    measured = json.loads(capsys.readouterr().out)
    kept = json.loads((tmp_path / "scale.json").read_text())
    assert kept["cells"] == measured and kept["threads"] == torch.get_num_threads()
    assert kept["versions"]["torch"] == torch.__version__
    assert list(measured) == ["12", "20"]
    for entries, figures in measured.items():
        assert figures["entries"] == int(entries) and figures["labels"] == 3
        assert all(figures[name] > 0 for name in TIMES)


def test_a_line_for_each_number_of_entries(capsys: pytest.CaptureFixture[str]) -> None:
    scale.main(["--entries", "12", "20", "--reading", "attention", *TINY])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(name in line for line in lines for name in (*TIMES, "attention"))


def test_a_million_are_searched_by_faiss_where_the_reading_takes_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple] = []

    def measured(entries: int, labels: int, *args: object, **kwargs: object) -> dict[str, object]:
        asked.append((entries, labels, kwargs["reading"], kwargs["store"]))
        return {}

    monkeypatch.setattr(scale, "measure", measured)
    scale.main(["--json"])
    assert asked == [
        (10_000, 150, None, "exact"),
        (100_000, 150, None, "exact"),
        (1_000_000, 150, None, "faiss"),
        (3_000, 1_500, None, "exact"),
    ]
    asked.clear()
    scale.main(["--json", "--entries", "1000000", "--reading", "logistic"])
    scale.main(["--json", "--entries", "10", "--store", "faiss", "--labels", "3"])
    assert asked == [(1_000_000, 150, "logistic", "exact"), (10, 3, None, "faiss")]
