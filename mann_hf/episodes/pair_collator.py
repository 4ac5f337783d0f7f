"""Turns episodes of pairs into batches of tensors."""

from collections.abc import Sequence
from typing import Any

import torch

from ..errors import InvalidInputError
from ..models.episode_batch import EpisodeBatch
from .collator import pack
from .episode import Episode, NumberedInputs


class PairCollator:
    """Packs the pairs of several episodes, each once, and numbers them.

    Args:
        processor: turns pairs into tensors, such as a model's `processor(tokenizer)`: with `check`, `check_targets`,
            `encode`, `encode_targets`, `batches` and `collate_pairs`.
        label_names: False: pairs have no labels with names.
        group_by_length: whether pairs of similar size form batches of their own, with little padding; by default
            without a GPU.

    Raises:
        InvalidInputError: label names are wanted.
    """

    def __init__(self, processor: Any, *, label_names: bool = False, group_by_length: bool | None = None) -> None:
        if label_names:
            raise InvalidInputError("label_names=True: pairs have no labels; leave it out.")
        self.processor = processor
        self.group_by_length = not torch.cuda.is_available() if group_by_length is None else group_by_length

    @classmethod
    def for_model(cls, model: Any, processing_class: Any, **kwargs: Any) -> "PairCollator":
        """A collator that prepares pairs as a model's own memory of them does.

        Args:
            model: a memory-augmented model of pairs.
            processing_class: its tokenizer, or a processor.
            kwargs: `label_names` and `group_by_length`.
        """
        return cls(model.processor(processing_class), **kwargs)

    def __call__(self, episodes: Sequence[Episode]) -> EpisodeBatch:
        """Packs B episodes.

        Returns:
            `inputs` in groups of similar size, each with `input_ids` and `attention_mask` [U', L'] of the sources, and
            `labels` [U', T'] of the targets, padded with -100; and the indices of `EpisodeBatch`, whose labels are 0
            for a pair and -100 for padding.

        Raises:
            InvalidInputError: no episodes.
        """
        if not episodes:
            raise InvalidInputError("there are no episodes to pack.")
        rows = NumberedInputs()
        packed = pack(episodes, rows, label_names=False)
        sources = self.processor.check([pair.source for pair in rows.inputs])
        targets = self.processor.check_targets([pair.target for pair in rows.inputs], len(rows.inputs))
        encodings, tokens = self.processor.encode(sources), self.processor.encode_targets(targets)
        everyone = [list(range(len(rows.inputs)))]
        cut = self.processor.batches(encodings, targets=tokens) if self.group_by_length else everyone
        places = torch.empty(len(rows.inputs) + 1, dtype=torch.long)
        places[[number for part in cut for number in part]] = torch.arange(len(rows.inputs))
        places[-1] = -1  # of padding
        groups = [self.processor.collate_pairs(encodings, tokens, part) for part in cut]
        indices = {part: places[packed[part]] for part in ("support_index", "query_index")}
        return EpisodeBatch(**{**packed, **indices, "inputs": groups})
