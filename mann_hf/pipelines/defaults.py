"""What a task without a default model says."""

from typing import Any

from ..errors import InvalidInputError


class NoDefault(dict):
    """In place of a task's default model, which is asked for where a pipeline is made without one.

    Args:
        task: the name of the task.
        example: a call that makes a model.
    """

    def __init__(self, task: str, example: str) -> None:
        super().__init__(model=None)
        self.task, self.example = task, example

    def __getitem__(self, key: str) -> Any:
        raise InvalidInputError(
            f"pipeline({self.task!r}) needs a model, as there is none for all labels: a saved one, as in "
            f"model='folder', or one with an empty memory, as in model={self.example}."
        )
