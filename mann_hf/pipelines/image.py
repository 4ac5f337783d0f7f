"""The pipeline of images: images in, labels out."""

from transformers import AutoModelForImageClassification
from transformers.pipelines import PIPELINE_REGISTRY

from ..models import MANNForImageClassification
from .defaults import NoDefault
from .few_shot import FewShotPipeline

FEW_SHOT_IMAGE_TASK = "few-shot-image-classification"
"""By this name `transformers.pipeline` makes the pipeline below, once this is imported."""


class FewShotImageClassificationPipeline(FewShotPipeline):
    """Classifies images from a handful of labelled examples, and names the examples behind each answer.

    An image is a PIL image, the path of a file, an array [h, w] or [h, w, C], or a tensor [C, h, w]. The same picture
    has the same id whichever way it comes. If no image processor is given, that of the model is used.
    """

    model_class = MANNForImageClassification
    processing_name = "image_processor"
    chunk = 256


PIPELINE_REGISTRY.register_pipeline(
    FEW_SHOT_IMAGE_TASK,
    pipeline_class=FewShotImageClassificationPipeline,
    pt_model=AutoModelForImageClassification,
    default=NoDefault(
        FEW_SHOT_IMAGE_TASK,
        "mann_hf.MANNForImageClassification.from_encoder_pretrained('facebook/dinov2-small')",
    ),
)
