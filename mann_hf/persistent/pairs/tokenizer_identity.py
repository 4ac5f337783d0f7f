"""What a tokenizer is known by: the tokens of a memory mean nothing to another one."""

import hashlib
import json
from typing import Any, NamedTuple

from ...errors import TokenizerMismatchError


class TokenizerIdentity(NamedTuple):
    """What a tokenizer is known by.

    Attributes:
        name: by which it was loaded; None if it has none.
        digest: of its vocabulary and its special tokens, in hexadecimal digits.
        size: how many tokens it has.
    """

    name: str | None
    digest: str
    size: int

    @property
    def shown(self) -> str:
        """What messages call it."""
        return f"{self.name or 'a tokenizer without a name'} ({self.size:,} tokens, {self.digest[:8]})"


def tokenizer_identity(tokenizer: Any) -> TokenizerIdentity:
    """The identity of a tokenizer of transformers."""
    vocabulary = sorted((number, token) for token, number in tokenizer.get_vocab().items())
    special = sorted((name, str(token)) for name, token in tokenizer.special_tokens_map.items())
    written = json.dumps([vocabulary, special], ensure_ascii=True)
    digest = hashlib.blake2b(written.encode(), digest_size=16).hexdigest()
    size = max(len(vocabulary), 1 + max((number for number, _ in vocabulary), default=-1))
    return TokenizerIdentity(str(tokenizer.name_or_path) or None, digest, size)


def check_tokenizer(written_by: TokenizerIdentity | None, own: TokenizerIdentity | None, source: str) -> None:
    """Refuses a memory that was written with another tokenizer than a model's; unknown ones pass.

    Args:
        written_by: the tokenizer that wrote the memory.
        own: the model's.
        source: where the memory is from, as it follows "the memory" in the message.

    Raises:
        TokenizerMismatchError: it names both.
    """
    if written_by is None or own is None or written_by.digest == own.digest:
        return
    raise TokenizerMismatchError(
        f"the memory {source} was written with the tokenizer {written_by.shown}, and this model has {own.shown}: the "
        "tokens of one mean nothing to the other. Give the tokenizer that the memory was written with, or teach the "
        "memory again.",
        written_by.shown,
        own.shown,
    )
