"""Whether a tokenizer gives stored texts the keys that are stored."""

from typing import Any

import torch

from ..controllers.processor import InputProcessor
from ..persistent.fitting import same_keys
from ..persistent.labelled_memory import LabelledMemory


@torch.no_grad()
def why_unlike(model: Any, processor: InputProcessor, memory: LabelledMemory) -> str | None:
    """What is wrong where texts of the memory have other keys now; None where the first, middle and last have theirs.

    A memory that mixes examples in one slot (`eviction="kaiser"`), or keeps no texts, is not looked at.

    Args:
        model: whose encoder wrote the memory.
        processor: by which texts are given to it now.
        memory: with keys of the model's size.
    """
    few = {0, len(memory) // 2, len(memory) - 1} if len(memory) and memory.law.eviction_name != "kaiser" else set()
    entries = {slot: memory.entries[slot] for slot in sorted(few)}
    texts = {slot: text for slot, one in entries.items() if (text := processor.restored(one.text, None))}
    if not texts:
        return None
    keys = memory.state.keys[0, list(texts)]
    for text, before, now in zip(texts.values(), keys, model.embed_inputs(processor, [*texts.values()]), strict=True):
        if not same_keys(before[None], now[None]):
            return (
                f"the stored text {text[:40]!r} now has another key than the memory holds for it, so answers may be "
                "wrong: the memory was taught with another tokenizer, prompt or limit of length, or with keys of your "
                "own. Give the tokenizer that it was taught with, or write it again from its texts with "
                "model.reencode_memory(tokenizer)."
            )
    return None
