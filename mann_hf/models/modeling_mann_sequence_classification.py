"""Memory-augmented text classification."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.utils import ModelOutput

from ..controllers.encoder import VECTOR_WIDTH
from ..errors import InvalidInputError
from ..memory import KeyValueMemory, Solution
from ..memory.reading import REGRESSION, SINGLE_LABEL
from .configuration_mann import MANNConfig
from .label_tensors import query_loss, support_values
from .labelled_memory import Kind, Label, LabelledMemory
from .memory_holder import ReadyMemory, full_precision
from .modeling_mann import MANNPreTrainedModel

SLOTS_TOLD = 8
"""How many slots `MANNSequenceClassifierOutput` names for each query."""


@dataclass
class MANNSequenceClassifierOutput(ModelOutput):
    """What a memory-augmented classifier gives.

    Shapes are those of a call without episodes; with episodes a dimension B stands before each.

    Attributes:
        loss: cross entropy (binary for several labels, squared error for regression), if labels were given.
        logits: [Q, C], calibrated: their softmax (sigmoid) are the scores.
        memory_weights: [Q, M], what the M = `SLOTS_TOLD` slots that speak most for the best label add to it.
        slot_ids: [Q, M], the ids of these slots; -1 where a label has fewer.
        read_keys: [Q, K], the keys that the memory was read with.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    memory_weights: Tensor | None = None
    slot_ids: Tensor | None = None
    read_keys: Tensor | None = None


class Evidence(NamedTuple):
    """What stands behind one output of one query.

    Attributes:
        slots: [M] the slots that were stored under the label, largest weight first.
        weights: [M] what each adds.
        rest: what everything else adds: weights and rest sum to what was predicted.
    """

    slots: list[int]
    weights: list[float]
    rest: float


