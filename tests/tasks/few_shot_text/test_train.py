"""Recipes are trained once, asked on classes that training never saw, and their files hold what the tables say."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mann_hf.training import run as run_module
from mann_hf.training.run import TrainingRun
from tasks.few_shot_text import render, render_docs, render_trained, train
from tasks.few_shot_text.data import SPLIT_DATASETS, SPLITS, load_splits
from tasks.few_shot_text.tables import SHOTS

pytestmark = pytest.mark.usefixtures("no_energy_meter", "no_picture")

TOPICS = ["account", "balance", "bank", "bill", "cancel", "card", "charge", "code", "money", "month", "new", "number"]
FILLERS = "a and am app are can do for get has help how i in is it my not of on".split()  # noqa: SIM905
SETTINGS: dict[str, Any] = {
    "objective": "leave_one_out", "n_way": 3, "k_shot": 2, "n_query": 0, "episodes_per_step": 1, "max_steps": 2,
    "learning_rate": 1e-3, "eval_every": 1, "eval_n_way": 3, "eval_k_shot": 1, "eval_n_query": 2, "eval_episodes": 4,
    "use_cpu": True, "report_to": "none", "disable_tqdm": True,
}  # fmt: skip


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)

    def rows(topics: list[str], per_class: int) -> list[dict[str, str]]:
        return [
            {"text": " ".join(random.permutation([topic, *random.choice(FILLERS, 3)])), "label": f"{topic}_question"}
            for topic in topics
            for _ in range(per_class)
        ]

    labels = [f"{topic}_question" for topic in TOPICS]
    split = {"train": labels[:4], "valid": labels[4:7], "test": labels[7:]}
    common = [{"text": f"can i get my {topic}", "label": f"{topic}_question"} for topic in TOPICS]
    for name, stem in SPLIT_DATASETS.items():
        write_rows(folder / "protaugment" / f"{stem}.jsonl.gz", rows(TOPICS, 10) + common)
        (folder / "protaugment" / f"{stem}.splits.json").write_text(json.dumps(dict.fromkeys(SPLITS, split)))
        write_rows(folder / name / "train.jsonl.gz", rows(TOPICS[:5], 12))
        write_rows(folder / name / "test.jsonl.gz", rows(TOPICS[:5], 3))
    return folder


@pytest.fixture
def recipes(tmp_path: Path, tiny_encoder: Path) -> Path:
    folder = tmp_path / "recipes"
    folder.mkdir()
    settings = {**SETTINGS, "encoder": str(tiny_encoder)}
    for shots in (1, 5):
        told: dict[str, Any] = {"dataset": "hwu64", "k_shot": shots, "run": settings}
        (folder / f"hwu64-{shots}-shot.yaml").write_text(yaml.safe_dump(told))
    more = {"dataset": "hwu64", "k_shot": 1, "sources": ["banking77"], "run": settings}
    (folder / "more-hwu64-1-shot.yaml").write_text(yaml.safe_dump(more))
    told = {"dataset": "clinc150", "sources": ["banking77", "hwu64"], "run": settings}
    (folder / "across-clinc150.yaml").write_text(yaml.safe_dump(told))
    return folder


@pytest.fixture
def arguments(data: Path, recipes: Path, tmp_path: Path) -> list[str]:
    folders: dict[str, Any] = {"data": data, "recipes": recipes, "output": "out", "models": "models", "cache": "cache"}
    told = [word for name, folder in folders.items() for word in (f"--{name}", str(tmp_path / folder))]
    return [*told, "--episodes", "5"]


def files(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((folder / "out").glob("*.json"))}


class TestCells:
    def test_a_cell_is_trained_and_asked(self, arguments: list[str], tmp_path: Path) -> None:
        train.main([*arguments, "--cells", "hwu64-*-shot-02"])
        found = files(tmp_path)
        assert list(found) == ["trained-hwu64-1-shot-02", "trained-hwu64-5-shot-02"]
        one = found["trained-hwu64-1-shot-02"]
        assert one["trained"] == {"recipe": "hwu64-1-shot", "dataset": "hwu64", "k_shot": 1, "split": "02"}
        assert one["settings"]["run"]["learning_rate"] == 1e-3
        for names in ("no_names", "names"):
            told = one["test"][names]
            assert 0 < told["trained"]["accuracy"] <= 100
            assert told["gain"]["points"] == pytest.approx(told["trained"]["accuracy"] - told["frozen"]["accuracy"])
        assert one["training"]["steps"] == 2 and one["training"]["best_step"] in (1, 2)

    def test_one_model_serves_both_shots(self, arguments: list[str], tmp_path: Path) -> None:
        train.main([*arguments, "--cells", "hwu64-*-shot-01"])
        assert len(list((tmp_path / "models").iterdir())) == 1
        train.main([*arguments, "--cells", "hwu64-1-shot-02"])
        assert len(list((tmp_path / "models").iterdir())) == 2

    def test_training_sees_the_train_classes_alone(self, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[set[str]] = []
        original = TrainingRun.train

        def watched(self: TrainingRun, texts: Any, valid: Any, **kwargs: Any) -> Any:
            seen.extend({label.split("_")[0].split()[-1] for label in part["label"]} for part in (texts, valid))
            return original(self, texts, valid, **kwargs)

        monkeypatch.setattr(TrainingRun, "train", watched)
        train.main([*arguments, "--cells", "hwu64-1-shot-01"])
        assert seen == [set(TOPICS[:4]), set(TOPICS[4:7])]
        seen.clear()
        train.main([*arguments, "--cells", "across-*"])
        assert seen == [set(TOPICS[:4]) | set(TOPICS[7:]), set(TOPICS[4:7])]

    def test_with_more_sources_training_sees_no_text_that_is_asked(
        self, arguments: list[str], data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        original = TrainingRun.train

        def watched(self: TrainingRun, texts: Any, valid: Any, **kwargs: Any) -> Any:
            seen.extend([texts, valid])
            return original(self, texts, valid, **kwargs)

        monkeypatch.setattr(TrainingRun, "train", watched)
        train.main([*arguments, "--cells", "more-hwu64-1-shot-01"])
        mixed, valid = seen
        assert list(mixed) == ["hwu64", "banking77"]
        own, _ = load_splits(data, "hwu64")
        others, _ = load_splits(data, "banking77")
        asked = set(own.texts) - set(mixed["hwu64"]["text"])
        assert set(valid["text"]) < asked and set(others.texts) & asked
        assert set(mixed["banking77"]["text"]) == set(others.texts) - asked

    def test_across_data_sets_all_classes_are_asked(self, arguments: list[str], tmp_path: Path) -> None:
        train.main([*arguments, "--cells", "across-*"])
        told = files(tmp_path)["trained-across-clinc150"]
        assert told["trained"]["split"] is None and told["settings"]["seeds"] == train.SEEDS
        assert told["settings"]["sources"] == ["banking77", "hwu64"]
        for names in ("no_names", "names"):
            assert list(told["test"][names]) == ["1", "5", "10"]
            assert len(told["test"][names]["5"]["trained"]["by_seed"]) == train.SEEDS


class TestGoingOn:
    def test_what_is_there_is_not_measured_again(
        self, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        train.main([*arguments, "--cells", "hwu64-1-shot-01"])
        before = files(tmp_path)
        monkeypatch.setattr(train.Training, "measure", None)
        train.main([*arguments, "--cells", "hwu64-1-shot-01"])
        assert files(tmp_path) == before
        assert "hwu64-1-shot-01: is there already" in capsys.readouterr().err

    def test_a_stopped_run_goes_on_from_its_checkpoint(
        self, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resumed: list[bool] = []
        original = TrainingRun.train

        def stop(*told: Any) -> None:
            raise KeyboardInterrupt

        def watched(self: TrainingRun, train: Any, valid: Any, resume: bool) -> Any:
            resumed.append(resume)
            return original(self, train, valid, resume=resume)

        monkeypatch.setattr(TrainingRun, "train", watched)
        with monkeypatch.context() as stopping:
            stopping.setattr(run_module, "write_whole", stop)
            with pytest.raises(KeyboardInterrupt):
                train.main([*arguments, "--cells", "hwu64-1-shot-01"])
        train.main([*arguments, "--cells", "hwu64-1-shot-01"])
        assert resumed == [False, True]
        assert files(tmp_path)["trained-hwu64-1-shot-01"]["training"]["steps"] == 2

    def test_other_settings_are_not_mixed(self, arguments: list[str]) -> None:
        cell = ["--cells", "hwu64-1-shot-01"]
        train.main([*arguments, *cell])
        with pytest.raises(SystemExit, match="was measured with.*choose another --output"):
            train.main([*arguments, *cell, "--set", "max_steps=1"])

    def test_no_such_cell(self, arguments: list[str]) -> None:
        with pytest.raises(SystemExit, match=r"No cell fits.*\n  across-clinc150\n  hwu64-1-shot-01"):
            train.main([*arguments, "--cells", "sst5-*"])

    @pytest.mark.parametrize("told", [{"dataset": "sst5", "run": {}}, {"dataset": "hwu64", "k": 1, "run": {}}])
    def test_a_recipe_that_says_something_else(self, told: dict, tmp_path: Path) -> None:
        (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(told))
        with pytest.raises(SystemExit, match=r"wrong\.yaml needs a dataset of banking77, hwu64, clinc150"):
            train.all_cells(tmp_path)


class TestRecipesOfThisCheckout:
    def test_there_is_one_for_each_data_set_and_shot_and_each_is_a_run(self) -> None:
        found = {cell.recipe.name: cell.recipe for cell in train.all_cells()}
        told = sorted((r.dataset, r.k_shot or 0, len(r.sources)) for r in found.values())
        assert told == sorted(
            (name, *more) for name in SPLIT_DATASETS for more in [(0, 2), (1, 0), (1, 2), (5, 0), (5, 2)]
        )
        for recipe in found.values():
            TrainingRun.from_dict(recipe.run)
            assert recipe.dataset not in recipe.sources

    def test_figures_are_of_the_recipes_as_they_are(self) -> None:
        found = {path.stem.removeprefix("trained-"): path for path in render.RESULTS.glob("trained-*.json")}
        cells = {cell.stem: cell for cell in train.all_cells()}
        assert set(found) == set(cells)
        for stem, path in found.items():
            assert json.loads(path.read_text())["settings"]["run"] == cells[stem].recipe.run, stem


def result(
    k_shot: int | None, split: str | None, test: dict, dataset: str = "hwu64", sources: Sequence[str] = ()
) -> dict[str, Any]:
    training = {"before": {"accuracy": 0.8}, "after": {"accuracy": 0.85}, "best_step": 50}
    about = {"recipe": "r", "dataset": dataset, "k_shot": k_shot, "split": split}
    return {"trained": about, "training": training, "test": test, "settings": {"sources": sources}}


def five_way(frozen: float, trained: float) -> dict[str, Any]:
    told = {
        "frozen": {"accuracy": frozen, "interval": 0.8},
        "trained": {"accuracy": trained, "interval": 0.6},
        "gain": {"points": trained - frozen, "interval": 0.5},
    }
    return {"no_names": told, "names": told}


class TestTables:
    def test_means_over_splits_with_their_interval(self) -> None:
        found = [result(1, split, five_way(80.0, 82.0 + n)) for n, split in enumerate(SPLITS)]
        lines = render_trained.trained(found).splitlines()
        assert "| frozen | – / – | 80.0 ± 0.4 / – | – / – |" in lines
        assert "| trained | – / – | 84.0 ± 0.3 / – | – / – |" in lines
        assert "| gain in points, names | – / – | +4.0 ± 0.2 / – | – / – |" in lines

    def test_encoders_that_saw_other_data_sets_have_rows_of_their_own(self) -> None:
        found = [result(1, split, five_way(80.0, 82.0)) for split in SPLITS]
        found += [result(1, split, five_way(80.0, 85.0), sources=["clinc150"]) for split in SPLITS]
        table = render_trained.trained(found)
        assert "| trained | – / – | 82.0 ± 0.3 / – | – / – |\n| gain in points | – / – | +2.0" in table
        assert f"| {render_trained.MORE} | – / – | 85.0 ± 0.3 / – | – / – |\n| gain in points | – / – | +5.0" in table
        assert f"| HWU64 05, 1-shot, {render_trained.MORE} |" in render_trained.trained_splits(found)
        front = render_docs.five_way(found, 1, render_docs.TRAINING[:2])
        assert front.splitlines()[2:] == [
            "| frozen all-MiniLM-L6-v2 | – | 80.0 ± 0.4 | – |",
            "| trained on other classes of the data set | – | 82.0 ± 0.3 | – |",
        ]

    def test_splits_that_are_missing_are_told(self) -> None:
        table = render_trained.trained([result(5, split, five_way(90.0, 91.0)) for split in SPLITS[:2]])
        assert "| trained | – / – | – / 91.0 ± 0.4 (2 of 5 splits) | – / – |" in table

    def test_each_split(self) -> None:
        table = render_trained.trained_splits([result(1, "03", five_way(80.0, 82.0))])
        figures = "80.0 ± 0.8 | 82.0 ± 0.6 | 2.0 ± 0.5"
        assert f"| HWU64 03, 1-shot | {figures} | {figures} | 80.0 → 85.0 | 50 |" in table

    def test_across(self) -> None:
        def told(*accuracies: float) -> dict[str, Any]:
            return {"accuracy": sum(accuracies) / len(accuracies), "by_seed": list(accuracies)}

        shots = {str(k): {"frozen": told(60.0 + k, 62.0 + k), "trained": told(61.0 + k, 62.0 + k)} for k in SHOTS}
        table = render_trained.across([result(None, None, {"no_names": shots, "names": shots}, "banking77")])
        assert "| trained | 62.5 / 66.5 / 71.5 | – | – |" in table
        assert "| gain in points, names | +0.5 / +0.5 / +0.5 | – | – |" in table
        assert "| least and most of a draw, names | +0.0, +1.0 / +0.0, +1.0 / +0.0, +1.0 | – | – |" in table
