"""The processor of pairs: a tokenizer that reads sources, and gives targets the tokens that a decoder is to say."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from transformers.utils import logging

from ..errors import InvalidInputError
from ..targets.label_tensors import IGNORED
from ..wording import counted, shown
from .processor import InputProcessor
from .text import Encoding, check_texts, pad, token_batches, tokenize
from .text_processor import TextProcessor
from .tokenizer_identity import TokenizerIdentity, tokenizer_identity

logger = logging.get_logger(f"transformers.{__name__}")


class PairProcessor(TextProcessor):
    """Tokenizes pairs of a source text, which an encoder reads, and a target text, which a decoder says.

    Shapes: B pairs, L source tokens, T target tokens.

    Args:
        tokenizer: of the model; one of two languages, such as Marian's or mBART's, reads targets as its own target
            language.
        max_source_length: the largest number of tokens of a source, special ones and the prefix included; longer ones
            are cut, with one warning for all of a call. None for no limit.
        max_target_length: likewise of a target, its end included.
        source_prefix: put in front of each source, as T5's `"translate English to German: "`.
        eos_token_id: what a decoder ends with; by default what the tokenizer says.
    """

    noun = "source"

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_source_length: int | None = None,
        max_target_length: int | None = None,
        source_prefix: str = "",
        eos_token_id: int | None = None,
    ) -> None:
        super().__init__(tokenizer, max_length=max_source_length, prompt=source_prefix)
        self.max_target_length = max_target_length
        own = [getattr(tokenizer, name, None) for name in ("eos_token_id", "sep_token_id")]
        self.eos_token_id = next((number for number in (eos_token_id, *own) if number is not None), None)

    @property
    def words(self) -> InputProcessor | None:
        """None: no labels are known by their words here."""
        return None

    @cached_property
    def identity(self) -> TokenizerIdentity:
        """What tells this tokenizer from others, which a memory of its tokens keeps."""
        return tokenizer_identity(self.tokenizer)

    def check(self, inputs: Any) -> list[str]:
        return check_texts(inputs, noun=self.noun)

    def check_part(self, inputs: Any, start: int | None) -> list[str]:
        return check_texts(inputs, start or 0, noun=self.noun)

    def check_targets(self, targets: Any, count: int) -> list[str]:
        """The targets of `count` sources as a list, one target as a list of one.

        Raises:
            InvalidTypeError: something that is no text, or a collection without an order.
            InvalidInputError: an empty or blank target, or another number of them.
        """
        checked = check_texts(targets, noun="target")
        if len(checked) != count:
            raise InvalidInputError(
                f"{counted(count, 'source')} and {counted(len(checked), 'target')} came; give each source one target."
            )
        return checked

    def encode(self, inputs: Sequence[str]) -> list[Encoding]:
        """The tokens of sources, without padding."""
        encodings = super().encode(inputs)
        return [{"input_ids": encoding["input_ids"]} for encoding in encodings]  # decoders' models take no types

    def encode_targets(self, targets: Sequence[str]) -> list[list[int]]:
        """The tokens of targets, without padding; the last of each is what the decoder ends with, cut ones too.

        Raises:
            InvalidInputError: `max_target_length` leaves no room for a token, or neither model nor tokenizer says what
                a target ends with; or a target has that end amid its text, or a mark of beginnings or of padding.
        """
        end = self.eos_token_id
        if end is None:
            raise InvalidInputError(
                f"neither the model nor the tokenizer ({type(self.tokenizer).__name__}) has an end of sequence, with "
                "which a target stops: set eos_token_id of the generation config, or tokenizer.eos_token."
            )
        encodings = tokenize(self.tokenizer, targets, max_length=self.max_target_length, as_targets=True)
        ended = [self._ended(encoding["input_ids"], end) for encoding in encodings]
        self._check_spelled(targets, ended, end)
        return ended

    def _check_spelled(self, targets: Sequence[str], tokens: Sequence[Sequence[int]], end: int) -> None:
        """Refuses targets that hold tokens by which sequences begin, end and are filled up.

        One warning tells of other special tokens, and one of letters that the tokenizer has not.
        """
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        special = {*getattr(self.tokenizer, "all_special_ids", ())} - {end, unknown}
        lacking, unsaid = [], []
        for text, ids in zip(targets, tokens, strict=True):
            if ids.count(end) > max(1, self._added[end]):
                self._refuse(text, end, "with which an answer ends")
            written = [number for number in special.intersection(ids) if ids.count(number) > self._added[number]]
            for number in written:
                if number in self._marks:
                    self._refuse(text, number, f"the tokenizer's mark of {self._marks[number]}")
            if written:
                unsaid.append((text, written[0]))
            if unknown is not None and unknown != end and unknown in ids:
                lacking.append(text)
        if unsaid:
            name = self.tokenizer.convert_ids_to_tokens(unsaid[0][1])
            logger.warning(
                f"special tokens stand in {counted(len(unsaid), 'target')}, such as {name!r} in "
                f"{shown(unsaid[0][0], 60)}: they are taught as tokens, and generated texts are given without them."
            )
        if lacking:
            logger.warning(
                f"the tokenizer cannot spell all of {counted(len(lacking), 'target')}, such as "
                f"{shown(lacking[0], 60)}: what it lacks is not said in answers."
            )

    def _refuse(self, text: str, number: int, what: str) -> NoReturn:
        name = self.tokenizer.convert_ids_to_tokens(number)
        raise InvalidInputError(f"the target {shown(text, 60)} holds {name!r}, {what}: leave it out.")

    @cached_property
    def _marks(self) -> dict[int, str]:
        """What the tokens stand for that no text has a use for."""
        named = {"pad_token_id": "padding", "bos_token_id": "a beginning", "cls_token_id": "a beginning"}
        numbers = {getattr(self.tokenizer, name, None): what for name, what in named.items()}
        return {number: what for number, what in numbers.items() if number is not None}

    @cached_property
    def _added(self) -> Counter[int]:
        """The tokens that the tokenizer puts around any target by itself, such as that of a language."""
        (around,) = tokenize(self.tokenizer, [""], max_length=None, as_targets=True)
        return Counter(around["input_ids"])

    def _ended(self, tokens: list[int], end: int) -> list[int]:
        if tokens and tokens[-1] == end:
            return tokens
        return [*(tokens if self.max_target_length is None else tokens[: self.max_target_length - 1]), end]

    def batches(
        self,
        encodings: Sequence[Encoding],
        batch_size: int | None = None,
        targets: Sequence[Sequence[int]] | None = None,
    ) -> list[list[int]]:
        """The positions of sources, longest first, cut into batches of like length; see `token_batches`.

        Args:
            encodings: what `encode` gives.
            batch_size: pairs in a batch; by default what is fast.
            targets: what `encode_targets` gives, whose tokens then count, too.
        """
        lengths = [len(encoding["input_ids"]) for encoding in encodings]
        if targets is not None:
            lengths = [length + len(target) for length, target in zip(lengths, targets, strict=True)]
        return token_batches(lengths, batch_size=batch_size)

    def collate(self, encodings: Sequence[Encoding], rows: Sequence[int]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` [B, L] of some of the sources, padded behind."""
        return pad(self.tokenizer, encodings, rows)

    def collate_pairs(
        self, encodings: Sequence[Encoding], targets: Sequence[Sequence[int]], rows: Sequence[int]
    ) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` [B, L], and `labels` [B, T] of some of the pairs, padded with -100.

        Args:
            encodings: what `encode` gives.
            targets: what `encode_targets` gives.
            rows: B positions.
        """
        width = max((len(targets[row]) for row in rows), default=0)
        labels = np.full((len(rows), width), IGNORED, dtype=np.int64)
        for place, row in enumerate(rows):
            labels[place, : len(targets[row])] = targets[row]
        return {**self.collate(encodings, rows), "labels": torch.from_numpy(labels)}

    def decode(self, ids: Any) -> list[str]:
        """The texts of token ids, [B, T] or lists, without special tokens; -100 is padding."""
        rows = ids.tolist() if isinstance(ids, Tensor | np.ndarray) else ids
        kept = [[number for number in row if number >= 0] for row in rows]
        return self.tokenizer.batch_decode(kept, skip_special_tokens=True)

    def decode_token(self, number: int) -> str:
        """The letters that one token stands for; special ones by their name."""
        return self.tokenizer.decode([number]) or self.tokenizer.convert_ids_to_tokens(number)