class MANNForSequenceClassification(MANNPreTrainedModel):
    """Classifies texts by what a memory holds, without a gradient step for a new example or a new label.

    The encoder turns texts into keys. `forward` reads the model's own memory, which `remember` and `forget` change, or,
    given `support_*` inputs, a memory that lives for the one call.

    Args:
        config: the configuration.
    """

    accepts_loss_kwargs = False  # the loss is a mean, so the Trainer divides it by the number of batches in a step

    def __init__(self, config: MANNConfig) -> None:
        super().__init__(config)
        self.post_init()

    @property
    def _problem_type(self) -> str:
        return self.config.problem_type or SINGLE_LABEL

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
        """Reads the memory for each text.

        Without `support_*` the model's own memory is read: inputs are [Q, L], labels number the memory's labels. With
        them, each episode gets a memory of its own for this call: inputs are [B, Q, L] and support [B, S, L], or [Q, L]
        and [S, L] for a single episode.

        Args:
            input_ids: [Q, L] or [B, Q, L].
            attention_mask: of the same shape.
            token_type_ids: of the same shape.
            position_ids: of the same shape.
            inputs_embeds: [Q, L, H], in place of `input_ids`.
            labels: [Q] or [B, Q]; for several labels [Q, C], for regression [Q, V], with B before them in episodes; for
                one number a text [Q] will do. -100 leaves a query out of the loss, for regression NaN does. The Trainer
                looks for `support_labels` too: to evaluate the model's own memory with a loss, it needs
                `TrainingArguments(label_names=["labels"])`.
            support_input_ids: [S, L'] or [B, S, L'], the texts that are written.
            support_attention_mask: of the same shape.
            support_token_type_ids: of the same shape.
            support_labels: [S] or [B, S]; for several labels [.., C], for regression [.., V]. -100 marks padding, for
                regression too.
            n_way: N, the labels in an episode; one more than the largest support label if left out.
            return_dict: whether the output is a `MANNSequenceClassifierOutput` (the default) or a tuple.
            kwargs: further inputs of the encoder.

        Raises:
            EmptyMemoryError: no support is given and the memory is empty.
            InvalidInputError: support without labels, shapes that do not fit, or labels that the memory does not have.
        """
        inputs = {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "position_ids": position_ids,
            "inputs_embeds": inputs_embeds,
        }
        given = {name: tensor for name, tensor in inputs.items() if tensor is not None}
        if support_input_ids is None:
            if support_labels is not None:
                raise InvalidInputError("support_labels came without support_input_ids.")
            output = self._read_own(self.embed(**given, **kwargs), labels)
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

    def _read_own(self, keys: Tensor, labels: Tensor | None) -> MANNSequenceClassifierOutput:
        ready = self.ready_memory()
        logits = self.read(ready, keys)
        weights, ids = self._told(ready, keys, logits)
        return MANNSequenceClassifierOutput(query_loss(logits, labels, self._problem_type), logits, weights, ids, keys)

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
        given, written = inputs["input_ids"].shape, support["input_ids"].shape
        if len(given) not in (2, 3) or len(written) != len(given) or given[:-2] != written[:-2]:
            raise _do_not_agree(given, written, support_labels)
        single = len(given) == 2
        if single:
            inputs = {name: tensor[None] for name, tensor in inputs.items()}
            support = {name: tensor[None] for name, tensor in support.items()}
            support_labels = support_labels[None]
            labels = None if labels is None else labels[None]
        values, mask = support_values(support_labels, self._problem_type, n_way)
        if values.shape[:2] != support["input_ids"].shape[:2]:
            raise _do_not_agree(given, written, support_labels)
        keys, support_keys = self._embed_together(inputs, support, **kwargs)
        law = KeyValueMemory(self.config.hidden_size, values.shape[-1], self.config.capacity, self.config.eviction)
        with full_precision(keys):
            state = law.initial_state(len(keys), keys.device, keys.dtype)
            solution = self.reading.solve(law.write(state, support_keys, values.to(keys), mask=mask))
            logits = self.reading(solution, keys)
            told = self._strongest(solution, keys, logits)
        output = MANNSequenceClassifierOutput(query_loss(logits, labels, self._problem_type), logits, *told, keys)
        if single:
            for name in ("logits", "memory_weights", "slot_ids", "read_keys"):
                output[name] = output[name][0]
        return output

    def ready_memory(self) -> ReadyMemory:
        """The present memory, ready for any number of reads; what others write meanwhile does not change it.

        Raises:
            EmptyMemoryError: it holds nothing.
        """
        return self._holder.ready(self.reading)

    def read(self, ready: ReadyMemory, keys: Tensor) -> Tensor:
        """Calibrated logits for keys: [Q, K] -> [Q, C].

        A query has the same logits by itself and among others, to the last bit: like `embed`, products are kept to
        whole vectors of the processor.
        """
        whole = F.pad(keys.float(), (0, 0, 0, -len(keys) % VECTOR_WIDTH))
        with full_precision(keys):
            return self.reading(ready.solution, whole[None], ready.sharpness)[0, : len(keys)]

    @torch.no_grad()
    def evidence(
        self, ready: ReadyMemory, keys: Tensor, logits: Tensor, columns: Tensor, most: int | None
    ) -> list[list[Evidence]]:
        """Which stored examples speak for outputs, and how much.

        For attention the weights are read weights and sum with the rest to the score; for the other readings they are
        terms of the label's logit and sum with the rest to it.

        Args:
            ready: what the logits were read from.
            keys: [Q, K].
            logits: [Q, C].
            columns: [Q, R], for each query the outputs to explain.
            most: the most slots to name for each; all with None.

        Returns:
            For each query R.
        """
        weights, slots, lengths, rest = self._evidence(ready, keys, logits, columns, most)
        told = [
            Evidence(names[:length], terms[:length], left)
            for names, terms, length, left in zip(slots.tolist(), weights.tolist(), lengths, rest.tolist(), strict=True)
        ]
        ranks = columns.shape[1]
        return [told[first : first + ranks] for first in range(0, len(told), ranks)]

    def _evidence(
        self, ready: ReadyMemory, keys: Tensor, logits: Tensor, columns: Tensor, most: int | None
    ) -> tuple[Tensor, Tensor, list[int], Tensor]:
        """What `evidence` tells, for the Q * R outputs one behind the other.

        Returns:
            Weights and slots, [Q * R, M], largest weight first; how many of the M each output has; the rest [Q * R].
        """
        asked, order = columns.flatten().sort(stable=True)  # one product for all queries that ask about a label
        rows = order // columns.shape[1]
        counts = asked.unique_consecutive(return_counts=True)
        groups = [
            (column, count, self._slots_of(ready.memory, column))
            for column, count in zip(*(part.tolist() for part in counts), strict=True)
        ]
        lengths = [len(stored) if most is None else min(len(stored), most) for _, _, stored in groups]
        weights = logits.new_zeros(len(order), max(lengths, default=0))
        slots = torch.full_like(weights, -1, dtype=torch.long)
        first = 0
        with full_precision(keys):
            predicted = self.reading.predicted(ready.solution, logits[None])[0]
            for (column, count, stored), length in zip(groups, lengths, strict=True):
                group = slice(first, first := first + count)
                if length:
                    queries = keys.index_select(0, rows[group]).float()
                    terms = self.reading.terms(ready.solution, queries[None], column, stored, ready.sharpness)[0]
                    weights[group, :length], best = terms.topk(length, dim=1)
                    slots[group, :length] = stored[best]
        rest = predicted[rows, asked] - weights.sum(1)
        back = order.argsort()
        every = [length for (_, count, _), length in zip(groups, lengths, strict=True) for _ in range(count)]
        return weights[back], slots[back], [every[place] for place in back.tolist()], rest[back]

    @torch.inference_mode(False)  # what is made in inference mode cannot be trained with later
    def remember(
        self,
        keys: Tensor,
        labels: Sequence[Label],
        texts: Sequence[str | None] | None = None,
        kinds: Sequence[Kind] | None = None,
        names: dict[str, Tensor] | None = None,
    ) -> list[int]:
        """Writes examples to the model's own memory.

        Args:
            keys: [N, K], from `embed` or `embed_texts`.
            labels: N labels: names; tuples of names for several labels; numbers for regression.
            texts: what the keys stand for.
            kinds: `"example"` (the default) or `"description"` for each.
            names: the key [K] of the words of labels (see `name_keys`).

        Returns:
            The N ids.

        Raises:
            InvalidInputError: keys that are not finite or do not fit. The memory stays as it was.
            EncoderMismatchError: the encoder has changed since the memory was written. The memory stays as it was.
        """
        probe = self.encoder_probe()
        keys = keys.detach().to(torch.float32, copy=True)
        names = {label: key.detach().to(torch.float32, copy=True) for label, key in (names or {}).items()}

        def change(memory: LabelledMemory) -> tuple[LabelledMemory, list[int]]:
            if len(memory):
                self._check_encoder(memory, probe, "of this model")
            else:
                memory = self._stamped(memory, probe)
            return memory.remember(
                keys,
                labels,
                list(texts) if texts is not None else [None] * len(labels),
                list(kinds) if kinds is not None else ["example"] * len(labels),
                names,
                self.config.store_texts,
            )

        return self._swap(change)

    def forget(self, ids: Sequence[int] | None = None, label: str | None = None) -> None:
        """Takes entries out of the model's own memory, as if they had never been written.

        Raises:
            NotInMemoryError: an id or a label that is not there. The memory stays as it was.
        """
        self._swap(lambda memory: (memory.forget(ids, label), None))

    def record_use(self, ready: ReadyMemory, keys: Tensor, logits: Tensor) -> None:
        """Tells a memory that evicts what was least recently used what has been used: each query's strongest entry."""
        law = ready.memory.law
        if law.capacity is None or law.eviction_name != "least_recently_used":
            return
        best = self.evidence(
            ready, keys, logits, logits.argmax(-1, keepdim=True), most=2
        )  # one may be the label's words
        entries = ready.memory.entries
        used = [next(entries[slot].id for slot in told.slots if slot < len(entries)) for (told,) in best]

        def change(memory: LabelledMemory) -> tuple[LabelledMemory, None]:
            weights = torch.zeros(1, len(memory), device=keys.device)
            for id_ in used:
                if id_ in memory.ids:
                    weights[0, memory.ids[id_]] += 1
            return memory.used(weights), None

        self._swap(change)

    def _slots_of(self, memory: LabelledMemory, column: int) -> Tensor:
        if self._problem_type == REGRESSION:
            return torch.arange(len(memory), device=memory.state.keys.device)
        return memory.slots_of(column)

    @torch.no_grad()
    def _told(self, ready: ReadyMemory, keys: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        weights, slots, _, _ = self._evidence(ready, keys, logits, logits.argmax(-1, keepdim=True), SLOTS_TOLD)
        ids = ready.solution.state.ids[0][slots].masked_fill(slots < 0, -1)
        more = (0, SLOTS_TOLD - slots.shape[1])
        return F.pad(weights, more), F.pad(ids, more, value=-1)

    @torch.no_grad()
    def _strongest(self, solution: Solution, keys: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and ids [B, Q, M] of the slots that speak most for each query's best label."""
        every = torch.arange(solution.state.slots, device=keys.device)
        best = logits.argmax(-1)
        weights = torch.full((*best.shape, len(every)), float("-inf"), device=keys.device, dtype=keys.dtype)
        for column in best.unique().tolist():
            terms = self.reading.terms(solution, keys, column, every)
            stored = solution.state.mask
            if self._problem_type != REGRESSION:
                stored = stored & (solution.state.values[..., column] != 0)
            terms = terms.masked_fill(~stored[:, None], float("-inf"))
            weights = torch.where((best == column)[..., None], terms, weights)
        weights, slots = weights.topk(min(SLOTS_TOLD, len(every)), dim=-1)
        empty = weights.isneginf()
        told = solution.state.ids[:, None].expand(-1, slots.shape[1], -1).gather(2, slots)
        more = (0, SLOTS_TOLD - slots.shape[2])
        return F.pad(weights.masked_fill(empty, 0), more), F.pad(told.masked_fill(empty, -1), more, value=-1)

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
