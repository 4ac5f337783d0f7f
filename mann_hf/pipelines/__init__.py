"""Pipelines of memory-augmented models, which `transformers.pipeline` knows once this is imported."""

from .evidence_picture import draw_evidence
from .few_shot import EVIDENCE, FewShotPipeline
from .generation import GENERATION_TASK, MemoryAugmentedGenerationPipeline
from .image import FEW_SHOT_IMAGE_TASK, FewShotImageClassificationPipeline
from .memory_pipeline import MemoryPipeline
from .registration import PIPELINES
from .text import FEW_SHOT_TASK, FewShotTextClassificationPipeline

__all__ = [
    "EVIDENCE",
    "FEW_SHOT_IMAGE_TASK",
    "FEW_SHOT_TASK",
    "GENERATION_TASK",
    "PIPELINES",
    "FewShotImageClassificationPipeline",
    "FewShotPipeline",
    "FewShotTextClassificationPipeline",
    "MemoryAugmentedGenerationPipeline",
    "MemoryPipeline",
    "draw_evidence",
    "pipeline_of",
]


def pipeline_of(modality: str) -> type[MemoryPipeline]:
    """The pipeline whose models take inputs of a modality; the one of any inputs where there is none of its own."""
    return PIPELINES.get(modality, FewShotPipeline)
