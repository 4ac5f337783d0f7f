"""The lasting memory of a model that generates: pairs of a source and a target."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..cards.facts import PairFacts
from ..controllers.pair_processor import PairProcessor
from ..controllers.processor import InputProcessor
from ..controllers.progress import Progress, following
from ..errors import InvalidInputError
from ..persistent.pairs import (
    INDEX_FILES,
    EncodedPairs,
    PairHolder,
    PairMemory,
    PairSearch,
    TokenizerIdentity,
    check_tokenizer,
    merged_pairs,
    needs_index,
)
from ..targets.labels import plain
from .configuration_seq2seq import MANNSeq2SeqConfig
from .generation_memories import GenerationMemory
from .pair_facts import pair_facts
from .pair_writing import PART, encoded_texts

if TYPE_CHECKING:  # what it is mixed in before
    from .modeling_mann import MANNPreTrainedModel as Mixed
else:
    Mixed = object

SMALLEST_SPREAD = 1e-4


class PairMemoryMixin(Mixed):
    """Writes and forgets pairs, and computes their keys again.

    Attributes:
        generation_memory: how the memory is written and read.
    """

    config: MANNSeq2SeqConfig
    generation_memory: GenerationMemory
    _holder: PairHolder

    @property
    def memory(self) -> PairMemory:
        """The model's memory, an immutable value; each write replaces it by a new one."""
        return self._holder.memory

    def empty_memory(self) -> PairMemory:
        """A memory for this model that holds nothing."""
        dtype = torch.bfloat16 if self.config.key_dtype == "bfloat16" else torch.float32
        own, device = self.generation_memory, self.device
        place = "cpu" if device.type == "meta" else device
        return PairMemory.empty(own.kind, self.config.key_size, own.source_size, dtype, place)

    def new_holder(self) -> PairHolder:
        return PairHolder(self.empty_memory())

    def ready_search(self) -> PairSearch | None:
        """The lasting memory, prepared for reading; None where reading it would change nothing.

        Raises:
            EncoderMismatchError: its keys are those of other weights or adapters.
        """
        if self.training or not len(self.memory) or self.generation_memory.is_silent:
            return None
        self.check_memory()
        return self._holder.search(self.config.store)

    def spreads(self) -> tuple[float, float]:
        """1 less the usual cosine of two of the decoder's states, and likewise of two sources' keys.

        Of the two pairs of `encoder_probe`, without dropout or gradients, so that they are in training what they are
        afterwards. They are of the weights as they are now, and computed once for each state of them: a training that
        leaves the wrapped model as it is (`trainable="memory"`) encodes these pairs once in all; one that changes it
        encodes them once a step, and nothing that it reads depends on where a run was stopped and went on.
        """
        probe = self.known_probe()
        sources, tokens = probe[:2, : self.generation_memory.source_size], probe[2:, : self.key_size]
        return _spread(tokens), _spread(sources)

    @torch.inference_mode(False)
    def remember(self, pairs: EncodedPairs, tokenizer: TokenizerIdentity | None = None) -> list[int]:
        """Writes pairs to the lasting memory.

        Args:
            pairs: N pairs, from `encode_pairs`, with their texts or the tokens of their sources.
            tokenizer: by which texts became tokens.

        Returns:
            The N ids, by which they are forgotten. A pair that is there already keeps its id and counts once more.

        Raises:
            InvalidInputError: keys that are not finite or do not fit. The memory stays as it was.
            EncoderMismatchError: the model has changed since the memory was written. The memory stays as it was.
            TokenizerMismatchError: it was written with another tokenizer. The memory stays as it was.
        """
        probe = self.known_probe()
        self._check_tokens(int(pairs.tokens.max()) if len(pairs.tokens) else 0)

        def change(memory: PairMemory) -> tuple[PairMemory, list[int]]:
            return self._begun(memory, tokenizer, probe).remember(pairs, self.config.store_texts)

        return self.update_memory(change)

    def _begun(self, memory: PairMemory, tokenizer: TokenizerIdentity | None, probe: Tensor) -> PairMemory:
        """A memory that pairs of this model and tokenizer may be written to."""
        if not len(memory):
            return self.stamped(replace(memory, tokenizer=tokenizer), probe)
        self.check_wrote(memory, "of this model", probe)
        check_tokenizer(memory.tokenizer, tokenizer, "of this model")
        return memory

    def _check_tokens(self, largest: int) -> None:
        """Refuses tokens that the model cannot say."""
        known = self.get_output_embeddings().weight.shape[0]
        if largest >= known:
            raise InvalidInputError(
                f"a target holds the token {largest:,}, and the model has {known:,} tokens: take the model's own "
                "tokenizer, or make room with resize_token_embeddings."
            )

    def remember_texts(
        self,
        processing_class: Any,
        sources: Sequence[str],
        targets: Sequence[str],
        batch_size: int | None = None,
        progress: Progress = None,
    ) -> list[int]:
        """Writes pairs of texts to the lasting memory.

        Args:
            processing_class: the model's tokenizer, or a `PairProcessor`.
            sources: N texts.
            targets: N texts.
            batch_size: pairs in a batch; by default what is fast.
            progress: True for a bar, or a function that is called with the number of pairs done after each batch.

        Returns:
            The N ids.

        Raises:
            InvalidTypeError, InvalidInputError: of texts that are none, empty ones, or unequal numbers of them.
            EncoderMismatchError, TokenizerMismatchError: as `remember`.
        """
        processor: Any = self.processor(processing_class)
        sources = processor.check(sources)
        targets = processor.check_targets(targets, len(sources))
        probe, ids = self.known_probe(), []
        before = self.memory
        mine = self._begun(before, processor.identity, probe)
        with following(progress, len(sources), "pair") as advance:
            for start in range(0, len(sources), PART):
                part = slice(start, start + PART)
                pairs = encoded_texts(self, processor, sources[part], targets[part], batch_size, advance)
                self._check_tokens(int(pairs.tokens.max()))
                mine, more = mine.remember(pairs, self.config.store_texts)
                ids += more

        def change(held: PairMemory) -> tuple[PairMemory, None]:
            if held is before:
                return mine, None
            return merged_pairs(before, mine, self._begun(held, processor.identity, probe)), None  # of other threads

        self.update_memory(change)
        return ids

    def forget(  # type: ignore[override]
        self, ids: int | Sequence[int] | None = None, source: str | None = None, target: str | None = None
    ) -> None:
        """Removes pairs from the model's memory, as if they had never been written.

        Args:
            ids: one id or several.
            source: removes every pair of this source; with a target, the pair of both.
            target: removes every pair of this target.

        Raises:
            NotInMemoryError: an id, a source or a target that is not there, or the memory keeps no texts. The memory
                stays as it was.
            InvalidTypeError: ids that are no whole numbers, or several texts at once.
        """
        ids, source, target = plain(ids), plain(source), plain(target)
        given = ids if ids is None or isinstance(ids, Iterable) else [ids]
        self.update_memory(lambda memory: (memory.forget(given, source, target), None), forgets=True)

    def check_processor(self, processor: PairProcessor) -> None:
        """Refuses a tokenizer that the memory was not written with.

        Raises:
            TokenizerMismatchError: it names both.
        """
        if len(self.memory):
            check_tokenizer(self.memory.tokenizer, processor.identity, "of this model")

    def named(self, memory: PairMemory, encoder_name: str | None) -> PairMemory:
        own: PairMemory = super().named(memory, encoder_name)
        own.indexes.update(memory.indexes)  # which are saved with it
        return own

    def files_beside_memory(self) -> Sequence[str]:
        """The indexes that reading a large memory searches; none of a memory whose keys this model has computed."""
        memory, searched = self.memory, self.config.neighbours is None and self.generation_memory.of_tokens
        if memory.index_folder is None:
            return ()
        sizes = {"tokens": memory.num_tokens} if searched else {"pairs": len(memory)}
        return [INDEX_FILES[part] for part, size in sizes.items() if needs_index(size, self.config.store)]

    def lacks_inputs(self, memory: PairMemory) -> bool:
        return not memory.keeps_texts

    def reencoded(self, memory: PairMemory, processor: InputProcessor) -> PairMemory:
        """A memory with the keys that the model gives for its pairs now.

        Raises:
            InvalidInputError: it keeps no texts.
        """
        self.check_inputs_read(memory, processor)
        assert isinstance(processor, PairProcessor)
        fresh = self.stamped(replace(self.empty_memory(), tokenizer=processor.identity), self.known_probe(fresh=True))
        entries = iter(memory.entries)
        while part := list(islice(entries, PART)):
            sources, targets = ([getattr(entry, name) for entry in part] for name in ("source", "target"))
            fresh, ids = fresh.remember(encoded_texts(self, processor, sources, targets), self.config.store_texts)
            fresh = fresh.taught_again(np.array(ids), np.array([entry.count - 1 for entry in part]))
        return fresh

    def taken_over(self, memory: PairMemory, source: str, processor: InputProcessor | None) -> PairMemory:
        own = self.generation_memory.kind
        if memory.kind != own and processor is None:
            raise InvalidInputError(
                f"the memory {source} is one of the kind {memory.kind!r}, and this model has one of the kind {own!r}; "
                "with reencode=True it is written anew from its texts."
            )
        self._check_tokens(memory.largest_token)
        return super().taken_over(memory, source, processor)

    def card_facts(self, place: str) -> PairFacts:
        """Facts of the model for its card; see `MemoryMixin.card_facts`."""
        return pair_facts(self, place)


def _spread(keys: Tensor) -> float:
    """1 less the mean cosine of two of some keys of unit length [N, K]."""
    count = len(keys)
    alike = (keys.sum(0).square().sum() - keys.square().sum()) / (count * (count - 1))
    return max(1 - float(alike), SMALLEST_SPREAD)
