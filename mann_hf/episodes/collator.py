"""Turns episodes into batches of tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..controllers.text import check_texts, pad, token_batches, tokenize
from ..errors import InvalidInputError
from ..models.episode_batch import EpisodeBatch
from ..persistent.entries import label_words
from ..targets.label_tensors import IGNORED
from .episode import Episode


class EpisodeCollator:
    """Packs the texts of several episodes, each text once, and numbers them.

    Args:
        tokenizer: the encoder's tokenizer.
        max_length: the largest number of tokens of a text; longer texts are cut.
        prompt: text put in front of each text, as in the model's configuration.
        lower_case: whether texts are lower-cased first.
        label_names: whether label names are included.
        group_by_length: whether texts of similar length form batches of their own, with little padding. On a CPU this
            is several times faster than one batch as wide as the longest text; it is the default without a GPU.
        not_pooled: how many tokens at the beginning of each text take no part in pooling: a prompt's.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_length: int | None = None,
        prompt: str = "",
        lower_case: bool = False,
        label_names: bool = False,
        group_by_length: bool | None = None,
        not_pooled: int = 0,
    ) -> None:
        self.tokenizer, self.max_length, self.prompt, self.lower_case = tokenizer, max_length, prompt, lower_case
        self.label_names, self.not_pooled = label_names, not_pooled
        self.group_by_length = not torch.cuda.is_available() if group_by_length is None else group_by_length

    @classmethod
    def for_model(cls, model: Any, tokenizer: Any, **kwargs: Any) -> "EpisodeCollator":
        """A collator that prepares texts as a model's `embed_texts` does."""
        processor = model.text_processor(tokenizer)
        return cls(
            tokenizer,
            max_length=processor.max_length,
            prompt=processor.prompt,
            lower_case=processor.lower_case,
            **processor.embed_options,
            **kwargs,
        )

    def __call__(self, episodes: Sequence[Episode]) -> EpisodeBatch:
        """Packs B episodes.

        Returns:
            `inputs` in groups of texts of similar length, each with `input_ids`, `attention_mask` [U', L'] and, where
            the tokenizer gives them, `token_type_ids`; and what `EpisodeBatch` has besides. Padding is -1 in indices
            and -100 in labels.

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
        number: dict[str, int] = {}

        def rows(texts: Sequence[str | None]) -> list[int]:
            return [-1 if text is None else number.setdefault(text, len(number)) for text in texts]

        support = [rows(episode.support.texts) for episode in episodes]
        query = [rows(episode.query.texts) for episode in episodes]
        names = (
            [rows([label_words(name) for name in episode.names]) for episode in episodes] if self.label_names else []
        )
        groups, place = self._tokens(list(number))
        seeds = [episode.seed for episode in episodes if episode.seed is not None]
        return EpisodeBatch(
            inputs=groups,
            support_index=place(_padded(support, -1)),
            support_labels=_padded([episode.support.labels for episode in episodes], IGNORED),
            query_index=place(_padded(query, -1)),
            labels=_padded([episode.query.labels for episode in episodes], IGNORED),
            n_way=ways[0],
            name_index=place(_padded(names, -1)) if names else None,
            seeds=torch.tensor(seeds) if len(seeds) == len(episodes) else None,
        )

    def _tokens(self, texts: list[str]) -> tuple[list[dict[str, Any]], Any]:
        """The inputs of the encoder in groups, and a function from the numbers of texts to their places there."""
        encodings = tokenize(
            self.tokenizer,
            check_texts(texts),
            max_length=self.max_length,
            prompt=self.prompt,
            lower_case=self.lower_case,
        )
        lengths = [len(encoding["input_ids"]) for encoding in encodings]
        cut = token_batches(lengths) if self.group_by_length else [list(range(len(texts)))]
        pooled = {"not_pooled": self.not_pooled} if self.not_pooled else {}
        inputs = [{**pad(self.tokenizer, encodings, batch), **pooled} for batch in cut]
        places = torch.empty(len(texts) + 1, dtype=torch.long)
        places[[text for batch in cut for text in batch]] = torch.arange(len(texts))
        places[-1] = -1  # of padding
        return inputs, lambda numbers: places[numbers]


def _padded(rows: Sequence[Sequence[int]], filler: int) -> Tensor:
    """Rows of different length as one tensor [B, ·]."""
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows], dtype=torch.long).view(
        len(rows), width
    )
