"""Whether a tokenizer or image processor gives stored inputs the keys that are stored."""

from typing import Any

import torch

from ..controllers.processor import InputProcessor
from ..errors import InvalidInputError
from ..persistent.fitting import same_keys
from ..persistent.labelled_memory import LabelledMemory
from ..wording import shown


@torch.no_grad()
def why_unlike(model: Any, processor: InputProcessor, memory: LabelledMemory) -> str | None:
    """What is wrong where inputs of the memory have other keys now; None where the first, middle and last have theirs.

    Nothing that a stranger stored keeps a question from being answered: what cannot be read is named, too.

    A memory that mixes examples in one slot (as `eviction="kaiser"` does), or keeps no inputs, is not looked at.
    """
    is_looked_at = len(memory) and not memory.rules.eviction.merges
    few = {0, len(memory) // 2, len(memory) - 1} if is_looked_at else set()
    entries = {place: memory.entries[place] for place in sorted(few)}
    try:
        restored = {place: processor.restored(one.text, one.stored) for place, one in entries.items()}
        held = {place: found for place, found in restored.items() if found is not None}
        if not held:
            return None
        keys, now = memory.state.keys[0, memory.slots[list(held)]], model.embed_inputs(processor, [*held.values()])
    except InvalidInputError as error:
        noun = processor.noun
        return (
            f"a stored {noun} cannot be read again, so it was not looked at whether the memory has the keys of its "
            f"{noun}s, and reencode_memory() would fail: {error} Answers do without it; forget what you do not trust."
        )
    for place, before, key in zip(held, keys, now, strict=True):
        if not same_keys(before[None], key[None]):
            noun = processor.noun
            return (
                f"the stored {noun} {shown(entries[place].text, 42)} now has another key than the memory holds for it, "
                "so answers may be wrong: the memory was taught with another tokenizer or image processor, prompt or "
                "limit of length, or with keys of your own. Give the one that it was taught with, or write it again "
                f"from its {noun}s with model.reencode_memory(processing_class)."
            )
    return None
