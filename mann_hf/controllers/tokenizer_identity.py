"""What a tokenizer is known by: the tokens of a memory mean nothing to another one."""

import hashlib
import json
from typing import Any, NamedTuple


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
    """The identity of a tokenizer of transformers; settings of padding and truncation do not count."""
    vocabulary = sorted((number, token) for token, number in tokenizer.get_vocab().items())
    special = sorted((name, str(token)) for name, token in tokenizer.special_tokens_map.items())
    written = json.dumps([vocabulary, special], ensure_ascii=True)
    digest = hashlib.blake2b(written.encode(), digest_size=16).hexdigest()
    size = max(len(vocabulary), 1 + max((number for number, _ in vocabulary), default=-1))
    return TokenizerIdentity(str(tokenizer.name_or_path) or None, digest, size)
