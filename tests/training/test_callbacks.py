"""What is seen of a run, and kept of it."""

import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerState

from mann_hf.errors import MissingExtraError
from mann_hf.training.callbacks import Progress, draw_curves

LOSSES: list[dict[str, Any]] = [{"step": step, "loss": 1 / step, "learning_rate": 1e-5} for step in (1, 2, 3)]
EVALUATIONS: list[dict[str, Any]] = [
    {"step": step, "eval_loss": 0.5 - step / 10, "eval_accuracy": 0.6 + step / 10} for step in (0, 2)
]
INTERVALS = [{**entry, "eval_accuracy_ci95": 0.01} for entry in EVALUATIONS]


class TestCurves:
    @pytest.mark.parametrize(
        "history",
        [
            [*LOSSES, {"step": 3, "train_runtime": 1.0}],
            [*EVALUATIONS, *LOSSES],
            [*INTERVALS, *LOSSES],
            [INTERVALS[0], *LOSSES, EVALUATIONS[1]],
            [{**entry, "loss": str(entry["loss"])} for entry in LOSSES],
            [],
        ],
        ids=["losses", "evaluations", "intervals", "an interval for one of two", "losses as text", "nothing"],
    )
    def test_a_picture_of_a_history(self, tmp_path: Path, history: list[dict[str, Any]]) -> None:
        pytest.importorskip("matplotlib")
        draw_curves(history, tmp_path / "curves.png")
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG\r\n")

    def test_what_was_logged_is_in_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        figures = pytest.importorskip("matplotlib.figure")
        drawn: list[Any] = []
        monkeypatch.setattr(figures.Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
        draw_curves([*INTERVALS, *LOSSES], tmp_path / "curves.png")
        losses, accuracies = drawn[0].axes
        lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in losses.lines}
        assert lines == {"training": ([1, 2, 3], [1, 1 / 2, 1 / 3]), "validation": ([0, 2], [0.5, 0.3])}
        [line] = accuracies.lines
        assert list(line.get_ydata()) == pytest.approx([60, 80])
        [band] = accuracies.collections
        low, high = band.get_paths()[0].get_extents().get_points()[:, 1]
        assert (low, high) == pytest.approx((59, 81))

    def test_without_matplotlib_the_error_names_the_extra(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(
            MissingExtraError, match=r"drawing curves needs .*'matplotlib': pip install 'mann_hf\[train\]'"
        ):
            draw_curves(LOSSES, tmp_path / "curves.png")
        assert not list(tmp_path.iterdir())


class Run:
    """A run of four steps whose events reach a `Progress`; what it tells is in `lines`, its advances in `advances`."""

    def __init__(self, bar: bool = False, is_world_process_zero: bool = True) -> None:
        self.lines: list[str] = []
        self.advances: list[tuple[int, str]] = []
        self.state = TrainerState(max_steps=4, is_world_process_zero=is_world_process_zero)
        advance = (lambda steps, line: self.advances.append((steps, line))) if bar else None
        self.progress = Progress(self.lines.append, advance)

    def step(self, to: int) -> None:
        self.state.global_step = to
        self.progress.on_step_end(None, self.state, None)

    def log(self, **logs: Any) -> None:
        self.progress.on_log(None, self.state, None, logs=logs)

    def evaluate(self, **metrics: float) -> None:
        self.progress.on_evaluate(None, self.state, None, metrics=metrics)

    def whole(self) -> None:
        self.evaluate(eval_accuracy=0.5, eval_accuracy_ci95=0.012)
        for step in range(1, 5):
            self.step(step)
            self.log(loss=2 / step, learning_rate=1e-5)
            if step % 2 == 0:
                self.evaluate(eval_accuracy=0.5 + step / 10, eval_loss=1.0)
        self.log(train_runtime=1.0)


class TestProgress:
    def test_losses_and_evaluations_are_told_where_there_is_no_bar(self) -> None:
        run = Run()
        run.whole()
        assert run.lines == [
            "before training: accuracy 50.00 % ± 1.20",
            "step 1 of 4: loss 2.000, accuracy 50.00 %",
            "step 2 of 4: loss 1.000, accuracy 50.00 %",
            "step 2 of 4: accuracy 70.00 %",
            "step 3 of 4: loss 0.667, accuracy 70.00 %",
            "step 4 of 4: loss 0.500, accuracy 70.00 %",
            "step 4 of 4: accuracy 90.00 %",
        ]

    def test_a_bar_moves_by_the_steps_and_says_how_it_goes(self) -> None:
        run = Run(bar=True)
        run.whole()
        assert run.advances == [
            (1, "accuracy 50.00 %"),
            (1, "loss 2.000, accuracy 50.00 %"),
            (1, "loss 1.000, accuracy 70.00 %"),
            (1, "loss 0.667, accuracy 70.00 %"),
        ]
        assert [line.partition(":")[0] for line in run.lines] == ["before training", "step 2 of 4", "step 4 of 4"]

    def test_a_bar_of_a_run_that_is_gone_on_with_has_the_steps_before(self) -> None:
        run = Run(bar=True)
        run.step(3)
        run.step(4)
        assert run.advances == [(3, ""), (1, "")]

    def test_an_evaluation_without_an_accuracy_is_no_news(self) -> None:
        run = Run()
        run.evaluate(eval_loss=0.3)
        run.progress.on_evaluate(None, run.state, None)
        run.progress.on_log(None, run.state, None)
        assert not run.lines

    @pytest.mark.parametrize("bar", [False, True])
    def test_one_process_of_several_speaks(self, bar: bool) -> None:
        run = Run(bar, is_world_process_zero=False)
        run.whole()
        assert not run.lines and not run.advances
