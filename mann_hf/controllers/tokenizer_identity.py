"""What tells one tokenizer from another: two whose token ids mean the same have one identity."""

import hashlib
from typing import Any, NamedTuple

SPECIAL = ("pad_token", "bos_token", "eos_token", "unk_token", "sep_token", "cls_token", "mask_token")


class TokenizerIdentity(NamedTuple):
    """A tokenizer as a memory of tokens remembers it.

    Attributes:
        name: what it was loaded from, or its class; for messages alone.
        digest: of its vocabulary and the ids of its special tokens.
        size: the number of its tokens, added ones included.
    """

    name: str
    digest: str
    size: int

    def same_as(self, other: "TokenizerIdentity") -> bool:
        """Whether ids of both mean the same tokens, wherever they were loaded from."""
        return (self.digest, self.size) == (other.digest, other.size)


def tokenizer_identity(tokenizer: Any) -> TokenizerIdentity:
    """The identity of a tokenizer of transformers; settings of padding and truncation do not count."""
    vocabulary = tokenizer.get_vocab()
    digest = hashlib.blake2b(digest_size=16)
    for token, number in sorted(vocabulary.items(), key=lambda item: (item[1], item[0])):
        digest.update(f"{number}\t{token}\n".encode("utf-8", "surrogatepass"))
    special = {name: getattr(tokenizer, f"{name}_id", None) for name in SPECIAL}
    digest.update(repr(sorted(special.items())).encode())
    return TokenizerIdentity(_name(tokenizer), f"blake2b:{digest.hexdigest()}", len(vocabulary))


def _name(tokenizer: Any) -> str:
    """The folder or repository a tokenizer was loaded from; its class where it was made otherwise."""
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
