"""Models with a memory of their own: writing it, reading it, and naming the evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.utils import logging

from ..controllers.padding import VECTOR_WIDTH
from ..controllers.text import check_texts
from ..errors import InvalidInputError, InvalidTypeError
from ..memory.addressing import unit
from ..memory.precision import precise
from ..persistent.entries import Kind, Label, label_names, renamed
from ..persistent.holder import ReadyMemory, full_precision
from ..persistent.labelled_memory import LabelledMemory
from ..targets import known_as, same_label, spell_label
from ..targets.given import check_described, check_pairs, given_labels
from ..targets.labels import plain
from ..targets.pairs import why_numbers_meet_names
from ..wording import listed, shown
from .adapter_switches import active_adapters_on
from .episode_keys import check_queries
from .modeling_mann import MANNPreTrainedModel

logger = logging.get_logger(f"transformers.{__name__}")


class Evidence(NamedTuple):
    """The stored entries behind one output of one query.

    Attributes:
        slots: [M] slots stored under the label, largest weight first.
        weights: [M] what each of them adds to the output.
        rest: what everything else adds; weights and rest sum to the output.
    """

    slots: list[int]
    weights: list[float]
    rest: float


class RememberingModel(MANNPreTrainedModel):
    """Writes keys to the model's memory, reads it, and names the entries behind an answer."""

    def ready_memory(self) -> ReadyMemory:
        """The present memory, ready for any number of reads; later writes do not change it.

        Raises:
            EmptyMemoryError: it holds nothing.
            EncoderMismatchError: its keys are not those that the encoder gives now, as it was trained or its adapters
                were switched since.
        """
        self.check_memory()
        return self._holder.ready(self.reading)

    def read(self, ready: ReadyMemory, keys: Tensor) -> Tensor:
        """Calibrated logits for keys: [Q, K] -> [Q, C].

        A query's key has the same logits by itself and among others, to the last bit: products are kept to whole
        vectors of the processor.

        Raises:
            InvalidTypeError: keys that are no tensor of floating-point numbers.
            InvalidInputError: keys of another shape, that are not finite, or beyond all bounds; or the reading's
                weights give no finite answer.
        """
        self._check_keys(keys, "Q")
        check_queries(keys)
        whole = F.pad(keys.float(), (0, 0, 0, -len(keys) % VECTOR_WIDTH))
        with full_precision(keys):
            logits = self.reading(ready.solution, whole[None], ready.sharpness)[0, : len(keys)]
        if not logits.isfinite().all():
            raise InvalidInputError(
                "the answer is NaN or infinity: weights of the reading or of its similarity are (training may have "
                "diverged). Load an earlier checkpoint."
            )
        return logits

    def _check_keys(self, keys: Tensor, count: str) -> None:
        """Refuses what is no batch of keys [`count`, K] of this model."""
        size = self.config.key_size
        if not isinstance(keys, Tensor) or not keys.is_floating_point() or keys.layout != torch.strided:
            came = f"{keys.layout} of {keys.dtype}" if isinstance(keys, Tensor) else type(keys).__name__
            raise InvalidTypeError(
                f"keys are of type {came}; a model takes dense tensors of floating-point numbers, from "
                "embed_texts(tokenizer, texts). The pipeline few-shot-text-classification takes texts."
            )
        if keys.dim() != 2 or keys.shape[1] != size:
            raise InvalidInputError(
                f"keys have the shape {list(keys.shape)}; they must be [{count}, K] with K = {size}, one row a text: "
                "take embed_texts(tokenizer, texts), and key[None] for a single key."
            )

    @torch.no_grad()
    def evidence(
        self, ready: ReadyMemory, keys: Tensor, logits: Tensor, columns: Tensor, most: int | None
    ) -> list[list[Evidence]]:
        """The stored entries behind outputs, with their weights.

        Weights and rest sum to the label's logit; with the reading `"attention"` to its score.

        Args:
            ready: the memory that the logits were read from.
            keys: [Q, K].
            logits: [Q, C].
            columns: [Q, R], the outputs to explain for each query; -1 at the end of a row for fewer than R.
            most: the largest number of slots to name for each output; None for all.

        Returns:
            For each query one for each of its outputs.
        """
        weights, slots, lengths, rest = self._evidence(ready, keys, logits, columns, most)
        strongest_first = [
            Evidence(names[:length], terms[:length], left)
            for names, terms, length, left in zip(slots.tolist(), weights.tolist(), lengths, rest.tolist(), strict=True)
        ]
        outputs = iter(strongest_first)
        return [list(islice(outputs, count)) for count in (columns >= 0).sum(1).tolist()]

    def _evidence(
        self, ready: ReadyMemory, keys: Tensor, logits: Tensor, columns: Tensor, most: int | None
    ) -> tuple[Tensor, Tensor, list[int], Tensor]:
        """What `evidence` tells, for the N outputs of all queries one behind the other.

        Returns:
            Weights and slots, [N, M], largest weight first; how many of the M each output has; the rest [N].
        """
        wanted = columns >= 0
        asked, order = columns[wanted].sort(stable=True)  # one product for all queries that ask about a label
        rows = wanted.nonzero()[:, 0][order]
        each, counts = (part.tolist() for part in asked.unique_consecutive(return_counts=True))
        groups = list(zip(each, counts, self._slots_of(ready.memory, each, most), strict=True))
        lengths = [len(stored) if most is None else min(len(stored), most) for _, _, stored in groups]
        weights = precise(logits).new_zeros(len(order), max(lengths, default=0))  # large ones may cancel out
        slots = torch.full_like(weights, -1, dtype=torch.long)
        first = 0
        with full_precision(keys):
            predicted = self.reading.predicted(ready.solution, logits[None])[0]
            if any(lengths):
                terms_of = self.reading.terms_of(ready.solution, keys.float()[None], ready.sharpness)
            for (column, count, stored), length in zip(groups, lengths, strict=True):
                group = slice(first, first := first + count)
                if length:
                    terms = terms_of(rows[group], column, stored)[0]
                    weights[group, :length], best = precise(terms).topk(length, dim=1)
                    slots[group, :length] = stored[best]
        rest = precise(predicted)[rows, asked] - weights.sum(1)
        back = order.argsort()
        every = [length for (_, count, _), length in zip(groups, lengths, strict=True) for _ in range(count)]
        return weights[back], slots[back], [every[place] for place in back.tolist()], rest[back]

    @torch.inference_mode(False)  # what is made in inference mode cannot be trained with later
    def remember(
        self,
        keys: Tensor,
        labels: Any,
        texts: Sequence[str | None] | None = None,
        kinds: Sequence[Kind] | None = None,
        names: Mapping[str, Tensor] | None = None,
    ) -> list[int]:
        """Writes examples to the model's own memory.

        Labels and texts are checked and spelled as those that the pipeline takes.

        Args:
            keys: [N, K], from `embed` or `embed_texts`.
            labels: N labels: names; lists of names for several labels, empty ones for texts that have none; numbers, or
                lists of them, for regression.
            texts: what the keys stand for; None for those that have no text.
            kinds: `"example"` (the default) or `"description"` for each.
            names: the key [K] of the words of labels (see `name_keys`).

        Returns:
            The N ids, by which they are forgotten. Of an example that `eviction="kaiser"` merged into another's slot it
            is the id of that.

        Raises:
            InvalidTypeError: keys that are no tensor, or labels or texts of a type that there is not.
            InvalidInputError: keys that are not finite or do not fit, empty texts, unequal lengths. The memory stays as
                it was.
            EncoderMismatchError: the encoder has changed since the memory was written. The memory stays as it was.
        """
        self._check_keys(keys, "N")
        stored = _checked_texts(texts, len(keys))
        kinds = _checked_kinds(kinds, len(keys))
        given = given_labels(labels, len(keys), 0, self.reading.targets, texts)
        check_pairs(stored, given, self.reading.targets)
        check_described(label for label, kind in zip(given, kinds, strict=False) if kind == "description")
        return self.remember_checked(keys, given, stored, kinds, _checked_names(names))

    @torch.inference_mode(False)
    def remember_checked(
        self,
        keys: Tensor,
        labels: Sequence[Label],
        texts: Sequence[str | None],
        kinds: Sequence[Kind],
        names: Mapping[str, Tensor],
    ) -> list[int]:
        """Writes examples whose labels are spelled and whose texts are checked; see `remember`."""
        probe, on = self.encoder_probe(), active_adapters_on(self)
        keys = keys.detach().to(torch.float32, copy=True)
        words = {same_label(label): key.detach().to(torch.float32, copy=True) for label, key in names.items()}

        def change(memory: LabelledMemory) -> tuple[LabelledMemory, list[int]]:
            if len(memory):
                self._check_encoder(memory, probe, "of this model")
                memory = replace(memory, adapters=on)
            else:
                memory = self._stamped(memory, probe)
            known = known_as(chain(words, *map(label_names, labels)), memory.labels)
            own = [renamed(label, known) for label in labels]
            named = {known[label]: key for label, key in words.items()}
            return memory.remember(keys, own, texts, kinds, named, self.config.store_texts)

        why = why_numbers_meet_names(self.memory.labels, chain.from_iterable(map(label_names, labels)))
        ids = self._swap(change)
        if why is not None:
            logger.warning(why)
        return ids

    def forget(self, ids: int | Sequence[int] | None = None, label: Any = None) -> None:
        """Removes entries from the model's memory, as if they had never been written.

        With a `capacity`, what gave way to them does not come back, and with `eviction="kaiser"` a slot goes with all
        that was merged into it. How often the others were used stays as it was counted: what the forgotten ones
        answered is not counted again for others.

        Args:
            ids: one id or several.
            label: removes every entry of this label; where texts have several labels, also those that have others
                besides.

        Raises:
            NotInMemoryError: an id or a label that is not there. The memory stays as it was.
            InvalidTypeError: ids that are no whole numbers, or several labels at once.
        """
        ids, label = plain(ids), plain(label)
        given = ids if ids is None or isinstance(ids, Iterable) else [ids]
        if isinstance(label, Iterable) and not isinstance(label, str):
            raise InvalidTypeError(
                f"label is {shown(label)}; forget one label at a time, as in: for label in [...]: forget(label=label)."
            )

        def change(memory: LabelledMemory) -> tuple[LabelledMemory, None]:
            name = label
            if label is not None and (not isinstance(label, str) or label not in memory.labels):
                (name,) = known_as([_spelled(label)], memory.labels).values()
            return memory.forget(given, name), None

        self._swap(change, forgets=True)

    def record_use(self, ready: ReadyMemory, keys: Tensor, logits: Tensor) -> None:
        """Records each query's top entry as used, for LRU eviction."""
        law = ready.memory.law
        if law.capacity is None or law.eviction_name != "least_recently_used":
            return
        best = self.evidence(
            ready, keys, logits, logits.argmax(-1, keepdim=True), most=2
        )  # one may be the label's words
        entries = ready.memory.entries
        used = [next(entries[slot].id for slot in top.slots if slot < len(entries)) for (top,) in best]
        without = ready.memory.unlabelled
        if len(without):  # they speak for no label, but against all: for an answer of none it is the nearest of them
            near = (unit(keys.float()) @ unit(ready.memory.state.keys[0, without]).mT).argmax(-1)
            none = (logits <= 0).all(-1).tolist()
            nearest = without[near].tolist()
            used = [entries[nearest[row]].id if none[row] else id_ for row, id_ in enumerate(used)]

        def change(memory: LabelledMemory) -> tuple[LabelledMemory, None]:
            weights = torch.zeros(1, len(memory), device=keys.device)
            for id_ in used:
                if id_ in memory.ids:
                    weights[0, memory.ids[id_]] += 1
            return memory.used(weights), None

        self._swap(change)

    def _slots_of(self, memory: LabelledMemory, columns: list[int], most: int | None) -> list[Tensor]:
        """For each output the slots whose terms are looked at; none where none is to be named."""
        if most == 0:
            return [torch.empty(0, dtype=torch.long)] * len(columns)
        if not self.reading.targets.named:
            return [memory.slots] * len(columns)
        return memory.slots_of(columns)


