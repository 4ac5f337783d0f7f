"""The finished cards are rendered from result files, and hold no figure that is in none of them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from huggingface_hub import ModelCard

from mann_hf import FewShotTextClassificationPipeline, MANNForSequenceClassification
from mann_hf.cards.render import TEMPLATES
from tasks.few_shot_text import cards
from tasks.few_shot_text.benchmark import RESULTS
from tasks.few_shot_text.cards import CARDS, card, models
from tasks.few_shot_text.data import N_WAY
from tasks.few_shot_text.render_trained import load_trained
from tasks.few_shot_text.tables import TITLES
from tasks.few_shot_text.train import all_cells

if TYPE_CHECKING:
    from tests.loopback_hub import LoopbackHub

ROOT = Path(__file__).parents[3]
NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
MODELS = models(load_trained(RESULTS))
FIXED = " ".join(re.sub(r"{[{%#].*?[}%#]}", "", path.read_text("utf-8")) for path in TEMPLATES.glob("*.jinja"))
FIXED += " ".join(cards.LIMITS) + str(N_WAY)


def numbers_of(told: Any) -> Iterator[str]:
    """Every number of a result file as a card may show it: as it is, to one decimal, as a share, as minutes."""
    if isinstance(told, dict):
        for key, value in told.items():
            yield from re.findall(NUMBER, key)
            yield from [f"{value / 60:.0f}"] if key == "seconds" else numbers_of(value)
    elif isinstance(told, list):
        for value in told:
            yield from numbers_of(value)
    elif isinstance(told, str):
        yield from re.findall(NUMBER, told)
    elif isinstance(told, (int, float)) and not isinstance(told, bool):
        yield from (str(told), f"{told:.1f}", str(round(told / 100, 4)))


def foreign_numbers(text: str, files: list[dict[str, Any]]) -> set[str]:
    """The numbers in a card that neither its result files have nor the text that all cards share."""
    titles = " ".join(TITLES.values())
    known = {*numbers_of(files), *re.findall(NUMBER, FIXED + titles)}
    return {number for number in re.findall(NUMBER, text) if number not in known}


@pytest.mark.parametrize("name", MODELS)
def test_no_figure_is_in_no_result_file(name: str) -> None:
    text = card(name, MODELS[name])
    assert foreign_numbers(text, MODELS[name]) == set()
    measured = ModelCard(text).data.to_dict()["model-index"][0]["results"]
    assert sum(len(result["metrics"]) for result in measured) in (2, 4, 12)


@pytest.mark.parametrize("name", MODELS)
def test_the_figures_are_where_they_belong(name: str) -> None:
    """By value: each row of the table against the field of the result file that it speaks of."""
    rows = [
        line.split(" | ") for line in card(name, MODELS[name]).splitlines() if "label names" in line and "|" in line
    ]
    assert rows
    for _, task, metric, value, before in rows:
        names = "no_names" if "without label names" in task else "names"
        for told in MODELS[name]:
            about, test = told["trained"], told["test"][names]
            if about["k_shot"] is None:
                found = re.search(r"K = (\d+)", task)
                test = test[found[1]] if found else {}
            elif f"5-way {about['k_shot']}-shot" not in task:
                continue
            field = "accuracy" if metric == "accuracy" else "calibration_error"
            around = f" ± {test['trained']['interval']:.1f}" if field == "accuracy" else ""
            assert value == f"{test['trained'][field]:.1f}{around} %"
            assert before == f"{test['frozen'][field]:.1f} % |"


def test_a_changed_figure_is_noticed() -> None:
    name = "banking77-01"
    text = card(name, MODELS[name])
    assert foreign_numbers(text.replace("89.4 ±", "98.9 ±"), MODELS[name]) == {"98.9"}
    assert foreign_numbers(text.replace("150 steps", "151 steps"), MODELS[name]) == {"151"}
    assert foreign_numbers(text.replace("value: 0.8937", "value: 0.8938"), MODELS[name]) == {"0.8938"}


def test_every_model_of_a_recipe_has_its_card() -> None:
    measured = {(told["trained"]["recipe"], told["trained"]["split"]) for files in MODELS.values() for told in files}
    assert measured == {(cell.recipe.name, cell.split) for cell in all_cells()}
    assert {path.stem for path in CARDS.glob("*.md")} == set(MODELS)
    cards.main(["--check"])


def test_the_command(tmp_path: Path) -> None:
    cards.main(["--output", str(tmp_path)])
    (tmp_path / "stale.md").write_text("of a recipe that is no more")
    with pytest.raises(SystemExit, match=r"stale.md differ from the result files: run python -m"):
        cards.main(["--output", str(tmp_path), "--check"])
    cards.main(["--output", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.md" for name in MODELS}
    one = next(tmp_path.iterdir())
    one.write_text(one.read_text().replace("%", "per cent"))
    with pytest.raises(SystemExit, match=f"{one.name} differ"):
        cards.main(["--output", str(tmp_path), "--check"])


def test_files_of_several_models_are_not_one_card() -> None:
    first = MODELS["banking77-01"][0]
    other = json.loads(json.dumps(first))
    other["settings"]["run"]["max_steps"] = 7
    with pytest.raises(ValueError, match="banking77-01 are of runs with other settings"):
        models([first, other])


@pytest.mark.slow
def test_what_the_cards_say_to_run_runs(hub: "LoopbackHub", tiny_encoder: Path, tmp_path: Path) -> None:
    model = MANNForSequenceClassification.from_encoder_pretrained(tiny_encoder)
    FewShotTextClassificationPipeline(model=model).save_pretrained(tmp_path / "model")
    files = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    code, commands = [], set()
    for path in sorted(CARDS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        code += [block for language, block in found if language == "python"]
        commands |= {block.strip() for language, block in found if not language}
        (place,) = re.findall(r'model="(.+?)"', text)
        hub.add_repo(place, files)
    assert len(code) == len(MODELS) and commands == {"pip install mann_hf"}
    variables = os.environ | hub.environment("") | {"HF_HOME": str(tmp_path / "home")}
    del variables["HF_HUB_CACHE"]
    program = "\n".join([*code, "assert clf('where is my card?')[0]['label'] == 'card_arrival'"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=variables, cwd=ROOT)
    assert done.returncode == 0, done.stderr
