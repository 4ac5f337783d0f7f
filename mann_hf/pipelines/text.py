"""The pipeline of texts: texts in, labels out."""

from typing import Any

from transformers import AutoModelForSequenceClassification

from ..controllers import DEFAULT_ENCODER
from ..controllers.kinds import TEXT
from ..controllers.processor import InputProcessor
from ..controllers.text import optional_texts
from ..models import MANNForSequenceClassification
from ..models.few_shot_tasks import task_of
from .few_shot import FewShotPipeline
from .registration import few_shot_task

FEW_SHOT_TASK = task_of(TEXT)
"""`"few-shot-text-classification"`, by which `transformers.pipeline` makes the pipeline below."""


@few_shot_task(AutoModelForSequenceClassification, DEFAULT_ENCODER)
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

    def _given(self, processor: InputProcessor, inputs: Any) -> list[str]:
        return optional_texts(inputs, "texts")
