"""The pipeline of images: images in, labels out."""

from transformers import AutoModelForImageClassification

from ..models import MANNForImageClassification
from .few_shot import FewShotPipeline
from .registration import few_shot_task

FEW_SHOT_IMAGE_TASK = "few-shot-image-classification"
"""By this name `transformers.pipeline` makes the pipeline below, once this is imported."""


@few_shot_task(FEW_SHOT_IMAGE_TASK, AutoModelForImageClassification, "facebook/dinov2-small")
class FewShotImageClassificationPipeline(FewShotPipeline):
    """Classifies images from a handful of labelled examples, and names the examples behind each answer.

    An image is a PIL image, the path of a file, an array [h, w] or [h, w, C], or a tensor [C, h, w]. The same picture
    has the same id whichever way it comes. If no image processor is given, that of the model is used.
    """

    model_class = MANNForImageClassification
    processing_name = "image_processor"
    chunk = 256
