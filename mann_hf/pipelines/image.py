"""The pipeline of images: images in, labels out."""

from typing import Any

from transformers import AutoModelForImageClassification
from transformers.pipelines import PIPELINE_REGISTRY

from ..controllers.progress import Progress
from ..errors import InvalidInputError
from ..models import MANNForImageClassification
from .few_shot import FewShotPipeline, NoDefault

FEW_SHOT_IMAGE_TASK = "few-shot-image-classification"
"""By this name `transformers.pipeline` makes the pipeline below, once this is imported."""


class FewShotImageClassificationPipeline(FewShotPipeline):
    """Classifies images from a handful of labelled examples, and names the examples behind each answer.

    An image is a PIL image, the path of a file, an array [h, w] or [h, w, C], or a tensor [C, h, w]. The same picture
    has the same id whichever way it comes. If no image processor is given, that of the model is used.
    """

    task_name = FEW_SHOT_IMAGE_TASK
    model_class = MANNForImageClassification
    processing_name = "image_processor"
    chunk = 256

    def remember(
        self, images: Any, labels: Any = None, *, batch_size: int | None = None, progress: Progress = None
    ) -> list[int]:
        """Stores labelled images in the memory, without training. A new label makes a new class.

        Args:
            images: the examples.
            labels: one label for each image, as for texts (`FewShotTextClassificationPipeline.remember`).
            batch_size: images in a batch.
            progress: True for a bar, or a function that is called with the number of images done after each batch.

        Returns:
            The ids of the examples. An example that is stored already keeps its id and counts once more.

        Raises:
            InvalidInputError: a picture that cannot be read, or unequal lengths. The memory stays as it was.
            InvalidTypeError: something that is no picture, or labels of a type that the problem does not have.
            EncoderMismatchError: the encoder has changed since the memory was written. The memory stays as it was.
        """
        checked = self.input_processor.check(images)
        if not checked:
            raise InvalidInputError("nothing to remember: give images and their labels.")
        return self._remember(checked, [], images, labels, batch_size, progress)


PIPELINE_REGISTRY.register_pipeline(
    FEW_SHOT_IMAGE_TASK,
    pipeline_class=FewShotImageClassificationPipeline,
    pt_model=AutoModelForImageClassification,
    default=NoDefault(
        FEW_SHOT_IMAGE_TASK,
        "mann_hf.MANNForImageClassification.from_encoder_pretrained('facebook/dinov2-small')",
    ),
)
