"""The processor of texts: a tokenizer, with what the model says of prompts and lengths."""

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InvalidInputError
from .processor import InputProcessor
from .text import Encoding, check_texts, pad, prompt_tokens, token_batches, tokenize


class TextProcessor(InputProcessor):
    """Tokenizes texts as a model reads them.

    Args:
        tokenizer: of the encoder.
        max_length: the largest number of tokens of a text, special ones included; longer texts are cut. None for no
            limit.
        prompt: put in front of each text.
        lower_case: whether texts are lower-cased first.
        pool_prompt: whether the tokens of the prompt are pooled too.
    """

    noun = "text"
    pads = True
    file = "tokenizer.json"

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_length: int | None = None,
        prompt: str = "",
        lower_case: bool = False,
        pool_prompt: bool = True,
    ) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.prompt, self.lower_case, self.pool_prompt = prompt, lower_case, pool_prompt

    def check(self, inputs: Any) -> list[str]:
        return check_texts(inputs)

    def check_part(self, inputs: Any, start: int | None) -> list[str]:
        return check_texts(inputs, start or 0)

    def contents(self, inputs: Sequence[str]) -> list[str | None]:
        return list(inputs)

    def restored(self, content: str | None, stored: bytes | None) -> str | None:
        """The text; None for one that could not have been taught, as a stranger's file may hold."""
        try:
            return None if content is None else check_texts(content)[0]
        except InvalidInputError:
            return None

    @property
    def words(self) -> InputProcessor | None:
        return self

    def encode(self, inputs: Sequence[str]) -> list[Encoding]:
        return tokenize(
            self.tokenizer, inputs, max_length=self.max_length, prompt=self.prompt, lower_case=self.lower_case
        )

    def batches(self, encodings: Sequence[Encoding], batch_size: int | None = None) -> list[list[int]]:
        return token_batches([len(encoding["input_ids"]) for encoding in encodings], batch_size=batch_size)

    def collate(self, encodings: Sequence[Encoding], rows: Sequence[int]) -> dict[str, Tensor]:
        return pad(self.tokenizer, encodings, rows)

    @cached_property
    def _prompt_tokens(self) -> int:
        return prompt_tokens(self.tokenizer, self.prompt, lower_case=self.lower_case)

    @property
    def embed_options(self) -> dict[str, Any]:
        """`not_pooled`, the number of tokens of the prompt, where the model leaves them out of pooling; or none."""
        return {} if self.pool_prompt or not self.prompt else {"not_pooled": self._prompt_tokens}

    def save_pretrained(self, folder: Path) -> None:
        """Saves the tokenizer so that it cuts where the model does, also in a stock pipeline with truncation=True."""
        own = copy.deepcopy(self.tokenizer)
        own.model_max_length = self.max_length or own.model_max_length
        own.save_pretrained(folder)
