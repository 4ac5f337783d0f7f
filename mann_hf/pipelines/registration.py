"""The registry of pipelines by the modality of their inputs, and their tasks in `transformers.pipeline`."""

from collections.abc import Callable
from typing import Any, TypeVar

from transformers.pipelines import PIPELINE_REGISTRY

from ..errors import InvalidInputError
from ..models.few_shot_tasks import task_of
from ..registry import Registry

Kind = TypeVar("Kind", bound=type)

PIPELINES: Registry[Any] = Registry("pipeline of the modality")


def few_shot_task(auto_class: Any, encoder: str) -> Callable[[Kind], Kind]:
    """A decorator that registers a pipeline for the modality of its models, and with transformers for their task.

    Args:
        auto_class: of transformers, which loads its models.
        encoder: one that suits it; the error for a call without a model names it.
    """

    def register(kind: Any) -> Any:
        made = f"mann_hf.{kind.model_class.__name__}.from_encoder_pretrained({encoder!r})"
        return memory_task(task_of(kind.model_class.modality), auto_class, made)(kind)

    return register


def memory_task(task: str, auto_class: Any, made: str) -> Callable[[Kind], Kind]:
    """As `few_shot_task`, for a task of any name.

    Args:
        task: its name in `transformers.pipeline`.
        auto_class: of transformers, which loads its models.
        made: code that makes one of these with an empty memory; the error for a call without a model names it.
    """

    def register(kind: Any) -> Any:
        PIPELINE_REGISTRY.register_pipeline(
            task, pipeline_class=kind, pt_model=auto_class, default=_NoDefault(task, made)
        )
        return PIPELINES.register(kind.model_class.modality)(kind)

    return register


class _NoDefault(dict):
    """In place of a task's default model, which is asked for where a pipeline is made without one."""

    def __init__(self, task: str, example: str) -> None:
        super().__init__(model=None)
        self.task, self.example = task, example

    def __getitem__(self, key: str) -> Any:
        raise InvalidInputError(
            f"pipeline({self.task!r}) needs a model, as there is none for all purposes: a saved one, as in "
            f"model='folder', or one with an empty memory, as in model={self.example}."
        )
