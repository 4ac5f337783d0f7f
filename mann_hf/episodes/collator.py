"""Turns episodes into batches of tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..controllers.processor import InputProcessor
from ..controllers.text_processor import TextProcessor
from ..errors import InvalidInputError
from ..models.episode_batch import EpisodeBatch
from ..persistent.entries import label_words
from ..targets.label_tensors import IGNORED
from .episode import Episode, NumberedInputs


class EpisodeCollator:
    """Packs the inputs of several episodes, each once, and numbers them.

    Args:
        processor: turns inputs into tensors; or a tokenizer, for texts.
        label_names: whether label names are included.
        group_by_length: whether inputs of similar size form batches of their own, with little padding. On a CPU this is
            several times faster than one batch as wide as the longest text; it is the default without a GPU. Inputs
            that are all of one size, such as images, are one batch in any case.
        options: of a tokenizer's `TextProcessor`: `max_length`, `prompt`, `lower_case` and `pool_prompt`.

    Raises:
        InvalidInputError: label names are wanted, and inputs are no texts.
    """

    def __init__(
        self, processor: Any, *, label_names: bool = False, group_by_length: bool | None = None, **options: Any
    ) -> None:
        is_processor = isinstance(processor, InputProcessor)
        self.processor: InputProcessor = processor if is_processor else TextProcessor(processor, **options)
        if label_names:
            check_names_are_inputs(self.processor)
        self.label_names = label_names
        wanted = not torch.cuda.is_available() if group_by_length is None else group_by_length
        self.group_by_length = wanted and self.processor.pads

    @classmethod
    def for_model(cls, model: Any, processing_class: Any, **kwargs: Any) -> "EpisodeCollator":
        """A collator that prepares inputs as a model's own embedding of them does.

        Args:
            model: a memory-augmented model.
            processing_class: the encoder's tokenizer, or an `InputProcessor`.
            kwargs: `label_names` and `group_by_length`.
        """
        return cls(model.processor(processing_class), **kwargs)

    def __call__(self, episodes: Sequence[Episode]) -> EpisodeBatch:
        """Packs B episodes.

        Returns:
            `inputs` in groups of similar size, each with what the processor gives (of texts `input_ids`,
            `attention_mask` [U', L'] and, where the tokenizer has them, `token_type_ids`); and what `EpisodeBatch` has
            besides. Padding is -1 in indices and -100 in labels.

        Raises:
            InvalidInputError: no episodes, or episodes of different numbers of classes: in a memory of more columns an
                episode would have other answers than by itself.
        """
        if not episodes:
            raise InvalidInputError("there are no episodes to pack.")
        ways = sorted({len(episode.names) for episode in episodes})
        if len(ways) > 1:
            raise InvalidInputError(
                f"episodes of {', '.join(map(str, ways))} classes cannot be packed together; where n_way is a range, "
                "give EpisodeSampler the batch_size."
            )
        rows = NumberedInputs()
        packed = pack(episodes, rows, self.label_names)
        groups, place = self._encoded(rows.inputs)
        indices = {part: place(packed[part]) for part in ("support_index", "query_index", "name_index")}
        return EpisodeBatch(**{**packed, **indices, "inputs": groups})

    def _encoded(self, inputs: list[Any]) -> tuple[list[dict[str, Any]], Any]:
        """The arguments of `embed` in groups, and a function from the numbers of inputs to their places there."""
        encodings = self.processor.encode(self.processor.check_part(inputs, None))
        cut = self.processor.batches(encodings) if self.group_by_length else [list(range(len(inputs)))]
        groups = [{**self.processor.collate(encodings, rows), **self.processor.embed_options} for rows in cut]
        places = torch.empty(len(inputs) + 1, dtype=torch.long)
        places[[number for rows in cut for number in rows]] = torch.arange(len(inputs))
        places[-1] = -1  # of padding
        return groups, lambda numbers: None if numbers is None else places[numbers]


def check_names_are_inputs(processor: InputProcessor) -> None:
    """Refuses label names in episodes of inputs that are no texts, among which the words would be taken for one."""
    if processor.words is not processor:
        raise InvalidInputError(
            f"label_names=True: label names are words, and episodes of {processor.noun}s are made of {processor.noun}s "
            "alone: leave it out. A memory that is taught after the training stores the words of labels all the same, "
            "where the encoder reads words."
        )


def pack(episodes: Sequence[Episode], rows: NumberedInputs, label_names: bool) -> dict[str, Any]:
    """The arguments of `EpisodeBatch` but the inputs, for episodes of one number of classes.

    Args:
        episodes: B tasks.
        rows: numbers their inputs; it may know some of them already.
        label_names: whether the words of their labels are among these.
    """
    words = lambda episode: [label_words(name) for name in episode.names]  # noqa: E731
    seeds = [episode.seed for episode in episodes if episode.seed is not None]
    return {
        "support_index": _padded([rows(episode.support.inputs) for episode in episodes], -1),
        "support_labels": _padded([episode.support.labels for episode in episodes], IGNORED),
        "query_index": _padded([rows(episode.query.inputs) for episode in episodes], -1),
        "labels": _padded([episode.query.labels for episode in episodes], IGNORED),
        "n_way": len(episodes[0].names),
        "name_index": _padded([rows(words(episode)) for episode in episodes], -1) if label_names else None,
        "seeds": torch.tensor(seeds) if len(seeds) == len(episodes) else None,
    }


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Rows of different length as one tensor [B, ·]."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], dtype=torch.long).view(
        len(rows), width
    )
