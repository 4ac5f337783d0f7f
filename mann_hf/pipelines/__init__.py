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
]
