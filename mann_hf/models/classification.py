"""Memory-augmented classification, whatever the inputs are."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.utils import ModelOutput, logging

from ..controllers.inputs import check_tensor
from ..errors import EncoderMismatchError, InvalidInputError
from ..persistent.evidence import evidence_tensors
from ..persistent.holder import ReadyMemory
from ..registry import Registry
from .adapter_switches import active_adapters_on
from .episode_keys import EpisodeKeys, episode_memory, read_episodes, strongest
from .labelled import MANNLabelledModel
from .trainer_labels import labels_for_trainers

logger = logging.get_logger(f"transformers.{__name__}")

NUM_EVIDENCE_SLOTS = 8
"""How many slots `MANNClassifierOutput` names for each query."""
SUPPORT = "support_"


@dataclass
class MANNClassifierOutput(ModelOutput):
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


CLASSIFIERS: Registry[type["MANNForClassification"]] = Registry("classifier of the modality")


def model_class_of(modality: str) -> type["MANNForClassification"]:
    """The class of classifiers of a modality; that of any inputs where there is none of its own."""
    return CLASSIFIERS.get(modality, MANNForClassification)


class MANNForClassification(MANNLabelledModel):
    """Classifies inputs from a memory of labelled examples; new examples and labels need no training.

    A subclass is registered in `CLASSIFIERS`, names the modality of its inputs, and may have a `forward` that names
    them, too.

    Args:
        config: the configuration.
    """

    @labels_for_trainers("labels")
    def forward(
        self,
        labels: Tensor | None = None,
        support_labels: Tensor | None = None,
        n_way: int | None = None,
        return_dict: bool | None = None,
        **inputs: Any,
    ) -> MANNClassifierOutput | tuple:
        """Classifies inputs by reading the model's own memory, or with `support_*` a memory made for this call.

        Args:
            labels: [Q], or [B, Q] of B episodes; for several labels [.., C], for regression [.., V], or [Q] for one
                number an input. -100 leaves a query out of the loss, for regression NaN does.
            support_labels: [S] or [B, S], the labels of the support; for several labels [.., C], for regression
                [.., V]. -100 marks padding, for regression too.
            n_way: N, the number of labels in an episode; by default one more than the largest support label.
            return_dict: whether the output is a `MANNClassifierOutput` (the default) or a tuple.
            inputs: of the encoder by name, [Q, ...] or [B, Q, ...]; those of the support begin with `support_`. What is
                True or False goes to the encoder as it is.

        Raises:
            EmptyMemoryError: no support is given and the memory is empty.
            EncoderMismatchError: the model's own memory has keys of other weights or adapters.
            InvalidTypeError, InvalidInputError: inputs that do not fit.
        """
        inputs = {name: part for name, part in inputs.items() if part is not None}
        options = {name: inputs.pop(name) for name in [*inputs] if isinstance(inputs[name], bool)}
        support = {name.removeprefix(SUPPORT): inputs.pop(name) for name in [*inputs] if name.startswith(SUPPORT)}
        main = self.config.controller.main_input
        check_tensor("labels", labels)
        if main not in support:
            if support_labels is not None:
                raise InvalidInputError(f"support_labels came without support_{main}.")
            output = self._read_own(self.embed(**inputs, **options), labels, inputs)
        elif support_labels is None:
            raise InvalidInputError(f"support_{main} came without support_labels.")
        else:
            output = self._read_episodes(inputs, labels, support, support_labels, n_way, **options)
        if return_dict is None:
            return_dict = getattr(self.config, "return_dict", True)
        return output if return_dict else output.to_tuple()

    def _read_own(self, keys: Tensor, labels: Tensor | None, inputs: dict[str, Tensor]) -> MANNClassifierOutput:
        self.config.controller.check_not_empty(inputs, None, self.config.controller.noun)
        ready = self._ready_to_ask(labels is not None)
        logits = self.read(ready, keys)
        best = logits.argmax(-1, keepdim=True)
        weights, slots, _, _ = evidence_tensors(self.reading, ready, keys, logits, best, NUM_EVIDENCE_SLOTS)
        ids = ready.solution.state.ids[0][slots].masked_fill(slots < 0, -1)
        more = (0, NUM_EVIDENCE_SLOTS - slots.shape[1])
        evidence = F.pad(weights, more).to(logits.dtype), F.pad(ids, more, value=-1)
        return MANNClassifierOutput(self._loss(logits, labels), logits, *evidence, keys)

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
            queried = not with_labels or self.memory.adapters != active_adapters_on(self)
            if queried and not (training or amid_training):
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
    ) -> MANNClassifierOutput:
        controller, per_input = self.config.controller, self.config.controller.input_dims
        main = controller.main_input
        if main not in inputs or inputs.keys() - support.keys() - controller.optional_inputs:
            raise InvalidInputError(
                f"with support_*, queries are {', '.join(support)} as the support is; {', '.join(inputs)} came."
            )
        for part, tensor in [*inputs.items(), *((f"support_{part}", tensor) for part, tensor in support.items())]:
            check_tensor(part, tensor)
        check_tensor("support_labels", support_labels)
        queries, written = inputs[main].shape, support[main].shape
        single = len(queries) == 1 + per_input
        lead = len(queries) - per_input  # dimensions before those of one input
        if lead not in (1, 2) or len(written) != len(queries) or queries[: lead - 1] != written[: lead - 1]:
            raise _do_not_agree(main, queries, written, support_labels)
        if single:
            inputs = {name: tensor[None] for name, tensor in inputs.items()}
            support = {name: tensor[None] for name, tensor in support.items()}
            support_labels = support_labels[None]
        targets = self.reading.targets
        values, mask = targets.support_values(support_labels, n_way)
        if values.shape[:2] != support[main].shape[:2]:
            raise _do_not_agree(main, queries, written, support_labels)
        if labels is not None:
            targets.check_query_labels(labels, queries[:lead], values.shape[-1])
            labels = labels[None] if single else labels
        labelled = None if labels is None else targets.has_label(labels, 3)
        controller.check_not_empty(inputs, labelled, "query")
        controller.check_not_empty(support, mask, f"support {controller.noun}")
        keys, support_keys = self._embed_together(inputs, support, **kwargs)
        memory = episode_memory(self, values.shape[-1])
        solution, logits = read_episodes(self.reading, EpisodeKeys(memory, support_keys, values, mask, keys))
        evidence = strongest(self.reading, solution, keys, logits, NUM_EVIDENCE_SLOTS)
        output = MANNClassifierOutput(self._loss(logits, labels), logits, *evidence, keys)
        if single:
            for name in ("logits", "memory_weights", "slot_ids", "read_keys"):
                output[name] = output[name][0]
        return output

    def _loss(self, logits: Tensor, labels: Tensor | None) -> Tensor | None:
        return None if labels is None else self.reading.targets.loss(logits, labels)

    def _embed_together(
        self, inputs: dict[str, Tensor], support: dict[str, Tensor], **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """One call of the encoder for all inputs of all episodes: keys [B, Q, K] and [B, S, K]."""
        controller = self.config.controller
        flat = [{name: part.flatten(0, 1) for name, part in each.items()} for each in (inputs, support)]
        keys = self.embed(**controller.stacked(flat, self.config.encoder_config), **kwargs)
        queries, written = inputs[controller.main_input].shape[:2], support[controller.main_input].shape[:2]
        split = queries.numel()
        return keys[:split].view(*queries, -1), keys[split:].view(*written, -1)


def _do_not_agree(main: str, given: torch.Size, written: torch.Size, labels: Tensor) -> InvalidInputError:
    return InvalidInputError(
        f"{main} are {tuple(given)}, support_{main} {tuple(written)} and support_labels {tuple(labels.shape)}: "
        "they must agree in episodes ([B, Q, ...], [B, S, ...], [B, S]; for a single one without B), and the support "
        "in its number of inputs."
    )
