"""What a training takes, over all its runs."""

import time
from typing import Any

from transformers import TrainerCallback


class Clock(TrainerCallback):
    """Adds to each logged entry the seconds that training has taken so far, and those of the processor.

    They lie in the history that a checkpoint keeps, so that a training that was stopped counts on from there.
    """

    def __init__(self) -> None:
        self.before = self.started = (0.0, 0.0)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        known = [entry for entry in state.log_history if "cpu_seconds" in entry]
        self.before = (known[-1]["seconds"], known[-1]["cpu_seconds"]) if known else (0.0, 0.0)
        self.started = time.perf_counter(), time.process_time()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.log_history[-1] |= self.taken

    @property
    def taken(self) -> dict[str, float]:
        """`seconds`, and `cpu_seconds` of all threads, so far."""
        now = time.perf_counter(), time.process_time()
        both = (before + there - then for before, there, then in zip(self.before, now, self.started, strict=True))
        return dict(zip(("seconds", "cpu_seconds"), both, strict=True))
