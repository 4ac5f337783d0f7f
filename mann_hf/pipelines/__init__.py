"""Pipelines of memory-augmented models, which `transformers.pipeline` knows once this is imported."""

from .few_shot import EVIDENCE, FewShotPipeline
from .image import FEW_SHOT_IMAGE_TASK, FewShotImageClassificationPipeline
from .registration import PIPELINES
from .text import FEW_SHOT_TASK, FewShotTextClassificationPipeline

__all__ = [
    "EVIDENCE",
    "FEW_SHOT_IMAGE_TASK",
    "FEW_SHOT_TASK",
    "PIPELINES",
    "FewShotImageClassificationPipeline",
    "FewShotPipeline",
    "FewShotTextClassificationPipeline",
    "pipeline_of",
]


def pipeline_of(modality: str) -> type[FewShotPipeline]:
    """The pipeline whose models take inputs of a modality; the one of any inputs where there is none of its own."""
    return PIPELINES.get(modality, FewShotPipeline)
