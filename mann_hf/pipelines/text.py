"""The pipeline of texts: texts in, labels out."""

from collections.abc import Sequence
from typing import Any

from transformers import AutoModelForSequenceClassification

from ..controllers import DEFAULT_ENCODER
from ..controllers.kinds import TEXT
from ..controllers.processor import InputProcessor
from ..controllers.progress import Progress
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

    def remember(  # type: ignore[override]  # texts may be left out for descriptions alone
        self,
        texts: str | Sequence[str] | None = None,
        labels: Any = None,
        *,
        descriptions: str | Sequence[str] | None = None,
        batch_size: int | None = None,
        progress: Progress = None,
    ) -> list[int]:
        """Stores labelled texts in the memory, without training. A new label makes a new class.

        Args:
            texts: the examples; None for descriptions alone, or for labels alone: each label is then known by its own
                words, as a description of itself.
            labels: one label for each text: a name (whole numbers and booleans count as names, see
                `mann_hf.targets.spell_label`); for several labels a list of names, empty for a text that has none of
                them and counts against each; for regression a number or a list of numbers. With `descriptions` alone,
                one label for each description; with both, the labels of the texts and then those of the descriptions.
            descriptions: what labels mean, in words.
            batch_size: texts in a batch; by default batches have about the same number of tokens.
            progress: True for a bar, or a function that is called with the number of texts done after each batch.

        Returns:
            The ids of the examples, then of the descriptions. An example that is stored already keeps its id and counts
            once more; an example that `eviction="kaiser"` merges into another slot gets the id of that slot.

        Raises:
            InvalidInputError: empty texts, unequal lengths, or columns of pandas whose rows are in another order. The
                memory stays as it was.
            InvalidTypeError: labels of a type that the problem does not have. The memory stays as it was.
            EncoderMismatchError: the encoder has changed since the memory was written. The memory stays as it was.
        """
        return super().remember(texts, labels, descriptions=descriptions, batch_size=batch_size, progress=progress)

    def _given(self, processor: InputProcessor, inputs: Any) -> list[str]:
        return optional_texts(inputs, "texts")
