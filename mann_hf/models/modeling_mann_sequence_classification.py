"""Memory-augmented text classification."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..controllers.kinds import TEXT
from ..controllers.progress import Progress
from .classification import CLASSIFIERS, MANNClassifierOutput, MANNForClassification
from .trainer_labels import labels_for_trainers


@CLASSIFIERS.register(TEXT)
class MANNForSequenceClassification(MANNForClassification):
    """Classifies texts from a memory of labelled examples; new examples and labels need no training.

    The encoder turns texts into keys (embeddings). `forward` reads the model's own memory, which `remember` and
    `forget` change, or, with `support_*` inputs, a memory made for this call.

    Args:
        config: the configuration.
    """

    modality = TEXT

    @labels_for_trainers("labels")
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        support_input_ids: Tensor | None = None,
        support_attention_mask: Tensor | None = None,
        support_token_type_ids: Tensor | None = None,
        support_labels: Tensor | None = None,
        n_way: int | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> MANNClassifierOutput | tuple:
        """Classifies texts by reading the memory.

        Without `support_*`, the model's own memory is read: inputs are [Q, L], and `labels` are positions in the
        memory's labels. With `support_*`, each episode gets a memory for this call: inputs are [B, Q, L] and support
        [B, S, L], or [Q, L] and [S, L] for a single episode. Many episodes whose texts are packed, each once, are for
        `embed_episodes`, and in training for `mann_hf.training.EpisodicStep`.

        Args:
            input_ids: [Q, L] or [B, Q, L].
            attention_mask: of the same shape.
            token_type_ids: of the same shape.
            position_ids: of the same shape.
            inputs_embeds: [Q, L, H], in place of `input_ids`.
            labels: [Q] or [B, Q], with a further dimension for several labels or numbers; see
                `MANNForClassification.forward`, also for `support_labels` and what follows it.
            support_input_ids: [S, L'] or [B, S, L'], the texts to write to the memory.
            support_attention_mask: of the same shape.
            support_token_type_ids: of the same shape.
            support_labels: [S] or [B, S].
            n_way: N, the number of labels in an episode.
            return_dict: whether the output is a `MANNClassifierOutput` (the default) or a tuple.
            kwargs: further inputs of the encoder.

        Raises:
            EmptyMemoryError: no support is given and the memory is empty.
            EncoderMismatchError: the model's own memory has keys of other weights or adapters. A training through this
                memory is not refused, nor is what asks after it (as an evaluation amid training), nor `labels` with
                other weights: a warning says it once.
            InvalidTypeError: inputs that are no tensors, such as texts.
            InvalidInputError: support without labels, shapes that do not fit, texts without a token, or labels that
                the memory does not have.
        """
        return super().forward(
            labels,
            support_labels,
            n_way,
            return_dict,
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            support_input_ids=support_input_ids,
            support_attention_mask=support_attention_mask,
            support_token_type_ids=support_token_type_ids,
            **kwargs,
        )

    def embed_texts(
        self, tokenizer: Any, texts: Sequence[str], batch_size: int | None = None, progress: Progress = None
    ) -> Tensor:
        """Keys for texts, [N, K], without gradients; see `embed_inputs`."""
        return self.embed_inputs(tokenizer, texts, batch_size, progress)

    def max_length(self, processing_class: Any = None) -> int | None:
        """The largest number of tokens of a text; longer texts are cut. None for no limit."""
        return self.config.controller.max_length(self.config, self.encoder, processing_class)

    def load_tokenizer(self, **kwargs: Any) -> Any:
        """The tokenizer of the model; see `load_processing_class`."""
        return self.load_processing_class(**kwargs)
