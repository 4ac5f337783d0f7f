"""The model cards of the trained encoders, from their result files alone.

    python -m tasks.few_shot_text.cards           writes model_cards/few_shot_text/*.md
    python -m tasks.few_shot_text.cards --check   fails where a card there differs from the result files

A card is that of one model. Recipes that differ in what is asked alone share a model, and so a card.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mann_hf.cards import EvaluationResult, MANNModelCardData, ModelFacts, TrainingData, TrainingRecord, model_card
from mann_hf.controllers.kinds import TEXT, controller_of
from mann_hf.models.few_shot_tasks import registered_task

from .benchmark import RESULTS
from .data import N_WAY
from .render_trained import Trained, load_trained
from .tables import TITLES
from .train import READING

CARDS = Path(__file__).parents[2] / "model_cards" / "few_shot_text"
OWNER = "mann-hf"
ON_HUB = {"banking77": "PolyAI/banking77", "clinc150": "clinc/clinc_oos"}
"""Data sets that have a repository of their makers."""
NAMES = {"no_names": "without label names", "names": "with label names beside the examples"}
NOT_SHOWN = ("eval_", "use_cpu")
"""Settings of a run that a trained model does not depend on, by how their names begin."""
LIMITS = (
    "It was trained and measured on short requests in English alone, to a bank or an assistant.",
    "Its figures are those of one split of the classes, and hold for the test classes of that split.",
)


def models(files: Trained) -> dict[str, list[dict[str, Any]]]:
    """The result files of each model, by the model's name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        about, sources = file["trained"], file["settings"].get("sources")
        kind = "across" if about["split"] is None else "more" if sources else None
        name = "-".join(filter(None, (kind, about["dataset"], about["split"])))
        found.setdefault(name, []).append(file)
    for name, of_model in found.items():
        if any(file["settings"]["run"] != of_model[0]["settings"]["run"] for file in of_model):
            raise ValueError(f"the result files of {name} are of runs with other settings, and so of several models.")
    return found


def card(name: str, files: Trained, owner: str = OWNER) -> str:
    """The card of a model from its result files."""
    first = files[0]
    about, run, training = first["trained"], first["settings"]["run"], first["training"]
    facts = ModelFacts(
        place=f"{owner}/few-shot-{name}",
        model_class="MANNForSequenceClassification",
        problem_type="single_label_classification",
        encoder=first["encoder"]["name"],
        reading=READING,
        controller=controller_of(TEXT),
        few_shot_task=registered_task(TEXT),
    )
    recipes = sorted({file["trained"]["recipe"] for file in files})
    named = f"recipe{'s' if len(recipes) > 1 else ''} {' and '.join(f'`{recipe}`' for recipe in recipes)}"
    said = MANNModelCardData(
        language="en",
        description=f"Trained and measured by the {named} of `tasks/few_shot_text`.",
        limits=list(LIMITS if about["split"] else LIMITS[:1]),
        training=TrainingRecord(
            data=list(_data(first)),
            settings={setting: value for setting, value in run.items() if not setting.startswith(NOT_SHOWN)},
            steps=training["steps"],
            episodes=training["steps"] * run["episodes_per_step"],
            best_step=training["best_step"],
            seconds=training["seconds"],
            hardware="CPU" if run.get("use_cpu") else None,
            versions=first["versions"],
        ),
        results=[result for file in files for result in _results(file)],
    )
    return model_card(facts, said)


def _data(file: dict[str, Any]) -> Iterator[TrainingData]:
    about = file["trained"]
    if about["split"] is not None:
        title = f"{TITLES[about['dataset']]}, train classes of split {about['split']}"
        yield TrainingData(title, dataset_id=ON_HUB.get(about["dataset"]))
    for source in file["settings"].get("sources", ()):
        yield TrainingData(TITLES[source], dataset_id=ON_HUB.get(source))


def _results(file: dict[str, Any]) -> Iterator[EvaluationResult]:
    about = file["trained"]
    dataset = {"dataset": TITLES[about["dataset"]], "dataset_id": ON_HUB.get(about["dataset"])}
    for names, how in NAMES.items():
        if about["split"] is not None:
            task = f"{N_WAY}-way {about['k_shot']}-shot episodes of classes that training never saw, {how}"
            figures = file["test"][names]
            yield _result("accuracy", figures, task, count=file["settings"]["episodes"], **dataset)
            continue
        for shots, figures in file["test"][names].items():
            task = f"all classes at once, K = {shots}, {how}"
            for metric in ("accuracy", "calibration_error"):
                yield _result(metric, figures, task, **dataset)


def _result(metric: str, figures: dict[str, Any], task: str, **about: Any) -> EvaluationResult:
    trained = figures["trained"]
    return EvaluationResult(
        metric={"calibration_error": "expected_calibration_error"}.get(metric, metric),
        value=trained[metric] / 100,
        task=task,
        interval=trained["interval"] / 100 if metric == "accuracy" else None,
        before=figures["frozen"][metric] / 100,
        **about,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a card differs")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--output", type=Path, default=CARDS, help="folder for the cards (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    wanted = {f"{name}.md": card(name, files) for name, files in models(load_trained(chosen.results)).items()}
    there = {path.name: path.read_text(encoding="utf-8") for path in chosen.output.glob("*.md")}
    if chosen.check:
        if there != wanted:
            different = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
            sys.exit(f"{', '.join(different)} differ from the result files: run python -m tasks.few_shot_text.cards")
        return
    chosen.output.mkdir(parents=True, exist_ok=True)
    for name in there.keys() - wanted.keys():
        (chosen.output / name).unlink()
    for name, text in wanted.items():
        (chosen.output / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
