"""Pipelines of memory-augmented models, which `transformers.pipeline` knows once this is imported."""

from .few_shot import EVIDENCE, FewShotPipeline
from .image import FEW_SHOT_IMAGE_TASK, FewShotImageClassificationPipeline
from .text import FEW_SHOT_TASK, FewShotTextClassificationPipeline

__all__ = [
    "EVIDENCE",
    "FEW_SHOT_IMAGE_TASK",
    "FEW_SHOT_TASK",
    "FewShotImageClassificationPipeline",
    "FewShotPipeline",
    "FewShotTextClassificationPipeline",
    "pipeline_of",
]


def pipeline_of(modality: str) -> type[FewShotPipeline]:
    """The pipeline whose models take inputs of a modality; the one of any inputs where there is none of its own."""
    kinds = FewShotPipeline.__subclasses__()
    return next((kind for kind in kinds if kind.model_class.modality == modality), FewShotPipeline)
