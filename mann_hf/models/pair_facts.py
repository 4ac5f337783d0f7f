"""Facts of a model that generates from a memory of pairs, for its card."""

from typing import Any

from ..cards import PairFacts
from . import adapter_base, adapters
from .card_files import LONGEST_QUESTION, QUESTIONS, public_name, versions
from .few_shot_tasks import registered_task

NAMED = ("memory", "interpolation", "max_source_length", "max_target_length")
"""Fields of the configuration that a card tells by themselves, not among other settings."""


def pair_facts(model: Any, place: str) -> PairFacts:
    """Facts of a model of pairs for its card.

    Args:
        model: its `config` is a `MANNSeq2SeqConfig`, and its memory has pairs by number and their tokens.
        place: the repository or folder to load it from.
    """
    config, memory, usual = model.config, model.memory, model.config.usual()
    fields = config.own_fields().keys() - {*NAMED, "encoder_config", "encoder_name", "adapter", "modality"}
    settings = {name: getattr(config, name) for name in sorted(fields)}
    adapter = adapters.summary(model)
    extras = (config.controller.extra, "peft" if adapter is not None else None)
    return PairFacts(
        place=place,
        model_class=type(model).__name__.removeprefix("FSDP"),
        encoder=public_name(config.encoder_name),
        controller=config.controller,
        settings={name: value for name, value in settings.items() if value != getattr(usual, name)},
        entries=len(memory),
        can_reencode=not model.lacks_inputs(memory),
        adapter=adapter,
        base=public_name(adapter_base.base_of(model)),
        extra=",".join(filter(None, extras)) or None,
        versions=versions(),
        kind=memory.kind,
        interpolation=config.interpolation if memory.kind == "token" else None,
        pipeline_task=registered_task(config.modality),
        tokens=memory.num_tokens,
        pairs=_shown(memory),
        max_source=config.max_source_length,
        max_target=config.max_target_length,
    )


def _shown(memory: Any) -> tuple[tuple[str, str], ...]:
    """The first pairs whose texts are kept, each in one line."""
    shown: list[tuple[str, str]] = []
    for number in range(min(len(memory), QUESTIONS)):
        pair = memory.pair(number)
        if pair.source is not None and pair.target is not None:
            source, target = (" ".join(text.split())[:LONGEST_QUESTION] for text in (pair.source, pair.target))
            shown.append((source, target))
    return tuple(shown)
