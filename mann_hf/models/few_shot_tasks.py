"""The pipelines of models, by the name that `transformers.pipeline` has for them."""

from transformers.pipelines import PIPELINE_REGISTRY

from ..controllers.kinds import controller_of


def task_of(modality: str) -> str:
    """The name by which `transformers.pipeline` makes the pipeline of a modality: its own, or its task, few-shot."""
    controller = controller_of(modality)
    return controller.pipeline_task or f"few-shot-{controller.task}"


def registered_task(modality: str) -> str | None:
    """As `task_of`; None where no pipeline of that name takes models of the modality.

    This library has one for each task of its own controllers, whether it is imported yet or not.
    """
    task, controller = task_of(modality), controller_of(modality)
    if not controller.is_foreign:
        return task if controller.pipeline_task or controller.task else None
    if task not in PIPELINE_REGISTRY.get_supported_tasks():
        return None
    _, registered, _ = PIPELINE_REGISTRY.check_task(task)
    models = getattr(registered["impl"], "model_class", None)  # of a pipeline of somebody else there is none
    return task if getattr(models, "modality", None) == modality else None