def _spelled(label: Any) -> str:
    """A label as it is kept; the text of what can be no label, and so is in no memory."""
    try:
        return spell_label(label)
    except (InvalidInputError, InvalidTypeError):
        return same_label(str(label))


def _checked_texts(texts: Sequence[str | None] | None, count: int) -> list[str | None]:
    """What the keys stand for; None for those that have no text."""
    if texts is None:
        return [None] * count
    given = [texts] if isinstance(texts, str) else list(texts)
    checked = check_texts(["-" if text is None else text for text in given])
    return [None if before is None else text for before, text in zip(given, checked, strict=True)]


def _checked_kinds(kinds: Sequence[Kind] | None, count: int) -> list[Kind]:
    """What each entry is, for as many as there are."""
    if kinds is None:
        return ["example"] * count
    chosen: list[Any] = [kinds] if isinstance(kinds, str) else list(kinds)
    strange = list(dict.fromkeys(repr(kind) for kind in chosen if kind not in ("example", "description")))
    if strange:
        raise InvalidInputError(f"kinds are 'example' or 'description', and {listed(strange, 3)} came.")
    return chosen


def _checked_names(names: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
    """The keys of the words of labels."""
    if names is None:
        return {}
    if not isinstance(names, Mapping) or not all(
        isinstance(label, str) and isinstance(key, Tensor) for label, key in names.items()
    ):
        raise InvalidTypeError("names are keys [K] by label, as name_keys(labels, tokenizer) gives them.")
    return names
