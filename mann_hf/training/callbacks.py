"""Progress messages during a run, and its curves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from ..errors import import_extra

CURVES_FILE = "curves.png"
ACCURACIES = ("accuracy", "exact_match")
"""Metrics of an evaluation; the first that it has is shown."""


class Progress(TrainerCallback):
    """Reports each logged loss and each evaluation in one line, on the first process.

    Args:
        tell: called with a line.
        advance: called with the number of steps done since the last call, and a line that says how it goes.
    """

    def __init__(self, tell: Callable[[str], None], advance: Callable[[int, str], None] | None = None) -> None:
        self.tell, self.advance = tell, advance
        self.loss, self.accuracy, self.step = "", "", 0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.advance is not None and state.is_world_process_zero:
            self.advance(state.global_step - self.step, self._how_it_goes)
        self.step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.loss = f"loss {float(logs['loss']):.3f}"
            if self.advance is None and state.is_world_process_zero:
                self.tell(f"step {state.global_step} of {state.max_steps}: {self._how_it_goes}")

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        known = metrics or {}
        name = next((name for name in ACCURACIES if f"eval_{name}" in known), None)
        if name is not None:
            interval = known.get(f"eval_{name}_ci95")
            self.accuracy = f"{name.replace('_', ' ')} {100 * known[f'eval_{name}']:.2f} %"
            measured = self.accuracy + (f" ± {100 * interval:.2f}" if interval is not None else "")
            when = f"step {state.global_step} of {state.max_steps}" if state.global_step else "before training"
            if state.is_world_process_zero:
                self.tell(f"{when}: {measured}")

    @property
    def _how_it_goes(self) -> str:
        return ", ".join(filter(None, (self.loss, self.accuracy)))


def draw_curves(history: list[dict[str, Any]], file: Path) -> None:
    """Draws the losses and accuracies of a run.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figures = import_extra("matplotlib.figure", "drawing curves", "train")
    figure = figures.Figure(figsize=(8, 3.5), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for axes, key, name, label in (
        (losses, "loss", "training", "loss"),
        (losses, "eval_loss", "validation", "loss"),
        (accuracies, "eval_accuracy", "validation", "accuracy, %"),
    ):
        points = [(entry["step"], float(entry[key])) for entry in history if key in entry]
        if not points:
            continue
        steps, values = zip(*points, strict=True)
        scale = 100 if key == "eval_accuracy" else 1
        axes.plot(steps, [scale * value for value in values], marker=".", label=name)
        intervals = [100 * float(entry["eval_accuracy_ci95"]) for entry in history if "eval_accuracy_ci95" in entry]
        if key == "eval_accuracy" and len(intervals) == len(values):
            low = [100 * value - interval for value, interval in zip(values, intervals, strict=True)]
            high = [100 * value + interval for value, interval in zip(values, intervals, strict=True)]
            axes.fill_between(steps, low, high, alpha=0.2)
        axes.set(xlabel="step", ylabel=label)
        axes.legend()
    figure.savefig(file, dpi=120)
