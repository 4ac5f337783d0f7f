"""Refuses a memory of another tokenizer's tokens."""

from ...controllers.tokenizer_identity import TokenizerIdentity, tokenizer_identity
from ...errors import TokenizerMismatchError

__all__ = ["TokenizerIdentity", "check_tokenizer", "tokenizer_identity"]


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
