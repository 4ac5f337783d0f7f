"""The keys of a memory that a model takes over, or computes again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..controllers.base import Controller
from ..controllers.processor import InputProcessor, is_digest
from ..errors import EncoderMismatchError, InvalidInputError
from ..persistent.entries import Entry, Label, label_names, label_words
from ..persistent.labelled_memory import LabelledMemory
from ..persistent.merging import with_counts_of
from ..wording import shown
from .adapter_switches import active_adapters_on
from .embedding import embed_checked


def keys_of_words(
    model: Any, labels: Iterable[Label], processor: InputProcessor, known: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The keys [K] of the words of labels that have words; those that are `known` are not encoded again."""
    names = dict.fromkeys(name for label in labels for name in label_names(label))
    words = {name: text for name in names if name not in known and (text := label_words(name)) is not None}
    keys = {name: known[name] for name in names if name in known}
    if words:
        phrases = processor.check(list(map(processor.phrase, words.values())))
        keys |= zip(words, embed_checked(model, processor, phrases), strict=True)
    return keys


def phrased(words: InputProcessor, descriptions: Sequence[str], labels: Sequence[Label]) -> list[str]:
    """Descriptions as an encoder is asked: a label's own words as those of its name are, all else as it is.

    Args:
        words: the processor of words.
        descriptions: M texts.
        labels: of each.
    """
    return [
        words.phrase(text) if [text] == [label_words(name) for name in label_names(label)] else text
        for text, label in zip(descriptions, labels, strict=True)
    ]


def reencoded(model: Any, memory: LabelledMemory, processor: InputProcessor) -> LabelledMemory:
    """A memory with the keys that a model's encoder gives for its inputs now.

    Raises:
        InvalidInputError: the memory lacks inputs, or the processor cannot read some of them.
    """
    check_inputs_read(model, memory, processor)
    fresh = model.stamped(model.empty_memory(), model.known_probe(fresh=True))
    if fresh.targets is not memory.targets:
        return memory  # refused with both named when it is taken
    keys = torch.empty(len(memory), model.key_size, device=model.device)
    examples = [entry.example for entry in memory.entries]
    by_words = [one.kind == "description" and processor.words is not processor for one in memory.entries]
    for reader, is_read in ((processor, False), (processor.words, True)):
        slots = [slot for slot, words in enumerate(by_words) if words is is_read]
        if not slots or reader is None:  # where it is None there are no descriptions
            continue
        entries = [memory.entries[slot] for slot in slots]
        held = [one.text if is_read else processor.restored(one.text, one.stored) for one in entries]
        inputs = reader.check(held)
        texts = phrased(reader, inputs, [entry.label for entry in entries]) if is_read else inputs
        keys[slots] = embed_checked(model, reader, texts)
        for slot, content in zip(slots, reader.contents(inputs), strict=True):  # by which it has the id that it had
            examples[slot] = examples[slot]._replace(text=examples[slot].text or content)
    words = model.name_keys([entry.label for entry in memory.entries], processor)
    filled, _ = fresh.remember(keys, examples, words, model.config.store_texts)
    return with_counts_of(filled, memory.to(model.device))


def check_inputs_read(model: Any, memory: LabelledMemory, processor: InputProcessor) -> None:
    """Refuses a memory whose keys cannot be computed again.

    Raises:
        InvalidInputError: it keeps no inputs; or it describes labels, and the processor reads no words.
    """
    if lack_inputs(model, memory):
        raise InvalidInputError(f"the {why_lacking(model)}, so its keys cannot be computed again.")
    if processor.words is not None:
        return
    described = next((entry for entry in memory.entries if entry.kind == "description"), None)
    if described is not None:
        raise InvalidInputError(
            f"the memory describes labels in words ({shown(described.text)} first), and the {processor.noun} processor "
            "that came reads none, so its keys cannot be computed again. Where the encoder reads words (CLIP, SigLIP), "
            "give AutoProcessor.from_pretrained(encoder), which has its tokenizer; for another, forget the "
            "descriptions before."
        )


def why_of_other_inputs(controller: Controller, memory: LabelledMemory) -> str | None:
    """What is wrong with a memory whose examples look like inputs that a controller's encoders do not read.

    A file does not say which they are; texts are kept as they are, and other inputs by their digests.
    """
    first = next(_examples_with_text(memory), None)
    if first is None:
        return None
    if controller.readable:
        kept = "digests of other inputs, such as images"
        are_others = all(is_digest(entry.text or "") for entry in _examples_with_text(memory))
    else:
        kept = f"texts such as {shown(first.text)}"
        are_own = (is_digest(entry.text or "") or controller.keeps(entry) for entry in _examples_with_text(memory))
        are_others = not any(are_own)
    noun = controller.noun
    why = f"keeps no {noun}s, but {kept}: this model reads {noun}s, and can neither use its keys nor compute them again"
    return why if are_others else None


def _examples_with_text(memory: LabelledMemory) -> Iterator[Entry]:
    return (entry for entry in memory.entries if entry.kind == "example" and entry.text is not None)


def lack_inputs(model: Any, memory: LabelledMemory) -> bool:
    """Whether a memory lacks some input of its entries, so that not all keys can be computed again."""
    return not all(map(model.config.controller.keeps, memory.entries))


def why_lacking(model: Any) -> str:
    """The reason, for an error, that keys cannot be computed again: the memory lacks inputs."""
    controller = model.config.controller
    return f"memory keeps no {controller.noun}s ({controller.stored_by}=False)"


def taken_over(model: Any, memory: LabelledMemory, source: str, processor: InputProcessor | None) -> LabelledMemory:
    """A memory that was loaded, as a model with its encoder keeps it; see `MemoryMixin.taken_over`."""
    why = why_of_other_inputs(model.config.controller, memory)
    if why is not None and processor is not None:
        raise InvalidInputError(f"the memory {source} {why}.")
    if why is not None and not model.wrote(memory):
        own_name = model.identity.shown
        raise EncoderMismatchError(f"the memory {source} {why}.", memory.encoder_name or "another encoder", own_name)
    if processor is not None:
        memory = reencoded(model, memory, processor)
    own = model.empty_memory()
    if memory.targets is not own.targets:
        raise InvalidInputError(
            f"the memory {source} is for problem_type={memory.problem_type!r}, and this model for {own.problem_type!r}."
        )
    if not memory.targets.named and memory.rules.value_size != own.rules.value_size:
        raise InvalidInputError(
            f"the memory {source} holds {memory.rules.value_size} numbers for each input, and this model predicts "
            f"{own.rules.value_size} (num_labels)."
        )
    model.check_wrote(memory, source)
    try:
        memory = memory.with_rules(own.rules, model.config.label_names)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"the memory {source} does not fit this model: {error} Give the model a larger capacity, or load with "
            "reencode=True, which drops examples as teaching does."
        ) from None
    less: dict[str, Any] = {} if model.config.store_texts else {"text": None}
    if not model.config.store_inputs and any(entry.stored for entry in memory.entries):
        less["stored"] = None
    if less:
        memory = replace(memory, entries=tuple(entry._replace(**less) for entry in memory.entries))
    return replace(memory, adapters=active_adapters_on(model)).to(model.device)
