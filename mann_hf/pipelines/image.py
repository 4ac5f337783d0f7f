"""The pipeline of images: images in, labels out."""

from typing import Any

from transformers import AutoModelForImageClassification

from ..controllers.kinds import IMAGE
from ..models import MANNForImageClassification
from ..models.few_shot_tasks import task_of
from .few_shot import FewShotPipeline
from .registration import few_shot_task

FEW_SHOT_IMAGE_TASK = task_of(IMAGE)
"""`"few-shot-image-classification"`, by which `transformers.pipeline` makes the pipeline below."""


@few_shot_task(AutoModelForImageClassification, "facebook/dinov2-small")
class FewShotImageClassificationPipeline(FewShotPipeline):
    """Classifies images from a handful of labelled examples, and names the examples behind each answer.

    An image is a PIL image, the path of a file, an array [h, w] or [h, w, C], or a tensor [C, h, w]. The same picture
    has the same id whichever way it comes. If no image processor is given, that of the model is used.
    """

    _load_tokenizer: Any = (
        False  # nothing but what was given: that of CLIP and its kin is loaded with the image processor
    )
    model_class = MANNForImageClassification
    chunk = 256
