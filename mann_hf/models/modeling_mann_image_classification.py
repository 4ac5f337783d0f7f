"""Memory-augmented image classification."""

from typing import Any

from torch import Tensor

from ..controllers.kinds import IMAGE
from .classification import CLASSIFIERS, MANNClassifierOutput, MANNForClassification
from .trainer_labels import labels_for_trainers


@CLASSIFIERS.register(IMAGE)
class MANNForImageClassification(MANNForClassification):
    """Classifies images from a memory of labelled examples; new examples and labels need no training.

    ```python
    >>> import mann_hf

    >>> model = mann_hf.MANNForImageClassification.from_encoder_config("conv4", image_size=28, num_channels=1)
    >>> model.config.key_size
    64
    ```

    Args:
        config: the configuration, with `modality="image"`.
    """

    modality = IMAGE

    @labels_for_trainers("labels")
    def forward(
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        support_pixel_values: Tensor | None = None,
        support_labels: Tensor | None = None,
        n_way: int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> MANNClassifierOutput | tuple:
        """Classifies images by reading the model's own memory, or with `support_*` a memory made for this call.

        Args:
            pixel_values: [Q, C, h, w]; of several episodes [B, Q, C, h, w].
            labels: [Q] or [B, Q]; see `MANNForClassification.forward`, also for the others.
            support_pixel_values: [S, C, h, w] or [B, S, C, h, w], the images to write to the memory.
            support_labels: [S] or [B, S].
            n_way: N, the number of labels in an episode.
            return_dict: whether the output is a `MANNClassifierOutput` (the default) or a tuple.
            kwargs: further inputs of the encoder.

        Raises:
            EmptyMemoryError: no support is given and the memory is empty.
            EncoderMismatchError: the model's own memory has keys of other weights or adapters.
            InvalidTypeError, InvalidInputError: inputs that do not fit.
        """
        inputs = {"pixel_values": pixel_values, "support_pixel_values": support_pixel_values}
        return super().forward(labels, support_labels, n_way, return_dict, **inputs, **kwargs)
