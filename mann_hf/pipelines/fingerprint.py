"""By what it is known whether answers that were kept are those that would be given now."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidInputError
from ..models.adapter_switches import active_adapters_on
from ..persistent.pairs import digest_of_memory

BLOCK = 2**26
"""Bytes that are copied from a device at a time."""
WITHOUT_EFFECT = ("batch_size", "num_workers", "progress", "streamer")
"""Arguments of a call that change no answer."""


def fingerprint(generator: Any, options: Mapping[str, Any]) -> str:
    """A digest of all that answers depend on beside their texts.

    That is each weight, of the memory's reading too; which adapters are on; the memory's content; both configurations;
    the tokenizer; and the arguments, those that the pipeline was made with included.

    Args:
        generator: a `MemoryAugmentedGenerationPipeline`.
        options: arguments of a call.

    Raises:
        InvalidInputError: an argument that no later process could compare with its own.
    """
    model = generator.model
    config = {name: value for name, value in model.config.to_dict().items() if name != "_name_or_path"}
    given = {**generator._forward_params, **generator._postprocess_params, **options}
    facts = [
        config,
        model.generation_config.to_dict(),
        digest_of_weights(model),
        active_adapters_on(model),
        digest_of_memory(model.memory),
        generator.input_processor.identity.digest,
        {name: _digest_of(name, value) for name, value in sorted(given.items()) if name not in WITHOUT_EFFECT},
    ]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True, default=repr).encode(), digest_size=16).hexdigest()


def digest_of_weights(model: torch.nn.Module) -> str:
    """A digest of all weights and kept buffers of a model, by their names; on whichever device they lie.

    Raises:
        InvalidInputError: weights that cannot be read as they are, such as those that are offloaded to a disk.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, Tensor) and value.is_meta:
            raise InvalidInputError(
                f"the weight {name} is not in memory but offloaded, so nobody can tell later whether what the folder "
                "holds was made with it: leave out folder."
            )
        if type(value) in (Tensor, torch.nn.Parameter) and value.layout == torch.strided and not value.is_quantized:
            digest.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
            for part in value.detach().reshape(-1).split(max(1, BLOCK // value.element_size())):
                digest.update(part.cpu().contiguous().view(torch.uint8).numpy())
        else:  # of a quantised model, some as subclasses of tensors
            digest.update(f"{name} {_digest_of(name, value)} ".encode())
    return digest.hexdigest()


def _digest_of(name: str, value: Any) -> str:
    """A digest of an argument that is the same in another process: of a function or an object with its code."""
    from datasets.fingerprint import Hasher

    try:
        return str(Hasher.hash((value, _code_of(value))))
    except Exception as error:  # whatever pickling of a stranger's object raises
        raise InvalidInputError(
            f"{name} is a {type(value).__name__} that cannot be pickled ({str(error)[:100]}), so nobody can tell later "
            "whether what the folder holds was made with it: leave out folder."
        ) from error


def _code_of(value: Any) -> list[str]:
    """The source of a function, or of the class of an object, or of those in a list; pickles have its name alone."""
    parts = value if isinstance(value, list | tuple) else [value]
    made = [part if inspect.isroutine(part) or inspect.isclass(part) else type(part) for part in parts]
    found = []
    for each in made:
        try:
            found.append(inspect.getsource(each))
        except (OSError, TypeError):  # built in, or typed at a prompt: then it is pickled as a whole
            found.append("")
    return found
