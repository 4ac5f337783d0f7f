"""The pipeline of texts: texts in, labels out."""

from collections.abc import Sequence
from typing import Any

from transformers import AutoModelForSequenceClassification

from ..controllers import DEFAULT_ENCODER
from ..controllers.processor import InputProcessor
from ..controllers.text import optional_texts
from ..models import MANNForSequenceClassification
from .few_shot import FewShotPipeline
from .registration import few_shot_task

FEW_SHOT_TASK = "few-shot-text-classification"
"""By this name `transformers.pipeline` makes the pipeline below, once this is imported."""


@few_shot_task(FEW_SHOT_TASK, AutoModelForSequenceClassification, DEFAULT_ENCODER)
class FewShotTextClassificationPipeline(FewShotPipeline):
    """Classifies texts from a handful of labelled examples, and names the examples behind each answer.

    ```python
    >>> import mann_hf
    >>> from transformers import pipeline

    >>> model = mann_hf.MANNForSequenceClassification.from_encoder_pretrained("sentence-transformers/all-MiniLM-L6-v2")
    >>> classifier = pipeline("few-shot-text-classification", model=model)
    >>> ids = classifier.remember(["my card still has not come", "i want my money back"], ["card_arrival", "refund"])
    >>> classifier("where is my card?")[0]["label"]
    'card_arrival'
    ```

    If no tokenizer is given, that of the model is used.
    """

    model_class = MANNForSequenceClassification
    processing_name = "tokenizer"

    def remember(self, texts: str | Sequence[str] | None = None, labels: Any = None, **options: Any) -> list[int]:  # type: ignore[override]
        """Stores labelled texts in the memory, without training. A new label makes a new class.

        Args:
            texts: the examples; None or empty for descriptions alone.
            labels: one for each text and then for each description; see `FewShotPipeline.remember` for what a label may
                be, for what is given back and for the errors.
            options: `descriptions`, `batch_size` and `progress`, as there. Columns of pandas whose rows are in another
                order than those of their labels are refused.
        """
        return super().remember(texts, labels, **options)

    def _given(self, processor: InputProcessor, inputs: Any) -> list[str]:
        return optional_texts(inputs, "texts")
