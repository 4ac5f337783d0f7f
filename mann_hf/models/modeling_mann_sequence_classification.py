"""Memory-augmented text classification."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.utils import ModelOutput, logging

from ..controllers.inputs import check_tensor, check_words
from ..errors import EncoderMismatchError, InvalidInputError
from ..persistent.holder import ReadyMemory
from .adapter_switches import active_adapters_on
from .configuration_mann import MANNConfig
from .episode_keys import EpisodeKeys, episode_memory, read_episodes, strongest
from .remembering import RememberingModel
from .trainer_labels import labels_for_trainers

logger = logging.get_logger(f"transformers.{__name__}")

NUM_EVIDENCE_SLOTS = 8
"""How many slots `MANNSequenceClassifierOutput` names for each query."""


@dataclass
class MANNSequenceClassifierOutput(ModelOutput):
    """Output of a memory-augmented classifier.

    Shapes are those of a call without episodes; with episodes there is a dimension B in front.

    Attributes:
        loss: cross entropy (binary for several labels, squared error for regression), if labels were given: the mean
            over queries; with episodes the mean within each, then over the B episodes.
        logits: [Q, C], calibrated: their softmax (for several labels their sigmoid) gives the scores.
        memory_weights: [Q, M], what the M = `NUM_EVIDENCE_SLOTS` most important slots add to the best label.
        slot_ids: [Q, M], the ids of these slots; -1 where a label has fewer.
        read_keys: [Q, K], the keys that the memory was read with.
        hidden_states: None, for code that looks for them in the output of any model; `model.encoder(**inputs,
            output_hidden_states=True)` gives the encoder's states.
        attentions: None, as `hidden_states`; `model.encoder(**inputs, output_attentions=True)`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    memory_weights: Tensor | None = None
    slot_ids: Tensor | None = None
    read_keys: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class MANNForSequenceClassification(RememberingModel):
    """Classifies texts from a memory of labelled examples; new examples and labels need no training.

    The encoder turns texts into keys (embeddings). `forward` reads the model's own memory, which `remember` and
    `forget` change, or, with `support_*` inputs, a memory made for this call.

    Args:
        config: the configuration.
    """

    accepts_loss_kwargs = False  # the loss is a mean, so the Trainer divides it by the number of batches in a step

    def __init__(self, config: MANNConfig) -> None:
        super().__init__(config)
        self.post_init()

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
    ) -> MANNSequenceClassifierOutput | tuple:
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
            labels: [Q] or [B, Q]; for several labels [Q, C], for regression [Q, V], with B before them in episodes; for
                one number a text [Q] will do. -100 leaves a query out of the loss, for regression NaN does.
            support_input_ids: [S, L'] or [B, S, L'], the texts to write to the memory.
            support_attention_mask: of the same shape.
            support_token_type_ids: of the same shape.
            support_labels: [S] or [B, S]; for several labels [.., C], for regression [.., V]. -100 marks padding, for
                regression too.
            n_way: N, the number of labels in an episode; by default one more than the largest support label.
            return_dict: whether the output is a `MANNSequenceClassifierOutput` (the default) or a tuple.
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
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
            "inputs_embeds": inputs_embeds,
        }
        given = {name: tensor for name, tensor in inputs.items() if tensor is not None}
        check_tensor("labels", labels)
        if support_input_ids is None:
            if support_labels is not None:
                raise InvalidInputError("support_labels came without support_input_ids.")
            output = self._read_own(self.embed(**given, **kwargs), labels, attention_mask)
        else:
            support = {
                "input_ids": support_input_ids,
                "attention_mask": support_attention_mask,
                "token_type_ids": support_token_type_ids,
            }
            shown = {name: tensor for name, tensor in support.items() if tensor is not None}
            if support_labels is None:
                raise InvalidInputError("support_input_ids came without support_labels.")
            output = self._read_episodes(given, labels, shown, support_labels, n_way, **kwargs)
        if return_dict is None:
            return_dict = getattr(self.config, "return_dict", True)
        return output if return_dict else output.to_tuple()

    def _read_own(
        self, keys: Tensor, labels: Tensor | None, attention_mask: Tensor | None
    ) -> MANNSequenceClassifierOutput:
        check_words(attention_mask, None, "text")
        ready = self._ready_to_ask(labels is not None)
        logits = self.read(ready, keys)
        weights, ids = self._evidence_tensors(ready, keys, logits)
        return MANNSequenceClassifierOutput(self._loss(logits, labels), logits, weights, ids, keys)

    def _ready_to_ask(self, with_labels: bool) -> ReadyMemory:
        """The present memory: once a training has changed the encoder it holds keys of before, and a warning says so.

        A training need not give labels: a `Trainer` that computes the loss itself keeps them, also as it evaluates.
        """
        training, probe = self.training and torch.is_grad_enabled(), self.memory.probe
        amid_training = probe is not None and self._trained_on is probe
        try:
            if not (training and amid_training):
                self.check_memory(weights=not training)
        except EncoderMismatchError as error:
            asked = not with_labels or self.memory.adapters != active_adapters_on(self)
            if asked and not (training or amid_training):
                raise
            logger.warning_once(str(error))
        if training and not torch.compiler.is_compiling():
            self._trained_on = probe
        return self._holder.ready(self.reading)

    def _read_episodes(
        self,
        inputs: dict[str, Tensor],
        labels: Tensor | None,
        support: dict[str, Tensor],
        support_labels: Tensor,
        n_way: int | None,
        **kwargs: Any,
    ) -> MANNSequenceClassifierOutput:
        if inputs.keys() & {"inputs_embeds", "position_ids"} or "input_ids" not in inputs:
            raise InvalidInputError(
                f"with support_*, queries are input_ids, attention_mask and token_type_ids; {', '.join(inputs)} came."
            )
        for part, tensor in [*inputs.items(), *((f"support_{part}", tensor) for part, tensor in support.items())]:
            check_tensor(part, tensor)
        check_tensor("support_labels", support_labels)
        given, written = inputs["input_ids"].shape, support["input_ids"].shape
        if len(given) not in (2, 3) or len(written) != len(given) or given[:-2] != written[:-2]:
            raise _do_not_agree(given, written, support_labels)
        single = len(given) == 2
        if single:
            inputs = {name: tensor[None] for name, tensor in inputs.items()}
            support = {name: tensor[None] for name, tensor in support.items()}
            support_labels = support_labels[None]
        targets = self.reading.targets
        values, mask = targets.support_values(support_labels, n_way)
        if values.shape[:2] != support["input_ids"].shape[:2]:
            raise _do_not_agree(given, written, support_labels)
        if labels is not None:
            targets.check_query_labels(labels, given[:-1], values.shape[-1])
            labels = labels[None] if single else labels
        asked = None if labels is None else targets.has_label(labels, 3)
        check_words(inputs.get("attention_mask"), asked, "query")
        check_words(support.get("attention_mask"), mask, "support text")
        keys, support_keys = self._embed_together(inputs, support, **kwargs)
        memory = episode_memory(self.config, values.shape[-1])
        output = self._answer_episodes(EpisodeKeys(memory, support_keys, values, mask, keys, labels))
        if single:
            for name in ("logits", "memory_weights", "slot_ids", "read_keys"):
                output[name] = output[name][0]
        return output

    def _answer_episodes(self, episodes: EpisodeKeys) -> MANNSequenceClassifierOutput:
        solution, logits = read_episodes(self.reading, episodes)
        evidence = strongest(self.reading, solution, episodes.queries, logits, NUM_EVIDENCE_SLOTS)
        loss = self._loss(logits, episodes.labels)
        return MANNSequenceClassifierOutput(loss, logits, *evidence, episodes.queries)

    def _loss(self, logits: Tensor, labels: Tensor | None) -> Tensor | None:
        return None if labels is None else self.reading.targets.loss(logits, labels)

    @torch.no_grad()
    def _evidence_tensors(self, ready: ReadyMemory, keys: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        weights, slots, _, _ = self._evidence(ready, keys, logits, logits.argmax(-1, keepdim=True), NUM_EVIDENCE_SLOTS)
        ids = ready.solution.state.ids[0][slots].masked_fill(slots < 0, -1)
        more = (0, NUM_EVIDENCE_SLOTS - slots.shape[1])
        return F.pad(weights, more).to(logits.dtype), F.pad(ids, more, value=-1)

    def _embed_together(
        self, inputs: dict[str, Tensor], support: dict[str, Tensor], **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """One forward of the encoder for all texts of all episodes: keys [B, Q, K] and [B, S, K]."""
        length = max(inputs["input_ids"].shape[-1], support["input_ids"].shape[-1])
        fill = {"input_ids": getattr(self.config.encoder_config, "pad_token_id", None) or 0}
        packed = {}
        for part in (inputs, support):
            part.setdefault("attention_mask", torch.ones_like(part["input_ids"]))
            if "token_type_ids" in inputs.keys() | support.keys():
                part.setdefault("token_type_ids", torch.zeros_like(part["input_ids"]))
        for name in inputs:
            rows = [
                F.pad(part[name], (0, length - part[name].shape[-1]), value=fill.get(name, 0)).flatten(0, 1)
                for part in (inputs, support)
            ]
            packed[name] = torch.cat(rows)
        keys = self.embed(**packed, **kwargs)
        queries = inputs["input_ids"].shape[:2]
        split = queries.numel()
        return keys[:split].view(*queries, -1), keys[split:].view(*support["input_ids"].shape[:2], -1)


def _do_not_agree(given: torch.Size, written: torch.Size, labels: Tensor) -> InvalidInputError:
    return InvalidInputError(
        f"input_ids are {tuple(given)}, support_input_ids {tuple(written)} and support_labels {tuple(labels.shape)}: "
        "they must agree in episodes ([B, Q, L], [B, S, L'], [B, S]; for a single one without B), and the support in "
        "texts."
    )
